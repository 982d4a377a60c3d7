#include "manifest/mac.h"

char *
ka_guest_mac(const char *project, const char *guest, const char *nic)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *name = g_strdup_printf("%s/%s/%s", project, guest, nic);
    guint8 hash[32];
    gsize length = sizeof hash;

    g_checksum_update(checksum, (const guchar *)name, -1);
    g_checksum_get_digest(checksum, hash, &length);
    return g_strdup_printf("52:%02x:%02x:%02x:%02x:%02x", hash[0], hash[1], hash[2], hash[3],
                           hash[4]);
}
