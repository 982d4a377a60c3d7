#include "drivers/element.h"
#include "drivers/guest.h"
#include "drivers/storage.h"

/* A declared disk in normal form: type='ka-disk', source/@ka-disk its name. What it was is kept
 * beside, so that a disk that stays what it is keeps its source to the letter: "ka-type" and
 * "ka-path" on the disk, "ka-volume" for the name they stand for. */

/* The attribute of <source> that holds the path, by the disk's type; NULL: none. */
static const char *
path_attribute(const char *type)
{
    static const char *const attributes[][2] = {
        {"file",    "file"},
        {"block",   "dev" },
        {"network", "name"},
        {"dir",     "dir" },
    };

    for (gsize i = 0; type && i < G_N_ELEMENTS(attributes); i++)
        if (g_str_equal(type, attributes[i][0]))
            return attributes[i][1];
    return NULL;
}

static const char *
source_path(const xmlNode *holder)
{
    const char *name = path_attribute(ka_attribute(holder, "type"));

    return name ? ka_attribute(ka_element_child(holder, "source"), name) : NULL;
}

/* A declared disk by the name that the manifest gives it; NULL: none. */
static const KaObject *
declared_disk(const KaGuestForm *form, const char *name)
{
    return name && form->disks ? g_hash_table_lookup(form->disks, name) : NULL;
}

static gboolean
is_volume_of(const KaObject *disk, const KaVolume *volume)
{
    return disk && g_strcmp0(ka_disk_volume(disk), volume->name) == 0 &&
           g_strcmp0(ka_disk_pool(disk), volume->pool) == 0;
}

/* Which of the guest's declared disks this path is; an export takes every volume. Caller frees. */
static char *
name_of_path(const KaGuestForm *form, const char *path)
{
    g_autoptr(KaVolume) volume = ka_link_volume_at(form->host, path);
    const KaNode *disks = ka_node_get(form->want, "disks");

    if (!volume)
        return NULL;
    if (ka_guest_form_is_export(form))
        return ka_link_disk_name(form->host, volume);
    for (const KaNode *item = disks ? disks->first : NULL; item; item = item->next) {
        const char *name = ka_node_text(item, "disk");
        if (is_volume_of(declared_disk(form, name), volume))
            return g_strdup(name);
    }
    return NULL;
}

static gboolean
chain_in_document(const xmlNode *disk, const char *path)
{
    for (const xmlNode *backing = ka_element_child(disk, "backingStore"); backing;
         backing = ka_element_child(backing, "backingStore"))
        if (g_strcmp0(source_path(backing), path) == 0)
            return TRUE;
    return FALSE;
}

/* What a pool's last refresh read of the file. */
static char *
backing_of(KaHost *host, const char *path)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ka_link(host)->conn, path);
    char *text = volume ? virStorageVolGetXMLDesc(volume, 0) : NULL;
    xmlDoc *xml = text ? ka_xml_parse(text) : NULL;
    char *backing =
        xml ? ka_place_get(xmlDocGetRootElement(xml), "backingStore/path", FALSE) : NULL;

    xmlFreeDoc(xml);
    free(text);
    return backing;
}

static gboolean
chain_in_pools(KaHost *host, const char *from, const char *path)
{
    g_autofree char *at = g_strdup(from);

    for (guint depth = 0; at && depth < 100; depth++) {
        char *backing = backing_of(host, at);
        g_free(at);
        at = backing;
        if (g_strcmp0(at, path) == 0)
            return TRUE;
    }
    return FALSE;
}

/* An external snapshot remembers what the disk was before it. */
static gboolean
snapshot_has(virDomainSnapshotPtr snapshot, const char *target, const char *path)
{
    g_autofree char *place = g_strdup_printf("domain/devices/disk[target/@dev='%s']", target);
    char *text = virDomainSnapshotGetXMLDesc(snapshot, 0);
    xmlDoc *xml = text ? ka_xml_parse(text) : NULL;
    gboolean found = FALSE;

    if (xml) {
        g_autoptr(GPtrArray) disks = ka_place_select(xmlDocGetRootElement(xml), place);
        for (guint i = 0; i < disks->len; i++)
            found |= g_strcmp0(source_path(g_ptr_array_index(disks, i)), path) == 0;
    }
    xmlFreeDoc(xml);
    free(text);
    return found;
}

static gboolean
chain_in_snapshots(virDomainPtr domain, const char *target, const char *path)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int n_snapshots = domain ? virDomainListAllSnapshots(domain, &snapshots, 0) : 0;
    gboolean found = FALSE;

    for (int i = 0; i < n_snapshots; i++) {
        found = found || snapshot_has(snapshots[i], target, path);
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return found;
}

/* The disk declared at this target, if its volume is below the source as it is. Caller frees. */
static char *
name_below(const KaGuestForm *form, const xmlNode *disk, const char *path)
{
    const char *target = ka_attribute(ka_element_child(disk, "target"), "dev");
    const KaNode *item = ka_node_get(ka_node_get(form->want, "disks"), target ? target : "");
    const char *name = ka_node_text(item, "disk");
    const KaObject *declared = declared_disk(form, name);

    if (!declared)
        return NULL;
    g_autoptr(KaVolume) volume =
        ka_link_volume(form->host, ka_disk_pool(declared), ka_disk_volume(declared));
    if (!volume ||
        !(chain_in_document(disk, volume->path) || chain_in_pools(form->host, path, volume->path) ||
          chain_in_snapshots(form->domain, target, volume->path)))
        return NULL;
    if (form->notes)
        g_ptr_array_add(form->notes,
                        g_strdup_printf("disks.%s: '%s' is an overlay on disk '%s', which "
                                        "is left as it is",
                                        target, path, name));
    return g_strdup(name);
}

static void
normalise_disk(xmlNode *disk, const KaGuestForm *form)
{
    const char *path = source_path(disk);
    xmlNode *source = ka_element_child(disk, "source");

    if (!path)
        return;
    g_autofree char *name = name_of_path(form, path);
    if (!name)
        name = name_below(form, disk, path);
    if (!name)
        return;
    const char *attribute = path_attribute(ka_attribute(disk, "type"));
    ka_attribute_set(disk, "ka-type", ka_attribute(disk, "type"));
    ka_attribute_set(disk, "ka-path", path);
    ka_attribute_set(disk, "ka-volume", name);
    ka_attribute_set(disk, "type", "ka-disk");
    ka_attribute_set(source, attribute, NULL);
    ka_attribute_set(source, "ka-disk", name);
}

void
ka_guest_disks_normalise(xmlNode *devices, const KaGuestForm *form)
{
    ka_for_children(disk, devices, "disk") normalise_disk(disk, form);
}

/* Hosts and credentials of a network pool, as a disk's source wants them. */
static gboolean
fill_network(xmlNode *source, KaHost *host, const char *pool_name, const char *type, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, pool_name);
    char *text = pool ? virStoragePoolGetXMLDesc(pool, 0) : NULL;
    xmlDoc *xml = text ? ka_xml_parse(text) : NULL;

    free(text);
    if (!xml)
        return ka_libvirt_error(error, "pool '%s'", pool_name);
    const xmlNode *from = ka_element_child(xmlDocGetRootElement(xml), "source");
    ka_attribute_set(source, "protocol", type);
    ka_for_children(node, from, "host") xmlAddChild(source, xmlDocCopyNode(node, source->doc, 1));
    xmlNode *auth = ka_element_child(from, "auth");
    if (auth) {
        xmlNode *copy = xmlAddChild(source, xmlDocCopyNode(auth, source->doc, 1));
        ka_attribute_set(ka_element_child(copy, "secret"), "type", ka_attribute(auth, "type"));
        ka_attribute_set(copy, "type", NULL);
    }
    xmlFreeDoc(xml);
    return TRUE;
}

static const char *
disk_type_of_pool(const char *pool_type)
{
    static const char *const blocks[] = {"logical", "disk", "iscsi", "scsi", "mpath", "zfs", NULL};
    static const char *const networks[] = {"rbd", "gluster", "sheepdog", "iscsi-direct", NULL};

    if (pool_type && g_strv_contains(blocks, pool_type))
        return "block";
    return pool_type && g_strv_contains(networks, pool_type) ? "network" : "file";
}

static gboolean
set_volume(xmlNode *disk, const KaGuestForm *form, const char *name, GError **error)
{
    xmlNode *source = ka_element_child(disk, "source");
    const KaObject *declared = declared_disk(form, name);
    g_autoptr(KaVolume) volume =
        declared ? ka_link_volume(form->host, ka_disk_pool(declared), ka_disk_volume(declared))
                 : NULL;
    const char *pool_type = volume ? ka_link_pool_type(form->host, volume->pool) : NULL;
    const char *type = disk_type_of_pool(pool_type);
    g_autofree char *placeholder = g_strdup_printf("/nonexistent/%s", name);

    if (!volume && !form->placeholders) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "disk '%s': its volume doesn't exist on this host", name);
        return FALSE;
    }
    ka_attribute_set(source, "ka-disk", NULL);
    ka_attribute_set(disk, "type", type);
    ka_attribute_set(source, path_attribute(type), volume ? volume->path : placeholder);
    return !g_str_equal(type, "network") ||
           fill_network(source, form->host, volume->pool, pool_type, error);
}

static gboolean
denormalise_disk(xmlNode *disk, const KaGuestForm *form, GError **error)
{
    xmlNode *source = ka_element_child(disk, "source");
    const char *declared = ka_attribute(source, "ka-disk");

    if (!ka_attribute_is(disk, "type", "ka-disk") || !declared)
        return TRUE;
    if (!ka_attribute_is(disk, "ka-volume", declared)) {
        g_autofree char *name = g_strdup(declared);
        return set_volume(disk, form, name, error);
    }
    const char *type = ka_attribute(disk, "ka-type");
    ka_attribute_set(source, "ka-disk", NULL);
    ka_attribute_set(source, path_attribute(type), ka_attribute(disk, "ka-path"));
    ka_attribute_set(disk, "type", type);
    return TRUE;
}

gboolean
ka_guest_disks_denormalise(xmlNode *devices, const KaGuestForm *form, GError **error)
{
    ka_for_children(disk, devices, "disk") if (!denormalise_disk(disk, form, error)) return FALSE;
    return TRUE;
}

static void
add_use(KaLink *link, const char *path, const char *guest, gboolean running)
{
    if (!path || !*path)
        return;
    KaUse *use = g_new0(KaUse, 1);
    use->guest = g_strdup(guest);
    use->path = g_strdup(path);
    use->running = running;
    g_mutex_lock(&link->lock);
    g_ptr_array_add(link->uses, use);
    g_mutex_unlock(&link->lock);
}

static void
add_uses_of_disk(KaHost *host, const xmlNode *disk, const char *guest, gboolean running)
{
    const xmlNode *source = ka_element_child(disk, "source");
    const char *pool = ka_attribute(source, "pool"), *volume = ka_attribute(source, "volume");

    if (pool && volume) {
        g_autoptr(KaVolume) known = ka_link_volume(host, pool, volume);
        add_use(ka_link(host), known ? known->path : NULL, guest, running);
    }
    for (const xmlNode *holder = disk; holder; holder = ka_element_child(holder, "backingStore"))
        add_use(ka_link(host), source_path(holder), guest, running);
    const xmlNode *mirror = ka_element_child(disk, "mirror");
    add_use(ka_link(host), mirror ? source_path(mirror) : NULL, guest, running);
}

void
ka_guest_disks_uses(KaHost *host, const KaDocument *document, const char *guest, gboolean running)
{
    static const char *const files[] = {"kernel", "initrd", "loader", "nvram"};
    const xmlNode *root = xmlDocGetRootElement(document->xml);

    ka_for_children(disk, ka_element_child(root, "devices"), "disk")
        add_uses_of_disk(host, disk, guest, running);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = ka_place_get(ka_element_child(root, "os"), files[i], FALSE);
        add_use(ka_link(host), path, guest, running);
    }
}
