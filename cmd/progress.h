#pragma once
#include "cmd/terminal.h"
#include "planner/progress.h"

/* What is running, while it runs: on a terminal as lines that are drawn anew, else as plain lines.
 * Ctrl-C and SIGTERM end the running actions cleanly, a second one quits at once. */
typedef struct KaDisplay KaDisplay;

typedef enum {
    KA_DISPLAY_HOSTS = 1 << 0, /* addresses name their host */
    KA_DISPLAY_QUIET = 1 << 1, /* only the signals */
    KA_DISPLAY_ALONE = 1 << 2, /* connections are child processes that Ctrl-C must not reach */
} KaDisplayFlags;

/* total: actions to be done; terminal is standard error's, copied. */
KaDisplay *ka_display_new(const KaTerminal *terminal, guint total, KaDisplayFlags flags);
/* Takes away what is drawn and gives the signals back. */
void ka_display_free(KaDisplay *display);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaDisplay, ka_display_free)

/* To be handed to ka_plan_execute; borrowed. */
KaProgress *ka_display_progress(KaDisplay *display);
/* Did a signal come? */
gboolean ka_display_interrupted(const KaDisplay *display);

/* One running step: "uploading  45% ████░░░░ 1.2 GiB of 3.0 GiB, 120.0 MiB/s, 0:15 left". total 0:
 * only what is known. elapsed_us: since the step began. Caller frees. */
char *ka_step_format(const KaTerminal *terminal,
                     const char *what,
                     guint64 done,
                     guint64 total,
                     const char *unit,
                     gint64 elapsed_us);
