#include "drivers/image_part.h"

/* Bases that nothing needs any longer. */

static void
place_free(gpointer data)
{
    KaBasePlace *place = data;

    g_free(place->pool);
    g_free(place->name);
    g_free(place);
}

static gboolean
list_pool(virStoragePoolPtr pool, GPtrArray *places, GError **error)
{
    virStorageVolPtr *volumes = NULL;
    int n = 0;

    virStoragePoolRefresh(pool, 0);
    n = virStoragePoolListAllVolumes(pool, &volumes, 0);
    if (n < 0)
        return ka_libvirt_error(error, "can't list pool '%s'", virStoragePoolGetName(pool));
    for (int i = 0; i < n; i++) {
        if (g_str_has_prefix(virStorageVolGetName(volumes[i]), KA_BASE_PREFIX)) {
            KaBasePlace *place = g_new0(KaBasePlace, 1);
            place->pool = g_strdup(virStoragePoolGetName(pool));
            place->name = g_strdup(virStorageVolGetName(volumes[i]));
            g_ptr_array_add(places, place);
        }
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return TRUE;
}

GPtrArray *
ka_base_list(KaHost *host, GError **error)
{
    g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func(place_free);
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(ka_link(host)->conn, &pools,
                                          VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    gboolean done = n >= 0 || ka_libvirt_error(error, "can't list pools");

    for (int i = 0; i < n; i++) {
        done = done && list_pool(pools[i], places, error);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return done ? g_steal_pointer(&places) : NULL;
}

static gboolean
remove_unused(KaHost *host,
              virStorageVolPtr volume,
              gboolean dry_run,
              gboolean *ret_removed,
              char **ret_why,
              GError **error)
{
    char *path = virStorageVolGetPath(volume);
    g_autoptr(GPtrArray) users = path ? ka_users_of(host, path, error) : NULL;

    free(path);
    if (users == NULL)
        return FALSE;
    *ret_removed = users->len == 0;
    if (users->len)
        *ret_why = g_strdup(((const KaUser *)g_ptr_array_index(users, 0))->by);
    else if (!dry_run && virStorageVolDelete(volume, 0) < 0)
        return ka_libvirt_error(error, "can't be removed");
    return TRUE;
}

/* Under its lock nobody makes anything of it, under its mark nobody uploads it. */
gboolean
ka_base_prune(KaHost *host,
              const KaAction *action,
              const KaBasePlace *place,
              gboolean dry_run,
              const KaProgress *progress,
              gboolean *ret_removed,
              char **ret_why,
              GError **error)
{
    g_autoptr(virStoragePool) pool =
        virStoragePoolLookupByName(ka_link(host)->conn, place->pool);
    g_autoptr(KaPool) read = NULL;
    const char *pool_type = NULL;
    g_autoptr(virStorageVol) volume = NULL;
    KaMarker *lock = NULL, *marker = NULL;
    gboolean done = FALSE;

    if (pool == NULL)
        return ka_libvirt_error(error, "can't find pool '%s'", place->pool);
    read = ka_pool_read(pool, TRUE, FALSE, error);
    if (read == NULL)
        return FALSE;
    pool_type = g_intern_string(read->type);
    lock = ka_base_lock(pool, pool_type, action, place->name, progress, error);
    if (lock)
        marker = ka_marker_take(pool, pool_type, action, place->name, FALSE, progress, error);
    volume = marker ? virStorageVolLookupByName(pool, place->name) : NULL;
    if (volume)
        done = remove_unused(host, volume, dry_run, ret_removed, ret_why, error);
    else if (marker)
        done = *ret_removed = TRUE;
    if (marker)
        ka_marker_end(marker, done || !ka_marker_is_stale(marker));
    if (lock)
        ka_marker_end(lock, TRUE);
    return done;
}
