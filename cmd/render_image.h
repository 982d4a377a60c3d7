#pragma once
#include "cmd/terminal.h"
#include "drivers/scrub_images.h"

/* What was found in images, and what became of it. All return text that the caller frees. */

char *ka_render_image_text(const GPtrArray *jobs,
                           KaImagesTask task,
                           const KaTerminal *terminal,
                           gboolean verbose);
/* Versioned and stable: see JSON OUTPUT in kvmapply(1). */
char *ka_render_image_json(const GPtrArray *jobs, KaImagesTask task);
/* What still identifies the machine, or is odd. */
guint ka_images_n_findings(const KaImagesJob *job);
