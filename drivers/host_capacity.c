#include "drivers/host_check.h"
#include "drivers/link.h"
#include "drivers/storage.h"

void
ka_capacity_free(KaCapacity *capacity)
{
    g_free(capacity->name);
    g_free(capacity);
}

static KaCapacity *
add(GPtrArray *list, char *name /* taken */, uint64_t present, gboolean is_bytes)
{
    KaCapacity *capacity = g_new0(KaCapacity, 1);

    *capacity = (KaCapacity){.name = name, .present = present, .is_bytes = is_bytes};
    g_ptr_array_add(list, capacity);
    return capacity;
}

static gboolean
add_guests(virConnectPtr conn, KaCapacity *cpus, KaCapacity *memory, GError **error)
{
    virDomainPtr *guests = NULL;
    int n = virConnectListAllDomains(conn, &guests, 0);

    if (n < 0)
        return ka_libvirt_error(error, "can't list guests");
    for (int i = 0; i < n; i++) {
        virDomainInfo info;
        int autostart = 0;
        /* One that went away in between takes nothing. */
        if (virDomainGetInfo(guests[i], &info) == 0) {
            gboolean active = virDomainIsActive(guests[i]) == 1;
            virDomainGetAutostart(guests[i], &autostart);
            cpus->current += active ? info.nrVirtCpu : 0;
            memory->current += active ? (uint64_t)info.memory * 1024 : 0;
            cpus->promised += active || autostart ? info.nrVirtCpu : 0;
            memory->promised += active || autostart ? (uint64_t)info.maxMem * 1024 : 0;
        }
        virDomainFree(guests[i]);
    }
    free(guests);
    return TRUE;
}

/* What a pool's volumes may grow to; volumes that can't be asked are counted as nothing. */
static uint64_t
volumes_of(virStoragePoolPtr pool)
{
    virStorageVolPtr *volumes = NULL;
    int n = virStoragePoolListAllVolumes(pool, &volumes, 0);
    uint64_t promised = 0;

    for (int i = 0; i < n; i++) {
        virStorageVolInfo info;
        if (virStorageVolGetInfo(volumes[i], &info) == 0)
            promised += MAX(info.capacity, info.allocation);
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return promised;
}

static gboolean
add_pools(virConnectPtr conn, GPtrArray *list, GError **error)
{
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);

    if (n < 0)
        return ka_libvirt_error(error, "can't list pools");
    for (int i = 0; i < n; i++) {
        virStoragePoolInfo info;
        if (virStoragePoolGetInfo(pools[i], &info) == 0) {
            KaCapacity *pool =
                add(list, g_strdup_printf("pool %s", virStoragePoolGetName(pools[i])),
                    info.capacity, TRUE);
            pool->current = info.allocation;
            pool->promised = volumes_of(pools[i]);
        }
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return TRUE;
}

GPtrArray *
ka_host_capacity(KaHost *host, guint timeout_seconds, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)ka_capacity_free);
    virNodeInfo info;

    if (!host->link && !host->error)
        ka_link_connect(host, timeout_seconds);
    if (host->error) {
        g_propagate_error(error, g_error_copy(host->error));
        return NULL;
    }
    virConnectPtr conn = ka_link(host)->conn;
    if (virNodeGetInfo(conn, &info) < 0) {
        ka_libvirt_error(error, "can't ask host '%s' what it has", host->name);
        return NULL;
    }
    KaCapacity *cpus = add(list, g_strdup("cpus"), info.cpus, FALSE);
    KaCapacity *memory = add(list, g_strdup("memory"), (uint64_t)info.memory * 1024, TRUE);
    if (!add_guests(conn, cpus, memory, error) || !add_pools(conn, list, error))
        return NULL;
    return g_steal_pointer(&list);
}
