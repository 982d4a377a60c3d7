#pragma once
#include "drivers/system.h"

/* After the file of an image has grown: the last partition of its disk, on which the system's root
 * must be, takes the new room. The system isn't mounted meanwhile. */
gboolean ka_image_grow_partition(KaAppliance *appliance,
                                 const char *disk,
                                 const char *root,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Then the mounted system: LVM's volumes and the root's file system. */
gboolean ka_image_grow_system(const KaSystem *system, GError **error) G_GNUC_WARN_UNUSED_RESULT;
