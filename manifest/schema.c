/* JSON Schema, draft 2020-12, of a manifest as a generic YAML reader sees it. */
#include "manifest/manifest.h"
#include <json-glib/json-glib.h>

#include <string.h>

typedef struct {
    JsonBuilder *out;
    GHashTable *names; /* owned; codec → owned name of its definition */
    GHashTable *taken; /* owned; set of those names, borrowed of names */
    GPtrArray *codecs; /* owned; borrowed codecs in the order of their first use */
} Schema;

static void
add_text(Schema *schema, const char *member, const char *text)
{
    json_builder_set_member_name(schema->out, member);
    json_builder_add_string_value(schema->out, text);
}

static void
begin_array(Schema *schema, const char *member)
{
    json_builder_set_member_name(schema->out, member);
    json_builder_begin_array(schema->out);
}

static void
begin_object(Schema *schema, const char *member)
{
    json_builder_set_member_name(schema->out, member);
    json_builder_begin_object(schema->out);
}

static void
add_one(Schema *schema, const char *member, const char *text)
{
    json_builder_begin_object(schema->out);
    add_text(schema, member, text);
    json_builder_end_object(schema->out);
}

static void
add_false(Schema *schema, const char *member)
{
    json_builder_set_member_name(schema->out, member);
    json_builder_add_boolean_value(schema->out, FALSE);
}

/* --- codecs --- */

/* Enumerations of several tables may share a name. */
static const char *
definition_name(Schema *schema, const KaCodec *codec)
{
    const char *known = g_hash_table_lookup(schema->names, codec);
    if (known)
        return known;
    char *name = g_strdup(codec->name);
    for (guint i = 2; g_hash_table_contains(schema->taken, name); i++) {
        g_free(name);
        name = g_strdup_printf("%s-%u", codec->name, i);
    }
    g_hash_table_insert(schema->names, ka_borrow(codec), name);
    g_hash_table_add(schema->taken, name);
    g_ptr_array_add(schema->codecs, ka_borrow(codec));
    return name;
}

/* What a YAML reader may have made of an enumeration's word. */
static void
add_guesses(Schema *schema, const KaCodec *codec)
{
    static const char *const words[] = {"on", "off", "yes", "no", "true", "false"};
    gboolean may_be_boolean = FALSE;
    for (gsize i = 0; i < codec->n_values; i++) {
        gint64 number = 0;
        if (g_ascii_string_to_signed(codec->values[i], 10, G_MININT64, G_MAXINT64, &number, NULL))
            json_builder_add_int_value(schema->out, number);
        for (gsize j = 0; j < G_N_ELEMENTS(words); j++)
            may_be_boolean = may_be_boolean || strcmp(codec->values[i], words[j]) == 0;
    }
    if (may_be_boolean) {
        json_builder_add_boolean_value(schema->out, TRUE);
        json_builder_add_boolean_value(schema->out, FALSE);
    }
}

static void
add_enum(Schema *schema, const KaCodec *codec)
{
    static const char *const booleans[] = {"true", "false", "yes", "no", "on", "off"};
    gboolean is_boolean = g_strcmp0(codec->json_type, "boolean") == 0;
    const char *const *values = is_boolean ? booleans : codec->values;
    gsize n_values = is_boolean ? G_N_ELEMENTS(booleans) : codec->n_values;
    begin_array(schema, "enum");
    if (is_boolean) {
        json_builder_add_boolean_value(schema->out, TRUE);
        json_builder_add_boolean_value(schema->out, FALSE);
    }
    for (gsize i = 0; i < n_values; i++)
        json_builder_add_string_value(schema->out, values[i]);
    if (!is_boolean)
        add_guesses(schema, codec);
    json_builder_end_array(schema->out);
}

static void
add_integer(Schema *schema, const KaCodec *codec)
{
    add_text(schema, "type", "integer");
    if (codec->minimum == 0 && codec->maximum == 0)
        return;
    json_builder_set_member_name(schema->out, "minimum");
    json_builder_add_int_value(schema->out, codec->minimum);
    json_builder_set_member_name(schema->out, "maximum");
    json_builder_add_int_value(schema->out, codec->maximum);
}

/* A reader may take a text for a number or a boolean; where a unit is needed, that is an error. */
static void
add_string(Schema *schema, const KaCodec *codec)
{
    if (codec->unit != 0) {
        add_text(schema, "type", "string");
    } else {
        begin_array(schema, "type");
        json_builder_add_string_value(schema->out, "string");
        json_builder_add_string_value(schema->out, "number");
        json_builder_add_string_value(schema->out, "boolean");
        json_builder_end_array(schema->out);
    }
    if (codec->pattern)
        add_text(schema, "pattern", codec->pattern);
}

static void
add_secret_source(Schema *schema, const char *key)
{
    json_builder_begin_object(schema->out);
    add_text(schema, "type", "object");
    begin_object(schema, "properties");
    begin_object(schema, key);
    add_text(schema, "type", "string");
    json_builder_end_object(schema->out);
    json_builder_end_object(schema->out);
    begin_array(schema, "required");
    json_builder_add_string_value(schema->out, key);
    json_builder_end_array(schema->out);
    add_false(schema, "additionalProperties");
    json_builder_end_object(schema->out);
}

static void
add_secret(Schema *schema, const KaCodec *codec)
{
    begin_array(schema, "anyOf");
    json_builder_begin_object(schema->out);
    add_string(schema, codec);
    json_builder_end_object(schema->out);
    add_secret_source(schema, "file");
    add_secret_source(schema, "env");
    json_builder_end_array(schema->out);
}

static void
add_codec(Schema *schema, const KaCodec *codec)
{
    g_autofree char *expected = ka_codec_expected(codec);
    begin_object(schema, definition_name(schema, codec));
    add_text(schema, "description", expected);
    if (codec->secret && codec != &ka_data) /* of data, its reader knows more */
        add_secret(schema, codec);
    else if (codec->n_values > 0)
        add_enum(schema, codec);
    else if (g_strcmp0(codec->json_type, "integer") == 0)
        add_integer(schema, codec);
    else if (codec != &ka_data)
        add_string(schema, codec);
    json_builder_end_object(schema->out);
}

/* --- rows --- */

static void add_map(Schema *schema, const KaRows *rows);
static void add_value(Schema *schema, const KaRows *rows, gboolean may_be_null);

/* Every shape in which the row's value may be written, as items of an anyOf. is_bare: it is what a
 * brief stands for, so it is no map. */
static void
add_shapes(Schema *schema, const KaRows *rows, gboolean is_bare)
{
    const KaCodec *codec = rows->row->codec;
    if (codec == &ka_map) {
        if (!is_bare) {
            json_builder_begin_object(schema->out);
            add_map(schema, rows);
            json_builder_end_object(schema->out);
        }
        if (rows->row->brief)
            add_shapes(schema, ka_rows_child(rows, rows->row->brief), TRUE);
    } else if (codec == &ka_list) {
        json_builder_begin_object(schema->out);
        add_text(schema, "type", "array");
        json_builder_set_member_name(schema->out, "items");
        add_value(schema, ka_rows_item(rows), FALSE);
        json_builder_end_object(schema->out);
        add_shapes(schema, ka_rows_item(rows), TRUE);
    } else {
        g_autofree char *reference = g_strconcat("#/$defs/", definition_name(schema, codec), NULL);
        add_one(schema, "$ref", reference);
    }
}

static void
add_default(Schema *schema, const KaField *row)
{
    if (!row->fresh || !row->codec->json_type)
        return;
    g_autofree char *text = ka_codec_format(row->codec, row->fresh);
    json_builder_set_member_name(schema->out, "default");
    if (strcmp(row->codec->json_type, "boolean") == 0)
        json_builder_add_boolean_value(schema->out, strcmp(text, "true") == 0);
    else if (strcmp(row->codec->json_type, "integer") == 0)
        json_builder_add_int_value(schema->out, g_ascii_strtoll(text, NULL, 10));
    else
        json_builder_add_string_value(schema->out, text);
}

static void
add_value(Schema *schema, const KaRows *rows, gboolean may_be_null)
{
    json_builder_begin_object(schema->out);
    add_text(schema, "description", rows->row->doc);
    add_default(schema, rows->row);
    begin_array(schema, "anyOf");
    add_shapes(schema, rows, FALSE);
    if (may_be_null)
        add_one(schema, "type", "null");
    json_builder_end_array(schema->out);
    json_builder_end_object(schema->out);
}

static const char *
key_pattern(const KaRows *rows)
{
    const KaCodec *codec = rows->name;
    if (codec->pattern && codec != &ka_line)
        return codec->pattern;
    return g_strcmp0(codec->json_type, "integer") == 0 ? "^[0-9]+$" : "^.+$";
}

/* The members of a schema of a map. */
static void
add_map(Schema *schema, const KaRows *rows)
{
    add_text(schema, "type", "object");
    gboolean has_names = FALSE;
    begin_object(schema, "properties");
    for (const KaRows *child = rows->first; child; child = child->next) {
        if (child == rows->any)
            continue;
        has_names = TRUE;
        json_builder_set_member_name(schema->out, child->segment);
        add_value(schema, child, TRUE);
    }
    json_builder_end_object(schema->out);
    /* A pattern would speak of the named keys too. */
    if (rows->any && has_names) {
        json_builder_set_member_name(schema->out, "additionalProperties");
        add_value(schema, rows->any, TRUE);
        return;
    }
    if (rows->any) {
        begin_object(schema, "patternProperties");
        json_builder_set_member_name(schema->out, key_pattern(rows->any));
        add_value(schema, rows->any, TRUE);
        json_builder_end_object(schema->out);
    }
    add_false(schema, "additionalProperties");
}

/* --- the manifest --- */

static void
add_kind_property(Schema *schema, const KaTable *table)
{
    g_autofree char *reference = g_strconcat("#/$defs/", table->kind, NULL);
    begin_object(schema, table->plural);
    add_text(schema, "description", table->doc);
    add_text(schema, "type", "object");
    begin_object(schema, "patternProperties");
    json_builder_set_member_name(schema->out, ka_name.pattern);
    add_one(schema, "$ref", reference);
    json_builder_end_object(schema->out);
    add_false(schema, "additionalProperties");
    json_builder_end_object(schema->out);
}

static void
add_definitions(Schema *schema)
{
    begin_object(schema, "$defs");
    for (gsize i = 0; i < ka_n_kinds; i++) {
        begin_object(schema, ka_kinds[i]->table->kind);
        add_map(schema, ka_kind_rows(ka_kinds[i]));
        json_builder_end_object(schema->out);
    }
    for (guint i = 0; i < schema->codecs->len; i++)
        add_codec(schema, g_ptr_array_index(schema->codecs, i));
    json_builder_end_object(schema->out);
}

static void
add_manifest(Schema *schema)
{
    add_text(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
    add_text(schema, "title", "kvmapply manifest");
    add_text(schema, "type", "object");
    begin_object(schema, "properties");
    begin_object(schema, "project");
    add_text(schema, "description", "whose objects these are; default: default");
    g_autofree char *name = g_strconcat("#/$defs/", definition_name(schema, &ka_name), NULL);
    add_text(schema, "$ref", name);
    json_builder_end_object(schema->out);
    for (gsize i = 0; i < ka_n_kinds; i++)
        add_kind_property(schema, ka_kinds[i]->table);
    json_builder_end_object(schema->out);
    begin_object(schema, "patternProperties");
    begin_object(schema, "^x-");
    add_text(schema, "description", "anything, such as what anchors stand on");
    json_builder_end_object(schema->out);
    json_builder_end_object(schema->out);
    add_false(schema, "additionalProperties");
    add_definitions(schema);
}

char *
ka_schema(void)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(GHashTable) names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) codecs = g_ptr_array_new();
    Schema schema = {builder, names, taken, codecs};
    for (gsize i = 0; i < ka_n_kinds; i++)
        g_hash_table_add(taken, ka_borrow(ka_kinds[i]->table->kind));

    json_builder_begin_object(builder);
    add_manifest(&schema);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    return json_generator_to_data(generator, NULL);
}
