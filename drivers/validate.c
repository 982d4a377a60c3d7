#include "drivers/validate.h"
#include "drivers/document_part.h"
#include "drivers/element.h"
#include "drivers/guest.h"
#include "drivers/network.h"
#include "drivers/storage.h"

#define CONNECT_SECONDS 10

/* What the test driver is asked of a kind. */
typedef struct {
    const char *kind;
    char *(*xml)(KaHost *host, const KaObject *object, GError **error); /* caller frees */
    /* What libvirt made of it; NULL: it refuses. Caller frees with free. */
    char *(*define)(virConnectPtr conn, const char *text);
    /* To the form in which places are found. */
    void (*normalise)(KaHost *host, const KaObject *object, KaDocument *document);
    /* Takes away what the test driver has by itself: its names are not taken. */
    void (*clear)(virConnectPtr conn);
} Trial;

static char *
network_xml(G_GNUC_UNUSED KaHost *host, const KaObject *object, GError **error)
{
    return ka_network_xml(object, error);
}

static char *
network_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virNetwork) network = virNetworkDefineXML(conn, text);
    return network ? virNetworkGetXMLDesc(network, 0) : NULL;
}

static void
network_normalise(G_GNUC_UNUSED KaHost *host,
                  G_GNUC_UNUSED const KaObject *object,
                  KaDocument *document)
{
    ka_network_normalise(document->xml);
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

static char *
pool_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virStoragePool) pool = virStoragePoolDefineXML(conn, text, 0);
    return pool ? virStoragePoolGetXMLDesc(pool, 0) : NULL;
}

static void
pool_normalise(G_GNUC_UNUSED KaHost *host, const KaObject *object, KaDocument *document)
{
    const char *type = ka_node_text(object->node, "type");
    ka_pool_normalise(document, type ? type : "dir", FALSE, FALSE);
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

static char *
guest_define(virConnectPtr conn, const char *text)
{
    g_autoptr(virDomain) domain = virDomainDefineXML(conn, text);
    return domain ? virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE)
                  : NULL;
}

static void
guest_normalise(KaHost *host, const KaObject *object, KaDocument *document)
{
    g_autoptr(GHashTable) no_disks = g_hash_table_new(g_str_hash, g_str_equal);
    const KaGuestForm form = {.host = host, .disks = no_disks, .want = object->node};
    ka_guest_normalise(document, &form, &(KaGuestFacts){.state = "off"});
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
    {"network", network_xml, network_define, network_normalise, network_clear},
    {"pool",    pool_xml,    pool_define,    pool_normalise,    pool_clear   },
    {"guest",   guest_xml,   guest_define,   guest_normalise,   guest_clear  },
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

/* libvirt leaves out of what it takes whatever it doesn't know; a plan would find it missing for
 * ever. Elements with a prefix are a hypervisor's own, which the test driver doesn't know. */
static void
check_kept(const Trial *trial,
           KaHost *host,
           const KaObject *object,
           const char *made,
           KaDiagnostics *diagnostics)
{
    const KaNode *xml = ka_node_get(object->node, "xml");
    g_autoptr(KaDocument) document =
        xml ? ka_document_parse(ka_kind_rows(object->kind), made, NULL) : NULL;
    if (document)
        trial->normalise(host, object, document);
    for (const KaNode *fragment = document ? xml->first : NULL; fragment;
         fragment = fragment->next) {
        const xmlNode *element =
            ka_document_fragment_element(document, fragment->key, object->node, FALSE);
        if (!fragment->text || (element && ka_fragment_is_in(element, fragment->text)) ||
            g_regex_match_simple("<[A-Za-z]+:", fragment->text, 0, 0))
            continue;
        ka_diagnostics_add(
            diagnostics, KA_WARNING, ka_node_key_mark(fragment),
            "%s '%s': xml.%s: libvirt drops or rewrites a part of it, so that no plan would be "
            "empty: check the names, and write values as 'virsh dumpxml' shows them",
            object->kind->table->kind, object->name, fragment->key);
    }
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
    char *made = text ? trial->define(ka_link(host)->conn, text) : NULL;
    if (made)
        check_kept(trial, host, object, made, diagnostics);
    else if (text)
        report_rejected(object, diagnostics);
    free(made);
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
