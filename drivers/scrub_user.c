#include "drivers/scrub_part.h"

#include <string.h>

/* login.defs(5) */
#define UID_MIN 1000
#define UID_MAX 60000

static guint64
login_number(const char *text, const char *key, guint64 fallback)
{
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    gsize length = strlen(key);
    for (char **line = lines; *line; line++)
        if (strncmp(*line, key, length) == 0 && g_ascii_isspace((*line)[length]))
            return g_ascii_strtoull(*line + length, NULL, 10);
    return fallback;
}

/* A list of names by commas, without those that go. */
static char *
without(const char *list, GHashTable *gone)
{
    g_auto(GStrv) names = g_strsplit(list, ",", -1);
    g_autoptr(GString) out = g_string_new(NULL);
    for (char **name = names; *name; name++)
        if (!g_hash_table_contains(gone, *name))
            g_string_append_printf(out, "%s%s", out->len ? "," : "", *name);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* Lines of a file whose first field is a user that goes; with members: also in its last field. */
static gboolean
drop_users(KaScrub *scrub, const char *path, gboolean members, GHashTable *gone, GError **error)
{
    const KaInsideEntry entry = {.path = (char *)(gpointer)(guintptr)path, .type = KA_INSIDE_FILE};
    g_autofree char *text = NULL;
    if (!ka_inside_is(scrub->inside, path, KA_INSIDE_FILE))
        return TRUE;
    if (!ka_scrub_load(scrub, &entry, &text, error))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        g_autofree char *name = g_strndup(*line, strcspn(*line, ":"));
        char *last = members ? strrchr(*line, ':') : NULL;
        g_autofree char *list = last ? without(last + 1, gone) : NULL;
        if (g_hash_table_contains(gone, name))
            continue;
        if (last)
            last[1] = '\0';
        g_string_append_printf(rest, "%s%s%s", *line, list ? list : "", line[1] ? "\n" : "");
    }
    if (text)
        ka_scrub_put(scrub, path, text, rest->str, NULL);
    return TRUE;
}

static gboolean
drop_home(KaScrub *scrub, const char *path, const char *user, GError **error)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(scrub->inside, path, error);
    if (!entry)
        return FALSE;
    /* Only what lies below a folder of homes or mail: a home may be named "/" or "/usr". */
    gboolean deep = strchr(entry->path + 1, '/') != NULL && !g_str_has_prefix(entry->path, "/usr/");
    if (deep && (entry->type == KA_INSIDE_FOLDER || entry->type == KA_INSIDE_FILE) &&
        !ka_scrub_is_going(scrub, entry->path))
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, g_strdup_printf("user %s", user));
    return TRUE;
}

gboolean
ka_scrub_users(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    static const struct {
        const char *path;
        gboolean members;
    } files[] = {
        {"/etc/passwd",  FALSE},
        {"/etc/shadow",  FALSE},
        {"/etc/group",   TRUE },
        {"/etc/gshadow", TRUE },
        {"/etc/subuid",  FALSE},
        {"/etc/subgid",  FALSE}
    };
    g_autofree char *passwd = NULL;
    if (!ka_scrub_load(scrub, entry, &passwd, error))
        return FALSE;
    g_autofree char *defs = ka_inside_read(scrub->inside, "/etc/login.defs", 65536, NULL, NULL);
    guint64 lowest = login_number(defs, "UID_MIN", UID_MIN);
    guint64 highest = login_number(defs, "UID_MAX", UID_MAX);
    g_autoptr(GHashTable) gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = g_strsplit(passwd ? passwd : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", 8);
        guint64 uid = 0;
        if (g_strv_length(fields) < 7 ||
            !g_ascii_string_to_unsigned(fields[2], 10, lowest, highest, &uid, NULL))
            continue;
        g_autofree char *mail = g_build_filename("/var/mail", fields[0], NULL);
        g_hash_table_add(gone, g_strdup(fields[0]));
        if (!drop_home(scrub, fields[5], fields[0], error) ||
            (!strchr(fields[0], '/') && !drop_home(scrub, mail, fields[0], error)))
            return FALSE;
    }
    for (gsize i = 0; g_hash_table_size(gone) && i < G_N_ELEMENTS(files); i++)
        if (!drop_users(scrub, files[i].path, files[i].members, gone, error))
            return FALSE;
    return TRUE;
}
