#include "drivers/network.h"
#include "drivers/record.h"
#include "drivers/storage.h"

/* After a restart of a network the taps of running guests stay outside its new bridge, and an
 * update of a NIC to the source that it has mends nothing: it goes away to another network and
 * comes back. */

static void
plug_free(KaPlug *plug)
{
    g_free(plug->guest);
    g_free(plug->project);
    g_free(plug->interface);
    g_free(plug->away);
    g_free(plug->port);
    g_free(plug);
}

char *
ka_network_waiting_name(virNetworkPtr network)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virNetworkGetUUIDString(network, uuid);
    return g_strconcat(KA_NETWORK_WAITING, uuid, NULL);
}

/* What is looked for in the guests, by several threads. */
typedef struct {
    const char *network;
    const char *bridge;
    char *waiting;
    GPtrArray *plugs;
    GMutex lock;
} Search;

/* The interface on a network, without what libvirt adds to a live one. */
static char *
interface_on(const xmlNode *interface, const char *network, gboolean away)
{
    /* What the plain bridge where it waits may not know. */
    static const char *const peculiar[] = {"virtualport", "vlan", "bandwidth"};
    xmlNode *copy = xmlCopyNode(ka_borrow(interface), 1);
    xmlNode *source = ka_element_child(copy, "source");
    g_autofree char *portgroup = away ? NULL : g_strdup(ka_attribute(source, "portgroup"));

    xmlSetProp(copy, KA_XML("type"), KA_XML("network"));
    while (source->properties)
        xmlRemoveProp(source->properties);
    xmlSetProp(source, KA_XML("network"), KA_XML(network));
    if (portgroup)
        xmlSetProp(source, KA_XML("portgroup"), KA_XML(portgroup));
    for (gsize i = 0; away && i < G_N_ELEMENTS(peculiar); i++)
        ka_xml_drop(copy, peculiar[i]);
    char *text = ka_element_text(copy, FALSE);
    xmlFreeNode(copy);
    return text;
}

static void
look_at(Search *search, const char *guest, xmlNode *interface, const char *project)
{
    xmlNode *source = ka_element_child(interface, "source");
    g_autofree char *network = g_strdup(ka_attribute(source, "network"));
    g_autofree char *bridge = g_strdup(ka_attribute(source, "bridge"));
    gboolean waiting = g_strcmp0(network, search->waiting) == 0;
    gboolean by_bridge = !network && bridge && g_strcmp0(bridge, search->bridge) == 0;

    if (!waiting && !by_bridge && g_strcmp0(network, search->network) != 0)
        return;
    KaPlug *plug = g_new0(KaPlug, 1);
    plug->guest = g_strdup(guest);
    plug->project = g_strdup(project);
    plug->waiting = waiting;
    plug->movable = bridge != NULL;
    plug->port = by_bridge ? NULL : g_strdup(ka_attribute(source, "portid"));
    plug->away = interface_on(interface, search->waiting, TRUE);
    plug->interface = by_bridge ? ka_element_text(interface, FALSE)
                                : interface_on(interface, search->network, FALSE);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&search->lock);
    g_ptr_array_add(search->plugs, plug);
}

static char *
record_project(const xmlNode *root)
{
    g_autoptr(GPtrArray) found = ka_place_select(root, "metadata/" KA_RECORD_PREFIX ":record");

    return found->len ? g_strdup(ka_attribute(g_ptr_array_index(found, 0), "project")) : NULL;
}

static gboolean
look_into(gpointer domain, gpointer data, GError **error)
{
    Search *search = data;
    const char *name = virDomainGetName(domain);
    char *text = virDomainGetXMLDesc(domain, 0);
    g_autoptr(xmlDoc) xml = text ? ka_xml_parse(text) : NULL;

    free(text);
    if (!xml)
        return ka_libvirt_code() == VIR_ERR_NO_DOMAIN || /* it has just gone */
               ka_libvirt_error(error, "can't read guest '%s'", name);
    xmlNode *root = xmlDocGetRootElement(xml);
    g_autoptr(GPtrArray) interfaces = ka_place_select(root, "devices/interface");
    g_autofree char *project = record_project(root);
    for (guint i = 0; i < interfaces->len; i++)
        look_at(search, name, g_ptr_array_index(interfaces, i), project);
    return TRUE;
}

static void
domain_free(gpointer domain)
{
    virDomainFree(domain);
}

static gint
compare_plugs(gconstpointer a, gconstpointer b)
{
    const KaPlug *x = *(KaPlug *const *)a, *y = *(KaPlug *const *)b;
    int by_guest = strcmp(x->guest, y->guest);

    return by_guest ? by_guest : strcmp(x->interface, y->interface);
}

GPtrArray *
ka_network_plugs(virNetworkPtr network, const char *bridge, GError **error)
{
    g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(domain_free);
    g_autoptr(GPtrArray) plugs = g_ptr_array_new_with_free_func((GDestroyNotify)plug_free);
    g_autofree char *waiting = ka_network_waiting_name(network);
    Search search = {virNetworkGetName(network), bridge, waiting, plugs, {0}};
    virDomainPtr *list = NULL;
    int n = virConnectListAllDomains(virNetworkGetConnect(network), &list,
                                     VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    if (n < 0) {
        ka_libvirt_error(error, "can't list the running guests");
        return NULL;
    }
    for (int i = 0; i < n; i++)
        g_ptr_array_add(domains, list[i]);
    free(list);
    g_mutex_init(&search.lock);
    gboolean done = ka_link_parallel(domains, look_into, &search, error);
    g_mutex_clear(&search.lock);
    if (!done)
        return NULL;
    g_ptr_array_sort(plugs, compare_plugs);
    return g_steal_pointer(&plugs);
}

char *
ka_network_guests(const GPtrArray *plugs)
{
    g_autoptr(GString) names = g_string_new(NULL);
    const char *last = NULL;

    for (guint i = 0; i < plugs->len; i++) {
        const KaPlug *plug = g_ptr_array_index(plugs, i);
        if (g_strcmp0(last, plug->guest) != 0)
            g_string_append_printf(names, "%s'%s'", last ? ", " : "", plug->guest);
        last = plug->guest;
    }
    return g_string_free(g_steal_pointer(&names), FALSE);
}

/* UUIDs of the ports that the network has now. */
static GHashTable *
ports_of(virNetworkPtr network, GError **error)
{
    const char *name = virNetworkGetName(network);
    GHashTable *ports = NULL;
    virNetworkPortPtr *list = NULL;
    int n = virNetworkListAllPorts(network, &list, 0);

    if (n < 0) {
        ka_libvirt_error(error, "can't list the ports of network '%s'", name);
        return NULL;
    }
    ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int i = 0; i < n; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN] = "";
        virNetworkPortGetUUIDString(list[i], uuid);
        g_hash_table_add(ports, g_strdup(uuid));
        virNetworkPortFree(list[i]);
    }
    free(list);
    return ports;
}

static virNetworkPtr
find_waiting(virNetworkPtr network)
{
    g_autofree char *name = ka_network_waiting_name(network);

    return virNetworkLookupByName(virNetworkGetConnect(network), name);
}

gboolean
ka_network_waits(virNetworkPtr network)
{
    g_autoptr(virNetwork) waiting = find_waiting(network);

    return waiting != NULL;
}

/* Of a run that was cut short, or a new one. */
static virNetworkPtr
ensure_waiting(virNetworkPtr network, GError **error)
{
    g_autofree char *name = ka_network_waiting_name(network);
    g_autofree char *text = g_strdup_printf(
        "<network><name>%s</name><bridge name='ka-wait%%d'/><dns enable='no'/></network>", name);
    virNetworkPtr waiting = find_waiting(network);

    if (!waiting)
        waiting = virNetworkCreateXML(virNetworkGetConnect(network), text);
    if (!waiting)
        ka_libvirt_error(error, "can't make the network '%s' where guests wait", name);
    return waiting;
}

gboolean
ka_network_wait(virNetworkPtr network, const char *bridge, GError **error)
{
    g_autoptr(GPtrArray) plugs = ka_network_plugs(network, bridge, error);
    gboolean movable = FALSE;

    for (guint i = 0; plugs && i < plugs->len; i++)
        movable |= ((const KaPlug *)g_ptr_array_index(plugs, i))->movable;
    g_autoptr(virNetwork) waiting = movable ? ensure_waiting(network, error) : NULL;
    return plugs && (!movable || waiting);
}

static gboolean
move(virConnectPtr conn, const KaPlug *plug, GError **error)
{
    const char *const ways[] = {plug->waiting ? NULL : plug->away, plug->interface};
    g_autoptr(virDomain) domain = virDomainLookupByName(conn, plug->guest);

    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        if (!ways[i] ||
            (domain && virDomainUpdateDeviceFlags(domain, ways[i], VIR_DOMAIN_AFFECT_LIVE) == 0))
            continue;
        g_autoptr(GError) failure = NULL;
        ka_libvirt_error(&failure, "guest '%s' can't be plugged in again", plug->guest);
        /* A guest that went off needs no plug. */
        if (!domain || virDomainIsActive(domain) != 1)
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    return TRUE;
}

/* The plugs that are outside; all of them where the ports can't tell. */
static GPtrArray *
outside(virNetworkPtr network, const char *bridge, gboolean of_bridge, GError **error)
{
    g_autoptr(GPtrArray) plugs = ka_network_plugs(network, bridge, error);
    g_autoptr(GHashTable) ports = plugs && plugs->len ? ports_of(network, error) : NULL;

    if (!ports)
        return plugs && !plugs->len ? g_steal_pointer(&plugs) : NULL;
    for (guint i = plugs->len; i-- > 0;) {
        const KaPlug *plug = g_ptr_array_index(plugs, i);
        gboolean inside =
            plug->port ? g_hash_table_contains(ports, plug->port) : !of_bridge && !plug->waiting;
        if (!plug->movable || inside)
            g_ptr_array_remove_index(plugs, i);
    }
    return g_steal_pointer(&plugs);
}

gboolean
ka_network_plug_back(virNetworkPtr network,
                     const char *bridge,
                     const KaAction *action,
                     const KaProgress *progress,
                     GError **error)
{
    virConnectPtr conn = virNetworkGetConnect(network);
    g_autoptr(GPtrArray) plugs = outside(network, bridge, TRUE, error);
    g_autoptr(virNetwork) waiting = NULL;
    g_autoptr(GError) first = NULL;

    if (plugs)
        waiting = plugs->len ? ensure_waiting(network, error) : find_waiting(network);
    if (!waiting)
        return plugs && !plugs->len;
    for (guint i = 0; i < plugs->len; i++) {
        ka_progress_step(progress, action, "plugging guests back in", i, plugs->len, "");
        /* One that fails is no reason to leave the others outside. */
        move(conn, g_ptr_array_index(plugs, i), first ? NULL : &first);
    }
    if (first) {
        g_propagate_error(error, g_steal_pointer(&first));
        return FALSE;
    }
    g_autoptr(GPtrArray) left = outside(network, NULL, FALSE, error);
    if (!left)
        return FALSE;
    if (left->len) {
        g_autofree char *guests = ka_network_guests(left);
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_LIBVIRT,
                    "network '%s' runs, but guests are still outside of it: %s", action->name,
                    guests);
        return FALSE;
    }
    virNetworkDestroy(waiting);
    return TRUE;
}
