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

/* Processor seconds of this process, and seconds that passed. */
double bench_cpu(void);
double bench_wall(void);

/* One side of a comparison. */
typedef struct {
    void (*work)(gpointer data);
    void (*undo)(gpointer data); /* after each, not measured; NULL: nothing */
    gpointer data;
    double (*clock)(void);
    double best; /* seconds; set by bench_pair */
} BenchSide;

/* Runs both n times, in turn, so that what else the machine does hits both. */
void bench_pair(guint n, BenchSide *ours, BenchSide *theirs);

typedef struct {
    double seconds;
    glong peak_kib; /* resident memory, at most */
    int status;     /* exit status */
} BenchRun;

/* Runs a program with its standard output thrown away, its errors shown. */
BenchRun bench_run(const char *const *argv);

/* "load 1,000 guests: 1.42 (1.50) pass   0.0068 / 0.0048 s"; counts what is missed. */
void bench_print(const char *name, double ours, double theirs, const char *unit, double budget);
void
bench_print_pair(const char *name, const BenchSide *ours, const BenchSide *theirs, double budget);
/* How many budgets were missed: a program's exit status. */
int bench_missed(void);
