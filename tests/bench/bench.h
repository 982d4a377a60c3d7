#pragma once
#include <glib.h>
#include <stdint.h>

/* What every measurement shares: a manifest of many guests, clocks, programs, and how a ratio is
 * printed. */

/* A manifest of n guests, each with a disk of its own in pool `pool` (NULL: without disks). Caller
 * frees. */
char *bench_manifest(guint n, const char *pool);

/* Writes text to a new temporary file NAME-XXXXXX.yaml; the caller unlinks and frees. */
char *bench_write(const char *text);

/* Seconds that work(data) takes; the best of n runs. */
double bench_best(guint n, void (*work)(gpointer data), gpointer data);

typedef struct {
    double seconds;
    glong peak_kib; /* resident memory, at most */
    int status;     /* exit status */
} BenchRun;

/* Runs a program with its standard output thrown away, its errors shown. */
BenchRun bench_run(const char *const *argv);

/* "plan of 1000 guests   0.312 s / 0.601 s = 0.52   at most 0.60   met"; counts what is not met.
 * budget 0: only printed. */
void bench_print(const char *what, double ours, double theirs, const char *unit, double budget);
/* How many budgets were missed: a program's exit status. */
int bench_missed(void);
