#include "drivers/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PERMISSION 100
#define UNSHARED 200
#define PERMISSIONS 5
#define WRITE 1  /* BLK_PERM_WRITE */
#define RESIZE 3 /* BLK_PERM_RESIZE */

static gboolean
is_locked(int fd, off_t from, off_t length)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = length};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Does the descriptor of another process stand for the file, and may it write? */
static gboolean
stands_for(const char *folder, const char *name, const struct stat *file, gboolean *ret_writes)
{
    g_autofree char *path = g_build_filename(folder, "fd", name, NULL);
    g_autofree char *info = g_build_filename(folder, "fdinfo", name, NULL);
    g_autofree char *text = NULL;
    struct stat other;
    if (stat(path, &other) < 0 ||
        (S_ISBLK(file->st_mode) ? other.st_rdev != file->st_rdev || !S_ISBLK(other.st_mode)
                                : other.st_dev != file->st_dev || other.st_ino != file->st_ino))
        return FALSE;
    *ret_writes = FALSE;
    if (g_file_get_contents(info, &text, NULL, NULL)) {
        const char *flags = strstr(text, "flags:");
        guint64 value = flags ? g_ascii_strtoull(flags + strlen("flags:"), NULL, 8) : 0;
        *ret_writes = (value & O_ACCMODE) != O_RDONLY;
    }
    return TRUE;
}

/* "guest 'web' (process 123)", "process 123 (qemu-img)". */
static char *
describe(const char *folder, const char *pid)
{
    g_autofree char *path = g_build_filename(folder, "cmdline", NULL);
    g_autofree char *command = NULL;
    gsize length = 0;
    if (!g_file_get_contents(path, &command, &length, NULL) || length == 0)
        return g_strdup_printf("process %s", pid);
    for (const char *at = command; at < command + length; at += strlen(at) + 1) {
        const char *name = strstr(at, "guest=");
        if (name != at || at == command)
            continue;
        name += strlen("guest=");
        g_autofree char *guest = g_strndup(name, strcspn(name, ","));
        return g_strdup_printf("guest '%s' (process %s)", guest, pid);
    }
    g_autofree char *base = g_path_get_basename(command);
    return g_strdup_printf("process %s (%s)", pid, base);
}

/* The first other process that has the file open; of those that write only, where writers. */
static char *
find_user(const struct stat *file, gboolean writers)
{
    g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
    for (const char *pid = NULL; processes && (pid = g_dir_read_name(processes));) {
        if (!g_ascii_isdigit(*pid) || atoi(pid) == getpid())
            continue;
        g_autofree char *folder = g_build_filename("/proc", pid, NULL);
        g_autofree char *fds = g_build_filename(folder, "fd", NULL);
        g_autoptr(GDir) descriptors = g_dir_open(fds, 0, NULL);
        for (const char *name = NULL; descriptors && (name = g_dir_read_name(descriptors));) {
            gboolean writes = FALSE;
            if (stands_for(folder, name, file, &writes) && (writes || !writers))
                return describe(folder, pid);
        }
    }
    return NULL;
}

/* A loop device has it open in the kernel: no process does. */
static char *
find_loop(const char *path)
{
    g_autoptr(GDir) devices = g_dir_open("/sys/block", 0, NULL);
    for (const char *name = NULL; devices && (name = g_dir_read_name(devices));) {
        g_autofree char *file = g_build_filename("/sys/block", name, "loop/backing_file", NULL);
        g_autofree char *text = NULL;
        if (g_file_get_contents(file, &text, NULL, NULL) && g_str_equal(g_strchomp(text), path))
            return g_strdup_printf("the loop device /dev/%s", name);
    }
    return NULL;
}

gboolean
ka_image_is_free(int fd, const char *path, gboolean alone, GError **error)
{
    struct stat file;
    gboolean locked =
        alone ? is_locked(fd, PERMISSION, PERMISSIONS) || is_locked(fd, UNSHARED, PERMISSIONS)
              : is_locked(fd, PERMISSION + WRITE, 1) || is_locked(fd, PERMISSION + RESIZE, 1);
    if (fstat(fd, &file) < 0)
        return TRUE;
    g_autofree char *user = find_user(&file, !(locked && alone));
    if (!user)
        user = find_loop(path);
    if (!user && S_ISBLK(file.st_mode)) {
        int other = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
        if (other < 0 && errno == EBUSY)
            user = g_strdup("a mounted file system or another device");
        if (other >= 0)
            close(other);
    }
    if (!locked && !user)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                "'%s' is in use by %s: shut it down first", path,
                user ? user : "another process that may not be seen");
    return FALSE;
}

void
ka_image_hold(int fd)
{
    static const off_t bytes[] = {PERMISSION, UNSHARED + WRITE, UNSHARED + RESIZE};
    for (gsize i = 0; i < G_N_ELEMENTS(bytes); i++) {
        struct flock lock = {
            .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = bytes[i], .l_len = 1};
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
            g_debug("a lock like QEMU's can't be taken: %s", g_strerror(errno));
    }
}
