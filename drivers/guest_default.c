#include "drivers/element.h"
#include "drivers/guest.h"

/* As many as virt-install gives, and some beyond what the guest is born with. */
#define LEAST_PORTS 14
#define SPARE_PORTS 6

static gboolean
is_x86(const char *arch)
{
    return g_strcmp0(arch, "x86_64") == 0 || g_strcmp0(arch, "i686") == 0;
}

static char *
host_arch(KaHost *host)
{
    const char *capabilities = ka_link_capabilities(host, NULL);
    const char *at = capabilities ? strstr(capabilities, "<arch>") : NULL;
    const char *end = at ? strstr(at, "</arch>") : NULL;

    return end ? g_strndup(at + strlen("<arch>"), (gsize)(end - at) - strlen("<arch>"))
               : g_strdup("x86_64");
}

gboolean
ka_guest_check_machine(KaHost *host, KaAction *action, GError **error)
{
    const KaNode *node = ka_node_get(action->object->node, "machine");
    const char *said = ka_node_text(action->object->node, "arch");
    if (!node || !node->text)
        return TRUE;
    g_autofree char *arch = said ? g_strdup(said) : host_arch(host);
    g_autoptr(GPtrArray) known = ka_link_machines(host, arch);
    if (known->len == 0 || g_ptr_array_find_with_equal_func(known, node->text, g_str_equal, NULL))
        return TRUE;
    const char *nearest = ka_nearest(node->text, (const char *const *)known->pdata, known->len);
    action->blame = node;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "machine: host '%s' has no machine type '%s' for %s%s%s%s", host->name, node->text,
                arch, nearest ? ": did you mean '" : ": 'virsh capabilities' lists what it has",
                nearest ? nearest : "", nearest ? "'?" : "");
    return FALSE;
}

static void
default_machine(xmlNode *root, const char *arch)
{
    g_autofree char *machine = ka_place_get(root, "os/type/@machine", FALSE);
    g_autofree char *said = ka_place_get(root, "os/type/@arch", FALSE);

    if (!said)
        ka_place_set(root, "os/type/@arch", arch, FALSE, NULL);
    if (!machine && is_x86(arch))
        ka_place_set(root, "os/type/@machine", "q35", FALSE, NULL);
    else if (!machine && (g_str_has_prefix(arch, "aarch64") || g_str_has_prefix(arch, "armv") ||
                          g_str_has_prefix(arch, "riscv")))
        ka_place_set(root, "os/type/@machine", "virt", FALSE, NULL);
}

static gboolean
is_q35(xmlNode *root)
{
    g_autofree char *machine = ka_place_get(root, "os/type/@machine", FALSE);

    return machine && (g_str_equal(machine, "q35") || g_str_has_prefix(machine, "pc-q35-"));
}

/* The interrupt controllers of x86: elsewhere libvirt refuses ACPI without UEFI. */
static void
default_features(xmlNode *root, const KaNode *desired)
{
    if (!ka_node_find(desired, "features.acpi") || ka_node_find(desired, "features.acpi")->fresh)
        ka_place_clear(root, "features/acpi");
    if (!ka_node_find(desired, "features.apic") || ka_node_find(desired, "features.apic")->fresh)
        ka_place_clear(root, "features/apic");
}

/* Timers as virt-install sets them: guests keep time, and none polls the HPET. */
static void
default_timers(xmlNode *root)
{
    static const char *const timers[][3] = {
        {"rtc",  "tickpolicy", "catchup"},
        {"pit",  "tickpolicy", "delay"  },
        {"hpet", "present",    "no"     },
    };
    xmlNode *clock = ka_element_child(root, "clock");

    for (gsize i = 0; clock && i < G_N_ELEMENTS(timers); i++) {
        xmlNode *timer = ka_element_add(clock, "timer");
        ka_attribute_set(timer, "name", timers[i][0]);
        ka_attribute_set(timer, timers[i][1], timers[i][2]);
    }
}

static void
add_controller(xmlNode *devices, const char *type, const char *model)
{
    xmlNode *controller = ka_element_add(devices, "controller");

    ka_attribute_set(controller, "type", type);
    ka_attribute_set(controller, "model", model);
}

/* Devices that take a port each on q35. */
static guint
count_devices(const xmlNode *devices)
{
    static const char *const kinds[] = {"interface", "hostdev",    "memballoon", "rng",
                                        "video",     "filesystem", "controller", NULL};
    guint count = 2; /* USB and virtio-serial come by themselves */

    ka_for_children(device, devices, NULL)
    {
        const xmlNode *target = ka_element_child(device, "target");
        count += g_strv_contains(kinds, (const char *)device->name) ||
                 (ka_element_is(device, "disk") && ka_attribute_is(target, "bus", "virtio"));
    }
    return count;
}

/* Without spare ports the second device plugged into a running q35 guest finds no slot. */
static void
default_ports(xmlNode *devices)
{
    guint n_ports = MAX(LEAST_PORTS, count_devices(devices) + SPARE_PORTS);

    add_controller(devices, "pci", "pcie-root");
    for (guint i = 0; i < n_ports; i++)
        add_controller(devices, "pci", "pcie-root-port");
}

static gboolean
has_scsi_disk(const xmlNode *devices)
{
    ka_for_children(disk, devices, "disk") if (ka_attribute_is(ka_element_child(disk, "target"),
                                                               "bus", "scsi")) return TRUE;
    return FALSE;
}

void
ka_guest_defaults(KaDocument *document, KaHost *host, const KaNode *desired)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *devices = ka_element_child(root, "devices");
    g_autofree char *said = ka_place_get(root, "os/type/@arch", FALSE);
    g_autofree char *arch = said ? g_strdup(said) : host_arch(host);
    g_autofree char *type = ka_place_get(root, "@type", FALSE);

    default_machine(root, arch);
    if (!is_x86(arch))
        default_features(root, desired);
    else if (!ka_node_find(desired, "clock.timers"))
        default_timers(root);
    if (!type)
        type = g_strdup(ka_link_domain_type(host, arch));
    if (g_str_equal(type, "kvm") && !ka_node_get(desired, "cpu"))
        ka_place_set(root, "cpu/@mode", is_x86(arch) ? "host-model" : "host-passthrough", FALSE,
                     NULL);
    if (!devices || ka_node_get(desired, "controllers"))
        return;
    /* libvirt's own choice is a controller that few systems have a driver for. */
    if (has_scsi_disk(devices))
        add_controller(devices, "scsi", "virtio-scsi");
    if (is_x86(arch) && is_q35(root))
        default_ports(devices);
}

void
ka_guest_deny_defaults(KaTree *tree)
{
    static const char *const paths[] = {"cpu", "clock.timers", "serial"};
    static const char *const with_graphics[] = {"video", "inputs"};
    KaNode *root = tree->root;

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        if (!ka_node_find(root, paths[i]))
            ka_node_put(tree, root, paths[i], "~")->type = KA_NODE_NULL;
    for (gsize i = 0; ka_node_get(root, "graphics") && i < G_N_ELEMENTS(with_graphics); i++)
        if (!ka_node_get(root, with_graphics[i]))
            ka_node_put(tree, root, with_graphics[i], "~")->type = KA_NODE_NULL;
}
