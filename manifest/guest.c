#include "manifest/guest.h"
#include "manifest/mac.h"

#include <string.h>

/* One guest being completed. */
typedef struct {
    KaManifest *manifest;
    KaObject *guest;
    const KaRows *rows;
    KaDiagnostics *diagnostics;
} Completion;

static gboolean
is_map(const KaNode *node)
{
    return node && node->type == KA_NODE_MAP;
}

/* Adds a value that a new guest gets below node, unless the manifest speaks of it or of a branch
 * above it. path: plain keys. text NULL: absent, where the row's own fresh value doesn't fit. */
static void
add_fresh_at(const Completion *completion,
             KaNode *node,
             const KaRows *rows,
             const char *path,
             const char *text)
{
    KaTree *tree = completion->manifest->tree;

    for (gsize length = 0; *path; path += length + (path[length] == '.')) {
        char key[32];
        length = strcspn(path, ".");
        g_strlcpy(key, path, MIN(length + 1, sizeof key));
        gboolean is_leaf = path[length] == '\0';
        rows = ka_rows_child(rows, key);
        KaNode *child = ka_node_get(node, key);
        if (!child) {
            KaNodeType leaf = text ? KA_NODE_SCALAR : KA_NODE_NULL;
            child = ka_node_new(tree, is_leaf ? leaf : KA_NODE_MAP);
            child->row = rows->row;
            child->fresh = TRUE;
            if (is_leaf)
                child->text = ka_tree_strdup(tree, text);
            ka_node_append(tree, node, key, child);
        } else if (!is_map(child)) {
            return;
        }
        node = child;
    }
}

static void
add_fresh(const Completion *completion, const char *path, const char *text)
{
    add_fresh_at(completion, completion->guest->node, completion->rows, path, text);
}

static void
add_fresh_below(const Completion *completion,
                const char *branch,
                KaNode *item,
                const char *key,
                const char *text)
{
    const KaRows *rows = ka_rows_child(ka_rows_child(completion->rows, branch), item->key);

    add_fresh_at(completion, item, rows, key, text);
}

static void error_at(const Completion *completion, const KaNode *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void
error_at(const Completion *completion, const KaNode *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    ka_diagnostics_add(completion->diagnostics, KA_ERROR, ka_node_mark(node), "guest '%s': %s",
                       completion->guest->name, message);
}

static gboolean
has_xml(const Completion *completion, const char *branch, const char *item)
{
    g_autofree char *place = g_strdup_printf("%s.%s", branch, item);

    return ka_node_get(ka_node_get(completion->guest->node, "xml"), place) != NULL;
}

/* How many of the keys the item declares with a value. */
static guint
count_values(const KaNode *item, const char *const *keys, gsize n_keys)
{
    guint count = 0;

    for (gsize i = 0; i < n_keys; i++)
        count += ka_node_text(item, keys[i]) != NULL;
    return count;
}

static const char *
bus_of_target(const char *target, const char *as)
{
    static const struct {
        const char *prefix, *bus;
    } buses[] = {
        {"vd", "virtio"},
        {"hd", "ide"   },
        {"fd", "fdc"   },
        {"sd", "scsi"  },
    };

    if (g_str_has_prefix(target, "sd") && g_strcmp0(as, "cdrom") == 0)
        return "sata";
    for (gsize i = 0; i < G_N_ELEMENTS(buses); i++)
        if (g_str_has_prefix(target, buses[i].prefix))
            return buses[i].bus;
    return NULL;
}

/* By the name alone: content is never looked at, since a guest can write what a probe would
 * believe. */
static const char *
format_of_path(const char *path)
{
    static const char *const formats[][2] = {
        {".qcow2", "qcow2"},
        {".qcow",  "qcow" },
        {".qed",   "qed"  },
        {".vmdk",  "vmdk" },
        {".vdi",   "vdi"  },
        {".vhd",   "vpc"  },
    };

    for (gsize i = 0; path && i < G_N_ELEMENTS(formats); i++)
        if (g_str_has_suffix(path, formats[i][0]))
            return formats[i][1];
    return "raw";
}

static const char *
disk_format(const Completion *completion, const KaNode *item)
{
    const char *name = ka_node_text(item, "disk");
    const KaKind *kind = name ? ka_kind_find("disk") : NULL;
    const KaObject *disk = kind ? ka_manifest_find(completion->manifest, kind, name) : NULL;

    if (!name)
        return format_of_path(ka_node_text(item, "path"));
    const char *format = disk ? ka_node_text(disk->node, "format") : NULL;
    const KaRows *rows = kind ? ka_rows_child(ka_kind_rows(kind), "format") : NULL;
    if (!format && rows)
        format = rows->row->fresh;
    return format ? format : "raw";
}

static void
complete_disk(const Completion *completion, KaNode *item)
{
    static const char *const sources[] = {"disk", "volume", "path", "device", "protocol"};
    const char *as = ka_node_text(item, "as");
    guint n_sources = count_values(item, sources, G_N_ELEMENTS(sources));
    gboolean removable = g_strcmp0(as, "cdrom") == 0 || g_strcmp0(as, "floppy") == 0;

    if (!n_sources && !removable && !has_xml(completion, "disks", item->key))
        error_at(
            completion, item,
            "disks.%s: expected one of disk, volume, path, device or protocol, found none of them",
            item->key);
    if (!as && g_str_has_prefix(item->key, "fd"))
        add_fresh_below(completion, "disks", item, "as", "floppy");
    else if (!as)
        add_fresh_below(completion, "disks", item, "as", "disk");
    const char *bus = bus_of_target(item->key, as);
    if (bus)
        add_fresh_below(completion, "disks", item, "bus", bus);
    else if (!ka_node_get(item, "bus") && !has_xml(completion, "disks", item->key))
        error_at(completion, item,
                 "disks.%s: expected a target such as vda, sda, hda or fda, or a 'bus'", item->key);
    if (n_sources && !ka_node_get(item, "volume"))
        add_fresh_below(completion, "disks", item, "format", disk_format(completion, item));
}

static void
complete_nic(const Completion *completion, KaNode *item)
{
    static const char *const sources[] = {"network", "bridge", "direct", "user"};
    g_autofree char *mac =
        ka_guest_mac(completion->manifest->project, completion->guest->name, item->key);

    if (!count_values(item, sources, G_N_ELEMENTS(sources)) &&
        !has_xml(completion, "nics", item->key))
        error_at(completion, item,
                 "nics.%s: expected one of network, bridge, direct or user, found none of them",
                 item->key);
    add_fresh_below(completion, "nics", item, "mac", mac);
    if (ka_node_text(item, "direct"))
        add_fresh_below(completion, "nics", item, "mode", "bridge");
}

/* Product of the topology's factors; 0: no topology is declared. */
static gint64
topology_product(const KaNode *topology)
{
    static const char *const factors[] = {"sockets", "dies", "cores", "threads"};
    gint64 product = 1;

    if (!is_map(topology))
        return 0;
    for (gsize i = 0; i < G_N_ELEMENTS(factors); i++) {
        const char *factor = ka_node_text(topology, factors[i]);
        product *= factor ? g_ascii_strtoll(factor, NULL, 10) : 1;
    }
    return product;
}

static void
complete_maximum(const Completion *completion, const char *branch, gint64 implied)
{
    KaNode *map = ka_node_get(completion->guest->node, branch);
    const KaNode *current = ka_node_get(map, "current"), *maximum = ka_node_get(map, "maximum");
    const KaRows *rows = ka_rows_child(completion->rows, branch);

    if (!is_map(map) || (current && current->type == KA_NODE_NULL) ||
        (maximum && maximum->type == KA_NODE_NULL))
        return;
    gint64 now = current ? g_ascii_strtoll(current->text, NULL, 10) : 0;
    gint64 most = maximum ? g_ascii_strtoll(maximum->text, NULL, 10) : MAX(implied, now);
    if (current && maximum && now <= most)
        return;
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, most);
    if (current && now > most) {
        const KaCodec *codec = ka_rows_child(rows, "current")->row->codec;
        g_autofree char *limit = ka_codec_format(codec, text);
        g_autofree char *found = ka_codec_format(codec, current->text);
        error_at(completion, current,
                 "%s.current: expected at most %s.maximum, which is %s, found %s", branch, branch,
                 limit, found);
    } else if (!maximum && most)
        add_fresh_at(completion, map, rows, "maximum", text);
    else if (!current)
        add_fresh_at(completion, map, rows, "current", text);
}

static void
complete_vcpus(const Completion *completion)
{
    const KaNode *topology = ka_node_find(completion->guest->node, "cpu.topology");
    gint64 product = topology_product(topology);

    complete_maximum(completion, "vcpus", product);
    const char *maximum = ka_node_text(completion->guest->node, "vcpus.maximum");
    if (product && maximum && g_ascii_strtoll(maximum, NULL, 10) != product)
        error_at(completion, topology,
                 "cpu.topology: expected a product of vcpus.maximum, which is %s, found "
                 "%" G_GINT64_FORMAT,
                 maximum, product);
}

static void
check_boot(const Completion *completion)
{
    static const char *const branches[] = {"disks", "nics", "hostdevs"};
    const KaNode *boot = ka_node_get(completion->guest->node, "boot");

    for (gsize i = 0; boot && boot->first && i < G_N_ELEMENTS(branches); i++) {
        const KaNode *items = ka_node_get(completion->guest->node, branches[i]);
        for (const KaNode *item = items ? items->first : NULL; item; item = item->next)
            if (ka_node_text(item, "boot-order"))
                error_at(
                    completion, boot,
                    "boot: expected either 'boot' or boot-order of devices, found both (%s.%s)",
                    branches[i], item->key);
    }
}

static void
complete_platform(const Completion *completion)
{
    const KaNode *node = completion->guest->node;
    const char *arch = ka_node_text(node, "arch");
    const KaNode *graphics = ka_node_get(node, "graphics");

    if (arch && !g_str_equal(arch, "x86_64") && !g_str_equal(arch, "i686")) {
        add_fresh(completion, "features.acpi", NULL);
        add_fresh(completion, "features.apic", NULL);
    }
    if (!ka_node_get(node, "serial"))
        add_fresh(completion, "serial.0.type", "pty");
    if (!is_map(graphics) || !graphics->first)
        return;
    if (!ka_node_get(node, "video"))
        add_fresh(completion, "video.0.model", "virtio");
    if (!ka_node_get(node, "inputs")) {
        add_fresh(completion, "inputs.0.type", "tablet");
        add_fresh(completion, "inputs.0.bus", "usb");
    }
}

void
ka_guest_complete(KaManifest *manifest, KaObject *guest, KaDiagnostics *diagnostics)
{
    Completion completion = {manifest, guest, ka_kind_rows(guest->kind), diagnostics};
    const KaNode *disks = ka_node_get(guest->node, "disks");
    const KaNode *nics = ka_node_get(guest->node, "nics");

    if (!is_map(guest->node))
        return;
    for (KaNode *item = disks ? disks->first : NULL; item; item = item->next)
        if (is_map(item))
            complete_disk(&completion, item);
    for (KaNode *item = nics ? nics->first : NULL; item; item = item->next)
        if (is_map(item))
            complete_nic(&completion, item);
    complete_vcpus(&completion);
    complete_maximum(&completion, "memory", 0);
    complete_platform(&completion);
    check_boot(&completion);
}
