/* bench_load: loading and checking a manifest against libyaml's bare event parse of the same text,
 * and how loading grows. */
#include "manifest/manifest.h"
#include "tests/bench/bench.h"
#include <glib/gstdio.h>
#include <string.h>
#include <yaml.h>

static void
parse_bare(gpointer data)
{
    yaml_parser_t parser;
    yaml_event_t event;
    gboolean end = FALSE;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, data, strlen(data));
    while (!end) {
        if (!yaml_parser_parse(&parser, &event))
            g_error("bench: the manifest doesn't parse: %s", parser.problem);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

static void
load(gpointer data)
{
    const char *const paths[] = {data, NULL};
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(KaManifest) manifest = ka_manifest_load(paths, "test:///default", diagnostics);

    if (!manifest) {
        g_autofree char *text = ka_diagnostic_format(g_ptr_array_index(diagnostics->items, 0));
        g_error("bench: the manifest doesn't load: %s", text);
    }
}

static double
measure(guint n, guint times, double *ret_bare)
{
    g_autofree char *text = bench_manifest(n, "/bench");
    g_autofree char *path = bench_write(text);
    double ours;

    *ret_bare = bench_best(times, parse_bare, text);
    ours = bench_best(times, load, path);
    g_unlink(path);
    return ours;
}

int
main(void)
{
    double bare, small, large;

    small = measure(1000, 15, &bare);
    bench_print("load and check 1,000 guests / bare libyaml", small, bare, "s", 1.5);
    large = measure(100000, 1, &bare);
    bench_print("load and check 100,000 guests / bare libyaml", large, bare, "s", 1.5);
    bench_print("load: 100,000 guests / 100 × 1,000 guests", large, 100 * small, "s", 1.3);
    return bench_missed();
}
