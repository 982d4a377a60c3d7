#include "drivers/storage.h"

void
ka_pool_free(KaPool *pool)
{
    if (pool == NULL)
        return;
    ka_document_free(pool->document);
    g_free(pool->type);
    g_free(pool);
}
static const KaKind *
kind(void)
{
    return ka_kind_find("pool");
}

char *
ka_mark_uuid(const char *project, const char *kind_name, const char *name)
{
    /* The namespace: kvmapply's own, random once and for all. */
    static const guint8 namespace[16] = {0x8f, 0x0c, 0x5b, 0x1e, 0x6a, 0x3d, 0x4f, 0x52,
                                         0x9b, 0x7e, 0x41, 0xd2, 0x93, 0x0a, 0x6c, 0xe7};
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    g_autofree char *text = g_strdup_printf("%s/%s/%s", project, kind_name, name);
    guint8 digest[20];
    gsize length = sizeof digest;

    g_checksum_update(sum, namespace, sizeof namespace);
    g_checksum_update(sum, (const guchar *)text, -1);
    g_checksum_get_digest(sum, digest, &length);
    digest[6] = (guint8)((digest[6] & 0x0f) | 0x50);
    digest[8] = (guint8)((digest[8] & 0x3f) | 0x80);
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                           digest[0], digest[1], digest[2], digest[3], digest[4], digest[5],
                           digest[6], digest[7], digest[8], digest[9], digest[10], digest[11],
                           digest[12], digest[13], digest[14], digest[15]);
}

const char *
ka_link_pool_type(KaHost *host, const char *pool)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return g_intern_string(g_hash_table_lookup(link->pools, pool));
}

/* --- normal form --- */

/* Types with several of what others have one of: the table names them apart. */
static const struct {
    const char *type;
    const char *element; /* below <source> */
    const char *normal;
} several[] = {
    {"logical",  "device", "ka-device"},
    {"rbd",      "host",   "ka-host"  },
    {"sheepdog", "host",   "ka-host"  },
    {"gluster",  "host",   "ka-host"  },
};

static void
rename_below(xmlNode *parent, const char *from, const char *to)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, (const xmlChar *)from))
            xmlNodeSetName(node, (const xmlChar *)to);
    }
}

void
ka_pool_normalise(KaDocument *document, const char *type, gboolean active, gboolean autostart)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *source = ka_element_child(root, "source");

    ka_xml_settle_mode(ka_element_child(root, "target"));
    ka_xml_drop(root, "capacity");
    ka_xml_drop(root, "allocation");
    ka_xml_drop(root, "available");
    for (xmlNode *node = source ? source->children : NULL; node; node = node->next)
        ka_xml_drop(node, "freeExtent");
    for (gsize i = 0; i < G_N_ELEMENTS(several); i++) {
        if (g_str_equal(several[i].type, type))
            rename_below(source, several[i].element, several[i].normal);
    }
    xmlSetProp(root, (const xmlChar *)"ka-state",
               (const xmlChar *)(active ? "active" : "inactive"));
    xmlSetProp(root, (const xmlChar *)"ka-autostart", (const xmlChar *)(autostart ? "yes" : "no"));
}

/* The text that libvirt gets. */
char *
ka_pool_text(const KaDocument *document)
{
    KaDocument copy = {.xml = xmlCopyDoc(document->xml, 1), .rows = document->rows};
    xmlNode *root = xmlDocGetRootElement(copy.xml);
    char *text = NULL;

    xmlUnsetProp(root, (const xmlChar *)"ka-state");
    xmlUnsetProp(root, (const xmlChar *)"ka-autostart");
    for (gsize i = 0; i < G_N_ELEMENTS(several); i++)
        rename_below(ka_element_child(root, "source"), several[i].normal, several[i].element);
    text = ka_document_format(&copy);
    xmlFreeDoc(copy.xml);
    return text;
}

char *
ka_pool_xml(const KaObject *object, GError **error)
{
    g_autoptr(KaDocument) document = ka_document_build(
        object->kind->table, ka_kind_rows(object->kind), object->name, object->node, error);

    return document ? ka_pool_text(document) : NULL;
}

KaPool *
ka_pool_read(virStoragePoolPtr handle, gboolean active, gboolean autostart, GError **error)
{
    g_autoptr(KaPool) pool = g_new0(KaPool, 1);
    char *text = virStoragePoolGetXMLDesc(handle, VIR_STORAGE_XML_INACTIVE);
    xmlChar *type = NULL;

    /* The test driver knows one half only. */
    if (text == NULL && ka_libvirt_code() == VIR_ERR_INVALID_ARG)
        text = virStoragePoolGetXMLDesc(handle, 0);
    if (text == NULL) {
        ka_libvirt_error(error, "can't read pool '%s'", virStoragePoolGetName(handle));
        return NULL;
    }
    pool->document = ka_document_parse(ka_kind_rows(kind()), text, error);
    free(text);
    if (pool->document == NULL)
        return NULL;
    type = xmlGetProp(xmlDocGetRootElement(pool->document->xml), (const xmlChar *)"type");
    pool->type = g_strdup(type ? (const char *)type : "");
    xmlFree(type);
    pool->active = active;
    ka_pool_normalise(pool->document, pool->type, active, autostart);
    return g_steal_pointer(&pool);
}

char *
ka_pool_digest(const KaPool *pool)
{
    g_autofree char *text = ka_document_format(pool->document);

    return ka_digest(text, NULL);
}

/* --- observe --- */

typedef struct {
    KaHost *host;
    const KaWanted *wanted;
    KaFound found;
    gpointer data;
    GHashTable *active, *autostart; /* sets of names */
} Observation;

static void
free_pools(virStoragePoolPtr *pools, int n)
{
    for (int i = 0; i < n; i++)
        virStoragePoolFree(pools[i]);
    free(pools);
}

/* Names of the pools that a filter of the list call finds. */
static GHashTable *
list_names(virConnectPtr conn, unsigned int flags, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, flags);

    if (n < 0) {
        ka_libvirt_error(error, "can't list pools");
        return NULL;
    }
    for (int i = 0; i < n; i++)
        g_hash_table_add(names, g_strdup(virStoragePoolGetName(pools[i])));
    free_pools(pools, n);
    return g_steal_pointer(&names);
}

void
ka_pool_note(KaHost *host, const char *name, const char *type, gboolean active)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    g_hash_table_remove(link->pools, name);
    g_hash_table_remove(link->pools_inactive, name);
    if (active)
        g_hash_table_insert(link->pools, g_strdup(name), g_strdup(type));
    else if (type)
        g_hash_table_add(link->pools_inactive, g_strdup(name));
}

/* Everything that the definition says; what no row covers goes to xml:. */
static KaTree *
read_all(const KaPool *pool, const char *name, GError **error)
{
    g_autoptr(KaTree) tree = ka_document_read(pool->document, NULL, NULL, error);
    g_autoptr(KaDocument) built = NULL;
    KaNode *map = NULL;

    if (tree == NULL)
        return NULL;
    built = ka_document_build(kind()->table, ka_kind_rows(kind()), name, tree->root, error);
    if (built == NULL)
        return NULL;
    map = ka_node_new(tree, KA_NODE_MAP);
    ka_document_residual(pool->document, built, tree, map);
    if (map->first)
        ka_node_append(tree, tree->root, "xml", map);
    return g_steal_pointer(&tree);
}

static gboolean
observe_one(gpointer item, gpointer data, GError **error)
{
    Observation *observation = data;
    const KaWanted *wanted = observation->wanted;
    const char *name = virStoragePoolGetName(item);
    const KaObject *object = wanted->objects ? g_hash_table_lookup(wanted->objects, name) : NULL;
    g_autoptr(KaPool) pool =
        ka_pool_read(item, g_hash_table_contains(observation->active, name),
                     g_hash_table_contains(observation->autostart, name), error);
    g_autoptr(KaActual) actual = ka_actual_new(name);
    g_autofree char *mark = wanted->project ? ka_mark_uuid(wanted->project, "pool", name) : NULL;

    if (pool == NULL)
        return FALSE;
    ka_pool_note(observation->host, name, pool->type, pool->active);
    if (pool->active && !ka_volumes_index(observation->host, item, pool->type, error))
        return FALSE;
    actual->uuid = ka_document_get(pool->document, "uuid");
    actual->active = pool->active;
    actual->digest = ka_pool_digest(pool);
    if (g_strcmp0(mark, actual->uuid) == 0)
        actual->record = ka_record_new(wanted->project, actual->uuid);
    if (object)
        actual->config = ka_document_read(pool->document, object->node, NULL, error);
    else if (wanted->objects == NULL)
        actual->config = read_all(pool, name, error);
    else if (actual->record == NULL)
        return TRUE;
    if (actual->config == NULL && actual->record == NULL)
        return FALSE;
    observation->found(g_steal_pointer(&actual), observation->data);
    return TRUE;
}

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    virConnectPtr conn = ka_link(host)->conn;
    g_autoptr(GHashTable) active = NULL;
    g_autoptr(GHashTable) autostart = NULL;
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    Observation observation = {host, wanted, found, data, NULL, NULL};
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, 0);
    gboolean done = FALSE;

    if (n < 0 && ka_libvirt_code() == VIR_ERR_NO_SUPPORT)
        return TRUE; /* this hypervisor keeps no pools */
    if (n < 0)
        return ka_libvirt_error(error, "can't list pools");
    observation.active = active = list_names(conn, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE, error);
    if (active)
        observation.autostart = autostart =
            list_names(conn, VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART, error);
    for (int i = 0; i < n; i++)
        g_ptr_array_add(items, pools[i]);
    done = autostart && ka_link_parallel(items, observe_one, &observation, error);
    free_pools(pools, n);
    return done;
}

const KaDriver ka_pool_driver = {
    .kind = "pool",
    .observe = observe,
    .assess = ka_pool_assess,
    .create = ka_pool_create,
    .change = ka_pool_change,
    .remove = ka_pool_remove,
};
