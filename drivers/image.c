#include "drivers/image.h"
#include "drivers/cache.h"

/* Images are made on this machine and lie in its cache; what a host has of one are the bases in its
 * pools. So there is something to do for an image where a disk is to be made of it and its pool has
 * no base of it as it is declared now. */

/* The pools that still want the base, as the observation found them; of action's image. */
static GPtrArray *
wanting_pools(KaHost *host, const char *image)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    GPtrArray *pools = g_hash_table_lookup(link->image_pools, image);

    return pools ? g_ptr_array_ref(pools) : g_ptr_array_new();
}

static void
note_wanting(KaHost *host, const char *image, const char *pool)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    GPtrArray *pools = g_hash_table_lookup(link->image_pools, image);

    if (pools == NULL) {
        pools = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(link->image_pools, g_strdup(image), pools);
    }
    if (!g_ptr_array_find_with_equal_func(pools, pool, g_str_equal, NULL))
        g_ptr_array_add(pools, g_strdup(pool));
}

static void
look_for_bases(KaHost *host, const KaWanted *wanted, const KaObject *image)
{
    const char *key = ka_base_key(host, image);
    g_autofree char *name = key ? ka_base_name(image, key) : NULL;

    for (guint i = 0; i < wanted->makers->len; i++) {
        const KaAction *maker = g_ptr_array_index(wanted->makers, i);
        const char *pool = ka_disk_pool(maker->object);

        if (ka_disk_image(maker->object) == image &&
            !(name && ka_base_is_there(host, pool, name)))
            note_wanting(host, image->name, pool);
    }
}

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    GHashTableIter iter;
    gpointer value;

    (void)error;
    if (wanted->makers == NULL)
        return TRUE;
    g_hash_table_iter_init(&iter, wanted->objects);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const KaObject *image = value;
        g_autoptr(GPtrArray) pools = NULL;
        KaActual *actual = NULL;

        look_for_bases(host, wanted, image);
        pools = wanting_pools(host, image->name);
        if (pools->len)
            continue;
        actual = ka_actual_new(image->name);
        actual->config = ka_tree_new();
        actual->config->root = ka_node_copy(actual->config, image->node);
        found(actual, data);
    }
    return TRUE;
}

/* "fetch, build, upload to pool fast" */
static char *
describe(KaHost *host, const KaObject *image, const GPtrArray *pools)
{
    const char *key = ka_base_key(host, image);
    g_autofree char *built = key ? ka_built_path(image, key) : NULL;
    gboolean is_built = built && g_file_test(built, G_FILE_TEST_EXISTS);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!is_built && !ka_image_source_is_here(image))
        g_string_append(text, "fetch, ");
    if (!is_built)
        g_string_append(text, "build, ");
    for (guint i = 0; i < pools->len; i++)
        g_string_append_printf(text, "%s%s", i ? " and " : "upload to pool ",
                               (const char *)g_ptr_array_index(pools, i));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean
check_pool(KaHost *host, const KaObject *image, const char *pool, GError **error)
{
    const char *type = ka_link_pool_type(host, pool);
    const char *format = ka_node_text(image->node, "format");

    if (type == NULL || ka_pool_keeps_files(type) || g_str_equal(format, "raw"))
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "pool '%s' (%s) takes no %s files: an image for it wants 'format: raw'", pool, type,
                format);
    return FALSE;
}

static gboolean
assess(KaHost *host, KaAction *action, GError **error)
{
    g_autoptr(GPtrArray) pools = wanting_pools(host, action->name);
    g_autofree char *recipe = NULL;

    if (action->verb != KA_CREATE)
        return TRUE;
    for (guint i = 0; i < pools->len; i++) {
        if (!check_pool(host, action->object, g_ptr_array_index(pools, i), error))
            return FALSE;
    }
    recipe = ka_recipe_digest(action->object, error);
    if (recipe == NULL || !ka_image_build_assess(action->object, error) ||
        !ka_image_source_assess(host, action, error))
        return FALSE;
    action->doing = describe(host, action->object, pools);
    return TRUE;
}

static gboolean
create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(GPtrArray) pools = wanting_pools(host, action->name);
    g_autoptr(KaBuilt) built = ka_image_build(host, action->object, action, progress, error);

    if (built == NULL)
        return FALSE;
    ka_base_set_key(host, action->object, built->key);
    for (guint i = 0; i < pools->len; i++) {
        if (!ka_base_put(host, action, g_ptr_array_index(pools, i), built, progress, error))
            return FALSE;
    }
    return TRUE;
}

const KaDriver ka_image_driver = {
    .kind = "image",
    .observe = observe,
    .assess = assess,
    .create = create,
};
