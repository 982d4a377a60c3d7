#include "drivers/network.h"
#include "drivers/record.h"
#include "drivers/storage.h"

/* An element in <metadata> until a new network's autostart is set: a run that was cut short is
 * finished by the next one. */
#define UNFINISHED_NAMESPACE "https://kvmapply.org/unfinished/1"

void
ka_network_free(KaNetwork *network)
{
    if (!network)
        return;
    ka_document_free(network->config);
    g_free(network->text);
    g_free(network);
}

const KaRows *
ka_network_rows(void)
{
    return ka_kind_rows(ka_kind_find("network"));
}

/* --- reading --- */

KaDocument *
ka_network_half(virNetworkPtr handle, guint flags, char **ret_text, GError **error)
{
    const char *name = virNetworkGetName(handle); /* asked later, it would reset the error */
    char *xml = virNetworkGetXMLDesc(handle, flags);

    /* The test driver knows one half only. */
    if (!xml && flags && ka_libvirt_code() == VIR_ERR_INVALID_ARG)
        xml = virNetworkGetXMLDesc(handle, 0);
    g_autofree char *text = g_strdup(xml);
    free(xml);
    if (!text) {
        ka_libvirt_error(error, "can't read network '%s'", name);
        return NULL;
    }
    KaDocument *document = ka_document_parse(ka_network_rows(), text, error);
    if (document && ret_text)
        *ret_text = g_steal_pointer(&text);
    return document;
}

/* What stands beside the document becomes a part of its normal form. */
void
ka_network_present(KaDocument *document, const KaNetwork *network, gboolean protect)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);

    ka_network_normalise(document->xml);
    xmlSetProp(root, KA_XML("ka-state"), KA_XML(network->active ? "active" : "inactive"));
    xmlSetProp(root, KA_XML("ka-autostart"), KA_XML(network->autostart ? "yes" : "no"));
    if (protect)
        xmlSetProp(root, KA_XML("ka-protect"), KA_XML("yes"));
}

static KaNetwork *
network_read(virNetworkPtr handle, gboolean active, gboolean autostart, GError **error)
{
    g_autoptr(KaNetwork) network = g_new0(KaNetwork, 1);

    network->active = active;
    network->autostart = autostart;
    virNetworkGetUUIDString(handle, network->uuid);
    network->config = ka_network_half(handle, VIR_NETWORK_XML_INACTIVE, &network->text, error);
    return network->config ? g_steal_pointer(&network) : NULL;
}

KaNetwork *
ka_network_read_again(virNetworkPtr handle, GError **error)
{
    int active = virNetworkIsActive(handle), autostart = 0;

    /* A transient network has no autostart to ask for. */
    if (virNetworkGetAutostart(handle, &autostart) < 0)
        autostart = 0;
    return network_read(handle, active == 1, autostart == 1, error);
}

char *
ka_network_digest(const KaNetwork *network)
{
    return ka_digest(network->text, network->active ? "active" : "", network->autostart ? "a" : "",
                     NULL);
}

xmlNode *
ka_network_unfinished(const KaDocument *document)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *metadata = ka_element_child(root, "metadata");

    for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && node->ns &&
            xmlStrEqual(node->ns->href, KA_XML(UNFINISHED_NAMESPACE)))
            return node;
    }
    return NULL;
}

void
ka_network_mark(KaDocument *document, gboolean unfinished)
{
    xmlNode *metadata = ka_element_child(xmlDocGetRootElement(document->xml), "metadata");
    xmlNode *node = ka_network_unfinished(document);

    if (node) {
        xmlUnlinkNode(node);
        xmlFreeNode(node);
    }
    if (!unfinished)
        return;
    node = xmlNewChild(metadata, NULL, KA_XML("unfinished"), NULL);
    xmlSetNs(node, xmlNewNs(node, KA_XML(UNFINISHED_NAMESPACE), KA_XML("kvmapply-unfinished")));
}

/* --- observing --- */

typedef struct {
    KaHost *host;
    const KaWanted *wanted;
    KaFound found;
    gpointer data;
    GHashTable *active, *autostart, *transient; /* sets of names */
} Observation;

static void
free_handle(gpointer handle)
{
    virNetworkFree(handle);
}

/* Names of the networks that a filter lets through. NULL with an error. */
static GHashTable *
list_names(virConnectPtr conn, guint flags, GError **error)
{
    virNetworkPtr *list = NULL;
    int n = virConnectListAllNetworks(conn, &list, flags);

    if (n < 0) {
        ka_libvirt_error(error, "can't list networks");
        return NULL;
    }
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int i = 0; i < n; i++) {
        g_hash_table_add(names, g_strdup(virNetworkGetName(list[i])));
        virNetworkFree(list[i]);
    }
    free(list);
    return names;
}

static KaTree *
read_live(virNetworkPtr handle,
          const KaNetwork *network,
          const KaNode *want,
          const KaRecord *record,
          GError **error)
{
    g_autoptr(KaDocument) live = ka_network_half(handle, 0, NULL, error);

    if (!live)
        return NULL;
    ka_network_present(live, network, record && record->protect);
    return ka_document_read(live, want, record ? record->owned : NULL, error);
}

/* What no row covers, as the exported network's xml:. */
static gboolean
add_residual(const KaDocument *document, const char *name, KaTree *tree, GError **error)
{
    g_autoptr(KaDocument) built =
        ka_document_build(ka_network_rows()->table, ka_network_rows(), name, tree->root, error);

    if (!built)
        return FALSE;
    ka_network_denormalise(built->xml);
    ka_network_normalise(built->xml);
    KaNode *map = ka_node_new(tree, KA_NODE_MAP);
    ka_document_residual(document, built, tree, map);
    if (map->first)
        ka_node_append(tree, tree->root, "xml", map);
    return TRUE;
}

static void
drop_record(xmlNode *root)
{
    xmlNode *metadata = ka_element_child(root, "metadata");
    g_autoptr(GPtrArray) records = ka_place_select(root, "metadata/" KA_RECORD_PREFIX ":record");

    for (guint i = 0; i < records->len; i++) {
        xmlUnlinkNode(g_ptr_array_index(records, i));
        xmlFreeNode(g_ptr_array_index(records, i));
    }
    if (metadata && !metadata->children)
        ka_xml_drop(root, "metadata");
}

/* All fields, for export; our own record is none. */
static KaTree *
read_export(virNetworkPtr handle, const KaNetwork *network, const KaRecord *record, GError **error)
{
    xmlNode *root = xmlDocGetRootElement(network->config->xml);
    g_autoptr(KaTree) tree = NULL;

    ka_network_mark(network->config, FALSE);
    drop_record(root);
    ka_network_present(network->config, network, record && record->protect);
    tree = ka_document_read(network->config, NULL, NULL, error);
    if (!tree)
        return NULL;
    xmlUnsetProp(root, KA_XML("ka-state"));
    xmlUnsetProp(root, KA_XML("ka-autostart"));
    xmlUnsetProp(root, KA_XML("ka-protect"));
    if (!add_residual(network->config, virNetworkGetName(handle), tree, error))
        return NULL;
    return g_steal_pointer(&tree);
}

/* The fields of a declared network, as defined and as it runs. */
static gboolean
read_wanted(KaActual *actual,
            virNetworkPtr handle,
            const KaNetwork *network,
            const KaObject *object,
            gboolean unfinished,
            GError **error)
{
    GHashTable *owned = actual->record ? actual->record->owned : NULL;

    if (unfinished)
        g_ptr_array_add(actual->notes,
                        g_strdup("an earlier run was cut short here; this one finishes it"));
    if (actual->transient)
        g_ptr_array_add(actual->notes, g_strdup("transient: it is gone when it is stopped; a "
                                                "change gives it a definition"));
    actual->digest = ka_network_digest(network);
    ka_network_present(network->config, network, actual->record && actual->record->protect);
    actual->config = ka_document_read(network->config, object->node, owned, error);
    if (!actual->config)
        return FALSE;
    if (network->active && !actual->transient)
        actual->live = read_live(handle, network, object->node, actual->record, error);
    return !network->active || actual->transient || actual->live;
}

static void
note_network(KaHost *host, const char *name, gboolean active)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    g_hash_table_insert(link->networks, g_strdup(name), g_strdup(active ? "active" : "inactive"));
}

static gboolean
observe_one(gpointer item, gpointer data, GError **error)
{
    const Observation *observation = data;
    const char *name = virNetworkGetName(item);
    GHashTable *objects = observation->wanted->objects;
    const KaObject *object = objects ? g_hash_table_lookup(objects, name) : NULL;
    gboolean active = g_hash_table_contains(observation->active, name);

    if (g_str_has_prefix(name, KA_NETWORK_WAITING))
        return TRUE;
    note_network(observation->host, name, active);
    g_autoptr(KaNetwork) network =
        network_read(item, active, g_hash_table_contains(observation->autostart, name), error);
    if (!network) {
        /* It may just have gone. */
        gboolean gone = g_error_matches(*error, KA_HOST_ERROR, KA_HOST_ERROR_LIBVIRT) &&
                        ka_libvirt_code() == VIR_ERR_NO_NETWORK;
        if (gone)
            g_clear_error(error);
        return gone;
    }
    g_autoptr(KaActual) actual = ka_actual_new(name);
    actual->uuid = g_strdup(network->uuid);
    actual->active = active;
    actual->transient = g_hash_table_contains(observation->transient, name);
    actual->record = ka_record_read(network->config, network->uuid);
    g_autofree char *waiting = ka_network_waiting_name(item);
    gboolean unfinished = ka_network_unfinished(network->config) ||
                          g_hash_table_contains(observation->active, waiting);
    if (object && !read_wanted(actual, item, network, object, unfinished, error))
        return FALSE;
    if (!objects && !(actual->config = read_export(item, network, actual->record, error)))
        return FALSE;
    if (actual->config || actual->record)
        observation->found(g_steal_pointer(&actual), observation->data);
    return TRUE;
}

gboolean
ka_network_observe(
    KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    virConnectPtr conn = ka_link(host)->conn;
    g_autoptr(GHashTable) active = list_names(conn, VIR_CONNECT_LIST_NETWORKS_ACTIVE, error);
    g_autoptr(GHashTable) autostart =
        active ? list_names(conn, VIR_CONNECT_LIST_NETWORKS_AUTOSTART, error) : NULL;
    g_autoptr(GHashTable) transient =
        autostart ? list_names(conn, VIR_CONNECT_LIST_NETWORKS_TRANSIENT, error) : NULL;
    g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func(free_handle);
    Observation observation = {host, wanted, found, data, active, autostart, transient};
    virNetworkPtr *list = NULL;
    int n = transient ? virConnectListAllNetworks(conn, &list, 0) : 0;

    if (!transient)
        return FALSE;
    if (n < 0)
        return ka_libvirt_error(error, "can't list networks");
    for (int i = 0; i < n; i++)
        g_ptr_array_add(handles, list[i]);
    free(list);
    return ka_link_parallel(handles, observe_one, &observation, error);
}
