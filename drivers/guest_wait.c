#include "drivers/guest.h"

#include <json-glib/json-glib.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#define LOOK_US (500 * G_TIME_SPAN_MILLISECOND)
#define DEFAULT_SECONDS 300
/* For one answer, of the agent and of a network peer. */
#define ANSWER_SECONDS 3
#define SSH_PORT 22
/* As much of what a program in the guest printed as an error repeats. */
#define MAX_OUTPUT 400

/* One wait for a guest that was started. */
typedef struct {
    virDomainPtr domain;        /* borrowed */
    const KaAction *action;     /* borrowed */
    const KaProgress *progress; /* borrowed */
    char *seen;                 /* owned; what was last seen of what is waited for */
    gint64 pid;                 /* of what runs in the guest; 0: nothing does */
} Wait;

typedef enum {
    YET,
    DONE,
    NEVER, /* with an error */
} Answer;

static void see(Wait *wait, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
see(Wait *wait, const char *format, ...)
{
    va_list arguments;

    g_free(wait->seen);
    va_start(arguments, format);
    wait->seen = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

static Answer never(const Wait *wait, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

static Answer
never(const Wait *wait, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "guest '%s' was started, but %s",
                wait->action->name, why);
    return NEVER;
}

/* --- the agent --- */

/* What can't change while the guest runs. */
static gboolean
is_final(const char *message)
{
    static const char *const signs[] = {"is not configured", "Failed to execute child process",
                                        "has been disabled", "has not been found"};

    for (gsize i = 0; i < G_N_ELEMENTS(signs); i++)
        if (strstr(message, signs[i]))
            return TRUE;
    return FALSE;
}

/* The agent's answer; NULL: none yet, or never. */
static JsonParser *
ask_agent(Wait *wait, const char *command, Answer *ret_answer, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    char *reply = virDomainQemuAgentCommand(wait->domain, command, ANSWER_SECONDS, 0);

    *ret_answer = YET;
    if (!reply) {
        const char *message = virGetLastErrorMessage();
        see(wait, "%s", message);
        if (is_final(message))
            *ret_answer = never(wait, error, "%s", message);
        return NULL;
    }
    gboolean is_json = json_parser_load_from_data(parser, reply, -1, NULL) &&
                       JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser));
    free(reply);
    if (!is_json) {
        see(wait, "its agent gave an answer that is no JSON");
        return NULL;
    }
    *ret_answer = DONE;
    return g_steal_pointer(&parser);
}

static Answer
look_for_agent(Wait *wait, GError **error)
{
    Answer answer = YET;
    g_autoptr(JsonParser) reply = ask_agent(wait, "{\"execute\":\"guest-ping\"}", &answer, error);

    return answer;
}

/* --- addresses --- */

static gboolean
is_of_use(const char *address)
{
    return *address && !g_str_has_prefix(address, "127.") &&
           !g_str_has_prefix(address, "169.254.") && !g_str_has_prefix(address, "fe80:") &&
           !g_str_equal(address, "::1");
}

static void
add_addresses(const Wait *wait, guint source, GPtrArray *addresses)
{
    virDomainInterfacePtr *interfaces = NULL;
    int n = virDomainInterfaceAddresses(wait->domain, &interfaces, source, 0);

    for (int i = 0; i < n; i++) {
        for (guint j = 0; j < interfaces[i]->naddrs; j++) {
            const char *address = interfaces[i]->addrs[j].addr;
            if (is_of_use(address) &&
                !g_ptr_array_find_with_equal_func(addresses, address, g_str_equal, NULL))
                g_ptr_array_add(addresses, g_strdup(address));
        }
        virDomainInterfaceFree(interfaces[i]);
    }
    free(interfaces);
}

/* Of the host's own DHCP, of the guest's agent, and of who the host has heard of. */
static GPtrArray *
addresses_of(Wait *wait)
{
    GPtrArray *addresses = g_ptr_array_new_with_free_func(g_free);

    add_addresses(wait, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, addresses);
    /* libvirt would wait without an end for an agent that doesn't answer. */
    if (look_for_agent(wait, NULL) == DONE)
        add_addresses(wait, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, addresses);
    add_addresses(wait, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, addresses);
    if (!addresses->len)
        see(wait, "no address: neither a DHCP lease, nor of its agent, nor in the ARP table");
    return addresses;
}

static Answer
look_for_address(Wait *wait, G_GNUC_UNUSED GError **error)
{
    g_autoptr(GPtrArray) addresses = addresses_of(wait);

    return addresses->len ? DONE : YET;
}

/* --- ssh --- */

/* RFC 4253, 4.2: a server may say other lines before the one that begins so. */
static gboolean
has_banner(const char *text)
{
    return g_str_has_prefix(text, "SSH-") || strstr(text, "\nSSH-");
}

static gboolean
answers_ssh(const Wait *wait, const char *address, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    char text[512] = "";
    gsize length = 0;

    g_socket_client_set_timeout(client, ANSWER_SECONDS);
    g_socket_client_set_enable_proxy(client, FALSE);
    g_autoptr(GInetAddress) host = g_inet_address_new_from_string(address);
    g_autoptr(GSocketAddress) peer = g_inet_socket_address_new(host, SSH_PORT);
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(peer), wait->progress->cancel, error);
    if (!connection)
        return FALSE;
    GInputStream *input = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    while (!has_banner(text) && length < sizeof text - 1) {
        gssize n = g_input_stream_read(input, text + length, sizeof text - 1 - length,
                                       wait->progress->cancel, error);
        if (n < 0)
            return FALSE;
        if (n == 0)
            break;
        length += (gsize)n;
        text[length] = '\0';
    }
    if (!has_banner(text))
        g_set_error_literal(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                            "what answers there is no ssh server");
    return has_banner(text);
}

static Answer
look_for_ssh(Wait *wait, G_GNUC_UNUSED GError **error)
{
    g_autoptr(GPtrArray) addresses = addresses_of(wait);

    for (guint i = 0; i < addresses->len; i++) {
        const char *address = g_ptr_array_index(addresses, i);
        g_autoptr(GError) failed = NULL;
        if (answers_ssh(wait, address, &failed))
            return DONE;
        see(wait, "%s, port %d: %s (from here: the network of the guest must be reachable)",
            address, SSH_PORT, failed->message);
    }
    return YET;
}

/* --- cloud-init --- */

static JsonObject *
returned(JsonParser *reply)
{
    JsonObject *root = json_node_get_object(json_parser_get_root(reply));
    JsonNode *value = json_object_get_member(root, "return");

    return value && JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
}

static Answer
start_status(Wait *wait, GError **error)
{
    static const char command[] =
        "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"cloud-init\","
        "\"arg\":[\"status\",\"--wait\",\"--long\"],\"capture-output\":true}}";
    Answer answer = YET;
    g_autoptr(JsonParser) reply = ask_agent(wait, command, &answer, error);
    JsonObject *value = reply ? returned(reply) : NULL;

    if (value)
        wait->pid = json_object_get_int_member_with_default(value, "pid", 0);
    if (wait->pid)
        see(wait, "cloud-init is at work");
    return answer == NEVER ? NEVER : YET;
}

/* What it printed, as one line that shows nothing but text. Caller frees. */
static char *
output_of(JsonObject *status)
{
    const char *data = json_object_get_string_member_with_default(status, "out-data", "");
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(data, &length);
    g_autofree char *text = g_strndup((const char *)bytes, length);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *line = g_string_new(NULL);

    for (const char *at = valid; *at && line->len < MAX_OUTPUT; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        gboolean is_shown = !g_unichar_isspace(c) && !ka_is_control(c);
        gboolean is_dot = c == '.' && !line->len; /* its progress */
        if (is_shown && !is_dot)
            g_string_append_unichar(line, c);
        else if (line->len && line->str[line->len - 1] != ' ')
            g_string_append_c(line, ' ');
    }
    return g_strchomp(g_string_free(line, FALSE));
}

static Answer
end_status(Wait *wait, JsonObject *status, GError **error)
{
    gint64 code = json_object_get_int_member_with_default(status, "exitcode", -1);
    g_autofree char *output = output_of(status);

    if (strstr(output, "status: disabled"))
        return never(wait, error, "cloud-init is disabled in it: %s", output);
    /* 2: done, with warnings. */
    if (code == 0 || code == 2)
        return DONE;
    return never(wait, error, "its cloud-init failed with %" G_GINT64_FORMAT ": %s", code,
                 *output ? output : "it said nothing");
}

static Answer
look_for_cloud_init(Wait *wait, GError **error)
{
    if (!wait->pid)
        return start_status(wait, error);
    g_autofree char *command = g_strdup_printf(
        "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%" G_GINT64_FORMAT "}}",
        wait->pid);
    Answer answer = YET;
    g_autoptr(JsonParser) reply = ask_agent(wait, command, &answer, error);
    JsonObject *status = reply ? returned(reply) : NULL;
    if (!status) {
        /* An agent that was restarted has forgotten it. */
        if (wait->seen && strstr(wait->seen, "PID"))
            wait->pid = 0;
        return answer == NEVER ? NEVER : YET;
    }
    see(wait, "cloud-init is at work");
    return json_object_get_boolean_member_with_default(status, "exited", FALSE)
               ? end_status(wait, status, error)
               : YET;
}

/* --- all of them --- */

static const struct {
    const char *name, *what;
    Answer (*look)(Wait *wait, GError **error);
} looks[] = {
    {"agent",      "waiting for its agent",      look_for_agent     },
    {"ip",         "waiting for its address",    look_for_address   },
    {"ssh",        "waiting for its ssh server", look_for_ssh       },
    {"cloud-init", "waiting for its cloud-init", look_for_cloud_init},
};

/* FALSE with an error: there is nothing to wait for any longer. */
static gboolean
may_go_on(const Wait *wait, const char *what, guint64 waited, guint64 patience, GError **error)
{
    g_autofree char *seen = wait->seen ? g_strconcat("; last seen: ", wait->seen, NULL) : NULL;

    if (g_cancellable_is_cancelled(wait->progress->cancel))
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED,
                    "guest '%s' was started, but %s was interrupted%s", wait->action->name, what,
                    seen ? seen : "");
    else if (virDomainIsActive(wait->domain) == 0)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "guest '%s' was started, but went off while %s%s", wait->action->name, what,
                    seen ? seen : "");
    else if (waited >= patience)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_TIMEOUT,
                    "guest '%s' was started, but %s took longer than %" G_GUINT64_FORMAT
                    " s (wait.timeout)%s",
                    wait->action->name, what, patience, seen ? seen : "");
    else
        return TRUE;
    return FALSE;
}

static gboolean
wait_for(Wait *wait, gsize which, guint64 patience, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    Answer answer = YET;

    while ((answer = looks[which].look(wait, error)) == YET) {
        guint64 waited = (guint64)((g_get_monotonic_time() - begin) / G_TIME_SPAN_SECOND);
        if (!may_go_on(wait, looks[which].what, waited, patience, error))
            return FALSE;
        ka_progress_step(wait->progress, wait->action, looks[which].what, waited, patience, "s");
        g_usleep(LOOK_US);
    }
    return answer == DONE;
}

gboolean
ka_guest_wait(virDomainPtr domain,
              const KaAction *action,
              const KaProgress *progress,
              GError **error)
{
    const KaNode *node = ka_node_get(action->object->node, "wait");
    const char *name = ka_node_text(node, "for"), *timeout = ka_node_text(node, "timeout");
    Wait wait = {.domain = domain, .action = action, .progress = progress};
    gboolean done = TRUE;

    for (gsize i = 0; name && i < G_N_ELEMENTS(looks); i++)
        if (g_str_equal(looks[i].name, name))
            done = wait_for(&wait, i,
                            timeout ? g_ascii_strtoull(timeout, NULL, 10) : DEFAULT_SECONDS, error);
    g_free(wait.seen);
    return done;
}
