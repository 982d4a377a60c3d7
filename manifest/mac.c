#include "manifest/mac.h"

char *
ka_guest_mac(const char *project, const char *guest, const char *nic)
{
    static const char digits[] = "0123456789abcdef";
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    const char *const parts[] = {project, "/", guest, "/", nic};
    guint8 hash[32];
    gsize length = sizeof hash;

    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        g_checksum_update(checksum, (const guchar *)parts[i], -1);
    g_checksum_get_digest(checksum, hash, &length);
    char *mac = g_strdup("52:00:00:00:00:00");
    for (gsize i = 0; i < 5; i++) {
        mac[3 * i + 3] = digits[hash[i] >> 4];
        mac[3 * i + 4] = digits[hash[i] & 15];
    }
    return mac;
}
