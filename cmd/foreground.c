#include "cmd/foreground.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct KaForeground {
    int terminal;
    pid_t before; /* the group that was left */
    struct sigaction suspend;
};

static void
become_foreground(int terminal)
{
    /* From the background this call would stop the process. */
    sigset_t blocked, old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    tcsetpgrp(terminal, getpgrp());
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* A group is founded by its leader, and this process leads its own already: a child founds it, is
 * joined, and goes. */
static gboolean
move_to_new_group(void)
{
    pid_t founder = fork();
    if (founder == 0) {
        alarm(10); /* whatever becomes of the parent */
        pause();
        _exit(0);
    }
    if (founder < 0)
        return FALSE;
    gboolean moved = setpgid(founder, founder) == 0 && setpgid(0, founder) == 0;
    kill(founder, SIGKILL);
    waitpid(founder, NULL, 0);
    return moved;
}

KaForeground *
ka_foreground_take(void)
{
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0)
        return NULL;
    pid_t before = getpgrp();
    if (tcgetpgrp(terminal) != before || !move_to_new_group()) {
        close(terminal);
        return NULL;
    }
    KaForeground *foreground = g_new0(KaForeground, 1);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    foreground->terminal = terminal;
    foreground->before = before;
    sigaction(SIGTSTP, &ignore, &foreground->suspend);
    become_foreground(terminal);
    return foreground;
}

void
ka_foreground_give_back(KaForeground *foreground)
{
    if (!foreground)
        return;
    setpgid(0, foreground->before);
    become_foreground(foreground->terminal);
    sigaction(SIGTSTP, &foreground->suspend, NULL);
    close(foreground->terminal);
    g_free(foreground);
}
