#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* One more than what ka_load takes: it says what is too large. */
#define MAX_READ (64 * 1024 * 1024 + 1)
#define MAX_FOLDERS 64

typedef struct {
    GPtrArray *sources;         /* borrowed */
    KaDiagnostics *diagnostics; /* borrowed */
    GHashTable *seen;           /* owned; owned "device:inode" of files and folders */
} Reader;

static void
fail(Reader *reader, const char *path, const char *what)
{
    g_autofree char *name = g_filename_display_name(path);
    ka_diagnostics_add(reader->diagnostics, KA_ERROR, KA_NOWHERE, "'%s': %s", name, what);
}

/* NULL with errno set. */
static char *
read_all(int fd, gsize size_hint, gsize *ret_length)
{
    g_autoptr(GByteArray) bytes = g_byte_array_sized_new((guint)MIN(size_hint + 1, MAX_READ));
    gsize step = CLAMP(size_hint + 1, 4096, 1024 * 1024);
    gssize got = 1;
    while (got > 0 && bytes->len < MAX_READ) {
        gsize length = bytes->len;
        g_byte_array_set_size(bytes, (guint)(length + step));
        do
            got = read(fd, bytes->data + length, step);
        while (got < 0 && errno == EINTR);
        g_byte_array_set_size(bytes, (guint)(length + (gsize)MAX(got, 0)));
    }
    if (got < 0)
        return NULL;
    *ret_length = bytes->len;
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}

static void
read_fd(Reader *reader, const char *path, const char *name, int fd, gsize size_hint)
{
    gsize length = 0;
    char *text = read_all(fd, size_hint, &length);
    if (text)
        g_ptr_array_add(reader->sources, ka_source_new(name, text, length));
    else
        fail(reader, path, g_strerror(errno));
}

static gboolean
is_yaml(const char *name)
{
    return g_str_has_suffix(name, ".yaml") || g_str_has_suffix(name, ".yml");
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean read_path(Reader *reader, const char *path, gboolean named, guint depth);

/* FALSE: neither it nor its subfolders hold a manifest. */
static gboolean
read_folder(Reader *reader, const char *path, guint depth)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) folder = g_dir_open(path, 0, &error);
    if (!folder) {
        fail(reader, path, g_strerror(errno));
        return TRUE;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (const char *name = g_dir_read_name(folder); name; name = g_dir_read_name(folder))
        if (*name != '.')
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);

    gboolean found = FALSE;
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *child =
            g_str_equal(path, ".") ? g_strdup(name) : g_build_filename(path, name, NULL);
        found |= read_path(reader, child, FALSE, depth);
    }
    return found;
}

/* named: by the user, not found in a folder. FALSE: nothing here is a manifest. */
static gboolean
read_path(Reader *reader, const char *path, gboolean named, guint depth)
{
    GStatBuf status;
    if (g_stat(path, &status) < 0) {
        if (named || is_yaml(path))
            fail(reader, path, errno == ENOENT ? "no such file or folder" : g_strerror(errno));
        return named || is_yaml(path);
    }
    gboolean folder = S_ISDIR(status.st_mode);
    if (!folder && !named && !(is_yaml(path) && S_ISREG(status.st_mode)))
        return FALSE;
    /* A folder may link to one above it, and a file may be named beside its folder. */
    g_autofree char *identity =
        g_strdup_printf("%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    if (!g_hash_table_add(reader->seen, g_steal_pointer(&identity)))
        return TRUE;
    if (folder)
        return depth < MAX_FOLDERS && read_folder(reader, path, depth + 1);

    int fd = g_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        fail(reader, path, g_strerror(errno));
        return TRUE;
    }
    g_autofree char *name = g_filename_display_name(path);
    read_fd(reader, path, name, fd, S_ISREG(status.st_mode) ? (gsize)status.st_size : 0);
    g_close(fd, NULL);
    return TRUE;
}

void
ka_paths_read(const char *const *paths, GPtrArray *sources, KaDiagnostics *diagnostics)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Reader reader = {sources, diagnostics, seen};
    gboolean stdin_read = FALSE;
    for (; *paths; paths++) {
        if (!g_str_equal(*paths, "-")) {
            if (!read_path(&reader, *paths, TRUE, 0))
                fail(&reader, *paths, "no *.yaml or *.yml in this folder");
        } else if (!stdin_read) {
            stdin_read = TRUE;
            read_fd(&reader, "<stdin>", "<stdin>", STDIN_FILENO, 0);
        }
    }
}
