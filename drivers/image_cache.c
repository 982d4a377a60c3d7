#include "drivers/image_cache.h"
#include "drivers/cache.h"
#include "drivers/fetch.h"
#include "drivers/sparse_copy.h"
#include <json-glib/json-glib.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD ".json"
#define PACKAGES ".spdx.json"

static void
cached_free(gpointer data)
{
    KaCached *cached = data;

    g_free(cached->path);
    g_free(cached->id);
    g_free(cached->name);
    g_free(cached->built);
    g_free(cached);
}

/* What the record beside a built image says of it. */
static void
read_record(KaCached *cached)
{
    g_autofree char *name = g_strconcat(cached->id, RECORD, NULL);
    g_autofree char *path = ka_cache_path(KA_CACHE_IMAGES, name);
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *object = NULL;

    if (!json_parser_load_from_file(parser, path, NULL) ||
        !JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser)))
        return;
    object = json_node_get_object(json_parser_get_root(parser));
    cached->name = g_strdup(json_object_get_string_member_with_default(object, "name", NULL));
    cached->built = g_strdup(json_object_get_string_member_with_default(object, "built", NULL));
}

static void
add_file(GPtrArray *list, KaCachedKind kind, const char *folder, const char *name)
{
    KaCached *cached = NULL;
    g_autofree char *path = ka_cache_path(folder, name);
    struct stat status;

    if (g_str_has_suffix(name, RECORD) || g_str_has_suffix(name, ".lock") ||
        lstat(path, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    cached = g_new0(KaCached, 1);
    cached->kind = kind;
    cached->path = g_steal_pointer(&path);
    cached->id = kind == KA_CACHED_IMAGE ? g_strndup(name, strcspn(name, ".")) : g_strdup(name);
    cached->size_bytes = (guint64)status.st_size;
    cached->used_bytes = (guint64)status.st_blocks * 512;
    if (kind == KA_CACHED_IMAGE)
        read_record(cached);
    g_ptr_array_add(list, cached);
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    const KaCached *x = *(const KaCached *const *)a, *y = *(const KaCached *const *)b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (g_strcmp0(x->name, y->name) != 0)
        return g_strcmp0(x->name, y->name);
    return g_strcmp0(x->built ? x->built : x->id, y->built ? y->built : y->id);
}

GPtrArray *
ka_image_cache_list(void)
{
    static const struct {
        KaCachedKind kind;
        const char *folder;
    } folders[] = {
        {KA_CACHED_IMAGE,    KA_CACHE_IMAGES   },
        {KA_CACHED_DOWNLOAD, KA_CACHE_DOWNLOADS},
        {KA_CACHED_PARTIAL,  KA_CACHE_PARTIAL  },
    };
    GPtrArray *list = g_ptr_array_new_with_free_func(cached_free);

    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = ka_cache_path(folders[i].folder, NULL);
        g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);

        for (const char *name = folder ? g_dir_read_name(folder) : NULL; name;
             name = g_dir_read_name(folder))
            add_file(list, folders[i].kind, folders[i].folder, name);
    }
    g_ptr_array_sort(list, compare);
    return list;
}

/* Whoever writes it holds this. */
static char *
lock_of(const KaCached *cached)
{
    switch (cached->kind) {
    case KA_CACHED_IMAGE:
        return g_strconcat("image-", cached->id, NULL);
    case KA_CACHED_DOWNLOAD:
        return g_strconcat("sha256-", cached->id, NULL);
    case KA_CACHED_PARTIAL:
        return g_strndup(cached->id, strcspn(cached->id, "."));
    }
    g_assert_not_reached();
}

static gboolean
remove_file(const char *path, GError **error)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't remove '%s': %s", path,
                g_strerror(errno));
    return FALSE;
}

/* The image goes first: its records alone are taken for nothing. */
gboolean
ka_image_cache_remove(const KaCached *cached, GError **error)
{
    g_autofree char *name = lock_of(cached);
    g_autoptr(KaCacheLock) lock = ka_cache_try_lock(name, error);
    static const char *const beside[] = {RECORD, PACKAGES};

    if (lock == NULL || !remove_file(cached->path, error))
        return FALSE;
    for (gsize i = 0; cached->kind == KA_CACHED_IMAGE && i < G_N_ELEMENTS(beside); i++) {
        g_autofree char *other = g_strconcat(cached->id, beside[i], NULL);
        g_autofree char *path = ka_cache_path(KA_CACHE_IMAGES, other);
        if (!remove_file(path, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
ka_image_cache_belongs(const KaCached *cached, KaHost *host, const KaObject *image)
{
    g_autofree char *identity = NULL, *key = NULL, *sha256 = NULL;

    switch (cached->kind) {
    case KA_CACHED_IMAGE:
        identity = ka_image_source_identity(host, image, NULL);
        key = identity ? ka_recipe_key(image, identity, NULL) : NULL;
        return g_strcmp0(key, cached->id) == 0;
    case KA_CACHED_DOWNLOAD:
        sha256 = ka_image_source_cached(image);
        return g_strcmp0(sha256, cached->id) == 0;
    case KA_CACHED_PARTIAL:
        return FALSE;
    }
    g_assert_not_reached();
}

gboolean
ka_image_cache_export(const KaBuilt *built,
                      const char *path,
                      const KaAction *action,
                      const KaProgress *progress,
                      GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autofree char *temporary = g_strdup_printf("%s/.%s.kvmapply-partial", folder, name);
    int from = open(built->path, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1
                      : open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    gboolean done = FALSE;

    if (to < 0)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't open '%s': %s",
                    from < 0 ? built->path : temporary, g_strerror(errno));
    else
        done = ka_sparse_copy(from, to, "copies the image", action, progress, error) &&
               ka_publish(to, temporary, path, error);
    if (to >= 0 && !done)
        unlink(temporary);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    return done;
}
