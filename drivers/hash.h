#pragma once
#include "planner/driver.h"

/* SHA-256 and SHA-512 of a file that may still grow, read behind its writer by a thread of its own,
 * with the processor's own instructions where it has them. */

#define KA_SHA256_HEX 64
#define KA_SHA512_HEX 128

typedef struct KaHash KaHash;
/* fd: borrowed, readable; its position isn't touched. */
KaHash *ka_hash_new(int fd, gboolean with_sha512) G_GNUC_WARN_UNUSED_RESULT;
/* Ends at once, whatever is left to read. */
void ka_hash_free(KaHash *hash);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaHash, ka_hash_free)
/* The file has that many bytes which won't change any more. Doesn't wait. */
void ka_hash_reach(KaHash *hash, guint64 size_bytes);
/* Waits until all of it is read; in hex, ret_sha512 (or NULL) is NULL where it wasn't asked for.
 * Once. Caller frees. */
gboolean ka_hash_end(KaHash *hash,
                     const KaAction *action,
                     const KaProgress *progress,
                     char **ret_sha256,
                     char **ret_sha512,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
