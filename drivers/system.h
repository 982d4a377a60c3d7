#pragma once
#include "drivers/appliance.h"

/* Families of systems, by os-release's ID and ID_LIKE. */
typedef enum {
    KA_FAMILY_OTHER = 1 << 0,
    KA_FAMILY_DEBIAN = 1 << 1,
    KA_FAMILY_RED_HAT = 1 << 2,
    KA_FAMILY_SUSE = 1 << 3,
    KA_FAMILY_ARCH = 1 << 4,
    KA_FAMILY_ALPINE = 1 << 5,
} KaFamily;

/* The Linux system of an image, mounted in the appliance as its fstab says. */
typedef struct {
    KaAppliance *appliance; /* borrowed */
    char *id;               /* "debian" */
    char *version;          /* "12"; "" */
    char *name;             /* "Debian GNU/Linux 12 (bookworm)" */
    KaFamily family;
    char *root;         /* "/dev/sda1" */
    GPtrArray *devices; /* owned char *: every file system of its drives */
    GPtrArray *mounts;  /* owned char *: mount points, "/" first */
    gboolean replayed;  /* a file system wasn't cleanly unmounted: its journal was replayed */
    gboolean has_lvm;   /* physical volumes are on its drives */
} KaSystem;

/* A key for encrypted partitions: tried on each of them. */
typedef struct {
    char *device; /* NULL: any; "/dev/sda2" */
    char *secret; /* the key file's contents without a final newline */
} KaKey;
void ka_key_free(KaKey *key);

/* The image (or another machine's drive) needs an appliance of its own: see `alone`. */
#define KA_SYSTEM_ERROR (ka_system_error_quark())
typedef enum { KA_SYSTEM_ERROR_ALONE } KaSystemError;
GQuark ka_system_error_quark(void);

/* Finds the one Linux system on the drives [first, first + n) without libguestfs' slow inspection,
 * and mounts it. image: for messages. keys: owned KaKey; NULL: none. None, two, an encrypted one
 * without its key, Windows: an error that says which. */
KaSystem *ka_system_mount(KaAppliance *appliance,
                          guint first,
                          guint n,
                          const char *image,
                          const GPtrArray *keys,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Gives free space of its mounted file systems back to the images; those that can't are left. */
gboolean ka_system_trim(const KaSystem *system, GError **error);
/* Unmounts all and closes what was opened. */
gboolean ka_system_unmount(const KaSystem *system, GError **error);
void ka_system_free(KaSystem *system);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaSystem, ka_system_free)
