#pragma once
#include "drivers/image.h"

/* What the files about an image's source share. */

/* A sort of source; which one a manifest names is checked when it is loaded. */
typedef struct {
    const char *key;
    char *(*identity)(KaHost *host, const KaObject *image, GError **error);
    gboolean (*assess)(KaHost *host, KaAction *action, GError **error);
    /* source->path is where something may be written, and becomes where the source lies. */
    gboolean (*open)(KaHost *host,
                     const KaObject *image,
                     KaAction *action,
                     const KaProgress *progress,
                     KaImageSource *source,
                     GError **error);
} KaSourceSort;

/* image_source.c: its path as a file anew, which goes with it; -1 with an error. Caller closes. */
int ka_image_source_create(KaImageSource *source, GError **error);

/* image_capture.c */
extern const KaSourceSort ka_source_volume, ka_source_guest;

/* What the manifest says of the source; NULL: nothing. */
static inline const char *
ka_source_said(const KaObject *image, const char *key)
{
    return ka_node_text(ka_node_get(image->node, "source"), key);
}

/* image_base.c: held while something is made of a base, or it is removed. */
KaMarker *ka_base_lock(virStoragePoolPtr pool,
                       const char *pool_type,
                       const KaAction *action,
                       const char *name,
                       const KaProgress *progress,
                       GError **error);
