#pragma once
#include "drivers/storage.h"

/* What says of a volume that it isn't whole yet: a small volume beside it that begins with a text
 * or, in a pool that can't hold such a thing (a partition's name is given by libvirt), a libvirt
 * secret of usage "kvmapply-partial:POOL/NAME". libvirt gives either to one client only. It carries
 * a beat, a number that its owner raises, and the project that makes the volume. */
typedef struct KaHalf KaHalf;

/* What the volume of this name marks; NULL: it is no mark. Caller frees. */
char *ka_half_volume(const char *name);
/* What the pool's marks that aren't volumes of it mark. Freed with g_strfreev. */
char **ka_halves_beside(virStoragePoolPtr pool, const char *pool_type);
/* The mark of a volume that isn't whole; NULL with an error, or without one: it has a mark already.
 */
KaHalf *ka_half_make(virStoragePoolPtr pool,
                     const char *pool_type,
                     const char *volume,
                     const char *project,
                     guint64 beat,
                     GError **error);
/* NULL: there is none. */
KaHalf *ka_half_find(virStoragePoolPtr pool, const char *pool_type, const char *volume);
/* 0: it is gone, or can't be read. */
guint64 ka_half_read(const KaHalf *mark);
gboolean ka_half_write(KaHalf *mark, guint64 beat);
/* Puts the project where that takes long enough to matter (see ka_half_project). */
void ka_half_sign(KaHalf *mark, const char *project);
/* Whose run left it; NULL: unsaid, since what it marks is made in one call. Caller frees. */
char *ka_half_project(const KaHalf *mark);
void ka_half_remove(KaHalf *mark);
void ka_half_free(KaHalf *mark);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaHalf, ka_half_free)
