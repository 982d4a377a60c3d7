#pragma once
#include "planner/driver.h"

typedef struct {
    KaWords allow; /* for all */
    GHashTable
        *allow_scoped; /* owned; "guest/web" or "guest/web@kvm1" → GUINT_TO_POINTER(KaWords) */
    char **targets;    /* owned; "guest/web"; NULL: all */
    char **hosts;      /* owned; names; NULL: all */
    char **replace;    /* owned; "guest/web" */
    gboolean prune;
    gboolean remove;       /* `delete`: what is declared is to go */
    guint timeout_seconds; /* of connections */
} KaPlanOptions;

typedef struct {
    KaHost *host;       /* owned by the plan */
    GPtrArray *actions; /* owned KaAction, in the order they are shown and done */
    GPtrArray
        *unknown; /* owned KaAction (verb unused): what can't be told, actual->unknown says why */
    guint n_unchanged;
} KaHostPlan;

typedef struct {
    const KaManifest *manifest; /* borrowed */
    const KaDrivers *drivers;   /* borrowed */
    KaPlanOptions options;      /* borrowed content */
    GPtrArray *hosts;           /* owned KaHostPlan, in the manifest's order */
    GPtrArray *others;          /* owned KaHostPlan without actions: hosts that --host leaves out */
    KaDiagnostics *diagnostics; /* owned; errors that refuse the whole plan, with their places */
    char *digest;               /* of all that will be done; hex, 8 characters */
    guint n_create, n_change, n_remove, n_replace, n_left_over, n_pending, n_lacking;
    gboolean failed; /* a host unreachable or unknown: exit 1 */
    GMutex lock;     /* guards what the hosts' threads add while observing */
} KaPlan;

typedef enum { KA_PLAN_ERROR_ARGUMENT, KA_PLAN_ERROR_CYCLE } KaPlanError;
#define KA_PLAN_ERROR (ka_plan_error_quark())
GQuark ka_plan_error_quark(void);

/* Observes all hosts at once and says what is to be done; no side effects. NULL on a wrong argument
 * (a target or scoped word that names nothing). */
KaPlan *ka_plan_new(const KaManifest *manifest,
                    const KaDrivers *drivers,
                    const KaPlanOptions *options,
                    GError **error);
void ka_plan_free(KaPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaPlan, ka_plan_free)

/* Does the plan. TRUE if all was done. Outcomes and errors are in the actions. */
gboolean ka_plan_execute(KaPlan *plan, const KaProgress *progress, guint parallel_restarts);

/* capacity.c: warns where the guests declared to run on a host may use more memory than it has
 * without its reserve. Over-commit is allowed: only a warning. */
void ka_capacity_check(const KaManifest *manifest, KaHost *host);

/* diff.c: what must change so that actual becomes desired, in the rows' order. desired and actual
 * are trees of the same rows; owned: the record's (NULL: none). Adds KaChange to changes and notes.
 */
void ka_diff(KaAction *action, const KaRows *rows);
