#pragma once
#include "cmd/terminal.h"
#include "planner/progress.h"

/* What is running, while it runs: on a terminal as lines that are drawn anew, else as plain lines.
 * Ctrl-C and SIGTERM end the running actions cleanly, a second one quits at once. */
typedef struct KaDisplay KaDisplay;

/* total: actions to be done; terminal is standard error's, borrowed. hosts: name them. quiet: only
 * the signals. */
KaDisplay *ka_display_new(const KaTerminal *terminal, guint total, gboolean hosts, gboolean quiet);
/* Takes away what is drawn and gives the signals back. */
void ka_display_free(KaDisplay *display);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaDisplay, ka_display_free)

/* To be handed to ka_plan_execute; borrowed. */
KaProgress *ka_display_progress(KaDisplay *display);
/* Did a signal come? */
gboolean ka_display_interrupted(const KaDisplay *display);

/* One running step: "uploading  45% ████░░░░  1.2 GiB of 3.0 GiB  120 MiB/s  0:15 left". total 0:
 * only what is known. elapsed_us: since the step began. Caller frees. */
char *ka_step_format(const KaTerminal *terminal,
                     const char *what,
                     guint64 done,
                     guint64 total,
                     const char *unit,
                     gint64 elapsed_us);
