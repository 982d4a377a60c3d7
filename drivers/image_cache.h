#pragma once
#include "drivers/image.h"

typedef enum {
    KA_CACHED_IMAGE,    /* built */
    KA_CACHED_DOWNLOAD, /* fetched */
    KA_CACHED_PARTIAL,  /* begun; nobody is at work on it */
} KaCachedKind;

/* One file of the cache. */
typedef struct {
    KaCachedKind kind;
    char *path;
    char *id;      /* an image's key, a download's SHA-256, a partial file's name */
    char *name;    /* of the image; NULL: not known */
    char *built;   /* when, as in RFC 3339; NULL: not known */
    guint64 size_bytes, used_bytes; /* as it looks; what it takes */
} KaCached;

/* All that is in the cache; images first, each by name and age. Owned KaCached. */
GPtrArray *ka_image_cache_list(void);
/* Removes it (an image with its records), unless another process has it under its hands: IN_USE. */
gboolean ka_image_cache_remove(const KaCached *cached, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Is it what the image is made from, or what was made of it, as it is declared now? */
gboolean ka_image_cache_belongs(const KaCached *cached, KaHost *host, const KaObject *image);
/* Copies a built image out of the cache, whole or not at all. */
gboolean ka_image_cache_export(const KaBuilt *built,
                               const char *path,
                               const KaAction *action,
                               const KaProgress *progress,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
