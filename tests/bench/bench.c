#include "tests/bench/bench.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int missed;

char *
bench_manifest(guint n, const char *pool)
{
    GString *text = g_string_new("project: bench\nguests:\n");

    for (guint i = 0; i < n; i++) {
        g_string_append_printf(text,
                               "  guest-%06u:\n"
                               "    title: Guest number %u\n"
                               "    vcpus: {current: 1, maximum: 4}\n"
                               "    memory: {current: 64MiB, maximum: 256MiB}\n"
                               "    state: off\n"
                               "    nics:\n"
                               "      lan: {network: lan}\n",
                               i, i);
        if (pool)
            g_string_append_printf(text, "    disks:\n      vda: {disk: disk-%06u}\n", i);
    }
    g_string_append(text, "networks:\n"
                          "  lan: {forward: nat, address: 192.168.77.1/24}\n");
    if (pool) {
        g_string_append_printf(text, "pools:\n  bench: {type: dir, path: %s}\ndisks:\n", pool);
        for (guint i = 0; i < n; i++)
            g_string_append_printf(text, "  disk-%06u: {pool: bench, size: 1MiB, format: raw}\n",
                                   i);
    }
    return g_string_free(text, FALSE);
}

char *
bench_write(const char *text)
{
    g_autoptr(GError) error = NULL;
    char *path = NULL;
    int file = g_file_open_tmp("bench-XXXXXX.yaml", &path, &error);

    if (file < 0)
        g_error("%s", error->message);
    close(file);
    if (!g_file_set_contents(path, text, -1, &error))
        g_error("%s", error->message);
    return path;
}

static double
seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / G_USEC_PER_SEC;
}

double
bench_cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double
bench_wall(void)
{
    return (double)g_get_monotonic_time() / G_USEC_PER_SEC;
}

void
bench_pair(guint n, BenchSide *ours, BenchSide *theirs)
{
    BenchSide *const sides[] = {ours, theirs};

    ours->best = theirs->best = G_MAXDOUBLE;
    for (guint i = 0; i < 2 * n; i++) {
        BenchSide *side = sides[i % 2];
        double start = side->clock();
        side->work(side->data);
        side->best = MIN(side->best, side->clock() - start);
        if (side->undo)
            side->undo(side->data);
    }
}

BenchRun
bench_run(const char *const *argv)
{
    BenchRun run = {0};
    struct rusage usage;
    int status;
    gint64 start = g_get_monotonic_time();
    pid_t pid = fork();

    if (pid < 0)
        g_error("fork: %s", g_strerror(errno));
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        execv(argv[0], (char *const *)(gpointer)(guintptr)argv);
        _exit(127);
    }
    if (wait4(pid, &status, 0, &usage) < 0)
        g_error("wait4: %s", g_strerror(errno));
    run.seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
    run.peak_kib = usage.ru_maxrss;
    run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return run;
}

void
bench_print(const char *name, double ours, double theirs, const char *unit, double budget)
{
    double ratio = ours / theirs;
    gboolean met = ratio <= budget;

    printf("%s: %.2f (%.2f) %s   %.4g / %.4g %s\n", name, ratio, budget, met ? "pass" : "MISSED",
           ours, theirs, unit);
    fflush(stdout);
    if (!met)
        missed++;
}

void
bench_print_pair(const char *name, const BenchSide *ours, const BenchSide *theirs, double budget)
{
    bench_print(name, ours->best, theirs->best, "s", budget);
}

int
bench_missed(void)
{
    return missed;
}
