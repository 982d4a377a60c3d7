#include "drivers/system_part.h"

#include <string.h>

static void
warn(const KaAppliance *appliance, char *text /* taken */)
{
    GPtrArray *warnings = ka_appliance_options(appliance)->warnings;
    if (warnings)
        g_ptr_array_add(warnings, text);
    else
        g_free(text);
}

/* "/dev/mapper/vg--a-root" is "/dev/vg-a/root". */
static char *
unmap(const char *name)
{
    g_autoptr(GString) out = g_string_new("/dev/");
    for (; *name; name++) {
        if (name[0] == '-' && name[1] == '-')
            g_string_append_c(out, *name++);
        else
            g_string_append_c(out, *name == '-' ? '/' : *name);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* "/dev/vda2", "/dev/nvme0n1p2": the second partition of the first drive. */
static char *
translate(const KaSystemSearch *search, const char *device)
{
    static GRegex *pattern = NULL;
    if (g_once_init_enter(&pattern))
        g_once_init_leave(
            &pattern,
            g_regex_new("^/dev/(?:(?:x?v|s|h)d([a-z])|nvme([0-9])n1p?)([0-9]*)$", 0, 0, NULL));
    g_autoptr(GMatchInfo) match = NULL;
    if (!g_regex_match(pattern, device, 0, &match))
        return NULL;
    g_autofree char *letter = g_match_info_fetch(match, 1);
    g_autofree char *digit = g_match_info_fetch(match, 2);
    g_autofree char *number = g_match_info_fetch(match, 3);
    guint index = *letter ? (guint)(*letter - 'a') : (guint)(*digit - '0');
    if (index >= g_strv_length(search->drives))
        return NULL;
    return g_strconcat(search->drives[index], number, NULL);
}

static gboolean
is_named(const KaSystemVolume *volume, const char *kind, const char *name)
{
    const struct {
        const char *kind, *value;
    } values[] = {
        {"UUID",         volume->uuid      },
        {"LABEL",        volume->label     },
        {"PARTUUID",     volume->part_uuid },
        {"PARTLABEL",    volume->part_label},
        {"by-uuid",      volume->uuid      },
        {"by-label",     volume->label     },
        {"by-partuuid",  volume->part_uuid },
        {"by-partlabel", volume->part_label}
    };
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        if (g_str_equal(kind, values[i].kind))
            return values[i].value && g_ascii_strcasecmp(values[i].value, name) == 0;
    return FALSE;
}

/* What a line of fstab names. NULL: none of the volumes. */
static const KaSystemVolume *
find_volume(const KaSystemSearch *search, const char *spec)
{
    g_autofree char *device = NULL;
    g_auto(GStrv) parts = NULL;
    if (g_str_has_prefix(spec, "/dev/disk/"))
        parts = g_strsplit(spec + strlen("/dev/disk/"), "/", 2);
    else if (g_str_has_prefix(spec, "/dev/mapper/"))
        device = unmap(spec + strlen("/dev/mapper/"));
    else if (*spec == '/')
        device = translate(search, spec);
    else
        parts = g_strsplit(spec, "=", 2);
    for (guint i = 0; i < search->volumes->len; i++) {
        const KaSystemVolume *volume = g_ptr_array_index(search->volumes, i);
        if (g_str_equal(volume->device, device ? device : spec))
            return volume;
        if (!parts || !parts[0] || !parts[1])
            continue;
        g_autofree char *name = g_strcompress(parts[1]);
        gsize length = strlen(name);
        gboolean quoted = length > 1 && *name == '"' && name[length - 1] == '"';
        if (quoted)
            name[length - 1] = '\0';
        if (is_named(volume, parts[0], name + quoted))
            return volume;
    }
    return NULL;
}

typedef struct {
    const KaSystemVolume *volume;
    char *point;     /* owned */
    char *subvolume; /* owned; NULL: none */
} Mount;

static void
mount_free(Mount *mount)
{
    g_free(mount->point);
    g_free(mount->subvolume);
    g_free(mount);
}

static int
compare_mounts(gconstpointer a, gconstpointer b)
{
    const Mount *one = *(const Mount *const *)a, *other = *(const Mount *const *)b;
    return strcmp(one->point, other->point); /* a folder before what is in it */
}

static Mount *
mount_new(const KaSystemSearch *search, char **words)
{
    static const char *const away[] = {"swap", "proc", "sysfs", "tmpfs",   "devpts", "nfs",
                                       "nfs4", "cifs", "none",  "iso9660", "udf",    NULL};
    guint n = g_strv_length(words);
    if (n < 3 || *words[1] != '/' || words[1][1] == '\0' || g_strv_contains(away, words[2]))
        return NULL;
    const char *option = n > 3 ? strstr(words[3], "subvol=") : NULL;
    if (n > 3 && strstr(words[3], "bind"))
        return NULL;
    const KaSystemVolume *volume = find_volume(search, words[0]);
    if (!volume) {
        warn(search->appliance,
             g_strdup_printf("%s: its fstab has %s on %s, which isn't on its drives: not looked at",
                             search->image, words[0], words[1]));
        return NULL;
    }
    Mount *mount = g_new0(Mount, 1);
    mount->volume = volume;
    mount->point = g_canonicalize_filename(words[1], "/");
    if (option) {
        const char *name = option + strlen("subvol=");
        mount->subvolume = g_strndup(name, strcspn(name, ","));
    }
    return mount;
}

static GPtrArray *
read_fstab(const KaSystemSearch *search, KaInside *inside, GError **error)
{
    g_autoptr(GPtrArray) mounts = g_ptr_array_new_with_free_func((GDestroyNotify)mount_free);
    g_autoptr(GError) lost = NULL;
    g_autofree char *text = ka_inside_read(inside, "/etc/fstab", 1 << 20, NULL, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return NULL;
    }
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) split = g_strsplit_set(*line, " \t", -1);
        g_autoptr(GPtrArray) words = g_ptr_array_new();
        for (char **word = split; *word && **split != '#'; word++)
            if (**word)
                g_ptr_array_add(words, *word);
        g_ptr_array_add(words, NULL);
        Mount *mount = mount_new(search, (char **)words->pdata);
        if (mount)
            g_ptr_array_add(mounts, mount);
    }
    g_ptr_array_sort(mounts, compare_mounts);
    return g_steal_pointer(&mounts);
}

static gboolean
mount_one(const KaSystemSearch *search, KaSystem *system, const Mount *mount, GError **error)
{
    /* Anew for each: what was known of the folder is hidden by what is mounted on it. */
    g_autoptr(KaInside) inside = ka_inside_new(system);
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, mount->point, error);
    const char *subvolume = mount->subvolume;
    if (!entry)
        return FALSE;
    if (entry->type != KA_INSIDE_FOLDER) {
        warn(search->appliance,
             g_strdup_printf("%s: %s isn't mounted, since its folder is missing or a link",
                             search->image, mount->point));
        return TRUE;
    }
    while (subvolume && *subvolume == '/')
        subvolume++;
    g_autofree char *mountable =
        subvolume && *subvolume && g_str_equal(mount->volume->type, "btrfs")
            ? g_strdup_printf("btrfsvol:%s/%s", mount->volume->device, subvolume)
            : g_strdup(mount->volume->device);
    if (guestfs_mount(search->handle, mountable, entry->path) < 0)
        return ka_appliance_error(search->appliance, error, "'%s': %s can't be mounted on %s",
                                  search->image, mountable, mount->point);
    g_ptr_array_add(system->mounts, g_strdup(entry->path));
    return TRUE;
}

gboolean
ka_system_mount_all(const KaSystemSearch *search,
                    KaSystem *system,
                    const KaSystemVolume *root,
                    GError **error)
{
    if (guestfs_mount(search->handle, root->mountable, "/") < 0)
        return ka_appliance_error(search->appliance, error, "'%s': %s can't be mounted",
                                  search->image, root->device);
    g_ptr_array_add(system->mounts, g_strdup("/"));
    g_autoptr(KaInside) inside = ka_inside_new(system);
    g_autoptr(GPtrArray) mounts = read_fstab(search, inside, error);
    for (guint i = 0; mounts && i < mounts->len; i++)
        if (!mount_one(search, system, g_ptr_array_index(mounts, i), error))
            return FALSE;
    return mounts != NULL;
}

static gboolean
is_there(KaInside *inside, const char *path)
{
    return !ka_inside_is(inside, path, KA_INSIDE_NONE);
}

static const struct {
    const char *id;
    KaFamily family;
} families[] = {
    {"debian",    KA_FAMILY_DEBIAN },
    {"ubuntu",    KA_FAMILY_DEBIAN },
    {"devuan",    KA_FAMILY_DEBIAN },
    {"kali",      KA_FAMILY_DEBIAN },
    {"fedora",    KA_FAMILY_RED_HAT},
    {"rhel",      KA_FAMILY_RED_HAT},
    {"centos",    KA_FAMILY_RED_HAT},
    {"rocky",     KA_FAMILY_RED_HAT},
    {"almalinux", KA_FAMILY_RED_HAT},
    {"ol",        KA_FAMILY_RED_HAT},
    {"openEuler", KA_FAMILY_RED_HAT},
    {"suse",      KA_FAMILY_SUSE   },
    {"opensuse",  KA_FAMILY_SUSE   },
    {"sles",      KA_FAMILY_SUSE   },
    {"arch",      KA_FAMILY_ARCH   },
    {"alpine",    KA_FAMILY_ALPINE },
};

static KaFamily
family_of(const char *ids)
{
    g_auto(GStrv) words = g_strsplit(ids, " ", -1);
    for (char **word = words; *word; word++)
        for (gsize i = 0; i < G_N_ELEMENTS(families); i++)
            if (g_str_equal(*word, families[i].id))
                return families[i].family;
    return KA_FAMILY_OTHER;
}

/* os-release(5); before it there were files of each family's own. */
gboolean
ka_system_read_release(KaSystem *system, GError **error)
{
    static const char *const keys[] = {"ID=", "VERSION_ID=", "PRETTY_NAME=", "ID_LIKE="};
    g_autoptr(KaInside) inside = ka_inside_new(system);
    g_autoptr(GError) lost = NULL;
    char *values[G_N_ELEMENTS(keys)] = {NULL};
    g_autofree char *text = ka_inside_read(inside, "/usr/lib/os-release", 1 << 16, NULL, &lost);
    if (!text && !lost)
        text = ka_inside_read(inside, "/etc/os-release", 1 << 16, NULL, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
            if (!g_str_has_prefix(*line, keys[i]))
                continue;
            g_free(values[i]);
            values[i] = g_shell_unquote(*line + strlen(keys[i]), NULL);
        }
    }
    g_autofree char *like = values[3];
    g_autofree char *ids = g_strjoin(" ", values[0] ? values[0] : "", like, NULL);
    system->family = family_of(ids);
    if (!text)
        system->family = is_there(inside, "/etc/debian_version")   ? KA_FAMILY_DEBIAN
                         : is_there(inside, "/etc/redhat-release") ? KA_FAMILY_RED_HAT
                         : is_there(inside, "/etc/SuSE-release")   ? KA_FAMILY_SUSE
                                                                   : KA_FAMILY_OTHER;
    system->id = values[0] ? values[0] : g_strdup("linux");
    system->version = values[1] ? values[1] : g_strdup("");
    system->name = values[2] ? values[2] : g_strdup(system->id);
    return TRUE;
}
