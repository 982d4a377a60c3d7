#include "drivers/hash.h"
#include "drivers/cache.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <unistd.h>

/* A digest costs as much as receiving does. Reading the file again, from memory, is cheaper than
 * handing the bytes to another processor. */
#define CHUNK_BYTES (256 * 1024)
#define TELL_MS 100

struct KaHash {
    int fd;                          /* borrowed */
    gnutls_hash_hd_t sha256, sha512; /* owned; sha512 NULL: isn't asked for */
    GThread *thread;                 /* owned */
    GMutex lock;
    GCond is_wanted, is_through_cond;
    guint64 size_bytes, done_bytes;
    gboolean is_last;    /* the size is final */
    gboolean is_stopped; /* nobody wants it any more */
    gboolean is_through;
    int failure; /* errno */
};

static gssize
read_at(int fd, void *buffer, gsize n_bytes, guint64 offset)
{
    gssize n = 0;

    do
        n = pread(fd, buffer, n_bytes, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n;
}

/* How many bytes to read next; 0: the end. Waits for as much as is worth it. */
static gsize
await_chunk(KaHash *hash)
{
    while (!hash->is_stopped && !hash->is_last && hash->failure == 0 &&
           hash->size_bytes - hash->done_bytes < CHUNK_BYTES)
        g_cond_wait(&hash->is_wanted, &hash->lock);
    if (hash->is_stopped || hash->failure)
        return 0;
    return (gsize)MIN(hash->size_bytes - hash->done_bytes, (guint64)CHUNK_BYTES);
}

static gpointer
work(gpointer data)
{
    KaHash *hash = data;
    g_autofree guint8 *buffer = g_malloc(CHUNK_BYTES);
    gsize want = 0;

    g_mutex_lock(&hash->lock);
    while ((want = await_chunk(hash)) > 0) {
        guint64 at = hash->done_bytes;

        g_mutex_unlock(&hash->lock);
        gssize n = read_at(hash->fd, buffer, want, at);
        int code = n < 0 ? errno : n == 0 ? EIO : 0; /* 0: it became shorter */
        if (n > 0) {
            gnutls_hash(hash->sha256, buffer, (gsize)n);
            if (hash->sha512)
                gnutls_hash(hash->sha512, buffer, (gsize)n);
        }
        g_mutex_lock(&hash->lock);
        hash->failure = code;
        hash->done_bytes += (guint64)MAX(n, 0);
    }
    hash->is_through = TRUE;
    g_cond_signal(&hash->is_through_cond);
    g_mutex_unlock(&hash->lock);
    return NULL;
}

KaHash *
ka_hash_new(int fd, gboolean with_sha512)
{
    KaHash *hash = g_new0(KaHash, 1);

    if (gnutls_hash_init(&hash->sha256, GNUTLS_DIG_SHA256) < 0 ||
        (with_sha512 && gnutls_hash_init(&hash->sha512, GNUTLS_DIG_SHA512) < 0))
        g_error("GnuTLS has no SHA-256 or SHA-512");
    hash->fd = fd;
    g_mutex_init(&hash->lock);
    g_cond_init(&hash->is_wanted);
    g_cond_init(&hash->is_through_cond);
    hash->thread = g_thread_new("hash", work, hash);
    return hash;
}

void
ka_hash_reach(KaHash *hash, guint64 size_bytes)
{
    g_mutex_lock(&hash->lock);
    hash->size_bytes = size_bytes;
    if (size_bytes - hash->done_bytes >= CHUNK_BYTES)
        g_cond_signal(&hash->is_wanted);
    g_mutex_unlock(&hash->lock);
}

static char *
to_hex(gnutls_hash_hd_t digest, guint n_bytes)
{
    guint8 bytes[KA_SHA512_HEX / 2];
    GString *text = g_string_new(NULL);

    gnutls_hash_output(digest, bytes);
    for (guint i = 0; i < n_bytes; i++)
        g_string_append_printf(text, "%02x", bytes[i]);
    return g_string_free(text, FALSE);
}

/* FALSE with an error only when cancelled. */
static gboolean
await_end(KaHash *hash, const KaAction *action, const KaProgress *progress, GError **error)
{
    gboolean goes_on = TRUE;

    g_mutex_lock(&hash->lock);
    hash->is_last = TRUE;
    g_cond_signal(&hash->is_wanted);
    while (!hash->is_through && goes_on) {
        guint64 done = hash->done_bytes, size = hash->size_bytes;

        if (g_cond_wait_until(&hash->is_through_cond, &hash->lock,
                              g_get_monotonic_time() + TELL_MS * G_TIME_SPAN_MILLISECOND))
            continue;
        g_mutex_unlock(&hash->lock);
        ka_progress_step(progress, action, "verifies", done, size, "B");
        goes_on = ka_may_go_on(progress, "the verification", error);
        g_mutex_lock(&hash->lock);
    }
    g_mutex_unlock(&hash->lock);
    return goes_on;
}

gboolean
ka_hash_end(KaHash *hash,
            const KaAction *action,
            const KaProgress *progress,
            char **ret_sha256,
            char **ret_sha512,
            GError **error)
{
    if (!await_end(hash, action, progress, error))
        return FALSE;
    if (hash->failure) {
        errno = hash->failure;
        return ka_file_error(error, "read", "what is to be verified");
    }
    *ret_sha256 = to_hex(hash->sha256, KA_SHA256_HEX / 2);
    if (ret_sha512)
        *ret_sha512 = hash->sha512 ? to_hex(hash->sha512, KA_SHA512_HEX / 2) : NULL;
    return TRUE;
}

void
ka_hash_free(KaHash *hash)
{
    if (hash == NULL)
        return;
    g_mutex_lock(&hash->lock);
    hash->is_stopped = TRUE;
    g_cond_signal(&hash->is_wanted);
    g_mutex_unlock(&hash->lock);
    g_thread_join(hash->thread);
    gnutls_hash_deinit(hash->sha256, NULL);
    if (hash->sha512)
        gnutls_hash_deinit(hash->sha512, NULL);
    g_cond_clear(&hash->is_wanted);
    g_cond_clear(&hash->is_through_cond);
    g_mutex_clear(&hash->lock);
    g_free(hash);
}
