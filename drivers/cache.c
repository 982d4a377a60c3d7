#include "drivers/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 200

struct KaCacheLock {
    int fd;
    char *path; /* owned */
};

gboolean
ka_file_error(GError **error, const char *doing, const char *path)
{
    int code = errno;

    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "can't %s '%s': %s",
                doing, path, g_strerror(code));
    return FALSE;
}

gboolean
ka_may_go_on(const KaProgress *progress, const char *what, GError **error)
{
    if (!g_cancellable_is_cancelled(progress->cancel))
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "%s was interrupted", what);
    return FALSE;
}

gboolean
ka_wait_ms(const KaProgress *progress, guint ms, const char *what, GError **error)
{
    GPollFD wake;

    if (g_cancellable_make_pollfd(progress->cancel, &wake)) {
        g_poll(&wake, 1, (gint)ms);
        g_cancellable_release_fd(progress->cancel);
    } else {
        g_usleep((gulong)ms * 1000);
    }
    return ka_may_go_on(progress, what, error);
}

gboolean
ka_write_at(
    int fd, const void *data, gsize n_bytes, guint64 offset, const char *path, GError **error)
{
    const char *from = data;

    for (gsize done = 0; done < n_bytes;) {
        gssize n = pwrite(fd, from + done, n_bytes - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ka_file_error(error, "write", path);
        done += (gsize)n;
    }
    return TRUE;
}

char *
ka_cache_path(const char *folder, const char *name)
{
    return g_build_filename(g_get_user_cache_dir(), "kvmapply", folder, name, NULL);
}

gboolean
ka_cache_make(const char *folder, GError **error)
{
    g_autofree char *path = ka_cache_path(folder, NULL);

    return g_mkdir_with_parents(path, 0700) == 0 || ka_file_error(error, "make the folder", path);
}

/* Its last owner may have removed the file between our open and our lock. */
static gboolean
is_at_its_path(int fd, const char *path)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

/* -1 with an error; IN_USE: another one has it. */
static int
lock_once(const char *path, GError **error)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0) {
            ka_file_error(error, "lock", path);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (is_at_its_path(fd, path))
                return fd;
        } else if (errno == EWOULDBLOCK) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                        "'%s' is held by another kvmapply", path);
            g_close(fd, NULL);
            return -1;
        } else if (errno != EINTR) {
            ka_file_error(error, "lock", path);
            g_close(fd, NULL);
            return -1;
        }
        g_close(fd, NULL);
    }
}

KaCacheLock *
ka_cache_try_lock(const char *name, GError **error)
{
    g_autofree char *file = g_strconcat(name, ".lock", NULL);
    g_autofree char *path = ka_cache_path(KA_CACHE_PARTIAL, file);

    if (!ka_cache_make(KA_CACHE_PARTIAL, error))
        return NULL;
    int fd = lock_once(path, error);
    if (fd < 0)
        return NULL;
    KaCacheLock *lock = g_new0(KaCacheLock, 1);
    *lock = (KaCacheLock){fd, g_steal_pointer(&path)};
    return lock;
}

KaCacheLock *
ka_cache_lock(const char *name,
              const char *what,
              const KaAction *action,
              const KaProgress *progress,
              GError **error)
{
    for (;;) {
        g_autoptr(GError) held = NULL;
        KaCacheLock *lock = ka_cache_try_lock(name, &held);

        if (lock)
            return lock;
        if (!g_error_matches(held, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE)) {
            g_propagate_error(error, g_steal_pointer(&held));
            return NULL;
        }
        ka_progress_step(progress, action, what, 0, 0, "");
        if (!ka_wait_ms(progress, LOOK_MS, what, error))
            return NULL;
    }
}

void
ka_cache_unlock(KaCacheLock *lock)
{
    if (lock == NULL)
        return;
    g_unlink(lock->path);
    g_close(lock->fd, NULL);
    g_free(lock->path);
    g_free(lock);
}

static gboolean
sync_folder(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems can't. */
    gboolean is_synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);

    if (!is_synced)
        ka_file_error(error, "write the folder", folder);
    if (fd >= 0)
        g_close(fd, NULL);
    return is_synced;
}

gboolean
ka_publish(int fd, const char *temporary, const char *path, GError **error)
{
    if (fsync(fd) < 0)
        return ka_file_error(error, "write", temporary);
    if (g_rename(temporary, path) < 0)
        return ka_file_error(error, "rename a whole file to", path);
    return sync_folder(path, error);
}
