#pragma once
#include "cmd/command.h"
#include "planner/plan.h"

/* The options that plan, apply and delete share. */
extern const GOptionEntry ka_plan_option_entries[];

/* What they say. FALSE on a word or an address that can't be. Content is borrowed, but for what
 * ka_plan_options_clear frees. */
gboolean ka_plan_options_read(const KaContext *context, KaPlanOptions *ret_options, GError **error);
void ka_plan_options_clear(KaPlanOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(KaPlanOptions, ka_plan_options_clear)
