#include "drivers/fetch_part.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP "partial"
/* The disk begins early, or the last fsync would take as long as all the rest. */
#define FLUSH_BYTES (32 << 20)

void
ka_validator_clear(KaValidator *validator)
{
    g_clear_pointer(&validator->etag, g_free);
    g_clear_pointer(&validator->modified, g_free);
}

static char *
read_boot_id(void)
{
    char *id = NULL;

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &id, NULL, NULL))
        return g_strdup("");
    return g_strchomp(id);
}

static void
read_from(KaPartial *partial, gboolean is_checked)
{
    g_autoptr(GKeyFile) from = g_key_file_new();
    g_autofree char *boot_id = read_boot_id();

    if (!g_key_file_load_from_file(from, partial->from_path, G_KEY_FILE_NONE, NULL))
        return;
    g_autofree char *then = g_key_file_get_string(from, GROUP, "boot-id", NULL);
    if (!is_checked && g_strcmp0(then, boot_id) != 0)
        return;
    partial->url_digest = g_key_file_get_string(from, GROUP, "url", NULL);
    partial->validator.etag = g_key_file_get_string(from, GROUP, "etag", NULL);
    partial->validator.modified = g_key_file_get_string(from, GROUP, "last-modified", NULL);
    partial->total_bytes = g_key_file_get_uint64(from, GROUP, "total", NULL);
}

KaPartial *
ka_partial_open(const char *name, gboolean with_sha512, gboolean is_checked, GError **error)
{
    g_autoptr(KaPartial) partial = g_new0(KaPartial, 1);
    struct stat status;

    partial->path = ka_cache_path(KA_CACHE_PARTIAL, name);
    partial->from_path = g_strconcat(partial->path, ".from", NULL);
    partial->with_sha512 = with_sha512;
    partial->fd = open(partial->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (partial->fd < 0 || fstat(partial->fd, &status) < 0) {
        ka_file_error(error, "open", partial->path);
        return NULL;
    }
    partial->size_bytes = (guint64)status.st_size;
    partial->resumed = partial->size_bytes > 0;
    read_from(partial, is_checked);
    partial->hash = ka_hash_new(partial->fd, with_sha512);
    return g_steal_pointer(&partial);
}

void
ka_partial_free(KaPartial *partial)
{
    if (partial == NULL)
        return;
    ka_hash_free(partial->hash); /* it reads fd */
    if (partial->fd >= 0)
        g_close(partial->fd, NULL);
    ka_validator_clear(&partial->validator);
    g_free(partial->url_digest);
    g_free(partial->path);
    g_free(partial->from_path);
    g_free(partial);
}

static gboolean
write_from(const KaPartial *partial, GError **error)
{
    g_autoptr(GKeyFile) from = g_key_file_new();
    g_autofree char *boot_id = read_boot_id();

    g_key_file_set_string(from, GROUP, "boot-id", boot_id);
    g_key_file_set_string(from, GROUP, "url", partial->url_digest);
    if (partial->validator.etag)
        g_key_file_set_string(from, GROUP, "etag", partial->validator.etag);
    if (partial->validator.modified)
        g_key_file_set_string(from, GROUP, "last-modified", partial->validator.modified);
    g_key_file_set_uint64(from, GROUP, "total", partial->total_bytes);
    g_autofree char *text = g_key_file_to_data(from, NULL, NULL);
    /* In place: the partial is empty until this is written, and a temporary file would outlive us.
     */
    return g_file_set_contents_full(partial->from_path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600,
                                    error);
}

gboolean
ka_partial_restart(KaPartial *partial,
                   const char *url,
                   const KaValidator *validator,
                   guint64 total_bytes,
                   GError **error)
{
    ka_hash_free(g_steal_pointer(&partial->hash));
    /* Emptied before anything says whose the bytes are: cut between the two, it is empty. */
    if (ftruncate(partial->fd, 0) < 0)
        return ka_file_error(error, "empty", partial->path);
    partial->size_bytes = partial->flushed_bytes = 0;
    partial->resumed = FALSE;
    partial->hash = ka_hash_new(partial->fd, partial->with_sha512);
    ka_validator_clear(&partial->validator);
    if (validator) {
        partial->validator.etag = g_strdup(validator->etag);
        partial->validator.modified = g_strdup(validator->modified);
    }
    partial->total_bytes = total_bytes;
    g_free(partial->url_digest);
    partial->url_digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, url, -1);
    return write_from(partial, error);
}

gboolean
ka_partial_add(KaPartial *partial, const void *data, gsize n_bytes, GError **error)
{
    if (!ka_write_at(partial->fd, data, n_bytes, partial->size_bytes, partial->path, error))
        return FALSE;
    partial->size_bytes += n_bytes;
    ka_hash_reach(partial->hash, partial->size_bytes);
    if (partial->size_bytes - partial->flushed_bytes >= FLUSH_BYTES) {
        sync_file_range(partial->fd, (off64_t)partial->flushed_bytes,
                        (off64_t)(partial->size_bytes - partial->flushed_bytes),
                        SYNC_FILE_RANGE_WRITE);
        partial->flushed_bytes = partial->size_bytes;
    }
    return TRUE;
}

void
ka_partial_drop(KaPartial *partial)
{
    g_unlink(partial->path);
    g_unlink(partial->from_path);
}
