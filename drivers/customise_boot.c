#include "drivers/customise.h"

#include <string.h>

#define FIRST_BOOT "/usr/lib/kvmapply"
#define FIRST_BOOT_SCRIPTS FIRST_BOOT "/first-boot.d"
#define SERVICE "kvmapply-first-boot"

/* --- services --- */

gboolean
ka_step_services(KaCustomise *customise, const KaNode *node, GError **error)
{
    for (const KaNode *service = node->first; service; service = service->next) {
        gboolean on = g_str_equal(service->text, "yes");
        g_autofree char *name = g_shell_quote(service->key);
        g_autofree char *script = g_strdup_printf(
            "s=%s\n"
            "if command -v systemctl >/dev/null; then systemctl %s $s\n"
            "elif command -v rc-update >/dev/null; then rc-update %s $s default\n"
            "elif command -v chkconfig >/dev/null; then chkconfig $s %s\n"
            "else update-rc.d $s %s; fi",
            name, on ? "enable" : "disable", on ? "add" : "del", on ? "on" : "off",
            on ? "enable" : "disable");

        if (!ka_customise_sh(customise, script, error)) {
            g_prefix_error(error, "'%s': ", service->key);
            return FALSE;
        }
    }
    return TRUE;
}

/* --- the kernel's command line --- */

/* Where boot loaders take it from: grubby knows its own; GRUB's defaults, extlinux' and the kernel's
 * own file are edited, entries are written anew. */
static const char kernel_args_script[] =
    "args=%s done_any=\n"
    "if command -v grubby >/dev/null; then grubby --update-kernel=ALL --args=\"$args\" && "
    "done_any=y; fi\n"
    "if [ -f /etc/default/grub ]; then\n"
    "  grep -q '^GRUB_CMDLINE_LINUX=' /etc/default/grub || echo 'GRUB_CMDLINE_LINUX=\"\"' "
    ">>/etc/default/grub\n"
    "  sed -i \"s|^GRUB_CMDLINE_LINUX=[\\\"']\\\\{0,1\\\\}\\\\([^\\\"']*\\\\)[\\\"']\\\\{0,1\\\\}$|"
    "GRUB_CMDLINE_LINUX=\\\"\\\\1 $args\\\"|;s|^GRUB_CMDLINE_LINUX=\\\" |GRUB_CMDLINE_LINUX=\\\"|\" "
    "/etc/default/grub || exit 1\n"
    "  if command -v update-grub >/dev/null; then update-grub || exit 1\n"
    "  elif [ -f /boot/grub2/grub.cfg ]; then grub2-mkconfig -o /boot/grub2/grub.cfg || exit 1\n"
    "  elif [ -f /boot/grub/grub.cfg ]; then grub-mkconfig -o /boot/grub/grub.cfg || exit 1; fi\n"
    "  done_any=y\n"
    "fi\n"
    "for f in /boot/loader/entries/*.conf; do\n"
    "  [ -f \"$f\" ] && [ -z \"$(command -v grubby)\" ] || continue\n"
    "  sed -i \"/^options/s|$| $args|\" \"$f\" || exit 1; done_any=y\n"
    "done\n"
    "if [ -f /etc/kernel/cmdline ]; then sed -i \"1s|$| $args|\" /etc/kernel/cmdline || exit 1; "
    "done_any=y; fi\n"
    "if [ -f /etc/update-extlinux.conf ]; then\n"
    "  sed -i \"s|^\\\\(default_kernel_opts=\\\"[^\\\"]*\\\\)\\\"|\\\\1 $args\\\"|\" "
    "/etc/update-extlinux.conf && update-extlinux || exit 1; done_any=y\n"
    "fi\n"
    "[ -n \"$done_any\" ] || { echo 'no boot loader that is known (GRUB, BLS entries, extlinux)'; "
    "exit 1; }";

gboolean
ka_step_kernel_args(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autoptr(GString) arguments = g_string_new(NULL);
    g_autofree char *quoted = NULL, *script = NULL;

    for (const KaNode *item = node->first; item; item = item->next)
        g_string_append_printf(arguments, "%s%s", arguments->len ? " " : "", item->text);
    quoted = g_shell_quote(arguments->str);
    script = g_strdup_printf(kernel_args_script, quoted);
    return ka_customise_sh(customise, script, error);
}

/* --- first boot --- */

/* One after the other, each until it has run once, whatever became of it; an interrupted one runs
 * again. */
static const char runner[] =
    "#!/bin/sh\n"
    "# Runs each script of " FIRST_BOOT_SCRIPTS " once, in the order of their names.\n"
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "export PATH\n"
    "for script in " FIRST_BOOT_SCRIPTS "/*; do\n"
    "    [ -f \"$script\" ] || continue\n"
    "    echo \"" SERVICE ": ${script##*/}\"\n"
    "    \"$script\" </dev/null || echo \"" SERVICE ": ${script##*/} ended with $?\"\n"
    "    rm -f \"$script\"\n"
    "done\n";

static const char unit[] =
    "[Unit]\n"
    "Description=Scripts that this machine runs once\n"
    "ConditionDirectoryNotEmpty=" FIRST_BOOT_SCRIPTS "\n"
    "Wants=network-online.target\n"
    "After=network-online.target local-fs.target\n"
    "\n"
    "[Service]\n"
    "Type=oneshot\n"
    "RemainAfterExit=yes\n"
    "TimeoutStartSec=0\n"
    "StandardOutput=journal+console\n"
    "ExecStart=" FIRST_BOOT "/first-boot\n"
    "\n"
    "[Install]\n"
    "WantedBy=multi-user.target\n";

static const char init[] =
    "#!/bin/sh\n"
    "### BEGIN INIT INFO\n"
    "# Provides:          " SERVICE "\n"
    "# Required-Start:    $remote_fs $network\n"
    "# Required-Stop:\n"
    "# Default-Start:     2 3 4 5\n"
    "# Default-Stop:\n"
    "# Short-Description: Scripts that this machine runs once\n"
    "### END INIT INFO\n"
    "# chkconfig: 2345 99 01\n"
    "# description: scripts that this machine runs once\n"
    "case $1 in start) " FIRST_BOOT "/first-boot ;; esac\n";

static gboolean
put_script(KaCustomise *customise, const KaNode *item, guint number, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    const KaNode *script = ka_node_get(item, "script");
    const char *command = ka_node_text(item, "command");
    g_autofree char *name = script ? g_path_get_basename(script->text) : g_strdup("command");
    g_autofree char *path = g_strdup_printf(FIRST_BOOT_SCRIPTS "/%03u-%s", number, name);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", command ? command : "");
    g_autofree char *uploaded = NULL;

    if (script == NULL)
        return ka_inside_write(customise->inside, path, text, strlen(text), 0755, error);
    uploaded = ka_customise_upload(customise, script, error);
    if (uploaded == NULL)
        return FALSE;
    if (guestfs_chmod(g, 0755, uploaded) < 0)
        return ka_appliance_error(customise->appliance, error, "can't set a script's mode");
    return ka_inside_rename(customise->inside, uploaded, path, error);
}

static gboolean
enable(KaCustomise *customise, GError **error)
{
    static const char by_sysv[] =
        "s=" SERVICE "; if command -v rc-update >/dev/null; then rc-update add $s default\n"
        "elif command -v chkconfig >/dev/null; then chkconfig --add $s\n"
        "else update-rc.d $s defaults; fi";
    KaInside *inside = customise->inside;

    if (ka_inside_is(inside, "/usr/lib/systemd", KA_INSIDE_FOLDER) ||
        ka_inside_is(inside, "/lib/systemd", KA_INSIDE_FOLDER))
        return ka_inside_make_folder(inside, "/etc/systemd/system/multi-user.target.wants", 0755,
                                     error) &&
               ka_inside_write(inside, "/etc/systemd/system/" SERVICE ".service", unit,
                               strlen(unit), 0644, error) &&
               ka_inside_remove(inside,
                                "/etc/systemd/system/multi-user.target.wants/" SERVICE ".service",
                                error) &&
               ka_inside_link(inside, "../" SERVICE ".service",
                              "/etc/systemd/system/multi-user.target.wants/" SERVICE ".service",
                              error);
    return ka_inside_write(inside, "/etc/init.d/" SERVICE, init, strlen(init), 0755, error) &&
           ka_customise_sh(customise, by_sysv, error);
}

gboolean
ka_step_first_boot(KaCustomise *customise, const KaNode *node, GError **error)
{
    guint number = 0;

    if (!ka_inside_make_folder(customise->inside, FIRST_BOOT_SCRIPTS, 0755, error) ||
        !ka_inside_write(customise->inside, FIRST_BOOT "/first-boot", runner, strlen(runner), 0755,
                         error))
        return FALSE;
    for (const KaNode *item = node->first; item; item = item->next) {
        if (!put_script(customise, item, ++number, error))
            return FALSE;
    }
    return enable(customise, error);
}

gboolean
ka_step_selinux(KaCustomise *customise, const KaNode *node, GError **error)
{
    (void)node;
    return ka_inside_write(customise->inside, "/.autorelabel", "", 0, 0644, error);
}
