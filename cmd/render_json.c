#include "cmd/outline.h"
#include "cmd/render.h"
#include "cmd/value.h"
#include <json-glib/json-glib.h>

#define FORMAT_VERSION 1

static const char *const verbs[] = {
    [KA_CREATE] = "create",
    [KA_CHANGE] = "change",
    [KA_REMOVE] = "delete",
    [KA_REPLACE] = "replace",
};

static const char *const ways[] = {
    [KA_LIVE] = "live",       [KA_GUEST] = "guest", [KA_BOOT] = "boot",
    [KA_RESTART] = "restart", [KA_ONCE] = "once",   [KA_NONE] = "none",
};

static void
add_string(JsonBuilder *json, const char *name, const char *text)
{
    json_builder_set_member_name(json, name);
    if (text)
        json_builder_add_string_value(json, text);
    else
        json_builder_add_null_value(json);
}

static void
add_int(JsonBuilder *json, const char *name, gint64 number)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, number);
}

static void
add_bool(JsonBuilder *json, const char *name, gboolean value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_boolean_value(json, value);
}

static void
add_scalar(JsonBuilder *json, const KaNode *node)
{
    const char *type = node->row ? node->row->codec->json_type : NULL;
    g_autofree char *text = ka_value_text(node);
    if (type && g_str_equal(type, "boolean") &&
        (g_str_equal(text, "true") || g_str_equal(text, "false")))
        json_builder_add_boolean_value(json, g_str_equal(text, "true"));
    else if (type && g_str_equal(type, "integer") &&
             g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, NULL, NULL))
        json_builder_add_int_value(json, g_ascii_strtoll(text, NULL, 10));
    else
        json_builder_add_string_value(json, text);
}

static void
add_node(JsonBuilder *json, const KaNode *node)
{
    if (!node || node->type == KA_NODE_NULL) {
        json_builder_add_null_value(json);
        return;
    }
    if (node->type == KA_NODE_SCALAR) {
        add_scalar(json, node);
        return;
    }
    gboolean is_map = node->type == KA_NODE_MAP;
    is_map ? json_builder_begin_object(json) : json_builder_begin_array(json);
    for (const KaNode *child = node->first; child; child = child->next) {
        if (child->fresh)
            continue;
        if (is_map)
            json_builder_set_member_name(json, child->key);
        add_node(json, child);
    }
    is_map ? json_builder_end_object(json) : json_builder_end_array(json);
}

static void
add_mark(JsonBuilder *json, KaMark mark)
{
    json_builder_set_member_name(json, "position");
    if (!mark.source || !mark.line) {
        json_builder_add_null_value(json);
        return;
    }
    json_builder_begin_object(json);
    add_string(json, "file", mark.source->name);
    add_int(json, "line", mark.line);
    add_int(json, "column", mark.column);
    json_builder_end_object(json);
}

static void
add_words(JsonBuilder *json, const char *name, KaWords words)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (guint i = 0; i < KA_N_WORDS; i++)
        if (words & (1u << i))
            json_builder_add_string_value(json, ka_word_name((KaWord)(1u << i)));
    json_builder_end_array(json);
}

static void
add_strings(JsonBuilder *json, const char *name, const GPtrArray *texts)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (guint i = 0; texts && i < texts->len; i++)
        json_builder_add_string_value(json, g_ptr_array_index(texts, i));
    json_builder_end_array(json);
}

static void
add_changes(JsonBuilder *json, const char *name, const GPtrArray *changes)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (guint i = 0; i < changes->len; i++) {
        const KaChange *change = g_ptr_array_index(changes, i);
        json_builder_begin_object(json);
        add_string(json, "path", change->path);
        json_builder_set_member_name(json, "from");
        add_node(json, change->from);
        json_builder_set_member_name(json, "to");
        add_node(json, change->to);
        add_string(json, "way", ways[change->way]);
        add_bool(json, "pending", change->pending);
        add_bool(json, "released", change->released);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

/* What every action and every unknown object has; leaves the object open. */
static void
begin_action(JsonBuilder *json, const KaAction *action)
{
    g_autofree char *address = ka_action_address(action, TRUE);
    json_builder_begin_object(json);
    add_string(json, "address", address);
    add_string(json, "kind", action->kind->table->kind);
    add_string(json, "name", action->name);
    add_mark(json, action->object ? ka_node_mark(action->object->node) : KA_NOWHERE);
}

static void
add_action(JsonBuilder *json, const KaAction *action)
{
    begin_action(json, action);
    add_string(json, "verb", verbs[action->verb]);
    add_bool(json, "idle", ka_action_is_idle(action));
    add_bool(json, "left-over", action->left_over);
    add_bool(json, "restart", action->restart);
    add_bool(json, "adopt", action->adopt);
    add_words(json, "words", action->words);
    add_words(json, "lacking", action->lacking);
    if (action->verb == KA_CREATE || action->verb == KA_REPLACE) {
        json_builder_set_member_name(json, "declared");
        add_node(json, action->object->node);
    }
    add_changes(json, "changes", action->changes);
    add_changes(json, "notes", action->notes);
    add_strings(json, "remarks", action->remarks);
    json_builder_end_object(json);
}

static void
add_host(JsonBuilder *json, const KaHostPlan *plan)
{
    const KaHost *host = plan->host;
    json_builder_begin_object(json);
    add_string(json, "name", host->name);
    add_string(json, "uri", host->real_uri ? host->real_uri : host->uri);
    add_bool(json, "offline", host->offline);
    add_string(json, "error", host->error ? host->error->message : NULL);
    add_strings(json, "warnings", host->warnings);
    add_int(json, "unchanged", plan->n_unchanged);
    json_builder_set_member_name(json, "actions");
    json_builder_begin_array(json);
    for (guint i = 0; i < plan->actions->len; i++)
        add_action(json, g_ptr_array_index(plan->actions, i));
    json_builder_end_array(json);
    json_builder_set_member_name(json, "unknown");
    json_builder_begin_array(json);
    for (guint i = 0; i < plan->unknown->len; i++) {
        const KaAction *action = g_ptr_array_index(plan->unknown, i);
        begin_action(json, action);
        add_string(json, "reason", action->actual ? action->actual->unknown : NULL);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
}

static void
add_summary(JsonBuilder *json, const KaPlan *plan)
{
    json_builder_set_member_name(json, "summary");
    json_builder_begin_object(json);
    add_int(json, "create", plan->n_create);
    add_int(json, "change", plan->n_change);
    add_int(json, "replace", plan->n_replace);
    add_int(json, "delete", plan->n_remove);
    add_int(json, "left-over", plan->n_left_over);
    add_int(json, "pending", plan->n_pending);
    add_int(json, "lacking", plan->n_lacking);
    json_builder_end_object(json);
}

static void
add_diagnostics(JsonBuilder *json, const KaDiagnostics *diagnostics)
{
    json_builder_set_member_name(json, "diagnostics");
    json_builder_begin_array(json);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, i);
        json_builder_begin_object(json);
        add_string(json, "severity", diagnostic->severity == KA_ERROR ? "error" : "warning");
        add_string(json, "message", diagnostic->message);
        add_mark(json, diagnostic->mark);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

char *
ka_render_json(const KaPlan *plan)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    json_builder_begin_object(json);
    add_int(json, "kvmapply", FORMAT_VERSION);
    add_string(json, "project", plan->manifest->project);
    add_string(json, "plan", plan->digest);
    add_bool(json, "failed", plan->failed || plan->diagnostics->n_errors);
    add_summary(json, plan);
    add_diagnostics(json, plan->diagnostics);
    json_builder_set_member_name(json, "hosts");
    json_builder_begin_array(json);
    for (guint i = 0; i < plan->hosts->len; i++)
        add_host(json, g_ptr_array_index(plan->hosts, i));
    json_builder_end_array(json);
    json_builder_end_object(json);
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *text = json_to_string(root, TRUE);
    return g_strconcat(text, "\n", NULL);
}
