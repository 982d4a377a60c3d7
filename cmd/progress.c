#include "cmd/progress.h"
#include "cmd/foreground.h"
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define REDRAW_US (G_USEC_PER_SEC / 10)
#define TICK_MS 250
#define PLAIN_STEP_US (10 * G_USEC_PER_SEC)
#define BAR_CELLS 10
#define HARD_QUIT 130

typedef struct {
    const KaAction *action; /* borrowed */
    char *address;          /* owned */
    char *what;             /* owned; the step; NULL: none yet */
    char *unit;             /* owned */
    guint64 done, total;
    gint64 began_us, step_began_us, said_us;
} Running;

struct KaDisplay {
    KaTerminal terminal;
    KaProgress progress;
    GMutex lock;
    GPtrArray *running; /* owned Running, in the order they began */
    guint total, ended, drawn;
    gboolean hosts, quiet, live;
    gint64 drawn_us;
    GThread *thread;
    int pipe[2];
    struct sigaction before[2];
    KaForeground *foreground; /* owned; NULL: none was taken */
    guint signals;            /* of the watching thread alone */
};

static const int watched[] = {SIGINT, SIGTERM};
static int signal_pipe = -1;

static const char *const doing[] = {
    [KA_CREATE] = "creating",
    [KA_CHANGE] = "changing",
    [KA_REMOVE] = "deleting",
    [KA_REPLACE] = "replacing",
};

static const char *const outcome_words[] = {
    [KA_WAITING] = "waiting", [KA_RUNNING] = "running", [KA_DONE] = "done",
    [KA_FAILED] = "failed",   [KA_SKIPPED] = "skipped",
};

static void
running_free(Running *running)
{
    g_free(running->address);
    g_free(running->what);
    g_free(running->unit);
    g_free(running);
}

static Running *
find(KaDisplay *display, const KaAction *action, guint *ret_index)
{
    for (guint i = 0; i < display->running->len; i++) {
        Running *running = g_ptr_array_index(display->running, i);
        if (running->action == action) {
            *ret_index = i;
            return running;
        }
    }
    return NULL;
}

static void
append_bar(GString *out, double part)
{
    guint full = (guint)(part * BAR_CELLS + 0.5);
    for (guint i = 0; i < BAR_CELLS; i++)
        g_string_append(out, i < full ? "█" : "░");
}

static char *
format_amount(guint64 amount, const char *unit)
{
    if (g_str_equal(unit, "B"))
        return g_format_size_full(amount, G_FORMAT_SIZE_IEC_UNITS);
    if (g_str_equal(unit, "s"))
        return g_strdup_printf("%u:%02u", (guint)(amount / 60), (guint)(amount % 60));
    return g_strdup_printf("%" G_GUINT64_FORMAT "%s%s", amount, *unit ? " " : "", unit);
}

char *
ka_step_format(const KaTerminal *terminal,
               const char *what,
               guint64 done,
               guint64 total,
               const char *unit,
               gint64 elapsed_us)
{
    g_autoptr(GString) out = g_string_new(what);
    g_autofree char *so_far = format_amount(done, unit);
    double seconds = (double)elapsed_us / G_USEC_PER_SEC;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    if (total == 0) {
        g_string_append_printf(out, "  %s", done ? so_far : "");
        return ka_terminal_clean(terminal, g_strchomp(out->str));
    }
    double part = CLAMP((double)done / (double)total, 0, 1);
    g_autofree char *all = format_amount(total, unit);
    g_string_append_printf(out, " %3d%% ", (int)(part * 100));
    append_bar(out, part);
    g_string_append_printf(out, " %s of %s", so_far, all);
    if (g_str_equal(unit, "B") && seconds >= 1 && rate >= 1) {
        g_autofree char *speed = format_amount((guint64)rate, unit);
        g_autofree char *left =
            format_amount((guint64)((double)(total - MIN(done, total)) / rate), "s");
        g_string_append_printf(out, ", %s/s, %s left", speed, left);
    }
    return ka_terminal_clean(terminal, out->str);
}

static char *
running_line(const KaDisplay *display, const Running *running, gint64 now)
{
    const char *verb = doing[running->action->verb];
    double seconds = (double)(now - running->began_us) / G_USEC_PER_SEC;
    if (!running->what)
        return g_strdup_printf("%s: %s  %.0f s", running->address, verb, seconds);
    g_autofree char *step =
        ka_step_format(&display->terminal, running->what, running->done, running->total,
                       running->unit, now - running->step_began_us);
    return running->total ? g_strdup_printf("%s: %s", running->address, step)
                          : g_strdup_printf("%s: %s  %.0f s", running->address, step, seconds);
}

static void
append_erase(const KaDisplay *display, GString *out)
{
    if (display->drawn)
        g_string_append_printf(out, "\r\033[%uA\033[J", display->drawn); /* \r: a ^C was echoed */
}

static void
draw(KaDisplay *display)
{
    gint64 now = g_get_monotonic_time();
    g_autoptr(GString) out = g_string_new(NULL);
    append_erase(display, out);
    ka_terminal_measure(&display->terminal);
    guint room = MAX(display->terminal.height, 6) - 3, shown = 0;
    for (; shown < display->running->len && shown < room; shown++) {
        const Running *running = g_ptr_array_index(display->running, shown);
        g_autofree char *line = running_line(display, running, now);
        g_autofree char *clean = ka_terminal_clean(&display->terminal, line);
        g_autofree char *cut =
            ka_terminal_cut(&display->terminal, clean, display->terminal.width - 3);
        g_string_append_printf(out, "  %s\n", cut);
    }
    g_autofree char *count = g_strdup_printf(
        "%u of %u done, %u running%s", display->ended, display->total, display->running->len,
        g_cancellable_is_cancelled(display->progress.cancel) ? "; ending, once more quits hard"
                                                             : "");
    ka_terminal_paint(&display->terminal, out, KA_TONE_DIM, count);
    g_string_append_c(out, '\n');
    ka_terminal_write(&display->terminal, out->str);
    fflush(display->terminal.stream);
    display->drawn = shown + 1;
    display->drawn_us = now;
}

static void
erase(KaDisplay *display)
{
    g_autoptr(GString) out = g_string_new(NULL);
    append_erase(display, out);
    ka_terminal_write(&display->terminal, out->str);
    fflush(display->terminal.stream);
    display->drawn = 0;
}

static void
say(const KaDisplay *display, const char *address, const char *text)
{
    g_autofree char *line = g_strdup_printf("%s: %s", address, text);
    g_autofree char *clean = ka_terminal_clean(&display->terminal, line);
    ka_terminal_write(&display->terminal, clean);
    ka_terminal_write(&display->terminal, "\n");
    fflush(display->terminal.stream);
}

static void
begin(KaDisplay *display, const KaAction *action)
{
    Running *running = g_new0(Running, 1);
    running->action = action;
    running->address = ka_action_address(action, display->hosts);
    running->began_us = running->said_us = g_get_monotonic_time();
    g_ptr_array_add(display->running, running);
    if (!display->live && !display->quiet)
        say(display, running->address, doing[action->verb]);
}

static void
end(KaDisplay *display, const KaAction *action)
{
    guint index = 0;
    g_autofree char *address = ka_action_address(action, display->hosts);
    display->ended++;
    if (find(display, action, &index))
        g_ptr_array_remove_index(display->running, index);
    if (display->live || display->quiet)
        return;
    g_autofree char *text =
        g_strdup_printf("%s%s%s", outcome_words[action->outcome], action->error ? ": " : "",
                        action->error ? action->error->message : "");
    say(display, address, text);
}

static void
on_action(gpointer data, const KaAction *action)
{
    KaDisplay *display = data;
    if (action->outcome == KA_RUNNING)
        begin(display, action);
    else
        end(display, action);
    if (display->live)
        draw(display);
}

static void
on_step(gpointer data,
        const KaAction *action,
        const char *what,
        guint64 done,
        guint64 total,
        const char *unit)
{
    KaDisplay *display = data;
    gint64 now = g_get_monotonic_time();
    guint index = 0;
    Running *running = find(display, action, &index);
    if (!running)
        return;
    if (g_strcmp0(running->what, what) != 0) {
        g_free(running->what);
        g_free(running->unit);
        running->what = g_strdup(what);
        running->unit = g_strdup(unit ? unit : "");
        running->step_began_us = now;
    }
    running->done = done;
    running->total = total;
    if (display->live && now - display->drawn_us >= REDRAW_US)
        draw(display);
    if (display->live || display->quiet || now - running->said_us < PLAIN_STEP_US)
        return;
    running->said_us = now;
    g_autofree char *text = ka_step_format(&display->terminal, what, done, total, unit ? unit : "",
                                           now - running->step_began_us);
    say(display, running->address, text);
}

static void
on_signal(int number)
{
    int before = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(signal_pipe, &byte, 1);
    (void)written;
    errno = before;
}

static void
take_signal(KaDisplay *display)
{
    static const char last_words[] = "kvmapply: quit; run it again to finish what was begun\n";
    if (display->signals++ > 0) {
        ssize_t written = write(STDERR_FILENO, last_words, sizeof last_words - 1);
        (void)written;
        ka_foreground_give_back(display->foreground);
        _exit(HARD_QUIT);
    }
    g_cancellable_cancel(display->progress.cancel);
    if (!display->live)
        say(display, "kvmapply", "ending what runs; once more quits hard");
}

/* Waits for signals and keeps the clock of the live display going. Quits on a zero byte. */
static gpointer
watch(gpointer data)
{
    KaDisplay *display = data;
    struct pollfd wait = {.fd = display->pipe[0], .events = POLLIN};
    for (;;) {
        unsigned char byte = 0;
        int ready = poll(&wait, 1, display->live ? TICK_MS : -1);
        if (ready > 0 && read(display->pipe[0], &byte, 1) == 1) {
            if (byte == 0)
                return NULL;
            take_signal(display);
        }
        if (display->live) {
            g_mutex_lock(&display->lock);
            draw(display);
            g_mutex_unlock(&display->lock);
        }
    }
}

static void
catch_signals(KaDisplay *display)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    signal_pipe = display->pipe[1];
    for (gsize i = 0; i < G_N_ELEMENTS(watched); i++)
        sigaction(watched[i], &action, &display->before[i]);
}

KaDisplay *
ka_display_new(const KaTerminal *terminal, guint total, KaDisplayFlags flags)
{
    KaDisplay *display = g_new0(KaDisplay, 1);
    display->terminal = *terminal;
    display->total = total;
    display->hosts = (flags & KA_DISPLAY_HOSTS) != 0;
    display->quiet = (flags & KA_DISPLAY_QUIET) != 0;
    display->live = terminal->is_terminal && !display->quiet;
    display->running = g_ptr_array_new_with_free_func((GDestroyNotify)running_free);
    g_mutex_init(&display->lock);
    display->progress = (KaProgress){.action = on_action,
                                     .step = on_step,
                                     .data = display,
                                     .cancel = g_cancellable_new(),
                                     .lock = &display->lock};
    g_autoptr(GError) error = NULL;
    if (!g_unix_open_pipe(display->pipe, FD_CLOEXEC, &error))
        g_error("%s", error->message);
    catch_signals(display);
    if (flags & KA_DISPLAY_ALONE)
        display->foreground = ka_foreground_take();
    display->thread = g_thread_new("progress", watch, display);
    return display;
}

void
ka_display_free(KaDisplay *display)
{
    if (!display)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(watched); i++)
        sigaction(watched[i], &display->before[i], NULL);
    ssize_t written = write(display->pipe[1], "", 1);
    (void)written;
    g_thread_join(display->thread);
    ka_foreground_give_back(display->foreground);
    if (display->live)
        erase(display);
    signal_pipe = -1;
    close(display->pipe[0]);
    close(display->pipe[1]);
    g_ptr_array_unref(display->running);
    g_object_unref(display->progress.cancel);
    g_mutex_clear(&display->lock);
    g_free(display);
}

KaProgress *
ka_display_progress(KaDisplay *display)
{
    return &display->progress;
}

gboolean
ka_display_interrupted(const KaDisplay *display)
{
    return g_cancellable_is_cancelled(display->progress.cancel);
}
