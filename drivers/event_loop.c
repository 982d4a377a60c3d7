#include "drivers/event_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NEVER G_MAXINT64
#define AWAKE G_MININT64
#define WAKE_ID 0 /* of wake_fd among the handles */
#define N_EVENTS 16
#define REST_US (5 * G_TIME_SPAN_MILLISECOND)

/* A handle or a time-out. */
typedef struct {
    int id;
    int fd;  /* borrowed; -1: a time-out */
    int own; /* owned; its duplicate, since epoll takes each only once; -1: a time-out */
    int events;
    int interval_ms; /* -1: disabled */
    gint64 due_us;   /* when a time-out fires next, or a handle is enabled */
    virEventHandleCallback on_handle;
    virEventTimeoutCallback on_timeout;
    virFreeCallback free_data; /* NULL: nothing to free */
    void *data;
} Source;

typedef struct {
    GMutex lock;
    int epoll_fd, wake_fd;
    int last_id;
    GHashTable *sources; /* owned; id → owned Source */
    GQueue removed;      /* owned Source; freed by the loop's thread, never while a callback runs */
    gint64 asleep_until_us;
} Loop;

/* libvirt hands its hooks no context, so the one loop stands here. */
static Loop loop;

static const struct {
    int libvirt;
    guint32 epoll;
} event_names[] = {
    {VIR_EVENT_HANDLE_READABLE, EPOLLIN },
    {VIR_EVENT_HANDLE_WRITABLE, EPOLLOUT},
    {VIR_EVENT_HANDLE_ERROR,    EPOLLERR},
    {VIR_EVENT_HANDLE_HANGUP,   EPOLLHUP},
};

/* Errors and hang-ups come unasked: of a disabled handle once at most. */
static guint32
to_epoll(int events)
{
    guint32 flags = events ? 0 : EPOLLONESHOT;

    for (gsize i = 0; i < G_N_ELEMENTS(event_names); i++)
        flags |= events & event_names[i].libvirt ? event_names[i].epoll : 0;
    return flags;
}

static int
from_epoll(guint32 flags)
{
    int events = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(event_names); i++)
        events |= flags & event_names[i].epoll ? event_names[i].libvirt : 0;
    return events;
}

static gboolean
watch(int operation, int own, int id, int events)
{
    struct epoll_event event = {.events = to_epoll(events), .data.u64 = (guint64)id};

    return epoll_ctl(loop.epoll_fd, operation, own, &event) == 0;
}

static void
wake(void)
{
    if (eventfd_write(loop.wake_fd, 1) < 0)
        g_debug("the event loop can't be woken: %s", g_strerror(errno));
}

static Source *
find(int id)
{
    return g_hash_table_lookup(loop.sources, GINT_TO_POINTER(id));
}

static int
add(Source *source)
{
    source->id = ++loop.last_id;
    g_hash_table_insert(loop.sources, GINT_TO_POINTER(source->id), source);
    return source->id;
}

/* What libvirt frees with it may be locked by the caller, so the loop's thread does it. */
static int
remove_source(int id)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    gpointer source = NULL;

    if (!g_hash_table_steal_extended(loop.sources, GINT_TO_POINTER(id), NULL, &source))
        return -1;
    g_queue_push_tail(&loop.removed, source);
    if (loop.asleep_until_us != AWAKE)
        wake();
    return 0;
}

static int
add_handle(
    int fd, int events, virEventHandleCallback callback, void *data, virFreeCallback free_data)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0)
        return -1;
    if (!watch(EPOLL_CTL_ADD, own, loop.last_id + 1, events)) {
        close(own);
        return -1;
    }
    Source *source = g_new0(Source, 1);
    *source = (Source){.fd = fd,
                       .own = own,
                       .events = events,
                       .interval_ms = -1,
                       .due_us = NEVER,
                       .on_handle = callback,
                       .free_data = free_data,
                       .data = data};
    return add(source);
}

/* Only what comes sooner than all else needs the loop awake. */
static void
set_due(Source *source, gint64 due_us)
{
    source->due_us = due_us;
    if (due_us < loop.asleep_until_us)
        wake();
}

static void
change_handle(Source *source)
{
    source->due_us = NEVER;
    if (!watch(EPOLL_CTL_MOD, source->own, source->id, source->events))
        g_debug("event handle %d can't be changed: %s", source->id, g_strerror(errno));
}

/* Every call disables the connection's handle while it reads the answer itself, and enables it when
 * it has it. As the next call mostly follows at once, enabling waits for a pause. */
static void
update_handle(int id, int events)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    Source *source = find(id);
    gboolean enables = source && !source->events;

    if (!source || source->own < 0 || source->events == events)
        return;
    source->events = events;
    if (enables)
        set_due(source, g_get_monotonic_time() + REST_US);
    else if (source->due_us == NEVER)
        change_handle(source);
    else if (!events)
        source->due_us = NEVER;
}

static gint64
next_due(const Source *source, gint64 now_us)
{
    gint64 interval_us = (gint64)source->interval_ms * G_TIME_SPAN_MILLISECOND;

    return source->interval_ms < 0 ? NEVER : now_us + interval_us;
}

static void
set_interval(Source *source, int interval_ms)
{
    source->interval_ms = interval_ms;
    set_due(source, next_due(source, g_get_monotonic_time()));
}

static int
add_timeout(int interval_ms,
            virEventTimeoutCallback callback,
            void *data,
            virFreeCallback free_data)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    Source *source = g_new0(Source, 1);

    *source =
        (Source){.fd = -1, .own = -1, .on_timeout = callback, .free_data = free_data, .data = data};
    set_interval(source, interval_ms);
    return add(source);
}

static void
update_timeout(int id, int interval_ms)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    Source *source = find(id);

    if (source && source->on_timeout)
        set_interval(source, interval_ms);
}

/* --- the loop's thread --- */

/* Callbacks run without the lock; only this thread frees a source, so theirs stays. */
static void
dispatch_handle(int id, guint32 flags)
{
    g_mutex_lock(&loop.lock);
    Source *source = find(id);
    int unasked = VIR_EVENT_HANDLE_ERROR | VIR_EVENT_HANDLE_HANGUP;
    int asked = source && source->events ? source->events | unasked : 0;
    int events = from_epoll(flags) & asked;
    g_mutex_unlock(&loop.lock);
    if (events)
        source->on_handle(id, source->fd, events, source->data);
}

/* What is due, as IDs: a callback may remove another one. */
static GArray *
list_due(gint64 now_us)
{
    GArray *due = g_array_new(FALSE, FALSE, sizeof(int));
    GHashTableIter iter;
    gpointer source;

    g_hash_table_iter_init(&iter, loop.sources);
    while (g_hash_table_iter_next(&iter, NULL, &source))
        if (((const Source *)source)->due_us <= now_us)
            g_array_append_val(due, ((const Source *)source)->id);
    return due;
}

/* With the lock, which a callback runs without. */
static void
dispatch_due(Source *source, gint64 now_us)
{
    if (source->on_handle) {
        change_handle(source);
        return;
    }
    source->due_us = next_due(source, now_us);
    g_mutex_unlock(&loop.lock);
    source->on_timeout(source->id, source->data);
    g_mutex_lock(&loop.lock);
}

static void
dispatch_all_due(void)
{
    gint64 now_us = g_get_monotonic_time();

    g_mutex_lock(&loop.lock);
    g_autoptr(GArray) due = list_due(now_us);
    for (guint i = 0; i < due->len; i++) {
        Source *source = find(g_array_index(due, int, i));
        if (source && source->due_us <= now_us)
            dispatch_due(source, now_us);
    }
    g_mutex_unlock(&loop.lock);
}

static void
free_removed(void)
{
    g_mutex_lock(&loop.lock);
    for (Source *source; (source = g_queue_pop_head(&loop.removed));) {
        g_mutex_unlock(&loop.lock);
        if (source->own >= 0)
            close(source->own);
        if (source->free_data)
            source->free_data(source->data);
        g_free(source);
        g_mutex_lock(&loop.lock);
    }
    g_mutex_unlock(&loop.lock);
}

/* How long to sleep, in ms, rounded up; -1: until woken. */
static int
fall_asleep(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);
    GHashTableIter iter;
    gpointer source;

    loop.asleep_until_us = loop.removed.length ? g_get_monotonic_time() : NEVER;
    g_hash_table_iter_init(&iter, loop.sources);
    while (g_hash_table_iter_next(&iter, NULL, &source))
        loop.asleep_until_us = MIN(loop.asleep_until_us, ((const Source *)source)->due_us);
    if (loop.asleep_until_us == NEVER)
        return -1;
    gint64 left_us = MAX(loop.asleep_until_us - g_get_monotonic_time(), 0);
    return (int)MIN((left_us + 999) / G_TIME_SPAN_MILLISECOND, G_MAXINT);
}

static void
wake_up(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&loop.lock);

    loop.asleep_until_us = AWAKE;
}

static gpointer
run(gpointer data)
{
    struct epoll_event events[N_EVENTS];
    eventfd_t ignored;

    for (;;) {
        int n_events = epoll_wait(loop.epoll_fd, events, N_EVENTS, fall_asleep());
        wake_up();
        for (int i = 0; i < n_events; i++) {
            if (events[i].data.u64 == WAKE_ID)
                eventfd_read(loop.wake_fd, &ignored);
            else
                dispatch_handle((int)events[i].data.u64, events[i].events);
        }
        dispatch_all_due();
        free_removed();
    }
    return data;
}

gboolean
ka_event_loop_start(void)
{
    loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop.epoll_fd < 0 || loop.wake_fd < 0 ||
        !watch(EPOLL_CTL_ADD, loop.wake_fd, WAKE_ID, VIR_EVENT_HANDLE_READABLE))
        return FALSE;
    loop.asleep_until_us = AWAKE;
    loop.sources = g_hash_table_new(NULL, NULL);
    virEventRegisterImpl(add_handle, update_handle, remove_source, add_timeout, update_timeout,
                         remove_source);
    g_thread_unref(g_thread_new("libvirt-events", run, NULL));
    return TRUE;
}
