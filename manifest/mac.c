#include "manifest/mac.h"

/* FNV-1a */
static guint64
hash_more(guint64 hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (guchar)*text) * G_GUINT64_CONSTANT(0x100000001b3);
    return hash;
}

/* MurmurHash3's last step: names that differ in a digit or two leave too little of it in FNV's
 * upper bits. */
static guint64
hash_finish(guint64 hash)
{
    hash = (hash ^ (hash >> 33)) * G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * G_GUINT64_CONSTANT(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

char *
ka_guest_mac(const char *project, const char *guest, const char *nic)
{
    static const char digits[] = "0123456789abcdef";
    const char *const parts[] = {project, "/", guest, "/", nic};
    guint64 hash = G_GUINT64_CONSTANT(0xcbf29ce484222325);

    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        hash = hash_more(hash, parts[i]);
    hash = hash_finish(hash);
    char *mac = g_strdup("52:00:00:00:00:00");
    for (gsize i = 0; i < 10; i++, hash >>= 4)
        mac[16 - i - i / 2] = digits[hash & 15];
    return mac;
}
