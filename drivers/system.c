#include "drivers/system_part.h"

#include <string.h>

G_DEFINE_QUARK(ka - system - error - quark, ka_system_error)

static void
volume_free(KaSystemVolume *volume)
{
    g_free(volume->device);
    g_free(volume->mountable);
    g_free(volume->type);
    g_free(volume->uuid);
    g_free(volume->label);
    g_free(volume->part_uuid);
    g_free(volume->part_label);
    g_free(volume->trouble);
    g_free(volume);
}

void
ka_key_free(KaKey *key)
{
    if (!key)
        return;
    if (key->secret)
        explicit_bzero(key->secret, strlen(key->secret));
    g_free(key->secret);
    g_free(key->device);
    g_free(key);
}

static gboolean refuse(const KaSystemSearch *search, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean
refuse(const KaSystemSearch *search, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "'%s' %s", search->image, why);
    return FALSE;
}

static void
free_words(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

static const char *
value_of(char **pairs, const char *key)
{
    for (; pairs && pairs[0] && pairs[1]; pairs += 2)
        if (g_str_equal(pairs[0], key))
            return pairs[1];
    return NULL;
}

/* The volume is known by what blkid sees in it, never by what its partition's type says. */
static void
add_volume(KaSystemSearch *search, const char *device)
{
    for (guint i = 0; i < search->volumes->len; i++)
        if (g_str_equal(((KaSystemVolume *)g_ptr_array_index(search->volumes, i))->device, device))
            return;
    char **seen = guestfs_blkid(search->handle, device);
    KaSystemVolume *volume = g_new0(KaSystemVolume, 1);
    const char *type = value_of(seen, "TYPE");
    volume->device = g_strdup(device);
    volume->mountable = g_strdup(device);
    volume->type = g_strdup(type ? type : "");
    volume->uuid = g_strdup(value_of(seen, "UUID"));
    volume->label = g_strdup(value_of(seen, "LABEL"));
    volume->part_uuid = g_strdup(value_of(seen, "PART_ENTRY_UUID"));
    volume->part_label = g_strdup(value_of(seen, "PART_ENTRY_NAME"));
    g_ptr_array_add(search->volumes, volume);
    free_words(seen);
}

static gboolean
is_partition_of(const char *partition, const char *drive)
{
    gsize length = strlen(drive);
    return g_str_has_prefix(partition, drive) && partition[length] != '\0' &&
           partition[length + strspn(partition + length, "0123456789p")] == '\0';
}

static gboolean
add_partitions(KaSystemSearch *search, GError **error)
{
    char **partitions = guestfs_list_partitions(search->handle);
    if (!partitions)
        return ka_appliance_error(search->appliance, error, "'%s'", search->image);
    for (char **drive = search->drives; *drive; drive++) {
        guint before = search->volumes->len;
        for (char **partition = partitions; *partition; partition++)
            if (is_partition_of(*partition, *drive))
                add_volume(search, *partition);
        if (search->volumes->len == before)
            add_volume(search, *drive);
    }
    free_words(partitions);
    return TRUE;
}

static gboolean
is_type(const KaSystemVolume *volume, const char *const *types)
{
    return g_strv_contains(types, volume->type);
}

static const char *const assembled[] = {"LVM2_member", "crypto_LUKS", "linux_raid_member",
                                        "btrfs",       "zfs_member",  "bcache",
                                        "VDO",         NULL};

/* Opens an encrypted one with the first key that fits. */
static gboolean
open_encrypted(KaSystemSearch *search, const KaSystemVolume *volume, GError **error)
{
    g_autofree char *name = g_strdup_printf("kvmapply%u", search->n_opened);
    g_autofree char *device = g_strdup_printf("/dev/mapper/%s", name);
    gboolean tried = FALSE;
    for (guint i = 0; search->keys && i < search->keys->len; i++) {
        const KaKey *key = g_ptr_array_index(search->keys, i);
        if (key->device && !g_str_equal(key->device, volume->device))
            continue;
        tried = TRUE;
        if (guestfs_cryptsetup_open(search->handle, volume->device, key->secret, name, -1) == 0) {
            search->n_opened++;
            add_volume(search, device);
            return TRUE;
        }
    }
    return tried ? refuse(search, error, "has the encrypted %s, which no given key opens",
                          volume->device)
                 : refuse(search, error,
                          "has the encrypted %s: name a file with its key (--key FILE)",
                          volume->device);
}

static void
add_lists(KaSystemSearch *search, char **devices)
{
    for (char **device = devices; device && *device; device++)
        add_volume(search, *device);
    free_words(devices);
}

/* LVM, RAID and LUKS may lie on each other: until nothing new comes to light. */
static gboolean
assemble(KaSystemSearch *search, GError **error)
{
    gboolean alone = ka_appliance_options(search->appliance)->alone;
    for (guint i = 0; i < search->volumes->len; i++) {
        const KaSystemVolume *volume = g_ptr_array_index(search->volumes, i);
        if (!alone && is_type(volume, assembled)) {
            g_set_error(error, KA_SYSTEM_ERROR, KA_SYSTEM_ERROR_ALONE,
                        "'%s' has %s on %s and needs an appliance of its own", search->image,
                        volume->type, volume->device);
            return FALSE;
        }
        if (g_str_equal(volume->type, "crypto_LUKS") && !open_encrypted(search, volume, error))
            return FALSE;
        if (g_str_equal(volume->type, "linux_raid_member"))
            add_lists(search, guestfs_list_md_devices(search->handle));
        if (g_str_equal(volume->type, "LVM2_member")) {
            search->has_lvm = TRUE;
            guestfs_lvm_scan(search->handle, 1);
            add_lists(search, guestfs_lvs(search->handle));
        }
    }
    return TRUE;
}

static const char *const root_types[] = {"ext4", "ext3",   "ext2",     "xfs",      "btrfs", "f2fs",
                                         "jfs",  "nilfs2", "reiserfs", "squashfs", "erofs", NULL};

static const char *const releases[] = {
    "/etc/os-release",     "/usr/lib/os-release", "/etc/debian_version", "/etc/redhat-release",
    "/etc/alpine-release", "/etc/SuSE-release",   "/etc/arch-release",   NULL};

static gboolean
is_there(KaInside *inside, const char *path)
{
    return !ka_inside_is(inside, path, KA_INSIDE_NONE);
}

/* A system of its own: it has a release, and users or a table of file systems. */
static gboolean
looks_like_root(KaAppliance *appliance)
{
    KaSystem bare = {.appliance = appliance};
    g_autoptr(KaInside) inside = ka_inside_new(&bare);
    if (!is_there(inside, "/etc/passwd") && !is_there(inside, "/etc/fstab"))
        return FALSE;
    for (const char *const *release = releases; *release; release++)
        if (is_there(inside, *release))
            return TRUE;
    return FALSE;
}

static gboolean
try_root(KaSystemSearch *search, const char *mountable, KaSystemVolume *volume)
{
    if (guestfs_mount(search->handle, mountable, "/") < 0) {
        g_free(volume->trouble);
        volume->trouble = g_strdup(guestfs_last_error(search->handle));
        return FALSE;
    }
    gboolean found = looks_like_root(search->appliance);
    guestfs_umount_all(search->handle);
    return found;
}

/* btrfs: its default subvolume, else the ones that installers make; old copies (snapshots) are
 * none. */
static gboolean
try_subvolumes(KaSystemSearch *search, KaSystemVolume *volume)
{
    static const char *const names[] = {"root", "@", "@rootfs", "rootfs", "@/root"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *mountable = g_strdup_printf("btrfsvol:%s/%s", volume->device, names[i]);
        if (!try_root(search, mountable, volume))
            continue;
        g_free(volume->mountable);
        volume->mountable = g_steal_pointer(&mountable);
        return TRUE;
    }
    return FALSE;
}

static gboolean
refuse_none(KaSystemSearch *search, GError **error)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    const char *trouble = NULL;
    for (guint i = 0; i < search->volumes->len; i++) {
        const KaSystemVolume *volume = g_ptr_array_index(search->volumes, i);
        if (g_str_equal(volume->type, "ntfs"))
            return refuse(search, error,
                          "has an NTFS file system (%s) and no Linux: Windows has its own means "
                          "(sysprep /generalize), and none of the operations here applies to it",
                          volume->device);
        g_string_append_printf(seen, "%s%s %s", seen->len ? ", " : "", volume->device,
                               *volume->type ? volume->type : "(nothing known)");
        trouble = volume->trouble ? volume->trouble : trouble;
    }
    return refuse(search, error, "has no Linux system that could be found; it has %s%s%s",
                  seen->str, trouble ? "; " : "", trouble ? trouble : "");
}

/* The one volume with a system. NULL with an error: none, or several. */
static KaSystemVolume *
find_root(KaSystemSearch *search, GError **error)
{
    KaSystemVolume *root = NULL;
    for (guint i = 0; i < search->volumes->len; i++) {
        KaSystemVolume *volume = g_ptr_array_index(search->volumes, i);
        if (!ka_appliance_may_go_on(search->appliance, error))
            return NULL;
        if (!is_type(volume, root_types))
            continue;
        gboolean is_btrfs = g_str_equal(volume->type, "btrfs");
        if (!try_root(search, volume->device, volume) &&
            !(is_btrfs && try_subvolumes(search, volume)))
            continue;
        if (root) {
            refuse(search, error, "has two systems, on %s and on %s: give each an image of its own",
                   root->device, volume->device);
            return NULL;
        }
        root = volume;
    }
    if (ka_appliance_is_dead(search->appliance))
        ka_appliance_error(search->appliance, error, "'%s'", search->image);
    else if (!root)
        refuse_none(search, error);
    return root;
}

/* The kernel says so when it replays a journal. */
static gboolean
was_replayed(const KaSystemSearch *search)
{
    static const char *const words[] = {"recovery complete", "Starting recovery", "log replay",
                                        "start tree-log", NULL};
    gboolean found = FALSE;
    char *text = guestfs_dmesg(search->handle);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line && !found; line++) {
        gboolean ours = ka_appliance_options(search->appliance)->alone;
        for (char **drive = search->drives; *drive && !ours; drive++) {
            g_autofree char *name = g_strconcat("(", *drive + strlen("/dev/"), NULL);
            ours = strstr(*line, name) != NULL;
        }
        for (const char *const *word = words; *word && ours; word++)
            found = found || strstr(*line, *word) != NULL;
    }
    free(text);
    return found;
}

static KaSystem *
search_system(KaSystemSearch *search, GError **error)
{
    KaSystemVolume *root = NULL;
    if (!add_partitions(search, error) || !assemble(search, error) ||
        !(root = find_root(search, error)))
        return NULL;
    g_autoptr(KaSystem) system = g_new0(KaSystem, 1);
    system->appliance = search->appliance;
    system->mounts = g_ptr_array_new_with_free_func(g_free);
    system->devices = g_ptr_array_new_with_free_func(g_free);
    system->root = g_strdup(root->device);
    system->has_lvm = search->has_lvm;
    for (guint i = 0; i < search->volumes->len; i++) {
        const KaSystemVolume *volume = g_ptr_array_index(search->volumes, i);
        g_ptr_array_add(system->devices, g_strdup(volume->device));
    }
    if (!ka_system_mount_all(search, system, root, error) || !ka_system_read_release(system, error))
        return NULL;
    system->replayed = was_replayed(search);
    return g_steal_pointer(&system);
}

KaSystem *
ka_system_mount(KaAppliance *appliance,
                guint first,
                guint n,
                const char *image,
                const GPtrArray *keys,
                GError **error)
{
    KaSystemSearch search = {appliance, ka_appliance_handle(appliance), image, keys};
    char **devices = guestfs_list_devices(search.handle);
    guint n_devices = devices ? g_strv_length(devices) : 0;
    if (first + n > n_devices) {
        free_words(devices);
        ka_appliance_error(appliance, error, "'%s': its drives don't show", image);
        return NULL;
    }
    search.drives = g_new0(char *, n + 1);
    for (guint i = 0; i < n; i++)
        search.drives[i] = g_strdup(devices[first + i]);
    free_words(devices);
    search.volumes = g_ptr_array_new_with_free_func((GDestroyNotify)volume_free);
    KaSystem *system = search_system(&search, error);
    g_ptr_array_unref(search.volumes);
    g_strfreev(search.drives);
    return system;
}

gboolean
ka_system_trim(const KaSystem *system, GError **error)
{
    for (guint i = 0; i < system->mounts->len; i++) {
        const char *point = g_ptr_array_index(system->mounts, i);
        if (!ka_appliance_may_go_on(system->appliance, error))
            return FALSE;
        if (guestfs_fstrim(ka_appliance_handle(system->appliance), point, -1) < 0 &&
            ka_appliance_is_dead(system->appliance))
            return ka_appliance_error(system->appliance, error, "free space can't be given back");
    }
    return TRUE;
}

gboolean
ka_system_unmount(const KaSystem *system, GError **error)
{
    return guestfs_umount_all(ka_appliance_handle(system->appliance)) == 0 ||
           ka_appliance_error(system->appliance, error, "%s can't be unmounted", system->root);
}

void
ka_system_free(KaSystem *system)
{
    if (!system)
        return;
    g_free(system->id);
    g_free(system->version);
    g_free(system->name);
    g_free(system->root);
    g_clear_pointer(&system->devices, g_ptr_array_unref);
    g_clear_pointer(&system->mounts, g_ptr_array_unref);
    g_free(system);
}
