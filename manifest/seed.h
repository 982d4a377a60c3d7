#pragma once
#include "manifest/manifest.h"

/* What a guest's system reads when it first boots, made of the guest's `seed`. */

typedef struct {
    const char *path; /* static; in the ISO; "" of the only file of a seed that is none */
    const char *text; /* borrowed of the manifest's tree */
} KaSeedFile;

typedef struct {
    const char *label; /* static; of the ISO; NULL: it is none but one plain file (Ignition) */
    GArray *files;     /* owned; KaSeedFile */
    const char *pool;  /* borrowed */
    char *volume;      /* owned; with a digest of all that is in it: another seed, another volume */
} KaSeed;

/* Of a completed guest; NULL: it has none. */
KaSeed *ka_seed_new(const KaObject *guest);
void ka_seed_free(KaSeed *seed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaSeed, ka_seed_free)

/* The guest whose seed is in a volume of this name; NULL: it isn't one's. Caller frees. */
char *ka_seed_guest(const char *volume);

/* Turns the guest's seed into the texts that its system will read, and adds what hands it over: a
 * cdrom to the guest's disks or a file to its fw-cfg. */
void ka_seed_complete(KaManifest *manifest, KaObject *guest, KaDiagnostics *diagnostics);
