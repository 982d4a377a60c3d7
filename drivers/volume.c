#include "drivers/half.h"
#include "manifest/seed.h"

static char *
address_of(const char *pool, const char *name)
{
    return g_strdup_printf("%s/%s", pool, name);
}

KaVolume *
ka_volume_copy(const KaVolume *volume)
{
    KaVolume *copy = NULL;

    if (volume == NULL)
        return NULL;
    copy = g_new0(KaVolume, 1);
    copy->name = g_strdup(volume->name);
    copy->pool = g_strdup(volume->pool);
    copy->path = g_strdup(volume->path);
    if (volume->handle && virStorageVolRef(volume->handle) == 0)
        copy->handle = volume->handle;
    return copy;
}

static void
count_name(KaLink *link, const char *name, int by)
{
    int count = GPOINTER_TO_INT(g_hash_table_lookup(link->volume_names, name));

    g_hash_table_insert(link->volume_names, g_strdup(name), GINT_TO_POINTER(count + by));
}

static void
count_seed(KaLink *link, KaVolume *volume, gboolean is_there)
{
    g_autofree char *guest = ka_seed_guest(volume->name);
    GPtrArray *seeds = guest ? g_hash_table_lookup(link->seeds, guest) : NULL;

    if (!guest)
        return;
    if (!seeds) {
        seeds = g_ptr_array_new();
        g_hash_table_insert(link->seeds, g_steal_pointer(&guest), seeds);
    }
    if (is_there)
        g_ptr_array_add(seeds, volume);
    else
        g_ptr_array_remove(seeds, volume);
}

static void
forget(KaLink *link, const char *address)
{
    KaVolume *old = g_hash_table_lookup(link->volumes_by_name, address);

    if (old == NULL)
        return;
    count_name(link, old->name, -1);
    count_seed(link, old, FALSE);
    if (g_hash_table_lookup(link->volumes_by_path, old->path) == old)
        g_hash_table_remove(link->volumes_by_path, old->path);
    g_hash_table_remove(link->volumes_by_name, address);
}

static void
note(KaHost *host, const char *pool, const char *name, const char *path, virStorageVolPtr handle)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    g_autofree char *address = address_of(pool, name);
    KaVolume *volume = g_new0(KaVolume, 1);

    volume->name = g_strdup(name);
    volume->pool = g_strdup(pool);
    volume->path = g_strdup(path);
    volume->handle = handle;
    forget(link, address);
    count_name(link, name, 1);
    count_seed(link, volume, TRUE);
    g_hash_table_insert(link->volumes_by_path, g_strdup(path), volume);
    g_hash_table_insert(link->volumes_by_name, g_steal_pointer(&address), volume);
}

void
ka_volume_note(KaHost *host, const char *pool, const char *name, const char *path)
{
    note(host, pool, name, path, NULL);
}

void
ka_volume_forget(KaHost *host, const char *pool, const char *name)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    g_autofree char *address = address_of(pool, name);

    forget(link, address);
}

static void
note_half(KaHost *host, const char *pool, const char *name)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    g_hash_table_add(link->volumes_half, address_of(pool, name));
}

gboolean
ka_volume_is_half(KaHost *host, const char *pool, const char *name)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    g_autofree char *address = address_of(pool, name);

    return g_hash_table_contains(link->volumes_half, address);
}

KaVolume *
ka_link_volume(KaHost *host, const char *pool, const char *name)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    g_autofree char *address = address_of(pool, name);

    return ka_volume_copy(g_hash_table_lookup(link->volumes_by_name, address));
}

KaVolume *
ka_link_volume_at(KaHost *host, const char *path)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return ka_volume_copy(g_hash_table_lookup(link->volumes_by_path, path));
}

char *
ka_link_disk_name(KaHost *host, const KaVolume *volume)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    gboolean alone = GPOINTER_TO_INT(g_hash_table_lookup(link->volume_names, volume->name)) <= 1;
    char *name =
        alone ? g_strdup(volume->name) : g_strdup_printf("%s-%s", volume->pool, volume->name);

    if (ka_name_check(name, NULL))
        return name;
    g_strdelimit(name, "/'\"<>&\n\t", '_');
    if (*name == '.' || *name == '-' || *name == ' ')
        *name = '_';
    return name;
}

const char *
ka_disk_volume(const KaObject *disk)
{
    const char *name = ka_node_text(disk->node, "volume");

    return name ? name : disk->name;
}

const char *
ka_disk_pool(const KaObject *disk)
{
    const char *pool = ka_node_text(disk->node, "pool");

    return pool ? pool : "default";
}

/* Pools whose volumes' key is the path or stands for it, which spares a call for each volume. */
static gboolean
key_is_path(const char *pool_type)
{
    static const char *const types[] = {"dir", "fs", "netfs", "vstorage", NULL};

    return g_strv_contains(types, pool_type);
}

static char *
path_of(virStorageVolPtr volume, const char *pool_type)
{
    g_autofree char *given = NULL;
    char *path = NULL;

    if (key_is_path(pool_type))
        return g_strdup(virStorageVolGetKey(volume));
    path = virStorageVolGetPath(volume);
    given = g_strdup(path);
    free(path);
    return g_steal_pointer(&given);
}

gboolean
ka_volumes_index(KaHost *host, virStoragePoolPtr pool, const char *pool_type, GError **error)
{
    const char *pool_name = virStoragePoolGetName(pool);
    virStorageVolPtr *volumes = NULL;
    g_auto(GStrv) beside = ka_halves_beside(pool, pool_type);
    int n = virStoragePoolListAllVolumes(pool, &volumes, 0);

    /* A pool that was stopped meanwhile has none, and isn't the caller's fault. */
    if (n < 0 && ka_libvirt_code() == VIR_ERR_OPERATION_INVALID)
        return TRUE;
    if (n < 0)
        return ka_libvirt_error(error, "can't list the volumes of pool '%s'", pool_name);
    for (int i = 0; i < n; i++) {
        g_autofree char *path = path_of(volumes[i], pool_type);
        g_autofree char *marked = ka_half_volume(virStorageVolGetName(volumes[i]));

        if (marked)
            note_half(host, pool_name, marked);
        if (path)
            note(host, pool_name, virStorageVolGetName(volumes[i]), path, volumes[i]);
        else
            virStorageVolFree(volumes[i]);
    }
    free(volumes);
    for (char **marked = beside; *marked; marked++)
        note_half(host, pool_name, *marked);
    return TRUE;
}
