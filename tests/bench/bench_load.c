/* bench_load: processor time of loading and checking a manifest against that of libyaml's bare
 * event parse of the same text. */
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

static void
measure(const char *name, guint n, guint times)
{
    g_autofree char *text = bench_manifest(n, "/bench");
    g_autofree char *path = bench_write(text);
    BenchSide ours = {load, NULL, path, bench_cpu, 0};
    BenchSide bare = {parse_bare, NULL, text, bench_cpu, 0};

    bench_pair(times, &ours, &bare);
    g_unlink(path);
    bench_print_pair(name, &ours, &bare, 1.5);
}

int
main(void)
{
    measure("load and check 1,000 guests / libyaml's bare event parse", 1000, 40);
    measure("load and check 10,000 guests / libyaml's bare event parse", 10000, 5);
    return bench_missed();
}
