#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* One more than what ka_load takes: it says what is too large. */
#define MAX_READ (64 * 1024 * 1024 + 1)
#define MAX_FOLDERS 64
/* The current folder is the default, and it may be '/'. */
#define MAX_ENTRIES 50000
#define MAX_BYTES ((gsize)512 * 1024 * 1024)

typedef struct {
    GPtrArray *sources;         /* borrowed */
    KaDiagnostics *diagnostics; /* borrowed */
    GHashTable *seen;           /* owned; owned "device:inode" of files and folders */
    guint n_entries;            /* of all folders */
    gsize n_bytes;              /* of what was found in folders */
    gboolean too_much;
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

/* TRUE: the folders hold more than any project; said once, and nothing more is read. */
static gboolean
is_too_much(Reader *reader, const char *path)
{
    if (reader->n_entries <= MAX_ENTRIES && reader->n_bytes <= MAX_BYTES)
        return FALSE;
    if (!reader->too_much)
        fail(reader, path,
             reader->n_entries > MAX_ENTRIES
                 ? "the folders hold more than 50000 files: name the manifests, or their folder"
                 : "the folders hold more than 512 MiB of YAML: name the manifests");
    reader->too_much = TRUE;
    return TRUE;
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
    for (const char *name = g_dir_read_name(folder); name && !is_too_much(reader, path);
         name = g_dir_read_name(folder), reader->n_entries++)
        if (*name != '.')
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);

    gboolean found = FALSE;
    for (guint i = 0; i < names->len && !is_too_much(reader, path); i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *child =
            g_str_equal(path, ".") ? g_strdup(name) : g_build_filename(path, name, NULL);
        found |= read_path(reader, child, FALSE, depth);
    }
    return found || reader->too_much;
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
        return named || !folder;
    if (folder)
        return depth < MAX_FOLDERS && read_folder(reader, path, depth + 1);

    int fd = g_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        fail(reader, path, g_strerror(errno));
        return TRUE;
    }
    g_autofree char *name = g_filename_display_name(path);
    reader->n_bytes += named || status.st_size < 0 ? 0 : (gsize)status.st_size;
    read_fd(reader, path, name, fd, S_ISREG(status.st_mode) ? (gsize)status.st_size : 0);
    g_close(fd, NULL);
    return TRUE;
}

void
ka_paths_read(const char *const *paths, GPtrArray *sources, KaDiagnostics *diagnostics)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Reader reader = {.sources = sources, .diagnostics = diagnostics, .seen = seen};
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
    if (reader.too_much) /* what was found by chance is nobody's manifest */
        g_ptr_array_set_size(sources, 0);
}
