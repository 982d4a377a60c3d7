#include "drivers/hash.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

/* A digest costs as much as receiving does: it has a thread of its own, a few blocks behind. */
#define BLOCK_BYTES (256 * 1024)
#define N_BLOCKS 8

typedef struct {
    gsize n_bytes; /* 0: the end */
    guint8 data[BLOCK_BYTES];
} Block;

struct KaHash {
    gnutls_hash_hd_t sha256, sha512; /* owned; sha512 NULL: isn't asked for */
    GThread *thread;                 /* NULL: through */
    GAsyncQueue *full, *empty;       /* owned Block */
    Block *filling;                  /* owned */
};

static gpointer
work(gpointer data)
{
    KaHash *hash = data;

    for (;;) {
        Block *block = g_async_queue_pop(hash->full);
        gsize n_bytes = block->n_bytes;

        if (n_bytes > 0) {
            gnutls_hash(hash->sha256, block->data, n_bytes);
            if (hash->sha512)
                gnutls_hash(hash->sha512, block->data, n_bytes);
        }
        block->n_bytes = 0;
        g_async_queue_push(hash->empty, block);
        if (n_bytes == 0)
            return NULL;
    }
}

KaHash *
ka_hash_new(gboolean with_sha512)
{
    KaHash *hash = g_new0(KaHash, 1);

    if (gnutls_hash_init(&hash->sha256, GNUTLS_DIG_SHA256) < 0 ||
        (with_sha512 && gnutls_hash_init(&hash->sha512, GNUTLS_DIG_SHA512) < 0))
        g_error("GnuTLS has no SHA-256 or SHA-512");
    hash->full = g_async_queue_new_full(g_free);
    hash->empty = g_async_queue_new_full(g_free);
    for (guint i = 0; i < N_BLOCKS; i++)
        g_async_queue_push(hash->empty, g_new0(Block, 1));
    hash->filling = g_async_queue_pop(hash->empty);
    hash->thread = g_thread_new("hash", work, hash);
    return hash;
}

static void
hand_over(KaHash *hash)
{
    g_async_queue_push(hash->full, hash->filling);
    hash->filling = g_async_queue_pop(hash->empty);
}

void
ka_hash_add(KaHash *hash, const void *data, gsize n_bytes)
{
    const guint8 *from = data;

    while (n_bytes > 0) {
        Block *block = hash->filling;
        gsize n = MIN(n_bytes, BLOCK_BYTES - block->n_bytes);

        memcpy(block->data + block->n_bytes, from, n);
        block->n_bytes += n;
        from += n;
        n_bytes -= n;
        if (block->n_bytes == BLOCK_BYTES)
            hand_over(hash);
    }
}

static void
finish(KaHash *hash)
{
    if (hash->filling->n_bytes > 0)
        hand_over(hash);
    hand_over(hash);
    g_thread_join(g_steal_pointer(&hash->thread));
}

static char *
to_hex(gnutls_hash_hd_t digest, guint n_bytes)
{
    guint8 bytes[64];
    GString *text = g_string_new(NULL);

    gnutls_hash_output(digest, bytes);
    for (guint i = 0; i < n_bytes; i++)
        g_string_append_printf(text, "%02x", bytes[i]);
    return g_string_free(text, FALSE);
}

void
ka_hash_end(KaHash *hash, char **ret_sha256, char **ret_sha512)
{
    finish(hash);
    *ret_sha256 = to_hex(hash->sha256, KA_SHA256_HEX / 2);
    if (ret_sha512)
        *ret_sha512 = hash->sha512 ? to_hex(hash->sha512, KA_SHA512_HEX / 2) : NULL;
}

void
ka_hash_free(KaHash *hash)
{
    if (hash == NULL)
        return;
    if (hash->thread)
        finish(hash);
    gnutls_hash_deinit(hash->sha256, NULL);
    if (hash->sha512)
        gnutls_hash_deinit(hash->sha512, NULL);
    g_async_queue_unref(hash->full);
    g_async_queue_unref(hash->empty);
    g_free(hash->filling);
    g_free(hash);
}
