#pragma once
#include "drivers/document.h"
#include "drivers/link.h"

/* What the files about pools and volumes share. */

#define KA_MARKER_SUFFIX ".kvmapply-partial"

/* volume.c: the host's volumes as they are known (KaLink). */
/* Reads one active pool's volumes into the index, in one call where its keys are paths. */
gboolean
ka_volumes_index(KaHost *host, virStoragePoolPtr pool, const char *pool_type, GError **error);
void ka_volume_note(KaHost *host, const char *pool, const char *name, const char *path);
void ka_volume_forget(KaHost *host, const char *pool, const char *name);
