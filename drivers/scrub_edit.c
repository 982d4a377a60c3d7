#include "drivers/scrub_part.h"

#include <json-glib/json-glib.h>
#include <string.h>

static gboolean
is_nobody(const char *name)
{
    static const char *const names[] = {"localhost", "localhost.localdomain", "(none)", "", NULL};
    return g_strv_contains(names, name);
}

gboolean
ka_scrub_hostname(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_autofree char *name = g_strstrip(g_strdup(text ? text : ""));
    if (!is_nobody(name))
        ka_scrub_put(scrub, entry->path, text, "localhost\n", g_steal_pointer(&name));
    return TRUE;
}

/* The machine's own name, with or without its domain. */
static gboolean
is_own(const KaScrub *scrub, const char *name)
{
    if (!scrub->hostname || is_nobody(scrub->hostname))
        return FALSE;
    g_auto(GStrv) own = g_strsplit(scrub->hostname, ".", 2);
    g_auto(GStrv) other = g_strsplit(name, ".", 2);
    return g_ascii_strcasecmp(own[0], other[0]) == 0;
}

/* A line of hosts without the machine's names. NULL: nothing is left of it. */
static char *
clean_host(const KaScrub *scrub, const char *line, GString *gone)
{
    g_autofree char *words = g_strndup(line, strcspn(line, "#"));
    g_auto(GStrv) split = g_strsplit_set(words, " \t", -1);
    g_autoptr(GString) rest = g_string_new(NULL);
    gboolean is_self = g_str_has_prefix(line, "127.0.1.1"); /* Debian's place for the name */
    gboolean changed = FALSE;
    for (char **word = split; *word; word++) {
        if (!**word)
            continue;
        if (rest->len &&
            ((is_self && !g_str_has_prefix(*word, "localhost")) || is_own(scrub, *word))) {
            g_string_append_printf(gone, "%s%s", gone->len ? ", " : "", *word);
            changed = TRUE;
        } else {
            g_string_append_printf(rest, "%s%s", rest->len ? " " : "", *word);
        }
    }
    if (!changed)
        return g_strdup(line);
    return strchr(rest->str, ' ') ? g_string_free(g_steal_pointer(&rest), FALSE) : NULL;
}

gboolean
ka_scrub_hosts(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL), gone = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        g_autofree char *clean = clean_host(scrub, *line, gone);
        if (clean)
            g_string_append_printf(rest, "%s%s", clean, line[1] ? "\n" : "");
    }
    if (gone->len)
        ka_scrub_put(scrub, entry->path, text, rest->str, g_strdup(gone->str));
    return TRUE;
}

/* Debian's open-iscsi makes a name where the file asks for it; others where there is no file. */
gboolean
ka_scrub_initiator(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    const char *name = text ? strstr(text, "InitiatorName=") : NULL;
    if (!name || (name > text && name[-1] != '\n'))
        return TRUE;
    char *evidence = g_strndup(name, strcspn(name, "\n"));
    if (scrub->system->family == KA_FAMILY_DEBIAN)
        ka_scrub_put(scrub, entry->path, text, "GenerateName=yes\n", evidence);
    else
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, evidence);
    return TRUE;
}

static JsonObject *
member(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* The device's registration, not its model nor the installed snaps. */
gboolean
ka_scrub_snapd(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    static const char *const names[] = {"serial", "key-id", "session-macaroon"};
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_autoptr(JsonNode) root = text ? json_from_string(text, NULL) : NULL;
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return TRUE;
    JsonObject *device =
        member(member(member(json_node_get_object(root), "data"), "auth"), "device");
    const char *serial =
        device ? json_object_get_string_member_with_default(device, "serial", "") : "";
    g_autofree char *evidence = g_strdup_printf("the device's registration %s", serial);
    gboolean changed = FALSE;
    for (gsize i = 0; device && i < G_N_ELEMENTS(names); i++) {
        changed = changed || json_object_has_member(device, names[i]);
        json_object_remove_member(device, names[i]);
    }
    g_autofree char *after = json_to_string(root, FALSE);
    if (changed) {
        ka_scrub_put(scrub, entry->path, text, after, g_steal_pointer(&evidence));
        ((KaScrubItem *)g_ptr_array_index(scrub->items, scrub->items->len - 1))->mode = 0600;
    }
    return TRUE;
}

#define UNIT "kvmapply-ssh-host-keys.service"
#define UNIT_FOLDER "/etc/systemd/system/"

/* ssh-keygen -A makes the ed25519 key last, so a cut before it is made good at the next boot.
 * Without default dependencies, as ssh.socket is up before them. */
static const char unit[] =
    "[Unit]\n"
    "Description=Make the SSH host keys that this machine lacks\n"
    "DefaultDependencies=no\n"
    "RequiresMountsFor=/etc/ssh\n"
    "After=systemd-remount-fs.service systemd-random-seed.service local-fs.target\n"
    "Before=ssh.service ssh.socket sshd.service sshd.socket shutdown.target\n"
    "Conflicts=shutdown.target\n"
    "ConditionPathIsReadWrite=/etc\n"
    "ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n"
    "\n"
    "[Service]\n"
    "Type=oneshot\n"
    "ExecStart=/usr/bin/ssh-keygen -A\n"
    "\n"
    "[Install]\n"
    "WantedBy=multi-user.target\n";

/* Does the system make host keys at its first boot by itself? */
static gboolean
has_key_maker(KaScrub *scrub)
{
    static const char *const globs[] = {
        "/usr/lib/systemd/system/*ssh*key*gen*", "/usr/lib/systemd/system/*ssh*gen*key*",
        "/lib/systemd/system/*ssh*key*gen*",     "/etc/systemd/system/*ssh*key*gen*",
        "/usr/sbin/sshd-gen-keys-start",         "/etc/init.d/sshd"};
    for (gsize i = 0; i < G_N_ELEMENTS(globs); i++) {
        g_autoptr(GPtrArray) found = ka_inside_glob(scrub->inside, globs[i], NULL);
        if (found && found->len)
            return TRUE;
    }
    return FALSE;
}

gboolean
ka_scrub_host_keys_unit(KaScrub *scrub,
                        const KaInsideEntry *entry G_GNUC_UNUSED,
                        GError **error G_GNUC_UNUSED)
{
    static const char want[] = UNIT_FOLDER "multi-user.target.wants/" UNIT;
    KaInside *inside = scrub->inside;
    gboolean has_ssh = ka_inside_is(inside, "/usr/sbin/sshd", KA_INSIDE_FILE) &&
                       ka_inside_is(inside, "/usr/bin/ssh-keygen", KA_INSIDE_FILE);
    gboolean has_systemd = ka_inside_is(inside, "/lib/systemd/systemd", KA_INSIDE_FILE) ||
                           ka_inside_is(inside, "/usr/lib/systemd/systemd", KA_INSIDE_FILE);
    if (!has_ssh || !has_systemd || has_key_maker(scrub))
        return TRUE;
    if (ka_inside_is(inside, UNIT_FOLDER UNIT, KA_INSIDE_NONE)) {
        ka_scrub_put(scrub, UNIT_FOLDER UNIT, NULL, unit,
                     g_strdup("makes host keys at first boot"));
        ((KaScrubItem *)g_ptr_array_index(scrub->items, scrub->items->len - 1))->quiet = TRUE;
    }
    if (ka_inside_is(inside, want, KA_INSIDE_NONE)) {
        KaScrubItem *item = ka_scrub_add(scrub, KA_SCRUB_LINK, want, NULL);
        item->to = g_strdup("../" UNIT);
        item->quiet = TRUE;
    }
    return TRUE;
}

gboolean
ka_scrub_unconfigured(KaScrub *scrub,
                      const KaInsideEntry *entry G_GNUC_UNUSED,
                      GError **error G_GNUC_UNUSED)
{
    if (ka_inside_is(scrub->inside, "/.unconfigured", KA_INSIDE_NONE)) {
        ka_scrub_put(scrub, "/.unconfigured", NULL, "", NULL);
        ((KaScrubItem *)g_ptr_array_index(scrub->items, scrub->items->len - 1))->quiet = TRUE;
    }
    return TRUE;
}
