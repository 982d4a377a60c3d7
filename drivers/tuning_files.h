#pragma once
#include "drivers/host_files.h"

/* The files by which a host comes up tuned again: sysctl.d, tmpfiles.d, modprobe.d, udev rules.
 * Each setting stands in one of them as the line that the tool reads, below a comment that is its
 * record: the manifest's field, what was there before, and what the kernel made of the value. */

typedef struct {
    char *field; /* "ksm.sleep" */
    char *path;  /* the kernel's file, or a pattern */
    char *value; /* as it is written there */
    char *was;   /* before kvmapply set it; NULL: it couldn't be told */
    char *got;   /* what the kernel made of it where that is something else; else NULL */
    char *older; /* the value recorded before this apply, in case it fails; not in the files */
} KaTuned;

void ka_tuned_free(KaTuned *tuned);

/* All settings of one host. */
typedef struct {
    char *project;        /* owned; NULL: nobody's */
    GHashTable *by_field; /* owned; borrowed field → owned KaTuned */
} KaTunings;

KaTunings *ka_tunings_new(void);
void ka_tunings_free(KaTunings *tunings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaTunings, ka_tunings_free)

/* Adds the paths of the files themselves. */
void ka_tunings_patterns(GPtrArray *patterns);
/* Takes up what one of the files says; one that isn't ours, or a line that was changed by hand,
 * says nothing. */
void ka_tunings_read(KaTunings *tunings, const KaHostFile *file);
/* The writes (owned KaHostWrite) that make the files say so; removals where nothing is left. */
GPtrArray *ka_tunings_write(const KaTunings *tunings);
