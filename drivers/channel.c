#include "drivers/channel.h"

#include <string.h>
#include <unistd.h>

#define TIMEOUT_SECONDS 60
#define CONNECT_SECONDS 15
#define SSH_FAILED 255
#define MAX_ERROR_BYTES 500

/* How a host is reached. */
typedef struct {
    char *destination; /* NULL: this machine */
    char *port, *command, *key_file, *known_hosts;
    gboolean no_verify;
} Route;

static void
route_clear(Route *route)
{
    g_free(route->destination);
    g_free(route->port);
    g_free(route->command);
    g_free(route->key_file);
    g_free(route->known_hosts);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Route, route_clear)

static const char *
uri_of(const KaHost *host)
{
    return host->uri ? host->uri : host->real_uri;
}

/* "user@host" and the port. */
static void
set_destination(Route *route, GUri *uri)
{
    const char *user = g_uri_get_userinfo(uri);
    int port = g_uri_get_port(uri);

    route->destination =
        user ? g_strdup_printf("%s@%s", user, g_uri_get_host(uri)) : g_strdup(g_uri_get_host(uri));
    if (port > 0)
        route->port = g_strdup_printf("%d", port);
}

/* What libvirt's own ssh transport takes from the URI (libvirt's remote.html). */
static void
set_parameters(Route *route, GUri *uri)
{
    const char *query = g_uri_get_query(uri);
    g_autoptr(GHashTable) parameters =
        query ? g_uri_parse_params(query, -1, "&", G_URI_PARAMS_NONE, NULL) : NULL;

    if (!parameters)
        return;
    route->command = g_strdup(g_hash_table_lookup(parameters, "command"));
    route->key_file = g_strdup(g_hash_table_lookup(parameters, "keyfile"));
    route->known_hosts = g_strdup(g_hash_table_lookup(parameters, "known_hosts"));
    route->no_verify = g_strcmp0(g_hash_table_lookup(parameters, "no_verify"), "1") == 0;
}

/* FALSE: ret_lacks says why the host can't be reached. */
static gboolean
find_route(const KaHost *host, Route *route, char **ret_lacks)
{
    const char *said = host->object ? ka_node_text(host->object->node, "ssh") : NULL;
    const char *text = uri_of(host);
    g_autofree char *by_ssh = said ? g_strdup_printf("ssh://%s", said) : NULL;
    g_autoptr(GUri) uri = text ? g_uri_parse(text, G_URI_FLAGS_NONE, NULL) : NULL;
    g_autoptr(GUri) own = by_ssh ? g_uri_parse(by_ssh, G_URI_FLAGS_NONE, NULL) : NULL;
    const char *plus = uri ? strchr(g_uri_get_scheme(uri), '+') : NULL;
    const char *name = uri ? g_uri_get_host(uri) : NULL;

    if (own) {
        set_destination(route, own);
        return TRUE;
    }
    if (plus && (g_str_equal(plus, "+ssh") || g_str_has_prefix(plus, "+libssh"))) {
        set_destination(route, uri);
        set_parameters(route, uri);
        return TRUE;
    }
    if (uri && g_str_equal(g_uri_get_scheme(uri), "test")) {
        *ret_lacks = g_strdup("libvirt's test driver has no machine behind it");
        return FALSE;
    }
    if (name && *name) {
        *ret_lacks = g_strdup_printf("there is no ssh in its URI %s: say 'ssh: USER@HOST'", text);
        return FALSE;
    }
    return TRUE;
}

char *
ka_channel_lacks(const KaHost *host)
{
    g_auto(Route) route = {0};
    char *lacks = NULL;

    find_route(host, &route, &lacks);
    return lacks;
}

static void
add(GPtrArray *arguments, const char *text)
{
    g_ptr_array_add(arguments, g_strdup(text));
}

static void
add_ssh(GPtrArray *arguments, const Route *route, KaChannelFlags flags)
{
    add(arguments, route->command ? route->command : "ssh");
    add(arguments, "-T");
    add(arguments, "-oBatchMode=yes");
    g_ptr_array_add(arguments, g_strdup_printf("-oConnectTimeout=%d", CONNECT_SECONDS));
    if (flags & KA_CHANNEL_FRESH) {
        add(arguments, "-oControlMaster=no");
        add(arguments, "-oControlPath=none");
    }
    if (route->port)
        g_ptr_array_add(arguments, g_strdup_printf("-oPort=%s", route->port));
    if (route->key_file)
        g_ptr_array_add(arguments, g_strdup_printf("-oIdentityFile=%s", route->key_file));
    if (route->known_hosts)
        g_ptr_array_add(arguments, g_strdup_printf("-oUserKnownHostsFile=%s", route->known_hosts));
    if (route->no_verify)
        add(arguments, "-oStrictHostKeyChecking=no");
    add(arguments, "--");
    add(arguments, route->destination);
}

static GPtrArray *
arguments_for(const KaHost *host, const Route *route, KaChannelFlags flags, const char *script)
{
    GPtrArray *arguments = g_ptr_array_new_with_free_func(g_free);
    const char *become = host->object ? ka_node_text(host->object->node, "become") : NULL;
    gboolean sudo = g_strcmp0(become, "yes") == 0;

    g_assert(!strpbrk(script, "'\n") && !strstr(script, "\\\\"));
    if (route->destination) {
        add_ssh(arguments, route, flags);
        g_ptr_array_add(arguments, g_strdup_printf("%ssh -c '%s'", sudo ? "sudo -n " : "", script));
    } else {
        if (sudo && geteuid() != 0) {
            add(arguments, "sudo");
            add(arguments, "-n");
        }
        add(arguments, "sh");
        add(arguments, "-c");
        add(arguments, script);
    }
    g_ptr_array_add(arguments, NULL);
    return arguments;
}

/* --- one run, with an end in time --- */

typedef struct {
    GMainContext *context;
    GSubprocess *process;
    gboolean ended, late;
    GBytes *out, *err;
    GError *error;
} Run;

static void
run_clear(Run *run)
{
    g_clear_object(&run->process);
    g_clear_pointer(&run->out, g_bytes_unref);
    g_clear_pointer(&run->err, g_bytes_unref);
    g_clear_error(&run->error);
    g_clear_pointer(&run->context, g_main_context_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static void
run_ended(GObject *source, GAsyncResult *result, gpointer data)
{
    Run *run = data;

    (void)source;
    g_subprocess_communicate_finish(run->process, result, &run->out, &run->err, &run->error);
    run->ended = TRUE;
}

static gboolean
run_late(gpointer data)
{
    Run *run = data;

    run->late = TRUE;
    g_subprocess_force_exit(run->process);
    return G_SOURCE_REMOVE;
}

/* Neither Ctrl-C nor a terminal's end may reach what runs on a host half-way. */
static void
leave_terminal(gpointer data)
{
    (void)data;
    setsid();
}

static gboolean
run_start(Run *run, const GPtrArray *arguments, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                  G_SUBPROCESS_FLAGS_STDERR_PIPE);

    g_subprocess_launcher_set_child_setup(launcher, leave_terminal, NULL, NULL);
    run->process =
        g_subprocess_launcher_spawnv(launcher, (const char *const *)arguments->pdata, error);
    return run->process != NULL;
}

static void
run_wait(Run *run, const GByteArray *input, guint timeout_seconds, GCancellable *cancel)
{
    g_autoptr(GBytes) bytes = g_bytes_new(input ? input->data : NULL, input ? input->len : 0);
    g_autoptr(GSource) timer = g_timeout_source_new_seconds(timeout_seconds);

    g_source_set_callback(timer, run_late, run, NULL);
    g_source_attach(timer, run->context);
    g_subprocess_communicate_async(run->process, bytes, cancel, run_ended, run);
    while (!run->ended)
        g_main_context_iteration(run->context, TRUE);
    g_source_destroy(timer);
}

static char *
said(const Run *run)
{
    gsize size = 0;
    const char *data = run->err ? g_bytes_get_data(run->err, &size) : NULL;
    g_autofree char *text = g_utf8_make_valid(data ? data : "", (gssize)MIN(size, MAX_ERROR_BYTES));

    return g_strdup(g_strstrip(text));
}

/* TRUE: it ran and its status is 0. */
static gboolean
judge(const KaHost *host, Run *run, gboolean remote, guint timeout_seconds, GError **error)
{
    g_autofree char *words = said(run);
    int status = 0;

    if (run->late) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_TIMEOUT,
                    "host '%s' doesn't answer within %u s", host->name, timeout_seconds);
        return FALSE;
    }
    if (run->error) {
        g_subprocess_force_exit(run->process);
        g_set_error(error, KA_HOST_ERROR,
                    g_error_matches(run->error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
                        ? KA_HOST_ERROR_CANCELLED
                        : KA_HOST_ERROR_UNREACHABLE,
                    "host '%s': %s", host->name, *words ? words : run->error->message);
        return FALSE;
    }
    status =
        g_subprocess_get_if_exited(run->process) ? g_subprocess_get_exit_status(run->process) : -1;
    if (status == 0)
        return TRUE;
    if (remote && status == SSH_FAILED)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_UNREACHABLE,
                    "can't reach host '%s' by ssh: %s", host->name, *words ? words : "it ended");
    else
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "host '%s': %s", host->name,
                    *words ? words : "a command failed without a word");
    return FALSE;
}

GByteArray *
ka_channel_run(const KaHost *host,
               KaChannelFlags flags,
               const char *script,
               const GByteArray *input,
               guint timeout_seconds,
               GCancellable *cancel,
               GError **error)
{
    g_auto(Route) route = {0};
    g_auto(Run) run = {0};
    g_autofree char *lacks = NULL;
    g_autoptr(GPtrArray) arguments = NULL;
    gboolean good = FALSE;

    if (!find_route(host, &route, &lacks)) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_UNREACHABLE,
                    "host '%s' can't be managed: %s", host->name, lacks);
        return NULL;
    }
    if (timeout_seconds == 0)
        timeout_seconds = TIMEOUT_SECONDS;
    arguments = arguments_for(host, &route, flags, script);
    run.context = g_main_context_new();
    g_main_context_push_thread_default(run.context);
    if (run_start(&run, arguments, error)) {
        run_wait(&run, input, timeout_seconds, cancel);
        good = judge(host, &run, route.destination != NULL, timeout_seconds, error);
    }
    g_main_context_pop_thread_default(run.context);
    if (!good)
        return NULL;
    gsize size = 0;
    const guint8 *data = g_bytes_get_data(run.out, &size);
    GByteArray *out = g_byte_array_sized_new((guint)size + 1);
    g_byte_array_append(out, data, (guint)size);
    g_byte_array_append(out, (const guint8 *)"", 1);
    g_byte_array_set_size(out, (guint)size);
    return out;
}

void
ka_channel_put(GByteArray *input, const char *value)
{
    g_byte_array_append(input, (const guint8 *)value, (guint)strlen(value) + 1);
}
