#include "drivers/half.h"
#include "drivers/image.h"
#include "manifest/seed.h"

#define HALF_MADE "half-made by a run that was cut"

static const KaKind *
kind(void)
{
    return ka_kind_find("disk");
}

gboolean
ka_pool_keeps_files(const char *pool_type)
{
    static const char *const types[] = {"dir", "fs", "netfs", "vstorage", "gluster", NULL};

    return pool_type && g_strv_contains(types, pool_type);
}

const char *
ka_disk_format(const KaObject *disk, const char *pool_type)
{
    const char *format = ka_node_text(disk->node, "format");

    if (format)
        return format;
    return ka_pool_keeps_files(pool_type) ? "qcow2" : "raw";
}

/* --- normal form --- */

/* The declared disk whose volume lies at path, by `declared` ("POOL/NAME" → disk); where that is
 * NULL (export), what export calls it. */
static char *
disk_at(KaHost *host, GHashTable *declared, const char *path)
{
    g_autoptr(KaVolume) volume = ka_link_volume_at(host, path);
    g_autofree char *address = volume ? g_strdup_printf("%s/%s", volume->pool, volume->name) : NULL;

    if (volume == NULL)
        return NULL;
    if (declared == NULL)
        return ka_link_disk_name(host, volume);
    return g_strdup(g_hash_table_lookup(declared, address));
}

static void
name_backing(KaHost *host, GHashTable *declared, KaDocument *document)
{
    const xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *backing = ka_element_child(root, "backingStore");
    g_autofree char *path = ka_xml_text(ka_element_child(backing, "path"));
    g_autofree char *disk = path ? disk_at(host, declared, path) : NULL;

    if (disk == NULL)
        return;
    ka_xml_drop(backing, "path");
    ka_xml_drop(backing, "format");
    xmlSetProp(backing, (const xmlChar *)"ka-disk", (const xmlChar *)disk);
}

static guint64
size_of(const xmlNode *node)
{
    g_autofree char *text = ka_xml_text(node);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* What libvirt leaves unsaid: raw where there is no format, and the older of qcow2's versions. Of a
 * partition it says "none": what is in it is raw. */
static void
complete_format(const char *pool_type, xmlNode *target)
{
    xmlNode *format = ka_element_child(target, "format");
    g_autofree char *type = g_strdup(ka_attribute(format, "type"));

    if (target && format == NULL) {
        format = xmlNewChild(target, NULL, (const xmlChar *)"format", NULL);
        xmlSetProp(format, (const xmlChar *)"type", (const xmlChar *)"raw");
    }
    if (g_strcmp0(type, "none") == 0 && g_strcmp0(pool_type, "disk") == 0)
        ka_attribute_set(format, "type", "raw");
    if (g_strcmp0(type, "qcow2") == 0 && ka_element_child(target, "compat") == NULL)
        xmlNewTextChild(target, NULL, (const xmlChar *)"compat", (const xmlChar *)"0.10");
}

/* Drops what moves by itself, or follows from the pool and the name. */
static void
normalise(const char *pool_type, KaDocument *document)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *target = ka_element_child(root, "target");
    guint64 capacity = size_of(ka_element_child(root, "capacity"));
    gboolean full = capacity && size_of(ka_element_child(root, "allocation")) >= capacity &&
                    ka_element_child(root, "backingStore") == NULL;

    /* Where space can be saved, what has all of it was asked for. */
    if (full && ka_pool_keeps_files(pool_type))
        xmlSetProp(root, (const xmlChar *)"ka-allocation", (const xmlChar *)"full");
    xmlUnsetProp(root, (const xmlChar *)"type");
    ka_xml_drop(root, "key");
    ka_xml_drop(root, "allocation");
    ka_xml_drop(root, "physical");
    ka_xml_drop(root, "source");
    ka_xml_drop(target, "path");
    ka_xml_drop(target, "timestamps");
    complete_format(pool_type, target);
    ka_xml_settle_mode(target);
    if (target && ka_element_child(target, "features") &&
        xmlFirstElementChild(ka_element_child(target, "features")) == NULL)
        ka_xml_drop(target, "features");
    ka_xml_drop(ka_element_child(root, "backingStore"), "permissions");
    ka_xml_drop(ka_element_child(root, "backingStore"), "timestamps");
}

KaDocument *
ka_disk_read(virStorageVolPtr volume, const char *pool_type, GError **error)
{
    char *text = virStorageVolGetXMLDesc(volume, 0);
    KaDocument *document = NULL;

    if (text == NULL) {
        ka_libvirt_error(error, "can't read volume '%s'", virStorageVolGetName(volume));
        return NULL;
    }
    document = ka_document_parse(ka_kind_rows(kind()), text, error);
    free(text);
    if (document)
        normalise(pool_type, document);
    return document;
}

char *
ka_disk_digest(const KaDocument *document)
{
    g_autofree char *text = ka_document_format(document);

    return ka_digest(text, NULL);
}

/* --- observe --- */

/* One volume to be read: what it is called, and the object that wants it. */
typedef struct {
    char *name;
    const KaObject *object;  /* NULL: export */
    KaVolume *volume;        /* owned copy */
    virStorageVolPtr handle; /* owned */
} Item;

typedef struct {
    KaHost *host;
    const KaWanted *wanted;
    KaFound found;
    gpointer data;
    GHashTable *declared; /* see disk_at */
} Observation;

static void
item_free(gpointer data)
{
    Item *item = data;

    g_free(item->name);
    ka_volume_free(item->volume);
    if (item->handle)
        virStorageVolFree(item->handle);
    g_free(item);
}

/* Looked up under the link's lock. */
static Item *
item_new(const KaLink *link, const char *name, const KaObject *object, const char *address)
{
    const KaVolume *volume = g_hash_table_lookup(link->volumes_by_name, address);
    Item *item = g_new0(Item, 1);

    item->name = g_strdup(name);
    item->object = object;
    item->volume = g_new0(KaVolume, 1);
    item->volume->name = g_strdup(volume->name);
    item->volume->pool = g_strdup(volume->pool);
    item->volume->path = g_strdup(volume->path);
    if (volume->handle) {
        item->handle = volume->handle;
        virStorageVolRef(item->handle);
    }
    return item;
}

/* By the record of the guest that lists it. */
static KaRecord *
record_of(KaHost *host, const char *address)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    const char *project = g_hash_table_lookup(link->volume_owners, address);
    KaRecord *record = project ? ka_record_new(project, NULL) : NULL;

    if (record)
        record->protect = g_hash_table_contains(link->volumes_protected, address);
    return record;
}

/* Where it is, before all else. */
static void
put_place(KaTree *tree, const Item *item)
{
    const KaRows *rows = ka_kind_rows(kind());
    KaNode *first = tree->root->first;
    KaNode *root = ka_node_new(tree, KA_NODE_MAP);

    ka_node_put(tree, root, "pool", item->volume->pool)->row = ka_rows_find(rows, "pool")->row;
    if (!g_str_equal(item->name, item->volume->name))
        ka_node_put(tree, root, "volume", item->volume->name)->row =
            ka_rows_find(rows, "volume")->row;
    for (KaNode *next = NULL; first; first = next) {
        next = first->next;
        ka_node_append(tree, root, first->key, ka_node_copy(tree, first));
    }
    tree->root = root;
}

/* The fields of an exported volume: what its document says, and where it is. */
static KaTree *
read_all(const Item *item, const KaDocument *document, GError **error)
{
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, error);
    g_autoptr(KaDocument) built = NULL;
    KaNode *map = NULL;

    if (tree == NULL)
        return NULL;
    built = ka_document_build(kind()->table, ka_kind_rows(kind()), item->volume->name, tree->root,
                              error);
    if (built == NULL)
        return NULL;
    map = ka_node_new(tree, KA_NODE_MAP);
    ka_document_residual(document, built, tree, map);
    if (map->first)
        ka_node_append(tree, tree->root, "xml", map);
    put_place(tree, item);
    return g_steal_pointer(&tree);
}

/* A newer build changes no disk that is there. */
static void
note_base(KaHost *host, const KaObject *disk, const KaDocument *document, const KaActual *actual)
{
    g_autofree char *backing = ka_document_get(document, "backing-path");
    char *remark = backing ? ka_base_remark(host, disk, backing) : NULL;

    if (remark)
        g_ptr_array_add(actual->notes, remark);
}

static gboolean
observe_one(gpointer data_item, gpointer data, GError **error)
{
    Observation *observation = data;
    const Item *item = data_item;
    const char *pool_type = ka_link_pool_type(observation->host, item->volume->pool);
    g_autoptr(KaActual) actual = ka_actual_new(item->name);
    g_autoptr(KaDocument) document = ka_disk_read(item->handle, pool_type, error);
    g_autofree char *address = NULL;

    if (document == NULL) {
        if (ka_libvirt_code() != VIR_ERR_NO_STORAGE_VOL)
            return FALSE;
        g_clear_error(error); /* it has just gone */
        return TRUE;
    }
    actual->digest = ka_disk_digest(document);
    if (item->object)
        note_base(observation->host, item->object, document, actual);
    name_backing(observation->host, observation->declared, document);
    address = g_strdup_printf("%s/%s", item->volume->pool, item->volume->name);
    actual->record = record_of(observation->host, address);
    actual->config = item->object ? ka_document_read(document, item->object->node, NULL, error)
                                  : read_all(item, document, error);
    if (actual->config == NULL)
        return FALSE;
    observation->found(g_steal_pointer(&actual), observation->data);
    return TRUE;
}

/* TRUE: nothing more to be read of it. */
static gboolean
is_unknown(const Observation *observation, const KaObject *object)
{
    const KaLink *link = ka_link(observation->host);
    const char *pool = ka_disk_pool(object);
    KaActual *actual = NULL;

    if (!g_hash_table_contains(link->pools_inactive, pool))
        return FALSE;
    actual = ka_actual_new(object->name);
    actual->unknown = g_strdup_printf("pool '%s' is inactive: its volumes can't be seen; start it "
                                      "(state: active) and apply again",
                                      pool);
    observation->found(actual, observation->data);
    return TRUE;
}

/* Nobody but kvmapply leaves such a thing: it goes with the disk that it was to be. */
static void
report_half(const Observation *observation, const KaObject *object, const char *address)
{
    KaActual *actual = ka_actual_new(object->name);

    actual->record = record_of(observation->host, address);
    if (actual->record == NULL)
        actual->record = ka_record_new(observation->wanted->project, NULL);
    g_ptr_array_add(actual->notes, g_strdup(HALF_MADE));
    observation->found(actual, observation->data);
}

static void
collect_wanted(const Observation *observation, GPtrArray *items)
{
    KaLink *link = ka_link(observation->host);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, observation->wanted->objects);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const KaObject *object = value;
        const char *pool = ka_disk_pool(object), *name = ka_disk_volume(object);
        g_autofree char *address = g_strdup_printf("%s/%s", pool, name);

        if (is_unknown(observation, object))
            continue;
        /* Half-made is not there: it will be made anew. */
        if (g_hash_table_contains(link->volumes_half, address)) {
            if (observation->wanted->remove)
                report_half(observation, object, address);
        } else if (g_hash_table_contains(link->volumes_by_name, address)) {
            g_ptr_array_add(items, item_new(link, object->name, object, address));
        }
    }
}

static void
collect_all(const Observation *observation, GPtrArray *items)
{
    KaLink *link = ka_link(observation->host);
    GHashTableIter iter;
    gpointer address, value;

    g_hash_table_iter_init(&iter, link->volumes_by_name);
    while (g_hash_table_iter_next(&iter, &address, &value)) {
        const KaVolume *volume = value;
        g_autofree char *marked = ka_half_volume(volume->name);
        g_autofree char *seeded = ka_seed_guest(volume->name);
        g_autofree char *name = NULL;

        /* A seed is made of its guest's manifest: without that nothing can make it again. */
        if (marked || seeded || g_hash_table_contains(link->volumes_half, address))
            continue;
        name = ka_link_disk_name(observation->host, volume);
        g_ptr_array_add(items, item_new(link, name, NULL, address));
    }
}

static char *
left_over_name(const Observation *observation, const char *pool, const char *volume)
{
    return g_hash_table_contains(observation->wanted->objects, volume)
               ? g_strdup_printf("%s-%s", pool, volume)
               : g_strdup(volume);
}

/* The volume that this one stands on, by the name that it has as a left-over. */
static char *
base_of(const Observation *observation, const KaVolume *volume)
{
    const KaLink *link = ka_link(observation->host);
    char *text = volume->handle ? virStorageVolGetXMLDesc(volume->handle, 0) : NULL;
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    g_autofree char *path =
        root ? ka_xml_text(ka_element_child(ka_element_child(root, "backingStore"), "path")) : NULL;
    const KaVolume *base = path ? g_hash_table_lookup(link->volumes_by_path, path) : NULL;

    free(text);
    return base ? left_over_name(observation, base->pool, base->name) : NULL;
}

/* record: taken. */
static KaActual *
left_over(const Observation *observation, const char *pool, const char *volume, KaRecord *record)
{
    g_autofree char *name = left_over_name(observation, pool, volume);
    KaActual *actual = ka_actual_new(name);
    KaTree *tree = ka_tree_new();

    actual->record = record;
    /* Where it is: all that its removal needs. */
    actual->config = tree;
    tree->root = ka_node_new(tree, KA_NODE_MAP);
    ka_node_put(tree, tree->root, "pool", pool);
    ka_node_put(tree, tree->root, "volume", volume);
    return actual;
}

/* Volumes that a guest of this project lists and no manifest declares. */
static void
report_left_over(const Observation *observation)
{
    const KaWanted *wanted = observation->wanted;
    KaLink *link = ka_link(observation->host);
    GHashTableIter iter;
    gpointer address, value;

    g_hash_table_iter_init(&iter, link->volume_owners);
    while (g_hash_table_iter_next(&iter, &address, &value)) {
        const KaVolume *volume = g_hash_table_lookup(link->volumes_by_name, address);

        if (volume == NULL || g_strcmp0(value, wanted->project) != 0 ||
            g_hash_table_contains(observation->declared, address) ||
            g_hash_table_contains(link->volumes_half, address))
            continue;
        KaActual *actual = left_over(observation, volume->pool, volume->name,
                                     record_of(observation->host, address));
        actual->base = base_of(observation, volume);
        observation->found(actual, observation->data);
    }
}

/* NULL: it has gone by now, or another project's run left it. */
static KaRecord *
record_of_half(const Observation *observation, const char *pool_name, const char *name)
{
    const char *pool_type = ka_link_pool_type(observation->host, pool_name);
    g_autoptr(virStoragePool) pool =
        virStoragePoolLookupByName(ka_link(observation->host)->conn, pool_name);
    g_autoptr(KaHalf) mark = pool ? ka_half_find(pool, pool_type, name) : NULL;
    g_autofree char *project = mark ? ka_half_project(mark) : NULL;

    if (mark == NULL || (project && g_strcmp0(project, observation->wanted->project) != 0))
        return NULL;
    return ka_record_new(observation->wanted->project, NULL);
}

/* What a run that was cut left of disks that no manifest declares any longer. */
static void
report_half_left_over(const Observation *observation)
{
    KaLink *link = ka_link(observation->host);
    GHashTableIter iter;
    gpointer address;

    g_hash_table_iter_init(&iter, link->volumes_half);
    while (g_hash_table_iter_next(&iter, &address, NULL)) {
        g_auto(GStrv) place = g_strsplit(address, "/", 2);
        g_autofree char *seeded = ka_seed_guest(place[1]);
        KaRecord *record = g_hash_table_contains(observation->declared, address) || seeded ||
                                   g_str_has_prefix(place[1], KA_BASE_PREFIX)
                               ? NULL
                               : record_of_half(observation, place[0], place[1]);

        if (record == NULL)
            continue;
        KaActual *actual = left_over(observation, place[0], place[1], record);
        g_ptr_array_add(actual->notes, g_strdup(HALF_MADE));
        observation->found(actual, observation->data);
    }
}

static GHashTable *
declared_volumes(GHashTable *disks)
{
    GHashTable *declared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer name, disk;

    g_hash_table_iter_init(&iter, disks);
    while (g_hash_table_iter_next(&iter, &name, &disk))
        g_hash_table_insert(
            declared, g_strdup_printf("%s/%s", ka_disk_pool(disk), ka_disk_volume(disk)), name);
    return declared;
}

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(item_free);
    g_autoptr(GHashTable) declared = wanted->disks ? declared_volumes(wanted->disks) : NULL;
    Observation observation = {host, wanted, found, data, declared};

    /* Nothing else runs on this host while it is observed: the link may be read without its lock.
     */
    if (wanted->objects)
        collect_wanted(&observation, items);
    else
        collect_all(&observation, items);
    if (!ka_link_parallel(items, observe_one, &observation, error))
        return FALSE;
    if (wanted->objects) {
        report_left_over(&observation);
        report_half_left_over(&observation);
    }
    return TRUE;
}

const KaDriver ka_disk_driver = {
    .kind = "disk",
    .late = TRUE,
    .observe = observe,
    .assess = ka_disk_assess,
    .create = ka_disk_create,
    .change = ka_disk_change,
    .remove = ka_disk_remove,
};
