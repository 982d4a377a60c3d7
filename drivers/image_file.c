#include "drivers/image_file.h"
#include "drivers/cache.h"
#include "drivers/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)
#define LIST_MAX 65536
#define BACKING_NAME_MAX 1023 /* qcow2's limit */
#define TRIES 8
#define COPY_SUFFIX ".kvmapply-partial" /* as markers of volumes have it: not whole */

static gboolean
fail(GError **error, const char *what, const char *path)
{
    int number = errno;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s '%s': %s", what, path,
                g_strerror(number));
    return FALSE;
}

const char *
ka_image_format(const char *path)
{
    static const struct {
        const char *end, *format;
    } ends[] = {
        {".qcow2", "qcow2"},
        {".qcow",  "qcow" },
        {".qed",   "qed"  },
        {".vmdk",  "vmdk" },
        {".vdi",   "vdi"  },
        {".vhd",   "vpc"  },
        {".vpc",   "vpc"  }
    };
    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++)
        if (g_str_has_suffix(path, ends[i].end))
            return ends[i].format;
    return "raw";
}

/* Does a qcow2 file of the folder name this one as its backing? */
static gboolean
backs_onto(const char *folder, const char *name, const struct stat *file)
{
    guint8 head[20] = {0};
    char backing[BACKING_NAME_MAX + 1] = "";
    struct stat other;
    g_autofree char *path = g_build_filename(folder, name, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return FALSE;
    gboolean is_qcow2 = fstat(fd, &other) == 0 && S_ISREG(other.st_mode) &&
                        pread(fd, head, sizeof head, 0) == sizeof head &&
                        memcmp(head, "QFI\xfb", 4) == 0;
    guint64 at = 0;
    guint32 length = 0;
    for (int i = 8; i < 16; i++)
        at = at << 8 | head[i];
    for (int i = 16; i < 20; i++)
        length = length << 8 | head[i];
    gssize n =
        is_qcow2 && at && length <= BACKING_NAME_MAX ? pread(fd, backing, length, (off_t)at) : 0;
    close(fd);
    if (n <= 0)
        return FALSE;
    const char *real = g_str_has_prefix(backing, "file:") ? backing + strlen("file:") : backing;
    g_autofree char *there =
        g_path_is_absolute(real) ? g_strdup(real) : g_build_filename(folder, real, NULL);
    return stat(there, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

/* An overlay beside it, which would break if it were changed. Caller frees; NULL: none. */
static char *
find_overlay(const KaImageFile *file)
{
    g_autofree char *folder = g_path_get_dirname(file->path);
    g_autoptr(GDir) names = g_dir_open(folder, 0, NULL);
    for (const char *name = NULL; names && (name = g_dir_read_name(names));)
        if (backs_onto(folder, name, &file->seen))
            return g_build_filename(folder, name, NULL);
    return NULL;
}

static gboolean
refuse_in_place(const KaImageFile *file, KaImageUse use, GError **error)
{
    g_autofree char *overlay = file->is_device ? NULL : find_overlay(file);
    if (use == KA_IMAGE_READ || use == KA_IMAGE_IN_PLACE || (!overlay && !file->is_device))
        return TRUE;
    g_autofree char *why =
        overlay ? g_strdup_printf("'%s' backs onto it", overlay) : g_strdup("it is a device");
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_DENIED,
                "'%s' would be changed in place, since %s, and is lost if that fails: that needs "
                "your word, --allow delete",
                file->path, why);
    return FALSE;
}

KaImageFile *
ka_image_file_open(const char *path, const char *format, KaImageUse use, GError **error)
{
    g_autoptr(KaImageFile) file = g_new0(KaImageFile, 1);
    guint64 size = 0;
    char *real = realpath(path, NULL);
    file->fd = file->source = -1;
    if (!real) {
        fail(error, "can't open", path);
        return NULL;
    }
    file->path = g_strdup(real);
    free(real);
    file->format = g_strdup(format ? format : ka_image_format(file->path));
    gboolean writes = use == KA_IMAGE_IN_PLACE;
    file->fd = file->source =
        open(file->path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->fd < 0 || fstat(file->fd, &file->seen) < 0) {
        fail(error, "can't open", path);
        return NULL;
    }
    file->is_device = S_ISBLK(file->seen.st_mode);
    file->in_place = use != KA_IMAGE_COPY;
    if (file->is_device && !g_str_equal(file->format, "raw")) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "'%s' is a device: only raw ones are opened, not %s", path, file->format);
        return NULL;
    }
    if ((!file->is_device && !ka_image_check(file->fd, file->format, path, &size, error)) ||
        !refuse_in_place(file, use, error) ||
        !ka_image_is_free(file->fd, file->path, use != KA_IMAGE_READ, error))
        return NULL;
    if (use == KA_IMAGE_COPY)
        ka_image_hold(file->fd);
    return g_steal_pointer(&file);
}

/* A file of ours alone: what an earlier run left makes way, another run's is respected. */
static int
make_copy_file(const char *path, GError **error)
{
    for (guint i = 0; i < TRIES; i++) {
        struct stat ours, there;
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0) {
            fail(error, "can't make", path);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                        "another kvmapply is at work on it ('%s')", path);
            close(fd);
            return -1;
        }
        gboolean same = fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
                        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
        gboolean mine = ours.st_uid == geteuid() && ours.st_nlink == 1 && S_ISREG(ours.st_mode);
        /* What a killed run left is never taken up: its QEMU lives on for a moment and writes to it. */
        if (same && mine && ours.st_size == 0)
            return fd;
        if (same)
            unlink(path);
        close(fd);
    }
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                "'%s' is made by others again and again", path);
    return -1;
}

static gboolean
copy_data(int from, int to, off_t at, off_t end, char *buffer)
{
    while (at < end) {
        loff_t in = at, out = at;
        gsize want = (gsize)MIN(end - at, (off_t)BUFFER_BYTES);
        gssize n = copy_file_range(from, &in, to, &out, want, 0);
        if (n <= 0) {
            n = pread(from, buffer, want, at);
            if (n <= 0 || pwrite(to, buffer, (gsize)n, at) != n)
                return FALSE;
        }
        at += n;
    }
    return TRUE;
}

/* Data alone, a piece at a time; holes stay holes. */
static gboolean
copy_sparse(const KaImageFile *file,
            const KaAction *action,
            const KaProgress *progress,
            GError **error)
{
    g_autofree char *buffer = g_malloc(BUFFER_BYTES);
    off_t size = file->seen.st_size, at = 0;
    if (ftruncate(file->fd, size) < 0)
        return fail(error, "can't make room for", file->copy);
    while ((at = lseek(file->source, at, SEEK_DATA)) >= 0 && at < size) {
        off_t end = lseek(file->source, at, SEEK_HOLE);
        for (end = end < 0 ? size : end; at < end; at += MIN(end - at, 16 * BUFFER_BYTES)) {
            if (g_cancellable_is_cancelled(progress->cancel)) {
                g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
                return FALSE;
            }
            errno = 0;
            if (!copy_data(file->source, file->fd, at, MIN(at + 16 * BUFFER_BYTES, end), buffer))
                return fail(error, "can't copy to", file->copy);
            ka_progress_step(progress, action, "copies", (guint64)at, (guint64)size, "B");
        }
    }
    return TRUE;
}

static gboolean
copy_attributes(const KaImageFile *file, GError **error)
{
    g_autofree char *names = g_malloc(LIST_MAX), *value = g_malloc(LIST_MAX);
    gssize length = flistxattr(file->source, names, LIST_MAX);
    for (const char *name = names; name < names + length; name += strlen(name) + 1) {
        gssize n = fgetxattr(file->source, name, value, LIST_MAX);
        if (n >= 0 && fsetxattr(file->fd, name, value, (gsize)n, 0) < 0)
            g_debug("%s: attribute %s isn't kept: %s", file->path, name, g_strerror(errno));
    }
    if (fchown(file->fd, file->seen.st_uid, file->seen.st_gid) < 0 ||
        fchmod(file->fd, file->seen.st_mode & 07777) < 0)
        return fail(error, "can't give owner and mode of the image to", file->copy);
    return TRUE;
}

gboolean
ka_image_file_copy(KaImageFile *file,
                   const KaAction *action,
                   const KaProgress *progress,
                   GError **error)
{
    if (file->in_place)
        return TRUE;
    g_autofree char *folder = g_path_get_dirname(file->path);
    g_autofree char *name = g_path_get_basename(file->path);
    g_autofree char *hidden = g_strdup_printf(".%s" COPY_SUFFIX, name);
    g_autofree char *path = g_build_filename(folder, hidden, NULL);
    int fd = make_copy_file(path, error);
    if (fd < 0)
        return FALSE;
    file->fd = fd;
    file->copy = g_steal_pointer(&path);
    return (ioctl(fd, FICLONE, file->source) == 0 || copy_sparse(file, action, progress, error)) &&
           copy_attributes(file, error);
}

char *
ka_image_file_handle(const KaImageFile *file)
{
    return g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), file->fd);
}

gboolean
ka_image_file_publish(KaImageFile *file, GError **error)
{
    struct stat now;
    if (file->in_place)
        return fsync(file->fd) == 0 || fail(error, "can't write", file->path);
    gboolean same = lstat(file->path, &now) == 0 && now.st_ino == file->seen.st_ino &&
                    now.st_dev == file->seen.st_dev && now.st_size == file->seen.st_size &&
                    now.st_mtim.tv_sec == file->seen.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == file->seen.st_mtim.tv_nsec;
    if (!same) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "'%s' was changed by others meanwhile: it is left as it is", file->path);
        return FALSE;
    }
    if (!ka_image_is_free(file->source, file->path, FALSE, error) ||
        !ka_publish(file->fd, file->copy, file->path, error))
        return FALSE;
    g_clear_pointer(&file->copy, g_free);
    return TRUE;
}

void
ka_image_file_free(KaImageFile *file)
{
    if (!file)
        return;
    if (file->copy)
        unlink(file->copy);
    if (file->fd >= 0 && file->fd != file->source)
        close(file->fd);
    if (file->source >= 0)
        close(file->source);
    g_free(file->copy);
    g_free(file->path);
    g_free(file->format);
    g_free(file);
}
