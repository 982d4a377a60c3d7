#pragma once
#include "planner/driver.h"

/* QEMU's image format qcow2, as its docs/interop/qcow2.txt describes it, to and from plain data in a
 * sparse file. */

/* Writes what a guest sees of the qcow2 file into to_fd, an empty regular file: zeros become holes.
 * For files that ka_image_check let pass; what is damaged, encrypted or has features that aren't
 * known is INVALID. name: for messages. */
gboolean ka_qcow2_read(int from_fd,
                       int to_fd,
                       const char *name,
                       const KaAction *action,
                       const KaProgress *progress,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes the data of from_fd, a regular file, as a qcow2 file into to_fd, which is empty; holes and
 * zeros take no room. compress: each cluster by zlib. */
gboolean ka_qcow2_write(int from_fd,
                        int to_fd,
                        gboolean compress,
                        const KaAction *action,
                        const KaProgress *progress,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
