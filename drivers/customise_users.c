#include "drivers/customise.h"

#include <crypt.h>
#include <string.h>

#define SHADOW_BYTES (4 << 20)
#define KEYS_BYTES (1 << 20)
/* What every libcrypt since 2007 knows. */
#define HASH_PREFIX "$6$"

/* --- users --- */

static void
append_option(GString *script, const char *option, const char *value)
{
    g_autofree char *quoted = value ? g_shell_quote(value) : NULL;

    if (quoted)
        g_string_append_printf(script, " %s %s", option, quoted);
}

/* With shadow's programs; where only busybox is, with its own. */
static char *
user_script(const KaNode *user)
{
    g_autofree char *name = g_shell_quote(user->key);
    const KaNode *groups = ka_node_get(user, "groups");
    gboolean system = ka_customise_said(user, "system");
    g_autoptr(GString) script = g_string_new(NULL);

    g_string_append_printf(script, "u=%s; if id -u $u >/dev/null 2>&1; then :; "
                                   "elif command -v useradd >/dev/null; then useradd %s", name,
                           system ? "-r" : "-m");
    append_option(script, "-u", ka_node_text(user, "uid"));
    append_option(script, "-d", ka_node_text(user, "home"));
    append_option(script, "-s", ka_node_text(user, "shell"));
    g_string_append_printf(script, " $u; else adduser -D %s", system ? "-S" : "");
    append_option(script, "-u", ka_node_text(user, "uid"));
    append_option(script, "-h", ka_node_text(user, "home"));
    append_option(script, "-s", ka_node_text(user, "shell"));
    g_string_append(script, " $u; fi || exit 1\n");
    if (ka_node_text(user, "shell")) {
        g_autofree char *shell = g_shell_quote(ka_node_text(user, "shell"));
        g_string_append_printf(
            script, "! command -v usermod >/dev/null || usermod -s %s $u || exit 1\n", shell);
    }
    for (const KaNode *group = groups ? groups->first : NULL; group; group = group->next) {
        g_autofree char *quoted = g_shell_quote(group->text);
        g_string_append_printf(
            script,
            "g=%s; grep -q \"^$g:\" /etc/group || groupadd $g 2>/dev/null || addgroup $g || exit 1\n"
            "if command -v usermod >/dev/null; then usermod -a -G $g $u; else addgroup $u $g; fi "
            "|| exit 1\n",
            quoted);
    }
    return g_string_free(g_steal_pointer(&script), FALSE);
}

static gboolean
grant_sudo(KaCustomise *customise, const char *user, GError **error)
{
    g_autofree char *path = g_strdup_printf("/etc/sudoers.d/90-%s", user);
    g_autofree char *line = g_strdup_printf("%s ALL=(ALL) NOPASSWD:ALL\n", user);

    /* sudo leaves out files with a dot in their names. */
    g_strdelimit(path + strlen("/etc/sudoers.d/"), ".", '_');
    return ka_inside_make_folder(customise->inside, "/etc/sudoers.d", 0750, error) &&
           ka_inside_write(customise->inside, path, line, strlen(line), 0440, error);
}

gboolean
ka_step_users(KaCustomise *customise, const KaNode *node, GError **error)
{
    for (const KaNode *user = node->first; user; user = user->next) {
        g_autofree char *script = user_script(user);

        if (!ka_customise_sh(customise, script, error) ||
            (ka_customise_said(user, "sudo") && !grant_sudo(customise, user->key, error)))
            return FALSE;
    }
    return TRUE;
}

/* --- passwords --- */

/* What shadow(5) holds; NULL with an error. Caller frees. */
static char *
shadow_of(const char *password, GError **error)
{
    struct crypt_data data = {0};
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *hashed = NULL;

    if (g_str_equal(password, "locked"))
        return g_strdup("!");
    if (*password == '$' && strchr(password + 1, '$'))
        return g_strdup(password);
    if (crypt_gensalt_rn(HASH_PREFIX, 0, NULL, 0, salt, sizeof salt))
        hashed = crypt_r(password, salt, &data);
    if (hashed && *hashed == '$')
        return g_strdup(hashed);
    ka_invalid(error, "the password can't be hashed");
    return NULL;
}

static gboolean
set_password(KaCustomise *customise, const char *user, const char *password, GError **error)
{
    g_autofree char *hash = shadow_of(password, error);
    g_autofree char *text =
        hash ? ka_inside_read(customise->inside, "/etc/shadow", SHADOW_BYTES, NULL, error) : NULL;
    g_autofree char *prefix = g_strconcat(user, ":", NULL), *whole = NULL;
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
    gboolean found = FALSE;

    if (hash == NULL)
        return FALSE;
    for (char **line = lines; line && *line; line++) {
        if (!g_str_has_prefix(*line, prefix))
            continue;
        const char *rest = *line + strlen(prefix);
        rest += strcspn(rest, ":");
        char *changed = g_strconcat(prefix, hash, rest, NULL);
        g_free(*line);
        *line = changed;
        found = TRUE;
    }
    if (!found)
        return text == NULL && error && *error
                   ? FALSE
                   : ka_invalid(error, "the image has no user '%s' in /etc/shadow", user);
    whole = g_strjoinv("\n", lines);
    return ka_inside_write(customise->inside, "/etc/shadow", whole, strlen(whole), 0640, error);
}

gboolean
ka_step_passwords(KaCustomise *customise, const KaNode *node, GError **error)
{
    for (const KaNode *user = node->first; user; user = user->next) {
        const char *password = ka_node_text(user, "password");
        if (password && !set_password(customise, user->key, password, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
ka_step_root_password(KaCustomise *customise, const KaNode *node, GError **error)
{
    return set_password(customise, "root", node->text, error);
}

/* --- ssh keys --- */

/* The file with the lines that it doesn't have yet. */
static char *
add_lines(const char *old, const KaNode *keys)
{
    g_auto(GStrv) lines = g_strsplit(old ? old : "", "\n", -1);
    g_autoptr(GString) text = g_string_new(old);

    if (text->len && text->str[text->len - 1] != '\n')
        g_string_append_c(text, '\n');
    for (const KaNode *key = keys->first; key; key = key->next) {
        if (!g_strv_contains((const char *const *)lines, key->text))
            g_string_append_printf(text, "%s\n", key->text);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean
own(KaCustomise *customise, const char *path, int mode, int uid, int gid, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    g_autoptr(KaInsideEntry) entry = ka_inside_look(customise->inside, path, error);

    if (entry == NULL)
        return FALSE;
    if (entry->type == KA_INSIDE_ODD || entry->type == KA_INSIDE_LINK)
        return ka_invalid(error, "'%s' is a link", path);
    if (guestfs_chmod(g, mode, entry->path) < 0 || guestfs_lchown(g, uid, gid, entry->path) < 0)
        return ka_appliance_error(customise->appliance, error, "can't set the mode of '%s'", path);
    return TRUE;
}

static gboolean
write_keys(KaCustomise *customise, const KaNode *keys, GError **error)
{
    g_autofree char *home = NULL, *folder = NULL, *path = NULL, *old = NULL, *text = NULL;
    g_autoptr(GError) failure = NULL;
    int uid = 0, gid = 0;

    if (!ka_customise_user(customise, keys->key, &uid, &gid, &home, error))
        return FALSE;
    folder = g_build_filename(home, ".ssh", NULL);
    path = g_build_filename(folder, "authorized_keys", NULL);
    if (!ka_inside_make_folder(customise->inside, folder, 0700, error))
        return FALSE;
    old = ka_inside_read(customise->inside, path, KEYS_BYTES, NULL, &failure);
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    text = add_lines(old, keys);
    return ka_inside_write(customise->inside, path, text, strlen(text), 0600, error) &&
           own(customise, path, 0600, uid, gid, error) &&
           own(customise, folder, 0700, uid, gid, error);
}

gboolean
ka_step_ssh_keys(KaCustomise *customise, const KaNode *node, GError **error)
{
    for (const KaNode *keys = node->first; keys; keys = keys->next) {
        if (!write_keys(customise, keys, error))
            return FALSE;
    }
    return TRUE;
}
