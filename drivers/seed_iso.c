#include "drivers/seed.h"

#define LIBISOFS_WITHOUT_LIBBURN
#include <libisofs/libisofs.h>

#define BLOCK_BYTES 2048
/* Every time in the image: which one says nothing. 1980-01-01, as in archives without times. */
#define TIME_SECONDS 315532800
#define TIME_TEXT "1980010100000000"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(IsoImage, iso_image_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IsoWriteOpts, iso_write_opts_free)

static gboolean
check(int code, GError **error)
{
    if (code >= 0)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't make the ISO image: %s",
                iso_error_to_msg(code));
    return FALSE;
}

static void
settle_node(IsoNode *node, mode_t mode)
{
    iso_node_set_permissions(node, mode);
    iso_node_set_uid(node, 0);
    iso_node_set_gid(node, 0);
    iso_node_set_mtime(node, TIME_SECONDS);
    iso_node_set_atime(node, TIME_SECONDS);
    iso_node_set_ctime(node, TIME_SECONDS);
}

/* The folder of that name, made where it is missing; NULL with an error. */
static IsoDir *
folder(IsoDir *parent, const char *name, GError **error)
{
    IsoNode *node = NULL;
    IsoDir *made = NULL;

    if (iso_dir_get_node(parent, name, &node) == 1)
        return (IsoDir *)node;
    if (!check(iso_tree_add_new_dir(parent, name, &made), error))
        return NULL;
    settle_node(ISO_NODE(made), 0755);
    return made;
}

static gboolean
add_file(IsoDir *root, const KaSeedFile *file, GError **error)
{
    g_auto(GStrv) names = g_strsplit(file->path, "/", -1);
    gsize length = strlen(file->text);
    IsoDir *parent = root;
    IsoStream *stream = NULL;
    IsoFile *added = NULL;
    char **name = names;

    for (; name[1]; name++)
        if (!(parent = folder(parent, *name, error)))
            return FALSE;
    /* The stream frees it, and wants some. */
    guchar *copy = malloc(length + 1);
    if (!copy) {
        g_set_error_literal(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "out of memory");
        return FALSE;
    }
    memcpy(copy, file->text, length + 1);
    if (!check(iso_memory_stream_new(copy, length, &stream), error)) {
        free(copy);
        return FALSE;
    }
    if (!check(iso_tree_add_new_file(parent, *name, stream, &added), error)) {
        iso_stream_unref(stream);
        return FALSE;
    }
    settle_node(ISO_NODE(added), 0444);
    return TRUE;
}

static gboolean
add_files(IsoImage *image, const KaSeed *seed, GError **error)
{
    IsoDir *root = iso_image_get_root(image);

    settle_node(ISO_NODE(root), 0755);
    for (guint i = 0; i < seed->files->len; i++)
        if (!add_file(root, &g_array_index(seed->files, KaSeedFile, i), error))
            return FALSE;
    iso_image_set_volume_id(image, seed->label);
    return TRUE;
}

static IsoWriteOpts *
options_new(GError **error)
{
    g_autofree char *text = g_strdup(TIME_TEXT);
    IsoWriteOpts *options = NULL;

    if (!check(iso_write_opts_new(&options, 0), error))
        return NULL;
    iso_write_opts_set_iso_level(options, 3);
    iso_write_opts_set_rockridge(options, 1);
    iso_write_opts_set_joliet(options, 1);
    iso_write_opts_set_relaxed_vol_atts(options, 1); /* labels as they are */
    iso_write_opts_set_always_gmt(options, 1);
    iso_write_opts_set_replace_timestamps(options, 2);
    iso_write_opts_set_default_timestamp(options, TIME_SECONDS);
    iso_write_opts_set_pvd_times(options, TIME_SECONDS, TIME_SECONDS, 0, TIME_SECONDS, text);
    return options;
}

static GBytes *
read_all(struct burn_source *source)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint8 block[BLOCK_BYTES];

    while (source->read_xt(source, block, BLOCK_BYTES) == BLOCK_BYTES)
        g_byte_array_append(bytes, block, BLOCK_BYTES);
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

static GBytes *
write_image(IsoImage *image, GError **error)
{
    g_autoptr(IsoWriteOpts) options = options_new(error);
    struct burn_source *source = NULL;

    if (!options || !check(iso_image_create_burn_source(image, options, &source), error))
        return NULL;
    gint64 size = source->get_size(source);
    g_autoptr(GBytes) bytes = read_all(source);
    source->free_data(source);
    free(source);
    if ((gint64)g_bytes_get_size(bytes) == size)
        return g_steal_pointer(&bytes);
    g_set_error_literal(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                        "can't make the ISO image: libisofs gave only a part of it");
    return NULL;
}

GBytes *
ka_seed_iso(const KaSeed *seed, GError **error)
{
    static GMutex lock; /* libisofs counts its streams in a variable of its own */
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    static gboolean begun;
    g_autoptr(IsoImage) image = NULL;

    if (!begun && !check(iso_init(), error))
        return NULL;
    if (!begun) {
        char never[] = "NEVER", nothing[] = "";
        iso_set_msgs_severities(never, never, nothing);
        begun = TRUE;
    }
    if (!check(iso_image_new(seed->label, &image), error) || !add_files(image, seed, error))
        return NULL;
    return write_image(image, error);
}
