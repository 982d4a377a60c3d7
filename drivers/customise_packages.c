#include "drivers/customise.h"

#include <string.h>

/* One package manager. %s is a list of packages or files, quoted for sh. */
struct KaManager {
    const char *name;
    const char *programs[3]; /* any of them tells that it is there */
    const char *update, *install, *install_files;
    const char *list; /* NAME, tab, VERSION, tab, ARCHITECTURE */
    const char *purl;
};

/* Services that packages bring don't start within a build. */
#define APT_QUIETLY                                                                                \
    "p=/usr/sbin/policy-rc.d; if [ ! -e $p ]; then printf '#!/bin/sh\\nexit 101\\n' >$p; "        \
    "chmod 755 $p; trap 'rm -f $p' EXIT; fi; "
#define APT "apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "
#define RPM_LIST "rpm -qa --qf '%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\n'"

static const KaManager managers[] = {
    {"apt",
     {"/usr/bin/apt-get"},
     APT_QUIETLY "apt-get -q update && " APT "dist-upgrade",
     APT_QUIETLY "apt-get -q update && " APT "install %s",
     APT_QUIETLY "apt-get -q update && " APT "install %s",
     "dpkg-query -W -f '${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status}\\n' | "
     "grep 'installed$' | cut -f1-3",
     "deb"                           },
    {"dnf",
     {"/usr/bin/dnf", "/usr/bin/dnf5"},
     "dnf -y upgrade --refresh",
     "dnf -y install %s",
     "dnf -y install %s",
     RPM_LIST,
     "rpm"                           },
    {"yum",
     {"/usr/bin/yum"},
     "yum -y update",
     "yum -y install %s",
     "yum -y install %s",
     RPM_LIST,
     "rpm"                           },
    {"zypper",
     {"/usr/bin/zypper"},
     "zypper -n update -l",
     "zypper -n install -l %s",
     "zypper -n install -l --allow-unsigned-rpm %s",
     RPM_LIST,
     "rpm"                           },
    {"apk",
     {"/sbin/apk", "/usr/bin/apk"},
     "apk update && apk upgrade",
     "apk update && apk add %s",
     "apk add --allow-untrusted %s",
     "apk info -v 2>/dev/null | sed 's/-\\([0-9][^-]*-r[0-9]*\\)$/\\t\\1\\t/'",
     "apk"                           },
    {"pacman",
     {"/usr/bin/pacman"},
     "pacman -Syu --noconfirm",
     "pacman -Syu --noconfirm --needed %s",
     "pacman -U --noconfirm %s",
     "pacman -Q | sed 's/ /\\t/;s/$/\\t/'",
     "alpm"                          },
};

const KaManager *
ka_manager_find(KaInside *inside)
{
    for (gsize i = 0; i < G_N_ELEMENTS(managers); i++) {
        for (gsize j = 0; managers[i].programs[j]; j++) {
            g_autoptr(KaInsideEntry) entry =
                ka_inside_look(inside, managers[i].programs[j], NULL);
            if (entry && (entry->type == KA_INSIDE_FILE || entry->type == KA_INSIDE_LINK ||
                          entry->type == KA_INSIDE_ODD))
                return &managers[i];
        }
    }
    return NULL;
}

const char *
ka_manager_name(const KaManager *manager)
{
    return manager->name;
}

const char *
ka_manager_purl(const KaManager *manager)
{
    return manager->purl;
}

char *
ka_manager_list(KaCustomise *customise, GError **error)
{
    guestfs_h *g = ka_appliance_handle(customise->appliance);
    char *out = guestfs_sh(g, customise->manager->list);
    char *text = g_strdup(out);

    free(out);
    if (text == NULL)
        ka_appliance_error(customise->appliance, error, "can't list the packages");
    return text;
}

/* words: owned, unquoted. */
static gboolean
manage(KaCustomise *customise, const char *command, const GPtrArray *words, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(command, "%s", 2);
    g_autoptr(GString) script = g_string_new(parts[0]);

    for (guint i = 0; i < words->len; i++) {
        g_autofree char *quoted = g_shell_quote(g_ptr_array_index(words, i));
        g_string_append_printf(script, " %s", quoted);
    }
    if (parts[0] && parts[1])
        g_string_append(script, parts[1]);
    return ka_customise_sh(customise, script->str, error);
}

static gboolean
has_manager(const KaCustomise *customise, GError **error)
{
    return customise->manager ||
           ka_invalid(error, "the image has no package manager that is known (apt, dnf, "
                                       "yum, zypper, apk, pacman)");
}

gboolean
ka_step_update(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    (void)node;
    return has_manager(customise, error) &&
           manage(customise, customise->manager->update, none, error);
}

gboolean
ka_step_install(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autoptr(GPtrArray) packages = g_ptr_array_new();

    for (const KaNode *item = node->first; item; item = item->next)
        g_ptr_array_add(packages, ka_borrow(item->text));
    return has_manager(customise, error) &&
           manage(customise, customise->manager->install, packages, error);
}

gboolean
ka_step_install_files(KaCustomise *customise, const KaNode *node, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);

    for (const KaNode *item = node->first; item; item = item->next) {
        char *path = ka_customise_upload(customise, item, error);
        if (path == NULL)
            return FALSE;
        g_ptr_array_add(files, path);
    }
    return has_manager(customise, error) &&
           manage(customise, customise->manager->install_files, files, error);
}
