#include "drivers/element.h"
#include "drivers/guest.h"

/* What a start changes in a guest's live document is told as its definition tells it. */

/* The live interface of a MAC. */
static xmlNode *
find_nic(const xmlNode *devices, const char *mac)
{
    ka_for_children(nic, devices, "interface")
    {
        const xmlNode *element = ka_element_child(nic, "mac");
        const char *address = element ? ka_attribute(element, "address") : NULL;
        if (address && g_ascii_strcasecmp(address, mac) == 0)
            return nic;
    }
    return NULL;
}

static void
name_live_nics(xmlNode *live, const xmlNode *config)
{
    ka_for_children(nic, config, "interface")
    {
        g_autofree char *mac = ka_place_get(nic, "mac/@address", FALSE);
        g_autofree char *alias = ka_place_get(nic, "alias/@name", FALSE);
        xmlNode *twin = mac ? find_nic(live, mac) : NULL;
        const char *own = ka_attribute(ka_element_child(twin, "alias"), "name");
        if (!twin || !alias || g_strcmp0(alias, own) == 0)
            continue;
        ka_attribute_set(twin, "ka-alias", own);
        ka_place_set(twin, "alias/@name", alias, FALSE, NULL);
    }
}

/* On a network without a bridge of its own a start says what the network led to: a bridge of the
 * host, macvtap on a device. */
static void
restore_network(xmlNode *nic)
{
    static const char *const led_to[] = {"bridge", "dev", "mode"};
    xmlNode *source = ka_element_child(nic, "source");

    if (!source || !ka_attribute(source, "network") || ka_attribute_is(nic, "type", "network"))
        return;
    ka_attribute_set(nic, "type", "network");
    for (gsize i = 0; i < G_N_ELEMENTS(led_to); i++)
        ka_attribute_set(source, led_to[i], NULL);
}

/* A start turns host-model into the model that it found. */
static void
restore_cpu(xmlNode *live, const xmlNode *config)
{
    xmlNode *expanded = ka_element_child(live, "cpu"), *cpu = ka_element_child(config, "cpu");
    const char *mode = cpu ? ka_attribute(cpu, "mode") : NULL;

    if (!cpu) {
        ka_element_drop(expanded);
    } else if (expanded && g_strcmp0(mode, "host-model") == 0 &&
               ka_attribute_is(expanded, "mode", "custom")) {
        xmlReplaceNode(expanded, xmlDocCopyNode(cpu, live->doc, 1));
        xmlFreeNode(expanded);
    } else if (expanded && ka_attribute(cpu, "check") &&
               ka_attribute_is(expanded, "check", "full")) {
        ka_attribute_set(expanded, "check", ka_attribute(cpu, "check"));
    }
}

/* -1 asks for any port; a start writes the one it chose. */
static void
restore_websocket(xmlNode *graphics, const xmlNode *config_devices)
{
    ka_for_children(twin, config_devices, "graphics")
    {
        if (!ka_attribute_is(twin, "type", ka_attribute(graphics, "type")) ||
            !ka_attribute_is(twin, "websocket", "-1") || !ka_attribute(graphics, "websocket"))
            continue;
        ka_attribute_set(graphics, "ka-websocket", ka_attribute(graphics, "websocket"));
        ka_attribute_set(graphics, "websocket", "-1");
    }
}

void
ka_guest_normalise_live(KaDocument *live, const KaDocument *config)
{
    xmlNode *root = xmlDocGetRootElement(live->xml);
    const xmlNode *config_root = xmlDocGetRootElement(config->xml);
    xmlNode *devices = ka_element_child(root, "devices"),
            *config_devices = ka_element_child(config_root, "devices");

    restore_cpu(root, config_root);
    if (!devices || !config_devices)
        return;
    name_live_nics(devices, config_devices);
    ka_for_children(nic, devices, "interface") restore_network(nic);
    ka_for_children(graphics, devices, "graphics") restore_websocket(graphics, config_devices);
}
