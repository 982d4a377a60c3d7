/* bench_growth: how load, diff and plan grow from 1,000 to 100,000 objects, and the memory of
 * planning 10,000 guests that are there. The host is a fake behind the planner's driver interface
 * (it has what the manifest declares): a libvirtd takes minutes to define as many. */
#include "planner/plan.h"
#include "tests/bench/bench.h"
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static gboolean
observe(G_GNUC_UNUSED KaHost *host,
        const KaWanted *wanted,
        KaFound found,
        gpointer data,
        G_GNUC_UNUSED GError **error)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, wanted->objects);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const KaObject *object = value;
        if (object->kind != wanted->kind)
            continue;
        KaActual *actual = ka_actual_new(object->name);
        actual->config = ka_tree_new();
        actual->config->root = ka_node_copy(actual->config, object->node);
        actual->record = ka_record_new(wanted->project, "uuid");
        found(actual, data);
    }
    return TRUE;
}

static void
connect_host(KaHost *host, G_GNUC_UNUSED guint timeout_seconds)
{
    host->memory_kib = G_MAXINT64;
}

static void
disconnect_host(G_GNUC_UNUSED KaHost *host)
{
}

static const KaDriver network = {.kind = "network", .observe = observe};
static const KaDriver pool = {.kind = "pool", .observe = observe};
static const KaDriver disk = {.kind = "disk", .observe = observe};
static const KaDriver guest = {.kind = "guest", .observe = observe};
static const KaDriver *const list[] = {&network, &pool, &disk, &guest};
static const KaDrivers drivers = {list, G_N_ELEMENTS(list), connect_host, disconnect_host};

typedef struct {
    double load, plan; /* processor seconds; plan: with the diff */
    double peak_mib;
} Growth;

static Growth
load_and_plan(const char *path)
{
    const char *const paths[] = {path, NULL};
    const KaPlanOptions options = {.timeout_seconds = 5};
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(GError) error = NULL;
    struct rusage usage;
    double start = bench_cpu();

    g_autoptr(KaManifest) manifest = ka_manifest_load(paths, "test:///default", diagnostics);
    if (!manifest)
        g_error("bench: the manifest doesn't load");
    double loaded = bench_cpu();
    g_autoptr(KaPlan) plan = ka_plan_new(manifest, &drivers, &options, &error);
    if (!plan || plan->n_change || plan->n_create)
        g_error("bench: %s", error ? error->message : "the plan isn't empty");
    double planned = bench_cpu();
    getrusage(RUSAGE_SELF, &usage);
    return (Growth){loaded - start, planned - loaded, (double)usage.ru_maxrss / 1024};
}

/* In a process of its own, so that one run's memory isn't another's. */
static Growth
measure(guint n_guests, const char *with_pool)
{
    g_autofree char *text = bench_manifest(n_guests, with_pool);
    g_autofree char *path = bench_write(text);
    Growth growth = {0};
    int ends[2];

    if (pipe(ends) < 0)
        g_error("bench: no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        growth = load_and_plan(path);
        _exit(write(ends[1], &growth, sizeof growth) == sizeof growth ? 0 : 1);
    }
    close(ends[1]);
    if (pid < 0 || read(ends[0], &growth, sizeof growth) != sizeof growth)
        g_error("bench: a measurement ended early");
    close(ends[0]);
    waitpid(pid, NULL, 0);
    g_unlink(path);
    return growth;
}

int
main(void)
{
    Growth small = {G_MAXDOUBLE, G_MAXDOUBLE, 0}, large;

    for (guint i = 0; i < 10; i++) { /* each guest has a disk: two objects */
        Growth growth = measure(500, "/bench");
        small.load = MIN(small.load, growth.load);
        small.plan = MIN(small.plan, growth.plan);
    }
    large = measure(50000, "/bench");
    bench_print("growth of load, 100 × the objects", large.load, 100 * small.load, "s", 1.3);
    bench_print("growth of diff and plan on a fake host, 100 × the objects", large.plan,
                100 * small.plan, "s", 1.3);
    bench_print("memory of planning 10,000 guests of a fake host / 100 MiB",
                measure(10000, NULL).peak_mib, 100, "MiB", 1);
    return bench_missed();
}
