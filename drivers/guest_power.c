#include "drivers/guest.h"

#define POLL_US (250 * G_TIME_SPAN_MILLISECOND)
/* A guest that is still booting ignores the power button. */
#define ASK_AGAIN_US (10 * G_TIME_SPAN_SECOND)

const char *
ka_guest_state(virDomainPtr domain, GError **error)
{
    static const char *const names[] = {
        [VIR_DOMAIN_NOSTATE] = "running",  [VIR_DOMAIN_RUNNING] = "running",
        [VIR_DOMAIN_BLOCKED] = "running",  [VIR_DOMAIN_PAUSED] = "paused",
        [VIR_DOMAIN_SHUTDOWN] = "running", [VIR_DOMAIN_SHUTOFF] = "off",
        [VIR_DOMAIN_CRASHED] = "off",      [VIR_DOMAIN_PMSUSPENDED] = "paused",
    };
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    if (virDomainGetState(domain, &state, &reason, 0) == 0)
        return (gsize)state < G_N_ELEMENTS(names) ? names[state] : "running";
    if (ka_libvirt_code() == VIR_ERR_NO_DOMAIN) /* a transient guest that ended */
        return "off";
    ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
    return NULL;
}

const char *
ka_guest_trouble(virDomainPtr domain)
{
    static const struct {
        int state, reason;
        const char *words;
    } troubles[] = {
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_IOERROR,         "paused by an I/O error of a disk" },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_WATCHDOG,        "paused by its watchdog"           },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_CRASHED,         "paused since it crashed"          },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_MIGRATION,       "paused by a migration"            },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_SAVE,            "paused while it is saved"         },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_DUMP,            "paused while its core is dumped"  },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_SNAPSHOT,        "paused while a snapshot is made"  },
        {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, "paused by a migration that failed"},
        {VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_UNKNOWN,        "crashed"                          },
        {VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED,       "crashed: its kernel panicked"     },
        {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED,        "off since its hypervisor ended"   },
        {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_FAILED,         "off since its last start failed"  },
    };
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(troubles); i++)
        if (troubles[i].state == state && troubles[i].reason == reason)
            return troubles[i].words;
    return NULL;
}

gboolean
ka_guest_never_ran(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_SHUTOFF &&
           (reason == VIR_DOMAIN_SHUTOFF_UNKNOWN || reason == VIR_DOMAIN_SHUTOFF_FAILED);
}

gboolean
ka_guest_destroy(virDomainPtr domain, GError **error)
{
    if (virDomainDestroy(domain) == 0 || ka_libvirt_code() == VIR_ERR_OPERATION_INVALID ||
        ka_libvirt_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    return ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
}

static gboolean
has_agent(virDomainPtr domain)
{
    static const char agent[] = "name='org.qemu.guest_agent.0' state='connected'";
    char *xml = virDomainGetXMLDesc(domain, 0);
    gboolean connected = xml && strstr(xml, agent);

    free(xml);
    return connected;
}

/* By its agent, which answers also where nobody listens to the power button. */
static gboolean
ask_to_shut_down(virDomainPtr domain, GError **error)
{
    if (has_agent(domain) && virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT) == 0)
        return TRUE;
    if (virDomainShutdownFlags(domain, 0) == 0 || ka_libvirt_code() == VIR_ERR_OPERATION_INVALID ||
        ka_libvirt_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    return ka_libvirt_error(error, "guest '%s'", virDomainGetName(domain));
}

static gboolean
is_cancelled(const KaProgress *progress, const char *what, GError **error)
{
    if (!g_cancellable_is_cancelled(progress->cancel))
        return FALSE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted while %s", what);
    return TRUE;
}

static gboolean
shut_down(virDomainPtr domain, KaAction *action, const KaProgress *progress, GError **error)
{
    gint64 begin = g_get_monotonic_time(), asked = begin;
    gint64 timeout_us = progress->timeout_seconds * G_TIME_SPAN_SECOND;
    const char *state = NULL;

    if (!ask_to_shut_down(domain, error))
        return FALSE;
    while ((state = ka_guest_state(domain, error)) && !g_str_equal(state, "off")) {
        gint64 now = g_get_monotonic_time();
        if (now - begin >= timeout_us) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_TIMEOUT,
                        "guest '%s' didn't shut down within %u s: it is left running; shut it down "
                        "from the inside, or wait longer with --shutdown-timeout",
                        action->name, progress->timeout_seconds);
            return FALSE;
        }
        if (is_cancelled(progress, "the guest shuts down", error))
            return FALSE;
        if (now - asked >= ASK_AGAIN_US) {
            asked = now;
            if (!ask_to_shut_down(domain, error))
                return FALSE;
        }
        ka_progress_step(progress, action, "shutting down",
                         (guint64)((now - begin) / G_TIME_SPAN_SECOND), progress->timeout_seconds,
                         "s");
        g_usleep(POLL_US);
    }
    return state != NULL;
}

static gboolean
stop(virDomainPtr domain,
     const char *state,
     KaAction *action,
     const KaProgress *progress,
     GError **error)
{
    /* A paused guest hears nobody. */
    if (g_str_equal(state, "paused") && virDomainResume(domain) < 0)
        return ka_libvirt_error(error, "guest '%s'", action->name);
    return shut_down(domain, action, progress, error);
}

static gboolean
start(virDomainPtr domain,
      gboolean paused,
      KaAction *action,
      const KaProgress *progress,
      GError **error)
{
    ka_progress_step(progress, action, "starting", 0, 0, "");
    /* A crashed guest is still there. */
    if (virDomainIsActive(domain) == 1 && !ka_guest_destroy(domain, error))
        return FALSE;
    return virDomainCreateWithFlags(domain, paused ? VIR_DOMAIN_START_PAUSED : 0) == 0 ||
           ka_libvirt_error(error, "guest '%s'", action->name);
}

static gboolean
resume(virDomainPtr domain, KaAction *action, GError **error)
{
    int state = VIR_DOMAIN_NOSTATE;

    if (virDomainResume(domain) == 0)
        return TRUE;
    ka_libvirt_keep();
    /* The start of a run that was cut looks paused until libvirt ends it by itself. */
    if (virDomainGetState(domain, &state, NULL, 0) == 0 &&
        (state == VIR_DOMAIN_RUNNING ||
         (state == VIR_DOMAIN_PMSUSPENDED && virDomainPMWakeup(domain, 0) == 0)))
        return TRUE;
    return ka_libvirt_error_kept(error, "guest '%s'", action->name);
}

gboolean
ka_guest_set_state(virDomainPtr domain,
                   const char *state,
                   KaAction *action,
                   const KaProgress *progress,
                   GError **error)
{
    const char *now = ka_guest_state(domain, error);
    gboolean paused = g_str_equal(state, "paused");

    if (!now)
        return FALSE;
    if (g_str_equal(now, state))
        return TRUE;
    if (g_str_equal(state, "off"))
        return stop(domain, now, action, progress, error);
    if (g_str_equal(now, "off"))
        return start(domain, paused, action, progress, error);
    if (!paused)
        return resume(domain, action, error);
    return virDomainSuspend(domain) == 0 || ka_libvirt_error(error, "guest '%s'", action->name);
}

gboolean
ka_guest_restart(virDomainPtr domain, KaAction *action, const KaProgress *progress, GError **error)
{
    const char *state = ka_guest_state(domain, error);

    return state &&
           (g_str_equal(state, "off") ||
            ka_guest_set_state(domain, "off", action, progress, error)) &&
           ka_guest_set_state(domain, g_str_equal(state, "off") ? "running" : state, action,
                              progress, error);
}
