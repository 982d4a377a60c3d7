#pragma once
#include "planner/driver.h"

/* The manifest of what a host has: every object of every kind (or those that addresses name,
 * "guest/web", and what they refer to), in the tables' order. Values that a new object gets by
 * itself are left out. host must be connected. NULL on an error: an address that names nothing, or
 * the host's. */
KaTree *
ka_export(const KaDrivers *drivers, KaHost *host, const char *const *addresses, GError **error);
