#include "drivers/element.h"
#include "drivers/guest.h"
#include "drivers/record.h"
#include "drivers/seed.h"
#include "drivers/xml_cut.h"

/* What one look at a host says of every guest beside its XML. */
typedef enum {
    FACT_PAUSED = 1 << 0,
    FACT_AUTOSTART = 1 << 1,
    FACT_SAVED = 1 << 2,
    FACT_SNAPSHOTS = 1 << 3,
    FACT_TRANSIENT = 1 << 4,
    FACT_OTHER = 1 << 5, /* crashed, or on its way down */
} Fact;

typedef struct {
    KaHost *host;
    const KaWanted *wanted;
    KaFound found;
    gpointer data;
    GHashTable *facts; /* UUID → facts */
} Observation;

typedef struct {
    guint filter;
    Fact fact;
} FactList;

typedef struct {
    KaLink *link;
    GHashTable *facts;
} Facts;

static gboolean
add_facts(gpointer item, gpointer data, GError **error)
{
    const FactList *list = item;
    const Facts *facts = data;
    virDomainPtr *domains = NULL;
    int n_domains = virConnectListAllDomains(facts->link->conn, &domains, list->filter);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&facts->link->lock);

    (void)error; /* a hypervisor that doesn't know the filter has no such guests */
    for (int i = 0; i < n_domains; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        if (virDomainGetUUIDString(domains[i], uuid) == 0) {
            guint known = GPOINTER_TO_UINT(g_hash_table_lookup(facts->facts, uuid));
            g_hash_table_insert(facts->facts, g_strdup(uuid), GUINT_TO_POINTER(known | list->fact));
        }
        virDomainFree(domains[i]);
    }
    free(domains);
    return TRUE;
}

static GHashTable *
list_facts(KaLink *link)
{
    static const FactList lists[] = {
        {VIR_CONNECT_LIST_DOMAINS_PAUSED,       FACT_PAUSED   },
        {VIR_CONNECT_LIST_DOMAINS_AUTOSTART,    FACT_AUTOSTART},
        {VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,  FACT_SAVED    },
        {VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, FACT_SNAPSHOTS},
        {VIR_CONNECT_LIST_DOMAINS_TRANSIENT,    FACT_TRANSIENT},
        {VIR_CONNECT_LIST_DOMAINS_OTHER,        FACT_OTHER    },
    };
    Facts facts = {link, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    g_autoptr(GPtrArray) items = g_ptr_array_new();

    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_add(items, ka_borrow(&lists[i]));
    ka_link_parallel(items, add_facts, &facts, NULL);
    return facts.facts;
}

/* NULL without an error: the guest went away meanwhile. Caller frees with free. */
static char *
fetch(virDomainPtr domain, guint flags, GError **error)
{
    char *text = virDomainGetXMLDesc(domain, flags | VIR_DOMAIN_XML_SECURE);

    if (!text && ka_libvirt_code() != VIR_ERR_NO_DOMAIN)
        ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
    return text;
}

static gboolean
owns_below(const KaRecord *record, const char *prefix)
{
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, record->owned);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (g_str_has_prefix(path, prefix))
            return TRUE;
    return FALSE;
}

/* Controllers are most of a guest's XML, and nobody's business but their own rows' and fragments'.
 */
static gboolean
needs_controllers(const KaNode *want, const KaRecord *record)
{
    static const char *const keys[] = {"controllers", "xml"};

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (ka_node_get(want, keys[i]) || (record && owns_below(record, keys[i])))
            return TRUE;
    return FALSE;
}

static KaDocument *
parse(const char *text, gboolean whole, GError **error)
{
    const KaRows *rows = ka_kind_rows(ka_kind_find("guest"));
    g_autofree char *part = whole ? NULL : ka_xml_cut(text, "controller");

    return ka_document_parse(rows, part ? part : text, error);
}

static void
note_network_users(KaLink *link, const KaDocument *document, const char *guest)
{
    g_autoptr(GPtrArray) nics =
        ka_place_select(xmlDocGetRootElement(document->xml), "devices/interface[@type='network']");

    for (guint i = 0; i < nics->len; i++) {
        const char *network =
            ka_attribute(ka_element_child(g_ptr_array_index(nics, i), "source"), "network");
        if (!network)
            continue;
        g_mutex_lock(&link->lock);
        GPtrArray *users = g_hash_table_lookup(link->network_users, network);
        if (!users) {
            users = g_ptr_array_new_with_free_func(g_free);
            g_hash_table_insert(link->network_users, g_strdup(network), users);
        }
        if (!g_ptr_array_find_with_equal_func(users, guest, g_str_equal, NULL))
            g_ptr_array_add(users, g_strdup(guest));
        g_mutex_unlock(&link->lock);
    }
}

static void
note_owner(KaLink *link, const char *guest, const KaRecord *record)
{
    g_mutex_lock(&link->lock);
    for (guint i = 0; i < record->volumes->len; i++) {
        const char *volume = g_ptr_array_index(record->volumes, i);
        GPtrArray *claims = g_hash_table_lookup(link->volume_claims, volume);
        if (!claims) {
            claims = g_ptr_array_new_with_free_func(g_free);
            g_hash_table_insert(link->volume_claims, g_strdup(volume), claims);
        }
        g_ptr_array_add(claims, g_strdup(guest));
        g_hash_table_insert(link->volume_owners, g_strdup(volume), g_strdup(record->project));
        if (g_hash_table_contains(record->protected_volumes, volume))
            g_hash_table_add(link->volumes_protected, g_strdup(volume));
    }
    g_mutex_unlock(&link->lock);
}

static KaGuestFacts
facts_of(guint facts, gboolean active, const KaRecord *record)
{
    const char *running = facts & FACT_PAUSED ? "paused" : facts & FACT_OTHER ? "off" : "running";

    return (KaGuestFacts){active ? running : "off", facts & FACT_AUTOSTART ? "yes" : "no",
                          record && record->protect ? "yes" : NULL};
}

/* Asked only where the state is not what it may be taken for: it costs a call a guest. */
static void
note_trouble(KaActual *actual, guint facts, const KaObject *object, virDomainPtr domain)
{
    const char *wanted = object ? ka_node_text(object->node, "state") : NULL;
    gboolean ought_to_run = wanted && !g_str_equal(wanted, "off");
    gboolean odd = actual->active ? (facts & (FACT_PAUSED | FACT_OTHER)) != 0 : ought_to_run;
    const char *trouble = odd ? ka_guest_trouble(domain) : NULL;

    if (trouble)
        g_ptr_array_add(actual->notes, g_strdup(trouble));
}

static void
note_facts(KaActual *actual, guint facts, virDomainPtr domain)
{
    if (facts & FACT_TRANSIENT)
        g_ptr_array_add(actual->notes,
                        g_strdup("transient: it has no definition; a change gives it one"));
    if (facts & FACT_SAVED)
        g_ptr_array_add(actual->notes,
                        g_strdup("has a managed save: its next start resumes the old "
                                 "hardware, changes wait for the one after"));
    if (actual->record && g_hash_table_contains(actual->record->owned, KA_GUEST_UNSTARTED) &&
        !actual->active && ka_guest_never_ran(domain))
        g_ptr_array_add(actual->notes, g_strdup("was made but never started"));
}

/* The graphics' passwords are read to be compared; an export must not show them. */
static void
hide_passwords(KaTree *tree, const char *guest)
{
    KaNode *graphics = ka_node_get(tree->root, "graphics");

    for (KaNode *item = graphics ? graphics->first : NULL; item; item = item->next) {
        KaNode *password = ka_node_get(item, "password");
        if (!password)
            continue;
        g_autofree char *upper = g_ascii_strup(guest, -1);
        g_autofree char *name = g_strdup_printf("%s_%s_PASSWORD", upper, item->key);
        for (char *letter = name; *letter; letter++)
            *letter = g_ascii_isalnum(*letter) ? g_ascii_toupper(*letter) : '_';
        ka_node_remove(item, password);
        KaNode *place = ka_node_append(tree, item, "password", ka_node_new(tree, KA_NODE_MAP));
        ka_node_append(tree, place, "env", ka_node_new_scalar(tree, name));
    }
}

static void
forget_record(KaDocument *document)
{
    xmlNode *metadata = ka_element_child(xmlDocGetRootElement(document->xml), "metadata");

    for (xmlNode *node = ka_element_child(metadata, NULL), *next; node; node = next) {
        next = ka_element_next(node->next, NULL);
        if (node->ns && g_strcmp0((const char *)node->ns->href, KA_RECORD_NAMESPACE) == 0)
            ka_element_drop(node);
    }
    if (metadata && !ka_element_child(metadata, NULL))
        ka_element_drop(metadata);
}

/* Everything, and as XML what no row says. */
static KaTree *
read_export(KaDocument *document, KaHost *host, const char *name, GError **error)
{
    const KaKind *kind = ka_kind_find("guest");

    forget_record(document);
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, error);
    if (!tree)
        return NULL;
    ka_guest_deny_defaults(tree);
    g_autoptr(KaDocument) built =
        ka_document_build(kind->table, document->rows, name, tree->root, error);
    if (!built)
        return NULL;
    ka_guest_essentials(built, host);
    KaNode *xml = ka_node_new(tree, KA_NODE_MAP);
    ka_document_residual(document, built, tree, xml);
    if (xml->first)
        ka_node_append(tree, tree->root, "xml", xml);
    hide_passwords(tree, name);
    return g_steal_pointer(&tree);
}

static gboolean
read_live(virDomainPtr domain,
          const KaDocument *config,
          const KaGuestForm *form,
          const KaGuestFacts *facts,
          KaActual *actual,
          GError **error)
{
    KaGuestForm live_form = *form;
    g_autoptr(GError) failed = NULL;
    char *text = fetch(domain, 0, &failed);
    g_autoptr(KaDocument) live =
        text ? parse(text, needs_controllers(form->want, actual->record), &failed) : NULL;

    free(text);
    if (failed) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    if (!live)
        return TRUE;
    live_form.notes = NULL;
    ka_guest_normalise(live, &live_form, facts);
    ka_guest_normalise_live(live, config);
    actual->live =
        ka_document_read(live, form->want, actual->record ? actual->record->owned : NULL, error);
    return actual->live != NULL;
}

static gboolean
read_guest(virDomainPtr domain,
           KaDocument *document,
           const KaGuestForm *form,
           const KaGuestFacts *facts,
           KaActual *actual,
           GError **error)
{
    ka_guest_normalise(document, form, facts);
    if (ka_guest_form_is_export(form))
        return (actual->config = read_export(document, form->host, actual->name, error)) != NULL;
    actual->config = ka_document_read(document, form->want,
                                      actual->record ? actual->record->owned : NULL, error);
    return actual->config &&
           (!actual->active || read_live(domain, document, form, facts, actual, error));
}

/* So that a guest which is as declared otherwise is looked at, too. */
static void
note_seed(KaHost *host, const KaObject *object, KaActual *actual)
{
    gboolean missing = FALSE;
    g_autofree char *volume = ka_seed_unsettled(host, object, actual, &missing);

    if (volume)
        g_ptr_array_add(actual->notes,
                        g_strdup_printf(missing ? "the volume '%s' of its seed is not there: it is "
                                                  "made again"
                                                : "the volume '%s' of an earlier seed goes",
                                        volume));
}

/* Reads a guest that is asked for; one that can't be told from others is unknown. */
static gboolean
read_wanted(Observation *observation,
            virDomainPtr domain,
            KaDocument *document,
            guint facts,
            KaActual *actual,
            GError **error)
{
    const KaWanted *wanted = observation->wanted;
    const KaObject *object =
        wanted->objects ? g_hash_table_lookup(wanted->objects, actual->name) : NULL;
    KaGuestForm form = {.host = observation->host,
                        .disks = wanted->disks,
                        .want = object ? object->node : NULL,
                        .notes = actual->notes,
                        .domain = facts & FACT_SNAPSHOTS ? domain : NULL};
    KaGuestFacts said = facts_of(facts, actual->active, actual->record);
    g_autoptr(GError) failed = NULL;

    note_facts(actual, facts, domain);
    note_trouble(actual, facts, object, domain);
    if (read_guest(domain, document, &form, &said, actual, &failed)) {
        if (object)
            note_seed(observation->host, object, actual);
        return TRUE;
    }
    if (g_error_matches(failed, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_AMBIGUOUS)) {
        actual->unknown = g_strdup(failed->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
}

/* As much of it as is asked for, and its record. */
static KaDocument *
parse_wanted(const KaWanted *wanted,
             const char *name,
             const char *uuid,
             const char *text,
             KaRecord **ret_record,
             GError **error)
{
    const KaObject *object = wanted->objects ? g_hash_table_lookup(wanted->objects, name) : NULL;
    gboolean whole = !wanted->objects || (object && needs_controllers(object->node, NULL));
    KaDocument *document = parse(text, whole, error);

    if (!document)
        return NULL;
    *ret_record = ka_record_read(document, uuid);
    if (whole || !object || !needs_controllers(NULL, *ret_record))
        return document;
    ka_document_free(document);
    return parse(text, TRUE, error);
}

static gboolean
describe(Observation *observation, virDomainPtr domain, const char *text, GError **error)
{
    const KaWanted *wanted = observation->wanted;
    const char *name = virDomainGetName(domain);
    gboolean asked = !wanted->objects || g_hash_table_contains(wanted->objects, name);
    char uuid[VIR_UUID_STRING_BUFLEN];
    g_autoptr(KaActual) actual = ka_actual_new(name);

    virDomainGetUUIDString(domain, uuid);
    g_autoptr(KaDocument) document = parse_wanted(wanted, name, uuid, text, &actual->record, error);
    if (!document)
        return FALSE;
    guint facts = GPOINTER_TO_UINT(g_hash_table_lookup(observation->facts, uuid));
    actual->uuid = g_strdup(uuid);
    actual->active = virDomainGetID(domain) != (unsigned int)-1; /* costs no call */
    actual->transient = (facts & FACT_TRANSIENT) != 0;
    actual->text = g_strdup(text);
    ka_guest_disks_uses(observation->host, document, name, actual->active);
    if (actual->active)
        note_network_users(ka_link(observation->host), document, name);
    if (actual->record)
        note_owner(ka_link(observation->host), name, actual->record);
    if (!asked && !actual->record)
        return TRUE;
    if (asked && !read_wanted(observation, domain, document, facts, actual, error))
        return FALSE;
    observation->found(g_steal_pointer(&actual), observation->data);
    return TRUE;
}

static gboolean
observe_guest(gpointer item, gpointer data, GError **error)
{
    Observation *observation = data;
    g_autoptr(GError) failed = NULL;
    char *text = fetch(item, VIR_DOMAIN_XML_INACTIVE, &failed);
    gboolean done = text ? describe(observation, item, text, error) : !failed;

    if (failed)
        g_propagate_error(error, g_steal_pointer(&failed));
    free(text);
    return done;
}

static void
domain_free(gpointer domain)
{
    virDomainFree(domain);
}

gboolean
ka_guest_observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    virConnectPtr conn = ka_link(host)->conn;
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(domain_free);
    virDomainPtr *domains = NULL;
    int n_domains = virConnectListAllDomains(conn, &domains, 0);

    if (n_domains < 0)
        return ka_libvirt_error(error, "guests");
    for (int i = 0; i < n_domains; i++)
        g_ptr_array_add(items, domains[i]);
    free(domains);
    if (!n_domains)
        return TRUE;
    g_autoptr(GHashTable) facts = list_facts(ka_link(host));
    Observation observation = {host, wanted, found, data, facts};
    return ka_link_parallel(items, observe_guest, &observation, error);
}
