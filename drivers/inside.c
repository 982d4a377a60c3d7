#include "drivers/inside_part.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIAS_DEPTH 8
#define FOLDER_DEPTH 1000
#define READ_MAX (2 << 20) /* libguestfs' messages carry less than 4 MiB */
#define FIND_MAX (256 << 20)

/* Links that systems have by themselves. A target is real once its own links are walked. */
typedef struct {
    const char *link;
    const char *targets[5];
} Alias;

static const Alias aliases[] = {
    {"*",                        {"/dev/null"}                                           },
    {"/bin",                     {"/usr/bin"}                                            },
    {"/sbin",                    {"/usr/sbin", "/usr/bin"}                               },
    {"/usr/sbin",                {"/usr/bin"}                                            },
    {"/lib",                     {"/usr/lib"}                                            },
    {"/lib64",                   {"/usr/lib64", "/usr/lib"}                              },
    {"/lib32",                   {"/usr/lib32"}                                          },
    {"/var/run",                 {"/run"}                                                },
    {"/var/lock",                {"/run/lock"}                                           },
    {"/var/mail",                {"/var/spool/mail"}                                     },
    {"/var/spool/mail",          {"/var/mail"}                                           },
    {"/var/tmp",                 {"/tmp"}                                                },
    {"/usr/tmp",                 {"/var/tmp"}                                            },
    {"/home",                    {"/var/home", "/usr/home"}                              },
    {"/root",                    {"/var/roothome", "/var/root"}                          },
    {"/srv",                     {"/var/srv"}                                            },
    {"/opt",                     {"/var/opt"}                                            },
    {"/efi",                     {"/boot/efi", "/boot"}                                  },
    {"/etc/init.d",              {"/etc/rc.d/init.d"}                                    },
    {"/etc/apk/cache",           {"/var/cache/apk"}                                      },
    {"/etc/os-release",          {"/usr/lib/os-release", "/lib/os-release"}              },
    {"/etc/HOSTNAME",            {"/etc/hostname"}                                       },
    {"/etc/resolv.conf",
     {"/run/*", "/var/run/*", "/usr/lib/systemd/resolv.conf", "/lib/systemd/resolv.conf",
      "/etc/resolvconf/run/resolv.conf"}                                                 },
    {"/etc/systemd/network/*",   {"/usr/lib/systemd/network/*", "/lib/systemd/network/*"}},
    {"/var/cache/fontconfig",    {"/usr/lib/fontconfig/cache"}                           },
    {"/var/lib/dbus/machine-id", {"/etc/machine-id"}                                     },
    {"/var/lib/rpm",             {"/usr/lib/sysimage/rpm"}                               },
    {"/var/log/README",          {"/usr/share/doc/*"}                                    },
    {"/boot/grub2/grubenv",      {"/boot/efi/*"}                                         },
    {"/etc/pki/tls/certs/*",     {"/etc/pki/ca-trust/extracted/*"}                       },
};

void
ka_inside_entry_free(KaInsideEntry *entry)
{
    if (!entry)
        return;
    g_free(entry->path);
    g_free(entry->target);
    g_free(entry);
}

KaInside *
ka_inside_new(const KaSystem *system)
{
    KaInside *inside = g_new0(KaInside, 1);
    inside->system = system;
    inside->handle = ka_appliance_handle(system->appliance);
    inside->folders =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
    return inside;
}

void
ka_inside_free(KaInside *inside)
{
    if (!inside)
        return;
    g_hash_table_unref(inside->folders);
    g_free(inside);
}

const KaSystem *
ka_inside_system(const KaInside *inside)
{
    return inside->system;
}

gboolean
ka_inside_fail(const KaInside *inside, GError **error, const char *what, const char *path)
{
    return ka_appliance_error(inside->system->appliance, error, "%s '%s' in the image", what, path);
}

gboolean
ka_inside_refuse(GError **error, const char *path, const char *why)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "'%s' in the image %s", path, why);
    return FALSE;
}

char *
ka_inside_join(const char *folder, const char *name)
{
    return g_strconcat(g_str_equal(folder, "/") ? "" : folder, "/", name, NULL);
}

GHashTable *
ka_inside_names(KaInside *inside, const char *folder, GError **error)
{
    GHashTable *names = g_hash_table_lookup(inside->folders, folder);
    if (names)
        return names;
    if (!ka_appliance_may_go_on(inside->system->appliance, error))
        return NULL;
    struct guestfs_dirent_list *list = guestfs_readdir(inside->handle, folder);
    if (!list) {
        ka_inside_fail(inside, error, "can't list", folder);
        return NULL;
    }
    names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < list->len; i++) {
        const char *name = list->val[i].name;
        if (!g_str_equal(name, ".") && !g_str_equal(name, "..") && !strchr(name, '/'))
            g_hash_table_insert(names, g_strdup(name), GINT_TO_POINTER(list->val[i].ftyp));
    }
    guestfs_free_dirent_list(list);
    g_hash_table_insert(inside->folders, g_strdup(folder), names);
    return names;
}

/* File systems that don't say an entry's type with its name. */
static char
ask_type(KaInside *inside, const char *path)
{
    struct guestfs_statns *status = guestfs_lstatns(inside->handle, path);
    guint mode = status ? (guint)(status->st_mode & S_IFMT) : 0;
    if (status)
        guestfs_free_statns(status);
    return mode == S_IFDIR ? 'd' : mode == S_IFREG ? 'r' : mode == S_IFLNK ? 'l' : 'b';
}

/* 0: nothing of that name is there (or, where error is set, it couldn't be told). */
static char
type_of(KaInside *inside, const char *folder, const char *name, GError **error)
{
    gpointer type = NULL;
    GHashTable *names = ka_inside_names(inside, folder, error);
    if (!names || !g_hash_table_lookup_extended(names, name, NULL, &type))
        return 0;
    char letter = (char)GPOINTER_TO_INT(type);
    if (letter != 'u' && letter != '?')
        return letter;
    g_autofree char *path = ka_inside_join(folder, name);
    letter = ask_type(inside, path);
    g_hash_table_insert(names, g_strdup(name), GINT_TO_POINTER(letter));
    return letter;
}

static KaInsideEntry *
entry_new(const char *path, KaInsideType type)
{
    KaInsideEntry *entry = g_new0(KaInsideEntry, 1);
    entry->path = g_strdup(path);
    entry->type = type;
    return entry;
}

/* Where a link in a real folder points to, as far as its text says. */
static char *
link_target(KaInside *inside, const char *folder, const char *path, GError **error)
{
    char *text = guestfs_readlink(inside->handle, path);
    if (!text) {
        ka_inside_fail(inside, error, "can't read the link", path);
        return NULL;
    }
    char *target = g_canonicalize_filename(text, folder);
    free(text);
    return target;
}

static gboolean
is_alias(const char *path, const char *target)
{
    for (gsize i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (fnmatch(aliases[i].link, path, 0) != 0)
            continue;
        for (gsize j = 0; j < G_N_ELEMENTS(aliases[i].targets) && aliases[i].targets[j]; j++)
            if (fnmatch(aliases[i].targets[j], target, 0) == 0)
                return TRUE;
    }
    return FALSE;
}

static KaInsideEntry *
link_entry(KaInside *inside, const char *folder, const char *path, GError **error)
{
    g_autofree char *target = link_target(inside, folder, path, error);
    if (!target)
        return NULL;
    KaInsideEntry *entry = entry_new(path, is_alias(path, target) ? KA_INSIDE_LINK : KA_INSIDE_ODD);
    entry->target = g_steal_pointer(&target);
    return entry;
}

/* What a real folder has under a name. */
static KaInsideEntry *
entry_in(KaInside *inside, const char *folder, const char *name, GError **error)
{
    g_autoptr(GError) lost = NULL;
    g_autofree char *path = ka_inside_join(folder, name);
    char type = type_of(inside, folder, name, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return NULL;
    }
    if (type == 'l')
        return link_entry(inside, folder, path, error);
    return entry_new(path, type == 0     ? KA_INSIDE_NONE
                           : type == 'd' ? KA_INSIDE_FOLDER
                           : type == 'r' ? KA_INSIDE_FILE
                                         : KA_INSIDE_OTHER);
}

/* A path on its way down from the root. */
typedef struct {
    KaInside *inside;
    gboolean exact;     /* names are meant as they are written, not as globs */
    GPtrArray *entries; /* borrowed; what was found */
} Walk;

static gboolean
walk_folder(const Walk *walk, const char *folder, char **names, guint depth, GError **error);

/* The rest of the path begins where the entry stands. */
static gboolean
walk_entry(
    const Walk *walk, KaInsideEntry *entry /* taken */, char **rest, guint depth, GError **error)
{
    g_autoptr(KaInsideEntry) here = entry;
    here->in_the_way = here->type == KA_INSIDE_ODD && *rest;
    if (!*rest || here->in_the_way) {
        g_ptr_array_add(walk->entries, g_steal_pointer(&here));
        return TRUE;
    }
    if (here->type == KA_INSIDE_FOLDER)
        return walk_folder(walk, here->path, rest, depth, error);
    if (here->type == KA_INSIDE_LINK && depth < ALIAS_DEPTH) {
        g_autofree char *tail = g_strjoinv("/", rest);
        g_autofree char *path = ka_inside_join(here->target, tail);
        g_auto(GStrv) names = g_strsplit(path + 1, "/", -1);
        return walk_folder(walk, "/", names, depth + 1, error);
    }
    return TRUE; /* no folder: there is nothing below it */
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *
sorted_names(GHashTable *names)
{
    GPtrArray *sorted = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer name = NULL;
    g_hash_table_iter_init(&iter, names);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_ptr_array_add(sorted, g_strdup(name));
    g_ptr_array_sort(sorted, compare_names);
    return sorted;
}

static gboolean
walk_folder(const Walk *walk, const char *folder, char **names, guint depth, GError **error)
{
    if (walk->exact || !strpbrk(*names, "*?[")) {
        KaInsideEntry *entry = entry_in(walk->inside, folder, *names, error);
        return entry && walk_entry(walk, entry, names + 1, depth, error);
    }
    GHashTable *here = ka_inside_names(walk->inside, folder, error);
    if (!here)
        return FALSE;
    g_autoptr(GPtrArray) sorted = sorted_names(here);
    for (guint i = 0; i < sorted->len; i++) {
        const char *name = g_ptr_array_index(sorted, i);
        if (fnmatch(*names, name, 0) != 0)
            continue;
        KaInsideEntry *entry = entry_in(walk->inside, folder, name, error);
        if (!entry || !walk_entry(walk, entry, names + 1, depth, error))
            return FALSE;
    }
    return TRUE;
}

/* Owned entries; nothing where it is no absolute path, or one with empty, "." or ".." names. */
static GPtrArray *
walk_path(KaInside *inside, const char *path, gboolean exact, GError **error)
{
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)ka_inside_entry_free);
    Walk walk = {inside, exact, entries};
    g_auto(GStrv) names = g_strsplit(*path == '/' ? path + 1 : "", "/", -1);
    gboolean sound = *names != NULL;
    for (char **name = names; *name; name++)
        sound = sound && **name && !g_str_equal(*name, ".") && !g_str_equal(*name, "..");
    if (sound && !walk_folder(&walk, "/", names, 0, error))
        return NULL;
    return g_steal_pointer(&entries);
}

GPtrArray *
ka_inside_glob(KaInside *inside, const char *pattern, GError **error)
{
    GPtrArray *entries = walk_path(inside, pattern, FALSE, error);
    for (guint i = entries ? entries->len : 0; i-- > 0;)
        if (((KaInsideEntry *)g_ptr_array_index(entries, i))->type == KA_INSIDE_NONE)
            g_ptr_array_remove_index(entries, i);
    return entries;
}

KaInsideEntry *
ka_inside_look(KaInside *inside, const char *path, GError **error)
{
    if (g_str_equal(path, "/"))
        return entry_new("/", KA_INSIDE_FOLDER);
    g_autoptr(GPtrArray) entries = walk_path(inside, path, TRUE, error);
    if (!entries)
        return NULL;
    return entries->len ? g_ptr_array_steal_index(entries, 0) : entry_new(path, KA_INSIDE_NONE);
}

gboolean
ka_inside_is(KaInside *inside, const char *path, KaInsideType type)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, path, NULL);
    return entry && entry->type == type;
}

char *
ka_inside_real_folder(KaInside *inside, const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, parent, error);
    if (!entry)
        return NULL;
    if (entry->type == KA_INSIDE_LINK) {
        g_autofree char *beyond = ka_inside_join(parent, "x");
        g_autoptr(KaInsideEntry) there = ka_inside_look(inside, beyond, error);
        if (!there)
            return NULL;
        g_autofree char *real = g_path_get_dirname(there->path);
        if (!g_str_equal(real, parent) && ka_inside_is(inside, real, KA_INSIDE_FOLDER))
            return g_steal_pointer(&real);
    }
    if (entry->type == KA_INSIDE_FOLDER)
        return g_strdup(entry->path);
    ka_inside_refuse(error, path,
                     entry->type == KA_INSIDE_ODD
                         ? "lies behind a symbolic link, which is not followed"
                         : "lies in no folder");
    return NULL;
}

GPtrArray *
ka_inside_list(KaInside *inside, const char *folder, GError **error)
{
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)ka_inside_entry_free);
    g_autofree char *below = ka_inside_join(folder, "x");
    g_autoptr(GError) none = NULL;
    g_autofree char *real = ka_inside_real_folder(inside, below, &none);
    if (!real && ka_appliance_is_dead(inside->system->appliance)) {
        g_propagate_error(error, g_steal_pointer(&none));
        return NULL;
    }
    if (!real)
        return g_steal_pointer(&entries);
    GHashTable *names = ka_inside_names(inside, real, error);
    if (!names)
        return NULL;
    g_autoptr(GPtrArray) sorted = sorted_names(names);
    for (guint i = 0; i < sorted->len; i++) {
        KaInsideEntry *entry = entry_in(inside, real, g_ptr_array_index(sorted, i), error);
        if (!entry)
            return NULL;
        g_ptr_array_add(entries, entry);
    }
    return g_steal_pointer(&entries);
}

static gboolean
matches_any(const char *name, const char *const *globs)
{
    for (; *globs; globs++)
        if (fnmatch(*globs, name, 0) == 0)
            return TRUE;
    return FALSE;
}

/* The names, each ended by a NUL, that `find` wrote to fd. */
static gboolean
take_found(KaInside *inside,
           const char *folder,
           int fd,
           const char *const *names,
           GPtrArray *paths,
           GError **error)
{
    off_t length = lseek(fd, 0, SEEK_END);
    if (length > FIND_MAX)
        return ka_inside_refuse(error, folder, "has more files than can be looked through");
    g_autofree char *text = g_malloc((gsize)length + 1);
    gssize n = pread(fd, text, (gsize)length, 0);
    text[MAX(n, 0)] = '\0';
    for (const char *name = text; name < text + n; name += strlen(name) + 1) {
        g_autofree char *base = g_path_get_basename(name);
        if (!matches_any(base, names))
            continue;
        g_autofree char *path = ka_inside_join(folder, name + strspn(name, "/"));
        g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, path, error);
        if (!entry)
            return FALSE;
        if (entry->type == KA_INSIDE_FILE)
            g_ptr_array_add(paths, g_steal_pointer(&entry->path));
    }
    g_ptr_array_sort(paths, compare_names);
    return TRUE;
}

GPtrArray *
ka_inside_find(KaInside *inside, const char *folder, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    int fd = memfd_create("kvmapply-find", MFD_CLOEXEC);
    g_autofree char *to = g_strdup_printf("/dev/fd/%d", fd);
    gboolean done = fd >= 0 && guestfs_find0(inside->handle, folder, to) == 0;
    if (!done)
        ka_inside_fail(inside, error, "can't look through", folder);
    done = done && take_found(inside, folder, fd, names, paths, error);
    if (fd >= 0)
        close(fd);
    return done ? g_steal_pointer(&paths) : NULL;
}

char *
ka_inside_read(KaInside *inside, const char *path, gsize limit, gsize *ret_length, GError **error)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, path, error);
    size_t length = 0;
    if (!entry || entry->type != KA_INSIDE_FILE)
        return NULL;
    char *data = guestfs_pread(inside->handle, entry->path, (int)MIN(limit, READ_MAX), 0, &length);
    if (!data) {
        ka_inside_fail(inside, error, "can't read", path);
        return NULL;
    }
    char *copy = g_malloc(length + 1);
    memcpy(copy, data, length);
    copy[length] = '\0';
    free(data);
    if (ret_length)
        *ret_length = length;
    return copy;
}

gboolean
ka_inside_size(KaInside *inside, const char *path, guint64 *ret_bytes, GError **error)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, path, error);
    if (!entry)
        return FALSE;
    if (entry->type != KA_INSIDE_FILE)
        return ka_inside_refuse(error, path, "is no file");
    int64_t size = guestfs_filesize(inside->handle, entry->path);
    if (size < 0)
        return ka_inside_fail(inside, error, "can't ask for the size of", path);
    *ret_bytes = (guint64)size;
    return TRUE;
}
