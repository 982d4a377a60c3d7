#include "drivers/inside_part.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER_DEPTH 1000
#define TRIES 100

/* Keeps what is known of folders true. type 0: the name is gone, and all that was below it. */
static void
note(KaInside *inside, const char *path, char type)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *below = g_strconcat(path, "/", NULL);
    GHashTable *names = g_hash_table_lookup(inside->folders, folder);
    if (names && type)
        g_hash_table_insert(names, g_strdup(name), GINT_TO_POINTER(type));
    else if (names)
        g_hash_table_remove(names, name);
    GHashTableIter iter;
    gpointer known = NULL;
    g_hash_table_iter_init(&iter, inside->folders);
    while (g_hash_table_iter_next(&iter, &known, NULL))
        if (g_str_equal(known, path) || g_str_has_prefix(known, below))
            g_hash_table_iter_remove(&iter);
}

static gboolean
is_mount(const KaInside *inside, const char *path)
{
    return g_ptr_array_find_with_equal_func(inside->system->mounts, path, g_str_equal, NULL);
}

static gboolean remove_folder(KaInside *inside, const char *folder, guint depth, GError **error);

/* An entry of a real folder. */
static gboolean
remove_entry(KaInside *inside, const char *path, gboolean is_folder, guint depth, GError **error)
{
    if (is_folder)
        return remove_folder(inside, path, depth, error);
    return guestfs_rm(inside->handle, path) == 0 ||
           ka_inside_fail(inside, error, "can't remove", path);
}

static gboolean
remove_folder(KaInside *inside, const char *folder, guint depth, GError **error)
{
    if (depth > FOLDER_DEPTH)
        return ka_inside_refuse(error, folder, "is nested too deep to be removed");
    g_autoptr(GPtrArray) entries = ka_inside_list(inside, folder, error);
    if (!entries)
        return FALSE;
    for (guint i = 0; i < entries->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(entries, i);
        if (!remove_entry(inside, entry->path, entry->type == KA_INSIDE_FOLDER, depth + 1, error))
            return FALSE;
    }
    if (is_mount(inside, folder))
        return TRUE;
    return guestfs_rmdir(inside->handle, folder) == 0 ||
           ka_inside_fail(inside, error, "can't remove", folder);
}

gboolean
ka_inside_remove(KaInside *inside, const char *path, GError **error)
{
    g_autoptr(GError) none = NULL;
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *folder = ka_inside_real_folder(inside, path, error);
    if (!folder)
        return FALSE;
    GHashTable *names = ka_inside_names(inside, folder, error);
    if (!names)
        return FALSE;
    if (!g_hash_table_contains(names, name))
        return TRUE;
    g_autofree char *real = ka_inside_join(folder, name);
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, real, error);
    if (!entry || !remove_entry(inside, real, entry->type == KA_INSIDE_FOLDER, 0, error))
        return FALSE;
    note(inside, real, is_mount(inside, real) ? 'd' : 0);
    return TRUE;
}

/* A name beside `path` that isn't taken. */
static char *
free_name(KaInside *inside, const char *folder, GError **error)
{
    GHashTable *names = ka_inside_names(inside, folder, error);
    for (guint i = 0; names && i < TRIES; i++) {
        g_autofree char *name = g_strdup_printf(".kvmapply-new-%u", i);
        if (!g_hash_table_contains(names, name))
            return ka_inside_join(folder, name);
    }
    if (names)
        ka_inside_refuse(error, folder, "is full of left-over temporary files");
    return NULL;
}

/* File systems without owners and attributes (vfat) refuse to be told of them. */
static gboolean
is_alike(KaInside *inside, const char *one, const char *other)
{
    struct guestfs_statns *a = guestfs_lstatns(inside->handle, one);
    struct guestfs_statns *b = guestfs_lstatns(inside->handle, other);
    gboolean alike =
        a && b && a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
    if (a)
        guestfs_free_statns(a);
    if (b)
        guestfs_free_statns(b);
    return alike;
}

#define LABEL "security.selinux"

/* A new file has the label of its folder, as the kernel would give it. */
static void
label_new(KaInside *inside, const char *folder, const char *path)
{
    size_t length = 0;
    char *label = guestfs_lgetxattr(inside->handle, folder, LABEL, &length);
    if (label)
        guestfs_lsetxattr(inside->handle, LABEL, label, (int)length, path);
    free(label);
}

static gboolean
dress(KaInside *inside, const char *path, const char *folder, const char *fresh, guint mode)
{
    guestfs_h *handle = inside->handle;
    if (!path) {
        label_new(inside, folder, fresh);
        return guestfs_chmod(handle, (int)mode, fresh) == 0;
    }
    return guestfs_copy_attributes(handle, path, fresh, GUESTFS_COPY_ATTRIBUTES_ALL, 1, -1) == 0 ||
           is_alike(inside, path, fresh);
}

gboolean
ka_inside_write(
    KaInside *inside, const char *path, const char *data, gsize length, guint mode, GError **error)
{
    g_autofree char *folder = ka_inside_real_folder(inside, path, error);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *real = folder ? ka_inside_join(folder, name) : NULL;
    g_autofree char *fresh = folder ? free_name(inside, folder, error) : NULL;
    g_autoptr(KaInsideEntry) entry = fresh ? ka_inside_look(inside, real, error) : NULL;
    if (!entry)
        return FALSE;
    if (entry->type != KA_INSIDE_FILE && entry->type != KA_INSIDE_NONE)
        return ka_inside_refuse(error, real, "is no regular file, and is not written to");
    const char *old = entry->type == KA_INSIDE_FILE ? real : NULL;
    if (guestfs_write(inside->handle, fresh, data, length) == 0 &&
        dress(inside, old, folder, fresh, mode) &&
        guestfs_rename(inside->handle, fresh, real) == 0) {
        note(inside, real, 'r');
        return TRUE;
    }
    ka_inside_fail(inside, error, "can't write", real);
    guestfs_rm_f(inside->handle, fresh);
    return FALSE;
}

gboolean
ka_inside_make_folder(KaInside *inside, const char *path, guint mode, GError **error)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, path, error);
    if (!entry)
        return FALSE;
    if (entry->type == KA_INSIDE_FOLDER || entry->type == KA_INSIDE_LINK)
        return TRUE;
    if (entry->type != KA_INSIDE_NONE)
        return ka_inside_refuse(error, path, "is no folder");
    g_autofree char *above = g_path_get_dirname(path);
    if (!ka_inside_make_folder(inside, above, 0755, error))
        return FALSE;
    g_autofree char *folder = ka_inside_real_folder(inside, path, error);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *real = folder ? ka_inside_join(folder, name) : NULL;
    if (!real)
        return FALSE;
    if (guestfs_mkdir_mode(inside->handle, real, (int)mode) < 0)
        return ka_inside_fail(inside, error, "can't make the folder", real);
    label_new(inside, folder, real);
    note(inside, real, 'd');
    return TRUE;
}

/* The real path of what isn't there yet. */
static char *
vacant(KaInside *inside, const char *path, GError **error)
{
    g_autofree char *folder = ka_inside_real_folder(inside, path, error);
    g_autofree char *name = g_path_get_basename(path);
    GHashTable *names = folder ? ka_inside_names(inside, folder, error) : NULL;
    if (!names)
        return NULL;
    if (!g_hash_table_contains(names, name))
        return ka_inside_join(folder, name);
    ka_inside_refuse(error, path, "is there already");
    return NULL;
}

gboolean
ka_inside_link(KaInside *inside, const char *target, const char *path, GError **error)
{
    g_autofree char *real = vacant(inside, path, error);
    if (!real)
        return FALSE;
    if (guestfs_ln_s(inside->handle, target, real) < 0)
        return ka_inside_fail(inside, error, "can't make the link", real);
    note(inside, real, 'l');
    return TRUE;
}

gboolean
ka_inside_rename(KaInside *inside, const char *from, const char *to, GError **error)
{
    g_autoptr(KaInsideEntry) entry = ka_inside_look(inside, from, error);
    if (!entry)
        return FALSE;
    if (entry->type != KA_INSIDE_FILE && entry->type != KA_INSIDE_FOLDER)
        return ka_inside_refuse(error, from, "is neither file nor folder, and is not renamed");
    g_autofree char *real = vacant(inside, to, error);
    if (!real)
        return FALSE;
    if (guestfs_rename(inside->handle, entry->path, real) < 0)
        return ka_inside_fail(inside, error, "can't rename", entry->path);
    note(inside, entry->path, 0);
    note(inside, real, entry->type == KA_INSIDE_FOLDER ? 'd' : 'r');
    return TRUE;
}
