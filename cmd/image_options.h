#pragma once
#include "cmd/command.h"
#include "drivers/scrub_images.h"

/* What scrub and audit have in common: which images, which operations, how it is shown. */
extern const GOptionEntry ka_image_option_entries[];

/* The jobs of the command line: files, or the disks of --guest. Owned KaImagesJob. NULL after
 * saying why. */
GPtrArray *ka_image_jobs(KaContext *context, const char *const *files);
/* FALSE after saying why. The options are filled but for progress and in_place. */
gboolean ka_image_options(const KaContext *context, KaImagesOptions *ret_options);

/* Runs the jobs behind a bar each, and shows what was found as text or JSON. */
KaExit
ka_image_run(KaContext *context, GPtrArray *jobs /* owned KaImagesJob */, KaImagesOptions *options);
