#pragma once
#include "planner/driver.h"

#define KA_UNPACK_LIMIT_BYTES ((guint64)256 << 30)

typedef enum {
    KA_PACKING_NONE,
    KA_PACKING_XZ,
    KA_PACKING_GZ,
    KA_PACKING_ZST,
    KA_PACKING_BZ2,
} KaPacking;

/* How the file is compressed: as the ending of its name says (".xz"; name NULL: says nothing),
 * which its first bytes must confirm, else as these say. */
gboolean ka_packing_find(const char *path, const char *name, KaPacking *ret_packing, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Unpacks into to_fd, a regular file that is emptied first; zeros become holes. More than
 * limit_bytes (0: KA_UNPACK_LIMIT_BYTES), a cut or damaged file, anything behind it: INVALID, and
 * what was written is no whole file. */
gboolean ka_unpack(const char *path,
                   KaPacking packing,
                   int to_fd,
                   guint64 limit_bytes,
                   const KaAction *action,
                   const KaProgress *progress,
                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
