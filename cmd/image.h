#pragma once
#include "cmd/command.h"

/* The commands of `kvmapply image`, one file each. */
