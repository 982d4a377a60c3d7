#include "drivers/element.h"
#include "drivers/guest.h"
#include "drivers/record.h"
#include "drivers/seed.h"

/* --- before anybody sees the plan --- */

static gboolean
wants(const KaChange *change)
{
    return change->to && change->to->type != KA_NODE_NULL;
}

static gboolean
is_item(const KaChange *change)
{
    return g_str_has_suffix(change->row->key, ".*") && change->row->codec == &ka_map;
}

static gint64
number(const KaNode *node)
{
    return node && node->type == KA_NODE_SCALAR ? g_ascii_strtoll(node->text, NULL, 10) : 0;
}

/* A value of the item that a change is in, as it is to be or, where nobody says, as it is. */
static const char *
item_text(const KaAction *action, const KaChange *change, const char *key)
{
    g_auto(GStrv) keys = ka_path_split(change->path);
    const KaNode *roots[] = {action->object ? action->object->node : NULL,
                             action->actual->config ? action->actual->config->root : NULL,
                             action->actual->live ? action->actual->live->root : NULL};

    for (gsize i = 0; keys[0] && keys[1] && i < G_N_ELEMENTS(roots); i++) {
        const KaNode *item = ka_node_get(ka_node_get(roots[i], keys[0]), keys[1]);
        const char *text = ka_node_text(item, key);
        if (text)
            return text;
    }
    return NULL;
}

static gboolean
is_removable(const KaAction *action, const KaChange *change)
{
    const char *as = item_text(action, change, "as");

    return g_strcmp0(as, "cdrom") == 0 || g_strcmp0(as, "floppy") == 0;
}

static gboolean
is_media(const KaField *row)
{
    static const char *const keys[] = {"disks.*.disk",   "disks.*.volume", "disks.*.path",
                                       "disks.*.device", "disks.*.format", NULL};

    return g_strv_contains(keys, row->key);
}

/* Only these buses let a disk come and go. */
static gboolean
can_plug_disk(const KaAction *action, const KaChange *change)
{
    const char *bus = item_text(action, change, "bus");

    return !is_removable(action, change) && (!bus || g_str_equal(bus, "virtio") ||
                                             g_str_equal(bus, "scsi") || g_str_equal(bus, "usb"));
}

/* How a change takes effect in this guest as it runs now. */
static KaWay
way_of(const KaAction *action, const KaChange *change, virDomainPtr domain)
{
    const char *key = change->row->key;

    if (g_str_equal(key, "vcpus.current")) {
        int now = virDomainGetVcpusFlags(domain, VIR_DOMAIN_AFFECT_LIVE);
        int most = virDomainGetVcpusFlags(domain, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_VCPU_MAXIMUM);
        return number(change->to) > most ? KA_BOOT : number(change->to) < now ? KA_GUEST : KA_LIVE;
    }
    if (g_str_equal(key, "memory.current"))
        return (guint64)number(change->to) > virDomainGetMaxMemory(domain) ? KA_BOOT : KA_GUEST;
    if (g_str_equal(key, "disks.*"))
        return can_plug_disk(action, change) ? KA_LIVE : KA_BOOT;
    if (is_media(change->row) && is_removable(action, change))
        return KA_LIVE;
    if (g_str_equal(key, "agent"))
        return KA_BOOT;
    return change->way;
}

/* A source of another format changes the format too, which follows from the source unless it is
 * said. */
static void
follow_format(KaAction *action, const KaChange *change)
{
    g_auto(GStrv) keys = ka_path_split(change->path);
    const KaRows *rows = ka_rows_find(ka_kind_rows(action->kind), "disks.*.format");
    const KaNode *item = ka_node_get(ka_node_get(action->object->node, "disks"), keys[1]);
    const KaNode *format = ka_node_get(item, "format");
    const KaNode *config = ka_node_get(action->actual->config->root, "disks");
    const KaNode *from = ka_node_get(ka_node_get(config, keys[1]), "format");

    if (!wants(change) || !format || !format->fresh || format->type != KA_NODE_SCALAR ||
        (from && g_strcmp0(from->text, format->text) == 0))
        return;
    KaChange *follow = g_new0(KaChange, 1);
    g_autofree char *disk = ka_path_append("disks", keys[1]);
    follow->path = ka_path_append(disk, "format");
    follow->row = rows->row;
    follow->from = from;
    follow->to = format;
    follow->way = change->way;
    g_ptr_array_add(action->changes, follow);
}

static gboolean
is_source(const KaField *row)
{
    return is_media(row) && !g_str_equal(row->key, "disks.*.format");
}

static KaNode *
new_text(const KaAction *action, const KaField *row, const char *text)
{
    KaNode *node = text ? ka_node_new_scalar(action->tree, text) : NULL;

    if (node)
        node->row = row;
    return node;
}

/* What no difference of fields says. */
static void
add_change(KaAction *action, const char *path, const char *from, const char *to)
{
    KaChange *change = g_new0(KaChange, 1);

    change->row = ka_rows_find(ka_kind_rows(action->kind), path)->row;
    change->path = g_strdup(path);
    change->from = new_text(action, change->row, from);
    change->to = new_text(action, change->row, to);
    change->way = KA_LIVE;
    g_ptr_array_add(action->changes, change);
}

/* The run that made it was cut before it started it. */
static void
add_first_start(KaHost *host, KaAction *action)
{
    const KaRecord *record = action->actual->record;
    g_autoptr(virDomain) domain = NULL;

    if (!record || action->actual->active ||
        !g_hash_table_contains(record->owned, KA_GUEST_UNSTARTED) ||
        ka_node_get(action->object->node, "state"))
        return;
    domain = virDomainLookupByName(ka_link(host)->conn, action->name);
    if (!domain || !ka_guest_never_ran(domain))
        return;
    add_change(action, "state", "off", "running");
}

/* The volume that a seed is in may not be as it should though the guest is. */
static void
add_seed(KaHost *host, KaAction *action)
{
    gboolean missing = FALSE;
    g_autofree char *volume = ka_seed_unsettled(host, action->object, action->actual, &missing);

    if (volume)
        add_change(action, "seed", missing ? NULL : volume, missing ? volume : NULL);
}

/* Staged changes take effect at once where the guest may be restarted. */
static void
settle_restart(KaAction *action)
{
    gboolean staged = FALSE, stops = FALSE;

    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        gboolean to_off = g_str_equal(change->path, "state") && wants(change) &&
                          g_str_equal(change->to->text, "off");
        staged |= change->way == KA_BOOT;
        stops |= to_off && action->actual->active;
    }
    action->restart =
        action->actual->active && staged && !stops && (action->allowed & KA_WORD_RESTART);
    action->words &= ~(guint)KA_WORD_RESTART;
    if (action->restart || stops)
        action->words |= KA_WORD_RESTART;
}

/* Is it in the definition already, so that only the running guest differs? */
static gboolean
is_staged(const KaAction *action, const KaChange *change)
{
    return change->from != ka_node_find(action->actual->config->root, change->path);
}

static gboolean
assess_change(KaHost *host, KaAction *action, GError **error)
{
    guint n_changes = action->changes->len;

    add_first_start(host, action);
    add_seed(host, action);
    for (guint i = 0; i < n_changes; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        /* A state that is no longer declared is left as it is. */
        if (g_str_equal(change->path, "state") && change->released)
            change->to = change->from;
        if (is_source(change->row))
            follow_format(action, change);
    }
    if (action->actual->active) {
        g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, action->name);
        if (!domain)
            return ka_libvirt_error(error, "guest '%s'", action->name);
        for (guint i = 0; i < action->changes->len; i++) {
            KaChange *change = g_ptr_array_index(action->changes, i);
            gboolean leaves = change->pending && is_item(change) && !wants(change);
            if (change->row->way != KA_NONE)
                change->way = way_of(action, change, domain);
            if (leaves && change->way == KA_LIVE)
                change->way = KA_GUEST; /* which hasn't let go of it */
            change->pending = change->way != KA_LIVE && is_staged(action, change);
        }
    }
    settle_restart(action);
    return TRUE;
}

gboolean
ka_guest_assess(KaHost *host, KaAction *action, GError **error)
{
    if ((action->verb == KA_REMOVE || action->verb == KA_REPLACE) && action->actual &&
        action->actual->active && !action->left_over)
        g_ptr_array_add(action->remarks, g_strdup("it is running and will be cut off"));
    if ((action->verb == KA_CREATE || action->verb == KA_REPLACE) &&
        !ka_guest_check_machine(host, action, error))
        return FALSE;
    return ka_seed_assess(host, action, error) &&
           (action->verb != KA_CHANGE || assess_change(host, action, error));
}

/* --- doing it --- */

/* One change under way. */
typedef struct {
    virDomainPtr domain; /* owned */
    KaDocument *staged;  /* owned */
    KaGuestForm form;
    GHashTable *disks;    /* owned */
    GHashTable *elements; /* owned */
    GHashTable *waiting;  /* owned */
} Work;

static void
work_clear(Work *work)
{
    if (work->domain)
        virDomainFree(work->domain);
    ka_document_free(work->staged);
    g_clear_pointer(&work->disks, g_hash_table_unref);
    g_clear_pointer(&work->elements, g_hash_table_unref);
    g_clear_pointer(&work->waiting, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static gboolean
changed_since(const KaAction *action, GError **error)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                "guest '%s' was changed by somebody else since the plan: plan again", action->name);
    return FALSE;
}

static KaDocument *
parse(virDomainPtr domain, const KaAction *action, guint flags, const char *digest, GError **error)
{
    char *text = virDomainGetXMLDesc(domain, flags | VIR_DOMAIN_XML_SECURE);
    KaDocument *document = NULL;

    if (!text) {
        ka_libvirt_error(error, "guest '%s'", action->name);
        return NULL;
    }
    g_autofree char *found = ka_digest(text, NULL);
    if (digest && !g_str_equal(found, digest))
        changed_since(action, error);
    else
        document = ka_document_parse(ka_kind_rows(action->kind), text, error);
    free(text);
    return document;
}

static gboolean
open_guest(KaHost *host, const KaAction *action, Work *work, GError **error)
{
    work->domain = virDomainLookupByName(ka_link(host)->conn, action->name);
    if (!work->domain)
        return ka_libvirt_code() == VIR_ERR_NO_DOMAIN
                   ? changed_since(action, error)
                   : ka_libvirt_error(error, "guest '%s'", action->name);
    work->disks = ka_guest_declared_disks(action->object);
    work->elements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    work->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    work->form = (KaGuestForm){
        .host = host, .disks = work->disks, .want = action->object->node, .domain = work->domain};
    work->staged =
        parse(work->domain, action, VIR_DOMAIN_XML_INACTIVE, action->actual->digest, error);
    return work->staged != NULL;
}

/* The definition as it is to be; what is there already (and only the running guest lacks) stays. */
static gboolean
stage(const KaAction *action, Work *work, GError **error)
{
    const KaNode *want = action->object->node;
    g_autoptr(GPtrArray) changes = g_ptr_array_new();

    ka_guest_normalise(work->staged, &work->form, &(KaGuestFacts){NULL, NULL, NULL});
    for (guint i = 0; i < action->changes->len; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        if (change->row->way == KA_NONE) /* a seed's volume */
            continue;
        if (!is_item(change) || !wants(change) ||
            !ka_document_item(work->staged, change->path, want))
            g_ptr_array_add(changes, change);
    }
    if (!ka_document_patch(work->staged, want, changes, FALSE, error))
        return FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        xmlNode *element = is_item(change) && wants(change)
                               ? ka_document_item(work->staged, change->path, want)
                               : NULL;
        if (element)
            g_hash_table_insert(work->elements, g_strdup(change->path), element);
    }
    return ka_guest_denormalise(work->staged, &work->form, error);
}

static gboolean
change_live(KaAction *action, Work *work, const KaProgress *progress, GError **error)
{
    g_autoptr(KaDocument) live = parse(work->domain, action, 0, NULL, error);
    g_autoptr(KaDocument) config =
        live ? parse(work->domain, action, VIR_DOMAIN_XML_INACTIVE, NULL, error) : NULL;

    if (!config)
        return FALSE;
    ka_guest_normalise(config, &work->form, &(KaGuestFacts){NULL, NULL, NULL});
    ka_guest_normalise(live, &work->form, &(KaGuestFacts){NULL, NULL, NULL});
    ka_guest_normalise_live(live, config);
    KaGuestLive change = {.domain = work->domain,
                          .action = action,
                          .progress = progress,
                          .form = &work->form,
                          .live = live,
                          .staged = work->staged,
                          .elements = work->elements,
                          .waiting = work->waiting};
    return ka_guest_change_live(&change, error);
}

/* What was released and is still in the running guest; an item with what is known of it. */
static void
keep_waiting(KaRecord *record, const KaAction *action, const char *path)
{
    GHashTableIter iter;
    gpointer owned;
    gsize length = strlen(path);

    g_hash_table_iter_init(&iter, action->actual->record->owned);
    while (g_hash_table_iter_next(&iter, &owned, NULL)) {
        const char *other = owned;
        if (strncmp(other, path, length) == 0 && (other[length] == '.' || !other[length]))
            g_hash_table_insert(record->owned, g_strdup(other), g_strdup(KA_RECORD_WAITING));
    }
}

static gboolean
define(KaHost *host, const KaAction *action, Work *work, GError **error)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    virDomainGetUUIDString(work->domain, uuid);
    g_autoptr(KaRecord) record = ka_record_for(action, uuid);
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        gboolean waits = change->way == KA_BOOT && action->actual->active && !action->restart;
        if (change->row->codec == &ka_fragment) /* the record holds its text */
            continue;
        if (change->released && (waits || g_hash_table_contains(work->waiting, change->path)))
            keep_waiting(record, action, change->path);
    }
    ka_record_write(work->staged, record);
    g_autofree char *text = ka_document_format(work->staged);
    g_autoptr(virDomain) defined = virDomainDefineXMLFlags(ka_link(host)->conn, text, 0);
    return defined || ka_libvirt_error(error, "guest '%s'", action->name);
}

static const KaChange *
find_change(const KaAction *action, const char *path)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (g_str_equal(change->path, path) && !change->pending)
            return change;
    }
    return NULL;
}

/* Whether it runs, and whether it starts with the host: kept outside the definition. */
static gboolean
set_outside(KaAction *action, Work *work, const KaProgress *progress, GError **error)
{
    const KaChange *autostart = find_change(action, "autostart");
    const KaChange *state = find_change(action, "state");
    gboolean starts_with_host =
        autostart && wants(autostart) && g_str_equal(autostart->to->text, "yes");

    if (autostart && virDomainSetAutostart(work->domain, starts_with_host) < 0)
        return ka_libvirt_error(error, "guest '%s': autostart", action->name);
    if (action->restart && !ka_guest_restart(work->domain, action, progress, error))
        return FALSE;
    return !state || !wants(state) ||
           ka_guest_set_state(work->domain, state->to->text, action, progress, error);
}

/* Has this change brought it up? */
static gboolean
has_started(const KaAction *action)
{
    const KaChange *state = find_change(action, "state");
    const char *to = state && wants(state) ? state->to->text : NULL;

    return to ? g_str_equal(to, "running") && !action->actual->active : action->restart;
}

gboolean
ka_guest_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_auto(Work) work = {0};

    if (!open_guest(host, action, &work, error) || !ka_seed_make(host, action, progress, error) ||
        !stage(action, &work, error))
        return FALSE;
    gboolean active = virDomainIsActive(work.domain) == 1;
    if (active != action->actual->active)
        return changed_since(action, error);
    if (active && !action->restart && !change_live(action, &work, progress, error))
        return FALSE;
    return define(host, action, &work, error) && set_outside(action, &work, progress, error) &&
           ka_seed_sweep(host, action, FALSE, error) &&
           (!has_started(action) || ka_guest_wait(work.domain, action, progress, error));
}
