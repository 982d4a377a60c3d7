#include "drivers/storage.h"

static gboolean
has_itself(const GPtrArray *users, const char *guest)
{
    for (guint i = 0; guest && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);
        if (user->device && g_str_equal(user->guest, guest))
            return TRUE;
    }
    return FALSE;
}

/* An overlay has a size of its own: growing what lies below it would change nothing that a guest
 * sees. */
static gboolean
check_base(const GPtrArray *users, GError **error)
{
    for (guint i = 0; i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);

        /* A guest's internal snapshot is in the volume. */
        if (user->device || has_itself(users, user->guest))
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "its volume can't grow: %s needs it as a base; commit or remove that first",
                    user->by);
        return FALSE;
    }
    return TRUE;
}

static gboolean
grow_live(KaHost *host, const KaUser *user, const char *name, guint64 size_bytes, GError **error)
{
    g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, user->guest);

    if (domain == NULL ||
        virDomainBlockResize(domain, user->device, size_bytes, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
        return ka_libvirt_error(error, "can't grow disk '%s' ('%s' of guest '%s')", name,
                                user->device, user->guest);
    return TRUE;
}

/* Of the volume; NULL with an error, also where it is the base of something. */
static GPtrArray *
users_to_grow(KaHost *host, virStorageVolPtr volume, const char *name, GError **error)
{
    char *path = virStorageVolGetPath(volume);
    g_autoptr(GPtrArray) users = NULL;

    if (path == NULL) {
        ka_libvirt_error(error, "can't find disk '%s'", name);
        return NULL;
    }
    users = ka_users_of(host, path, error);
    free(path);
    return users && check_base(users, error) ? g_steal_pointer(&users) : NULL;
}

gboolean
ka_disk_can_grow(KaHost *host, virStorageVolPtr volume, const char *name, GError **error)
{
    g_autoptr(GPtrArray) users = users_to_grow(host, volume, name, error);

    return users != NULL;
}

gboolean
ka_disk_grow(
    KaHost *host, virStorageVolPtr volume, const char *name, guint64 size_bytes, GError **error)
{
    g_autoptr(GPtrArray) users = users_to_grow(host, volume, name, error);
    gboolean live = FALSE;

    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);

        if (!user->running)
            continue;
        if (!grow_live(host, user, name, size_bytes, error))
            return FALSE;
        live = TRUE;
    }
    if (users && !live && virStorageVolResize(volume, size_bytes, 0) < 0)
        return ka_libvirt_error(error, "can't grow disk '%s'", name);
    return users != NULL;
}
