#include "drivers/sparse_copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)
/* Smaller runs of zeros aren't worth a hole. */
#define PIECE_BYTES (64 << 10)

typedef struct {
    int from, to;
    guint64 total;
    const char *what;
    const KaAction *action;
    const KaProgress *progress;
} Copy;

static gboolean
fail(GError **error, const char *what, int number)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't %s: %s", what,
                g_strerror(number));
    return FALSE;
}

static gboolean
is_zero(const char *data, gsize length)
{
    return data[0] == 0 && memcmp(data, data + 1, length - 1) == 0;
}

static gboolean
write_pieces(const Copy *copy, const char *buffer, gsize length, guint64 at, GError **error)
{
    for (gsize done = 0; done < length;) {
        gsize piece = MIN(length - done, (gsize)PIECE_BYTES);
        gssize n = is_zero(buffer + done, piece)
                       ? (gssize)piece
                       : pwrite(copy->to, buffer + done, piece, (off_t)(at + done));

        if (n <= 0)
            return fail(error, "write the copy", n < 0 ? errno : ENOSPC);
        done += (gsize)n;
    }
    return TRUE;
}

static gboolean
copy_data(const Copy *copy, char *buffer, guint64 begin, guint64 end, GError **error)
{
    for (guint64 at = begin; at < end;) {
        gsize want = (gsize)MIN(end - at, (guint64)BUFFER_BYTES);
        gssize n = pread(copy->from, buffer, want, (off_t)at);

        if (n <= 0)
            return fail(error, "read what is copied", n < 0 ? errno : EIO);
        if (!write_pieces(copy, buffer, (gsize)n, at, error))
            return FALSE;
        at += (guint64)n;
        ka_progress_step(copy->progress, copy->action, copy->what, at, copy->total, "B");
        if (g_cancellable_is_cancelled(copy->progress->cancel)) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
    }
    return TRUE;
}

/* Where the hole or the data at `at` ends. What knows no holes has data alone. */
static guint64
next_edge(const Copy *copy, guint64 at, int what)
{
    off_t edge = lseek(copy->from, (off_t)at, what);

    if (edge < 0)
        return what == SEEK_DATA && errno != ENXIO ? at : copy->total;
    return MIN((guint64)edge, copy->total);
}

gboolean
ka_sparse_copy(int from_fd,
               int to_fd,
               const char *what,
               const KaAction *action,
               const KaProgress *progress,
               GError **error)
{
    off_t total = lseek(from_fd, 0, SEEK_END);
    Copy copy = {from_fd, to_fd, (guint64)MAX(total, 0), what, action, progress};
    g_autofree char *buffer = g_malloc(BUFFER_BYTES);

    if (total < 0)
        return fail(error, "read what is copied", errno);
    if (ftruncate(to_fd, 0) < 0)
        return fail(error, "write the copy", errno);
    if (ioctl(to_fd, FICLONE, from_fd) == 0)
        return TRUE;
    if (ftruncate(to_fd, total) < 0)
        return fail(error, "write the copy", errno);
    for (guint64 at = next_edge(&copy, 0, SEEK_DATA), end = 0; at < copy.total;
         at = next_edge(&copy, end, SEEK_DATA)) {
        end = next_edge(&copy, at, SEEK_HOLE);
        if (!copy_data(&copy, buffer, at, end, error))
            return FALSE;
    }
    return TRUE;
}
