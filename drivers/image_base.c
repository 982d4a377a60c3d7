#include "drivers/image_part.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOCK_SUFFIX ".lock"

char *
ka_base_name(const KaObject *image, const char *key)
{
    return g_strdup_printf(KA_BASE_PREFIX "%s-%.*s", image->name, KA_KEY_SHORT, key);
}

const KaObject *
ka_disk_image(const KaObject *disk)
{
    const char *name = ka_node_text(disk->node, "image");

    for (guint i = 0; name && i < disk->needs->len; i++) {
        const KaObject *object = g_ptr_array_index(disk->needs, i);
        if (object->kind == &ka_kind_image && g_str_equal(object->name, name))
            return object;
    }
    return NULL;
}

gboolean
ka_disk_is_linked(const KaObject *disk, const char *pool_type)
{
    const char *clone = ka_node_text(disk->node, "clone");

    if (clone)
        return g_str_equal(clone, "linked");
    return ka_pool_keeps_files(pool_type) &&
           g_str_equal(ka_disk_format(disk, pool_type), "qcow2");
}

/* --- keys --- */

const char *
ka_base_key(KaHost *host, const KaObject *image)
{
    KaLink *link = ka_link(host);
    g_autofree char *identity = NULL, *key = NULL;
    const char *known = NULL;

    g_mutex_lock(&link->lock);
    known = g_hash_table_lookup(link->image_keys, image->name);
    g_mutex_unlock(&link->lock);
    if (known)
        return *known ? known : NULL;
    identity = ka_image_source_identity(host, image, NULL);
    key = identity ? ka_recipe_key(image, identity, NULL) : NULL;
    ka_base_set_key(host, image, key ? key : "");
    return g_intern_string(key);
}

void
ka_base_set_key(KaHost *host, const KaObject *image, const char *key)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    g_hash_table_insert(link->image_keys, ka_borrow(g_intern_string(image->name)),
                        ka_borrow(g_intern_string(key)));
}

gboolean
ka_base_is_there(KaHost *host, const char *pool, const char *name)
{
    g_autoptr(KaVolume) volume = ka_link_volume(host, pool, name);

    return volume && !ka_volume_is_half(host, pool, name);
}

char *
ka_base_remark(KaHost *host, const KaObject *disk, const char *backing)
{
    const KaObject *image = ka_disk_image(disk);
    g_autofree char *prefix = image ? g_strdup_printf(KA_BASE_PREFIX "%s-", image->name) : NULL;
    g_autofree char *file = g_path_get_basename(backing);
    const char *key = NULL, *old = NULL;

    if (image == NULL || !g_str_has_prefix(file, prefix))
        return NULL;
    old = file + strlen(prefix);
    key = strlen(old) == KA_KEY_SHORT ? ka_base_key(host, image) : NULL;
    if (key == NULL || strncmp(key, old, KA_KEY_SHORT) == 0)
        return NULL;
    return g_strdup_printf("stands on build %s of image '%s', which is now %.*s; --replace disk/%s "
                           "would make it anew",
                           old, image->name, KA_KEY_SHORT, key, disk->name);
}

/* --- into a pool --- */

typedef struct {
    KaHost *host;
    const KaAction *action;
    const KaProgress *progress;
    virStoragePoolPtr pool;
    const char *pool_name, *pool_type, *name, *format;
    KaMarker *marker;
} Putting;

static virStorageVolPtr
make_room(const Putting *putting, guint64 size_bytes, GError **error)
{
    g_autofree char *text = g_markup_printf_escaped(
        "<volume><name>%s</name><capacity unit='bytes'>%" G_GUINT64_FORMAT "</capacity>%s"
        "<target><format type='raw'/></target></volume>",
        putting->name, size_bytes,
        ka_pool_keeps_files(putting->pool_type) ? "<allocation>0</allocation>" : "");
    virStorageVolPtr volume = virStorageVolCreateXML(putting->pool, text, 0);

    if (volume == NULL)
        ka_libvirt_error(error, "can't make volume '%s' in pool '%s'", putting->name,
                         putting->pool_name);
    return volume;
}

static gboolean
upload(const Putting *putting, int fd, GError **error)
{
    off_t size = lseek(fd, 0, SEEK_END);
    g_autoptr(virStorageVol) volume = make_room(putting, (guint64)MAX(size, 0), error);
    char *path = NULL;

    if (volume == NULL ||
        !ka_upload(volume, fd, putting->action, putting->marker, putting->progress, error) ||
        (!g_str_equal(putting->format, "raw") &&
         !ka_disk_wait_for_format(putting->pool, putting->pool_type, volume, putting->format,
                                  putting->action, putting->progress, error)))
        return FALSE;
    path = virStorageVolGetPath(volume);
    ka_volume_note(putting->host, putting->pool_name, putting->name, path ? path : "");
    free(path);
    return TRUE;
}

/* The volume is whole where no run was cut beside it: whoever had the marker before was through. */
static gboolean
put_marked(const Putting *putting, int fd, gboolean *ret_clean, GError **error)
{
    g_autoptr(virStorageVol) there = virStorageVolLookupByName(putting->pool, putting->name);
    char *path = there ? virStorageVolGetPath(there) : NULL;

    if (path && !ka_marker_is_stale(putting->marker)) {
        ka_volume_note(putting->host, putting->pool_name, putting->name, path);
        free(path);
        return TRUE;
    }
    free(path);
    *ret_clean = ka_disk_clear_half(putting->host, putting->action, putting->pool, putting->name,
                                    putting->marker, putting->progress, error);
    return *ret_clean && upload(putting, fd, error);
}

static gboolean
put(Putting *putting, int fd, GError **error)
{
    gboolean clean = FALSE, done = FALSE;

    putting->marker = ka_marker_take(putting->pool, putting->pool_type, putting->action,
                                     putting->name, TRUE, putting->progress, error);
    if (putting->marker == NULL)
        return FALSE;
    done = put_marked(putting, fd, &clean, error);
    ka_marker_end(putting->marker,
                  done || (clean ? ka_disk_discard(putting->pool, putting->name, putting->marker)
                                 : !ka_marker_is_stale(putting->marker)));
    return done;
}

static virStoragePoolPtr
find_pool(KaHost *host, const char *name, const char **ret_type, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ka_link(host)->conn, name);

    *ret_type = ka_link_pool_type(host, name);
    if (pool == NULL) {
        ka_libvirt_error(error, "can't find pool '%s'", name);
    } else if (*ret_type == NULL) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "pool '%s' is inactive: start it first", name);
        g_clear_pointer(&pool, virStoragePoolFree);
    }
    return pool;
}

gboolean
ka_base_put(KaHost *host,
            const KaAction *action,
            const char *pool_name,
            const KaBuilt *built,
            const KaProgress *progress,
            GError **error)
{
    const char *pool_type = NULL;
    g_autoptr(virStoragePool) pool = find_pool(host, pool_name, &pool_type, error);
    g_autofree char *name = ka_base_name(action->object, built->key);
    const char *format = ka_node_text(action->object->node, "format");
    guint64 size_bytes = 0;
    int fd = pool ? open(built->path, O_RDONLY | O_CLOEXEC) : -1;
    gboolean done = FALSE;

    if (pool == NULL)
        return FALSE;
    if (fd < 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't read '%s': %s",
                    built->path, g_strerror(errno));
        return FALSE;
    }
    Putting putting = {host, action, progress, pool, pool_name, pool_type, name, format, NULL};
    done = ka_image_check(fd, format, built->path, &size_bytes, error) && put(&putting, fd, error);
    close(fd);
    return done;
}

/* --- out of a pool --- */

KaMarker *
ka_base_lock(virStoragePoolPtr pool,
          const char *pool_type,
          const KaAction *action,
          const char *name,
          const KaProgress *progress,
          GError **error)
{
    g_autofree char *lock = g_strconcat(name, LOCK_SUFFIX, NULL);

    return ka_marker_take(pool, pool_type, action, lock, FALSE, progress, error);
}

void
ka_base_close(KaBase *base)
{
    if (base == NULL)
        return;
    if (base->volume)
        virStorageVolFree(base->volume);
    if (base->lock)
        ka_marker_end(base->lock, TRUE);
    g_free(base->path);
    g_free(base->format);
    g_free(base);
}

/* What libvirt sees must be what was uploaded: else something else lies under the name. */
static gboolean
read_base(KaBase *base, const char *pool_type, const char *format, GError **error)
{
    g_autoptr(KaDocument) document = ka_disk_read(base->volume, pool_type, error);
    g_autofree char *seen = document ? ka_document_get(document, "format") : NULL;
    g_autofree char *backing = document ? ka_document_get(document, "backing-path") : NULL;
    g_autofree char *size = document ? ka_document_get(document, "size") : NULL;
    char *path = virStorageVolGetPath(base->volume);

    base->path = g_strdup(path);
    base->format = g_strdup(format);
    base->capacity_bytes = size ? g_ascii_strtoull(size, NULL, 10) : 0;
    free(path);
    if (document && base->path && !backing && g_strcmp0(seen, format) == 0)
        return TRUE;
    if (document)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "volume '%s' is %s by its image, but looks like %s%s: it is not opened",
                    virStorageVolGetName(base->volume), format, seen ? seen : "nothing known",
                    backing ? " on another file" : "");
    return FALSE;
}

KaBase *
ka_base_open(KaHost *host,
             const KaAction *action,
             const char *pool_name,
             const KaObject *image,
             const KaProgress *progress,
             GError **error)
{
    const char *key = ka_base_key(host, image), *pool_type = NULL;
    g_autoptr(virStoragePool) pool = find_pool(host, pool_name, &pool_type, error);
    g_autofree char *name = key ? ka_base_name(image, key) : NULL;
    g_autoptr(KaBase) base = g_new0(KaBase, 1);

    if (pool == NULL)
        return NULL;
    if (name)
        base->lock = ka_base_lock(pool, pool_type, action, name, progress, error);
    if (name && base->lock == NULL)
        return NULL;
    base->volume = name ? virStorageVolLookupByName(pool, name) : NULL;
    if (base->volume == NULL) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "pool '%s' has no base of image '%s' as it is now: plan again", pool_name,
                    image->name);
        return NULL;
    }
    return read_base(base, pool_type, ka_node_text(image->node, "format"), error)
               ? g_steal_pointer(&base)
               : NULL;
}

