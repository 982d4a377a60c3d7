#include "planner/plan.h"

/* As many requests as a daemon serves of one client at once. */
#define PER_HOST 5

typedef struct {
    KaPlan *plan;
    const KaProgress *progress;
    guint restarts; /* running now */
    guint max_restarts;
    GHashTable *busy;   /* KaHost → GUINT_TO_POINTER(actions running) */
    GPtrArray *waiting; /* borrowed KaAction, in the plan's order */
    guint running;
    GMutex lock;
    GCond ended;
} Execution;

/* Only what waits for its guest, or notes: asking again is all that can be done. */
static gboolean
nothing_to_do(const KaAction *action)
{
    if (action->left_over)
        return TRUE;
    if (action->verb != KA_CHANGE || action->restart)
        return FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (!change->pending || (change->way == KA_GUEST && !action->adopt))
            return FALSE;
    }
    return TRUE;
}

static gboolean
drive(KaAction *action, const KaDriver *driver, const KaProgress *progress, GError **error)
{
    switch (action->verb) {
    case KA_CREATE:
        return driver->create(action->host, action, progress, error);
    case KA_CHANGE:
        return driver->change(action->host, action, progress, error);
    case KA_REMOVE:
        return driver->remove(action->host, action, progress, error);
    case KA_REPLACE:
        return driver->remove(action->host, action, progress, error) &&
               (!driver->finish || driver->finish(action->host, action, error)) &&
               driver->create(action->host, action, progress, error);
    }
    g_assert_not_reached();
}

static void
report(const KaProgress *progress, const KaAction *action)
{
    if (!progress->action)
        return;
    g_mutex_lock(progress->lock);
    progress->action(progress->data, action);
    g_mutex_unlock(progress->lock);
}

static void
skip(KaAction *action, char *why)
{
    action->outcome = KA_SKIPPED;
    action->error = g_error_new_literal(KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, why);
    g_free(why);
}

static gboolean
is_finished_last(const KaAction *action, const KaDriver *driver)
{
    return action->verb == KA_REMOVE && action->outcome == KA_DONE && !action->left_over &&
           driver->finish;
}

typedef enum { READY, LATER, NEVER } Turn;

static Turn
turn(Execution *execution, KaAction *action)
{
    if (g_cancellable_is_cancelled(execution->progress->cancel)) {
        skip(action, g_strdup("interrupted before it began"));
        return NEVER;
    }
    for (guint i = 0; i < action->after->len; i++) {
        const KaAction *before = g_ptr_array_index(action->after, i);
        if (before->outcome == KA_FAILED || before->outcome == KA_SKIPPED) {
            g_autofree char *address = ka_action_address(before, FALSE);
            skip(action, g_strdup_printf("waits for '%s', which wasn't done", address));
            return NEVER;
        }
        if (before->outcome != KA_DONE)
            return LATER;
    }
    if (GPOINTER_TO_UINT(g_hash_table_lookup(execution->busy, action->host)) >= PER_HOST)
        return LATER;
    return action->restart && execution->restarts >= execution->max_restarts ? LATER : READY;
}

static void
run(gpointer data, gpointer user_data)
{
    KaAction *action = data;
    Execution *execution = user_data;
    const KaDriver *driver = ka_drivers_find(execution->plan->drivers, action->kind);
    gint64 start = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    gboolean done = drive(action, driver, execution->progress, &error);

    g_mutex_lock(&execution->lock);
    action->duration_us = g_get_monotonic_time() - start;
    action->outcome = done ? KA_DONE : KA_FAILED;
    action->error = g_steal_pointer(&error);
    g_mutex_unlock(&execution->lock);
    if (!is_finished_last(action, driver))
        report(execution->progress, action);
    g_mutex_lock(&execution->lock);
    guint busy = GPOINTER_TO_UINT(g_hash_table_lookup(execution->busy, action->host));
    g_hash_table_insert(execution->busy, action->host, GUINT_TO_POINTER(busy - 1));
    execution->restarts -= action->restart;
    execution->running--;
    g_cond_signal(&execution->ended);
    g_mutex_unlock(&execution->lock);
}

static void
begin(Execution *execution, KaAction *action, GThreadPool *pool)
{
    guint busy = GPOINTER_TO_UINT(g_hash_table_lookup(execution->busy, action->host));

    g_hash_table_insert(execution->busy, action->host, GUINT_TO_POINTER(busy + 1));
    execution->restarts += action->restart;
    execution->running++;
    action->outcome = KA_RUNNING;
    g_mutex_unlock(&execution->lock);
    report(execution->progress, action);
    g_mutex_lock(&execution->lock);
    g_thread_pool_push(pool, action, NULL);
}

/* Hands out what is ready, in the plan's order; TRUE if anything was decided. Locked. */
static gboolean
hand_out(Execution *execution, GThreadPool *pool)
{
    gboolean decided = FALSE;
    guint kept = 0;

    for (guint i = 0; i < execution->waiting->len; i++) {
        KaAction *action = g_ptr_array_index(execution->waiting, i);
        Turn when = turn(execution, action);
        if (when == LATER) {
            execution->waiting->pdata[kept++] = action;
            continue;
        }
        decided = TRUE;
        if (when == READY) {
            begin(execution, action, pool);
            continue;
        }
        g_mutex_unlock(&execution->lock);
        report(execution->progress, action);
        g_mutex_lock(&execution->lock);
    }
    g_ptr_array_set_size(execution->waiting, (gint)kept);
    return decided;
}

static void
work_off(Execution *execution, GThreadPool *pool)
{
    g_mutex_lock(&execution->lock);
    while (execution->waiting->len || execution->running) {
        if (!hand_out(execution, pool) && execution->running)
            g_cond_wait(&execution->ended, &execution->lock);
    }
    g_mutex_unlock(&execution->lock);
}

static void
finish_removals(const KaPlan *plan, const KaHostPlan *host, const KaProgress *progress)
{
    for (guint i = 0; i < host->actions->len; i++) {
        KaAction *action = g_ptr_array_index(host->actions, i);
        const KaDriver *driver = ka_drivers_find(plan->drivers, action->kind);
        if (!is_finished_last(action, driver))
            continue;
        if (!driver->finish(action->host, action, &action->error))
            action->outcome = KA_FAILED;
        report(progress, action);
    }
}

static gboolean
all_done(const KaPlan *plan)
{
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++) {
            if (((const KaAction *)g_ptr_array_index(host->actions, j))->outcome != KA_DONE)
                return FALSE;
        }
    }
    return TRUE;
}

gboolean
ka_plan_execute(KaPlan *plan, const KaProgress *progress, guint parallel_restarts)
{
    g_autoptr(GHashTable) busy = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) waiting = g_ptr_array_new();
    Execution execution = {.plan = plan,
                           .progress = progress,
                           .max_restarts = MAX(parallel_restarts, 1),
                           .busy = busy,
                           .waiting = waiting};

    g_mutex_init(&execution.lock);
    g_cond_init(&execution.ended);
    for (guint i = 0; i < plan->hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++) {
            KaAction *action = g_ptr_array_index(host->actions, j);
            if (nothing_to_do(action))
                action->outcome = KA_DONE;
            else
                g_ptr_array_add(waiting, action);
        }
    }
    GThreadPool *pool =
        g_thread_pool_new(run, &execution, (gint)(PER_HOST * plan->hosts->len) + 1, FALSE, NULL);
    work_off(&execution, pool);
    for (guint i = 0; i < plan->hosts->len; i++)
        finish_removals(plan, g_ptr_array_index(plan->hosts, i), progress);
    g_thread_pool_free(pool, FALSE, TRUE);
    g_mutex_clear(&execution.lock);
    g_cond_clear(&execution.ended);
    return all_done(plan);
}
