#pragma once
#include "drivers/inside.h"

/* What system.c (finding) and system_mount.c (mounting) share. */

/* What may be on one of the drives' partitions. */
typedef struct {
    char *device;    /* "/dev/sda1" */
    char *mountable; /* the same, or one of its subvolumes */
    char *type;      /* "ext4"; "": nothing known */
    char *uuid, *label, *part_uuid, *part_label;
    char *trouble; /* why it can't be mounted */
} KaSystemVolume;

/* A search for the system on some drives. */
typedef struct {
    KaAppliance *appliance;
    guestfs_h *handle;
    const char *image;
    const GPtrArray *keys; /* NULL: none */
    char **drives;         /* owned; "/dev/sda", those searched */
    GPtrArray *volumes;    /* owned KaSystemVolume */
    guint n_opened;        /* encrypted ones */
    gboolean has_lvm;
} KaSystemSearch;

/* Mounts the root and, as its fstab says, what belongs to it. */
gboolean ka_system_mount_all(const KaSystemSearch *search,
                             KaSystem *system,
                             const KaSystemVolume *root,
                             GError **error);
/* What system it is, by os-release(5). */
gboolean ka_system_read_release(KaSystem *system, GError **error);
