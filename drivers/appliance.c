#include "drivers/appliance.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_KIB_EACH (900 * 1024)

struct KaAppliance {
    guestfs_h *handle; /* owned */
    KaApplianceOptions options;
    pid_t thread;  /* whose children are libguestfs' */
    gulong watch;  /* of the cancellable */
    gboolean dead; /* its virtual machine ended before it was told to */
};

guestfs_h *
ka_appliance_handle(const KaAppliance *appliance)
{
    return appliance->handle;
}

const KaApplianceOptions *
ka_appliance_options(const KaAppliance *appliance)
{
    return &appliance->options;
}

gboolean
ka_appliance_is_dead(const KaAppliance *appliance)
{
    return appliance->dead;
}

static gboolean
is_cancelled(const KaAppliance *appliance)
{
    return g_cancellable_is_cancelled(appliance->options.progress->cancel);
}

gboolean
ka_appliance_may_go_on(const KaAppliance *appliance, GError **error)
{
    if (!is_cancelled(appliance))
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
    return FALSE;
}

gboolean
ka_appliance_error(const KaAppliance *appliance, GError **error, const char *format, ...)
{
    const char *said = guestfs_last_error(appliance->handle);
    if (!ka_appliance_may_go_on(appliance, error))
        return FALSE;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s: %s", what,
                appliance->dead ? "the appliance ended by itself"
                : said          ? said
                                : "no reason was given");
    return FALSE;
}

/* libguestfs has no call that ends a launch, or a call that hangs in a broken file system: its
 * processes are children of the thread that made them. */
static void
kill_children(const KaAppliance *appliance)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/children", (int)appliance->thread);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return;
    g_auto(GStrv) children = g_strsplit(text, " ", -1);
    for (char **child = children; *child; child++) {
        int pid = atoi(*child);
        if (pid > 1)
            kill(pid, SIGKILL);
    }
}

static void
on_cancel(GCancellable *cancel G_GNUC_UNUSED, gpointer data)
{
    kill_children(data);
}

/* While it launches: a process that was begun after the cancel is ended by the next sign of life.
 */
static void
on_event(guestfs_h *handle G_GNUC_UNUSED,
         void *data,
         uint64_t event,
         int event_handle G_GNUC_UNUSED,
         int flags G_GNUC_UNUSED,
         const char *text G_GNUC_UNUSED,
         size_t length G_GNUC_UNUSED,
         const uint64_t *array G_GNUC_UNUSED,
         size_t n_array G_GNUC_UNUSED)
{
    KaAppliance *appliance = data;
    if (event == GUESTFS_EVENT_SUBPROCESS_QUIT)
        appliance->dead = TRUE;
    else if (is_cancelled(appliance))
        kill_children(appliance);
}

static gboolean
prepare(KaAppliance *appliance, gboolean emulate)
{
    guestfs_h *handle = appliance->handle = guestfs_create();
    if (!handle)
        return FALSE;
    guestfs_set_error_handler(handle, NULL, NULL);
    guestfs_set_pgroup(handle, 1); /* Ctrl-C is for us to deal with */
    guestfs_set_network(handle, appliance->options.network);
    if (appliance->options.memory_mib)
        guestfs_set_memsize(handle, (int)appliance->options.memory_mib);
    if (!appliance->options.alone)
        guestfs_set_append(handle, "module_blacklist=dm_mod,md_mod,btrfs");
    guestfs_set_event_callback(handle, on_event,
                               GUESTFS_EVENT_PROGRESS | GUESTFS_EVENT_APPLIANCE |
                                   GUESTFS_EVENT_SUBPROCESS_QUIT,
                               0, appliance);
    return guestfs_set_backend(handle, "direct") == 0 &&
           (!emulate || guestfs_set_backend_setting(handle, "force_tcg", "1") == 0);
}

static gboolean
launch(
    KaAppliance *appliance, const KaDrive *drives, gsize n_drives, gboolean emulate, GError **error)
{
    if (!prepare(appliance, emulate))
        return ka_appliance_error(appliance, error, "the appliance can't be made");
    for (gsize i = 0; i < n_drives; i++) {
        if (guestfs_add_drive_opts(appliance->handle, drives[i].path, GUESTFS_ADD_DRIVE_OPTS_FORMAT,
                                   drives[i].format, GUESTFS_ADD_DRIVE_OPTS_READONLY,
                                   drives[i].read_only, GUESTFS_ADD_DRIVE_OPTS_DISCARD,
                                   drives[i].read_only ? "disable" : "besteffort",
                                   GUESTFS_ADD_DRIVE_OPTS_CACHEMODE, "unsafe", -1) < 0)
            return ka_appliance_error(appliance, error, "'%s' can't be opened", drives[i].path);
    }
    if (guestfs_launch(appliance->handle) == 0)
        return TRUE;
    appliance->dead = FALSE; /* it never lived: what libguestfs says of it is the reason */
    return ka_appliance_error(appliance, error, "the appliance doesn't start");
}

static void
close_handle(KaAppliance *appliance)
{
    /* Its events are no longer of interest, and closing sends some. */
    if (appliance->handle)
        guestfs_set_event_callback(appliance->handle, on_event, 0, 0, appliance);
    g_clear_pointer(&appliance->handle, guestfs_close);
    appliance->dead = FALSE;
}

static gboolean
uses_kvm(guestfs_h *handle)
{
    g_autofree char *forced = guestfs_get_backend_setting(handle, "force_tcg");
    return !forced && access("/dev/kvm", R_OK | W_OK) == 0;
}

static void
tell_emulation(const KaApplianceOptions *options)
{
    if (options->warnings && (!options->run || g_atomic_int_add(&options->run->told, 1) == 0))
        g_ptr_array_add(
            options->warnings,
            g_strdup("the appliance doesn't start with KVM here: it is emulated, which "
                     "is slower (LIBGUESTFS_BACKEND_SETTINGS=force_tcg spares the try)"));
}

KaAppliance *
ka_appliance_launch(const KaDrive *drives,
                    gsize n_drives,
                    const KaApplianceOptions *options,
                    GError **error)
{
    g_autoptr(KaAppliance) appliance = g_new0(KaAppliance, 1);
    g_autoptr(GError) first = NULL;
    appliance->options = *options;
    appliance->thread = gettid();
    if (!ka_appliance_may_go_on(appliance, error))
        return NULL;
    appliance->watch =
        g_cancellable_connect(options->progress->cancel, G_CALLBACK(on_cancel), appliance, NULL);
    gboolean emulate = options->run && g_atomic_int_get(&options->run->emulate);
    if (launch(appliance, drives, n_drives, emulate, &first))
        return g_steal_pointer(&appliance);
    gboolean again = !emulate && appliance->handle && uses_kvm(appliance->handle);
    if (!again || !ka_appliance_may_go_on(appliance, NULL)) {
        g_propagate_error(error, g_steal_pointer(&first));
        return NULL;
    }
    close_handle(appliance);
    if (!launch(appliance, drives, n_drives, TRUE, error))
        return NULL;
    if (options->run)
        g_atomic_int_set(&options->run->emulate, 1);
    tell_emulation(options);
    return g_steal_pointer(&appliance);
}

gboolean
ka_appliance_shutdown(KaAppliance *appliance, GError **error)
{
    gboolean done = guestfs_shutdown(appliance->handle) == 0;
    if (!done)
        ka_appliance_error(appliance, error, "the appliance didn't end well");
    else
        done = ka_appliance_may_go_on(appliance, error);
    ka_appliance_free(appliance);
    return done;
}

void
ka_appliance_free(KaAppliance *appliance)
{
    if (!appliance)
        return;
    if (appliance->watch)
        g_cancellable_disconnect(appliance->options.progress->cancel, appliance->watch);
    close_handle(appliance);
    g_free(appliance);
}

static guint64
available_kib(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return MEMORY_KIB_EACH;
    const char *line = strstr(text, "MemAvailable:");
    return line ? g_ascii_strtoull(line + strlen("MemAvailable:"), NULL, 10) : MEMORY_KIB_EACH;
}

guint
ka_appliance_at_once(guint wanted)
{
    guint64 room = available_kib() / MEMORY_KIB_EACH;
    guint most = (guint)MIN(room, (guint64)g_get_num_processors());
    return CLAMP(most, 1, MAX(wanted, 1));
}
