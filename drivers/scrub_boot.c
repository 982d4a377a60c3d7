#include "drivers/scrub_part.h"

#include <string.h>

#define GRUBENV_BYTES 1024

/* Boot Loader Specification and kernel-install(8): names of entries begin with the machine's id, or
 * with the token of /etc/kernel/entry-token. */
typedef struct {
    KaScrub *scrub;
    GHashTable *ids; /* owned; set of ids found in names */
    char *token;     /* owned */
} Boot;

static const char *const bases[] = {"/boot", "/boot/efi", "/efi"};

/* The first 32 hexadecimal digits of a name that stand alone. NULL: none. */
static char *
find_id(const char *name)
{
    for (const char *at = name; *at; at++) {
        gsize length = strspn(at, "0123456789abcdef");
        if (length == 32)
            return g_strndup(at, 32);
        at += length ? length - 1 : 0;
    }
    return NULL;
}

static char *
replace(const char *text, const char *from, const char *to)
{
    g_auto(GStrv) parts = g_strsplit(text, from, -1);
    return g_strjoinv(to, parts);
}

/* All ids of names and texts become the token. */
static char *
neutral(const Boot *boot, const char *text)
{
    char *out = g_strdup(text);
    GHashTableIter iter;
    gpointer id = NULL;
    g_hash_table_iter_init(&iter, boot->ids);
    while (g_hash_table_iter_next(&iter, &id, NULL)) {
        g_autofree char *before = out;
        g_autofree char *option = g_strconcat(" systemd.machine_id=", id, NULL);
        g_autofree char *line = g_strconcat("machine-id ", id, "\n", NULL);
        g_autofree char *without = replace(before, option, "");
        g_autofree char *less = replace(without, line, "");
        out = replace(less, id, boot->token);
    }
    return out;
}

static gboolean
collect(Boot *boot, const char *glob, const char *part, GError **error)
{
    g_autoptr(GPtrArray) entries = ka_inside_glob(boot->scrub->inside, glob, error);
    for (guint i = 0; entries && i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        g_autofree char *name = g_path_get_basename(entry->path);
        char *id = find_id(name);
        if (id && (!part || strstr(name, part) || strlen(name) == 32))
            g_hash_table_add(boot->ids, id);
        else
            g_free(id);
    }
    return entries != NULL;
}

static gboolean
collect_all(Boot *boot, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bases); i++) {
        g_autofree char *entries = g_strconcat(bases[i], "/loader/entries/*.conf", NULL);
        g_autofree char *kernels = g_strconcat(bases[i], "/EFI/Linux/*.efi", NULL);
        g_autofree char *others = g_strconcat(bases[i], "/*", NULL);
        if (!collect(boot, entries, NULL, error) || !collect(boot, kernels, NULL, error) ||
            !collect(boot, others, "rescue", error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
read_token(Boot *boot, GError **error)
{
    g_autoptr(GError) lost = NULL;
    g_autofree char *text =
        ka_inside_read(boot->scrub->inside, "/etc/kernel/entry-token", 4096, NULL, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    g_strstrip(text ? text : (text = g_strdup("")));
    g_autofree char *id = find_id(text);
    gboolean neutral_one = *text && !id && !strchr(text, '/') && !strchr(text, '\n');
    boot->token = g_strdup(neutral_one ? text : boot->scrub->system->id);
    g_strcanon(boot->token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
               '-');
    if (id)
        g_hash_table_add(boot->ids, g_steal_pointer(&id));
    return TRUE;
}

static gboolean
rename_all(Boot *boot, const char *glob, GError **error)
{
    KaScrub *scrub = boot->scrub;
    g_autoptr(GPtrArray) entries = ka_inside_glob(scrub->inside, glob, error);
    for (guint i = 0; entries && i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        g_autofree char *folder = g_path_get_dirname(entry->path);
        g_autofree char *name = g_path_get_basename(entry->path);
        g_autofree char *fresh = neutral(boot, name);
        g_autofree char *to = g_build_filename(folder, fresh, NULL);
        gboolean is_ours = entry->type == KA_INSIDE_FILE || entry->type == KA_INSIDE_FOLDER;
        if (g_str_equal(name, fresh) || ka_scrub_is_going(scrub, entry->path))
            continue;
        if (!is_ours || !ka_inside_is(scrub->inside, to, KA_INSIDE_NONE))
            ka_scrub_add(scrub, KA_SCRUB_ODD, entry->path,
                         g_strdup_printf("can't be renamed to %s", fresh));
        else
            ka_scrub_add(scrub, KA_SCRUB_RENAME, entry->path, find_id(name))->to =
                g_steal_pointer(&to);
    }
    return entries != NULL;
}

/* grubenv has a fixed length, filled with '#'. */
static char *
refill(char *text /* taken */)
{
    g_autoptr(GString) out = g_string_new(text);
    g_free(text);
    while (out->len > GRUBENV_BYTES && out->str[out->len - 1] == '#')
        g_string_truncate(out, out->len - 1);
    while (out->len < GRUBENV_BYTES)
        g_string_append_c(out, '#');
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static gboolean
edit_all(Boot *boot, const char *glob, GError **error)
{
    KaScrub *scrub = boot->scrub;
    g_autoptr(GPtrArray) entries = ka_inside_glob(scrub->inside, glob, error);
    for (guint i = 0; entries && i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        g_autofree char *text = NULL;
        if (!ka_scrub_load(scrub, entry, &text, error))
            return FALSE;
        g_autofree char *after = text ? neutral(boot, text) : NULL;
        if (!text || g_str_equal(text, after))
            continue;
        if (g_str_has_suffix(entry->path, "/grubenv"))
            after = refill(g_steal_pointer(&after));
        ka_scrub_put(scrub, entry->path, text, after, find_id(text));
    }
    return entries != NULL;
}

static gboolean
edit_base(Boot *boot, const char *base, GError **error)
{
    static const char *const texts[] = {
        "loader/entries/*.conf", "loader/loader.conf", "loader/entries.srel", "grub2/grubenv",
        "grub/grubenv",          "grub2/grub.cfg",     "grub/grub.cfg"};
    static const char *const names[] = {"loader/entries/*.conf", "EFI/Linux/*.efi", "*"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *glob = g_build_filename(base, texts[i], NULL);
        if (!edit_all(boot, glob, error))
            return FALSE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *glob = g_build_filename(base, names[i], NULL);
        if (!rename_all(boot, glob, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
edit_boot(Boot *boot, GError **error)
{
    KaScrub *scrub = boot->scrub;
    if (!read_token(boot, error) || !collect_all(boot, error))
        return FALSE;
    if (g_hash_table_size(boot->ids) == 0)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(bases); i++)
        if (!edit_base(boot, bases[i], error))
            return FALSE;
    if (!edit_all(boot, "/etc/kernel/cmdline", error) ||
        !edit_all(boot, "/etc/default/grub", error))
        return FALSE;
    g_autofree char *line = g_strconcat(boot->token, "\n", NULL);
    g_autofree char *now =
        ka_inside_read(scrub->inside, "/etc/kernel/entry-token", 4096, NULL, NULL);
    ka_scrub_put(scrub, "/etc/kernel/entry-token", now, line, g_strdup("new entries' names"));
    return TRUE;
}

gboolean
ka_scrub_boot_entries(KaScrub *scrub, const KaInsideEntry *entry G_GNUC_UNUSED, GError **error)
{
    Boot boot = {.scrub = scrub,
                 .ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    gboolean done = edit_boot(&boot, error);
    g_hash_table_unref(boot.ids);
    g_free(boot.token);
    return done;
}

gboolean
ka_scrub_lvm_uuids(KaScrub *scrub,
                   const KaInsideEntry *entry G_GNUC_UNUSED,
                   GError **error G_GNUC_UNUSED)
{
    if (scrub->system->has_lvm)
        ka_scrub_add(scrub, KA_SCRUB_RENEW, scrub->system->root,
                     g_strdup("UUIDs of its volume groups and physical volumes"));
    return TRUE;
}

gboolean
ka_scrub_fs_uuids(KaScrub *scrub, const KaInsideEntry *entry G_GNUC_UNUSED, GError **error)
{
    char **pairs = guestfs_mountpoints(ka_appliance_handle(scrub->system->appliance));
    if (!pairs)
        return ka_appliance_error(scrub->system->appliance, error, "mounted file systems");
    for (char **pair = pairs; pair[0] && pair[1]; pair += 2) {
        ka_scrub_add(scrub, KA_SCRUB_RENEW, pair[0], g_strdup("UUID of its file system"));
        free(pair[0]);
        free(pair[1]);
    }
    free(pairs);
    return TRUE;
}
