#include "drivers/guest.h"
#include "drivers/element.h"
#include "drivers/record.h"
#include "drivers/seed.h"

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

static void
add_facts(virConnectPtr conn, GHashTable *facts, guint filter, Fact fact)
{
    virDomainPtr *domains = NULL;
    int n_domains = virConnectListAllDomains(conn, &domains, filter);

    for (int i = 0; i < n_domains; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        if (virDomainGetUUIDString(domains[i], uuid) == 0) {
            guint known = GPOINTER_TO_UINT(g_hash_table_lookup(facts, uuid));
            g_hash_table_insert(facts, g_strdup(uuid), GUINT_TO_POINTER(known | fact));
        }
        virDomainFree(domains[i]);
    }
    free(domains);
}

static GHashTable *
list_facts(virConnectPtr conn)
{
    static const struct {
        guint filter;
        Fact fact;
    } lists[] = {
        {VIR_CONNECT_LIST_DOMAINS_PAUSED,       FACT_PAUSED   },
        {VIR_CONNECT_LIST_DOMAINS_AUTOSTART,    FACT_AUTOSTART},
        {VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,  FACT_SAVED    },
        {VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, FACT_SNAPSHOTS},
        {VIR_CONNECT_LIST_DOMAINS_TRANSIENT,    FACT_TRANSIENT},
        {VIR_CONNECT_LIST_DOMAINS_OTHER,        FACT_OTHER    },
    };
    GHashTable *facts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        add_facts(conn, facts, lists[i].filter, lists[i].fact);
    return facts;
}

/* NULL without an error: the guest went away meanwhile. */
static KaDocument *
fetch(virDomainPtr domain, const KaRows *rows, guint flags, char **ret_text, GError **error)
{
    char *text = virDomainGetXMLDesc(domain, flags | VIR_DOMAIN_XML_SECURE);

    if (!text) {
        if (ka_libvirt_code() != VIR_ERR_NO_DOMAIN)
            ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
        return NULL;
    }
    KaDocument *document = ka_document_parse(rows, text, error);
    if (ret_text)
        *ret_text = text;
    else
        free(text);
    return document;
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
    g_autoptr(KaDocument) live = fetch(domain, config->rows, 0, NULL, &failed);

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
    if (read_guest(domain, document, &form, &said, actual, &failed))
        return TRUE;
    if (g_error_matches(failed, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_AMBIGUOUS)) {
        actual->unknown = g_strdup(failed->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
}

static gboolean
describe(Observation *observation,
         virDomainPtr domain,
         KaDocument *document,
         const char *text,
         GError **error)
{
    const KaWanted *wanted = observation->wanted;
    const char *name = virDomainGetName(domain);
    gboolean asked = !wanted->objects || g_hash_table_contains(wanted->objects, name);
    gboolean active = virDomainGetID(domain) != (unsigned int)-1; /* costs no call */
    char uuid[VIR_UUID_STRING_BUFLEN];

    virDomainGetUUIDString(domain, uuid);
    guint facts = GPOINTER_TO_UINT(g_hash_table_lookup(observation->facts, uuid));
    ka_guest_disks_uses(observation->host, document, name, active);
    if (active)
        note_network_users(ka_link(observation->host), document, name);
    KaRecord *record = ka_record_read(document, uuid);
    if (record)
        note_owner(ka_link(observation->host), name, record);
    if (!asked && !record)
        return TRUE;
    g_autoptr(KaActual) actual = ka_actual_new(name);
    actual->uuid = g_strdup(uuid);
    actual->record = record;
    actual->active = active;
    actual->transient = (facts & FACT_TRANSIENT) != 0;
    actual->digest = ka_digest(text, NULL);
    if (asked && !read_wanted(observation, domain, document, facts, actual, error))
        return FALSE;
    observation->found(g_steal_pointer(&actual), observation->data);
    return TRUE;
}

static gboolean
observe_guest(gpointer item, gpointer data, GError **error)
{
    Observation *observation = data;
    const KaRows *rows = ka_kind_rows(ka_kind_find("guest"));
    g_autoptr(GError) failed = NULL;
    char *text = NULL;
    g_autoptr(KaDocument) document = fetch(item, rows, VIR_DOMAIN_XML_INACTIVE, &text, &failed);
    gboolean done = document ? describe(observation, item, document, text, error) : !failed;

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

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
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
    g_autoptr(GHashTable) facts = list_facts(conn);
    Observation observation = {host, wanted, found, data, facts};
    return ka_link_parallel(items, observe_guest, &observation, error);
}

/* --- create and remove --- */

GHashTable *
ka_guest_declared_disks(const KaObject *object)
{
    GHashTable *disks = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; object && i < object->needs->len; i++) {
        KaObject *need = g_ptr_array_index(object->needs, i);
        if (g_str_equal(need->kind->table->kind, "disk"))
            g_hash_table_insert(disks, (gpointer)(guintptr)need->name, need);
    }
    return disks;
}

static KaDocument *
build(KaHost *host, const KaObject *object, gboolean placeholders, GError **error)
{
    g_autoptr(GHashTable) disks = ka_guest_declared_disks(object);
    KaGuestForm form = {
        .host = host, .disks = disks, .want = object->node, .placeholders = placeholders};
    g_autoptr(KaDocument) document = ka_document_build(
        object->kind->table, ka_kind_rows(object->kind), object->name, object->node, error);

    if (!document)
        return NULL;
    ka_guest_defaults(document, host, object->node);
    return ka_guest_denormalise(document, &form, error) ? g_steal_pointer(&document) : NULL;
}

char *
ka_guest_xml(KaHost *host, const KaObject *object, gboolean placeholders, GError **error)
{
    g_autoptr(KaDocument) document = build(host, object, placeholders, error);

    return document ? ka_document_format(document) : NULL;
}

static gboolean
is_yes(const KaNode *node, const char *key)
{
    return g_strcmp0(ka_node_text(node, key), "yes") == 0;
}

/* What the manifest says, or running: a new guest is started. */
static const char *
wanted_state(const KaAction *action)
{
    const char *state = ka_node_text(action->object->node, "state");

    return state ? state : "running";
}

/* Until it has been started the record says so: a run that was killed in between is finished by the
 * next. */
static virDomainPtr
define_new(KaHost *host, KaAction *action, KaDocument *document, GError **error)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    g_autofree char *uuid = ka_place_get(root, "uuid", FALSE);

    if (!uuid) {
        uuid = g_uuid_string_random();
        ka_place_set(root, "uuid", uuid, FALSE, NULL);
    }
    g_autoptr(KaRecord) record = ka_record_for(action, uuid);
    if (!g_str_equal(wanted_state(action), "off"))
        g_hash_table_insert(record->owned, g_strdup(KA_GUEST_UNSTARTED), NULL);
    ka_record_write(document, record);
    g_autofree char *text = ka_document_format(document);
    virDomainPtr domain = virDomainDefineXMLFlags(ka_link(host)->conn, text, 0);
    if (!domain)
        ka_libvirt_error(error, "guest '%s'", action->name);
    return domain;
}

/* A name taken since the plan: libvirt would redefine a guest of the same UUID without asking. */
static gboolean
is_taken(KaHost *host, const KaAction *action, GError **error)
{
    if (!ka_node_text(action->object->node, "uuid"))
        return FALSE;
    g_autoptr(virDomain) other = virDomainLookupByName(ka_link(host)->conn, action->name);
    if (other)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "guest '%s' was made by somebody else since the plan: plan again",
                    action->name);
    return other != NULL;
}

static gboolean
create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const char *state = wanted_state(action);

    if (!ka_seed_make(host, action, progress, error))
        return FALSE;
    g_autoptr(KaDocument) document = build(host, action->object, FALSE, error);
    if (!document || is_taken(host, action, error))
        return FALSE;
    g_autoptr(virDomain) domain = define_new(host, action, document, error);
    if (!domain)
        return FALSE;
    if (is_yes(action->object->node, "autostart") && virDomainSetAutostart(domain, 1) < 0)
        return ka_libvirt_error(error, "guest '%s': autostart", action->name);
    if (g_str_equal(state, "off"))
        return TRUE;
    if (!ka_guest_set_state(domain, state, action, progress, error)) {
        g_prefix_error(error, "the guest is defined, but not started; apply again to start it: ");
        return FALSE;
    }
    return ka_guest_started(host, domain, error) &&
           (!g_str_equal(state, "running") || ka_guest_wait(domain, action, progress, error));
}

static gboolean
undefine(virDomainPtr domain, GError **error)
{
    static const guint all = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                             VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM |
                             VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    /* Older daemons know fewer flags. */
    static const guint sets[] = {
        all | VIR_DOMAIN_UNDEFINE_TPM, all, all & ~(guint)VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA,
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA};

    for (gsize i = 0; i < G_N_ELEMENTS(sets); i++) {
        if (virDomainUndefineFlags(domain, sets[i]) == 0 || ka_libvirt_code() == VIR_ERR_NO_DOMAIN)
            return TRUE;
        if (ka_libvirt_code() != VIR_ERR_INVALID_ARG && ka_libvirt_code() != VIR_ERR_NO_SUPPORT)
            break;
    }
    return ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
}

static gboolean
remove_guest(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, action->name);
    char uuid[VIR_UUID_STRING_BUFLEN];

    (void)progress;
    if (!domain)
        return ka_libvirt_code() == VIR_ERR_NO_DOMAIN ||
               ka_libvirt_error(error, "guest '%s'", action->name);
    virDomainGetUUIDString(domain, uuid);
    if (action->actual && action->actual->uuid && !g_str_equal(uuid, action->actual->uuid)) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "guest '%s' is another one than at the plan: plan again", action->name);
        return FALSE;
    }
    if (virDomainIsActive(domain) == 1 && !ka_guest_destroy(domain, error))
        return FALSE;
    g_mutex_lock(&ka_link(host)->lock);
    g_hash_table_add(ka_link(host)->guests_going, g_strdup(action->name));
    g_mutex_unlock(&ka_link(host)->lock);
    return ka_seed_sweep(host, action, TRUE, error); /* while its pool is there */
}

/* One of its volumes that was to go with it and is still there; NULL: none. Caller frees. */
static char *
left_volume(KaHost *host, const KaAction *action)
{
    KaLink *link = ka_link(host);
    const KaRecord *record = action->actual ? action->actual->record : NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    for (guint i = 0; record && i < record->volumes->len; i++) {
        const char *volume = g_ptr_array_index(record->volumes, i);
        if (g_hash_table_contains(link->volumes_going, volume))
            return g_strdup(volume);
    }
    return NULL;
}

/* Its definition goes last: without it nobody would know whose its disks are, and a run that was
 * cut before it removed them would leave them for ever. */
static gboolean
finish_removal(KaHost *host, KaAction *action, GError **error)
{
    g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, action->name);
    g_autofree char *left = left_volume(host, action);

    if (!domain)
        return ka_libvirt_code() == VIR_ERR_NO_DOMAIN ||
               ka_libvirt_error(error, "guest '%s'", action->name);
    if (left) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "guest '%s' is stopped, and stays defined until its volume '%s' is removed, "
                    "too: its record tells whose that is",
                    action->name, left);
        return FALSE;
    }
    return undefine(domain, error);
}

const KaDriver ka_guest_driver = {
    .kind = "guest",
    .observe = observe,
    .assess = ka_guest_assess,
    .create = create,
    .change = ka_guest_change,
    .remove = remove_guest,
    .finish = finish_removal,
};
