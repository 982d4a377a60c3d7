#pragma once
#include "cmd/command.h"

/* The options that apply and delete share. */
extern const GOptionEntry ka_apply_option_entries[];

/* Plans, asks, executes and verifies; remove: for `delete`. */
KaExit ka_apply(KaContext *context, const char *const *paths, gboolean remove);
