#include "drivers/element.h"
#include "drivers/guest.h"
#include "manifest/seed.h"

#define ENTRIES "sysinfo[@type='fwcfg']/entry"

/* Declared as a volume; an export says so of what can't be said as a file of the host's. */
static gboolean
is_meant(const KaGuestForm *form, const char *name, const KaVolume *volume)
{
    if (ka_guest_form_is_export(form)) {
        g_autofree char *guest = ka_seed_guest(volume->name);
        return guest != NULL;
    }
    const KaNode *entry = ka_node_get(ka_node_get(form->want, "fw-cfg"), name);
    return ka_node_text(entry, "volume") != NULL;
}

void
ka_guest_files_normalise(xmlNode *root, const KaGuestForm *form)
{
    g_autoptr(GPtrArray) entries = ka_place_select(root, ENTRIES);

    for (guint i = 0; i < entries->len; i++) {
        xmlNode *entry = g_ptr_array_index(entries, i);
        const char *path = ka_attribute(entry, "file"), *name = ka_attribute(entry, "name");
        g_autoptr(KaVolume) volume = path ? ka_link_volume_at(form->host, path) : NULL;
        if (!name || !volume || !is_meant(form, name, volume))
            continue;
        g_autofree char *address = g_strdup_printf("%s/%s", volume->pool, volume->name);
        ka_attribute_set(entry, "ka-volume", address);
        ka_attribute_set(entry, "file", NULL);
    }
}

static gboolean
denormalise_entry(xmlNode *entry, const KaGuestForm *form, GError **error)
{
    const char *address = ka_attribute(entry, "ka-volume");

    if (!address)
        return TRUE;
    g_auto(GStrv) parts = g_strsplit(address, "/", 2);
    g_autoptr(KaVolume) volume = parts[1] ? ka_link_volume(form->host, parts[0], parts[1]) : NULL;
    if (!volume && !form->placeholders) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "fw-cfg.%s: volume '%s' doesn't exist on this host",
                    ka_attribute(entry, "name"), address);
        return FALSE;
    }
    ka_attribute_set(entry, "file", volume ? volume->path : "/nonexistent/volume");
    ka_attribute_set(entry, "ka-volume", NULL);
    return TRUE;
}

gboolean
ka_guest_files_denormalise(xmlNode *root, const KaGuestForm *form, GError **error)
{
    g_autoptr(GPtrArray) entries = ka_place_select(root, ENTRIES);

    for (guint i = 0; i < entries->len; i++)
        if (!denormalise_entry(g_ptr_array_index(entries, i), form, error))
            return FALSE;
    return TRUE;
}
