#include "drivers/scrub_part.h"

#include <string.h>

#define LINE_MAX_SHOWN 100
#define TREE_DEPTH 1000

static char *
link_evidence(const KaInsideEntry *entry)
{
    return entry->target ? g_strdup_printf("a symbolic link to %s", entry->target) : NULL;
}

static gboolean
add_inner(KaScrub *scrub, const char *folder, guint depth, GError **error)
{
    g_autoptr(GPtrArray) entries = ka_inside_list(scrub->inside, folder, error);
    for (guint i = 0; entries && i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, link_evidence(entry))->inner = TRUE;
        if (entry->type == KA_INSIDE_FOLDER && depth < TREE_DEPTH &&
            !add_inner(scrub, entry->path, depth + 1, error))
            return FALSE;
    }
    return entries != NULL;
}

gboolean
ka_scrub_remove(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, link_evidence(entry));
    return entry->type != KA_INSIDE_FOLDER || !scrub->deep ||
           add_inner(scrub, entry->path, 0, error);
}

char *
ka_scrub_first_line(KaScrub *scrub, const char *path)
{
    gsize length = 0;
    g_autofree char *text = ka_inside_read(scrub->inside, path, 4096, &length, NULL);
    if (!text)
        return NULL;
    char *line = g_strstrip(text);
    line[strcspn(line, "\n")] = '\0';
    if (*line == '\0' || !g_str_is_ascii(line))
        return g_strdup_printf("%" G_GSIZE_FORMAT " bytes", length);
    for (const char *at = line; *at; at++)
        if (!g_ascii_isprint(*at))
            return g_strdup_printf("%" G_GSIZE_FORMAT " bytes", length);
    return g_strndup(line, LINE_MAX_SHOWN);
}

gboolean
ka_scrub_remove_id(KaScrub *scrub, const KaInsideEntry *entry, GError **error G_GNUC_UNUSED)
{
    char *evidence = entry->type == KA_INSIDE_FILE ? ka_scrub_first_line(scrub, entry->path) : NULL;
    ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, evidence);
    return TRUE;
}

/* "ssh-ed25519 AAAA… comment" as `ssh-keygen -l` names it. NULL: it is no such key. */
static char *
fingerprint(const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    if (!words[0] || !words[1])
        return NULL;
    gsize length = 0;
    g_autofree guchar *blob = g_base64_decode(words[1], &length);
    guint8 digest[32];
    gsize n = sizeof digest;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, blob, (gssize)length);
    g_checksum_get_digest(sum, digest, &n);
    g_autofree char *text = g_base64_encode(digest, n);
    text[strcspn(text, "=")] = '\0';
    return length ? g_strdup_printf("SHA256:%s (%s)", text, words[0]) : NULL;
}

gboolean
ka_scrub_remove_key(KaScrub *scrub, const KaInsideEntry *entry, GError **error G_GNUC_UNUSED)
{
    g_autofree char *public = g_str_has_suffix(entry->path, ".pub")
                                  ? g_strdup(entry->path)
                                  : g_strconcat(entry->path, ".pub", NULL);
    g_autofree char *text = ka_inside_read(scrub->inside, public, 16384, NULL, NULL);
    ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, text ? fingerprint(text) : NULL);
    return TRUE;
}

gboolean
ka_scrub_load(KaScrub *scrub, const KaInsideEntry *entry, char **ret_text, GError **error)
{
    g_autoptr(GError) lost = NULL;
    char *text = entry->type == KA_INSIDE_FILE ? ka_scrub_text(scrub, entry->path, &lost) : NULL;
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    *ret_text = text;
    return TRUE;
}

gboolean
ka_scrub_remove_rules(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_strstrip(*line);
        if (!**line || **line == '#')
            continue;
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, g_strndup(*line, 2 * LINE_MAX_SHOWN));
        break;
    }
    return TRUE;
}

static gboolean
remove_files(KaScrub *scrub, const char *folder, guint depth, GError **error)
{
    g_autoptr(GPtrArray) entries = ka_inside_list(scrub->inside, folder, error);
    for (guint i = 0; entries && i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        if (ka_scrub_is_going(scrub, entry->path))
            continue;
        if (entry->type == KA_INSIDE_FOLDER && depth < TREE_DEPTH) {
            if (!remove_files(scrub, entry->path, depth + 1, error))
                return FALSE;
        } else if (!ka_scrub_remove_files(scrub, entry, error)) {
            return FALSE;
        }
    }
    return entries != NULL;
}

gboolean
ka_scrub_remove_files(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    const char *stays = scrub->step->argument;
    if (entry->type == KA_INSIDE_FOLDER)
        return remove_files(scrub, entry->path, 0, error);
    g_autofree char *name = g_path_get_basename(entry->path);
    if (entry->type == KA_INSIDE_FILE && g_strcmp0(name, stays) != 0)
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, NULL);
    return TRUE;
}

gboolean
ka_scrub_remove_found(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_auto(GStrv) names = g_strsplit(scrub->step->argument, " ", -1);
    if (entry->type != KA_INSIDE_FOLDER)
        return TRUE;
    g_autoptr(GPtrArray) paths =
        ka_inside_find(scrub->inside, entry->path, (const char *const *)names, error);
    for (guint i = 0; paths && i < paths->len; i++)
        if (!ka_scrub_is_going(scrub, g_ptr_array_index(paths, i)))
            ka_scrub_add(scrub, KA_SCRUB_REMOVE, g_ptr_array_index(paths, i), NULL);
    return paths != NULL;
}

static gboolean
set_text(KaScrub *scrub, const KaInsideEntry *entry, const char *text, GError **error)
{
    gsize length = 0;
    g_autoptr(GError) lost = NULL;
    if (entry->type != KA_INSIDE_FILE)
        return TRUE;
    g_autofree char *now = ka_inside_read(scrub->inside, entry->path, 4096, &length, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    if (length != strlen(text) || memcmp(now, text, length) != 0)
        ka_scrub_put(scrub, entry->path, NULL, text, ka_scrub_first_line(scrub, entry->path));
    return TRUE;
}

gboolean
ka_scrub_empty(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    const char *may_stand = scrub->step->argument;
    g_autofree char *now =
        entry->type == KA_INSIDE_FILE ? ka_scrub_first_line(scrub, entry->path) : NULL;
    return (may_stand && g_strcmp0(now, may_stand) == 0) || set_text(scrub, entry, "", error);
}

gboolean
ka_scrub_set(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    return set_text(scrub, entry, scrub->step->argument, error);
}

/* Does the line begin with one of the keys, followed by a blank or '='? */
static gboolean
has_key(const char *line, char **keys)
{
    line += strspn(line, " \t");
    for (; *keys; keys++) {
        gsize length = strlen(*keys);
        if (g_ascii_strncasecmp(line, *keys, length) == 0 && strchr(" \t=:", line[length]) &&
            line[length])
            return TRUE;
    }
    return FALSE;
}

gboolean
ka_scrub_drop_lines(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_auto(GStrv) keys = g_strsplit(scrub->step->argument, " ", -1);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL), gone = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        if (has_key(*line, keys))
            g_string_append_printf(gone, "%s%s", gone->len ? ", " : "", g_strstrip(*line));
        else
            g_string_append_printf(rest, "%s%s", *line, line[1] ? "\n" : "");
    }
    if (gone->len)
        ka_scrub_put(scrub, entry->path, text, rest->str, g_strdup(gone->str));
    return TRUE;
}
