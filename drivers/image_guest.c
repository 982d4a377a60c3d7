#include "drivers/scrub_images.h"
#include "drivers/storage.h"

#include <string.h>

static gboolean
refuse(GError **error, KaHostError code, const char *guest, const char *why)
{
    g_set_error(error, KA_HOST_ERROR, code, "guest '%s' %s", guest, why);
    return FALSE;
}

/* Its memory would go on with what it knew of the disks. */
static gboolean
is_off(virDomainPtr domain, const char *guest, GError **error)
{
    int active = virDomainIsActive(domain), saved = virDomainHasManagedSaveImage(domain, 0);
    if (active < 0 || saved < 0)
        return ka_libvirt_error(error, "guest '%s'", guest);
    if (active)
        return refuse(error, KA_HOST_ERROR_IN_USE, guest, "runs: shut it down first");
    return !saved || refuse(error, KA_HOST_ERROR_IN_USE, guest,
                            "has a saved state that would go on with the old disks: start it and "
                            "shut it down, or remove that (virsh managedsave-remove)");
}

/* A guest has the disk as its own; anybody else who needs it would break. */
static gboolean
is_its_alone(KaHost *host, const char *path, const char *guest, GError **error)
{
    g_autoptr(GPtrArray) users = ka_users_of(host, path, error);
    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);
        if (g_strcmp0(user->guest, guest) == 0)
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "'%s' of guest '%s' is needed by %s, too", path, guest, user->by);
        return FALSE;
    }
    return users != NULL;
}

/* Where a <source> of a file, a device or a volume lies. Caller frees; NULL: nothing local. */
static char *
local_path(KaHost *host, const xmlNode *source)
{
    const char *pool = ka_attribute(source, "pool"), *name = ka_attribute(source, "volume");
    const char *file = ka_attribute(source, "file"), *device = ka_attribute(source, "dev");
    if (!pool || !name)
        return g_strdup(file ? file : device);
    g_autoptr(virStoragePool) handle = virStoragePoolLookupByName(ka_link(host)->conn, pool);
    g_autoptr(virStorageVol) volume = handle ? virStorageVolLookupByName(handle, name) : NULL;
    char *path = volume ? virStorageVolGetPath(volume) : NULL;
    char *copy = g_strdup(path);
    free(path);
    return copy;
}

static gboolean
add_disks(KaImagesJob *job, KaHost *host, const char *text, const char *guest, GError **error)
{
    g_autoptr(xmlDoc) document = ka_xml_parse(text);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    ka_for_children(disk, ka_element_child(root, "devices"), "disk")
    {
        const char *device = ka_attribute(disk, "device");
        const char *format = ka_attribute(ka_element_child(disk, "driver"), "type");
        if ((device && !g_str_equal(device, "disk") && !g_str_equal(device, "lun")) ||
            ka_element_child(disk, "readonly"))
            continue;
        g_autofree char *path = local_path(host, ka_element_child(disk, "source"));
        if (!path)
            return refuse(error, KA_HOST_ERROR_INVALID, guest,
                          "has a disk that is no file or device of this machine");
        if (!is_its_alone(host, path, guest, error))
            return FALSE;
        ka_images_job_add(job, path, format ? format : "raw");
    }
    return job->drives->len > 0 || refuse(error, KA_HOST_ERROR_INVALID, guest, "has no disks");
}

static gboolean
add_from(KaImagesJob *job, KaHost *host, const char *guest, GError **error)
{
    if (strstr(host->real_uri, "+ssh:") || strstr(host->real_uri, "+tcp:") ||
        strstr(host->real_uri, "+tls:"))
        return refuse(error, KA_HOST_ERROR_INVALID, guest,
                      "is on another machine: run kvmapply where its disks are");
    g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, guest);
    if (!domain)
        return ka_libvirt_error(error, "guest '%s'", guest);
    if (!is_off(domain, guest, error))
        return FALSE;
    char *text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    if (!text)
        return ka_libvirt_error(error, "guest '%s'", guest);
    gboolean added = add_disks(job, host, text, guest, error);
    free(text);
    return added;
}

gboolean
ka_images_job_add_guest(
    KaImagesJob *job, const char *uri, const char *guest, guint timeout_seconds, GError **error)
{
    KaHost host = {.name = "local", .uri = uri};
    gboolean added = FALSE;
    ka_link_connect(&host, timeout_seconds);
    if (host.error)
        g_propagate_error(error, g_steal_pointer(&host.error));
    else
        added = add_from(job, &host, guest, error);
    ka_link_disconnect(&host);
    g_free(host.real_uri);
    return added;
}
