#include "drivers/fetch_part.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
unreadable(GError **error, const char *why)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "it can't be read: %s", why);
    return FALSE;
}

/* What changes when a file does. */
static char *
tag_of(const struct stat *status)
{
    return g_strdup_printf("\"%" G_GINT64_FORMAT ".%09ld-%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT
                           "\"",
                           (gint64)status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
                           (guint64)status->st_size, (guint64)status->st_ino);
}

static gboolean
copy(KaTransfer *transfer, int fd, GError **error)
{
    g_autofree char *buffer = g_malloc(KA_FETCH_BUFFER_BYTES);
    gssize n = 0;

    while ((n = read(fd, buffer, KA_FETCH_BUFFER_BYTES)) != 0) {
        if (n < 0 && errno != EINTR)
            return unreadable(error, g_strerror(errno));
        if (n > 0 && !ka_transfer_add(transfer, buffer, (gsize)n, error))
            return FALSE;
        ka_progress_step(transfer->progress, transfer->action, "copies",
                         transfer->partial->size_bytes, transfer->partial->total_bytes, "B");
        if (!ka_may_go_on(transfer->progress, "the copy", error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
copy_if_new(KaTransfer *transfer, int fd, GError **error)
{
    struct stat before, after;

    if (fstat(fd, &before) < 0)
        return unreadable(error, g_strerror(errno));
    if (!S_ISREG(before.st_mode))
        return unreadable(error, "it is not a regular file");
    g_autofree char *tag = tag_of(&before);
    if (transfer->known && g_strcmp0(transfer->known->etag, tag) == 0) {
        transfer->is_same = TRUE;
        return TRUE;
    }
    KaValidator validator = {tag, NULL};
    if (!ka_partial_restart(transfer->partial, transfer->url, &validator, (guint64)before.st_size,
                            error) ||
        !ka_transfer_fits(transfer, (guint64)before.st_size, error) || !copy(transfer, fd, error))
        return FALSE;
    g_autofree char *then = fstat(fd, &after) == 0 ? tag_of(&after) : NULL;
    return g_strcmp0(tag, then) == 0 || unreadable(error, "it was changed meanwhile");
}

gboolean
ka_transfer_file(KaTransfer *transfer, GError **error)
{
    g_autoptr(GError) odd = NULL;
    g_autofree char *path = g_filename_from_uri(transfer->url, NULL, &odd);

    if (path == NULL)
        return unreadable(error, odd->message);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return unreadable(error, g_strerror(errno));
    gboolean is_copied = copy_if_new(transfer, fd, error);
    g_close(fd, NULL);
    return is_copied;
}
