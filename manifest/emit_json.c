#include "manifest/manifest.h"
#include <json-glib/json-glib.h>

static gboolean
matches(const char *pattern, const char *text)
{
    return g_regex_match_simple(pattern, text, 0, 0);
}

static void
add_scalar(JsonBuilder *out, const KaNode *node)
{
    const char *text = node->text;

    if (node->quoted)
        json_builder_add_string_value(out, text);
    else if (matches("^(true|True|TRUE)$", text))
        json_builder_add_boolean_value(out, TRUE);
    else if (matches("^(false|False|FALSE)$", text))
        json_builder_add_boolean_value(out, FALSE);
    else if (matches("^0o?[0-7]{1,20}$", text))
        json_builder_add_int_value(out, g_ascii_strtoll(text[1] == 'o' ? text + 2 : text, NULL, 8));
    else if (matches("^[-+]?[0-9]{1,18}$", text))
        json_builder_add_int_value(out, g_ascii_strtoll(text, NULL, 10));
    else if (matches("^0x[0-9a-fA-F]{1,15}$", text))
        json_builder_add_int_value(out, g_ascii_strtoll(text + 2, NULL, 16));
    else if (matches("^[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?$", text))
        json_builder_add_double_value(out, g_ascii_strtod(text, NULL));
    else
        json_builder_add_string_value(out, text);
}

static void
add_node(JsonBuilder *out, const KaNode *node)
{
    switch (node->type) {
    case KA_NODE_NULL:
        json_builder_add_null_value(out);
        return;
    case KA_NODE_SCALAR:
        add_scalar(out, node);
        return;
    case KA_NODE_MAP:
        json_builder_begin_object(out);
        for (const KaNode *child = node->first; child; child = child->next) {
            json_builder_set_member_name(out, child->key);
            add_node(out, child);
        }
        json_builder_end_object(out);
        return;
    case KA_NODE_LIST:
        json_builder_begin_array(out);
        for (const KaNode *child = node->first; child; child = child->next)
            add_node(out, child);
        json_builder_end_array(out);
        return;
    }
}

char *
ka_emit_json(const KaNode *node)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();

    add_node(builder, node);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    return json_generator_to_data(generator, NULL);
}
