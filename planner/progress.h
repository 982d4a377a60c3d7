#pragma once
#include "planner/action.h"
#include <gio/gio.h>

/* How an execution is watched and ended. Called from several threads, one call at a time. */
typedef struct {
    /* An action began or ended (see action->outcome). */
    void (*action)(gpointer data, const KaAction *action);
    /* Within an action: what is under way; total 0: no measure. unit "B" for bytes, "s" for a wait.
     */
    void (*step)(gpointer data,
                 const KaAction *action,
                 const char *what,
                 guint64 done,
                 guint64 total,
                 const char *unit);
    gpointer data;
    GCancellable *cancel;  /* borrowed; Ctrl-C; never NULL in a driver's call */
    guint timeout_seconds; /* for graceful shutdowns */
    GMutex *lock;          /* borrowed; held around the calls */
} KaProgress;

void ka_progress_step(const KaProgress *progress,
                      const KaAction *action,
                      const char *what,
                      guint64 done,
                      guint64 total,
                      const char *unit);
