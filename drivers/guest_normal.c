#include "drivers/element.h"
#include "drivers/guest.h"

#include <string.h>

static void
set_number(xmlNode *self, const char *place, guint64 number)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, number);

    ka_place_set(self, place, text, FALSE, NULL);
}

/* --- vcpus and memory --- */

/* Is the list of single vcpus the one that libvirt derives of the counts: the first `current` ones?
 */
static gboolean
vcpus_are_derived(const xmlNode *vcpus, guint64 current)
{
    guint64 i = 0;

    ka_for_children(vcpu, vcpus, "vcpu")
    {
        if (ka_attribute_is(vcpu, "enabled", "yes") != (i < current))
            return FALSE;
        i++;
    }
    return TRUE;
}

static void
normalise_vcpus(xmlNode *root)
{
    xmlNode *vcpu = ka_element_child(root, "vcpu"), *vcpus = ka_element_child(root, "vcpus");

    if (!vcpu)
        return;
    if (!ka_attribute(vcpu, "current"))
        set_number(root, "vcpu/@current", ka_element_number(root, "vcpu"));
    if (vcpus && vcpus_are_derived(vcpus, ka_element_number(root, "vcpu/@current")))
        ka_element_drop(vcpus);
}

static void
denormalise_vcpus(xmlNode *root)
{
    guint64 current = ka_element_number(root, "vcpu/@current"),
            maximum = ka_element_number(root, "vcpu");
    xmlNode *vcpus = ka_element_child(root, "vcpus");

    if (!current)
        return;
    if (maximum <= current) {
        set_number(root, "vcpu", current);
        ka_attribute_set(ka_element_child(root, "vcpu"), "current", NULL);
    }
    guint64 enabled = 0;
    ka_for_children(state, vcpus, "vcpu") enabled += ka_attribute_is(state, "enabled", "yes");
    if (vcpus && enabled != current)
        ka_element_drop(vcpus);
}

/* libvirt makes the sum of NUMA cells and memory devices itself, and refuses another one. */
static void
normalise_memory(xmlNode *root)
{
    if (ka_element_child(ka_element_child(ka_element_child(root, "cpu"), "numa"), "cell"))
        ka_element_drop(ka_element_child(root, "memory"));
}

static void
denormalise_memory(xmlNode *root)
{
    guint64 current = ka_element_number(root, "currentMemory");

    if (ka_element_child(root, "memory") && ka_element_number(root, "memory") < current)
        set_number(root, "memory[@unit='KiB']", current);
}

/* --- CPU --- */

/* What libvirt writes where nothing was said: QEMU's own default model. */
static void
normalise_cpu(xmlNode *root)
{
    static const char *const attributes[] = {"mode", "match", "check", NULL};
    xmlNode *cpu = ka_element_child(root, "cpu"), *model = ka_element_child(cpu, "model");

    if (!cpu || !model || !ka_element_has_only(cpu, attributes, "model"))
        return;
    g_autofree char *name = ka_place_get(root, "cpu/model", FALSE);
    if (ka_attribute_is(cpu, "mode", "custom") && ka_attribute_is(cpu, "match", "exact") &&
        ka_attribute_is(cpu, "check", "none") && ka_attribute_is(model, "fallback", "forbid") &&
        (g_strcmp0(name, "qemu64") == 0 || g_strcmp0(name, "qemu32") == 0))
        ka_element_drop(cpu);
}

/* What belongs to the mode that was is refused beside the one that is. */
static void
denormalise_cpu(xmlNode *root)
{
    xmlNode *cpu = ka_element_child(root, "cpu");
    const char *mode = cpu ? ka_attribute(cpu, "mode") : NULL;

    if (!mode)
        return;
    if (g_str_equal(mode, "custom")) {
        ka_attribute_set(cpu, "migratable", NULL);
        return;
    }
    ka_attribute_set(cpu, "match", NULL);
    g_autofree char *model = ka_place_get(root, "cpu/model", FALSE);
    if (model && *model)
        if (!ka_attribute(ka_element_child(cpu, "model"), "vendor_id"))
            ka_element_drop(ka_element_child(cpu, "model"));
    if (g_str_equal(mode, "host-model"))
        ka_attribute_set(cpu, "migratable", NULL);
    else
        ka_element_drop(ka_element_child(cpu, "vendor"));
}

/* --- devices --- */

static void
normalise_graphics(xmlNode *graphics)
{
    xmlNode *listen = ka_element_child(graphics, "listen");
    const char *address = listen ? ka_attribute(listen, "address") : NULL;

    if (listen && !ka_element_next(listen->next, "listen") &&
        ka_attribute_is(listen, "type", "address") &&
        (!address || ka_attribute_is(graphics, "listen", address)))
        ka_element_drop(listen);
    if (ka_attribute_is(graphics, "autoport", "yes")) {
        ka_attribute_set(graphics, "port", NULL);
        ka_attribute_set(graphics, "tlsPort", NULL);
    }
}

static void
denormalise_graphics(xmlNode *graphics)
{
    xmlNode *listen = ka_element_child(graphics, "listen");

    if (g_ascii_strtoll(ka_attribute(graphics, "port") ? ka_attribute(graphics, "port") : "", NULL,
                        10) > 0)
        ka_attribute_set(graphics, "autoport", "no");
    if (!listen || !ka_attribute(graphics, "listen") || !ka_attribute_is(listen, "type", "address"))
        return;
    if (ka_element_next(listen->next, "listen"))
        ka_attribute_set(listen, "address", ka_attribute(graphics, "listen"));
    else
        ka_element_drop(listen);
}

static gboolean
is_implicit_input(const xmlNode *input)
{
    return ka_attribute_is(input, "bus", "ps2") &&
           (ka_attribute_is(input, "type", "mouse") ||
            ka_attribute_is(input, "type", "keyboard")) &&
           !ka_element_child(input, "address") && !ka_element_child(input, "driver");
}

/* The first console is the first serial port once more: it follows from it. */
static void
normalise_consoles(xmlNode *devices)
{
    xmlNode *serial = ka_element_child(devices, "serial");
    xmlNode *console = ka_element_child(devices, "console");
    xmlNode *target = ka_element_child(console, "target");

    xmlNode *port = ka_element_child(serial, "target");

    /* To these kinds of port libvirt makes no console by itself. */
    if (!target || !port || ka_attribute_is(port, "type", "pci-serial") ||
        ka_attribute_is(port, "type", "usb-serial"))
        return;
    if (ka_attribute_is(target, "type", "serial") &&
        g_strcmp0(ka_attribute(target, "port"), ka_attribute(port, "port")) == 0)
        ka_element_drop(console);
}

/* Beside other consoles it is said, since libvirt numbers them by their places; where one of them
 * is the first, the serial port is none. */
static void
denormalise_consoles(xmlNode *devices)
{
    xmlNode *serial = ka_element_child(devices, "serial");
    xmlNode *first = ka_element_child(devices, "console");

    const xmlNode *other = ka_element_child(first, "target");

    if (!serial || !first || ka_attribute_is(other, "type", "serial") ||
        ka_attribute_is(other, "port", "0"))
        return;
    xmlNode *twin = xmlAddPrevSibling(first, xmlDocCopyNode(serial, devices->doc, 1));
    xmlNodeSetName(twin, (const xmlChar *)"console");
    ka_element_drop(ka_element_child(twin, "target"));
    ka_element_drop(ka_element_child(twin, "alias"));
    ka_element_drop(ka_element_child(twin, "address"));
    xmlNode *target = ka_element_add(twin, "target");
    const char *port = ka_attribute(ka_element_child(serial, "target"), "port");
    ka_attribute_set(target, "type", "serial");
    ka_attribute_set(target, "port", port ? port : "0");
}

static void
name_controller(xmlNode *controller)
{
    const char *type = ka_attribute(controller, "type"), *index = ka_attribute(controller, "index");

    if (!type)
        return;
    g_autofree char *name = g_strdup_printf("%s-%s", type, index ? index : "0");
    ka_attribute_set(controller, "ka-name", name);
}

/* The first channel of the guest agent's name. */
static gboolean
is_agent(const xmlNode *channel)
{
    ka_for_children(first, channel->parent, "channel")
    {
        const xmlNode *target = ka_element_child(first, "target");
        if (ka_attribute_is(first, "type", "unix") && ka_attribute_is(target, "type", "virtio") &&
            ka_attribute_is(target, "name", "org.qemu.guest_agent.0"))
            return first == channel;
    }
    return FALSE;
}

static void
normalise_device(xmlNode *device)
{
    if (ka_element_is(device, "graphics")) {
        normalise_graphics(device);
    } else if (ka_element_is(device, "controller")) {
        name_controller(device);
    } else if (ka_element_is(device, "interface") && ka_attribute_is(device, "type", "user")) {
        ka_attribute_set(device, "ka-user", "yes");
    } else if (ka_element_is(device, "video")) {
        ka_attribute_set(device, "ka-model",
                         ka_attribute(ka_element_child(device, "model"), "type"));
    } else if (ka_element_is(device, "disk")) {
        if (ka_attribute_is(device, "device", "cdrom"))
            ka_element_drop(ka_element_child(device, "readonly"));
        ka_attribute_set(device, "ka-bus", ka_attribute(ka_element_child(device, "target"), "bus"));
    } else if (ka_element_is(device, "channel")) {
        if (!is_agent(device))
            ka_attribute_set(device, "ka-other", "yes");
    } else if (ka_element_is(device, "input") && !is_implicit_input(device)) {
        ka_attribute_set(device, "ka-other", "yes");
    }
}

/* What a running guest has is named as it is there. */
static void
denormalise_live_names(xmlNode *device)
{
    const char *alias = ka_attribute(device, "ka-alias");
    const char *websocket = ka_attribute(device, "ka-websocket");

    if (alias)
        ka_attribute_set(ka_element_child(device, "alias"), "name", alias);
    if (websocket && ka_attribute_is(device, "websocket", "-1"))
        ka_attribute_set(device, "websocket", websocket);
}

/* What libvirt added for another model or bus, and refuses with this one. */
static void
drop_outdated(xmlNode *device)
{
    static const char *const of_qxl[] = {"ram", "vgamem", "vram64"};
    const char *model = ka_attribute(device, "ka-model"), *bus = ka_attribute(device, "ka-bus");
    xmlNode *new_model = ka_element_child(device, "model");

    if (model && g_str_equal(model, "qxl") && !ka_attribute_is(new_model, "type", model))
        for (gsize i = 0; i < G_N_ELEMENTS(of_qxl); i++)
            ka_attribute_set(new_model, of_qxl[i], NULL);
    if (bus && !ka_attribute_is(ka_element_child(device, "target"), "bus", bus))
        ka_element_drop(ka_element_child(device, "address"));
}

static void
denormalise_device(xmlNode *device)
{
    denormalise_live_names(device);
    drop_outdated(device);
    if (ka_element_is(device, "graphics"))
        denormalise_graphics(device);
    ka_element_drop_own(device);
}

/* --- whole documents --- */

static void
set_facts(xmlNode *root, const KaGuestFacts *facts)
{
    if (facts->state)
        ka_attribute_set(root, "ka-state", facts->state);
    if (facts->autostart)
        ka_attribute_set(root, "ka-autostart", facts->autostart);
    if (facts->protect)
        ka_attribute_set(root, "ka-protect", facts->protect);
}

void
ka_guest_normalise(KaDocument *document, const KaGuestForm *form, const KaGuestFacts *facts)
{
    xmlNode *root = xmlDocGetRootElement(document->xml),
            *devices = ka_element_child(root, "devices");

    set_facts(root, facts);
    normalise_vcpus(root);
    normalise_memory(root);
    normalise_cpu(root);
    ka_guest_files_normalise(root, form);
    if (!devices)
        return;
    normalise_consoles(devices);
    ka_for_children(device, devices, NULL) normalise_device(device);
    ka_guest_disks_normalise(devices, form);
    if (ka_guest_form_is_export(form))
        ka_guest_drop_derived(root, devices, form);
}

static void
complete_device(xmlNode *device)
{
    xmlNode *driver = ka_element_is(device, "disk") ? ka_element_child(device, "driver") : NULL;
    const char *name = ka_element_is(device, "controller") ? ka_attribute(device, "ka-name") : NULL;
    const char *dash = name ? strrchr(name, '-') : NULL;

    if (ka_element_is(device, "disk") && !ka_attribute(device, "type"))
        ka_attribute_set(device, "type", "file");
    if (ka_attribute(driver, "type") && !ka_attribute(driver, "name"))
        ka_attribute_set(driver, "name", "qemu");
    if (dash && !ka_attribute(device, "type")) {
        g_autofree char *type = g_strndup(name, (gsize)(dash - name));
        ka_attribute_set(device, "type", type);
        ka_attribute_set(device, "index", dash + 1);
    }
}

void
ka_guest_essentials(KaDocument *document, KaHost *host)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    g_autofree char *arch = ka_place_get(root, "os/type/@arch", FALSE);
    g_autofree char *os = ka_place_get(root, "os/type", FALSE);

    if (!ka_attribute(root, "type"))
        ka_attribute_set(root, "type", ka_link_domain_type(host, arch));
    ka_for_children(device, ka_element_child(root, "devices"), NULL) complete_device(device);
    if (!os)
        ka_place_set(root, "os/type", "hvm", FALSE, NULL);
}

static gboolean
has_boot_order(const xmlNode *devices)
{
    ka_for_children(device, devices, NULL) if (ka_element_child(device, "boot")) return TRUE;
    return FALSE;
}

/* All that was said of it is released: what libvirt added is no device. */
static void
drop_empty(xmlNode *devices, const char *name)
{
    static const char *const derived[] = {"address", "alias", NULL};
    xmlNode *device = ka_element_child(devices, name);

    if (!device || device->properties)
        return;
    ka_for_children(child, device,
                    NULL) if (!g_strv_contains(derived, (const char *)child->name)) return;
    ka_element_drop(device);
}

gboolean
ka_guest_denormalise(KaDocument *document, const KaGuestForm *form, GError **error)
{
    xmlNode *root = xmlDocGetRootElement(document->xml),
            *devices = ka_element_child(root, "devices");

    ka_guest_essentials(document, form->host);
    denormalise_vcpus(root);
    denormalise_memory(root);
    denormalise_cpu(root);
    ka_element_drop_own(root);
    if (!ka_guest_files_denormalise(root, form, error))
        return FALSE;
    if (!devices)
        return TRUE;
    if (!ka_guest_disks_denormalise(devices, form, error))
        return FALSE;
    denormalise_consoles(devices);
    ka_for_children(device, devices, NULL) denormalise_device(device);
    drop_empty(devices, "watchdog");
    drop_empty(devices, "tpm");
    while (has_boot_order(devices) && ka_element_child(ka_element_child(root, "os"), "boot"))
        ka_element_drop(ka_element_child(ka_element_child(root, "os"), "boot"));
    return TRUE;
}
