#include "planner/driver.h"

G_DEFINE_QUARK(ka - host - error - quark, ka_host_error)

const KaDriver *
ka_drivers_find(const KaDrivers *drivers, const KaKind *kind)
{
    for (gsize i = 0; i < drivers->n_drivers; i++) {
        if (g_str_equal(drivers->drivers[i]->kind, kind->table->kind))
            return drivers->drivers[i];
    }
    return NULL;
}

void
ka_progress_step(const KaProgress *progress,
                 const KaAction *action,
                 const char *what,
                 guint64 done,
                 guint64 total,
                 const char *unit)
{
    if (!progress->step)
        return;
    g_mutex_lock(progress->lock);
    progress->step(progress->data, action, what, done, total, unit);
    g_mutex_unlock(progress->lock);
}
