#pragma once
#include "drivers/recipe.h"
#include "drivers/storage.h"

/* What the files about images share. */

/* --- image_source.c: what an image is made from --- */

/* A source at hand: a local file that is only read. */
typedef struct {
    char *path;
    char *format;
    char *identity;     /* "sha256:…", "sha512:…" or "volume:…" */
    char *place;        /* as a reader may see it: a URL without password, a path, host/pool/volume */
    char *sha256;       /* of the file as served; NULL: not known */
    gboolean temporary; /* it goes with this */
} KaImageSource;
void ka_image_source_free(KaImageSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaImageSource, ka_image_source_free)

/* What tells this source from others, without fetching anything. host: whose connection may be
 * used for a volume, or NULL. NULL without an error: only known once it was fetched. */
char *ka_image_source_identity(KaHost *host, const KaObject *image, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* TRUE: nothing has to be brought here first. */
gboolean ka_image_source_is_here(const KaObject *image);
/* SHA-256 of a URL's file that is in the cache; NULL: it isn't. Caller frees. */
char *ka_image_source_cached(const KaObject *image);
/* Errors that are seen without fetching; sets words of action (a guest must be stopped). */
gboolean ka_image_source_assess(KaHost *host, KaAction *action, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Fetches a URL into the cache; the others need nothing. After it the identity is known. */
gboolean ka_image_source_fetch(const KaObject *image,
                               KaAction *action,
                               const KaProgress *progress,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Brings it here, unpacked and checked: nothing in it names other files. scratch: a path for what
 * must be written, which goes with the source. */
KaImageSource *ka_image_source_open(KaHost *host,
                                    const KaObject *image,
                                    const char *scratch,
                                    KaAction *action,
                                    const KaProgress *progress,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- build.c --- */

typedef struct {
    char *key;
    char *path; /* in the cache; to be read only */
    gboolean cached; /* nothing was done */
} KaBuilt;
void ka_built_free(KaBuilt *built);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaBuilt, ka_built_free)

/* The built image of this key in the cache. Caller frees. */
char *ka_built_path(const KaObject *image, const char *key) G_GNUC_WARN_UNUSED_RESULT;
/* Builds what isn't in the cache. Safe from several threads and processes. */
KaBuilt *ka_image_build(KaHost *host,
                        const KaObject *image,
                        KaAction *action,
                        const KaProgress *progress,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What is seen of a recipe before anything is done. */
gboolean ka_image_build_assess(const KaObject *image, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- image_base.c: a built image as a volume that disks are made from --- */

#define KA_BASE_PREFIX "kvmapply-image-"

/* "kvmapply-image-NAME-KEY12". Caller frees. */
char *ka_base_name(const KaObject *image, const char *key);
/* The key of the image as declared now, kept for the host's life; NULL: not known before it is
 * fetched, or can't be told. Borrowed. */
const char *ka_base_key(KaHost *host, const KaObject *image);
/* What a build found it to be. */
void ka_base_set_key(KaHost *host, const KaObject *image, const char *key);
/* Whole, as it was last seen. */
gboolean ka_base_is_there(KaHost *host, const char *pool, const char *name);
/* Uploads the built image to the pool, once. */
gboolean ka_base_put(KaHost *host,
                     const KaAction *action,
                     const char *pool_name,
                     const KaBuilt *built,
                     const KaProgress *progress,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What of a disk that stands on another build than the current one should be said; NULL: nothing.
 * backing: the path of its base. Caller frees. */
char *ka_base_remark(KaHost *host, const KaObject *disk, const char *backing);

/* A base while something is made of it: nobody prunes it. */
typedef struct {
    virStorageVolPtr volume;
    char *path, *format;
    guint64 capacity_bytes;
    KaMarker *lock;
} KaBase;
KaBase *ka_base_open(KaHost *host,
                     const KaAction *action,
                     const char *pool_name,
                     const KaObject *image,
                     const KaProgress *progress,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
void ka_base_close(KaBase *base);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaBase, ka_base_close)
/* Where a base lies. */
typedef struct {
    char *pool, *name;
} KaBasePlace;
/* Every base in the host's active pools, as they are now. Owned KaBasePlace. */
GPtrArray *ka_base_list(KaHost *host, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Removes a base that nothing uses; ret_removed FALSE: something does, as ret_why says. dry_run:
 * removes nothing. */
gboolean ka_base_prune(KaHost *host,
                       const KaAction *action,
                       const KaBasePlace *place,
                       gboolean dry_run,
                       const KaProgress *progress,
                       gboolean *ret_removed,
                       char **ret_why,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The image that a disk is declared to be made from; NULL: none. Borrowed. */
const KaObject *ka_disk_image(const KaObject *disk);
/* May the disk be a thin clone in a pool of this type, and is it to be? */
gboolean ka_disk_is_linked(const KaObject *disk, const char *pool_type);
