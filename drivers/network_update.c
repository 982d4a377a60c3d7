#include "drivers/network.h"
#include "drivers/storage.h"

/* What libvirt changes of a running network, in the order in which one may need the other. */
static const struct {
    virNetworkUpdateSection section;
    const char *place; /* below <network>, or below an <ip> */
    gboolean of_ip;
    const char *what;
} sections[] = {
    {VIR_NETWORK_SECTION_FORWARD_INTERFACE, "forward/interface", FALSE, "a forward device"},
    {VIR_NETWORK_SECTION_PORTGROUP,         "portgroup",         FALSE, "a port group"    },
    {VIR_NETWORK_SECTION_IP_DHCP_RANGE,     "dhcp/range",        TRUE,  "a DHCP range"    },
    {VIR_NETWORK_SECTION_IP_DHCP_HOST,      "dhcp/host",         TRUE,  "a DHCP host"     },
    {VIR_NETWORK_SECTION_DNS_HOST,          "dns/host",          FALSE, "a DNS host"      },
    {VIR_NETWORK_SECTION_DNS_TXT,           "dns/txt",           FALSE, "a TXT record"    },
    {VIR_NETWORK_SECTION_DNS_SRV,           "dns/srv",           FALSE, "an SRV record"   },
};

/* The elements at a place as texts. parent NULL: none. */
static GPtrArray *
texts_at(xmlNode *parent, const char *place)
{
    GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) elements = parent ? ka_place_select(parent, place) : g_ptr_array_new();

    for (guint i = 0; i < elements->len; i++)
        g_ptr_array_add(texts, ka_element_text(g_ptr_array_index(elements, i), FALSE));
    return texts;
}

/* Texts of a that b lacks, by one command. */
static gboolean
send(virNetworkPtr network,
     virNetworkUpdateCommand command,
     gsize section,
     int parent,
     const GPtrArray *a,
     GPtrArray *b,
     GError **error)
{
    const char *name = virNetworkGetName(network); /* asked later, it would reset the error */

    for (guint i = 0; i < a->len; i++) {
        const char *text = g_ptr_array_index(a, i);
        if (g_ptr_array_find_with_equal_func(b, text, g_str_equal, NULL))
            continue;
        if (virNetworkUpdate(network, command, sections[section].section, parent, text,
                             VIR_NETWORK_UPDATE_AFFECT_LIVE) < 0)
            return ka_libvirt_error(error, "can't %s %s of the running network '%s': %s",
                                    command == VIR_NETWORK_UPDATE_COMMAND_DELETE ? "take away"
                                                                                 : "add",
                                    sections[section].what, name, text);
    }
    return TRUE;
}

static gboolean
update_section(
    virNetworkPtr network, gsize section, int parent, xmlNode *from, xmlNode *to, GError **error)
{
    g_autoptr(GPtrArray) old = texts_at(from, sections[section].place);
    g_autoptr(GPtrArray) new = texts_at(to, sections[section].place);

    /* Away first: what comes may have an address or name of what goes. */
    return send(network, VIR_NETWORK_UPDATE_COMMAND_DELETE, section, parent, old, new, error) &&
           send(network, VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, parent, new, old, error);
}

static xmlNode *
same_address(xmlNode *root, xmlNode *ip)
{
    g_autofree char *address = g_strdup(ka_attribute(ip, "address"));
    g_autoptr(GPtrArray) all = ka_place_select(root, "ip");

    for (guint i = 0; i < all->len; i++) {
        g_autofree char *other = g_strdup(ka_attribute(g_ptr_array_index(all, i), "address"));
        if (g_strcmp0(address, other) == 0)
            return g_ptr_array_index(all, i);
    }
    return NULL;
}

gboolean
ka_network_update(virNetworkPtr network, xmlDoc *from, xmlDoc *to, GError **error)
{
    xmlNode *old = xmlDocGetRootElement(from), *new = xmlDocGetRootElement(to);
    g_autoptr(GPtrArray) addresses = ka_place_select(old, "ip");

    for (gsize i = 0; i < G_N_ELEMENTS(sections); i++) {
        if (!sections[i].of_ip && !update_section(network, i, -1, old, new, error))
            return FALSE;
        for (guint j = 0; sections[i].of_ip && j < addresses->len; j++) {
            xmlNode *ip = g_ptr_array_index(addresses, j);
            xmlNode *same = same_address(new, ip);
            if (same && !update_section(network, i, (int)j, ip, same, error))
                return FALSE;
        }
    }
    return TRUE;
}
