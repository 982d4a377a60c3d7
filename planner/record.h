#pragma once
#include <glib.h>

/* What must be remembered of an object, kept on the object itself (metadata of guests and
 * networks). */
typedef struct {
    char *project;
    char *uuid; /* of the object it was written for: a stale copy doesn't count */
    gboolean protect;
    GHashTable *owned;  /* owned path → owned text (of xml fragments, or KA_RECORD_WAITING) or NULL */
    GPtrArray *volumes; /* owned "POOL/VOLUME" strings: whose guest this is owns these */
    GHashTable *protected_volumes; /* owned set of "POOL/VOLUME": never removed or replaced */
} KaRecord;

/* Of a path that was released and defined so: it is ours only until the running object follows. */
#define KA_RECORD_WAITING "waiting"

KaRecord *ka_record_new(const char *project, const char *uuid);
void ka_record_free(KaRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaRecord, ka_record_free)
