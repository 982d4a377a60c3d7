#pragma once
#include "planner/driver.h"

/* Copies all of from_fd (a regular file or block device) into to_fd, a regular file that is emptied
 * first: shared blocks where the file system can, else data alone; zeros become holes. Owner, mode
 * and attributes are the caller's affair. `what`: of the progress, "copies". */
gboolean ka_sparse_copy(int from_fd,
                        int to_fd,
                        const char *what,
                        const KaAction *action,
                        const KaProgress *progress,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
