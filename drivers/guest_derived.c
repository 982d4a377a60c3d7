#include "drivers/element.h"
#include "drivers/guest.h"

/* What only an export leaves out: libvirt derives it again. */

/* Where a disk's address follows from its target's name. */
static gboolean
drive_is_derived(const xmlNode *disk, const xmlNode *address)
{
    const char *target = ka_attribute(ka_element_child(disk, "target"), "dev");
    const char *bus = ka_attribute(ka_element_child(disk, "target"), "bus");
    guint64 index = 0, unit = 0, on_bus = 0, controller = 0;

    if (!target || strlen(target) < 3 || !bus)
        return FALSE;
    for (const char *letter = target + 2; *letter; letter++) {
        if (*letter < 'a' || *letter > 'z')
            return FALSE;
        index = (index + (letter > target + 2)) * 26 + (guint64)(*letter - 'a');
    }
    if (g_str_equal(bus, "ide")) {
        controller = index / 4, on_bus = index % 4 / 2, unit = index % 2;
    } else if (g_str_equal(bus, "sata")) {
        controller = index / 6, unit = index % 6;
    } else if (g_str_equal(bus, "fdc")) {
        controller = index / 2, unit = index % 2;
    } else if (g_str_equal(bus, "scsi")) {
        controller = index > 6, unit = index;
    } else {
        return FALSE;
    }
    return ka_element_number(address, "@controller") == controller &&
           ka_element_number(address, "@bus") == on_bus &&
           ka_element_number(address, "@target") == 0 &&
           ka_element_number(address, "@unit") == unit;
}

/* What follows from a PCIe port's number and address. */
static void
drop_derived_of_port(xmlNode *controller)
{
    xmlNode *model = ka_element_child(controller, "model");
    xmlNode *target = ka_element_child(controller, "target");
    g_autofree char *slot = ka_place_get(controller, "address/@slot", FALSE);
    g_autofree char *function = ka_place_get(controller, "address/@function", FALSE);
    g_autofree char *port = ka_place_get(target ? target : controller, "@port", FALSE);

    if (!model || !target || !slot || !function || !port ||
        !ka_attribute_is(controller, "model", "pcie-root-port") ||
        !ka_attribute_is(model, "name", "pcie-root-port") ||
        ka_element_number(target, "@chassis") != ka_element_number(controller, "@index") ||
        ka_element_child(target, NULL) || ka_attribute(target, "hotplug") ||
        g_ascii_strtoull(port, NULL, 16) !=
            g_ascii_strtoull(slot, NULL, 16) * 8 + g_ascii_strtoull(function, NULL, 16))
        return;
    ka_element_drop(model);
    ka_element_drop(target);
}

static void
drop_derived_of_device(xmlNode *device, GHashTable *counts)
{
    xmlNode *address = ka_element_child(device, "address"),
            *target = ka_element_child(device, "target");
    gpointer key = (gpointer)(guintptr)g_intern_string((const char *)device->name);
    guint ordinal = GPOINTER_TO_UINT(g_hash_table_lookup(counts, device->name));

    g_hash_table_insert(counts, key, GUINT_TO_POINTER(ordinal + 1));
    if (ka_element_is(device, "disk") && address && ka_attribute_is(address, "type", "drive") &&
        drive_is_derived(device, address)) {
        ka_element_drop(address);
    } else if (ka_element_is(device, "controller")) {
        drop_derived_of_port(device);
    } else if (ka_element_is(device, "input") && !ka_attribute(device, "ka-other")) {
        ka_element_drop(device);
    } else if (ka_element_is(device, "serial") && target &&
               ka_attribute_is(target, "type", "isa-serial") &&
               ka_element_number(target, "@port") == ordinal &&
               !ka_element_child(target, "address")) {
        ka_element_drop(target);
    } else if (ka_element_is(device, "video") && ordinal == 0) {
        xmlNode *model = ka_element_child(device, "model");
        if (model && ka_attribute_is(model, "heads", "1"))
            ka_attribute_set(model, "heads", NULL);
        if (model && ka_attribute_is(model, "primary", "yes"))
            ka_attribute_set(model, "primary", NULL);
    }
}

static void
drop_derived_audio(xmlNode *devices)
{
    static const char *const attributes[] = {"id", "type", NULL};
    xmlNode *audio = ka_element_child(devices, "audio"),
            *graphics = ka_element_child(devices, "graphics");
    const char *implied = "none";

    if (!audio || ka_element_next(audio->next, "audio") ||
        !ka_element_has_only(audio, attributes, NULL) || audio->children)
        return;
    for (; graphics; graphics = ka_element_next(graphics->next, "graphics"))
        if (ka_attribute_is(graphics, "type", "spice"))
            implied = "spice";
    if (ka_attribute_is(audio, "id", "1") && ka_attribute_is(audio, "type", implied))
        ka_element_drop(audio);
}

static char *
default_emulator(const KaGuestForm *form, const char *arch)
{
    const char *capabilities = ka_link_capabilities(form->host, NULL);
    g_autofree char *start = g_strdup_printf("<arch name='%s'>", arch ? arch : "");
    const char *at = capabilities ? strstr(capabilities, start) : NULL;
    const char *emulator = at ? strstr(at, "<emulator>") : NULL;
    const char *end = emulator ? strstr(emulator, "</emulator>") : NULL;

    return end ? g_strndup(emulator + strlen("<emulator>"),
                           (gsize)(end - emulator) - strlen("<emulator>"))
               : NULL;
}

void
ka_guest_drop_derived(xmlNode *root, xmlNode *devices, const KaGuestForm *form)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *arch = ka_place_get(root, "os/type/@arch", FALSE);
    g_autofree char *emulator = ka_place_get(devices, "emulator", FALSE);
    g_autofree char *usual = default_emulator(form, arch);
    xmlNode *vcpu = ka_element_child(root, "vcpu");

    for (xmlNode *device = devices->children, *next; device; device = next) {
        next = device->next;
        if (ka_element_is(device, NULL))
            drop_derived_of_device(device, counts);
    }
    drop_derived_audio(devices);
    if (usual && g_strcmp0(usual, emulator) == 0)
        ka_element_drop(ka_element_child(devices, "emulator"));
    if (vcpu && ka_attribute_is(vcpu, "placement", "static"))
        ka_attribute_set(vcpu, "placement", NULL);
}
