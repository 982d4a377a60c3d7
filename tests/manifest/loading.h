#pragma once
/* What the tests of loading share: texts in memory, and folders that go away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#include "manifest/manifest.h"

/* One text, loaded. */
typedef struct {
    KaSource *source;
    KaTree *tree;
    GPtrArray *roots;
    KaDiagnostics *diagnostics;
    gboolean loaded;
} Text;

static inline Text *
text_load_sized(const char *text, gsize length)
{
    Text *self = g_new0(Text, 1);
    char *copy = g_malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    self->source = ka_source_new("a.yaml", copy, length);
    self->tree = ka_tree_new();
    self->roots = g_ptr_array_new();
    self->diagnostics = ka_diagnostics_new();
    self->loaded = ka_load(self->tree, self->source, self->roots, self->diagnostics);
    return self;
}

static inline Text *
text_load(const char *text)
{
    return text_load_sized(text, strlen(text));
}

static inline void
text_free(Text *self)
{
    ka_tree_free(self->tree);
    g_ptr_array_unref(self->roots);
    ka_diagnostics_free(self->diagnostics);
    ka_source_free(self->source);
    g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Text, text_free)

static inline const KaNode *
text_root(const Text *self)
{
    assert_true(self->roots->len > 0);
    return g_ptr_array_index(self->roots, 0);
}

/* All messages as a user sees them. */
static inline char *
diagnostics_text(const KaDiagnostics *diagnostics)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        g_autofree char *one = ka_diagnostic_format(g_ptr_array_index(diagnostics->items, i));
        g_string_append(out, one);
    }
    return g_string_free(out, FALSE);
}

static inline void
assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static inline void
assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in:\n%s", part, text);
}

/* A folder of its own, removed at the end. */
typedef struct {
    char *path;
} Folder;

static inline void
folder_remove(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    for (const char *name = folder ? g_dir_read_name(folder) : NULL; name;
         name = g_dir_read_name(folder)) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            folder_remove(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

static inline Folder *
folder_new(void)
{
    Folder *self = g_new0(Folder, 1);
    self->path = g_dir_make_tmp("kvmapply-XXXXXX", NULL);
    assert_non_null(self->path);
    return self;
}

static inline void
folder_free(Folder *self)
{
    folder_remove(self->path);
    g_free(self->path);
    g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Folder, folder_free)

static inline char *
folder_path(const Folder *self, const char *name)
{
    return g_build_filename(self->path, name, NULL);
}

/* Writes a file, and the folders above it. */
static inline void
folder_write(const Folder *self, const char *name, const char *text)
{
    g_autofree char *path = folder_path(self, name);
    g_autofree char *above = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(above, 0700), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A manifest of one text; its diagnostics live as long as it. */
typedef struct {
    KaManifest *manifest; /* NULL: refused */
    KaDiagnostics *diagnostics;
    char *messages;
} Loaded;

static inline Loaded *
loaded_new(const char *const *paths)
{
    Loaded *self = g_new0(Loaded, 1);
    self->diagnostics = ka_diagnostics_new();
    self->manifest = ka_manifest_load(paths, "test:///default", self->diagnostics);
    self->messages = diagnostics_text(self->diagnostics);
    assert_int_equal(self->manifest == NULL, self->diagnostics->n_errors > 0);
    return self;
}

static inline Loaded *
loaded_text(const char *text)
{
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "a.yaml", text);
    return loaded_new((const char *const[]){folder->path, NULL});
}

static inline void
loaded_free(Loaded *self)
{
    ka_manifest_free(self->manifest);
    ka_diagnostics_free(self->diagnostics);
    g_free(self->messages);
    g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Loaded, loaded_free)

static inline KaObject *
loaded_find(const Loaded *self, const char *kind, const char *name)
{
    if (!self->manifest)
        fail_msg("refused:\n%s", self->messages);
    KaObject *object = ka_manifest_find(self->manifest, ka_kind_find(kind), name);
    assert_non_null(object);
    return object;
}

/* Names of an array of borrowed KaObject, space-separated. Caller frees. */
static inline char *
names_of(const GPtrArray *objects)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < objects->len; i++)
        g_string_append_printf(out, "%s%s", i ? " " : "",
                               ((const KaObject *)g_ptr_array_index(objects, i))->name);
    return g_string_free(out, FALSE);
}
