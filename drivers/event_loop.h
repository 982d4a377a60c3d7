#pragma once
#include <glib.h>

/* libvirt's event loop (virEventRegisterImpl) in a thread of its own. libvirt's default one is
 * woken by every call that a connection makes; this one only by what it waits for. */

/* Registers and starts it; once a process, before the first connection. FALSE: the system refused
 * (errno). */
gboolean ka_event_loop_start(void);
