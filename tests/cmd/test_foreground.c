#include "cmd/foreground.h"
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static volatile sig_atomic_t n_interrupts;

static void
on_interrupt(int number G_GNUC_UNUSED)
{
    n_interrupts = n_interrupts + 1;
}

/* On a terminal of its own: what stands for ssh must survive a Ctrl-C that this process gets. Exits
 * with the number of the first thing that isn't so. */
static void
live_on_terminal(gboolean take)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    pid_t connection = fork();
    if (connection == 0) {
        alarm(20);
        pause();
        _exit(0);
    }
    sigaction(SIGINT, &action, NULL);
    KaForeground *foreground = take ? ka_foreground_take() : NULL;
    if (take && !foreground)
        _exit(2);
    if (write(STDOUT_FILENO, "r", 1) != 1)
        _exit(3);
    for (guint tries = 0; tries < 500 && !n_interrupts; tries++)
        g_usleep(10000);
    g_usleep(100000);
    gboolean survived = waitpid(connection, NULL, WNOHANG) == 0;
    ka_foreground_give_back(foreground);
    if (!n_interrupts)
        _exit(4);
    if (survived != take)
        _exit(5);
    if (tcgetpgrp(STDIN_FILENO) != getpgrp())
        _exit(6);
    kill(connection, SIGKILL);
    _exit(0);
}

/* As a shell does: the program is a job of the session, in the foreground. */
static void
lead_session(gboolean take)
{
    int status = 0;
    signal(SIGTTOU, SIG_IGN);
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        live_on_terminal(take);
    }
    waitpid(job, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 7);
}

static int
interrupt_on_terminal(gboolean take)
{
    int terminal = -1, status = 0;
    char ready = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == 0)
        lead_session(take);
    assert_true(child > 0);
    if (read(terminal, &ready, 1) == 1)
        assert_int_equal(write(terminal, "\003", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
foreground_when_taken_keeps_interrupts_from_children(void **state G_GNUC_UNUSED)
{
    assert_int_equal(interrupt_on_terminal(TRUE), 0);
}

static void
foreground_when_not_taken_lets_children_die(void **state G_GNUC_UNUSED)
{
    assert_int_equal(interrupt_on_terminal(FALSE), 0);
}

static void
foreground_without_terminal_is_nothing(void **state G_GNUC_UNUSED)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        setsid();
        _exit(ka_foreground_take() == NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreground_when_taken_keeps_interrupts_from_children),
        cmocka_unit_test(foreground_when_not_taken_lets_children_die),
        cmocka_unit_test(foreground_without_terminal_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
