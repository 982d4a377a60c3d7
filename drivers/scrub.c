#include "drivers/scrub_part.h"

#include <fnmatch.h>
#include <string.h>

void
ka_scrub_item_free(KaScrubItem *item)
{
    if (!item)
        return;
    g_free(item->path);
    g_free(item->to);
    g_free(item->content);
    g_free(item->evidence);
    g_free(item);
}

KaScrubItem *
ka_scrub_add(KaScrub *scrub, KaScrubAct act, const char *path, char *evidence)
{
    KaScrubItem *item = g_new0(KaScrubItem, 1);
    item->operation = scrub->operation->name;
    item->act = act;
    item->path = g_strdup(path);
    item->evidence = evidence;
    g_ptr_array_add(scrub->items, item);
    if (act == KA_SCRUB_REMOVE)
        g_hash_table_add(scrub->going, g_strdup(path));
    return item;
}

gboolean
ka_scrub_is_going(const KaScrub *scrub, const char *path)
{
    g_autofree char *above = g_strdup(path);
    for (char *slash = NULL; *above; *slash = '\0') {
        if (g_hash_table_contains(scrub->going, above))
            return TRUE;
        slash = strrchr(above, '/');
    }
    return FALSE;
}

char *
ka_scrub_text(KaScrub *scrub, const char *path, GError **error)
{
    gsize length = 0;
    if (ka_scrub_is_going(scrub, path))
        return NULL;
    for (guint i = scrub->items->len; i-- > 0;) {
        const KaScrubItem *item = g_ptr_array_index(scrub->items, i);
        if (item->act == KA_SCRUB_WRITE && g_str_equal(item->path, path))
            return g_strdup(item->content);
    }
    g_autofree char *text =
        ka_inside_read(scrub->inside, path, KA_SCRUB_TEXT_MAX + 1, &length, error);
    if (!text)
        return NULL;
    if (length <= KA_SCRUB_TEXT_MAX && strlen(text) == length)
        return g_steal_pointer(&text);
    ka_scrub_add(scrub, KA_SCRUB_ODD, path,
                 g_strdup(length > KA_SCRUB_TEXT_MAX ? "too large to be edited"
                                                     : "no text, and not edited"));
    return NULL;
}

void
ka_scrub_put(
    KaScrub *scrub, const char *path, const char *before, const char *after, char *evidence)
{
    if (g_strcmp0(before, after) == 0) {
        g_free(evidence);
        return;
    }
    KaScrubItem *item = ka_scrub_add(scrub, KA_SCRUB_WRITE, path, evidence);
    item->content = g_strdup(after);
    item->length = strlen(after);
    item->mode = 0644;
}

static const KaScrubOperation *
find_operation(const char *name)
{
    for (gsize i = 0; i < ka_n_scrub_operations; i++)
        if (g_str_equal(ka_scrub_operations[i].name, name))
            return &ka_scrub_operations[i];
    return NULL;
}

static gboolean
check_names(const char *const *names, GError **error)
{
    for (; names && *names; names++) {
        if (find_operation(*names))
            continue;
        g_autoptr(GPtrArray) known = g_ptr_array_new_with_free_func(g_free);
        for (gsize i = 0; i < ka_n_scrub_operations; i++)
            g_ptr_array_add(known, g_strdup(ka_scrub_operations[i].name));
        const char *nearest = ka_nearest(*names, (const char *const *)known->pdata, known->len);
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "there is no scrub operation '%s'%s%s%s", *names,
                    nearest ? "; did you mean '"
                            : "; kvmapply image scrub --list-operations names "
                              "them",
                    nearest ? nearest : "", nearest ? "'?" : "");
        return FALSE;
    }
    return TRUE;
}

static gboolean
has_name(const char *const *names, const char *name)
{
    return names && g_strv_contains(names, name);
}

gboolean
ka_scrub_choice_check(const KaScrubChoice *choice, GError **error)
{
    if (!check_names(choice->only, error) || !check_names(choice->also, error) ||
        !check_names(choice->keep, error))
        return FALSE;
    for (const char *const *name = choice->keep; name && *name; name++) {
        if (!has_name(choice->only, *name) && !has_name(choice->also, *name))
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "scrub operation '%s' is asked for and kept: say one of them", *name);
        return FALSE;
    }
    for (const char *const *path = choice->paths; path && *path; path++) {
        g_auto(GStrv) names = g_strsplit(**path == '/' ? *path + 1 : "", "/", -1);
        gboolean sound = names[0] && strspn(names[0], "*?") < strlen(names[0]);
        for (char **name = names; *name; name++)
            sound = sound && **name && !g_str_equal(*name, ".") && !g_str_equal(*name, "..");
        if (sound)
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "path '%s' to scrub: expected an absolute path such as /srv/cache/*, without "
                    "'.' and '..', below a folder that is named",
                    *path);
        return FALSE;
    }
    return TRUE;
}

static gboolean
is_chosen(const KaScrub *scrub, const KaScrubChoice *choice, const KaScrubOperation *operation)
{
    if (operation->families && !(operation->families & scrub->system->family))
        return FALSE;
    if (has_name(choice->keep, operation->name))
        return FALSE;
    gboolean chosen =
        choice->only ? has_name(choice->only, operation->name) : operation->by_default;
    return chosen || has_name(choice->also, operation->name);
}

static gboolean
is_excepted(const KaScrub *scrub, const char *path)
{
    for (const char *const *glob = scrub->operation->except; glob && *glob; glob++)
        if (fnmatch(*glob, path, 0) == 0)
            return TRUE;
    return FALSE;
}

/* Where everything in a folder goes, links go as links; elsewhere a link is no target. */
static gboolean
takes_links(const KaScrub *scrub, const char *glob)
{
    return scrub->step->way == ka_scrub_remove && g_str_has_suffix(glob, "/*");
}

static gboolean
was_told(const KaScrub *scrub, const char *path)
{
    for (guint i = 0; i < scrub->items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(scrub->items, i);
        if (item->act == KA_SCRUB_ODD && g_str_equal(item->path, path))
            return TRUE;
    }
    return FALSE;
}

static gboolean
look_at(KaScrub *scrub, const char *glob, const KaInsideEntry *entry, GError **error)
{
    if (is_excepted(scrub, entry->path) || ka_scrub_is_going(scrub, entry->path))
        return TRUE;
    gboolean is_link = entry->type == KA_INSIDE_LINK || entry->type == KA_INSIDE_ODD;
    if (!is_link || (takes_links(scrub, glob) && !entry->in_the_way))
        return scrub->step->way(scrub, entry, error);
    if (entry->type == KA_INSIDE_ODD && !was_told(scrub, entry->path))
        ka_scrub_add(
            scrub, KA_SCRUB_ODD, entry->path,
            g_strdup_printf("a symbolic link to %s, which is not followed", entry->target));
    return TRUE;
}

static gboolean
look_glob(KaScrub *scrub, const char *glob, GError **error)
{
    g_autoptr(GPtrArray) entries = ka_inside_glob(scrub->inside, glob, error);
    for (guint i = 0; entries && i < entries->len; i++)
        if (!look_at(scrub, glob, g_ptr_array_index(entries, i), error))
            return FALSE;
    return entries != NULL;
}

static gboolean
look_step(KaScrub *scrub, const KaScrubStep *step, GError **error)
{
    scrub->step = step;
    if (g_str_equal(step->glob, "/"))
        return step->way(scrub, NULL, error);
    if (*step->glob != '~')
        return look_glob(scrub, step->glob, error);
    for (guint i = 0; i < scrub->homes->len; i++) {
        g_autofree char *glob =
            g_strconcat(g_ptr_array_index(scrub->homes, i), step->glob + 1, NULL);
        if (!look_glob(scrub, glob, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
look_operation(KaScrub *scrub, const KaScrubOperation *operation, GError **error)
{
    scrub->operation = operation;
    for (const KaScrubStep *step = operation->steps; step->way; step++)
        if (!look_step(scrub, step, error))
            return FALSE;
    return TRUE;
}

static gboolean
look_paths(KaScrub *scrub, const KaScrubChoice *choice, GError **error)
{
    static const KaScrubOperation own = {.name = "paths"};
    scrub->operation = &own;
    for (const char *const *path = choice->paths; path && *path; path++) {
        const KaScrubStep step = {ka_scrub_remove, *path, NULL};
        if (!look_step(scrub, &step, error))
            return FALSE;
    }
    return TRUE;
}

static void
add_home(KaScrub *scrub, GHashTable *known, const char *home)
{
    g_autoptr(GString) glob = g_string_new(NULL);
    if (*home != '/' || !g_hash_table_add(known, g_strdup(home)))
        return;
    for (const char *at = home; *at; at++) {
        if (strchr("*?[", *at))
            g_string_append_c(glob, '\\');
        g_string_append_c(glob, *at);
    }
    while (glob->len && glob->str[glob->len - 1] == '/')
        g_string_truncate(glob, glob->len - 1);
    g_ptr_array_add(scrub->homes, g_strdup(glob->str));
}

/* Every user's, wherever it is: by passwd, and what is in /home without a user. */
static gboolean
find_homes(KaScrub *scrub, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) folders = ka_inside_list(scrub->inside, "/home", error);
    g_autoptr(GError) lost = NULL;
    if (!folders)
        return FALSE;
    g_autofree char *passwd =
        ka_inside_read(scrub->inside, "/etc/passwd", KA_SCRUB_TEXT_MAX, NULL, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    add_home(scrub, known, "/root");
    for (guint i = 0; i < folders->len; i++) {
        const KaInsideEntry *entry = g_ptr_array_index(folders, i);
        if (entry->type != KA_INSIDE_FILE && entry->type != KA_INSIDE_OTHER)
            add_home(scrub, known, entry->path);
    }
    g_auto(GStrv) lines = g_strsplit(passwd ? passwd : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", 8);
        if (g_strv_length(fields) >= 7)
            add_home(scrub, known, fields[5]);
    }
    return TRUE;
}

static gboolean
find_hostname(KaScrub *scrub, GError **error)
{
    g_autoptr(GError) lost = NULL;
    g_autofree char *text = ka_inside_read(scrub->inside, "/etc/hostname", 4096, NULL, &lost);
    if (lost) {
        g_propagate_error(error, g_steal_pointer(&lost));
        return FALSE;
    }
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line && !scrub->hostname; line++) {
        g_strstrip(*line);
        if (**line && **line != '#')
            scrub->hostname = g_strdup(*line);
    }
    return TRUE;
}

static int
compare_items(gconstpointer a, gconstpointer b)
{
    const KaScrubItem *one = *(const KaScrubItem *const *)a;
    const KaScrubItem *other = *(const KaScrubItem *const *)b;
    return (int)one->act - (int)other->act; /* stable: GLib sorts by merging */
}

GPtrArray *
ka_scrub_look(KaInside *inside, const KaScrubChoice *choice, gboolean deep, GError **error)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)ka_scrub_item_free);
    g_autoptr(GHashTable) going = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) homes = g_ptr_array_new_with_free_func(g_free);
    KaScrub scrub = {.inside = inside,
                     .system = ka_inside_system(inside),
                     .deep = deep,
                     .items = items,
                     .going = going,
                     .homes = homes};
    gboolean done = find_homes(&scrub, error) && find_hostname(&scrub, error);
    for (gsize i = 0; i < ka_n_scrub_operations && done; i++)
        if (is_chosen(&scrub, choice, &ka_scrub_operations[i]))
            done = look_operation(&scrub, &ka_scrub_operations[i], error);
    done = done && look_paths(&scrub, choice, error);
    g_free(scrub.hostname);
    g_ptr_array_sort(items, compare_items);
    return done ? g_steal_pointer(&items) : NULL;
}

static gboolean
act_on(KaInside *inside, const KaScrubItem *item, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(item->path);
    switch (item->act) {
    case KA_SCRUB_REMOVE:
        return ka_inside_remove(inside, item->path, error);
    case KA_SCRUB_WRITE:
        return ka_inside_make_folder(inside, folder, 0755, error) &&
               ka_inside_write(inside, item->path, item->content, item->length, item->mode, error);
    case KA_SCRUB_RENAME:
        return ka_inside_rename(inside, item->path, item->to, error);
    case KA_SCRUB_LINK:
        return ka_inside_make_folder(inside, folder, 0755, error) &&
               ka_inside_link(inside, item->to, item->path, error);
    case KA_SCRUB_RENEW:
    case KA_SCRUB_ODD:
        return TRUE;
    }
    return TRUE;
}

gboolean
ka_scrub_act(KaInside *inside, const GPtrArray *items, GError **error)
{
    const KaAppliance *appliance = ka_inside_system(inside)->appliance;
    for (guint i = 0; i < items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(items, i);
        if (!ka_appliance_may_go_on(appliance, error))
            return FALSE;
        if (!item->inner && !act_on(inside, item, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
renew(const KaSystem *system, const KaScrubItem *item)
{
    guestfs_h *handle = ka_appliance_handle(system->appliance);
    if (!g_str_equal(item->operation, "lvm-uuids"))
        return guestfs_set_uuid_random(handle, item->path) == 0;
    return guestfs_vg_activate_all(handle, 0) == 0 && guestfs_pvchange_uuid_all(handle) == 0 &&
           guestfs_vgchange_uuid_all(handle) == 0 && guestfs_vg_activate_all(handle, 1) == 0;
}

gboolean
ka_scrub_devices(const KaSystem *system, const GPtrArray *items, GError **error)
{
    for (guint i = 0; i < items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(items, i);
        if (item->act == KA_SCRUB_RENEW && !renew(system, item))
            return ka_appliance_error(system->appliance, error, "%s: UUIDs can't be renewed",
                                      item->path);
    }
    return TRUE;
}
