#include "drivers/event_loop.h"
#include <libvirt/libvirt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What callbacks were called with, as libvirt would see it. The loop is the process's one; each
 * test takes its own sources out again. */
typedef struct {
    GMutex lock;
    GCond cond;
    int pair[2];
    int handle, timeout;
    int events; /* of all calls */
    guint n_called, n_freed;
    gboolean in_callback;
    gboolean wrong; /* seen by a callback, in whose thread nothing can be asserted */
} Seen;

static int
set_up(void **state)
{
    Seen *seen = g_new0(Seen, 1);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, seen->pair), 0);
    seen->handle = seen->timeout = -1;
    *state = seen;
    return 0;
}

static gboolean
reached(Seen *seen, const guint *count, guint least, guint wait_ms)
{
    gint64 until = g_get_monotonic_time() + wait_ms * G_TIME_SPAN_MILLISECOND;

    g_mutex_lock(&seen->lock);
    while (*count < least && g_cond_wait_until(&seen->cond, &seen->lock, until))
        ;
    gboolean done = *count >= least;
    g_mutex_unlock(&seen->lock);
    return done;
}

static guint
n_called(Seen *seen)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&seen->lock);

    return seen->n_called;
}

/* The count once a call that was under way when its handle was disabled is over. */
static guint
settled(Seen *seen)
{
    guint n = n_called(seen);

    while (reached(seen, &seen->n_called, n + 1, 100))
        n = n_called(seen);
    return n;
}

static void
note(Seen *seen, int events)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&seen->lock);

    seen->n_called++;
    seen->events |= events;
    g_cond_signal(&seen->cond);
}

static void
on_free(void *data)
{
    Seen *seen = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&seen->lock);

    seen->wrong |= seen->in_callback;
    seen->n_freed++;
    g_cond_signal(&seen->cond);
}

static int
tear_down(void **state)
{
    Seen *seen = *state;
    guint sources = 0;

    sources += seen->handle >= 0 && virEventRemoveHandle(seen->handle) == 0;
    sources += seen->timeout >= 0 && virEventRemoveTimeout(seen->timeout) == 0;
    gboolean right = reached(seen, &seen->n_freed, sources, 5000) && !seen->wrong;
    close(seen->pair[0]);
    close(seen->pair[1]);
    g_free(seen);
    return right ? 0 : -1;
}

static void
on_readable(int handle, int fd, int events, void *data)
{
    Seen *seen = data;
    char text[16];

    seen->wrong |= handle != seen->handle || fd != seen->pair[0];
    if (events & VIR_EVENT_HANDLE_READABLE)
        seen->wrong |= read(fd, text, sizeof text) < 0;
    if (events & (VIR_EVENT_HANDLE_HANGUP | VIR_EVENT_HANDLE_ERROR))
        virEventUpdateHandle(handle, 0);
    note(seen, events);
}

static void
add_handle(Seen *seen, int events, virEventHandleCallback callback)
{
    seen->handle = virEventAddHandle(seen->pair[0], 0, callback, seen, on_free);
    assert_true(seen->handle > 0);
    virEventUpdateHandle(seen->handle, events);
}

static void
say(const Seen *seen)
{
    assert_int_equal(write(seen->pair[1], "x", 1), 1);
}

static void
event_loop_readable_handle_is_called(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    say(seen);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
    assert_int_equal(seen->events, VIR_EVENT_HANDLE_READABLE);
    say(seen);
    assert_true(reached(seen, &seen->n_called, 2, 5000));
}

static void
event_loop_handle_disabled_then_enabled_is_called_once_enabled(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    virEventUpdateHandle(seen->handle, 0);
    say(seen);
    assert_false(reached(seen, &seen->n_called, 1, 50));
    virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
}

/* As a connection does it in every call. */
static void
event_loop_handle_enabled_and_disabled_at_once_stays_disabled(void **state)
{
    Seen *seen = *state;

    add_handle(seen, 0, on_readable);
    say(seen);
    for (guint i = 0; i < 1000; i++) {
        virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE);
        virEventUpdateHandle(seen->handle, 0);
    }
    guint before = settled(seen);
    say(seen);
    assert_false(reached(seen, &seen->n_called, before + 1, 50));
    virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE);
    assert_true(reached(seen, &seen->n_called, before + 1, 5000));
}

static void
event_loop_writable_asked_for_beside_readable_is_called(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_WRITABLE);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
    assert_int_equal(seen->events, VIR_EVENT_HANDLE_WRITABLE);
    virEventUpdateHandle(seen->handle, 0);
    guint before = settled(seen);
    assert_false(reached(seen, &seen->n_called, before + 1, 50));
}

/* A hang-up is never masked by the kernel: of a disabled handle it must neither be told nor keep
 * the loop busy. */
static void
event_loop_hang_up_of_disabled_handle_waits_until_enabled(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    g_usleep(20 * 1000);
    virEventUpdateHandle(seen->handle, 0);
    shutdown(seen->pair[1], SHUT_RDWR);
    assert_false(reached(seen, &seen->n_called, 1, 50));
    virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
    assert_true(seen->events & VIR_EVENT_HANDLE_HANGUP);
}

static void
remove_itself(int handle, int fd, int events, void *data)
{
    Seen *seen = data;

    (void)fd;
    seen->in_callback = TRUE;
    seen->wrong |= virEventRemoveHandle(handle) != 0 || virEventRemoveHandle(handle) != -1;
    virEventUpdateHandle(handle, VIR_EVENT_HANDLE_READABLE); /* of what is gone: nothing */
    g_usleep(20 * 1000);
    seen->in_callback = FALSE;
    note(seen, events);
}

static void
event_loop_handle_removed_by_its_callback_is_freed_after_it(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, remove_itself);
    say(seen);
    assert_true(reached(seen, &seen->n_freed, 1, 5000));
    assert_int_equal(seen->n_called, 1);
    seen->handle = -1;
}

/* libvirt removes with a lock held that freeing takes, too. */
static void
event_loop_handle_removed_with_a_lock_is_freed_by_the_loop(void **state)
{
    Seen *seen = *state;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    g_mutex_lock(&seen->lock);
    assert_int_equal(virEventRemoveHandle(seen->handle), 0);
    assert_int_equal(seen->n_freed, 0);
    g_mutex_unlock(&seen->lock);
    assert_true(reached(seen, &seen->n_freed, 1, 5000));
    say(seen);
    assert_false(reached(seen, &seen->n_called, 1, 50));
    seen->handle = -1;
}

static void
event_loop_two_handles_of_one_file_are_both_called(void **state)
{
    Seen *seen = *state;
    Seen other = {
        .pair = {seen->pair[0], seen->pair[1]},
          .timeout = -1
    };

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    add_handle(&other, VIR_EVENT_HANDLE_WRITABLE, on_readable);
    assert_true(reached(&other, &other.n_called, 1, 5000));
    assert_false(other.wrong);
    say(seen);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
    assert_int_equal(virEventRemoveHandle(other.handle), 0);
    assert_true(reached(&other, &other.n_freed, 1, 5000));
    say(seen);
    assert_true(reached(seen, &seen->n_called, 2, 5000));
}

static void
event_loop_handle_removed_leaves_its_file_to_be_closed(void **state)
{
    Seen *seen = *state;
    char text;

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    assert_int_equal(virEventRemoveHandle(seen->handle), 0);
    assert_true(reached(seen, &seen->n_freed, 1, 5000));
    close(seen->pair[0]);
    assert_int_equal(read(seen->pair[1], &text, 1), 0);
    seen->pair[0] = -1;
    seen->handle = -1;
}

static void
on_time(int timeout, void *data)
{
    Seen *seen = data;

    g_mutex_lock(&seen->lock);
    seen->wrong |= timeout != seen->timeout;
    g_mutex_unlock(&seen->lock);
    note(seen, 0);
}

static void
add_timeout(Seen *seen, int interval_ms, virEventTimeoutCallback callback)
{
    seen->timeout = virEventAddTimeout(-1, callback, seen, on_free);
    assert_true(seen->timeout > 0);
    virEventUpdateTimeout(seen->timeout, interval_ms);
}

static void
event_loop_timeout_comes_again_and_again(void **state)
{
    Seen *seen = *state;
    gint64 start = g_get_monotonic_time();

    add_timeout(seen, 20, on_time);
    assert_true(reached(seen, &seen->n_called, 3, 5000));
    assert_true(g_get_monotonic_time() - start >= 60 * G_TIME_SPAN_MILLISECOND);
}

static void
event_loop_timeout_disabled_stays_silent(void **state)
{
    Seen *seen = *state;

    add_timeout(seen, -1, on_time);
    assert_false(reached(seen, &seen->n_called, 1, 50));
}

static void
event_loop_timeout_made_sooner_wakes_the_loop(void **state)
{
    Seen *seen = *state;

    add_timeout(seen, 60 * 1000, on_time);
    g_usleep(20 * 1000);
    virEventUpdateTimeout(seen->timeout, 10);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
}

/* As a connection does it with its keep-alive whenever something arrives. */
static void
event_loop_timeout_put_off_time_and_again_doesnt_come(void **state)
{
    Seen *seen = *state;

    add_timeout(seen, 500, on_time);
    for (guint i = 0; i < 40; i++) {
        virEventUpdateTimeout(seen->timeout, 500);
        g_usleep(20 * 1000);
    }
    assert_int_equal(n_called(seen), 0);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
}

static void
disable_itself(int timeout, void *data)
{
    virEventUpdateTimeout(timeout, -1);
    note(data, 0);
}

static void
event_loop_timeout_of_zero_disabled_by_its_callback_comes_once(void **state)
{
    Seen *seen = *state;

    add_timeout(seen, 0, disable_itself);
    assert_true(reached(seen, &seen->n_called, 1, 5000));
    assert_false(reached(seen, &seen->n_called, 2, 50));
    virEventUpdateTimeout(seen->timeout, 0);
    assert_true(reached(seen, &seen->n_called, 2, 5000));
}

static gpointer
flip(gpointer data)
{
    Seen *seen = data;

    for (guint i = 0; i < 20000; i++) {
        virEventUpdateHandle(seen->handle, i % 2 ? VIR_EVENT_HANDLE_READABLE : 0);
        virEventUpdateTimeout(seen->timeout, i % 3 ? 1000 : 0);
    }
    return NULL;
}

static void
event_loop_several_threads_change_what_is_watched(void **state)
{
    Seen *seen = *state;
    GThread *threads[4];

    add_handle(seen, VIR_EVENT_HANDLE_READABLE, on_readable);
    add_timeout(seen, -1, on_time);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("flip", flip, seen);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    virEventUpdateTimeout(seen->timeout, -1);
    virEventUpdateHandle(seen->handle, VIR_EVENT_HANDLE_READABLE);
    guint before = settled(seen);
    say(seen);
    assert_true(reached(seen, &seen->n_called, before + 1, 5000));
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(event_loop_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(readable_handle_is_called),
        CASE(handle_disabled_then_enabled_is_called_once_enabled),
        CASE(handle_enabled_and_disabled_at_once_stays_disabled),
        CASE(writable_asked_for_beside_readable_is_called),
        CASE(hang_up_of_disabled_handle_waits_until_enabled),
        CASE(handle_removed_by_its_callback_is_freed_after_it),
        CASE(handle_removed_with_a_lock_is_freed_by_the_loop),
        CASE(two_handles_of_one_file_are_both_called),
        CASE(handle_removed_leaves_its_file_to_be_closed),
        CASE(timeout_comes_again_and_again),
        CASE(timeout_disabled_stays_silent),
        CASE(timeout_made_sooner_wakes_the_loop),
        CASE(timeout_put_off_time_and_again_doesnt_come),
        CASE(timeout_of_zero_disabled_by_its_callback_comes_once),
        CASE(several_threads_change_what_is_watched),
    };
    if (!ka_event_loop_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
