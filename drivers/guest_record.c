#include "drivers/guest.h"
#include "drivers/record.h"

/* Reads a guest's record, has it changed, and writes it where that says TRUE. project: only of this
 * one; NULL: of any. */
static gboolean
edit(KaHost *host,
     virDomainPtr domain,
     const char *project,
     gboolean (*change)(KaRecord *record, const char *what),
     const char *what,
     GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ka_link(host)->record_lock);
    char uuid[VIR_UUID_STRING_BUFLEN];
    g_autofree char *subject = g_strdup_printf("guest '%s'", virDomainGetName(domain));
    char *text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);

    if (!text)
        return ka_libvirt_code() == VIR_ERR_NO_DOMAIN || ka_libvirt_error(error, "%s", subject);
    g_autoptr(KaDocument) document =
        ka_document_parse(ka_kind_rows(ka_kind_find("guest")), text, error);
    free(text);
    if (!document)
        return FALSE;
    virDomainGetUUIDString(domain, uuid);
    g_autoptr(KaRecord) record = ka_record_read(document, uuid);
    if (!record || (project && !g_str_equal(project, record->project)) || !change(record, what))
        return TRUE;
    guint flags = virDomainIsPersistent(domain) ? VIR_DOMAIN_AFFECT_CONFIG : VIR_DOMAIN_AFFECT_LIVE;
    g_autofree char *element = ka_record_format(record);
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, element, KA_RECORD_PREFIX,
                                KA_RECORD_NAMESPACE, flags) == 0 ||
           ka_libvirt_error(error, "%s", subject);
}

static gboolean
drop_owned(KaRecord *record, const char *path)
{
    return g_hash_table_remove(record->owned, path);
}

gboolean
ka_guest_started(KaHost *host, virDomainPtr domain, GError **error)
{
    return edit(host, domain, NULL, drop_owned, KA_GUEST_UNSTARTED, error);
}

static gboolean
drop_volume(KaRecord *record, const char *volume)
{
    guint at = 0;

    if (!g_ptr_array_find_with_equal_func(record->volumes, volume, g_str_equal, &at))
        return FALSE;
    g_ptr_array_remove_index(record->volumes, at);
    return TRUE;
}

static GPtrArray *
claims_on(KaLink *link, const char *volume)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    GPtrArray *claims = g_hash_table_lookup(link->volume_claims, volume);

    return claims ? g_ptr_array_ref(claims) : NULL;
}

gboolean
ka_guests_disclaim(KaHost *host, const char *project, const char *volume, GError **error)
{
    g_autoptr(GPtrArray) guests = claims_on(ka_link(host), volume);

    for (guint i = 0; guests && i < guests->len; i++) {
        const char *name = g_ptr_array_index(guests, i);
        g_autoptr(virDomain) domain = virDomainLookupByName(ka_link(host)->conn, name);
        if (domain ? !edit(host, domain, project, drop_volume, volume, error)
                   : ka_libvirt_code() != VIR_ERR_NO_DOMAIN &&
                         !ka_libvirt_error(error, "guest '%s'", name))
            return FALSE;
    }
    return TRUE;
}
