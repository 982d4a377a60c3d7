#pragma once
#include "cmd/command.h"

/* The commands of `kvmapply image`, one file each. */
extern const KaCommand ka_command_image_scrub;
extern const KaCommand ka_command_image_audit;
