#include "drivers/network.h"
#include "drivers/storage.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define XML(text) ((const xmlChar *)(text))

/* NULL takes the attribute away. */
static void
set(xmlNode *element, const char *name, const char *value)
{
    if (value)
        xmlSetProp(element, XML(name), XML(value));
    else
        xmlUnsetProp(element, XML(name));
}

static gboolean
has(const xmlNode *element, const char *name)
{
    return xmlHasProp(element, XML(name)) != NULL;
}

static gboolean
is(const xmlNode *element, const char *name)
{
    return xmlStrEqual(element->name, XML(name));
}

static xmlNode *
add(xmlNode *element, const char *name)
{
    return xmlNewChild(element, NULL, XML(name), NULL);
}

static void
drop(xmlNode *element)
{
    xmlUnlinkNode(element);
    xmlFreeNode(element);
}

/* --- one element to the normal form and back --- */

static gboolean
is_ipv6(const char *address)
{
    return strchr(address, ':') != NULL;
}

/* Bits of a netmask; 0 where it is none. */
static guint
netmask_prefix(const char *netmask)
{
    struct in_addr mask;
    guint bits = 0;

    if (inet_pton(AF_INET, netmask, &mask) != 1)
        return 0;
    for (guint32 rest = ntohl(mask.s_addr); rest & 0x80000000U; rest <<= 1)
        bits++;
    return bits;
}

static char *
prefix_netmask(const char *prefix)
{
    guint bits = (guint)CLAMP(atoi(prefix), 0, 32);
    guint32 mask = bits ? 0xffffffffU << (32 - bits) : 0;

    return g_strdup_printf("%u.%u.%u.%u", mask >> 24, mask >> 16 & 255, mask >> 8 & 255,
                           mask & 255);
}

/* <ip> and <route>: "192.168.50.1/24". */
static char *
cidr_get(const xmlNode *element)
{
    g_autofree char *address = g_strdup(ka_attribute(element, "address"));
    g_autofree char *prefix = g_strdup(ka_attribute(element, "prefix"));
    g_autofree char *netmask = g_strdup(ka_attribute(element, "netmask"));

    if (!address)
        return NULL;
    if (!prefix && netmask)
        prefix = g_strdup_printf("%u", netmask_prefix(netmask));
    return g_strconcat(address, "/", prefix ? prefix : KA_CIDR_DEFAULT, NULL);
}

static void
cidr_set(xmlNode *element, const char *cidr)
{
    g_auto(GStrv) parts = g_strsplit(cidr, "/", 2);
    gboolean is_said = g_strcmp0(parts[1], KA_CIDR_DEFAULT) != 0;
    gboolean by_prefix = is_ipv6(cidr) || has(element, "prefix");

    g_autofree char *family = g_strdup(ka_attribute(element, "family"));
    if (is_ipv6(cidr) != (g_strcmp0(family, "ipv6") == 0))
        set(element, "family", is_ipv6(cidr) ? "ipv6" : NULL);
    set(element, "address", parts[0]);
    g_autofree char *netmask = parts[1] ? prefix_netmask(parts[1]) : NULL;
    set(element, "netmask", is_said && !by_prefix ? netmask : NULL);
    set(element, "prefix", is_said && by_prefix ? parts[1] : NULL);
}

static char *
range_get(const xmlNode *element)
{
    g_autofree char *start = g_strdup(ka_attribute(element, "start"));
    g_autofree char *end = g_strdup(ka_attribute(element, "end"));

    return start && end ? g_strconcat(start, "-", end, NULL) : NULL;
}

static void
range_set(xmlNode *element, const char *range)
{
    g_auto(GStrv) ends = g_strsplit(range, "-", 2);

    set(element, "start", ends[0]);
    set(element, "end", ends[1]);
}

static char *
pci_get(const xmlNode *element)
{
    g_autofree char *domain = g_strdup(ka_attribute(element, "domain"));
    g_autofree char *bus = g_strdup(ka_attribute(element, "bus"));
    g_autofree char *slot = g_strdup(ka_attribute(element, "slot"));
    g_autofree char *function = g_strdup(ka_attribute(element, "function"));

    return bus && slot && function
               ? g_strdup_printf("%s:%s:%s.%s", domain ? domain : "0x0000", bus, slot, function)
               : NULL;
}

static void
pci_set(xmlNode *element, const char *pci)
{
    static const char *const names[] = {"domain", "bus", "slot", "function"};
    g_auto(GStrv) parts = g_strsplit_set(pci, ":.", 4);

    for (gsize i = 0; parts[i]; i++)
        set(element, names[i], parts[i]);
}

static const struct {
    const char *name;
    guint64 seconds;
} lease_units[] = {
    {"hours",   3600},
    {"minutes", 60  },
    {"seconds", 1   },
};

static char *
lease_get(const xmlNode *element)
{
    g_autofree char *expiry = g_strdup(ka_attribute(element, "expiry"));
    g_autofree char *unit = g_strdup(ka_attribute(element, "unit"));
    guint64 seconds = 60;

    for (gsize i = 0; i < G_N_ELEMENTS(lease_units); i++) {
        if (g_strcmp0(unit, lease_units[i].name) == 0)
            seconds = lease_units[i].seconds;
    }
    return expiry
               ? g_strdup_printf("%" G_GUINT64_FORMAT, g_ascii_strtoull(expiry, NULL, 10) * seconds)
               : NULL;
}

static void
lease_set(xmlNode *element, const char *text)
{
    guint64 seconds = g_ascii_strtoull(text, NULL, 10);
    gsize unit = 0;

    while (seconds % lease_units[unit].seconds != 0)
        unit++;
    g_autofree char *expiry =
        g_strdup_printf("%" G_GUINT64_FORMAT, seconds / lease_units[unit].seconds);
    set(element, "expiry", expiry);
    set(element, "unit", seconds ? lease_units[unit].name : NULL);
}

static char *
srv_get(const xmlNode *element)
{
    g_autofree char *service = g_strdup(ka_attribute(element, "service"));
    g_autofree char *protocol = g_strdup(ka_attribute(element, "protocol"));
    g_autofree char *target = g_strdup(ka_attribute(element, "target"));

    return service && protocol ? g_strjoin("/", service, protocol, target, NULL) : NULL;
}

static void
srv_set(xmlNode *element, const char *name)
{
    static const char *const names[] = {"service", "protocol", "target"};
    g_auto(GStrv) parts = g_strsplit(name, "/", 3);

    for (gsize i = 0; parts[i]; i++)
        set(element, names[i], parts[i]);
}

/* A host without a name goes by what else it is known by. */
static char *
host_get(const xmlNode *element)
{
    static const char *const names[] = {"name", "mac", "id", "ip"};
    char *name = NULL;

    for (gsize i = 0; !name && i < G_N_ELEMENTS(names); i++)
        name = g_strdup(ka_attribute(element, names[i]));
    return name;
}

static void
host_set(xmlNode *element, const char *name)
{
    static const char *const names[] = {"mac", "id", "ip"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *other = g_strdup(ka_attribute(element, names[i]));
        if (other && g_ascii_strcasecmp(other, name) == 0)
            return;
    }
    set(element, "name", name);
}

/* What one attribute of the normal form says, in several attributes of libvirt's. */
static const struct {
    const char *parent, *element;
    const char *attribute;
    char *(*get)(const xmlNode *element);
    void (*set)(xmlNode *element, const char *value);
} forms[] = {
    {"network", "ip",      "ka-cidr",    cidr_get,  cidr_set },
    {"network", "route",   "ka-cidr",    cidr_get,  cidr_set },
    {"dhcp",    "range",   "ka-range",   range_get, range_set},
    {"nat",     "address", "ka-range",   range_get, range_set},
    {"nat",     "port",    "ka-range",   range_get, range_set},
    {"forward", "address", "ka-pci",     pci_get,   pci_set  },
    {"dhcp",    "host",    "ka-name",    host_get,  host_set },
    {"host",    "lease",   "ka-seconds", lease_get, lease_set},
    {"range",   "lease",   "ka-seconds", lease_get, lease_set},
    {"dns",     "srv",     "ka-name",    srv_get,   srv_set  },
};

static int
form_of(const xmlNode *element)
{
    for (gsize i = 0; element->parent && i < G_N_ELEMENTS(forms); i++) {
        if (is(element, forms[i].element) && is(element->parent, forms[i].parent))
            return (int)i;
    }
    return -1;
}

static void
each(xmlNode *element, void (*work)(xmlNode *element))
{
    for (xmlNode *node = element->children, *next; node; node = next) {
        next = node->next;
        if (node->type != XML_ELEMENT_NODE)
            continue;
        each(node, work);
        work(node);
    }
}

/* Counts of a running network's connections are no part of it. */
static void
normalise_element(xmlNode *element)
{
    int form = form_of(element);

    set(element, "connections", NULL);
    if (is(element, "forwarder"))
        set(element, "ka-all", has(element, "domain") ? "no" : "yes");
    if (form < 0)
        return;
    g_autofree char *value = forms[form].get(element);
    set(element, forms[form].attribute, value);
    /* Tells what was read here and then taken away from what never had the attribute. */
    set(element, "ka-form", value ? "yes" : NULL);
}

/* --- what concerns several elements --- */

static gboolean
is_address(const xmlNode *node)
{
    return node->type == XML_ELEMENT_NODE &&
           (is(node, "ip") || is(node, "ka-ip6") || is(node, "ka-ip"));
}

/* Main addresses come first when a network is made. Where they stand otherwise, one among the
 * others of the same ka-cidr keeps the place of each. */
static void
keep_places(xmlNode *root)
{
    static const char *const order[] = {"ip", "ka-ip6", "ka-ip"};
    gsize at = 0;

    for (const xmlNode *node = root->children; node; node = node->next) {
        while (is_address(node) && at < G_N_ELEMENTS(order) && !is(node, order[at]))
            at++;
    }
    for (xmlNode *node = root->children; node && at == G_N_ELEMENTS(order); node = node->next) {
        if (!is_address(node) || is(node, "ka-ip"))
            continue;
        g_autofree char *cidr = g_strdup(ka_attribute(node, "ka-cidr"));
        xmlNode *place = xmlNewDocNode(node->doc, NULL, XML("ka-ip"), NULL);
        set(place, "ka-cidr", cidr);
        set(place, "ka-place", "yes");
        xmlAddPrevSibling(node, place);
    }
}

/* The first address of a family that has DHCP is the main one, else the first. */
static void
normalise_addresses(xmlNode *root)
{
    xmlNode *main[2] = {NULL, NULL};

    for (xmlNode *ip = root->children; ip; ip = ip->next) {
        g_autofree char *address = ip->type == XML_ELEMENT_NODE && is(ip, "ip")
                                       ? g_strdup(ka_attribute(ip, "address"))
                                       : NULL;
        if (!address)
            continue;
        xmlNode **best = &main[is_ipv6(address)];
        if (!*best || (!ka_element_child(*best, "dhcp") && ka_element_child(ip, "dhcp")))
            *best = ip;
        xmlNodeSetName(ip, XML("ka-ip"));
        g_autofree char *family = g_strdup(ka_attribute(ip, "family"));
        if (g_strcmp0(family, "ipv4") == 0) /* what it is without */
            set(ip, "family", NULL);
    }
    if (main[FALSE])
        xmlNodeSetName(main[FALSE], XML("ip"));
    if (main[TRUE])
        xmlNodeSetName(main[TRUE], XML("ka-ip6"));
    keep_places(root);
}

/* Puts a main address where its place is kept. */
static void
move_to_place(xmlNode *root, xmlNode *main)
{
    g_autofree char *cidr = main ? g_strdup(ka_attribute(main, "ka-cidr")) : NULL;

    for (xmlNode *node = root->children, *next; cidr && node; node = next) {
        next = node->next;
        if (!is_address(node) || !is(node, "ka-ip") ||
            !ka_codec_equal(&ka_cidr, cidr, ka_attribute(node, "ka-cidr")))
            continue;
        if (next != main)
            xmlAddPrevSibling(node, main);
        drop(node);
        return;
    }
}

static void
denormalise_addresses(xmlNode *root)
{
    move_to_place(root, ka_element_child(root, "ip"));
    move_to_place(root, ka_element_child(root, "ka-ip6"));
    for (xmlNode *ip = root->children, *next; ip; ip = next) {
        next = ip->next;
        if (is_address(ip) && has(ip, "ka-place")) /* of an address that changed */
            drop(ip);
        else if (is_address(ip))
            xmlNodeSetName(ip, XML("ip"));
    }
}

/* Two hosts of one name (two cards) are told apart by their MACs. */
static void
normalise_hosts(xmlNode *dhcp)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (xmlNode *host = dhcp->children; host; host = host->next) {
        if (host->type != XML_ELEMENT_NODE || !is(host, "host"))
            continue;
        g_autofree char *name = g_strdup(ka_attribute(host, "ka-name"));
        g_autofree char *mac = g_strdup(ka_attribute(host, "mac"));
        if (name && mac && g_hash_table_contains(seen, name))
            set(host, "ka-name", mac);
        g_hash_table_add(seen, g_steal_pointer(&name));
    }
}

/* A lease time that all ranges have is the block's. */
static void
normalise_lease(xmlNode *dhcp)
{
    g_autofree char *common = NULL;

    for (xmlNode *range = dhcp->children; range; range = range->next) {
        if (range->type != XML_ELEMENT_NODE || !is(range, "range"))
            continue;
        xmlNode *lease = ka_element_child(range, "lease");
        g_autofree char *seconds = lease ? g_strdup(ka_attribute(lease, "ka-seconds")) : NULL;
        if (!seconds || (common && !g_str_equal(common, seconds)))
            return;
        g_free(common);
        common = g_steal_pointer(&seconds);
    }
    set(dhcp, "ka-lease", common);
    set(dhcp, "ka-form", common ? "yes" : NULL);
}

static void
denormalise_lease(xmlNode *dhcp)
{
    g_autofree char *common = g_strdup(ka_attribute(dhcp, "ka-lease"));

    if (!common && !has(dhcp, "ka-form"))
        return;
    for (xmlNode *range = dhcp->children; range; range = range->next) {
        if (range->type != XML_ELEMENT_NODE || !is(range, "range"))
            continue;
        xmlNode *lease = ka_element_child(range, "lease");
        if (!common && lease)
            drop(lease);
        if (!common)
            continue;
        if (!lease)
            lease = add(range, "lease");
        g_autofree char *now = lease_get(lease);
        if (g_strcmp0(now, common) != 0)
            lease_set(lease, common);
        set(lease, "ka-seconds", common);
    }
}

static void
normalise_vlan(xmlNode *vlan)
{
    for (xmlNode *tag = vlan->children; tag; tag = tag->next) {
        if (tag->type != XML_ELEMENT_NODE || !has(tag, "nativeMode"))
            continue;
        g_autofree char *id = g_strdup(ka_attribute(tag, "id"));
        g_autofree char *mode = g_strdup(ka_attribute(tag, "nativeMode"));
        set(vlan, "ka-native", id);
        set(vlan, "ka-native-mode", mode);
        set(tag, "nativeMode", NULL);
    }
}

static void
denormalise_vlan(xmlNode *vlan)
{
    g_autofree char *native = g_strdup(ka_attribute(vlan, "ka-native"));
    g_autofree char *mode = g_strdup(ka_attribute(vlan, "ka-native-mode"));

    for (xmlNode *tag = vlan->children; tag; tag = tag->next) {
        g_autofree char *id =
            tag->type == XML_ELEMENT_NODE ? g_strdup(ka_attribute(tag, "id")) : NULL;
        if (id && native && g_str_equal(id, native))
            set(tag, "nativeMode", mode ? mode : "untagged");
    }
}

/* An isolated network says so; the device that libvirt repeats in <forward> follows from its list.
 */
static void
normalise_forward(xmlNode *root)
{
    xmlNode *forward = ka_element_child(root, "forward");

    if (!forward) {
        forward = add(root, "forward");
        set(forward, "mode", "none");
    }
    if (!has(forward, "mode"))
        set(forward, "mode", "nat");
    g_autofree char *device = g_strdup(ka_attribute(forward, "dev"));
    if (device && !ka_element_child(forward, "interface"))
        set(add(forward, "interface"), "dev", device);
    set(forward, "dev", NULL);
}

static void
denormalise_forward(xmlNode *root)
{
    xmlNode *forward = ka_element_child(root, "forward");
    g_autofree char *mode = forward ? g_strdup(ka_attribute(forward, "mode")) : NULL;

    if (mode && g_str_equal(mode, "none"))
        drop(forward);
}

static void
normalise_group(xmlNode *element)
{
    if (is(element, "dhcp")) {
        normalise_hosts(element);
        normalise_lease(element);
    } else if (is(element, "vlan")) {
        normalise_vlan(element);
    }
}

static void
denormalise_group(xmlNode *element)
{
    if (is(element, "dhcp"))
        denormalise_lease(element);
    else if (is(element, "vlan"))
        denormalise_vlan(element);
}

static void
denormalise_element(xmlNode *element)
{
    int form = form_of(element);

    if (form < 0)
        return;
    g_autofree char *wanted = g_strdup(ka_attribute(element, forms[form].attribute));
    g_autofree char *now = forms[form].get(element);
    if (!wanted && has(element, "ka-form"))
        drop(element);
    else if (wanted && g_strcmp0(wanted, now) != 0)
        forms[form].set(element, wanted);
}

void
ka_network_normalise(xmlDoc *xml)
{
    xmlNode *root = xmlDocGetRootElement(xml);

    set(root, "connections", NULL);
    normalise_forward(root);
    each(root, normalise_element);
    each(root, normalise_group);
    normalise_addresses(root);
}

void
ka_network_denormalise(xmlDoc *xml)
{
    xmlNode *root = xmlDocGetRootElement(xml);

    denormalise_addresses(root);
    each(root, denormalise_group);
    each(root, denormalise_element);
    denormalise_forward(root);
    each(root, ka_element_drop_own);
    ka_element_drop_own(root);
}
