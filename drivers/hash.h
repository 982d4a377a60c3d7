#pragma once
#include <gio/gio.h>

/* SHA-256 and SHA-512 of one stream at once, by the processor's own instructions where it has them.
 */

#define KA_SHA256_HEX 64
#define KA_SHA512_HEX 128

typedef struct KaHash KaHash;
KaHash *ka_hash_new(gboolean with_sha512) G_GNUC_WARN_UNUSED_RESULT;
void ka_hash_free(KaHash *hash);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaHash, ka_hash_free)
void ka_hash_add(KaHash *hash, const void *data, gsize n_bytes);
/* In hex; once, nothing can be added afterwards. ret_sha512 (or NULL): NULL where it wasn't asked
 * for. Caller frees. */
void ka_hash_end(KaHash *hash, char **ret_sha256, char **ret_sha512);
