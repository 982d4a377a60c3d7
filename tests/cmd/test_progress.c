#include "cmd/progress.h"
#include "planner/driver.h"
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    FILE *file;
    KaTerminal terminal;
    KaHost host;
    KaAction *action;
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->file = tmpfile();
    fixture->terminal = (KaTerminal){.stream = fixture->file, .is_utf8 = TRUE, .width = 80};
    fixture->host.name = "kvm1";
    fixture->action = ka_action_new(KA_CREATE, ka_kind_find("disk"), "web-data", &fixture->host);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    fclose(fixture->file);
    ka_action_free(fixture->action);
    g_free(fixture);
    return 0;
}

static char *
written(const Fixture *fixture)
{
    char *text = g_malloc0(8192);
    rewind(fixture->file);
    assert_true(fread(text, 1, 8191, fixture->file) > 0);
    return text;
}

static void
tell(KaDisplay *display, KaAction *action, KaOutcome outcome)
{
    KaProgress *progress = ka_display_progress(display);
    action->outcome = outcome;
    g_mutex_lock(progress->lock);
    progress->action(progress->data, action);
    g_mutex_unlock(progress->lock);
}

static void
step(KaDisplay *display, const KaAction *action, guint64 done)
{
    KaProgress *progress = ka_display_progress(display);
    g_mutex_lock(progress->lock);
    progress->step(progress->data, action, "uploading", done, 4096, "B");
    g_mutex_unlock(progress->lock);
}

static void
display_without_terminal_prints_plain_lines(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(KaDisplay) display = ka_display_new(&fixture->terminal, 1, KA_DISPLAY_HOSTS);
    tell(display, fixture->action, KA_RUNNING);
    step(display, fixture->action, 1024); /* too early to be said */
    fixture->action->error = g_error_new_literal(KA_HOST_ERROR, KA_HOST_ERROR_LIBVIRT, "no space");
    tell(display, fixture->action, KA_FAILED);
    g_autofree char *text = written(fixture);
    assert_string_equal(text,
                        "disk/web-data@kvm1: creating\ndisk/web-data@kvm1: failed: no space\n");
}

static void
display_on_terminal_draws_and_takes_away(void **state)
{
    Fixture *fixture = *state;
    fixture->terminal.is_terminal = TRUE;
    KaDisplay *display = ka_display_new(&fixture->terminal, 3, 0);
    tell(display, fixture->action, KA_RUNNING);
    step(display, fixture->action, 1024);
    g_usleep(G_USEC_PER_SEC / 2); /* the clock draws by itself */
    tell(display, fixture->action, KA_DONE);
    ka_display_free(display);
    g_autofree char *text = written(fixture);
    assert_non_null(strstr(text, "disk/web-data: uploading  25% ███░░░░"));
    assert_non_null(strstr(text, "0 of 3 done, 1 running\n"));
    assert_non_null(strstr(text, "1 of 3 done, 0 running\n"));
    assert_true(g_str_has_suffix(text, "\033[1A\033[J"));
}

static void
display_at_first_signal_cancels(void **state)
{
    Fixture *fixture = *state;
    const int signals[] = {SIGINT, SIGTERM};
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        g_autoptr(KaDisplay) display = ka_display_new(&fixture->terminal, 1, KA_DISPLAY_QUIET);
        assert_false(ka_display_interrupted(display));
        raise(signals[i]);
        for (guint tries = 0; tries < 500 && !ka_display_interrupted(display); tries++)
            g_usleep(10000);
        assert_true(ka_display_interrupted(display));
    }
}

static void
display_at_second_signal_quits(void **state)
{
    Fixture *fixture = *state;
    pid_t child = fork();
    if (child == 0) {
        KaDisplay *display = ka_display_new(&fixture->terminal, 1, KA_DISPLAY_QUIET);
        raise(SIGINT);
        while (!ka_display_interrupted(display))
            g_usleep(1000);
        raise(SIGINT);
        g_usleep(20 * G_USEC_PER_SEC);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
}

static void
display_when_freed_gives_signals_back(void **state)
{
    Fixture *fixture = *state;
    struct sigaction before, after;
    sigaction(SIGINT, NULL, &before);
    ka_display_free(ka_display_new(&fixture->terminal, 1, KA_DISPLAY_QUIET));
    sigaction(SIGINT, NULL, &after);
    assert_ptr_equal(before.sa_handler, after.sa_handler);
}

int
main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(display_at_second_signal_quits, setup, teardown),
        cmocka_unit_test_setup_teardown(display_without_terminal_prints_plain_lines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(display_on_terminal_draws_and_takes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(display_at_first_signal_cancels, setup, teardown),
        cmocka_unit_test_setup_teardown(display_when_freed_gives_signals_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
