#include "drivers/storage.h"

/* A pool as it was read: its definition in normal form, and what stands beside it. */
typedef struct {
    KaDocument *document;
    char *type;
    gboolean active;
} Pool;

static void
pool_free(Pool *pool)
{
    if (pool == NULL)
        return;
    ka_document_free(pool->document);
    g_free(pool->type);
    g_free(pool);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, pool_free)

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

static void
normalise(KaDocument *document, const char *type, gboolean active, gboolean autostart)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *source = ka_xml_child(root, "source");

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
static char *
denormalised(const KaDocument *document)
{
    KaDocument copy = {.xml = xmlCopyDoc(document->xml, 1), .rows = document->rows};
    xmlNode *root = xmlDocGetRootElement(copy.xml);
    char *text = NULL;

    xmlUnsetProp(root, (const xmlChar *)"ka-state");
    xmlUnsetProp(root, (const xmlChar *)"ka-autostart");
    for (gsize i = 0; i < G_N_ELEMENTS(several); i++)
        rename_below(ka_xml_child(root, "source"), several[i].normal, several[i].element);
    text = ka_document_format(&copy);
    xmlFreeDoc(copy.xml);
    return text;
}

char *
ka_pool_xml(const KaObject *object, GError **error)
{
    g_autoptr(KaDocument) document = ka_document_build(
        object->kind->table, ka_kind_rows(object->kind), object->name, object->node, error);

    return document ? denormalised(document) : NULL;
}

static Pool *
pool_read(virStoragePoolPtr handle, gboolean active, gboolean autostart, GError **error)
{
    g_autoptr(Pool) pool = g_new0(Pool, 1);
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
    normalise(pool->document, pool->type, active, autostart);
    return g_steal_pointer(&pool);
}

static char *
pool_digest(const Pool *pool)
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

static void
note_pool(KaHost *host, const char *name, const char *type, gboolean active)
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
read_all(const Pool *pool, const char *name, GError **error)
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
    g_autoptr(Pool) pool = pool_read(item, g_hash_table_contains(observation->active, name),
                                     g_hash_table_contains(observation->autostart, name), error);
    g_autoptr(KaActual) actual = ka_actual_new(name);
    g_autofree char *mark = wanted->project ? ka_mark_uuid(wanted->project, "pool", name) : NULL;

    if (pool == NULL)
        return FALSE;
    note_pool(observation->host, name, pool->type, pool->active);
    if (pool->active && !ka_volumes_index(observation->host, item, pool->type, error))
        return FALSE;
    actual->uuid = ka_document_get(pool->document, "uuid");
    actual->active = pool->active;
    actual->digest = pool_digest(pool);
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

/* --- act --- */

gboolean
ka_pool_is_busy(const KaProgress *progress, guint *tries)
{
    const virError *failure = virGetLastError();

    if (failure == NULL || failure->message == NULL ||
        strstr(failure->message, "asynchronous jobs running") == NULL ||
        g_cancellable_is_cancelled(progress->cancel) ||
        (*tries)++ >= 10 * progress->timeout_seconds)
        return FALSE;
    g_usleep(100 * 1000);
    return TRUE;
}

static gboolean
stop_pool(virStoragePoolPtr pool, const KaProgress *progress, GError **error)
{
    guint tries = 0;

    while (virStoragePoolDestroy(pool) < 0) {
        if (!ka_pool_is_busy(progress, &tries))
            return ka_libvirt_error(error, "can't stop pool '%s'", virStoragePoolGetName(pool));
    }
    return TRUE;
}

/* A missing folder is made; what would write to a device only on the user's word, and never over
 * something (NO_OVERWRITE). */
static gboolean
build_pool(virStoragePoolPtr pool, const char *type, gboolean asked)
{
    static const char *const folders[] = {"dir", "fs", "netfs", "vstorage", NULL};

    if (asked && !g_str_equal(type, "dir"))
        return virStoragePoolBuild(pool, VIR_STORAGE_POOL_BUILD_NO_OVERWRITE) == 0;
    return g_strv_contains(folders, type) && virStoragePoolBuild(pool, 0) == 0;
}

static gboolean
start_pool(KaHost *host, virStoragePoolPtr pool, const char *type, gboolean build, GError **error)
{
    const char *name = virStoragePoolGetName(pool);

    if (virStoragePoolCreate(pool, 0) < 0) {
        g_autoptr(GError) first = NULL;

        ka_libvirt_error(&first, "can't start pool '%s'", name);
        if (!build_pool(pool, type, build)) {
            if (build)
                return ka_libvirt_error(error, "can't build pool '%s'", name);
            g_propagate_error(error, g_steal_pointer(&first));
            return FALSE;
        }
        if (virStoragePoolCreate(pool, 0) < 0)
            return ka_libvirt_error(error, "can't start pool '%s'", name);
    }
    note_pool(host, name, type, TRUE);
    return ka_volumes_index(host, pool, type, error);
}

/* What a pool's folder shows is the folder itself: other permissions are made by building it again,
 * which for a folder that is there does nothing else. */
static gboolean
set_permissions(virStoragePoolPtr pool, const KaDocument *document, GError **error)
{
    g_autofree char *type = ka_document_get(document, "type");

    if (g_strcmp0(type, "dir") != 0 || virStoragePoolBuild(pool, 0) == 0)
        return TRUE;
    return ka_libvirt_error(error, "can't set permissions of pool '%s'",
                            virStoragePoolGetName(pool));
}

static gboolean
set_autostart(virStoragePoolPtr pool, const KaDocument *document, GError **error)
{
    g_autofree char *wanted = ka_document_get(document, "autostart");

    if (wanted == NULL || virStoragePoolSetAutostart(pool, g_str_equal(wanted, "yes")) == 0)
        return TRUE;
    return ka_libvirt_error(error, "can't set autostart of pool '%s'", virStoragePoolGetName(pool));
}

static gboolean
wants_active(const KaDocument *document)
{
    g_autofree char *state = ka_document_get(document, "state");

    return g_strcmp0(state, "inactive") != 0;
}

static gboolean
wants_build(const KaAction *action)
{
    return action->object && g_strcmp0(ka_node_text(action->object->node, "build"), "yes") == 0;
}

static gboolean
create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const KaNode *node = action->object->node;
    g_autoptr(KaDocument) document =
        ka_document_build(kind()->table, ka_kind_rows(kind()), action->name, node, error);
    g_autofree char *mark = ka_mark_uuid(action->project, "pool", action->name);
    g_autofree char *text = NULL;
    g_autoptr(virStoragePool) pool = NULL;
    const char *type = ka_node_text(node, "type");

    (void)progress;
    if (document == NULL ||
        (!ka_node_text(node, "uuid") && !ka_document_set(document, "uuid", mark, error)))
        return FALSE;
    text = denormalised(document);
    pool = virStoragePoolDefineXML(ka_link(host)->conn, text, 0);
    if (pool == NULL)
        return ka_libvirt_error(error, "can't define pool '%s'", action->name);
    if ((ka_node_get(node, "permissions") && !set_permissions(pool, document, error)) ||
        (wants_active(document) && !start_pool(host, pool, type, wants_build(action), error)) ||
        !set_autostart(pool, document, error)) {
        /* A pool that can't be started is no pool: its definition would only be in the way. */
        if (virStoragePoolIsActive(pool) != 1)
            virStoragePoolUndefine(pool);
        return FALSE;
    }
    if (!wants_active(document))
        note_pool(host, action->name, type, FALSE);
    return TRUE;
}

static virStoragePoolPtr
look_up(KaHost *host, const char *name, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ka_link(host)->conn, name);

    if (pool == NULL)
        ka_libvirt_error(error, "can't find pool '%s'", name);
    return pool;
}

/* The pool as it is now, if it still is what was planned. */
static Pool *
read_again(virStoragePoolPtr handle, const KaAction *action, GError **error)
{
    int autostart = 0;
    int active = virStoragePoolIsActive(handle);
    g_autoptr(Pool) pool = NULL;
    g_autofree char *digest = NULL;

    if (active < 0 || virStoragePoolGetAutostart(handle, &autostart) < 0) {
        ka_libvirt_error(error, "can't read pool '%s'", action->name);
        return NULL;
    }
    pool = pool_read(handle, active == 1, autostart == 1, error);
    if (pool == NULL)
        return NULL;
    digest = pool_digest(pool);
    if (g_strcmp0(digest, action->actual->digest) == 0)
        return g_steal_pointer(&pool);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                "pool '%s' has changed since the plan: plan again", action->name);
    return NULL;
}

static gboolean
needs_restart(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        if (!change->pending && change->row->way == KA_RESTART)
            return action->actual->active;
    }
    return FALSE;
}

static gboolean
has_definition_change(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const char *path = ((const KaChange *)g_ptr_array_index(action->changes, i))->path;

        if (!g_str_equal(path, "state") && !g_str_equal(path, "autostart"))
            return TRUE;
    }
    return FALSE;
}

static gboolean
changes_permissions(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        if (!change->pending && g_str_has_prefix(change->path, "permissions"))
            return TRUE;
    }
    return FALSE;
}

static gboolean
redefine(KaHost *host, const KaDocument *document, const char *name, GError **error)
{
    g_autofree char *text = denormalised(document);
    g_autoptr(virStoragePool) pool = virStoragePoolDefineXML(ka_link(host)->conn, text, 0);

    return pool || ka_libvirt_error(error, "can't change pool '%s'", name);
}

static gboolean
change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virStoragePool) handle = look_up(host, action->name, error);
    g_autoptr(Pool) pool = handle ? read_again(handle, action, error) : NULL;
    gboolean restart = needs_restart(action), active = FALSE;

    if (pool == NULL ||
        !ka_document_patch(pool->document, action->object->node, action->changes, FALSE, error))
        return FALSE;
    active = wants_active(pool->document);
    /* Stopped before it is redefined: were this run to end in between, the next one would see a
     * pool to start, and not one that silently runs with its old definition. */
    if (pool->active && (restart || !active)) {
        if (!stop_pool(handle, progress, error))
            return FALSE;
        note_pool(host, action->name, pool->type, FALSE);
    }
    if (has_definition_change(action) && !redefine(host, pool->document, action->name, error)) {
        if (pool->active && restart)
            start_pool(host, handle, pool->type, FALSE, NULL);
        return FALSE;
    }
    if (changes_permissions(action) && !set_permissions(handle, pool->document, error))
        return FALSE;
    if (active && (!pool->active || restart) &&
        !start_pool(host, handle, pool->type, wants_build(action), error))
        return FALSE;
    return set_autostart(handle, pool->document, error);
}

/* The first guest that has a volume of the pool; NULL: none. Borrowed. */
static const char *
first_guest(KaHost *host, const char *pool, gboolean running_only)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    for (guint i = 0; i < link->uses->len; i++) {
        const KaUse *use = g_ptr_array_index(link->uses, i);
        const KaVolume *volume = g_hash_table_lookup(link->volumes_by_path, use->path);

        if (volume && g_str_equal(volume->pool, pool) && (use->running || !running_only))
            return use->guest;
    }
    return NULL;
}

/* Only a dir pool's folder is libvirt's to change; what is mounted keeps its own. */
static void
note_permissions(KaHost *host, KaAction *action)
{
    if (g_strcmp0(ka_link_pool_type(host, action->name), "dir") == 0)
        return;
    for (guint i = action->changes->len; i-- > 0;) {
        KaChange *change = g_ptr_array_index(action->changes, i);

        if (!g_str_has_prefix(change->path, "permissions") || !action->actual->active)
            continue;
        change->way = KA_ONCE;
        g_ptr_array_add(action->notes, g_ptr_array_steal_index(action->changes, i));
    }
}

static gboolean
assess(KaHost *host, KaAction *action, GError **error)
{
    const char *guest = first_guest(host, action->name, TRUE);
    gboolean stops = FALSE;

    (void)error;
    if (action->verb == KA_CHANGE)
        note_permissions(host, action);
    stops = needs_restart(action);
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        stops |= g_str_equal(change->path, "state") && action->actual->active;
    }
    if (action->verb == KA_REPLACE || (action->verb == KA_CHANGE && stops)) {
        action->words |= KA_WORD_DISRUPT;
        if (guest)
            g_ptr_array_add(action->remarks,
                            g_strdup_printf("it is stopped while guest '%s' runs on it", guest));
    }
    if (action->verb == KA_REMOVE && !action->left_over)
        g_ptr_array_add(action->remarks, g_strdup("its volumes stay where they are"));
    return TRUE;
}

/* Guests that name a volume of it are in the way: their disks would be gone for libvirt. */
static gboolean
check_unused(KaHost *host, virStoragePoolPtr pool, GError **error)
{
    virStorageVolPtr *volumes = NULL;
    int n = virStoragePoolListAllVolumes(pool, &volumes, 0);
    gboolean unused = TRUE;

    for (int i = 0; i < n; i++) {
        g_autoptr(KaVolume) volume =
            ka_link_volume(host, virStoragePoolGetName(pool), virStorageVolGetName(volumes[i]));
        g_autofree char *what =
            g_strdup_printf("pool '%s' can't be removed", virStoragePoolGetName(pool));

        unused = unused && (!volume || ka_users_none(host, what, volume->path, NULL, error));
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return unused;
}

static gboolean
remove_pool(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virStoragePool) handle = look_up(host, action->name, error);
    g_autoptr(Pool) pool = handle ? read_again(handle, action, error) : NULL;

    if (pool == NULL)
        return FALSE;
    if (pool->active && (!check_unused(host, handle, error) || !stop_pool(handle, progress, error)))
        return FALSE;
    note_pool(host, action->name, NULL, FALSE);
    if (virStoragePoolUndefine(handle) < 0)
        return ka_libvirt_error(error, "can't remove pool '%s'", action->name);
    return TRUE;
}

const KaDriver ka_pool_driver = {
    .kind = "pool",
    .observe = observe,
    .assess = assess,
    .create = create,
    .change = change,
    .remove = remove_pool,
};
