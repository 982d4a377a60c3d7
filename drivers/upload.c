#include "drivers/invalid.h"
#include "drivers/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)
#define LOOK_US (50 * 1000)
#define SETTLE_US (30 * G_TIME_SPAN_SECOND)

typedef struct {
    virStreamPtr stream;
    int fd;
    guint64 total, done;
    const KaAction *action;
    KaMarker *marker;
    const KaProgress *progress;
    gint64 told_at;
} Upload;

static gboolean
fail(Upload *upload, GError **error)
{
    /* Converted before the abort, whose own outcome would hide it. */
    ka_libvirt_error(error, "upload to disk '%s' failed", upload->action->name);
    virStreamAbort(upload->stream);
    return FALSE;
}

static gboolean
may_go_on(Upload *upload, GError **error)
{
    gboolean cancelled = g_cancellable_is_cancelled(upload->progress->cancel);
    gint64 now = g_get_monotonic_time();

    if (now - upload->told_at > 100 * G_TIME_SPAN_MILLISECOND) {
        upload->told_at = now;
        ka_progress_step(upload->progress, upload->action, "uploads", upload->done, upload->total,
                         "B");
    }
    if (!cancelled && !ka_marker_is_lost(upload->marker))
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, cancelled ? KA_HOST_ERROR_CANCELLED : KA_HOST_ERROR_CHANGED,
                cancelled
                    ? "upload to disk '%s' was interrupted"
                    : "disk '%s' was taken over by another kvmapply, since this one stood still",
                upload->action->name);
    virStreamAbort(upload->stream);
    return FALSE;
}

static gboolean
send_data(Upload *upload, char *buffer, guint64 end, GError **error)
{
    while (upload->done < end) {
        gsize want = (gsize)MIN(end - upload->done, (guint64)BUFFER_BYTES);
        gssize n = pread(upload->fd, buffer, want, (off_t)upload->done);

        if (n <= 0) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                        "the content of disk '%s' can't be read: %s", upload->action->name,
                        n < 0 ? g_strerror(errno) : "the file became shorter");
            virStreamAbort(upload->stream);
            return FALSE;
        }
        for (gssize sent = 0; sent < n;) {
            int once = virStreamSend(upload->stream, buffer + sent, (gsize)(n - sent));

            if (once < 0)
                return fail(upload, error);
            sent += once;
        }
        upload->done += (guint64)n;
        if (!may_go_on(upload, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
send_hole(Upload *upload, guint64 end, GError **error)
{
    if (end > upload->done &&
        virStreamSendHole(upload->stream, (long long)(end - upload->done), 0) < 0)
        return fail(upload, error);
    upload->done = end;
    return may_go_on(upload, error);
}

/* Where the hole or the data at `from` ends. File systems without holes have data alone. */
static guint64
next_edge(const Upload *upload, int what)
{
    off_t edge = lseek(upload->fd, (off_t)upload->done, what);

    if (edge < 0)
        return what == SEEK_DATA && errno != ENXIO ? upload->done : upload->total;
    return MIN((guint64)edge, upload->total);
}

static gboolean
send_all(Upload *upload, GError **error)
{
    g_autofree char *buffer = g_malloc(BUFFER_BYTES);

    while (upload->done < upload->total) {
        if (!send_hole(upload, next_edge(upload, SEEK_DATA), error) ||
            !send_data(upload, buffer, next_edge(upload, SEEK_HOLE), error))
            return FALSE;
    }
    if (virStreamFinish(upload->stream) < 0)
        return ka_libvirt_error(error, "upload to disk '%s' failed", upload->action->name);
    ka_progress_step(upload->progress, upload->action, "uploads", upload->done, upload->total, "B");
    return TRUE;
}

gboolean
ka_upload(virStorageVolPtr volume,
          int fd,
          const KaAction *action,
          KaMarker *marker,
          const KaProgress *progress,
          GError **error)
{
    g_autoptr(virStream) stream = virStreamNew(virStorageVolGetConnect(volume), 0);
    Upload upload = {stream, fd, 0, 0, action, marker, progress, 0};
    struct stat status;

    if (stream == NULL)
        return ka_libvirt_error(error, "can't upload to disk '%s'", action->name);
    if (fstat(fd, &status) < 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't upload: %s",
                    g_strerror(errno));
        return FALSE;
    }
    upload.total = (guint64)status.st_size;
    if (virStorageVolUpload(volume, stream, 0, upload.total, VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) <
        0)
        return ka_libvirt_error(error, "can't upload to disk '%s'", action->name);
    return send_all(&upload, error);
}

/* libvirt learns an uploaded image's format when it next looks at its pool. */
gboolean
ka_disk_wait_for_format(virStoragePoolPtr pool,
                        const char *pool_type,
                        virStorageVolPtr volume,
                        const char *wanted,
                        const KaAction *action,
                        const KaProgress *progress,
                        GError **error)
{
    gint64 until = g_get_monotonic_time() + SETTLE_US;
    g_autofree char *format = NULL;

    while (g_get_monotonic_time() < until && !g_cancellable_is_cancelled(progress->cancel)) {
        g_autoptr(KaDocument) document = ka_disk_read(volume, pool_type, NULL);

        g_free(format);
        format = document ? ka_document_get(document, "format") : NULL;
        if (g_strcmp0(format, wanted) == 0)
            return TRUE;
        g_usleep(LOOK_US);
        virStoragePoolRefresh(pool, 0);
    }
    return ka_invalid(error, "disk '%s' was uploaded as %s, but libvirt takes it for %s",
                   action->name, wanted, format ? format : "nothing known");
}

int
ka_disk_open_content(const KaObject *disk, guint64 *ret_size_bytes, GError **error)
{
    const KaNode *node = ka_node_get(disk->node, "content");
    g_autofree char *path = ka_node_local_path(node);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        ka_invalid(error, "can't open '%s': %s", path, g_strerror(errno));
        return -1;
    }
    if (ka_image_check(fd, ka_disk_format(disk, "dir"), path, ret_size_bytes, error))
        return fd;
    close(fd);
    return -1;
}
