#include "drivers/customise.h"
#include "drivers/recipe.h"

#include <string.h>

#define OWNERS_BYTES (4 << 20)
#define SHOWN_BYTES 3000

/* --- what steps share --- */

/* Only the end of what the script prints comes back: a reply of libguestfs is limited. */
gboolean
ka_customise_sh(KaCustomise *customise, const char *script, GError **error)
{
    static const char around[] =
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "
        "LC_ALL=C DEBIAN_FRONTEND=noninteractive\n"
        "status=$( { { ( %s\n) </dev/null 2>&1 3>&-; echo $? >&3; } | tail -c %d >&2; } 3>&1 )\n"
        "exit \"$status\"";
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    g_autofree char *text = g_strdup_printf(around, script, SHOWN_BYTES);
    char *out = guestfs_sh(g, text);

    if (out == NULL)
        return ka_appliance_error(customise->appliance, error, "in the image");
    free(out);
    return TRUE;
}

char *
ka_customise_upload(KaCustomise *customise, const KaNode *file, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    g_autofree char *path = ka_node_local_path(file);
    g_autofree char *name = g_path_get_basename(path);
    /* Each in a folder of its own: package managers go by a file's name. */
    g_autofree char *folder =
        g_strdup_printf(KA_BUILD_FOLDER "/%u", customise->n_uploads++);
    g_autofree char *inside = g_strdup_printf("%s/%s", folder, name);

    if (!ka_inside_make_folder(customise->inside, folder, 0755, error))
        return NULL;
    if (guestfs_upload(g, path, inside) < 0) {
        ka_appliance_error(customise->appliance, error, "can't copy '%s' into the image", path);
        return NULL;
    }
    return g_steal_pointer(&inside);
}

/* The line of a colon-separated file whose first field is the name, as fields; NULL: none. */
static char **
find_line(KaInside *inside, const char *file, const char *name)
{
    g_autofree char *text = ka_inside_read(inside, file, OWNERS_BYTES, NULL, NULL);
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;

    for (char **line = lines; line && *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", -1);
        if (fields[0] && g_str_equal(fields[0], name))
            return g_steal_pointer(&fields);
    }
    return NULL;
}

gboolean
ka_customise_user(KaCustomise *customise,
                  const char *name,
                  int *ret_uid,
                  int *ret_gid,
                  char **ret_home,
                  GError **error)
{
    g_auto(GStrv) fields = find_line(customise->inside, "/etc/passwd", name);

    if (fields == NULL || g_strv_length(fields) < 7)
        return ka_invalid(error, "the image has no user '%s'", name);
    *ret_uid = atoi(fields[2]);
    *ret_gid = atoi(fields[3]);
    if (ret_home)
        *ret_home = g_strdup(fields[5]);
    return TRUE;
}

/* "user", "user:group", or numbers. */
static gboolean
find_owner(KaCustomise *customise, const char *owner, int *ret_uid, int *ret_gid, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(owner, ":", 2);
    g_auto(GStrv) group = parts[1] ? find_line(customise->inside, "/etc/group", parts[1]) : NULL;

    if (g_ascii_isdigit(parts[0][0]))
        *ret_uid = *ret_gid = atoi(parts[0]);
    else if (!ka_customise_user(customise, parts[0], ret_uid, ret_gid, NULL, error))
        return FALSE;
    if (parts[1] == NULL)
        return TRUE;
    if (!g_ascii_isdigit(parts[1][0]) && (group == NULL || g_strv_length(group) < 3))
        return ka_invalid(error, "the image has no group '%s'", parts[1]);
    *ret_gid = atoi(group ? group[2] : parts[1]);
    return TRUE;
}

/* --- hostname, time, language --- */

/* Debian names the host in /etc/hosts, too. */
static gboolean
rename_in_hosts(KaCustomise *customise, const char *name, GError **error)
{
    g_autofree char *text =
        ka_inside_read(customise->inside, "/etc/hosts", OWNERS_BYTES, NULL, NULL);
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
    g_autofree char *whole = NULL, *host = g_strndup(name, strcspn(name, "."));
    gboolean found = FALSE;

    for (char **line = lines; line && *line; line++) {
        if (!g_str_has_prefix(*line, "127.0.1.1"))
            continue;
        g_free(*line);
        *line = g_str_equal(host, name) ? g_strdup_printf("127.0.1.1\t%s", name)
                                        : g_strdup_printf("127.0.1.1\t%s %s", name, host);
        found = TRUE;
    }
    if (!found)
        return TRUE;
    whole = g_strjoinv("\n", lines);
    return ka_inside_write(customise->inside, "/etc/hosts", whole, strlen(whole), 0644, error);
}

static gboolean
set_hostname(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autofree char *line = g_strconcat(node->text, "\n", NULL);

    return ka_inside_write(customise->inside, "/etc/hostname", line, strlen(line), 0644, error) &&
           rename_in_hosts(customise, node->text, error);
}

static gboolean
set_timezone(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autofree char *zone = g_strconcat("/usr/share/zoneinfo/", node->text, NULL);
    g_autofree char *target = g_strconcat("..", zone, NULL);
    g_autofree char *line = g_strconcat(node->text, "\n", NULL);
    g_autoptr(KaInsideEntry) entry = ka_inside_look(customise->inside, zone, error);

    if (entry == NULL)
        return FALSE;
    if (entry->type == KA_INSIDE_NONE)
        return ka_invalid(error, "the image has no '%s': install its time zones "
                                           "(tzdata), too", zone);
    return ka_inside_remove(customise->inside, "/etc/localtime", error) &&
           ka_inside_link(customise->inside, target, "/etc/localtime", error) &&
           (customise->system->family != KA_FAMILY_DEBIAN ||
            ka_inside_write(customise->inside, "/etc/timezone", line, strlen(line), 0644, error));
}

/* Debian makes locales of a list; others have them in packages. */
static gboolean
set_locale(KaCustomise *customise, const KaNode *node, GError **error)
{
    gboolean debian = customise->system->family == KA_FAMILY_DEBIAN;
    g_autofree char *line = g_strdup_printf("LANG=%s\n", node->text);
    g_autofree char *quoted = g_shell_quote(node->text);
    g_autofree char *script = g_strdup_printf(
        "l=%s; [ -e /etc/locale.gen ] || exit 0; c=${l#*.}; [ \"$c\" != \"$l\" ] || c=ISO-8859-1; "
        "grep -q \"^$l $c\" /etc/locale.gen || echo \"$l $c\" >>/etc/locale.gen; locale-gen",
        quoted);

    return ka_inside_write(customise->inside, debian ? "/etc/default/locale" : "/etc/locale.conf",
                           line, strlen(line), 0644, error) &&
           (!debian || ka_customise_sh(customise, script, error));
}

/* --- files and scripts --- */

static gboolean
put_local(KaCustomise *customise, const char *path, const KaNode *file, GError **error)
{
    g_autofree char *inside = ka_customise_upload(customise, file, error);

    return inside && ka_inside_remove(customise->inside, path, error) &&
           ka_inside_rename(customise->inside, inside, path, error);
}

static gboolean
put_owner(KaCustomise *customise, const char *path, const KaNode *item, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    const char *mode = ka_node_text(item, "mode"), *owner = ka_node_text(item, "owner");
    g_autoptr(KaInsideEntry) entry = ka_inside_look(customise->inside, path, error);
    int uid = 0, gid = 0;

    if (entry == NULL || (owner && !find_owner(customise, owner, &uid, &gid, error)))
        return FALSE;
    if (guestfs_chmod(g, mode ? (int)strtol(mode, NULL, 8) : 0644, entry->path) < 0 ||
        guestfs_lchown(g, uid, gid, entry->path) < 0)
        return ka_appliance_error(customise->appliance, error, "can't set the mode of '%s'", path);
    return TRUE;
}

static gboolean
put_files(KaCustomise *customise, const KaNode *node, GError **error)
{
    for (const KaNode *item = node->first; item; item = item->next) {
        const KaNode *content = ka_node_get(item, "content"), *file = ka_node_get(item, "file");
        g_autofree char *folder = g_path_get_dirname(item->key);

        if (!ka_inside_make_folder(customise->inside, folder, 0755, error) ||
            !(content ? ka_inside_write(customise->inside, item->key, content->text,
                                        strlen(content->text), 0644, error)
                      : put_local(customise, item->key, file, error)) ||
            !put_owner(customise, item->key, item, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
run_scripts(KaCustomise *customise, const KaNode *node, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);

    for (const KaNode *item = node->first; item; item = item->next) {
        const KaNode *script = ka_node_get(item, "script");
        g_autofree char *path = script ? ka_customise_upload(customise, script, error) : NULL;
        g_autofree char *quoted = path ? g_shell_quote(path) : NULL;

        if (script && path == NULL)
            return FALSE;
        if (path && guestfs_chmod(g, 0755, path) < 0)
            return ka_appliance_error(customise->appliance, error, "can't set a script's mode");
        if (!ka_customise_sh(customise, quoted ? quoted : ka_node_text(item, "command"), error)) {
            g_prefix_error(error, "run: '%s': ", script ? script->text : "command");
            return FALSE;
        }
    }
    return TRUE;
}

/* --- all steps --- */

/* In virt-customize's order, but what scrubbing would take out again comes after it. */
const KaStep ka_steps[] = {
    {"timezone",        FALSE, FALSE, "sets the time zone",         set_timezone         },
    {"locale",          FALSE, FALSE, "sets the locale",            set_locale           },
    {"update",          TRUE,  FALSE, "updates all packages",       ka_step_update       },
    {"install",         TRUE,  FALSE, "installs packages",          ka_step_install      },
    {"install-files",   TRUE,  FALSE, "installs package files",     ka_step_install_files},
    {"users",           FALSE, FALSE, "makes users",                ka_step_users        },
    {"files",           FALSE, FALSE, "copies files",               put_files            },
    {"run",             TRUE,  FALSE, "runs scripts",               run_scripts          },
    {"services",        FALSE, FALSE, "turns services on and off",  ka_step_services     },
    {"kernel-args",     FALSE, FALSE, "sets kernel arguments",      ka_step_kernel_args  },
    {"hostname",        FALSE, TRUE,  "sets the host's name",       set_hostname         },
    {"users",           FALSE, TRUE,  "sets passwords",             ka_step_passwords    },
    {"root-password",   FALSE, TRUE,  "sets root's password",       ka_step_root_password},
    {"ssh-keys",        FALSE, TRUE,  "writes ssh keys",            ka_step_ssh_keys     },
    {"first-boot",      FALSE, TRUE,  "writes first-boot scripts",  ka_step_first_boot   },
    {"selinux-relabel", FALSE, TRUE,  "asks for SELinux's labels",  ka_step_selinux      },
};
const gsize ka_n_steps = G_N_ELEMENTS(ka_steps);

/* What is declared, and not as "no". */
static const KaNode *
declared(const KaObject *image, const KaStep *step)
{
    const KaNode *node = ka_node_get(image->node, step->key);
    gboolean nothing = node == NULL || node->type == KA_NODE_NULL ||
                       (node->type == KA_NODE_SCALAR && g_strcmp0(node->text, "no") == 0) ||
                       (node->type != KA_NODE_SCALAR && node->first == NULL);

    return nothing ? NULL : node;
}

gboolean
ka_customise_wants_network(const KaObject *image)
{
    const char *said = ka_node_text(image->node, "network");

    if (said)
        return g_str_equal(said, "yes");
    for (gsize i = 0; i < ka_n_steps; i++) {
        if (ka_steps[i].network && declared(image, &ka_steps[i]))
            return TRUE;
    }
    return FALSE;
}

gboolean
ka_customise_has_steps(const KaObject *image)
{
    for (gsize i = 0; i < ka_n_steps; i++) {
        if (declared(image, &ka_steps[i]))
            return TRUE;
    }
    return FALSE;
}

gboolean
ka_customise_run(KaCustomise *customise, gboolean last, GError **error)
{
    for (gsize i = 0; i < ka_n_steps; i++) {
        const KaStep *step = &ka_steps[i];
        const KaNode *node = declared(customise->image, step);

        if (node == NULL || step->last != last)
            continue;
        ka_progress_step(customise->progress, customise->action, step->doing, 0, 0, "");
        if (!ka_appliance_may_go_on(customise->appliance, error))
            return FALSE;
        if (!step->run(customise, node, error)) {
            g_prefix_error(error, "%s: ", step->key);
            return FALSE;
        }
    }
    return ka_inside_remove(customise->inside, KA_BUILD_FOLDER, error);
}
