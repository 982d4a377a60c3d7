#include "drivers/half.h"

#define BEAT_SECONDS 2
#define WATCH_US (BEAT_SECONDS * 7 * G_TIME_SPAN_SECOND / 2)
#define LOOK_US (300 * 1000)
/* Longer than keep-alive takes to find out. */
#define END_US (20 * G_TIME_SPAN_SECOND)

/* First beat of a mark: random, so that two owners' never look alike. */
#define FIRST_BEAT (1024 + g_random_int_range(0, 1 << 20))
/* A taker's jump: above any beat of the dead owner, random against other takers. */
#define JUMP (1000 + g_random_int_range(0, 1 << 20))

struct KaMarker {
    gint references;        /* its owner's and its thread's: whoever is last frees it */
    virStoragePoolPtr pool; /* owned */
    const char *pool_type;  /* interned */
    KaHalf *mark;           /* owned */
    gboolean stale;
    guint64 at;     /* its beat as last written; of the thread that beats while there is one */
    gboolean beats; /* there is a thread */
    GMutex lock;
    GCond ended_cond;
    gboolean ended, lost, quiet; /* quiet: the thread is through */
};

static void
marker_unref(KaMarker *marker)
{
    if (!g_atomic_int_dec_and_test(&marker->references))
        return;
    ka_half_free(marker->mark);
    virStoragePoolFree(marker->pool);
    g_cond_clear(&marker->ended_cond);
    g_mutex_clear(&marker->lock);
    g_free(marker);
}

static gpointer
beat(gpointer data)
{
    KaMarker *marker = data;

    g_mutex_lock(&marker->lock);
    while (!marker->ended && !marker->lost) {
        gint64 until = g_get_monotonic_time() + BEAT_SECONDS * G_TIME_SPAN_SECOND;

        while (!marker->ended && g_cond_wait_until(&marker->ended_cond, &marker->lock, until))
            ;
        if (marker->ended)
            break;
        g_mutex_unlock(&marker->lock);
        gboolean mine = ka_half_read(marker->mark) == marker->at;
        if (mine && ka_half_write(marker->mark, marker->at + 1))
            marker->at++;
        g_mutex_lock(&marker->lock);
        marker->lost = !mine;
    }
    marker->quiet = TRUE;
    g_cond_broadcast(&marker->ended_cond);
    g_mutex_unlock(&marker->lock);
    marker_unref(marker);
    return NULL;
}

/* TRUE: made; FALSE without an error: somebody has one. */
static gboolean
make(KaMarker *marker, const char *name, const char *project, GError **error)
{
    marker->at = (guint64)FIRST_BEAT;
    marker->mark = ka_half_make(marker->pool, marker->pool_type, name, project, marker->at, error);
    return marker->mark != NULL;
}

typedef enum { GONE, MOVES, DEAD, STOPPED } Sight;

/* Watches another's marker until it is gone, moves, or has stood still for longer than a beat. */
static Sight
watch(const KaHalf *mark, guint64 *ret_beat, GCancellable *cancel)
{
    gint64 until = g_get_monotonic_time() + WATCH_US;

    *ret_beat = ka_half_read(mark);
    while (g_get_monotonic_time() < until) {
        guint64 now = 0;

        if (g_cancellable_is_cancelled(cancel))
            return STOPPED;
        g_usleep(LOOK_US);
        now = ka_half_read(mark);
        if (now == 0)
            return GONE;
        if (now != *ret_beat)
            return MOVES;
    }
    return DEAD;
}

/* Who writes last is the owner: taken for good only if it still stands after all others could look.
 */
static gboolean
take_over(KaMarker *marker, KaHalf *mark, guint64 beat)
{
    marker->at = beat + (guint64)JUMP;
    if (!ka_half_write(mark, marker->at))
        return FALSE;
    g_usleep(BEAT_SECONDS * G_USEC_PER_SEC / 2);
    return ka_half_read(mark) == marker->at;
}

/* FALSE without an error: look again. */
static gboolean
wait_for_other(KaMarker *marker,
               const KaAction *action,
               const char *name,
               const KaProgress *progress,
               gint64 begun,
               GError **error)
{
    g_autofree char *what = g_strdup_printf("waits for another kvmapply at volume '%s'", name);
    g_autoptr(KaHalf) other = ka_half_find(marker->pool, marker->pool_type, name);
    guint64 beat = 0;

    if (other == NULL)
        return FALSE;
    ka_progress_step(progress, action, what,
                     (guint64)((g_get_monotonic_time() - begun) / G_TIME_SPAN_SECOND), 0, "s");
    switch (watch(other, &beat, progress->cancel)) {
    case GONE:
    case MOVES:
        return FALSE;
    case STOPPED:
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "%s: interrupted", what);
        return FALSE;
    case DEAD:
        if (!take_over(marker, other, beat))
            return FALSE;
        marker->stale = TRUE;
        marker->mark = g_steal_pointer(&other);
        return TRUE;
    }
    g_assert_not_reached();
}

KaMarker *
ka_marker_take(virStoragePoolPtr pool,
               const char *pool_type,
               const KaAction *action,
               const char *volume,
               gboolean sign,
               const KaProgress *progress,
               GError **error)
{
    KaMarker *marker = g_new0(KaMarker, 1);
    gint64 begun = g_get_monotonic_time();
    g_autoptr(GError) failure = NULL;
    gboolean taken = FALSE;

    virStoragePoolRef(pool);
    marker->references = 1;
    marker->pool = pool;
    marker->pool_type = pool_type;
    g_mutex_init(&marker->lock);
    g_cond_init(&marker->ended_cond);
    while (!taken && failure == NULL) {
        taken = make(marker, volume, action->project, &failure);
        if (!taken && failure == NULL)
            taken = wait_for_other(marker, action, volume, progress, begun, &failure);
    }
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        marker_unref(marker);
        return NULL;
    }
    if (sign)
        ka_half_sign(marker->mark, action->project);
    g_atomic_int_inc(&marker->references);
    marker->beats = TRUE;
    g_thread_unref(g_thread_new("marker", beat, marker));
    return marker;
}

gboolean
ka_marker_is_stale(const KaMarker *marker)
{
    return marker->stale;
}

gboolean
ka_marker_is_lost(KaMarker *marker)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&marker->lock);

    return marker->lost;
}

/* FALSE: the thread hangs in a call. A host that stands still may never end it, though the
 * connection is closed by then: it is left behind. */
static gboolean
end_beating(KaMarker *marker)
{
    gint64 until = g_get_monotonic_time() + END_US;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&marker->lock);

    marker->ended = TRUE;
    g_cond_broadcast(&marker->ended_cond);
    while (marker->beats && !marker->quiet &&
           g_cond_wait_until(&marker->ended_cond, &marker->lock, until))
        ;
    return !marker->beats || marker->quiet;
}

void
ka_marker_end(KaMarker *marker, gboolean whole)
{
    if (end_beating(marker) && whole && !marker->lost)
        ka_half_remove(marker->mark);
    marker_unref(marker);
}
