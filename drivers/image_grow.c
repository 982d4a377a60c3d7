#include "drivers/image_grow.h"
#include "drivers/recipe.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512
/* What the second table of GPT takes at the end. */
#define GPT_END_SECTORS 34

/* The number of the partition that ends last; 0: there is none. */
static int
last_partition(guestfs_h *g, const char *disk, guint64 *ret_end_bytes)
{
    struct guestfs_partition_list *list = guestfs_part_list(g, disk);
    int number = 0;

    *ret_end_bytes = 0;
    for (guint32 i = 0; list && i < list->len; i++) {
        if (list->val[i].part_end < *ret_end_bytes)
            continue;
        *ret_end_bytes = list->val[i].part_end;
        number = list->val[i].part_num;
    }
    guestfs_free_partition_list(list);
    return number;
}

/* TRUE too where the image has no partitions. */
gboolean
ka_image_grow_partition(KaAppliance *appliance, const char *disk, const char *root, GError **error)
{
    guestfs_h *g = ka_appliance_handle(appliance);
    g_autofree char *prefix = g_strconcat(disk, "", NULL), *last = NULL;
    guint64 end_bytes = 0;
    int number = 0;
    char *type = NULL;
    gint64 sectors = guestfs_blockdev_getsize64(g, disk) / SECTOR;

    if (g_str_equal(root, disk))
        return TRUE;
    number = last_partition(g, disk, &end_bytes);
    last = g_strdup_printf("%s%d", disk, number);
    if (number == 0)
        return ka_appliance_error(appliance, error, "can't read the partitions");
    if (g_str_has_prefix(root, prefix) && !g_str_equal(root, last))
        return ka_invalid(error, "size: partition %s lies behind the system's, %s, which can't grow",
                       last, root);
    type = guestfs_part_get_parttype(g, disk);
    gboolean gpt = g_strcmp0(type, "gpt") == 0;
    free(type);
    if ((gpt && guestfs_part_expand_gpt(g, disk) < 0) ||
        guestfs_part_resize(g, disk, number, sectors - 1 - (gpt ? GPT_END_SECTORS - 1 : 0)) < 0)
        return ka_appliance_error(appliance, error, "can't grow partition %s", last);
    return TRUE;
}

/* --- what lies in it; all of it grows while it is mounted --- */

static gboolean
grow_ext(guestfs_h *g, const char *device)
{
    return guestfs_resize2fs(g, device) == 0;
}

static gboolean
grow_xfs(guestfs_h *g, const char *device)
{
    (void)device;
    struct guestfs_xfs_growfs_argv options = {.bitmask = 0};
    return guestfs_xfs_growfs_argv(g, "/", &options) == 0;
}

static gboolean
grow_btrfs(guestfs_h *g, const char *device)
{
    (void)device;
    return guestfs_btrfs_filesystem_resize(g, "/", -1) == 0;
}

static const struct {
    const char *type;
    gboolean (*grow)(guestfs_h *g, const char *device);
} kinds[] = {
    {"ext2",  grow_ext  },
    {"ext3",  grow_ext  },
    {"ext4",  grow_ext  },
    {"xfs",   grow_xfs  },
    {"btrfs", grow_btrfs},
};

static gboolean
grow_lvm(const KaSystem *system, GError **error)
{
    guestfs_h *g = ka_appliance_handle(system->appliance);
    char **volumes = guestfs_pvs(g);
    gboolean done = volumes != NULL;

    for (char **volume = volumes; volume && *volume; volume++) {
        done = done && guestfs_pvresize(g, *volume) == 0;
        free(*volume);
    }
    free(volumes);
    return (done && guestfs_lvresize_free(g, system->root, 100) == 0) ||
           ka_appliance_error(system->appliance, error, "can't grow '%s'", system->root);
}

gboolean
ka_image_grow_system(const KaSystem *system, GError **error)
{
    guestfs_h *g = ka_appliance_handle(system->appliance);
    char *type = NULL;
    gboolean done = FALSE;

    if (guestfs_is_lv(g, system->root) == 1 && !grow_lvm(system, error))
        return FALSE;
    type = guestfs_vfs_type(g, system->root);
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_strcmp0(type, kinds[i].type) != 0)
            continue;
        done = kinds[i].grow(g, system->root) ||
               ka_appliance_error(system->appliance, error, "can't grow the file system on '%s'",
                                  system->root);
        free(type);
        return done;
    }
    done = ka_invalid(error, "size: file system '%s' can't grow; expected ext4, xfs or btrfs",
                   type ? type : "unknown");
    free(type);
    return done;
}
