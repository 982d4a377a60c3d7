/* Addresses of every sort: networks, hardware, sets of CPUs, modes, UUIDs. */
#include "manifest/codec.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libvirt's VIR_DOMAIN_CPUMASK_LEN. */
#define N_CPUS 16384

static gboolean
equal_parsed(const KaCodec *codec, const char *a, const char *b)
{
    g_autofree char *left = ka_codec_parse(codec, a, NULL);
    g_autofree char *right = ka_codec_parse(codec, b, NULL);
    return left && right && strcmp(left, right) == 0;
}

/* --- IP --- */

typedef struct {
    int family;
    guint8 bytes[16];
    char text[INET6_ADDRSTRLEN];
} Address;

static gboolean
address_read(const char *text, Address *ret_address)
{
    ret_address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(ret_address->family, text, ret_address->bytes) == 1 &&
           inet_ntop(ret_address->family, ret_address->bytes, ret_address->text,
                     sizeof ret_address->text) != NULL;
}

static char *
address_parse(const KaCodec *codec, const char *text, GError **error)
{
    Address address;
    return address_read(text, &address) ? g_strdup(address.text)
                                        : ka_codec_refuse(codec, text, NULL, error);
}

static char *
cidr_parse(const KaCodec *codec, const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    Address address;
    if (!parts[0] || !address_read(parts[0], &address))
        return ka_codec_refuse(codec, text, NULL, error);
    guint64 prefix = 0;
    guint64 longest = address.family == AF_INET ? 32 : 128;
    if (!parts[1])
        return ka_codec_refuse(codec, text, "add the prefix, e.g. /24", error);
    if (g_str_equal(parts[1], KA_CIDR_DEFAULT))
        return g_strconcat(address.text, "/" KA_CIDR_DEFAULT, NULL);
    if (!g_ascii_string_to_unsigned(parts[1], 10, 0, longest, &prefix, NULL))
        return ka_codec_refuse(codec, text, "the prefix is a number of bits", error);
    return g_strdup_printf("%s/%" G_GUINT64_FORMAT, address.text, prefix);
}

/* The default prefix is that of an IPv4 address's class, as libvirt's virSocketAddrGetIPPrefix has
 * it. */
static char *
cidr_resolve(const char *cidr)
{
    int first = atoi(cidr);

    if (!g_str_has_suffix(cidr, "/" KA_CIDR_DEFAULT))
        return g_strdup(cidr);
    return g_strdup_printf("%.*s/%d", (int)strcspn(cidr, "/"), cidr,
                           strchr(cidr, ':') ? 64
                           : first < 128     ? 8
                           : first < 192     ? 16
                                             : 24);
}

static gboolean
cidr_equal(const KaCodec *codec, const char *a, const char *b)
{
    g_autofree char *left = cidr_resolve(a);
    g_autofree char *right = cidr_resolve(b);
    return equal_parsed(codec, left, right);
}

static char *
range_parse(const KaCodec *codec, const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "-", 2);
    Address first, last;
    if (!parts[0] || !parts[1] || !address_read(g_strstrip(parts[0]), &first) ||
        !address_read(g_strstrip(parts[1]), &last))
        return ka_codec_refuse(codec, text, NULL, error);
    if (first.family != last.family)
        return ka_codec_refuse(codec, text, "the two are of different families", error);
    gsize size = first.family == AF_INET ? 4 : 16;
    if (memcmp(first.bytes, last.bytes, size) > 0)
        return ka_codec_refuse(codec, text, "the first is above the last", error);
    return g_strdup_printf("%s-%s", first.text, last.text);
}

/* --- hardware --- */

static char *
mac_parse(const KaCodec *codec, const char *text, GError **error)
{
    guint part[6];
    int end = 0;
    int n = sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3],
                   &part[4], &part[5], &end);
    /* sscanf would also take spaces and signs. */
    if (n != 6 || text[end] != '\0' || text[strspn(text, "0123456789abcdefABCDEF:")] != '\0')
        return ka_codec_refuse(codec, text, NULL, error);
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", part[0], part[1], part[2], part[3],
                           part[4], part[5]);
}

static gboolean
mac_is_canonical(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    for (gsize i = 0; i < 17; i++) {
        gboolean fits = i % 3 == 2 ? text[i] == ':'
                                   : g_ascii_isdigit(text[i]) || (text[i] >= 'a' && text[i] <= 'f');
        if (!fits)
            return FALSE;
    }
    return text[17] == '\0';
}

/* "0000:04:00.0", "04:00.0", and libvirt's "0x0000:0x04:0x00.0x0". */
static char *
pci_parse(const KaCodec *codec, const char *text, GError **error)
{
    g_autoptr(GString) plain = g_string_new(text);
    g_string_replace(plain, "0x", "", 0);
    guint domain = 0, bus = 0, slot = 0, function = 0;
    int end = 0;
    gboolean is_read =
        (sscanf(plain->str, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) == 4 &&
         plain->str[end] == '\0') ||
        ((domain = 0, sscanf(plain->str, "%2x:%2x.%1x%n", &bus, &slot, &function, &end)) == 3 &&
         plain->str[end] == '\0');
    gboolean is_plain = plain->str[strspn(plain->str, "0123456789abcdefABCDEF:.")] == '\0';
    if (!is_read || !is_plain || slot > 0x1f || function > 7)
        return ka_codec_refuse(codec, text, NULL, error);
    return g_strdup_printf("0x%04x:0x%02x:0x%02x.0x%x", domain, bus, slot, function);
}

static char *
pci_format(G_GNUC_UNUSED const KaCodec *codec, const char *canonical)
{
    GString *plain = g_string_new(canonical);
    g_string_replace(plain, "0x", "", 0);
    return g_string_free(plain, FALSE);
}

/* --- others --- */

static char *
uuid_parse(const KaCodec *codec, const char *text, GError **error)
{
    char hex[33] = "";
    gsize n = 0;
    for (const char *at = text; *at; at++) {
        if (*at == '-' && (n == 8 || n == 12 || n == 16 || n == 20) && at[-1] != '-')
            continue;
        if (!g_ascii_isxdigit(*at) || n == 32)
            return ka_codec_refuse(codec, text, NULL, error);
        hex[n++] = g_ascii_tolower(*at);
    }
    if (n != 32)
        return ka_codec_refuse(codec, text, NULL, error);
    return g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* One of "3", "0-3", "^2" as a change of the set. */
static gboolean
cpuset_add(guint8 *set, const char *part)
{
    gboolean is_out = part[0] == '^';
    g_auto(GStrv) ends = g_strsplit(part + is_out, "-", 2);
    if (!ends[0] || (is_out && ends[1]))
        return FALSE;
    guint64 first = 0, last = 0;
    if (!g_ascii_string_to_unsigned(ends[0], 10, 0, N_CPUS - 1, &first, NULL))
        return FALSE;
    last = first;
    if (ends[1] && !g_ascii_string_to_unsigned(ends[1], 10, first, N_CPUS - 1, &last, NULL))
        return FALSE;
    memset(set + first, !is_out, last - first + 1);
    return TRUE;
}

static char *
cpuset_print(const guint8 *set)
{
    GString *out = g_string_new(NULL);
    for (gsize first = 0; first < N_CPUS; first++) {
        if (!set[first])
            continue;
        gsize last = first;
        while (last + 1 < N_CPUS && set[last + 1])
            last++;
        g_string_append_printf(out, "%s%zu", out->len > 0 ? "," : "", first);
        if (last > first)
            g_string_append_printf(out, "-%zu", last);
        first = last;
    }
    return g_string_free(out, FALSE);
}

static char *
cpuset_parse(const KaCodec *codec, const char *text, GError **error)
{
    g_autofree guint8 *set = g_malloc0(N_CPUS);
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **part = parts; *part; part++)
        if (!cpuset_add(set, g_strstrip(*part)))
            return ka_codec_refuse(codec, text, NULL, error);
    g_autofree char *canonical = cpuset_print(set);
    return *canonical ? g_steal_pointer(&canonical)
                      : ka_codec_refuse(codec, text, "the set is empty", error);
}

/* A single CPU, the commonest set, is canonical as it stands. */
static gboolean
cpuset_is_canonical(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    gsize length = strlen(text);
    return length >= 1 && length <= 4 && strspn(text, "0123456789") == length &&
           (text[0] != '0' || length == 1);
}

static char *
octal_parse(const KaCodec *codec, const char *text, GError **error)
{
    guint64 mode = 0;
    const char *digits = g_str_has_prefix(text, "0o") ? text + 2 : text;
    if (strlen(digits) < 3 || !g_ascii_string_to_unsigned(digits, 8, 0, 07777, &mode, NULL))
        return ka_codec_refuse(codec, text, NULL, error);
    return g_strdup_printf("%04o", (guint)mode);
}

#define ADDRESS(ident, title, what, prefix, ...)                                                   \
    const KaCodec ident = {.name = title,                                                          \
                           .expected = what,                                                       \
                           .parse = prefix##_parse,                                                \
                           .equal = equal_parsed,                                                  \
                           .json_type = "string",                                                  \
                           __VA_ARGS__}

ADDRESS(ka_address, "address", "an IPv4 or IPv6 address", address, .pattern = "^[0-9a-fA-F.:]+$");
const KaCodec ka_cidr = {.name = "cidr",
                         .expected = "an address with its prefix such as 192.168.50.1/24",
                         .parse = cidr_parse,
                         .equal = cidr_equal,
                         .json_type = "string",
                         .pattern = "^[0-9a-fA-F.:]+/([0-9]{1,3}|" KA_CIDR_DEFAULT ")$"};
ADDRESS(ka_range,
        "range",
        "two addresses such as 192.168.50.100-192.168.50.200",
        range,
        .pattern = "^[0-9a-fA-F.:]+ *- *[0-9a-fA-F.:]+$");
ADDRESS(ka_mac,
        "mac",
        "a MAC address such as 52:54:00:12:34:56",
        mac,
        .is_canonical = mac_is_canonical,
        .pattern = "^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$");
ADDRESS(ka_pci,
        "pci",
        "a PCI address such as 0000:04:00.0",
        pci,
        .format = pci_format,
        .pattern = "^(0x)?[0-9a-fA-F]+:.*\\.(0x)?[0-7]$");
ADDRESS(ka_uuid,
        "uuid",
        "a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        uuid,
        .pattern = "^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$");
ADDRESS(ka_cpuset,
        "cpuset",
        "a set of CPUs such as 0-3,^2,7",
        cpuset,
        .is_canonical = cpuset_is_canonical,
        .pattern = "^[0-9^]");
ADDRESS(ka_octal, "mode", "a file mode such as 0755", octal, .pattern = "^(0o)?[0-7]{3,4}$");
