#include "manifest/mac.h"
#include "manifest/manifest.h"
#include <gio/gio.h>
#include <string.h>

/* Places beginning with ka- are of the normal form, see drivers/network_form.c: an address holds
 * its prefix in @ka-cidr; <ip> is the IPv4 address that has DHCP, else the first, <ka-ip6> that of
 * IPv6, <ka-ip> each of the others. */

KA_ENUM(network_state, "active", "inactive");
KA_ENUM(forward_mode,
        "none",
        "nat",
        "route",
        "open",
        "bridge",
        "private",
        "vepa",
        "passthrough",
        "hostdev");
KA_ENUM(forward_driver, "vfio", "kvm");
KA_ENUM(mac_table_manager, "kernel", "libvirt");
KA_ENUM(virtualport_type, "openvswitch", "802.1Qbg", "802.1Qbh", "midonet");
KA_ENUM(vlan_native_mode, "untagged", "tagged");
KA_NUMBER(vlan_id, 0, 4095);
KA_NUMBER(mtu_size, 68, 65535);
KA_NUMBER(uint8, 0, 255);
KA_NUMBER(uint24, 0, 16777215);
KA_NUMBER(uint16, 0, 65535);

static const KaCodec port_range = {.name = "port-range",
                                   .expected = "two ports such as 1024-65535",
                                   .json_type = "string",
                                   .pattern = "^[0-9]{1,5}-[0-9]{1,5}$"};
static const KaCodec duid = {.name = "duid",
                             .expected = "a DUID such as 0:3:0:1:0:16:3e:11:22:33",
                             .json_type = "string",
                             .pattern = "^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2})+$"};
static const KaCodec srv_name = {.name = "srv-name",
                                 .expected = "SERVICE/PROTOCOL/TARGET such as ldap/tcp/dc1.example",
                                 .json_type = "string",
                                 .pattern = "^[^/\"'<>&]+/(tcp|udp)(/[^/\"'<>&]+)?$"};

#define ROW(KEY, CODEC, AT, WAY, DOC)                                                              \
    {                                                                                              \
        .key = KEY, .codec = &CODEC, .at = AT, .way = WAY, .doc = DOC                              \
    }

#define DHCP_ROWS(KEY, MAIN, EXAMPLE)                                                              \
    {.key = KEY,                                                                                   \
     .codec = &ka_map,                                                                             \
     .at = MAIN "/dhcp",                                                                           \
     .brief = "range",                                                                             \
     .way = KA_LIVE,                                                                               \
     .doc = "addresses handed out on the network; a bare range stands for it"},                    \
        ROW(KEY ".range", ka_list, NULL, KA_LIVE, "ranges for anybody, such as " EXAMPLE),         \
        ROW(KEY ".range[]", ka_range, MAIN "/dhcp/range/@ka-range", KA_LIVE, "first-last"),        \
        ROW(KEY ".lease", ka_seconds, MAIN "/dhcp/@ka-lease", KA_LIVE,                             \
            "lease time of the ranges, such as 12h; 0s: for ever; default: dnsmasq's 1h"),         \
        ROW(KEY ".hosts", ka_map, NULL, KA_LIVE, "fixed addresses by host name"),                  \
        {.key = KEY ".hosts.*",                                                                    \
         .codec = &ka_map,                                                                         \
         .at = MAIN "/dhcp/host",                                                                  \
         .id = "@ka-name",                                                                         \
         .brief = "ip",                                                                            \
         .way = KA_LIVE,                                                                           \
         .doc = "one host: its address, or a map"},                                                \
        ROW(KEY ".hosts.*.ip", ka_address, "@ip", KA_LIVE, "its address; required"),               \
        ROW(KEY ".hosts.*.lease", ka_seconds, "lease/@ka-seconds", KA_LIVE,                        \
            "its lease time, such as 12h; 0s: for ever; default: dnsmasq's 1h")

#define VLAN_ROWS(PREFIX, WAY)                                                                     \
    {.key = PREFIX "vlan",                                                                         \
     .codec = &ka_map,                                                                             \
     .at = "vlan",                                                                                 \
     .brief = "tags",                                                                              \
     .way = WAY,                                                                                   \
     .doc = "VLAN of the guests' ports (Open vSwitch, hostdev); a bare tag stands for it"},        \
        ROW(PREFIX "vlan.tags", ka_list, NULL, WAY, "tags; several want trunk"),                   \
        ROW(PREFIX "vlan.tags[]", vlan_id, "vlan/tag/@id", WAY, "a tag, 0 to 4095"),               \
        ROW(PREFIX "vlan.trunk", ka_yes_no, "vlan/@trunk", WAY, "a trunk; default: with several"), \
        ROW(PREFIX "vlan.native", vlan_id, "vlan/@ka-native", WAY, "the trunk's native tag"),      \
        ROW(PREFIX "vlan.native-mode", vlan_native_mode, "vlan/@ka-native-mode", WAY,              \
            "how frames of the native tag leave: untagged or tagged; default: untagged")

#define VIRTUALPORT_ROWS(PREFIX, WAY)                                                              \
    {.key = PREFIX "virtualport",                                                                  \
     .codec = &ka_map,                                                                             \
     .at = "virtualport",                                                                          \
     .brief = "type",                                                                              \
     .way = WAY,                                                                                   \
     .doc = "how ports are made known to a switch; a bare type stands for it"},                    \
        ROW(PREFIX "virtualport.type", virtualport_type, "virtualport/@type", WAY,                 \
            "openvswitch, 802.1Qbg, 802.1Qbh or midonet"),                                         \
        ROW(PREFIX "virtualport.profileid", ka_line, "virtualport/parameters/@profileid", WAY,     \
            "port profile (openvswitch, 802.1Qbh)"),                                               \
        ROW(PREFIX "virtualport.interfaceid", ka_uuid, "virtualport/parameters/@interfaceid", WAY, \
            "UUID of the port (openvswitch, midonet)"),                                            \
        ROW(PREFIX "virtualport.managerid", uint8, "virtualport/parameters/@managerid", WAY,       \
            "VSI manager, 0 to 255 (802.1Qbg)"),                                                   \
        ROW(PREFIX "virtualport.typeid", uint24, "virtualport/parameters/@typeid", WAY,            \
            "VSI type, 0 to 16777215 (802.1Qbg)"),                                                 \
        ROW(PREFIX "virtualport.typeidversion", uint8, "virtualport/parameters/@typeidversion",    \
            WAY, "VSI type's version, 0 to 255 (802.1Qbg)"),                                       \
        ROW(PREFIX "virtualport.instanceid", ka_uuid, "virtualport/parameters/@instanceid", WAY,   \
            "VSI instance (802.1Qbg)")

#define RATE_ROWS(KEY, PLACE, WAY, DOC)                                                            \
    ROW(KEY, ka_map, PLACE, WAY, DOC),                                                             \
        ROW(KEY ".average", ka_kib, PLACE "/@average", WAY, "a second, such as 10MiB"),            \
        ROW(KEY ".peak", ka_kib, PLACE "/@peak", WAY, "at most a second, such as 20MiB"),          \
        ROW(KEY ".burst", ka_kib, PLACE "/@burst", WAY, "in one go at peak speed, such as 5MiB"),  \
        ROW(KEY ".floor", ka_kib, PLACE "/@floor", WAY, "a second that is assured to it")

#define BANDWIDTH_ROWS(PREFIX, WAY)                                                                \
    ROW(PREFIX "bandwidth", ka_map, "bandwidth", WAY, "limits of traffic, in bytes a second"),     \
        RATE_ROWS(PREFIX "bandwidth.inbound", "bandwidth/inbound", WAY,                            \
                  "from the guests' point of view: what comes in"),                                \
        RATE_ROWS(PREFIX "bandwidth.outbound", "bandwidth/outbound", WAY, "what goes out")

#define MAIN4 "ip"
#define MAIN6 "ka-ip6"

/* clang-format off: one row, one line where it fits */
static const KaField fields[] = {
    ROW("host",
        ka_host_name,
        NULL,
        KA_NONE,
        "the host it is on; default: every host where a guest of the manifest names it"),
    KA_ALLOW_ROWS,
    ROW("protect",
        ka_yes_no,
        "@ka-protect",
        KA_LIVE,
        "never removed or replaced, whatever is allowed; default: false"),
    {.key = "state",
       .codec = &network_state,
       .at = "@ka-state",
       .fresh = "active",
       .way = KA_LIVE,
       .doc = "active or inactive; default: active, also where somebody stopped it"},
    {.key = "autostart",
       .codec = &ka_yes_no,
       .at = "@ka-autostart",
       .fresh = "yes",
       .way = KA_LIVE,
       .doc = "started with the host; default: true"},
    ROW("uuid", ka_uuid, "uuid", KA_ONCE, "fixed UUID; default: libvirt makes one"),
    {.key = "forward",
       .codec = &ka_map,
       .brief = "mode",
       .way = KA_RESTART,
       .doc = "how guests reach the outside; a bare mode stands for it"                                                                    },
    {.key = "forward.mode",
       .codec = &forward_mode,
       .at = "forward/@mode",
       .fresh = "none",
       .way = KA_RESTART,
       .doc =
         "none (isolated), nat, route or open (libvirt's own bridge), bridge (a bridge of the "
         "host, or macvtap with device), private, vepa, passthrough (macvtap), hostdev (SR-IOV); "
         "default: none, nat where forward says anything else"},
    ROW("forward.device",
        ka_list,
        NULL,
        KA_LIVE,
        "host device or devices to go out by; macvtap and hostdev take a free one for each guest"),
    ROW("forward.device[]", ka_word, "forward/interface/@dev", KA_LIVE, "a device such as eth0"),
    ROW("forward.pf",
        ka_word,
        "forward/pf/@dev",
        KA_RESTART,
        "SR-IOV device whose virtual functions are taken (hostdev, passthrough)"),
    ROW("forward.pci", ka_list, NULL, KA_RESTART, "PCI addresses to take one of (hostdev)"),
    ROW("forward.pci[]",
        ka_pci,
        "forward/address[@type='pci']/@ka-pci",
        KA_RESTART,
        "a PCI address such as 0000:04:00.1"),
    ROW("forward.managed",
        ka_yes_no,
        "forward/@managed",
        KA_RESTART,
        "detach hostdevs from the host's driver by itself; default: false"),
    ROW("forward.driver",
        forward_driver,
        "forward/driver/@name",
        KA_RESTART,
        "driver of hostdevs: vfio or kvm; default: vfio"),
    ROW("forward.nat", ka_map, "forward/nat", KA_RESTART, "how addresses are translated"),
    ROW("forward.nat.address",
        ka_range,
        "forward/nat/address/@ka-range",
        KA_RESTART,
        "addresses to appear as, such as 203.0.113.4-203.0.113.7; default: the host's"),
    ROW("forward.nat.ports",
        port_range,
        "forward/nat/port/@ka-range",
        KA_RESTART,
        "ports to appear as; default: 1024-65535"),
    ROW("forward.nat.ipv6",
        ka_yes_no,
        "forward/nat/@ipv6",
        KA_RESTART,
        "translate IPv6 too; default: false"),
    {.key = "bridge",
       .codec = &ka_map,
       .brief = "name",
       .way = KA_RESTART,
       .doc = "the bridge behind the network; a bare name stands for it"                                                                   },
    ROW("bridge.name",
        ka_word,
        "bridge/@name",
        KA_RESTART,
        "its device; with forward bridge one that the host has; default: a free virbrN"),
    ROW("bridge.stp", ka_on_off, "bridge/@stp", KA_RESTART, "spanning tree; default: true"),
    ROW("bridge.delay", ka_seconds, "bridge/@delay", KA_RESTART, "forward delay; default: 0s"),
    ROW("bridge.zone", ka_word, "bridge/@zone", KA_RESTART, "firewalld zone; default: libvirt"),
    ROW("bridge.mac-table-manager",
        mac_table_manager,
        "bridge/@macTableManager",
        KA_RESTART,
        "who fills the bridge's MAC table: kernel or libvirt (no flooding); default: kernel"),
    ROW("mac", ka_mac, "mac/@address", KA_RESTART, "the bridge's MAC; default: libvirt makes one"),
    ROW("mtu", mtu_size, "mtu/@size", KA_RESTART, "of the bridge and the taps; default: 1500"),
    {.key = "domain",
       .codec = &ka_map,
       .at = "domain",
       .brief = "name",
       .way = KA_RESTART,
       .doc = "DNS domain of the network; a bare name stands for it"},
    ROW("domain.name", ka_line, "domain/@name", KA_RESTART, "the domain; default: none"),
    ROW("domain.local-only",
        ka_yes_no,
        "domain/@localOnly",
        KA_RESTART,
        "never ask the host's resolver for names of it; default: false"),
    ROW("address",
        ka_cidr,
        MAIN4 "/@ka-cidr",
        KA_RESTART,
        "the host's IPv4 address on it and the network's prefix, such as 192.168.50.1/24"),
    ROW("local-ptr",
        ka_yes_no,
        MAIN4 "/@localPtr",
        KA_RESTART,
        "never ask the host's resolver for names of its IPv4 addresses; default: false"),
    ROW("tftp", ka_path, MAIN4 "/tftp/@root", KA_RESTART, "folder served by TFTP; default: none"),
    DHCP_ROWS("dhcp", MAIN4, "192.168.50.100-192.168.50.200"),
    ROW("dhcp.hosts.*.mac",
        ka_mac,
        "@mac",
        KA_LIVE,
        "its MAC; default: of the guest of that name, where one NIC of it is on the network"),
    ROW("dhcp.hosts.*.id", duid, "@id", KA_LIVE, "its client id; default: any"),
    {.key = "dhcp.bootp",
       .codec = &ka_map,
       .at = MAIN4 "/dhcp/bootp",
       .brief = "file",
       .way = KA_RESTART,
       .doc = "what guests boot from the network; a bare file stands for it"},
    ROW("dhcp.bootp.file", ka_line, MAIN4 "/dhcp/bootp/@file", KA_RESTART, "boot file"),
    ROW("dhcp.bootp.server",
        ka_line,
        MAIN4 "/dhcp/bootp/@server",
        KA_RESTART,
        "who serves it; default: the host"),
    ROW("address6",
        ka_cidr,
        MAIN6 "/@ka-cidr",
        KA_RESTART,
        "the host's IPv6 address on it and the network's prefix, such as fd00:50::1/64"),
    ROW("local-ptr6",
        ka_yes_no,
        MAIN6 "/@localPtr",
        KA_RESTART,
        "never ask the host's resolver for names of its IPv6 addresses; default: false"),
    DHCP_ROWS("dhcp6", MAIN6, "fd00:50::100-fd00:50::1ff"),
    ROW("dhcp6.hosts.*.id", duid, "@id", KA_LIVE, "its DUID; default: any host that says its name"),
    ROW("addresses",
        ka_map,
        NULL,
        KA_RESTART,
        "further addresses of the host on it; address and address6 stand before them, unless they "
        "are named among them"),
    {.key = "addresses.*",
       .codec = &ka_map,
       .at = "ka-ip",
       .id = "@ka-cidr",
       .way = KA_RESTART,
       .name = &ka_cidr,
       .doc = "an address with its prefix: {}, or a map"},
    ROW("addresses.*.local-ptr",
        ka_yes_no,
        "@localPtr",
        KA_RESTART,
        "never ask the host's resolver for names of its addresses; default: false"),
    ROW("ipv6",
        ka_yes_no,
        "@ipv6",
        KA_RESTART,
        "IPv6 between guests also where the network has no IPv6 address; default: false"),
    ROW("dns", ka_map, "dns", KA_RESTART, "what the network's DNS server does"),
    ROW("dns.enable", ka_yes_no, "dns/@enable", KA_RESTART, "one runs; default: true"),
    ROW("dns.forward-plain-names",
        ka_yes_no,
        "dns/@forwardPlainNames",
        KA_RESTART,
        "pass names without a domain on; default: true"),
    ROW("dns.forwarders", ka_list, NULL, KA_RESTART, "servers to ask; default: those of the host"),
    ROW("dns.forwarders[]",
        ka_address,
        "dns/forwarder[@ka-all='yes']/@addr",
        KA_RESTART,
        "a server's address"),
    ROW("dns.domain-forwarders", ka_map, NULL, KA_RESTART, "servers to ask for one domain's names"),
    {.key = "dns.domain-forwarders.*",
       .codec = &ka_map,
       .at = "dns/forwarder[@ka-all='no']",
       .id = "@domain",
       .brief = "address",
       .way = KA_RESTART,
       .doc = "a domain: its server, or {} for the host's"},
    ROW("dns.domain-forwarders.*.address", ka_address, "@addr", KA_RESTART, "the server's address"),
    ROW("dns.hosts", ka_map, NULL, KA_LIVE, "names by address"),
    {.key = "dns.hosts.*",
       .codec = &ka_map,
       .at = "dns/host",
       .id = "@ip",
       .brief = "names",
       .way = KA_LIVE,
       .name = &ka_address,
       .doc = "an address: its name or names"},
    ROW("dns.hosts.*.names", ka_list, NULL, KA_LIVE, "the names; required"),
    ROW("dns.hosts.*.names[]", ka_line, "hostname", KA_LIVE, "a name"),
    ROW("dns.txt", ka_map, NULL, KA_LIVE, "TXT records by name"),
    {.key = "dns.txt.*",
       .codec = &ka_map,
       .at = "dns/txt",
       .id = "@name",
       .brief = "value",
       .way = KA_LIVE,
       .doc = "a record: its text"},
    ROW("dns.txt.*.value", ka_line, "@value", KA_LIVE, "the text"),
    ROW("dns.srv",
        ka_map,
        NULL,
        KA_LIVE,
        "SRV records by SERVICE/PROTOCOL/TARGET; without a target: there is no such service"),
    {.key = "dns.srv.*",
       .codec = &ka_map,
       .at = "dns/srv",
       .id = "@ka-name",
       .brief = "port",
       .way = KA_LIVE,
       .name = &srv_name,
       .doc = "a record: its port, or a map"},
    ROW("dns.srv.*.port", uint16, "@port", KA_LIVE, "port; default: 1"),
    ROW("dns.srv.*.priority", uint16, "@priority", KA_LIVE, "lower is asked first; default: 0"),
    ROW("dns.srv.*.weight", uint16, "@weight", KA_LIVE, "share among equals; default: 0"),
    ROW("dns.srv.*.domain", ka_line, "@domain", KA_LIVE, "domain; default: the network's"),
    ROW("dnsmasq-options",
        ka_list,
        NULL,
        KA_RESTART,
        "lines of dnsmasq's own configuration; at your own risk"),
    ROW("dnsmasq-options[]",
        ka_line,
        "dnsmasq:options/dnsmasq:option/@value",
        KA_RESTART,
        "a line such as dhcp-option=3"),
    ROW("routes", ka_map, NULL, KA_RESTART, "routes of the host by destination"),
    {.key = "routes.*",
       .codec = &ka_map,
       .at = "route",
       .id = "@ka-cidr",
       .brief = "via",
       .way = KA_RESTART,
       .name = &ka_cidr,
       .doc = "a destination: its gateway, or a map"},
    ROW("routes.*.via", ka_address, "@gateway", KA_RESTART, "gateway on the network; required"),
    ROW("routes.*.metric", ka_positive, "@metric", KA_RESTART, "lower is preferred; default: 1"),
    VLAN_ROWS("", KA_RESTART),
    VIRTUALPORT_ROWS("", KA_RESTART),
    ROW("portgroups", ka_map, NULL, KA_LIVE, "classes of connections, which NICs name"),
    {.key = "portgroups.*",
       .codec = &ka_map,
       .at = "portgroup",
       .id = "@name",
       .way = KA_LIVE,
       .doc = "one class; NICs that are plugged in later get what it says"},
    ROW("portgroups.*.default",
        ka_yes_no,
        "@default",
        KA_LIVE,
        "of NICs that name none; default: false"),
    ROW("portgroups.*.trust-guest-rx-filters",
        ka_yes_no,
        "@trustGuestRxFilters",
        KA_LIVE,
        "follow the MACs and VLANs that a guest sets; default: false"),
    VLAN_ROWS("portgroups.*.", KA_LIVE),
    VIRTUALPORT_ROWS("portgroups.*.", KA_LIVE),
    BANDWIDTH_ROWS("portgroups.*.", KA_LIVE),
    BANDWIDTH_ROWS("", KA_RESTART),
    {.key = "port",
       .codec = &ka_map,
       .at = "port",
       .way = KA_RESTART,
       .doc = "what holds for every guest's port"                                            },
    ROW("port.isolated",
        ka_yes_no,
        "port/@isolated",
        KA_RESTART,
        "guests can't reach each other; default: false"),
    ROW("trust-guest-rx-filters",
        ka_yes_no,
        "@trustGuestRxFilters",
        KA_RESTART,
        "follow the MACs and VLANs that a guest sets; default: false"),
    ROW("xml", ka_map, NULL, KA_RESTART, "what has no key here: place → fragment of libvirt XML"),
    ROW("xml.*", ka_fragment, NULL, KA_RESTART, "a fragment of libvirt XML"),
};
/* clang-format on */

/* --- what no row can see alone --- */

typedef struct {
    KaManifest *manifest;
    KaObject *object;
    KaDiagnostics *diagnostics;
} Completion;

static void G_GNUC_PRINTF(4, 5) report(
    const Completion *completion, KaSeverity severity, const KaNode *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    ka_diagnostics_add(completion->diagnostics, severity, ka_node_mark(node), "network '%s': %s",
                       completion->object->name, text);
}

/* The MAC of the guest's only NIC on the network; NULL: there isn't one. */
static char *
guest_mac(const Completion *completion, const char *name)
{
    const KaObject *guest = ka_manifest_find(completion->manifest, &ka_kind_guest, name);
    const KaNode *nics = guest && !guest->broken ? ka_node_get(guest->node, "nics") : NULL;
    const KaNode *found = NULL;

    for (const KaNode *nic = nics ? nics->first : NULL; nic; nic = nic->next) {
        if (g_strcmp0(ka_node_text(nic, "network"), completion->object->name) != 0)
            continue;
        if (found)
            return NULL;
        found = nic;
    }
    if (!found)
        return NULL;
    const char *mac = ka_node_text(found, "mac");
    return mac ? g_strdup(mac) : ka_guest_mac(completion->manifest->project, name, found->key);
}

static gboolean
is_mac(const char *text)
{
    return ka_codec_canonical(&ka_mac, text) != NULL;
}

static void
complete_host(const Completion *completion, KaNode *host)
{
    if (ka_node_get(host, "mac") || ka_node_get(host, "id"))
        return;
    g_autofree char *mac =
        is_mac(host->key) ? g_strdup(host->key) : guest_mac(completion, host->key);
    if (!mac)
        return;
    KaNode *node = ka_node_put(completion->manifest->tree, host, "mac", mac);
    node->row = ka_rows_find(ka_kind_rows(completion->object->kind), "dhcp.hosts.*.mac")->row;
    node->fresh = TRUE;
}

/* Within the network of own/prefix; also where either is no address. */
static gboolean
is_in(const char *cidr, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(cidr, "/", 2);
    g_autoptr(GInetAddress) own = g_inet_address_new_from_string(parts[0]);
    g_autoptr(GInetAddress) other = g_inet_address_new_from_string(text);

    if (!own || !other || !parts[1])
        return TRUE;
    gsize length = g_inet_address_get_native_size(own);
    guint prefix = MIN((guint)g_ascii_strtoull(parts[1], NULL, 10), (guint)length * 8);
    if (g_inet_address_get_native_size(other) != length)
        return FALSE;
    const guint8 *a = g_inet_address_to_bytes(own), *b = g_inet_address_to_bytes(other);
    guint rest = prefix % 8;
    return memcmp(a, b, prefix / 8) == 0 &&
           (rest == 0 || (a[prefix / 8] ^ b[prefix / 8]) >> (8 - rest) == 0);
}

/* Every address of a dhcp block stands in its network, and none twice. */
static void
check_hosts(const Completion *completion, const KaNode *hosts, const char *cidr)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    static const char *const unique[] = {"ip", "mac"};

    for (const KaNode *host = hosts ? hosts->first : NULL; host; host = host->next) {
        const char *ip = ka_node_text(host, "ip");
        if (host->type != KA_NODE_MAP)
            continue;
        if (!ip)
            report(completion, KA_ERROR, host, "host '%s' has no ip", host->key);
        else if (cidr && !is_in(cidr, ip))
            report(completion, KA_WARNING, ka_node_get(host, "ip"),
                   "%s of host '%s' is not in the network", ip, host->key);
        for (gsize i = 0; i < G_N_ELEMENTS(unique); i++) {
            const KaNode *node = ka_node_get(host, unique[i]);
            if (!node || !node->text)
                continue;
            const KaNode *other = g_hash_table_lookup(seen, node->text);
            if (other)
                report(completion, KA_WARNING, node, "hosts '%s' and '%s' have the same %s %s",
                       other->key, host->key, unique[i], node->text);
            g_hash_table_insert(seen, ka_borrow(node->text), ka_borrow(host));
        }
    }
}

static void
check_ranges(const Completion *completion, const KaNode *ranges, const char *cidr)
{
    for (const KaNode *range = ranges ? ranges->first : NULL; range; range = range->next) {
        g_auto(GStrv) ends = g_strsplit(range->text ? range->text : "", "-", 2);
        for (char **end = ends; cidr && *end; end++) {
            if (is_in(cidr, g_strstrip(*end)))
                continue;
            report(completion, KA_ERROR, range, "DHCP range %s is not in the network", range->text);
            break;
        }
    }
}

/* One family: its address and its dhcp block. */
static void
complete_family(const Completion *completion,
                const char *address_key,
                const char *dhcp_key,
                gboolean is_ipv6)
{
    KaNode *address = ka_node_get(completion->object->node, address_key);
    const KaNode *dhcp = ka_node_get(completion->object->node, dhcp_key);
    const KaNode *hosts = ka_node_get(dhcp, "hosts");
    const char *cidr = address && address->type == KA_NODE_SCALAR ? address->text : NULL;

    if (cidr && is_ipv6 != (strchr(cidr, ':') != NULL)) {
        report(completion, KA_ERROR, address, "%s: expected an %s address, got '%s'", address_key,
               is_ipv6 ? "IPv6" : "IPv4", cidr);
        return;
    }
    for (KaNode *host = hosts && !is_ipv6 ? hosts->first : NULL; host; host = host->next) {
        if (host->type == KA_NODE_MAP)
            complete_host(completion, host);
    }
    const KaNode *lease = ka_node_get(dhcp, "lease");
    if (lease && lease->text && !ka_node_get(dhcp, "range"))
        report(completion, KA_ERROR, lease, "%s.lease is that of its ranges: declare them, too",
               dhcp_key);
    check_hosts(completion, hosts, cidr);
    check_ranges(completion, ka_node_get(dhcp, "range"), cidr);
}

static gboolean
is_same(const KaNode *address, const char *cidr)
{
    return address && address->text && ka_codec_equal(&ka_cidr, address->text, cidr);
}

/* address and address6 stand before the further addresses: to name them there again, first, says
 * nothing. */
static void
complete_addresses(const Completion *completion)
{
    KaNode *node = completion->object->node;
    KaNode *addresses = ka_node_get(node, "addresses");
    const KaNode *main[] = {ka_node_get(node, "address"), ka_node_get(node, "address6")};
    gboolean is_map = addresses && addresses->type == KA_NODE_MAP;
    KaNode *next = is_map ? addresses->first : NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(main) && next; i++)
        if (is_same(main[i], next->key))
            next = next->next;
    for (const KaNode *other = next; other; other = other->next)
        for (gsize i = 0; i < G_N_ELEMENTS(main); i++)
            if (is_same(main[i], other->key))
                return;
    while (is_map && addresses->first != next)
        ka_node_remove(addresses, addresses->first);
}

/* `forward: {device: eth0}` says that something is forwarded: NAT, as libvirt takes it. */
static void
complete_forward(const Completion *completion)
{
    KaNode *forward = ka_node_get(completion->object->node, "forward");

    if (!forward || forward->type != KA_NODE_MAP || ka_node_get(forward, "mode"))
        return;
    KaNode *mode = ka_node_put(completion->manifest->tree, forward, "mode", "nat");
    mode->row = ka_rows_find(ka_kind_rows(completion->object->kind), "forward.mode")->row;
    mode->fresh = TRUE;
}

/* What libvirt gives only to a bridge of its own. */
static void
check_mode(const Completion *completion)
{
    static const char *const own[] = {"none", "nat", "route", "open", NULL};
    static const char *const wanting[] = {"address", "address6", "addresses", "dhcp",
                                          "dhcp6",   "dns",      "domain",    "tftp"};
    static const char *const forwarding[] = {"device", "nat", "pf", "pci"};
    const KaNode *node = completion->object->node;
    const char *mode = ka_node_text(node, "forward.mode");

    for (gsize i = 0; mode && !g_strv_contains(own, mode) && i < G_N_ELEMENTS(wanting); i++) {
        const KaNode *field = ka_node_get(node, wanting[i]);
        if (field && field->type != KA_NODE_NULL)
            report(completion, KA_ERROR, field,
                   "'%s' wants forward none, nat, route or open, where libvirt makes the bridge; "
                   "found '%s'",
                   wanting[i], mode);
    }
    for (gsize i = 0; g_strcmp0(mode, "none") == 0 && i < G_N_ELEMENTS(forwarding); i++) {
        const KaNode *field = ka_node_get(ka_node_get(node, "forward"), forwarding[i]);
        if (field && field->type != KA_NODE_NULL)
            report(completion, KA_ERROR, field, "forward.%s wants a mode that forwards",
                   forwarding[i]);
    }
}

static void
check_vlan(const Completion *completion, const KaNode *holder)
{
    const KaNode *native = ka_node_find(holder, "vlan.native");
    const KaNode *tags = ka_node_find(holder, "vlan.tags");
    gboolean found = !native || !native->text || !tags;

    for (const KaNode *tag = tags ? tags->first : NULL; !found && tag; tag = tag->next)
        found = g_strcmp0(tag->text, native->text) == 0;
    if (!found)
        report(completion, KA_ERROR, native, "vlan.native %s is not among its tags", native->text);
}

static void
complete(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    Completion completion = {manifest, object, diagnostics};

    ka_object_keep_active(manifest, object);
    complete_forward(&completion);
    check_mode(&completion);
    check_vlan(&completion, object->node);
    const KaNode *groups = ka_node_get(object->node, "portgroups");
    for (const KaNode *group = groups ? groups->first : NULL; group; group = group->next)
        check_vlan(&completion, group);
    complete_addresses(&completion);
    complete_family(&completion, "address", "dhcp", FALSE);
    complete_family(&completion, "address6", "dhcp6", TRUE);
}

static const KaTable table = {
    .kind = "network",
    .plural = "networks",
    .root = "network",
    .doc = "virtual networks; without host: on every host where a guest needs them",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

const KaKind ka_kind_network = {.table = &table, .complete = complete};
