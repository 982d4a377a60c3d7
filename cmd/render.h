#pragma once
#include "cmd/terminal.h"
#include "planner/plan.h"

/* The ways a plan is shown. All return text that the caller frees. */

/* Columns for people, as wide as the terminal. */
char *ka_render_text(const KaPlan *plan, const KaTerminal *terminal, gboolean verbose);
/* Versioned and stable: see JSON OUTPUT in kvmapply(1). */
char *ka_render_json(const KaPlan *plan);
/* For a pull request: a table for each host. */
char *ka_render_markdown(const KaPlan *plan);
/* After an execution: each action's outcome, errors in full, and how many of each. */
char *ka_render_outcome(const KaPlan *plan, const KaTerminal *terminal);
