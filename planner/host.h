#pragma once
#include "manifest/manifest.h"

/* A host of the manifest, and the line to it. */
typedef struct {
    const KaObject *object; /* borrowed */
    const char *name;       /* borrowed */
    const char *uri;        /* borrowed; what to connect to; NULL: libvirt's own default */
    char *real_uri;         /* owned; what libvirt says it connected to; NULL before */
    uint64_t memory_kib;    /* its RAM; 0: not known */
    gboolean offline;       /* known to be down: nothing is asked of it */
    GError *error;          /* owned; why it can't be reached; NULL: it can */
    GPtrArray *warnings;    /* owned char *; what a plan should say of the host */
    gpointer link;          /* the drivers' own (KaLink): connection and what was seen */
} KaHost;
