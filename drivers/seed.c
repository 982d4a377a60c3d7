#include "drivers/seed.h"
#include "drivers/half.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the making of one seed's volume goes by. */
typedef struct {
    KaHost *host;
    const KaAction *action;
    const KaProgress *progress;
    const KaSeed *seed;
    const char *pool_type;
    virStoragePoolPtr pool; /* borrowed */
} Making;

/* --- its bytes --- */

static GBytes *
content(const KaSeed *seed, GError **error)
{
    if (seed->label)
        return ka_seed_iso(seed, error);
    const char *text = g_array_index(seed->files, KaSeedFile, 0).text;
    return g_bytes_new(text, strlen(text));
}

/* In memory alone: there may be secrets in it. -1 with an error. Caller closes. */
static int
open_content(GBytes *bytes, GError **error)
{
    gsize size = 0, written = 0;
    const char *data = g_bytes_get_data(bytes, &size);
    int fd = memfd_create("kvmapply-seed", MFD_CLOEXEC);

    while (fd >= 0 && written < size) {
        gssize n = write(fd, data + written, size - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            fd = -1;
        }
        written += (gsize)MAX(n, 0);
    }
    if (fd < 0)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't hold it in memory: %s",
                    g_strerror(errno));
    return fd;
}

/* --- its volume --- */

static virStorageVolPtr
create_volume(const Making *making, gsize size_bytes, GError **error)
{
    g_autofree char *text = g_markup_printf_escaped(
        "<volume><name>%s</name><capacity unit='bytes'>%" G_GSIZE_FORMAT
        "</capacity><target><format type='raw'/><permissions><mode>0600</mode></permissions>"
        "</target></volume>",
        making->seed->volume, size_bytes);
    virStorageVolPtr volume = virStorageVolCreateXML(making->pool, text, 0);

    if (!volume)
        ka_libvirt_error(error, "can't make volume '%s' in pool '%s'", making->seed->volume,
                         making->seed->pool);
    return volume;
}

static gboolean
fill(const Making *making, KaMarker *marker, GError **error)
{
    g_autoptr(GBytes) bytes = content(making->seed, error);
    int fd = bytes ? open_content(bytes, error) : -1;

    if (fd < 0)
        return FALSE;
    g_autoptr(virStorageVol) volume = create_volume(making, g_bytes_get_size(bytes), error);
    gboolean done =
        volume && ka_upload(volume, fd, making->action, marker, making->progress, error);
    close(fd);
    if (!done && volume && !ka_marker_is_lost(marker))
        virStorageVolDelete(volume, 0);
    return done;
}

static gboolean
exists(const Making *making, const char *name)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(making->pool, name);

    return volume != NULL;
}

/* By itself alone what is there is whole: in that order, since a marker is made first and removed
 * last. */
static gboolean
is_whole(const Making *making)
{
    gboolean there = exists(making, making->seed->volume);
    g_autoptr(KaHalf) mark = ka_half_find(making->pool, making->pool_type, making->seed->volume);

    return there && mark == NULL;
}

static void
note(const Making *making)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(making->pool, making->seed->volume);
    char *path = volume ? virStorageVolGetPath(volume) : NULL;

    if (path)
        ka_volume_note(making->host, making->seed->pool, making->seed->volume, path);
    free(path);
}

/* Another kvmapply may have made it while this one waited for the marker. */
static gboolean
make(const Making *making, GError **error)
{
    KaMarker *marker = ka_marker_take(making->pool, making->pool_type, making->action,
                                      making->seed->volume, FALSE, making->progress, error);

    if (!marker)
        return FALSE;
    gboolean stale = ka_marker_is_stale(marker);
    gboolean there = !stale && exists(making, making->seed->volume);
    gboolean clear =
        there || ka_disk_clear_half(making->host, making->action, making->pool,
                                    making->seed->volume, marker, making->progress, error);
    gboolean done = there || (clear && fill(making, marker, error));
    ka_marker_end(marker, done || clear || !stale);
    return done;
}

gboolean
ka_seed_make(KaHost *host, const KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(KaSeed) seed = ka_seed_new(action->object);

    if (!seed)
        return TRUE;
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, seed->pool);
    Making making = {host, action, progress, seed, ka_link_pool_type(host, seed->pool), pool};
    if (!pool)
        return ka_libvirt_error(error, "can't find pool '%s' of its seed", seed->pool);
    if (!making.pool_type) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "pool '%s' of its seed is inactive: start it first", seed->pool);
        return FALSE;
    }
    if (!is_whole(&making) && !make(&making, error)) {
        g_prefix_error(error, "its seed: ");
        return FALSE;
    }
    note(&making);
    return TRUE;
}

gboolean
ka_seed_assess(KaHost *host, const KaAction *action, GError **error)
{
    g_autoptr(KaSeed) seed = action->object ? ka_seed_new(action->object) : NULL;

    if (!seed || action->verb == KA_REMOVE || ka_link_pool_type(host, seed->pool))
        return TRUE;
    for (guint i = 0; i < action->object->needs->len; i++) {
        const KaObject *need = g_ptr_array_index(action->object->needs, i);
        if (need->kind == ka_kind_find("pool") && g_str_equal(need->name, seed->pool))
            return TRUE;
    }
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "its seed is to be in pool '%s', but host '%s' has no such active pool, and no "
                "manifest declares one",
                seed->pool, host->name);
    return FALSE;
}

/* --- what is left of earlier ones --- */

/* The volumes that are known of a guest's seeds but for one; owned copies. */
static GPtrArray *
list_volumes(KaHost *host, const char *guest, const KaSeed *but)
{
    KaLink *link = ka_link(host);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)ka_volume_free);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    const GPtrArray *seeds = g_hash_table_lookup(link->seeds, guest);

    for (guint i = 0; seeds && i < seeds->len; i++) {
        const KaVolume *volume = g_ptr_array_index(seeds, i);
        if (!but || !g_str_equal(volume->name, but->volume) ||
            !g_str_equal(volume->pool, but->pool))
            g_ptr_array_add(list, ka_volume_copy(volume));
    }
    return list;
}

static gboolean
says(const KaNode *node, const char *text)
{
    gboolean found = node && g_strcmp0(node->text, text) == 0;

    for (const KaNode *child = node ? node->first : NULL; child && !found; child = child->next)
        found = says(child, text);
    return found;
}

/* In its definition, or still in the guest that runs. */
static gboolean
has_volume(const KaActual *actual, const char *pool, const char *name)
{
    g_autofree char *address = g_strdup_printf("%s/%s", pool, name);

    return says(actual->config ? actual->config->root : NULL, address) ||
           says(actual->live ? actual->live->root : NULL, address);
}

char *
ka_seed_unsettled(KaHost *host,
                  const KaObject *object,
                  const KaActual *actual,
                  gboolean *ret_missing)
{
    g_autoptr(KaSeed) seed = ka_seed_new(object);
    g_autoptr(GPtrArray) others = list_volumes(host, object->name, seed);
    g_autoptr(KaVolume) own = seed ? ka_link_volume(host, seed->pool, seed->volume) : NULL;

    if (!actual->record)
        return NULL;
    *ret_missing = seed && !own && ka_link_pool_type(host, seed->pool) &&
                   has_volume(actual, seed->pool, seed->volume);
    if (*ret_missing)
        return g_strdup(seed->volume);
    for (guint i = 0; i < others->len; i++) {
        const KaVolume *other = g_ptr_array_index(others, i);
        if (!has_volume(actual, other->pool, other->name))
            return g_strdup(other->name);
    }
    return NULL;
}

static gboolean
remove_volume(KaHost *host, const KaVolume *known, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, known->pool);
    g_autoptr(virStorageVol) volume = pool ? virStorageVolLookupByName(pool, known->name) : NULL;
    g_autoptr(GPtrArray) users = volume ? ka_users_of(host, known->path, error) : NULL;

    if (volume && !users)
        return FALSE;
    if (users && users->len)
        return TRUE;
    if (volume && virStorageVolDelete(volume, 0) < 0)
        return ka_libvirt_error(error, "can't remove volume '%s' in pool '%s'", known->name,
                                known->pool);
    ka_volume_forget(host, known->pool, known->name);
    return TRUE;
}

gboolean
ka_seed_sweep(KaHost *host, const KaAction *action, gboolean all, GError **error)
{
    g_autoptr(KaSeed) seed = all || !action->object ? NULL : ka_seed_new(action->object);
    g_autoptr(GPtrArray) volumes = list_volumes(host, action->name, seed);

    for (guint i = 0; i < volumes->len; i++)
        if (!remove_volume(host, g_ptr_array_index(volumes, i), error))
            return FALSE;
    return TRUE;
}
