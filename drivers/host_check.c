#include "drivers/host_check.h"
#include "drivers/channel.h"
#include "drivers/link.h"

#include <string.h>

/* A fact a line, NAME=VALUE. What isn't there has no value. */
#define FACTS_SCRIPT                                                                               \
    "export LC_ALL=C; a=$(uname -m); f=$(grep -m1 -o -w -E \"vmx|svm\" /proc/cpuinfo | head -n1); " \
    "case $a in x86_64|i?86) ;; *) f=$a;; esac; echo cpu=$f; "                                     \
    "if [ ! -c /dev/kvm ]; then echo kvm-device=missing; elif [ -r /dev/kvm ] && "                 \
    "[ -w /dev/kvm ]; then echo kvm-device=usable; else echo kvm-device=no permission; fi; "       \
    "m=q35; case $a in aarch64) m=virt;; ppc64le) m=pseries;; s390x) m=s390-ccw-virtio;; esac; "   \
    "q=$(command -v qemu-system-$a || command -v qemu-kvm || echo /usr/libexec/qemu-kvm); "        \
    "[ ! -x $q ] || if echo quit | timeout 20 $q -M $m,accel=kvm -cpu host -nodefaults "           \
    "-display none -monitor stdio >/dev/null 2>&1; then echo kvm-guest=starts; "                   \
    "else echo kvm-guest=fails; fi; "                                                              \
    "for m in kvm_intel kvm_amd kvm; do [ ! -d /sys/module/$m ] || { echo kvm-module=$m; break; }; " \
    "done; for p in kvm_intel/parameters/ept kvm_amd/parameters/npt; do "                          \
    "[ ! -r /sys/module/$p ] || echo paging=$(cat /sys/module/$p); done; "                         \
    "for p in kvm_intel kvm_amd; do [ ! -r /sys/module/$p/parameters/nested ] || "                 \
    "echo nested=$(cat /sys/module/$p/parameters/nested); done; "                                  \
    "echo iommu=$(ls /sys/kernel/iommu_groups 2>/dev/null | wc -l) groups; "                       \
    "[ ! -c /dev/vhost-net ] || echo vhost=vhost-net; [ ! -c /dev/net/tun ] || echo tun=there; "   \
    "echo cgroups=$(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || ls /sys/fs/cgroup); "     \
    "s=none; [ \\\"$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)\\\" != Y ] || "      \
    "s=AppArmor; [ \\\"$(cat /sys/fs/selinux/enforce 2>/dev/null)\\\" != 1 ] || s=SELinux; "       \
    "echo security=$s; k=none; for f in /boot/vmlinuz-* /lib/modules/*/vmlinuz; do "               \
    "[ ! -e $f ] || { k=unreadable; [ ! -r $f ] || { k=readable; break; }; }; done; "              \
    "echo appliance-kernel=$k; "                                                                   \
    "while read n v u; do [ $n != MemAvailable: ] || echo memory=$((v / 1024)) MiB; "              \
    "done </proc/meminfo; df -Pk /var/lib/libvirt/images 2>/dev/null | "                           \
    "{ read h; read d t u a r && echo image-space=$((a / 1048576)) GiB; }; true"

typedef struct {
    const char *name; /* the fact's */
    const char *good; /* a regular expression that a good value matches */
    KaFit otherwise;
    const char *advice;
} Row;

static const Row rows[] = {
    {"libvirt", "^[0-9]", KA_FIT_FAIL,
     "start libvirt (systemctl start libvirtd, or virtqemud.socket), or name another URI"},
    {"qemu", "^[0-9]", KA_FIT_FAIL, "install QEMU (qemu-system-x86, qemu-kvm)"},
    {"login", "^(works|this machine)$", KA_FIT_WARN,
     "without it nothing below can be told: give the host 'ssh: USER@HOST'"},
    {"cpu", "^(vmx|svm|aarch64|ppc64le|s390x)$", KA_FIT_FAIL,
     "turn on virtualisation in the firmware (VT-x, AMD-V), or nested virtualisation below this host"},
    {"kvm-module", "^kvm", KA_FIT_FAIL, "load it: modprobe kvm_intel or kvm_amd"},
    {"kvm-device", "^usable$", KA_FIT_FAIL,
     "load the kvm module, or let the user into the group kvm"},
    {"kvm-guest", "^starts$", KA_FIT_FAIL,
     "QEMU can't use KVM though the device may be there: see dmesg; guests run under emulation"},
    {"kvm-in-libvirt", "^kvm$", KA_FIT_FAIL,
     "libvirt offers no KVM: restart it once /dev/kvm is usable (it asks QEMU once and remembers)"},
    {"paging", "^(Y|1)$", KA_FIT_WARN, "EPT or NPT is off: guests are much slower; see kvm's options"},
    {"nested", "^(Y|1)$", KA_FIT_WARN,
     "only for guests that run guests: tuning module-options {kvm_intel: {nested: 1}}"},
    {"iommu", "^[1-9]", KA_FIT_WARN,
     "only for devices handed to guests: turn it on in the firmware and with intel_iommu=on"},
    {"vhost", "^vhost-net$", KA_FIT_WARN, "modprobe vhost_net: networks are slower without it"},
    {"tun", "^there$", KA_FIT_FAIL, "modprobe tun: guests have no network without it"},
    {"cgroups", "^(?=.*\\bcpu\\b)(?=.*\\bmemory\\b)", KA_FIT_WARN,
     "the cpu and memory controllers are missing: limits of guests have no effect"},
    {"security", "^(none|AppArmor|SELinux)$", KA_FIT_WARN, ""},
    {"appliance-kernel", "^readable$", KA_FIT_WARN,
     "images can't be built or cleaned here: chmod 0644 /boot/vmlinuz-* (Ubuntu keeps it from users)"},
    {"memory", "^([1-9][0-9]{3,}) MiB$", KA_FIT_WARN, "less than 1 GiB is available"},
    {"image-space", "^([1-9][0-9]+) GiB$", KA_FIT_WARN,
     "less than 10 GiB are free where images lie by default (/var/lib/libvirt/images)"},
    {"pools", "^(all|none)\\b", KA_FIT_WARN, "start them: virsh pool-start NAME says why one can't"},
};

void
ka_finding_free(KaFinding *finding)
{
    g_free(finding->found);
    g_free(finding);
}

static void
put(GHashTable *facts, const char *name, char *value /* taken */)
{
    g_hash_table_insert(facts, g_strdup(name), value);
}

static void
read_facts(const KaHost *host, GHashTable *facts)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) output = ka_channel_run(host, 0, FACTS_SCRIPT, NULL, 0, NULL, &error);
    g_auto(GStrv) lines = output ? g_strsplit((const char *)output->data, "\n", -1) : NULL;

    put(facts, "login", g_strdup(output ? "works" : error->message));
    for (char **line = lines; line && *line; line++) {
        char *equals = strchr(*line, '=');
        g_autofree char *name = equals ? g_strndup(*line, (gsize)(equals - *line)) : NULL;
        if (name && equals[1])
            put(facts, name, g_utf8_make_valid(equals + 1, -1));
    }
}

static char *
version_of(unsigned long number)
{
    return g_strdup_printf("%lu.%lu.%lu", number / 1000000, number / 1000 % 1000, number % 1000);
}

static char *
pools_of(virConnectPtr conn)
{
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, 0);
    g_autoptr(GString) stopped = g_string_new(NULL);

    for (int i = 0; i < n; i++) {
        if (!virStoragePoolIsActive(pools[i]))
            g_string_append_printf(stopped, "%s%s", stopped->len ? ", " : "not active: ",
                                   virStoragePoolGetName(pools[i]));
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return stopped->len ? g_strdup(stopped->str)
           : n > 0      ? g_strdup_printf("all %d active", n)
                        : g_strdup("none defined");
}

static void
ask_libvirt(KaHost *host, GHashTable *facts)
{
    unsigned long number = 0;

    if (host->error) {
        put(facts, "libvirt", g_strdup(host->error->message));
        return;
    }
    virConnectPtr conn = ka_link(host)->conn;
    if (virConnectGetLibVersion(conn, &number) == 0)
        put(facts, "libvirt", version_of(number));
    if (virConnectGetVersion(conn, &number) == 0)
        put(facts, "qemu", version_of(number));
    put(facts, "kvm-in-libvirt", g_strdup(ka_link_domain_type(host, NULL)));
    put(facts, "pools", pools_of(conn));
}

/* Facts that need what isn't there are left out: their cause is a finding already. */
static gboolean
is_moot(GHashTable *facts, const Row *row)
{
    const char *login = g_hash_table_lookup(facts, "login");
    static const char *const asked[] = {"libvirt", "qemu", "login", "kvm-in-libvirt", "pools", NULL};
    static const char *const of_libvirt[] = {"qemu", "kvm-in-libvirt", "pools", NULL};
    const char *libvirt = g_hash_table_lookup(facts, "libvirt");

    if (g_strv_contains(of_libvirt, row->name))
        return !libvirt || !g_ascii_isdigit(*libvirt);
    return !g_strv_contains(asked, row->name) && g_strcmp0(login, "works") != 0;
}

GPtrArray *
ka_host_check(KaHost *host, guint timeout_seconds)
{
    GPtrArray *findings = g_ptr_array_new_with_free_func((GDestroyNotify)ka_finding_free);
    g_autoptr(GHashTable) facts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    if (!host->link && !host->error)
        ka_link_connect(host, timeout_seconds);
    ask_libvirt(host, facts);
    read_facts(host, facts);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *value = g_hash_table_lookup(facts, rows[i].name);
        if (is_moot(facts, &rows[i]))
            continue;
        KaFinding *finding = g_new0(KaFinding, 1);
        gboolean good = value && g_regex_match_simple(rows[i].good, value, 0, 0);
        *finding = (KaFinding){rows[i].name, good ? KA_FIT_PASS : rows[i].otherwise,
                               g_strdup(value ? value : "not there"),
                               good ? NULL : rows[i].advice};
        g_ptr_array_add(findings, finding);
    }
    return findings;
}
