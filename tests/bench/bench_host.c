/* bench_host KVMAPPLY URI GUESTS: planning and creating on a libvirtd against the bare calls that
 * nobody can do without, and the memory of a plan. The host must be empty; it is left empty. */
#include "tests/bench/bench.h"
#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

typedef struct {
    const char *binary;
    const char *uri;
    char *path;     /* owned; the manifest */
    GPtrArray *xml; /* owned char * */
} Bench;

/* What a plan has to know, asked for in the plain way: connect, list, one XML after the other. */
static void
fetch_bare(gpointer data)
{
    Bench *bench = data;
    virConnectPtr conn = virConnectOpen(bench->uri);
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);

    g_ptr_array_set_size(bench->xml, 0);
    for (int i = 0; i < n; i++) {
        g_ptr_array_add(bench->xml, virDomainGetXMLDesc(domains[i], VIR_DOMAIN_XML_INACTIVE));
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(conn);
}

static void
define_bare(gpointer data)
{
    Bench *bench = data;
    virConnectPtr conn = virConnectOpen(bench->uri);

    for (guint i = 0; i < bench->xml->len; i++) {
        virDomainPtr domain = virDomainDefineXML(conn, g_ptr_array_index(bench->xml, i));
        if (!domain)
            g_error("bench: %s", virGetLastErrorMessage());
        virDomainFree(domain);
    }
    virConnectClose(conn);
}

static void
undefine_all(gpointer data)
{
    Bench *bench = data;
    virConnectPtr conn = virConnectOpen(bench->uri);
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);

    for (int i = 0; i < n; i++) {
        virDomainUndefine(domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(conn);
}

static BenchRun
kvmapply(const Bench *bench, const char *command, const char *option)
{
    const char *const argv[] = {bench->binary, "-q",        "-c",   bench->uri,
                                command,       bench->path, option, NULL};
    BenchRun run = bench_run(argv);

    if (run.status != 0)
        g_error("bench: kvmapply %s ended with %d", command, run.status);
    return run;
}

static void
plan(gpointer data)
{
    kvmapply(data, "plan", NULL);
}

static void
apply(gpointer data)
{
    kvmapply(data, "apply", "--yes");
}

static void
measure_plan(Bench *bench, guint n)
{
    g_autofree char *name = g_strdup_printf("plan %u unchanged guests / bare serial fetch", n);
    BenchSide ours = {plan, NULL, bench, bench_wall, 0};
    BenchSide bare = {fetch_bare, NULL, bench, bench_wall, 0};

    bench_pair(5, &ours, &bare);
    bench_print_pair(name, &ours, &bare, 0.6);
}

static void
measure_create(Bench *bench, guint n)
{
    g_autofree char *name = g_strdup_printf("create %u guests / bare virDomainDefineXML", n);
    BenchSide ours = {apply, undefine_all, bench, bench_wall, 0};
    BenchSide bare = {define_bare, undefine_all, bench, bench_wall, 0};

    bench_pair(3, &ours, &bare);
    bench_print_pair(name, &ours, &bare, 1.2);
}

int
main(int argc, char **argv)
{
    guint n_create = 500, n = argc > 3 ? (guint)atoi(argv[3]) : 1000;

    if (argc < 3)
        g_error("usage: bench_host KVMAPPLY URI [GUESTS]");
    Bench bench = {.binary = argv[1], .uri = argv[2]};
    bench.xml = g_ptr_array_new_with_free_func(free);
    for (guint i = 0; i < 2; i++) {
        guint guests = i ? n_create : n;
        g_autofree char *text = bench_manifest(guests, NULL);
        bench.path = bench_write(text);
        apply(&bench);
        if (i == 0)
            measure_plan(&bench, guests);
        fetch_bare(&bench);
        long peak_kib = kvmapply(&bench, "plan", NULL).peak_kib;
        undefine_all(&bench);
        if (i == 1)
            measure_create(&bench, guests);
        else if (n >= 10000) /* A process has some MiB before it reads anything. */
            bench_print("memory of that plan / 100 MiB", (double)peak_kib / 1024, 100, "MiB", 1);
        g_unlink(bench.path);
        g_free(bench.path);
    }
    g_ptr_array_unref(bench.xml);
    return bench_missed();
}
