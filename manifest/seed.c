#include "manifest/seed.h"

#include <string.h>

#define PREFIX "kvmapply-seed-"
#define DIGEST_LENGTH 12
#define IGNITION_ENTRY "opt/com.coreos/config"

typedef enum { CLOUD_CONFIG, YAML, JSON } Form;

/* A seed is of one kind; the first one stands where nothing is said. */
static const struct {
    const char *label, *suffix;
} kinds[] = {
    {"cidata",   ".iso"},
    {"config-2", ".iso"},
    {NULL,       ".ign"},
};

static const struct {
    const char *key; /* below seed */
    guint kind;
    const char *path;
    Form form;         /* of what isn't text */
    gboolean required; /* the file is there, if empty */
} parts[] = {
    {"user-data",                 0, "user-data",                          CLOUD_CONFIG, TRUE },
    {"meta-data",                 0, "meta-data",                          YAML,         TRUE },
    {"network-config",            0, "network-config",                     YAML,         FALSE},
    {"vendor-data",               0, "vendor-data",                        CLOUD_CONFIG, FALSE},
    {"config-drive.user-data",    1, "openstack/latest/user_data",         CLOUD_CONFIG, FALSE},
    {"config-drive.meta-data",    1, "openstack/latest/meta_data.json",    JSON,         TRUE },
    {"config-drive.network-data", 1, "openstack/latest/network_data.json", JSON,         FALSE},
    {"config-drive.vendor-data",  1, "openstack/latest/vendor_data.json",  JSON,         FALSE},
    {"ignition",                  2, "",                                   JSON,         TRUE },
};

static gboolean
is_there(const KaNode *node)
{
    return node && node->type != KA_NODE_NULL;
}

static guint
kind_of(const KaNode *seed)
{
    return is_there(ka_node_get(seed, "ignition"))       ? 2
           : is_there(ka_node_get(seed, "config-drive")) ? 1
                                                         : 0;
}

/* --- the whole of it --- */

static char *
digest(const KaSeed *seed)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(sum, (const guchar *)(seed->label ? seed->label : ""), -1);
    for (guint i = 0; i < seed->files->len; i++) {
        const KaSeedFile *file = &g_array_index(seed->files, KaSeedFile, i);
        /* With their ends, so that no two lists of files look alike. */
        g_checksum_update(sum, (const guchar *)file->path, (gssize)strlen(file->path) + 1);
        g_checksum_update(sum, (const guchar *)file->text, (gssize)strlen(file->text) + 1);
    }
    return g_strndup(g_checksum_get_string(sum), DIGEST_LENGTH);
}

KaSeed *
ka_seed_new(const KaObject *guest)
{
    const KaNode *node = ka_node_get(guest->node, "seed");
    guint kind = kind_of(node);

    if (!is_there(node))
        return NULL;
    KaSeed *seed = g_new0(KaSeed, 1);
    seed->label = kinds[kind].label;
    seed->pool = ka_node_text(node, "pool");
    seed->files = g_array_new(FALSE, FALSE, sizeof(KaSeedFile));
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        KaSeedFile file = {parts[i].path, ka_node_text(node, parts[i].key)};
        if (parts[i].kind == kind && file.text)
            g_array_append_val(seed->files, file);
    }
    g_autofree char *of = digest(seed);
    seed->volume = g_strconcat(PREFIX, guest->name, "-", of, kinds[kind].suffix, NULL);
    return seed;
}

void
ka_seed_free(KaSeed *seed)
{
    if (!seed)
        return;
    g_array_unref(seed->files);
    g_free(seed->volume);
    g_free(seed);
}

char *
ka_seed_guest(const char *volume)
{
    gsize length = strlen(volume), tail = 1 + DIGEST_LENGTH + strlen(kinds[0].suffix);
    gboolean is_kind = FALSE;

    if (!g_str_has_prefix(volume, PREFIX) || length <= strlen(PREFIX) + tail)
        return NULL;
    const char *end = volume + length - tail;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        is_kind |= g_str_has_suffix(volume, kinds[i].suffix);
    if (!is_kind || *end != '-' || strspn(end + 1, "0123456789abcdef") != DIGEST_LENGTH)
        return NULL;
    return g_strndup(volume + strlen(PREFIX), length - tail - strlen(PREFIX));
}

/* --- the texts --- */

typedef struct {
    KaManifest *manifest;
    KaObject *guest;
    KaNode *seed;
    const KaRows *rows; /* of the guest */
    KaDiagnostics *diagnostics;
} Completion;

static void error_at(const Completion *completion, const KaNode *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void
error_at(const Completion *completion, const KaNode *node, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    ka_diagnostics_add(completion->diagnostics, KA_ERROR, ka_node_key_mark(node),
                       "guest '%s': seed: %s", completion->guest->name, message);
}

/* Same manifest, same id, whatever the seed says: a new id has cloud-init set up everything anew.
 */
static char *
instance_id(const Completion *completion)
{
    g_autofree char *of =
        g_strconcat(completion->manifest->project, "/seed/", completion->guest->name, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, of, -1);

    /* A UUID of version 8: made as its maker likes. */
    return g_strdup_printf("%.8s-%.4s-8%.3s-a%.3s-%.12s", hash, hash + 8, hash + 12, hash + 15,
                           hash + 18);
}

/* The guest's name with what can't be in a host's replaced. */
static char *
host_name(const Completion *completion)
{
    char *name = g_strdup(completion->guest->name);

    return g_strcanon(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS ".-", '-');
}

static gboolean
has_line(const char *text, const char *key)
{
    g_autofree char *behind = g_strdup_printf("\n%s:", key);

    return g_str_has_prefix(text, behind + 1) || strstr(text, behind);
}

/* Adds a key that the user's meta data don't have: to a map, and behind a text. */
static void
add_key(const Completion *completion, KaNode *node, const char *key, const char *value)
{
    KaTree *tree = completion->manifest->tree;

    if (node->type == KA_NODE_MAP && !ka_node_get(node, key)) {
        KaNode *added = ka_node_new_scalar(tree, value);
        added->quoted = 1;
        ka_node_append(tree, node, key, added);
    } else if (node->type == KA_NODE_SCALAR && !g_str_has_prefix(node->text, "{") &&
               !has_line(node->text, key)) {
        const char *gap = !*node->text || g_str_has_suffix(node->text, "\n") ? "" : "\n";
        g_autofree char *text = g_strdup_printf("%s%s%s: \"%s\"\n", node->text, gap, key, value);
        node->text = ka_tree_strdup(tree, text);
    }
}

static void
add_identity(const Completion *completion, KaNode *node, guint kind)
{
    static const char *const keys[][2] = {
        {"instance-id", "local-hostname"},
        {"uuid",        "hostname"      },
    };
    g_autofree char *id = instance_id(completion);
    g_autofree char *name = host_name(completion);

    add_key(completion, node, keys[kind][0], id);
    add_key(completion, node, keys[kind][1], name);
}

static char *
text_of(const KaNode *node, Form form)
{
    if (node->type == KA_NODE_SCALAR)
        return g_strdup(node->text);
    g_autofree char *text = form == JSON ? ka_emit_json(node) : ka_emit_data(node);
    if (form != CLOUD_CONFIG)
        return g_steal_pointer(&text);
    const char *head = node->type == KA_NODE_LIST ? "#cloud-config-archive" : "#cloud-config";
    return g_strconcat(head, "\n", text, NULL);
}

/* The part's node, made where it is missing and must be there; NULL: it needn't. */
static KaNode *
part_node(const Completion *completion, gsize part)
{
    KaNode *node = ka_node_find(completion->seed, parts[part].key);
    gboolean is_identity = g_str_has_suffix(parts[part].key, "meta-data");

    if (is_there(node) || !parts[part].required)
        return is_there(node) ? node : NULL;
    if (!node)
        node = ka_node_put(completion->manifest->tree, completion->seed, parts[part].key, "");
    *node = (KaNode){.type = is_identity ? KA_NODE_MAP : KA_NODE_SCALAR,
                     .text = is_identity ? NULL : "",
                     .key = node->key,
                     .next = node->next,
                     .quoted = 1};
    return node;
}

static void
complete_texts(const Completion *completion, guint kind)
{
    const KaRows *rows = ka_rows_child(completion->rows, "seed");

    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        KaNode *node = parts[i].kind == kind ? part_node(completion, i) : NULL;
        if (!node)
            continue;
        if (g_str_has_suffix(parts[i].key, "meta-data"))
            add_identity(completion, node, kind);
        g_autofree char *text = text_of(node, parts[i].form);
        node->text = ka_tree_strdup(completion->manifest->tree, text);
        node->type = KA_NODE_SCALAR;
        node->first = node->last = NULL;
        node->n_children = 0;
        node->secret = 1;
        node->row = ka_rows_find(rows, parts[i].key)->row;
    }
}

/* Declarations that nobody would read. */
static void
check_kind(const Completion *completion, guint kind)
{
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        const KaNode *node = ka_node_find(completion->seed, parts[i].key);
        if (is_there(node) && parts[i].kind != kind)
            error_at(completion, node, "'%s' and '%s' exclude each other", parts[i].key,
                     kind == 2 ? "ignition" : "config-drive");
    }
    static const char *const of_cdrom[] = {"target", "bus"};
    for (gsize i = 0; kind == 2 && i < G_N_ELEMENTS(of_cdrom); i++) {
        const KaNode *node = ka_node_get(completion->seed, of_cdrom[i]);
        if (is_there(node))
            error_at(completion, node, "'%s' and 'ignition' exclude each other: it has no cdrom",
                     of_cdrom[i]);
    }
}

/* --- where it is, and how the guest gets it --- */

static const char *
first_pool(const Completion *completion)
{
    const KaNode *disks = ka_node_get(completion->guest->node, "disks");

    for (const KaNode *item = disks ? disks->first : NULL; item; item = item->next) {
        const char *name = ka_node_text(item, "disk");
        const KaObject *disk =
            name ? ka_manifest_find(completion->manifest, ka_kind_find("disk"), name) : NULL;
        if (disk && ka_node_text(disk->node, "pool"))
            return ka_node_text(disk->node, "pool");
    }
    return "default";
}

static void
complete_pool(const Completion *completion)
{
    if (ka_node_text(completion->seed, "pool"))
        return;
    KaNode *pool =
        ka_node_put(completion->manifest->tree, completion->seed, "pool", first_pool(completion));
    pool->row = ka_rows_find(completion->rows, "seed.pool")->row;
    pool->fresh = TRUE;
}

/* Not SATA where it can be avoided: kernels made for clouds have no driver for it. A SCSI
 * controller that few kernels have a driver for is what libvirt adds where the user says the
 * controllers. */
static const char *
bus_of(const Completion *completion, const char *target)
{
    const char *said = ka_node_text(completion->seed, "bus");
    const KaNode *controllers = ka_node_get(completion->guest->node, "controllers");

    if (said || *target == 'h')
        return said ? said : "ide";
    return is_there(controllers) && !ka_node_get(controllers, "scsi-0") ? "sata" : "scsi";
}

/* The last free one of those that the machine's own controller has: another one takes none of the
 * names that users begin with, and libvirt adds no controllers for it. */
static const char *
free_target(const Completion *completion)
{
    static const char *const sd[] = {"sdf", "sde", "sdd", "sdc", "sdb", "sda", NULL};
    static const char *const hd[] = {"hdd", "hdc", "hdb", "hda", NULL};
    const char *machine = ka_node_text(completion->guest->node, "machine");
    gboolean has_ide = machine && g_str_has_prefix(machine, "pc") && !strstr(machine, "q35");
    const KaNode *disks = ka_node_get(completion->guest->node, "disks");
    const char *const *target = has_ide ? hd : sd;

    while (*target && ka_node_get(disks, *target))
        target++;
    return *target;
}

/* A declared value, marked where the seed is. */
static KaNode *
put(const Completion *completion,
    KaNode *parent,
    const KaRows *rows,
    const char *key,
    const char *text)
{
    KaNode *node = ka_node_get(parent, key);

    if (!node) {
        node = ka_node_new(completion->manifest->tree, text ? KA_NODE_SCALAR : KA_NODE_MAP);
        node->source = completion->seed->source;
        node->line = node->key_line = completion->seed->line;
        node->column = node->key_column = completion->seed->column & 0xffffff;
        node->text = text ? ka_tree_strdup(completion->manifest->tree, text) : NULL;
        node->row = ka_rows_child(rows, key)->row;
        ka_node_append(completion->manifest->tree, parent, key, node);
    }
    return node;
}

static void
add_cdrom(const Completion *completion, const char *volume)
{
    const KaNode *said = ka_node_get(completion->seed, "target");
    const char *target = is_there(said) ? said->text : free_target(completion);
    const KaRows *rows = ka_rows_child(completion->rows, "disks");
    KaNode *disks = put(completion, completion->guest->node, completion->rows, "disks", NULL);

    if (!target) {
        error_at(completion, completion->seed, "no target is left for its cdrom: say one");
    } else if (disks->type != KA_NODE_MAP || ka_node_get(disks, target)) {
        error_at(completion, said ? said : completion->seed, "'disks' has another %s",
                 disks->type == KA_NODE_MAP ? target : "value than a map");
    } else {
        KaNode *item = put(completion, disks, rows, target, NULL);
        rows = ka_rows_child(rows, target);
        put(completion, item, rows, "as", "cdrom");
        put(completion, item, rows, "volume", volume);
        put(completion, item, rows, "format", "raw");
        put(completion, item, rows, "bus", bus_of(completion, target));
    }
}

static void
add_entry(const Completion *completion, const char *volume)
{
    const KaRows *rows = ka_rows_child(completion->rows, "fw-cfg");
    KaNode *entries = put(completion, completion->guest->node, completion->rows, "fw-cfg", NULL);

    if (entries->type != KA_NODE_MAP || ka_node_get(entries, IGNITION_ENTRY)) {
        error_at(completion, completion->seed, "'fw-cfg' has another " IGNITION_ENTRY);
        return;
    }
    KaNode *item = put(completion, entries, rows, IGNITION_ENTRY, NULL);
    put(completion, item, ka_rows_child(rows, IGNITION_ENTRY), "volume", volume);
}

void
ka_seed_complete(KaManifest *manifest, KaObject *guest, KaDiagnostics *diagnostics)
{
    KaNode *node = ka_node_get(guest->node, "seed");
    Completion completion = {manifest, guest, node, ka_kind_rows(guest->kind), diagnostics};
    guint kind = kind_of(node);

    if (!is_there(node))
        return;
    check_kind(&completion, kind);
    complete_texts(&completion, kind);
    complete_pool(&completion);
    g_autoptr(KaSeed) seed = ka_seed_new(guest);
    g_autofree char *volume = g_strconcat(seed->pool, "/", seed->volume, NULL);
    if (seed->label)
        add_cdrom(&completion, volume);
    else
        add_entry(&completion, volume);
}
