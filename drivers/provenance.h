#pragma once
#include "drivers/image.h"

/* What a built image was made of, for those who get it. */
typedef struct {
    const KaObject *image;       /* borrowed; the recipe */
    const KaImageSource *source; /* borrowed */
    const char *key;             /* borrowed */
    char *system;                /* owned; "Debian GNU/Linux 12 (bookworm)"; NULL: it wasn't opened */
    char *system_id;             /* owned; "debian" */
    char *packages;              /* owned; lines as ka_manager_list gives them; NULL: not known */
    const char *purl;            /* static; NULL: not known */
    GPtrArray *scrubbed;         /* owned char *, operations that found something; NULL: none ran */
    GPtrArray *warnings;         /* owned char *; of the appliance */
} KaProvenance;
void ka_provenance_clear(KaProvenance *provenance);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(KaProvenance, ka_provenance_clear)

/* The record as JSON: source, digests, recipe (no secrets), system. Caller frees. */
char *ka_provenance_format(const KaProvenance *provenance);
/* The packages as SPDX 2.3 in JSON. Caller frees. */
char *ka_provenance_spdx(const KaProvenance *provenance);
