#pragma once
#include "drivers/link.h"
#include "drivers/tuning_files.h"

/* What a host's kernel has and what its files say of the fields of its table. */

typedef struct {
    char *name; /* "ksm.sleep" */
    char *path; /* the kernel's file, or a pattern */
    const KaField *row;
    const KaNode *node; /* declared; NULL: only recorded */
} KaTuningField;

typedef struct {
    KaTunings *tunings; /* owned */
    GPtrArray *files;   /* owned KaHostFile, as read */
    GPtrArray *fields;  /* owned KaTuningField: what is declared or recorded */
} KaTuningState;

/* Reads all in one round trip. NULL with an error where the host can't be reached. */
KaTuningState *ka_tuning_state_read(KaHost *host, const KaObject *object, GError **error);
void ka_tuning_state_free(KaTuningState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaTuningState, ka_tuning_state_free)

/* Is the path one of the field's, as the shell would match: a '*' doesn't reach over a '/'. */
gboolean ka_tuning_matches(const KaTuningField *field, const char *path);
/* What the kernel's files have, canonical: one value where they agree, else all; NULL: there are
 * none. Caller frees. */
char *ka_tuning_running(const KaTuningState *state, const KaTuningField *field);
/* The kernel's text of a canonical value, and back ("always [madvise] never" is madvise). Caller
 * frees. */
char *ka_tuning_to_kernel(const KaField *row, const char *canonical);
char *ka_tuning_from_kernel(const KaField *row, const char *text);
