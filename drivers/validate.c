#include "drivers/validate.h"
#include "drivers/element.h"
#include "drivers/guest.h"
#include "drivers/network.h"
#include "drivers/storage.h"

#define CONNECT_SECONDS 10

/* What the test driver is asked of a kind. */
typedef struct {
    const char *kind;
    char *(*xml)(KaHost *host, const KaObject *object, GError **error); /* caller frees */
    gboolean (*define)(virConnectPtr conn, const char *text);
    /* Takes away what the test driver has by itself: its names are not taken. */
    void (*clear)(virConnectPtr conn);
} Trial;

static char *
network_xml(G_GNUC_UNUSED KaHost *host, const KaObject *object, GError **error)
{
    return ka_network_xml(object, error);
}

static gboolean
network_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virNetwork) network = virNetworkDefineXML(conn, text);
    return network != NULL;
}

static void
network_clear(virConnectPtr conn)
{
    virNetworkPtr *networks = NULL;
    int n_networks = virConnectListAllNetworks(conn, &networks, 0);
    for (int i = 0; i < n_networks; i++) {
        virNetworkDestroy(networks[i]);
        virNetworkUndefine(networks[i]);
        virNetworkFree(networks[i]);
    }
    free(networks);
}

static char *
pool_xml(G_GNUC_UNUSED KaHost *host, const KaObject *object, GError **error)
{
    return ka_pool_xml(object, error);
}

static gboolean
pool_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virStoragePool) pool = virStoragePoolDefineXML(conn, text, 0);
    return pool != NULL;
}

static void
pool_clear(virConnectPtr conn)
{
    virStoragePoolPtr *pools = NULL;
    int n_pools = virConnectListAllStoragePools(conn, &pools, 0);
    for (int i = 0; i < n_pools; i++) {
        virStoragePoolDestroy(pools[i]);
        virStoragePoolUndefine(pools[i]);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
}

/* The hypervisor's type is the one thing that the test driver can't take as it is. */
static char *
guest_xml(KaHost *host, const KaObject *object, GError **error)
{
    g_autofree char *text = ka_guest_xml(host, object, TRUE, error);
    g_autoptr(xmlDoc) doc = text ? ka_xml_parse(text) : NULL;
    if (!doc)
        return NULL;
    ka_attribute_set(xmlDocGetRootElement(doc), "type", "test");
    KaDocument document = {doc, ka_kind_rows(object->kind)};
    return ka_document_format(&document);
}

static gboolean
guest_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virDomain) domain = virDomainDefineXML(conn, text);
    return domain != NULL;
}

static void
guest_clear(virConnectPtr conn)
{
    virDomainPtr *domains = NULL;
    int n_domains = virConnectListAllDomains(conn, &domains, 0);
    for (int i = 0; i < n_domains; i++) {
        virDomainDestroy(domains[i]);
        virDomainUndefine(domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
}

static const Trial trials[] = {
    {"network", network_xml, network_define, network_clear},
    {"pool",    pool_xml,    pool_define,    pool_clear   },
    {"guest",   guest_xml,   guest_define,   guest_clear  },
};

/* Names that another libvirt may know: a model, an architecture, a feature. */
static gboolean
depends_on_host(const virError *failure)
{
    static const char *const signs[] = {
        "nknown",           "unexpected feature",          "not supported",
        "does not support", "could not find capabilities", "firmware"};
    /* As libvirt 11 says that it doesn't know a model. */
    if (failure->code == VIR_ERR_XML_ERROR)
        return failure->message && (strstr(failure->message, "value for attribute 'type'") ||
                                    strstr(failure->message, "value for attribute 'model'"));
    if (failure->code != VIR_ERR_CONFIG_UNSUPPORTED && failure->code != VIR_ERR_NO_SUPPORT &&
        failure->code != VIR_ERR_INVALID_ARG && failure->code != VIR_ERR_OPERATION_UNSUPPORTED)
        return FALSE;
    for (gsize i = 0; failure->message && i < G_N_ELEMENTS(signs); i++)
        if (strstr(failure->message, signs[i]))
            return TRUE;
    return FALSE;
}

static void
report_rejected(const KaObject *object, KaDiagnostics *diagnostics)
{
    const virError *failure = virGetLastError();
    gboolean is_warning = failure && depends_on_host(failure);
    ka_diagnostics_add(
        diagnostics, is_warning ? KA_WARNING : KA_ERROR, ka_node_key_mark(object->node),
        "%s '%s': libvirt %s: %s (libvirt error %d)", object->kind->table->kind, object->name,
        is_warning ? "on this machine would refuse it, the host's may not" : "refuses it",
        failure && failure->message ? failure->message : "no reason was given",
        failure ? failure->code : 0);
}

/* A fragment that is at fault, where the message names its place or there is no other; else the
 * object. */
static KaMark
mark_of_error(const KaObject *object, const GError *error)
{
    const KaNode *xml = ka_node_get(object->node, "xml");
    for (const KaNode *fragment = xml ? xml->first : NULL; fragment; fragment = fragment->next) {
        g_autofree char *quoted = g_strdup_printf("'%s'", fragment->key);
        if (error && error->domain == KA_DOCUMENT_ERROR &&
            (xml->n_children == 1 || strstr(error->message, quoted)))
            return ka_node_key_mark(fragment);
    }
    return ka_node_key_mark(object->node);
}

static void
try_object(const Trial *trial, KaHost *host, const KaObject *object, KaDiagnostics *diagnostics)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = trial->xml(host, object, &error);
    if (!text)
        ka_diagnostics_add(diagnostics, KA_ERROR, mark_of_error(object, error), "%s '%s': %s",
                           object->kind->table->kind, object->name,
                           error ? error->message : "its XML can't be made");
    else if (!trial->define(ka_link(host)->conn, text))
        report_rejected(object, diagnostics);
}

gboolean
ka_validate_xml(const KaManifest *manifest, KaDiagnostics *diagnostics)
{
    guint n_errors = diagnostics->n_errors;
    KaHost host = {.name = "test", .uri = "test:///default"};
    ka_link_connect(&host, CONNECT_SECONDS);
    if (host.error) {
        ka_diagnostics_add(diagnostics, KA_WARNING, KA_NOWHERE, "libvirt itself was not asked: %s",
                           host.error->message);
        g_clear_error(&host.error);
        return TRUE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(trials); i++) {
        const GPtrArray *objects = manifest->objects[ka_kind_index(ka_kind_find(trials[i].kind))];
        trials[i].clear(ka_link(&host)->conn);
        for (guint j = 0; j < objects->len; j++)
            try_object(&trials[i], &host, g_ptr_array_index(objects, j), diagnostics);
        trials[i].clear(ka_link(&host)->conn);
    }
    ka_link_disconnect(&host);
    g_free(host.real_uri);
    return diagnostics->n_errors == n_errors;
}
