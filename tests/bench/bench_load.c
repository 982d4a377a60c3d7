/* Loading and checking a manifest beside libyaml's bare event parse of the same text. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <yaml.h>

#include "manifest/manifest.h"

#define BUDGET 1.5
#define ROUNDS 5

static GString *
manifest_of(guint n_guests)
{
    GString *text = g_string_new("project: bench\n"
                                 "networks:\n"
                                 "  lan:\n"
                                 "    forward: nat\n"
                                 "    address: 10.0.0.1/16\n"
                                 "pools:\n"
                                 "  fast: {type: dir, path: /srv/vm}\n"
                                 "disks:\n");
    for (guint i = 0; i < n_guests; i++)
        g_string_append_printf(
            text,
            "  guest-%u-root: {pool: fast, size: 20GiB, format: qcow2}\n"
            "  guest-%u-data: {pool: fast, size: 100GiB, format: qcow2, protect: true}\n",
            i, i);
    g_string_append(text, "guests:\n");
    for (guint i = 0; i < n_guests; i++)
        g_string_append_printf(text,
                               "  guest-%u:\n"
                               "    title: guest number %u\n"
                               "    vcpus: {current: 2, maximum: 8}\n"
                               "    memory: {current: 2GiB, maximum: 8GiB}\n"
                               "    disks:\n"
                               "      vda: {disk: guest-%u-root}\n"
                               "      vdb: {disk: guest-%u-data, cache: none, discard: unmap}\n"
                               "    nics:\n"
                               "      lan: {network: lan}\n"
                               "    graphics: {vnc: {listen: 127.0.0.1}}\n"
                               "    autostart: true\n",
                               i, i, i, i);
    return text;
}

static gint64
parse_events(const GString *text)
{
    gint64 start = g_get_monotonic_time();
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const guchar *)text->str, text->len);
    for (gboolean ended = FALSE; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            fprintf(stderr, "bench: the manifest is no YAML: %s\n", parser.problem);
            exit(1);
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return g_get_monotonic_time() - start;
}

static gint64
load(const char *path)
{
    gint64 start = g_get_monotonic_time();
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(KaManifest) manifest =
        ka_manifest_load((const char *const[]){path, NULL}, NULL, diagnostics);
    gint64 duration = g_get_monotonic_time() - start;
    if (!manifest || diagnostics->items->len > 0) {
        g_autofree char *message = ka_diagnostic_format(g_ptr_array_index(diagnostics->items, 0));
        fprintf(stderr, "bench: %s", message);
        exit(1);
    }
    return duration;
}

/* The best of several rounds, both sides in turn, so that a busy machine slows both. */
static double
measure(guint n_guests, guint rounds)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("kvmapply-bench-XXXXXX.yaml", &path, NULL);
    if (fd < 0)
        g_error("no temporary file");
    g_close(fd, NULL);
    GString *text = manifest_of(n_guests);
    if (!g_file_set_contents(path, text->str, (gssize)text->len, NULL))
        g_error("cannot write '%s'", path);
    gint64 bare = G_MAXINT64, ours = G_MAXINT64;
    for (guint i = 0; i < rounds; i++) {
        bare = MIN(bare, parse_events(text));
        ours = MIN(ours, load(path));
    }
    g_unlink(path);
    double ratio = (double)ours / (double)bare;
    printf("load %7u guests, %6.1f MB: events %8.1f ms, load and check %8.1f ms, ratio %.2f "
           "(budget %.1f)\n",
           n_guests, (double)text->len / 1e6, (double)bare / 1e3, (double)ours / 1e3, ratio,
           BUDGET);
    g_string_free(text, TRUE);
    return (double)ours / n_guests;
}

static double
peak_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

int
main(int argc, char **argv)
{
    if (argc > 1) {
        measure((guint)strtoul(argv[1], NULL, 10), ROUNDS);
        return 0;
    }
    double small = measure(1000, ROUNDS);
    measure(10000, ROUNDS);
    printf("peak memory after 10,000 guests (two texts and the tree): %.0f MiB\n", peak_mib());
    double large = measure(100000, 1);
    printf("growth from 1,000 to 100,000 guests: %.2f times the time per guest (linear: 1)\n",
           large / small);
    return 0;
}
