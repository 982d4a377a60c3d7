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
undefine_all(Bench *bench)
{
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

int
main(int argc, char **argv)
{
    guint n = argc > 3 ? (guint)atoi(argv[3]) : 500;
    g_autofree char *text = bench_manifest(n, NULL);
    g_autofree char *what = g_strdup_printf("create %u guests / bare virDomainDefineXML", n);
    g_autofree char *idle = g_strdup_printf("plan %u unchanged guests / bare serial fetch", n);
    const char *peak = "memory of that plan / 100 MiB per 10,000 guests";
    Bench bench = {.binary = argv[1], .uri = argv[2]};
    BenchRun create, planned;
    double fetched;

    if (argc < 3)
        g_error("usage: bench_host KVMAPPLY URI [GUESTS]");
    bench.path = bench_write(text);
    bench.xml = g_ptr_array_new_with_free_func(free);
    create = kvmapply(&bench, "apply", "--yes");
    fetched = bench_best(5, fetch_bare, &bench);
    bench_print(idle, bench_best(5, plan, &bench), fetched, "s", 0.6);
    planned = kvmapply(&bench, "plan", NULL);
    undefine_all(&bench);
    bench_print(what, create.seconds, bench_best(1, define_bare, &bench), "s", 1.2);
    /* A process has some MiB before it reads anything: small numbers of guests can't be held to it.
     */
    bench_print(peak, (double)planned.peak_kib / 1024, 100.0 * n / 10000, "MiB",
                n >= 10000 ? 1 : 0);
    undefine_all(&bench);
    g_unlink(bench.path);
    g_free(bench.path);
    g_ptr_array_unref(bench.xml);
    return bench_missed();
}
