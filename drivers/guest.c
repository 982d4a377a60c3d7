#include "drivers/guest.h"
#include "drivers/element.h"
#include "drivers/record.h"
#include "drivers/seed.h"

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
    .observe = ka_guest_observe,
    .assess = ka_guest_assess,
    .create = create,
    .change = ka_guest_change,
    .remove = remove_guest,
    .finish = finish_removal,
};
