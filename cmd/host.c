#include "cmd/command.h"
#include "drivers/host_check.h"
#include "drivers/link.h"
#include <json-glib/json-glib.h>
#include <string.h>

#define BAR_CELLS 20

static struct {
    gboolean json;
} given;

static const GOptionEntry option_entries[] = {
    {.long_name = "json",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.json,
     .description = "Print JSON (version 1)"},
    {.long_name = NULL},
};

/* Does one host's part, into text or json. FALSE: exit 1. */
typedef gboolean (*Work)(KaContext *context, KaHost *host, GString *text, JsonBuilder *json);

static void
string_member(JsonBuilder *json, const char *name, const char *value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_string_value(json, value);
}

static void
int_member(JsonBuilder *json, const char *name, uint64_t value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, (gint64)value);
}

static gboolean
work_on(KaContext *context, KaHost *host, Work work, GString *text, JsonBuilder *json)
{
    gboolean good = FALSE;

    json_builder_begin_object(json);
    string_member(json, "host", host->name);
    good = work(context, host, text, json);
    json_builder_end_object(json);
    ka_link_disconnect(host);
    g_clear_error(&host->error);
    g_free(host->real_uri);
    return good;
}

static gboolean
work_on_declared(
    KaContext *context, const KaManifest *manifest, Work work, GString *text, JsonBuilder *json)
{
    const GPtrArray *hosts = manifest->objects[ka_kind_index(ka_kind_find("host"))];
    gboolean good = TRUE;

    for (guint i = 0; i < hosts->len; i++) {
        const KaObject *object = g_ptr_array_index(hosts, i);
        KaHost host = {
            .object = object, .name = object->name, .uri = ka_node_text(object->node, "uri")};
        if (g_strcmp0(ka_node_text(object->node, "offline"), "yes") == 0)
            continue;
        good &= work_on(context, &host, work, text, json);
    }
    return good;
}

static void
print(const KaContext *context, const GString *text, JsonBuilder *json)
{
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = json_builder_get_root(json);

    if (!given.json) {
        ka_terminal_write(&context->out, text->str);
        return;
    }
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    g_autofree char *data = json_generator_to_data(generator, NULL);
    ka_terminal_write(&context->out, data);
    ka_terminal_write(&context->out, "\n");
}

/* The hosts of the manifests; without any, the one that --connect names. */
static KaExit
each_host(KaContext *context, const char *const *paths, Work work)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(JsonBuilder) json = json_builder_new();
    gboolean good = FALSE;

    json_builder_begin_object(json);
    int_member(json, "version", 1);
    json_builder_set_member_name(json, "hosts");
    json_builder_begin_array(json);
    if (*paths) {
        g_autoptr(KaManifest) manifest = ka_context_load(context, paths);
        if (!manifest)
            return KA_EXIT_ERROR;
        good = work_on_declared(context, manifest, work, text, json);
    } else {
        KaHost host = {.name = "local", .uri = context->connect};
        good = work_on(context, &host, work, text, json);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
    print(context, text, json);
    return good ? KA_EXIT_DONE : KA_EXIT_ERROR;
}

static void
append_head(const KaContext *context, GString *text, const KaHost *host)
{
    const char *uri = host->real_uri ? host->real_uri : host->uri;

    ka_terminal_paint(&context->out, text, KA_TONE_BOLD, host->name);
    g_string_append_printf(text, "%s%s\n", uri ? "  " : "", uri ? uri : "");
}

/* --- check --- */

static const struct {
    const char *word;
    KaTone tone;
} fits[] = {
    [KA_FIT_PASS] = {"pass", KA_TONE_GOOD  },
    [KA_FIT_WARN] = {"warn", KA_TONE_CHANGE},
    [KA_FIT_FAIL] = {"fail", KA_TONE_BAD   },
};

static void
append_finding(const KaContext *context, GString *text, const KaFinding *finding)
{
    gboolean fits_line = strlen(finding->found) < 60;

    g_string_append(text, "  ");
    ka_terminal_paint(&context->out, text, fits[finding->fit].tone, fits[finding->fit].word);
    g_string_append_printf(text, "  %-17s %s\n", finding->name, fits_line ? finding->found : "");
    if (!fits_line)
        ka_terminal_wrap(&context->out, text, KA_TONE_PLAIN, 26, finding->found);
    if (finding->advice && *finding->advice)
        ka_terminal_wrap(&context->out, text, KA_TONE_DIM, 26, finding->advice);
}

static gboolean
check(KaContext *context, KaHost *host, GString *text, JsonBuilder *json)
{
    g_autoptr(GPtrArray) findings = ka_host_check(host, context->timeout_seconds);
    gboolean fit = TRUE;

    append_head(context, text, host);
    json_builder_set_member_name(json, "findings");
    json_builder_begin_array(json);
    for (guint i = 0; i < findings->len; i++) {
        const KaFinding *finding = g_ptr_array_index(findings, i);
        fit &= finding->fit != KA_FIT_FAIL;
        append_finding(context, text, finding);
        json_builder_begin_object(json);
        string_member(json, "name", finding->name);
        string_member(json, "result", fits[finding->fit].word);
        string_member(json, "found", finding->found);
        if (finding->advice)
            string_member(json, "advice", finding->advice);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    return fit;
}

static KaExit
run_check(KaContext *context, const char *const *arguments)
{
    return each_host(context, arguments, check);
}

/* --- show --- */

static char *
amount(const KaCapacity *capacity, uint64_t value)
{
    return capacity->is_bytes ? g_format_size_full(value, G_FORMAT_SIZE_IEC_UNITS)
                              : g_strdup_printf("%" G_GUINT64_FORMAT, value);
}

/* What is used now in full cells, what is promised beyond in half ones. */
static void
append_bar(GString *text, const KaCapacity *capacity)
{
    uint64_t present = MAX(capacity->present, 1);
    uint64_t now = MIN(capacity->current * BAR_CELLS / present, BAR_CELLS);
    uint64_t all = MIN(MAX(capacity->promised, capacity->current) * BAR_CELLS / present, BAR_CELLS);

    for (uint64_t i = 0; i < BAR_CELLS; i++)
        g_string_append(text, i < now ? "█" : i < all ? "▒" : "░");
}

static void
append_capacity(const KaContext *context, GString *text, const KaCapacity *capacity)
{
    g_autofree char *name = ka_terminal_cut(&context->out, capacity->name, 24);
    g_autofree char *current = amount(capacity, capacity->current);
    g_autofree char *promised = amount(capacity, capacity->promised);
    g_autofree char *present = amount(capacity, capacity->present);

    g_string_append(text, "  ");
    g_string_append(text, name);
    ka_text_pad(text, ka_text_width(name), 25);
    append_bar(text, capacity);
    g_string_append_printf(text, "  %s of %s in use, %s promised", current, present, promised);
    if (capacity->promised > capacity->present) {
        g_string_append(text, ", ");
        ka_terminal_paint(&context->out, text, KA_TONE_CHANGE, "more than there is");
    }
    g_string_append_c(text, '\n');
}

static gboolean
show(KaContext *context, KaHost *host, GString *text, JsonBuilder *json)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = ka_host_capacity(host, context->timeout_seconds, &error);

    append_head(context, text, host);
    if (!list) {
        ka_complain_error(context, error);
        string_member(json, "error", error->message);
        return FALSE;
    }
    json_builder_set_member_name(json, "capacity");
    json_builder_begin_array(json);
    for (guint i = 0; i < list->len; i++) {
        const KaCapacity *capacity = g_ptr_array_index(list, i);
        append_capacity(context, text, capacity);
        json_builder_begin_object(json);
        string_member(json, "name", capacity->name);
        string_member(json, "unit", capacity->is_bytes ? "B" : "");
        int_member(json, "present", capacity->present);
        int_member(json, "current", capacity->current);
        int_member(json, "promised", capacity->promised);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    return TRUE;
}

static KaExit
run_show(KaContext *context, const char *const *arguments)
{
    return each_host(context, arguments, show);
}

static const KaCommand command_check = {
    .name = "host check",
    .arguments = "[PATH…]",
    .brief = "Say whether a host is fit for KVM",
    .about = "Looks at the processor, KVM, libvirt, QEMU and the rest; each line passes, warns or\n"
             "fails and says what to do. Exit status 1 where one fails. The hosts of the\n"
             "manifests, by their own ssh; without any, this machine or --connect's.",
    .examples = "  kvmapply host check\n"
                "  kvmapply host check shop.yaml\n"
                "  kvmapply host check --json -c qemu+ssh://root@kvm1.example.com/system",
    .options = {option_entries},
    .run = run_check,
};

static const KaCommand command_show = {
    .name = "host show",
    .arguments = "[PATH…]",
    .brief = "Show what hosts have and what their guests may take",
    .about = "CPUs, memory and pools: in use now, promised to all guests that run or start with\n"
             "the host (anybody's), and what there is.",
    .examples = "  kvmapply host show\n"
                "  kvmapply host show --json shop.yaml",
    .options = {option_entries},
    .run = run_show,
};

static const KaCommand *const parts[] = {&command_check, &command_show, NULL};

const KaCommand ka_command_host = {
    .name = "host",
    .arguments = "COMMAND",
    .brief = "Look at hosts: are they fit, what do they have",
    .about = "Changes nothing. kvmapply host COMMAND --help tells more.",
    .examples = "  kvmapply host check\n"
                "  kvmapply host show",
    .parts = parts,
};
