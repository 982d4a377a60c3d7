#include "drivers/storage.h"

#include <unistd.h>

static guint64
node_size(const KaNode *node)
{
    return node && node->text ? g_ascii_strtoull(node->text, NULL, 10) : 0;
}

/* A running guest has libvirt lend it the file: owner and label are then not the volume's own. */
static gboolean
is_lent(KaHost *host, const char *path)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    for (guint i = 0; i < link->uses->len; i++) {
        const KaUse *use = g_ptr_array_index(link->uses, i);
        if (use->running && g_str_equal(use->path, path))
            return TRUE;
    }
    return FALSE;
}

static void
drop_lent(KaAction *action)
{
    for (guint i = action->notes->len; i-- > 0;) {
        const KaChange *note = g_ptr_array_index(action->notes, i);
        if (g_str_has_prefix(note->path, "permissions"))
            g_ptr_array_remove_index(action->notes, i);
    }
}

/* A smaller size is said, never done. */
static void
note_shrinking(KaAction *action)
{
    for (guint i = action->changes->len; i-- > 0;) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        if (!g_str_equal(change->path, "size") || node_size(change->to) >= node_size(change->from))
            continue;
        change->way = KA_ONCE;
        g_ptr_array_add(action->notes, g_ptr_array_steal_index(action->changes, i));
        g_ptr_array_add(action->remarks, g_strdup("disks don't shrink: it keeps its size"));
        action->words &= ~(KaWords)KA_WORD_ADOPT;
    }
}

static gboolean
declares_pool(const KaObject *disk, const char *pool)
{
    for (guint i = 0; i < disk->needs->len; i++) {
        const KaObject *object = g_ptr_array_index(disk->needs, i);
        if (object->kind == ka_kind_find("pool") && g_str_equal(object->name, pool))
            return TRUE;
    }
    return FALSE;
}

static gboolean
assess_create(KaHost *host, const KaAction *action, GError **error)
{
    const char *pool = ka_disk_pool(action->object), *name = ka_disk_volume(action->object);
    guint64 size = 0;
    int fd = -1;

    if (ka_link_pool_type(host, pool) == NULL && !declares_pool(action->object, pool)) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "host '%s' has no active pool '%s', and no manifest declares one", host->name,
                    pool);
        return FALSE;
    }
    if (ka_volume_is_half(host, pool, name))
        g_ptr_array_add(action->remarks,
                        g_strdup("half-made by a run that was cut: it is made anew"));
    if (ka_node_text(action->object->node, "content") == NULL)
        return TRUE;
    fd = ka_disk_open_content(action->object, &size, error);
    return fd >= 0 && close(fd) == 0;
}

static gboolean
grows(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (g_str_equal(change->path, "size"))
            return TRUE;
    }
    return FALSE;
}

/* Pool and name of the volume that an action is about. */
static void
place_of(const KaAction *action, const char **ret_pool, const char **ret_name)
{
    const KaNode *config = action->object ? NULL : action->actual->config->root;

    *ret_pool = action->object ? ka_disk_pool(action->object) : ka_node_text(config, "pool");
    *ret_name = action->object ? ka_disk_volume(action->object) : ka_node_text(config, "volume");
}

/* What uses it and won't go in this plan refuses the plan; the rest is looked at before it is done.
 */
static gboolean
assess_users(KaHost *host, const KaAction *action, const KaVolume *volume, GError **error)
{
    g_autofree char *what = g_strdup_printf("its volume '%s' can't be removed", volume->name);

    switch (action->verb) {
    case KA_CREATE:
        return TRUE;
    case KA_CHANGE:
        return !grows(action) || !volume->handle ||
               ka_disk_can_grow(host, volume->handle, action->name, error);
    case KA_REPLACE:
        return ka_users_none(host, what, volume->path, action->project, error);
    case KA_REMOVE:
        return action->left_over ||
               ka_users_none_foreign(host, what, volume->path, action->project, error);
    }
    g_assert_not_reached();
}

/* A guest that goes in the same plan stays defined until this is gone. */
static void
note_going(KaHost *host, const char *pool, const char *name, gboolean going)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    g_autofree char *address = g_strdup_printf("%s/%s", pool, name);

    if (going)
        g_hash_table_add(link->volumes_going, g_steal_pointer(&address));
    else
        g_hash_table_remove(link->volumes_going, address);
}

gboolean
ka_disk_assess(KaHost *host, KaAction *action, GError **error)
{
    const char *pool = NULL, *name = NULL;
    g_autoptr(KaVolume) volume = NULL;

    place_of(action, &pool, &name);
    volume = ka_link_volume(host, pool, name);
    if (volume && is_lent(host, volume->path))
        drop_lent(action);
    note_shrinking(action);
    if (action->object && action->verb != KA_CHANGE && action->verb != KA_REMOVE &&
        !assess_create(host, action, error))
        return FALSE;
    if (volume && action->verb == KA_REMOVE && !action->left_over)
        note_going(host, pool, name, TRUE);
    return volume == NULL || assess_users(host, action, volume, error);
}

/* --- act --- */

static virStorageVolPtr
look_up(KaHost *host, const char *pool_name, const char *name, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, pool_name);
    virStorageVolPtr volume = pool ? virStorageVolLookupByName(pool, name) : NULL;

    if (volume == NULL)
        ka_libvirt_error(error, "can't find volume '%s' in pool '%s'", name, pool_name);
    return volume;
}

static gboolean
is_as_planned(KaHost *host, virStorageVolPtr volume, const KaAction *action, GError **error)
{
    const char *pool_type = ka_link_pool_type(host, ka_disk_pool(action->object));
    g_autoptr(KaDocument) document = ka_disk_read(volume, pool_type, error);
    g_autofree char *digest = document ? ka_disk_digest(document) : NULL;

    if (digest == NULL)
        return FALSE;
    if (g_strcmp0(digest, action->actual->digest) == 0)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                "disk '%s' has changed since the plan: plan again", action->name);
    return FALSE;
}

gboolean
ka_disk_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const char *pool = ka_disk_pool(action->object), *name = ka_disk_volume(action->object);
    g_autoptr(virStorageVol) volume = look_up(host, pool, name, error);

    (void)progress;
    if (volume == NULL || !is_as_planned(host, volume, action, error))
        return FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change_of = g_ptr_array_index(action->changes, i);

        if (g_str_equal(change_of->path, "size") && node_size(change_of->to) > 0 &&
            !ka_disk_grow(host, volume, action->name, node_size(change_of->to), error))
            return FALSE;
    }
    return TRUE;
}

/* The marker goes last, and only once nobody is at work on what it stands for. */
static gboolean
remove_half(KaHost *host,
            KaAction *action,
            const char *pool_name,
            const char *name,
            const KaProgress *progress,
            GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, pool_name);
    const char *pool_type = ka_link_pool_type(host, pool_name);
    KaMarker *marker = pool && pool_type
                           ? ka_marker_take(pool, pool_type, action, name, FALSE, progress, error)
                           : NULL;
    gboolean done = marker && ka_disk_clear_half(host, action, pool, name, marker, progress, error);

    if (pool == NULL)
        ka_libvirt_error(error, "can't find pool '%s'", pool_name);
    if (marker)
        ka_marker_end(marker, done || !ka_marker_is_stale(marker));
    return done;
}

gboolean
ka_disk_remove(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const char *pool = NULL, *name = NULL;
    place_of(action, &pool, &name);
    if (ka_volume_is_half(host, pool, name))
        return remove_half(host, action, pool, name, progress, error);
    const char *project = action->verb == KA_REPLACE ? action->project : NULL;
    g_autoptr(virStorageVol) volume = look_up(host, pool, name, error);
    g_autofree char *what = g_strdup_printf("disk '%s' can't be removed", action->name);
    g_autoptr(KaVolume) known = ka_link_volume(host, pool, name);
    guint tries = 0;

    if (volume == NULL || (known && !ka_users_none(host, what, known->path, project, error)))
        return FALSE;
    while (virStorageVolDelete(volume, 0) < 0) {
        if (!ka_pool_is_busy(progress, &tries))
            return ka_libvirt_error(error, "can't remove volume '%s' in pool '%s'", name, pool);
    }
    ka_volume_forget(host, pool, name);
    note_going(host, pool, name, FALSE);
    if (action->verb == KA_REPLACE)
        return TRUE; /* its successor belongs to the same guests */
    g_autofree char *address = g_strdup_printf("%s/%s", pool, name);
    return ka_guests_disclaim(host, action->project, address, error);
}
