#pragma once
#include <glib.h>

/* Ctrl-C goes to every process of the terminal's foreground group, also to the ssh processes that
 * carry libvirt's connections: they would die of it and nothing could be ended cleanly. So this
 * process goes to a group of its own, which becomes the foreground one, and leaves them behind. */
typedef struct KaForeground KaForeground;

/* NULL where there is nothing to take: no terminal, or not in its foreground. Suspending (Ctrl-Z)
 * is off meanwhile: a shell would wake the other group. */
KaForeground *ka_foreground_take(void);
/* Back to the old group; takes NULL. */
void ka_foreground_give_back(KaForeground *foreground);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaForeground, ka_foreground_give_back)
