#include "drivers/element.h"
#include "drivers/guest.h"

#define POLL_US (200 * G_TIME_SPAN_MILLISECOND)
/* A guest that hasn't followed by then may never. */
#define PATIENCE_SECONDS 20

typedef gboolean (*Set)(KaGuestLive *change, const KaChange *what, GError **error);

static const char *
text_of(const KaChange *what)
{
    return what->to && what->to->type == KA_NODE_SCALAR ? what->to->text : NULL;
}

static gboolean
result(const KaGuestLive *change, int code, const KaChange *what, GError **error)
{
    return code >= 0 || ka_libvirt_error(error, "guest '%s': %s", change->action->name, what->path);
}

/* --- values --- */

static gboolean
set_title(KaGuestLive *change, const KaChange *what, GError **error)
{
    int type = g_str_equal(what->path, "title") ? VIR_DOMAIN_METADATA_TITLE
                                                : VIR_DOMAIN_METADATA_DESCRIPTION;

    return result(change,
                  virDomainSetMetadata(change->domain, type, text_of(what), NULL, NULL,
                                       VIR_DOMAIN_AFFECT_LIVE),
                  what, error);
}

/* What the guest was asked for and may not have done yet. */
typedef struct {
    const KaChange *what; /* borrowed */
    char *alias;          /* owned; of the device to let go of; NULL: a number to reach */
    gint64 number;        /* of vcpus or KiB */
} Request;

static void
request_free(gpointer data)
{
    Request *request = data;

    g_free(request->alias);
    g_free(request);
}

static void
ask(KaGuestLive *change, const KaChange *what, const char *alias, gint64 number)
{
    Request *request = g_new0(Request, 1);

    request->what = what;
    request->alias = g_strdup(alias);
    request->number = number;
    g_ptr_array_add(change->requests, request);
}

/* Taking a vcpu away is a request: where the guest doesn't answer in time it stays pending. */
static gboolean
set_vcpus(KaGuestLive *change, const KaChange *what, GError **error)
{
    const char *text = text_of(what);
    guint count = text ? (guint)g_ascii_strtoull(text, NULL, 10) : 1;
    int now = virDomainGetVcpusFlags(change->domain, VIR_DOMAIN_AFFECT_LIVE);

    if (virDomainSetVcpusFlags(change->domain, count, VIR_DOMAIN_AFFECT_LIVE) == 0)
        return TRUE;
    /* 9.0 says INTERNAL_ERROR of a vcpu that the guest gave back unseen (emulation tells no end).
     */
    if (count >= (guint)MAX(now, 0) || (ka_libvirt_code() != VIR_ERR_OPERATION_TIMEOUT &&
                                        ka_libvirt_code() != VIR_ERR_OPERATION_FAILED &&
                                        ka_libvirt_code() != VIR_ERR_INTERNAL_ERROR))
        return result(change, -1, what, error);
    ask(change, what, NULL, count);
    return TRUE;
}

static gboolean
set_memory(KaGuestLive *change, const KaChange *what, GError **error)
{
    const char *text = text_of(what);
    guint64 kib = text ? g_ascii_strtoull(text, NULL, 10) : 0;

    if (!text)
        return TRUE;
    if (virDomainSetMemoryFlags(change->domain, (unsigned long)kib, VIR_DOMAIN_AFFECT_LIVE) < 0)
        return result(change, -1, what, error);
    ask(change, what, NULL, (gint64)kib);
    return TRUE;
}

static gboolean
set_shares(KaGuestLive *change, const KaChange *what, GError **error)
{
    virTypedParameterPtr parameters = NULL;
    int n_parameters = 0, capacity = 0;
    const char *text = text_of(what);

    if (!text)
        return TRUE;
    virTypedParamsAddULLong(&parameters, &n_parameters, &capacity, VIR_DOMAIN_SCHEDULER_CPU_SHARES,
                            g_ascii_strtoull(text, NULL, 10));
    int code = virDomainSetSchedulerParametersFlags(change->domain, parameters, n_parameters,
                                                    VIR_DOMAIN_AFFECT_LIVE);
    virTypedParamsFree(parameters, n_parameters);
    return result(change, code, what, error);
}

/* "0-3,^2" as a bit map; NULL: all CPUs. */
static guchar *
cpu_map(const char *text, int n_cpus)
{
    guchar *map = g_malloc0((gsize)VIR_CPU_MAPLEN(n_cpus));
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ",", -1);

    for (int cpu = 0; !text && cpu < n_cpus; cpu++)
        map[cpu / 8] |= (guchar)(1U << (cpu % 8));
    for (char **part = parts; *part && **part; part++) {
        char *end = NULL;
        gboolean out = **part == '^';
        guint64 first = g_ascii_strtoull(*part + out, &end, 10);
        guint64 last = *end == '-' ? g_ascii_strtoull(end + 1, NULL, 10) : first;
        for (guint64 cpu = first; cpu <= last && cpu < (guint64)n_cpus; cpu++) {
            if (out)
                map[cpu / 8] &= (guchar) ~(1U << (cpu % 8));
            else
                map[cpu / 8] |= (guchar)(1U << (cpu % 8));
        }
    }
    return map;
}

static gboolean
set_pin(KaGuestLive *change, const KaChange *what, GError **error)
{
    g_auto(GStrv) keys = ka_path_split(what->path);
    const KaNode *leaf =
        what->to && what->to->type == KA_NODE_MAP ? ka_node_get(what->to, "cpuset") : what->to;
    const char *text = leaf && leaf->type == KA_NODE_SCALAR ? leaf->text : NULL;
    int n_cpus = virNodeGetCPUMap(virDomainGetConnect(change->domain), NULL, NULL, 0);

    if (n_cpus < 0)
        return result(change, -1, what, error);
    g_autofree guchar *map = cpu_map(text, n_cpus);
    int length = VIR_CPU_MAPLEN(n_cpus);
    int code =
        g_str_equal(keys[1], "emulator-pin")
            ? virDomainPinEmulator(change->domain, map, length, VIR_DOMAIN_AFFECT_LIVE)
            : virDomainPinVcpuFlags(change->domain, (guint)g_ascii_strtoull(keys[2], NULL, 10), map,
                                    length, VIR_DOMAIN_AFFECT_LIVE);
    return result(change, code, what, error);
}

/* --- devices --- */

static gboolean
attach(KaGuestLive *change, const KaChange *what, GError **error)
{
    xmlNode *element = g_hash_table_lookup(change->elements, what->path);

    /* Somebody may have taken it out of the definition alone. */
    if (!element || ka_document_item(change->live, what->path, change->form->want))
        return TRUE;
    g_autofree char *text = ka_element_text(element, FALSE);
    return result(change, virDomainAttachDeviceFlags(change->domain, text, VIR_DOMAIN_AFFECT_LIVE),
                  what, error);
}

static gboolean
has_alias(virDomainPtr domain, const char *alias)
{
    g_autofree char *element = g_strdup_printf("<alias name='%s'/>", alias);
    char *xml = virDomainGetXMLDesc(domain, 0);
    gboolean there = xml && strstr(xml, element);

    free(xml);
    return there;
}

static gboolean
detach(KaGuestLive *change, const KaChange *what, GError **error)
{
    xmlNode *element = ka_document_item(change->live, what->path, NULL);
    const char *own = ka_attribute(element, "ka-alias");
    const char *name = ka_attribute(ka_element_child(element, "alias"), "name");
    g_autofree char *alias = g_strdup(own ? own : name);

    if (!alias)
        return TRUE; /* it isn't there */
    if (virDomainDetachDeviceAlias(change->domain, alias, VIR_DOMAIN_AFFECT_LIVE) < 0 &&
        ka_libvirt_code() != VIR_ERR_DEVICE_MISSING && has_alias(change->domain, alias)) {
        /* A request that is already under way is refused. */
        if (!what->pending)
            return result(change, -1, what, error);
    }
    ask(change, what, alias, 0);
    return TRUE;
}

static gboolean
wants(const KaChange *what)
{
    return what->to && what->to->type != KA_NODE_NULL;
}

static gboolean
plug(KaGuestLive *change, const KaChange *what, GError **error)
{
    return wants(what) ? attach(change, what, error) : detach(change, what, error);
}

/* The item that a leaf belongs to: "nics.lan" of "nics.lan.link". Caller frees. */
static char *
item_of(const char *path)
{
    g_auto(GStrv) keys = ka_path_split(path);
    g_autofree char *branch = ka_path_append(NULL, keys[0]);

    return keys[1] ? ka_path_append(branch, keys[1]) : g_strdup(path);
}

/* All changed values of one device at once: libvirt takes whole devices. */
static gboolean
update(KaGuestLive *change, const KaChange *what, GError **error)
{
    g_autofree char *item = item_of(what->path);
    g_autoptr(GPtrArray) together = g_ptr_array_new();
    KaDocument copy = {xmlCopyDoc(change->live->xml, 1), change->live->rows};

    for (guint i = 0; i < change->action->changes->len; i++) {
        KaChange *other = g_ptr_array_index(change->action->changes, i);
        g_autofree char *other_item = item_of(other->path);
        if (other->way == KA_LIVE && g_str_equal(item, other_item))
            g_ptr_array_add(together, other);
    }
    gboolean first = g_ptr_array_index(together, 0) == what;
    gboolean done = !first;
    if (first && ka_document_patch(&copy, change->form->want, together, TRUE, error)) {
        xmlNode *element = ka_document_item(&copy, item, NULL);
        done = ka_guest_denormalise(&copy, change->form, error);
        g_autofree char *text = done && element ? ka_element_text(element, FALSE) : NULL;
        if (text)
            done = result(change,
                          virDomainUpdateDeviceFlags(change->domain, text, VIR_DOMAIN_AFFECT_LIVE),
                          what, error);
    }
    xmlFreeDoc(copy.xml);
    return done;
}

/* --- waiting for the guest --- */

static gboolean
is_followed(KaGuestLive *change, const Request *request)
{
    virDomainInfo info = {0};

    if (request->alias)
        return !has_alias(change->domain, request->alias);
    if (virDomainGetInfo(change->domain, &info) < 0)
        return TRUE; /* it is gone */
    if (g_str_equal(request->what->row->key, "memory.current"))
        return (gint64)info.memory == request->number;
    return info.nrVirtCpu <= request->number;
}

static gboolean
all_followed(KaGuestLive *change)
{
    for (guint i = change->requests->len; i > 0; i--)
        if (is_followed(change, g_ptr_array_index(change->requests, i - 1)))
            g_ptr_array_remove_index(change->requests, i - 1);
    return change->requests->len == 0;
}

/* The guest follows when it likes, or never: then what it was asked for stays pending. */
static gboolean
wait_for_guest(KaGuestLive *change, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    const char *state = change->requests->len ? ka_guest_state(change->domain, error) : "off";
    gboolean is_new = FALSE; /* what it was asked before may never come */

    for (guint i = 0; i < change->requests->len; i++)
        is_new |= !((const Request *)g_ptr_array_index(change->requests, i))->what->pending;
    /* A paused one can't. */
    guint patience = is_new && g_strcmp0(state, "running") == 0 ? PATIENCE_SECONDS : 0;

    if (!state)
        return FALSE;
    while (!all_followed(change)) {
        guint64 waited = (guint64)((g_get_monotonic_time() - begin) / G_TIME_SPAN_SECOND);
        const Request *first = g_ptr_array_index(change->requests, 0);
        if (g_cancellable_is_cancelled(change->progress->cancel)) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED,
                        "interrupted while the guest follows: %s", first->what->path);
            return FALSE;
        }
        if (waited >= patience)
            break;
        ka_progress_step(change->progress, change->action, "waiting for the guest to follow",
                         waited, patience, "s");
        g_usleep(POLL_US);
    }
    for (guint i = 0; i < change->requests->len; i++) {
        const Request *request = g_ptr_array_index(change->requests, i);
        if (request->alias)
            g_hash_table_add(change->waiting, g_strdup(request->what->path));
    }
    return TRUE;
}

/* --- all of them --- */

static const struct {
    const char *key; /* of the row */
    Set set;
} setters[] = {
    {"title",              set_title },
    {"description",        set_title },
    {"vcpus.current",      set_vcpus },
    {"vcpus.shares",       set_shares},
    {"vcpus.emulator-pin", set_pin   },
    {"vcpus.pin.*",        set_pin   },
    {"vcpus.pin.*.cpuset", set_pin   },
    {"memory.current",     set_memory},
    {"agent",              NULL      },
    {"state",              NULL      },
    {"autostart",          NULL      },
    {"protect",            NULL      },
};

/* The row's own way, else the generic one: items are plugged, values of items updated. */
static Set
setter_of(const KaField *row)
{
    for (gsize i = 0; i < G_N_ELEMENTS(setters); i++)
        if (g_str_equal(setters[i].key, row->key))
            return setters[i].set;
    if (g_str_has_suffix(row->key, ".*"))
        return plug;
    return strstr(row->key, ".*.") ? update : NULL;
}

static gboolean
has_address(const xmlNode *devices, const xmlNode *address)
{
    g_autofree char *text = NULL;
    xmlNode *twin = xmlDocCopyNode((xmlNode *)(guintptr)address, devices->doc, 1);
    gboolean found = FALSE;

    text = ka_element_text(twin, FALSE);
    xmlFreeNode(twin);
    ka_for_children(device, devices, NULL)
    {
        xmlNode *other = ka_element_child(device, "address");
        g_autofree char *other_text = other ? ka_element_text(other, FALSE) : NULL;
        found |= g_strcmp0(text, other_text) == 0;
    }
    return found;
}

/* A device has one address: the one that it got now, unless a device that waits for the next boot
 * has it. */
static void
copy_address(KaGuestLive *change, const KaDocument *live, const char *path)
{
    xmlNode *element = g_hash_table_lookup(change->elements, path);
    const xmlNode *twin = ka_document_item(live, path, NULL);
    xmlNode *address = ka_element_child(twin, "address");

    if (!element || !address || ka_element_child(element, "address") ||
        has_address(element->parent, address))
        return;
    xmlAddChild(element, xmlDocCopyNode(address, element->doc, 1));
}

static gboolean
copy_addresses(KaGuestLive *change, GError **error)
{
    if (!g_hash_table_size(change->elements))
        return TRUE;
    char *text = virDomainGetXMLDesc(change->domain, VIR_DOMAIN_XML_SECURE);

    if (!text)
        return ka_libvirt_error(error, "guest '%s'", change->action->name);
    g_autoptr(KaDocument) live = ka_document_parse(change->live->rows, text, error);
    free(text);
    if (!live)
        return FALSE;
    ka_guest_normalise(live, change->form, &(KaGuestFacts){NULL, NULL, NULL});
    GHashTableIter iter;
    gpointer path;
    g_hash_table_iter_init(&iter, change->elements);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        copy_address(change, live, path);
    return TRUE;
}

/* What goes makes room for what comes. */
static gboolean
change_all(KaGuestLive *change, gboolean comes, GError **error)
{
    for (guint i = 0; i < change->action->changes->len; i++) {
        const KaChange *what = g_ptr_array_index(change->action->changes, i);
        Set set = what->way == KA_LIVE || what->way == KA_GUEST ? setter_of(what->row) : NULL;
        if (set && (set == plug && wants(what)) == comes && !set(change, what, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
ka_guest_change_live(KaGuestLive *change, GError **error)
{
    g_autoptr(GPtrArray) requests = g_ptr_array_new_with_free_func(request_free);

    change->requests = requests;
    gboolean done = change_all(change, FALSE, error) && wait_for_guest(change, error) &&
                    change_all(change, TRUE, error) && copy_addresses(change, error);
    change->requests = NULL;
    return done;
}
