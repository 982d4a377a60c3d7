#include "drivers/network.h"
#include "drivers/record.h"
#include "drivers/storage.h"

/* --- what a plan should say --- */

static KaChange *
find_change(const KaAction *action, const char *path)
{
    for (guint i = 0; i < action->changes->len; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        if (g_str_equal(change->path, path))
            return change;
    }
    return NULL;
}

static gboolean
stops(const KaAction *action)
{
    const KaChange *state = find_change(action, "state");

    return action->actual->active && state && state->to &&
           g_strcmp0(state->to->text, "inactive") == 0;
}

static gboolean
restarts(const KaAction *action)
{
    if (action->verb != KA_CHANGE || !action->actual->active || stops(action))
        return FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (change->way == KA_RESTART && !change->pending)
            return TRUE;
    }
    return FALSE;
}

/* The bridge that the running network made itself; NULL: none, or it doesn't run. */
static char *
own_bridge(virNetworkPtr handle)
{
    g_autoptr(KaDocument) live = ka_network_half(handle, 0, NULL, NULL);
    static const char *const own[] = {"none", "nat", "route", "open", NULL};

    if (!live)
        return NULL;
    ka_network_normalise(live->xml);
    g_autofree char *mode = ka_document_get(live, "forward.mode");
    return mode && g_strv_contains(own, mode) ? ka_document_get(live, "bridge.name") : NULL;
}

static virNetworkPtr
lookup(KaHost *host, const char *name, GError **error)
{
    virNetworkPtr handle = virNetworkLookupByName(ka_link(host)->conn, name);

    if (!handle)
        ka_libvirt_error(error, "can't find network '%s'", name);
    return handle;
}

/* Names the guests that can, or can't, be plugged in again. */
static void
remark(KaAction *action, const GPtrArray *plugs, gboolean movable, const char *what)
{
    g_autoptr(GPtrArray) those = g_ptr_array_new();

    for (guint i = 0; i < plugs->len; i++) {
        KaPlug *plug = g_ptr_array_index(plugs, i);
        if (plug->movable == movable)
            g_ptr_array_add(those, plug);
    }
    g_autofree char *guests = ka_network_guests(those);
    if (those->len)
        g_ptr_array_add(action->remarks, g_strdup_printf("%s: %s", what, guests));
}

static void
unpend(KaAction *action)
{
    guint waiting = 0;

    for (guint i = 0; i < action->changes->len; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        if (change->way != KA_RESTART || !change->pending)
            continue;
        change->pending = !(action->allowed & KA_WORD_DISRUPT);
        waiting += change->pending;
    }
    if (waiting)
        g_ptr_array_add(action->remarks,
                        g_strdup("waits for a restart of the network: --allow disrupt does it"));
}

static void
add_change(KaAction *action, const char *path, const char *from, const char *to)
{
    KaChange *change = g_new0(KaChange, 1);

    change->path = g_strdup(path);
    change->row = ka_rows_find(ka_network_rows(), path)->row;
    change->from = ka_node_new_scalar(action->tree, from);
    change->to = ka_node_new_scalar(action->tree, to);
    change->way = KA_LIVE;
    g_ptr_array_add(action->changes, change);
}

/* What a run that was cut short left to do. */
static void
finish_earlier(KaAction *action, virNetworkPtr handle, const KaDocument *config)
{
    if (ka_network_unfinished(config) && !ka_node_get(action->object->node, "autostart"))
        add_change(action, "autostart", "no", "yes");
    if (ka_network_waits(handle) && !find_change(action, "state") &&
        g_strcmp0(ka_node_text(action->object->node, "state"), "active") == 0)
        add_change(action, "state", "unfinished", "active");
}

/* libvirt adds no DNS host to a running network whose name another address has: an IPv4 and an IPv6
 * address of one name come with a restart. */
static void
restart_for_shared_names(KaAction *action)
{
    const KaNode *hosts = ka_node_find(action->object->node, "dns.hosts");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    gboolean shared = FALSE;

    for (const KaNode *host = hosts ? hosts->first : NULL; host; host = host->next) {
        const KaNode *names = ka_node_get(host, "names");
        for (const KaNode *name = names ? names->first : NULL; name; name = name->next)
            shared |= !g_hash_table_add(seen, ka_borrow(name->text));
    }
    for (guint i = 0; shared && action->actual->active && i < action->changes->len; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        if (g_str_has_prefix(change->path, "dns.hosts."))
            change->way = KA_RESTART;
    }
}

static gboolean
assess_change(KaHost *host, KaAction *action, GError **error)
{
    g_autoptr(virNetwork) handle = lookup(host, action->name, error);
    g_autoptr(KaDocument) config =
        handle ? ka_network_half(handle, VIR_NETWORK_XML_INACTIVE, NULL, error) : NULL;

    if (!config)
        return FALSE;
    finish_earlier(action, handle, config);
    restart_for_shared_names(action);
    unpend(action);
    if (!stops(action) && !restarts(action))
        return TRUE;
    action->words |= KA_WORD_DISRUPT;
    g_autofree char *bridge = own_bridge(handle);
    g_autoptr(GPtrArray) plugs = ka_network_plugs(handle, bridge, error);
    if (!plugs)
        return FALSE;
    remark(action, plugs, TRUE,
           stops(action) ? "guests lose connectivity" : "guests lose connectivity for a moment");
    remark(action, plugs, FALSE, "guests keep what they have until they are restarted");
    return TRUE;
}

/* Guests of others stay on it whatever this plan does; those of this project may go with it. */
static gboolean
assess_removal(KaHost *host, KaAction *action, GError **error)
{
    g_autoptr(virNetwork) handle = lookup(host, action->name, error);
    g_autofree char *bridge = handle ? own_bridge(handle) : NULL;
    g_autoptr(GPtrArray) plugs = handle ? ka_network_plugs(handle, bridge, error) : NULL;

    if (!plugs)
        return FALSE;
    for (guint i = 0; i < plugs->len && !action->left_over; i++) {
        const KaPlug *plug = g_ptr_array_index(plugs, i);
        if (g_strcmp0(plug->project, action->project) == 0)
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "guest '%s' runs on it: stop the guest or give it another network",
                    plug->guest);
        return FALSE;
    }
    return TRUE;
}

/* A session's libvirt can't make bridges. */
static gboolean
assess_start(KaHost *host, const KaAction *action, GError **error)
{
    static const char *const own[] = {"none", "nat", "route", "open", NULL};
    const char *mode = ka_node_text(action->object->node, "forward.mode");
    const char *state = ka_node_text(action->object->node, "state");

    if (!ka_link_is_session(host) || g_strcmp0(state, "inactive") == 0 ||
        !g_strv_contains(own, mode ? mode : "none"))
        return TRUE;
    g_set_error(
        error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
        "host '%s' is an ordinary user's libvirt (%s), which can make no bridge and no NAT: "
        "connect to qemu:///system, or give the guests' NICs 'user: true'",
        host->name, host->real_uri);
    return FALSE;
}

static gboolean
assess(KaHost *host, KaAction *action, GError **error)
{
    switch (action->verb) {
    case KA_CREATE:
        return assess_start(host, action, error);
    case KA_CHANGE:
        return assess_change(host, action, error);
    case KA_REMOVE:
        return assess_removal(host, action, error);
    case KA_REPLACE:
        return assess_removal(host, action, error) && assess_start(host, action, error);
    }
    g_assert_not_reached();
}

/* --- doing --- */

/* A document in normal form as libvirt takes it. */
static char *
denormalised(const KaDocument *document)
{
    KaDocument copy = {xmlCopyDoc(document->xml, 1), document->rows};

    ka_network_denormalise(copy.xml);
    char *text = ka_document_format(&copy);
    xmlFreeDoc(copy.xml);
    return text;
}

char *
ka_network_xml(const KaObject *object, GError **error)
{
    g_autoptr(KaDocument) document = ka_document_build(ka_network_rows()->table, ka_network_rows(),
                                                       object->name, object->node, error);
    return document ? denormalised(document) : NULL;
}

/* Defines what a document in normal form says. */
static virNetworkPtr
define(KaHost *host, const KaDocument *document, const char *name, GError **error)
{
    g_autofree char *text = denormalised(document);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ka_link(host)->network_lock);
    virNetworkPtr handle = virNetworkDefineXML(ka_link(host)->conn, text);
    if (!handle)
        ka_libvirt_error(error, "can't define network '%s'", name);
    return handle;
}

static gboolean
set_autostart(virNetworkPtr handle, const KaDocument *document, GError **error)
{
    g_autofree char *autostart = ka_document_get(document, "autostart");
    const char *name = virNetworkGetName(handle);
    int now = 0;

    if (!autostart || (virNetworkGetAutostart(handle, &now) == 0 &&
                       now == (g_str_equal(autostart, "yes") ? 1 : 0)))
        return TRUE;
    return virNetworkSetAutostart(handle, g_str_equal(autostart, "yes")) == 0 ||
           ka_libvirt_error(error, "can't set autostart of network '%s'", name);
}

static gboolean
wants_active(const KaDocument *document)
{
    g_autofree char *state = ka_document_get(document, "state");

    return g_strcmp0(state, "active") == 0;
}

static gboolean
start(virNetworkPtr handle, GError **error)
{
    const char *name = virNetworkGetName(handle); /* asked later, it would reset the error */

    return virNetworkIsActive(handle) == 1 || virNetworkCreate(handle) == 0 ||
           ka_libvirt_error(error,
                            "network '%s' is defined but can't be started (the next apply tries "
                            "again)",
                            name);
}

static gboolean
stop(virNetworkPtr handle, GError **error)
{
    const char *name = virNetworkGetName(handle);

    return virNetworkIsActive(handle) != 1 || virNetworkDestroy(handle) == 0 ||
           ka_libvirt_error(error, "can't stop network '%s'", name);
}

/* Until its autostart is set a mark says so: nobody would look at it again. */
static virNetworkPtr
define_new(KaHost *host, KaDocument *document, const char *name, GError **error)
{
    ka_network_mark(document, TRUE);
    g_autoptr(virNetwork) handle = define(host, document, name, error);
    if (!handle || !set_autostart(handle, document, error))
        return NULL;
    /* With the bridge and the MAC that libvirt chose: asked again, it would choose others. */
    g_autoptr(KaDocument) chosen = ka_network_half(handle, VIR_NETWORK_XML_INACTIVE, NULL, error);
    if (!chosen)
        return NULL;
    ka_network_mark(chosen, FALSE);
    return define(host, chosen, name, error);
}

static gboolean
create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(KaDocument) document = ka_document_build(ka_network_rows()->table, ka_network_rows(),
                                                       action->name, action->object->node, error);
    g_autofree char *uuid = document ? ka_document_get(document, "uuid") : NULL;

    if (!document)
        return FALSE;
    if (!uuid) {
        uuid = g_uuid_string_random();
        if (!ka_document_set(document, "uuid", uuid, error))
            return FALSE;
    }
    g_autoptr(KaRecord) record = ka_record_for(action, uuid);
    ka_record_write(document, record);
    (void)progress;
    g_autoptr(virNetwork) handle = define_new(host, document, action->name, error);
    return handle && (!wants_active(document) || start(handle, error));
}

/* The definition as it is to be, in normal form; NULL: it is not as it was planned. */
static KaNetwork *
changed(virNetworkPtr handle, KaAction *action, GError **error)
{
    g_autoptr(KaNetwork) network = ka_network_read_again(handle, error);
    g_autofree char *digest = network ? ka_network_digest(network) : NULL;

    if (!network)
        return NULL;
    if (g_strcmp0(digest, action->actual->digest) != 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "network '%s' was changed since the plan: plan again", action->name);
        return NULL;
    }
    ka_network_present(network->config, network, FALSE);
    if (!ka_document_patch(network->config, action->object->node, action->changes, FALSE, error))
        return NULL;
    g_autoptr(KaRecord) record = ka_record_for(action, network->uuid);
    ka_record_write(network->config, record);
    ka_network_mark(network->config, FALSE);
    return g_steal_pointer(&network);
}

static gboolean
change_live(virNetworkPtr handle, const KaNetwork *network, const KaAction *action, GError **error)
{
    g_autoptr(KaDocument) from = ka_network_half(handle, 0, NULL, error);
    g_autoptr(KaDocument) to = from ? ka_network_half(handle, 0, NULL, error) : NULL;

    if (!to)
        return FALSE;
    ka_network_present(to, network, FALSE);
    if (!ka_document_patch(to, action->object->node, action->changes, FALSE, error))
        return FALSE;
    ka_network_denormalise(to->xml);
    return ka_network_update(handle, from->xml, to->xml, error);
}

/* Starts what is to run, and plugs in what a stop or a run that was cut short left outside. */
static gboolean
bring_up(virNetworkPtr handle,
         const char *bridge,
         const KaAction *action,
         const KaProgress *progress,
         GError **error)
{
    gboolean whole = action->actual->active && !restarts(action) && !ka_network_waits(handle);

    return (!restarts(action) || stop(handle, error)) && start(handle, error) &&
           (whole || ka_network_plug_back(handle, bridge, action, progress, error));
}

static gboolean
change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virNetwork) handle = lookup(host, action->name, error);
    g_autoptr(KaNetwork) network = handle ? changed(handle, action, error) : NULL;
    g_autofree char *bridge = network ? own_bridge(handle) : NULL;

    if (!network)
        return FALSE;
    if (restarts(action) && !ka_network_wait(handle, bridge, error))
        return FALSE;
    if (network->active && !restarts(action) && !stops(action) &&
        !change_live(handle, network, action, error))
        return FALSE;
    g_autoptr(virNetwork) defined = define(host, network->config, action->name, error);
    if (!defined || !set_autostart(defined, network->config, error))
        return FALSE;
    if (wants_active(network->config))
        return bring_up(defined, bridge, action, progress, error);
    return !stops(action) || stop(defined, error);
}

static gboolean
remove_network(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virNetwork) handle = lookup(host, action->name, error);
    g_autofree char *bridge = handle ? own_bridge(handle) : NULL;
    g_autoptr(GPtrArray) plugs = handle ? ka_network_plugs(handle, bridge, error) : NULL;

    if (!plugs)
        return FALSE;
    if (plugs->len) {
        g_autofree char *guests = ka_network_guests(plugs);
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "network '%s' is not removed, guests run on it: %s", action->name, guests);
        return FALSE;
    }
    gboolean persistent = virNetworkIsPersistent(handle) == 1;
    if (!ka_network_plug_back(handle, bridge, action, progress, error) || !stop(handle, error))
        return FALSE;
    return !persistent || virNetworkUndefine(handle) == 0 ||
           ka_libvirt_error(error, "can't undefine network '%s'", action->name);
}

const KaDriver ka_network_driver = {
    .kind = "network",
    .observe = ka_network_observe,
    .assess = assess,
    .create = create,
    .change = change,
    .remove = remove_network,
};
