#include "manifest/guest.h"
#include "manifest/mac.h"
#include "manifest/seed.h"

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

/* What stands at the key; where the manifest doesn't speak of it, what a new guest gets there. key
 * and text live as long as the tree. */
static KaNode *
add_fresh(const Completion *completion,
          KaNode *node,
          const KaRows *rows,
          const char *key,
          KaNodeType type,
          const char *text)
{
    KaNode *child = ka_node_get(node, key);

    if (child)
        return child;
    child = ka_node_new(completion->manifest->tree, type);
    child->text = text;
    child->row = ka_rows_child(rows, key)->row;
    child->fresh = TRUE;
    return ka_node_link(node, key, child);
}

/* text NULL: absent, where the row's own fresh value doesn't fit. */
static void
add_value(const Completion *completion,
          KaNode *node,
          const KaRows *rows,
          const char *key,
          const char *text)
{
    add_fresh(completion, node, rows, key, text ? KA_NODE_SCALAR : KA_NODE_NULL, text);
}

/* The same below a branch of the guest, or below its item. */
static void
add_below(const Completion *completion,
          const char *branch,
          const char *item,
          const char *key,
          const char *text)
{
    const KaRows *rows = ka_rows_child(completion->rows, branch);
    KaNode *node =
        add_fresh(completion, completion->guest->node, completion->rows, branch, KA_NODE_MAP, NULL);

    if (item && is_map(node)) {
        node = add_fresh(completion, node, rows, item, KA_NODE_MAP, NULL);
        rows = ka_rows_child(rows, item);
    }
    if (is_map(node))
        add_value(completion, node, rows, key, text);
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

/* Does the item declare one of the keys with a value? */
static gboolean
has_value(const KaNode *item, const char *const *keys, gsize n_keys)
{
    for (gsize i = 0; i < n_keys; i++)
        if (ka_node_text(item, keys[i]))
            return TRUE;
    return FALSE;
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

    if (!name)
        return format_of_path(ka_node_text(item, "path"));
    const KaObject *disk = ka_manifest_find(completion->manifest, &ka_kind_disk, name);
    const char *format = disk ? ka_node_text(disk->node, "format") : NULL;
    if (!format)
        format = ka_rows_child(ka_kind_rows(&ka_kind_disk), "format")->row->fresh;
    return format ? format : "raw";
}

static void
complete_disk(const Completion *completion, KaNode *item, const KaRows *rows)
{
    static const char *const sources[] = {"disk", "volume", "path", "device", "protocol"};
    const char *as = ka_node_text(item, "as");
    gboolean has_source = has_value(item, sources, G_N_ELEMENTS(sources));
    gboolean removable = g_strcmp0(as, "cdrom") == 0 || g_strcmp0(as, "floppy") == 0;

    if (!has_source && !removable && !has_xml(completion, "disks", item->key))
        error_at(
            completion, item,
            "disks.%s: expected one of disk, volume, path, device or protocol, found none of them",
            item->key);
    if (!as)
        add_value(completion, item, rows, "as",
                  g_str_has_prefix(item->key, "fd") ? "floppy" : "disk");
    const char *bus = bus_of_target(item->key, as);
    if (bus)
        add_value(completion, item, rows, "bus", bus);
    else if (!ka_node_get(item, "bus") && !has_xml(completion, "disks", item->key))
        error_at(completion, item,
                 "disks.%s: expected a target such as vda, sda, hda or fda, or a 'bus'", item->key);
    if (has_source && !ka_node_get(item, "volume"))
        add_value(completion, item, rows, "format", disk_format(completion, item));
}

static void
complete_nic(const Completion *completion, KaNode *item, const KaRows *rows)
{
    static const char *const sources[] = {"network", "bridge", "direct", "user"};

    if (!has_value(item, sources, G_N_ELEMENTS(sources)) && !has_xml(completion, "nics", item->key))
        error_at(completion, item,
                 "nics.%s: expected one of network, bridge, direct or user, found none of them",
                 item->key);
    if (!ka_node_get(item, "mac")) {
        g_autofree char *mac =
            ka_guest_mac(completion->manifest->project, completion->guest->name, item->key);
        add_value(completion, item, rows, "mac", ka_tree_strdup(completion->manifest->tree, mac));
    }
    if (ka_node_text(item, "direct"))
        add_value(completion, item, rows, "mode", "bridge");
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
        /* More than any machine has is wrong however much more it is. */
        product = MIN(product * (factor ? g_ascii_strtoll(factor, NULL, 10) : 1),
                      G_MAXINT32 + G_GINT64_CONSTANT(1));
    }
    return product;
}

static void
complete_maximum(const Completion *completion, const char *branch, gint64 implied)
{
    KaNode *map = ka_node_get(completion->guest->node, branch);
    const KaNode *current = ka_node_get(map, "current"), *maximum = ka_node_get(map, "maximum");

    if (!is_map(map) || (current && current->type == KA_NODE_NULL) ||
        (maximum && maximum->type == KA_NODE_NULL))
        return;
    gint64 now = current ? g_ascii_strtoll(current->text, NULL, 10) : 0;
    gint64 most = maximum ? g_ascii_strtoll(maximum->text, NULL, 10) : MAX(implied, now);
    if (current && maximum && now <= most)
        return;
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, most);
    const KaRows *rows = ka_rows_child(completion->rows, branch);
    const char *missing = !maximum && most ? "maximum" : !current ? "current" : NULL;
    if (current && now > most) {
        const KaCodec *codec = ka_rows_child(rows, "current")->row->codec;
        g_autofree char *limit = ka_codec_format(codec, text);
        g_autofree char *found = ka_codec_format(codec, current->text);
        error_at(completion, current,
                 "%s.current: expected at most %s.maximum, which is %s, found %s", branch, branch,
                 limit, found);
    } else if (missing) {
        add_value(completion, map, rows, missing, ka_tree_strdup(completion->manifest->tree, text));
    }
}

static void
complete_vcpus(const Completion *completion)
{
    const KaNode *topology = ka_node_get(ka_node_get(completion->guest->node, "cpu"), "topology");
    gint64 product = topology_product(topology);

    complete_maximum(completion, "vcpus", product);
    const char *maximum = product ? ka_node_text(completion->guest->node, "vcpus.maximum") : NULL;
    if (maximum && g_ascii_strtoll(maximum, NULL, 10) != product)
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
check_wait(const Completion *completion)
{
    const char *waits = ka_node_text(completion->guest->node, "wait.for");
    const KaNode *agent = ka_node_get(completion->guest->node, "agent");

    if (waits && (g_str_equal(waits, "agent") || g_str_equal(waits, "cloud-init")) && agent &&
        g_strcmp0(agent->text, "yes") != 0)
        error_at(completion, agent, "agent: expected true, since 'wait: %s' asks the agent", waits);
}

static void
complete_platform(const Completion *completion)
{
    const KaNode *node = completion->guest->node;
    const char *arch = ka_node_text(node, "arch");
    const KaNode *graphics = ka_node_get(node, "graphics");

    if (arch && !g_str_equal(arch, "x86_64") && !g_str_equal(arch, "i686")) {
        add_below(completion, "features", NULL, "acpi", NULL);
        add_below(completion, "features", NULL, "apic", NULL);
    }
    if (!ka_node_get(node, "serial"))
        add_below(completion, "serial", "0", "type", "pty");
    if (!is_map(graphics) || !graphics->first)
        return;
    if (!ka_node_get(node, "video"))
        add_below(completion, "video", "0", "model", "virtio");
    if (!ka_node_get(node, "inputs")) {
        add_below(completion, "inputs", "0", "type", "tablet");
        add_below(completion, "inputs", "0", "bus", "usb");
    }
}

static void
complete_items(const Completion *completion,
               const char *branch,
               void (*complete)(const Completion *completion, KaNode *item, const KaRows *rows))
{
    const KaNode *items = ka_node_get(completion->guest->node, branch);
    const KaRows *rows = ka_rows_child(completion->rows, branch);

    for (KaNode *item = items ? items->first : NULL; item; item = item->next)
        if (is_map(item))
            complete(completion, item, ka_rows_child(rows, item->key));
}

void
ka_guest_complete(KaManifest *manifest, KaObject *guest, KaDiagnostics *diagnostics)
{
    Completion completion = {manifest, guest, ka_kind_rows(guest->kind), diagnostics};

    if (!is_map(guest->node))
        return;
    ka_seed_complete(manifest, guest, diagnostics); /* adds a disk */
    complete_items(&completion, "disks", complete_disk);
    complete_items(&completion, "nics", complete_nic);
    complete_vcpus(&completion);
    complete_maximum(&completion, "memory", 0);
    complete_platform(&completion);
    check_boot(&completion);
    check_wait(&completion);
}
