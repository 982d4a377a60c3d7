#pragma once
#include "cmd/command.h"
#include "drivers/image_cache.h"

/* The commands of `kvmapply image`, one file each. */
extern const KaCommand ka_command_image_build;
extern const KaCommand ka_command_image_scrub;
extern const KaCommand ka_command_image_audit;
extern const KaCommand ka_command_image_list;
extern const KaCommand ka_command_image_prune;

/* A file of the cache on one line. Caller frees. */
char *ka_cached_line(const KaTerminal *terminal, const KaCached *cached);
