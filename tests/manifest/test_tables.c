/* What must hold of every row of every kind. */
#include "manifest/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

typedef void (*RowTest)(const KaTable *table, const KaRows *rows);

static void
visit(const KaTable *table, const KaRows *rows, RowTest test)
{
    if (rows->row)
        test(table, rows);
    for (const KaRows *child = rows->first; child; child = child->next)
        visit(table, child, test);
}

static void
for_each_row(RowTest test)
{
    for (gsize i = 0; i < ka_n_kinds; i++)
        visit(ka_kinds[i]->table, ka_kind_rows(ka_kinds[i]), test);
}

#define ASSERT_ROW(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s: row '%s': not so: %s", table->kind, rows->row->key, #condition);         \
    } while (0)

static gboolean
is_branch(const KaRows *rows)
{
    return rows->row->codec == &ka_map || rows->row->codec == &ka_list;
}

static void
tables_of_all_kinds_are_named_once(G_GNUC_UNUSED void **state)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (gsize i = 0; i < ka_n_kinds; i++) {
        const KaTable *table = ka_kinds[i]->table;
        assert_true(g_hash_table_add(names, ka_borrow(table->kind)));
        assert_true(strcmp(table->plural, table->kind) == 0 ||
                    g_hash_table_add(names, ka_borrow(table->plural)));
        assert_true(table->doc && *table->doc);
        assert_true(table->n_fields > 0);
        assert_ptr_equal(ka_kind_find(table->plural), ka_kinds[i]);
    }
}

static void
check_documented(const KaTable *table, const KaRows *rows)
{
    const char *doc = rows->row->doc;
    ASSERT_ROW(doc && *doc);
    ASSERT_ROW(!strchr(doc, '\n') && doc[strlen(doc) - 1] != '.');
}

static void
tables_document_every_row_in_one_line(G_GNUC_UNUSED void **state)
{
    for_each_row(check_documented);
}

static void
check_shape(const KaTable *table, const KaRows *rows)
{
    ASSERT_ROW(rows->row->codec);
    ASSERT_ROW(is_branch(rows) || !rows->first);
    ASSERT_ROW(rows->row->codec != &ka_list || (rows->any && !rows->any->next));
    ASSERT_ROW(rows->row->codec != &ka_list || ka_rows_item(rows));
    ASSERT_ROW(!ka_rows_item(rows) || rows->row->codec == &ka_list);
    ASSERT_ROW(!rows->row->at || table->root);
    /* Kebab case. */
    gboolean is_item = rows == rows->parent->any;
    gsize plain = strspn(rows->segment, "abcdefghijklmnopqrstuvwxyz0123456789-");
    ASSERT_ROW(is_item || rows->segment[plain] == '\0');
}

static void
tables_have_rows_of_the_right_shape(G_GNUC_UNUSED void **state)
{
    for_each_row(check_shape);
}

static void
check_ids(const KaTable *table, const KaRows *rows)
{
    gboolean is_star = strcmp(rows->segment, "*") == 0;
    ASSERT_ROW(!rows->row->id || is_star);
    ASSERT_ROW(!rows->row->name || is_star);
    /* Items that stand in the document are told apart by something. */
    ASSERT_ROW(!is_star || rows->row->codec != &ka_map || !rows->row->at || rows->row->id);
}

static void
tables_have_ids_and_names_at_stars_only(G_GNUC_UNUSED void **state)
{
    for_each_row(check_ids);
}

static void
check_brief(const KaTable *table, const KaRows *rows)
{
    if (!rows->row->brief)
        return;
    ASSERT_ROW(rows->row->codec == &ka_map);
    const KaRows *child = ka_rows_child(rows, rows->row->brief);
    ASSERT_ROW(child);
    ASSERT_ROW(child != rows->any ||
               ka_codec_canonical(child->name, rows->row->brief));
}

static void
tables_have_briefs_that_name_a_key(G_GNUC_UNUSED void **state)
{
    for_each_row(check_brief);
}

static void
check_fresh(const KaTable *table, const KaRows *rows)
{
    const KaField *row = rows->row;
    if (!row->fresh)
        return;
    ASSERT_ROW(!is_branch(rows));
    g_autofree char *text = ka_codec_format(row->codec, row->fresh);
    g_autofree char *back = ka_codec_parse(row->codec, text, NULL);
    ASSERT_ROW(back && strcmp(back, row->fresh) == 0);
}

static void
tables_have_fresh_values_that_round_trip(G_GNUC_UNUSED void **state)
{
    for_each_row(check_fresh);
}

static void
check_enum(const KaTable *table, const KaRows *rows)
{
    const KaCodec *codec = rows->row->codec;
    for (gsize i = 0; i < codec->n_values; i++) {
        g_autofree char *text = ka_codec_format(codec, codec->values[i]);
        ASSERT_ROW(ka_codec_canonical(codec, text) == codec->values[i]);
        for (gsize j = 0; j < i; j++)
            ASSERT_ROW(strcmp(codec->values[i], codec->values[j]) != 0);
    }
}

static void
tables_have_enumerations_that_round_trip(G_GNUC_UNUSED void **state)
{
    for_each_row(check_enum);
}

static void
check_codec(const KaTable *table, const KaRows *rows)
{
    const KaCodec *codec = rows->row->codec;
    ASSERT_ROW(codec->name && *codec->name && codec->json_type);
    g_autofree char *expected = ka_codec_expected(codec);
    ASSERT_ROW(expected && *expected);
    ASSERT_ROW(!codec->refers || ka_kind_find(codec->refers));
    ASSERT_ROW(codec->minimum <= codec->maximum);
    if (codec->pattern && !codec->is_canonical && !codec->parse) {
        g_autoptr(GRegex) regex = g_regex_new(codec->pattern, 0, 0, NULL);
        ASSERT_ROW(regex);
    }
}

static void
tables_have_codecs_that_say_what_they_expect(G_GNUC_UNUSED void **state)
{
    for_each_row(check_codec);
}

/* Quotes and brackets of a place are closed. */
static gboolean
is_balanced(const char *place)
{
    gint depth = 0;
    gboolean is_quoted = FALSE;
    for (const char *at = place; *at; at++) {
        if (*at == '\'')
            is_quoted = !is_quoted;
        if (!is_quoted && *at == '[')
            depth++;
        if (!is_quoted && *at == ']' && --depth < 0)
            return FALSE;
    }
    return depth == 0 && !is_quoted;
}

static void
check_place(const KaTable *table, const KaRows *rows)
{
    const char *at = rows->row->at;
    if (!at)
        return;
    if (strcmp(table->root, "/") == 0) { /* the host's own files */
        ASSERT_ROW(*at == '/');
        return;
    }
    ASSERT_ROW(*at && *at != '/' && at[strlen(at) - 1] != '/' && !strstr(at, "//"));
    ASSERT_ROW(is_balanced(at));
}

static void
tables_have_places_that_are_well_formed(G_GNUC_UNUSED void **state)
{
    for_each_row(check_place);
}

static void
check_claims(const KaTable *table, const KaRows *rows)
{
    const char *at = rows->row->at;
    if (at && g_str_has_prefix(at, "self[") && strchr(at, '='))
        ASSERT_ROW(rows->claims);
}

static void
tables_have_unions_that_are_told(G_GNUC_UNUSED void **state)
{
    for_each_row(check_claims);
}

static void
check_explained(const KaTable *table, const KaRows *rows)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strconcat(table->plural, ".", rows->row->key, NULL);
    g_autofree char *text = ka_explain(path, &error);
    ASSERT_ROW(text && strstr(text, rows->row->doc));
}

static void
tables_have_rows_that_explain_finds(G_GNUC_UNUSED void **state)
{
    for_each_row(check_explained);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_of_all_kinds_are_named_once),
        cmocka_unit_test(tables_document_every_row_in_one_line),
        cmocka_unit_test(tables_have_rows_of_the_right_shape),
        cmocka_unit_test(tables_have_ids_and_names_at_stars_only),
        cmocka_unit_test(tables_have_briefs_that_name_a_key),
        cmocka_unit_test(tables_have_fresh_values_that_round_trip),
        cmocka_unit_test(tables_have_enumerations_that_round_trip),
        cmocka_unit_test(tables_have_codecs_that_say_what_they_expect),
        cmocka_unit_test(tables_have_places_that_are_well_formed),
        cmocka_unit_test(tables_have_unions_that_are_told),
        cmocka_unit_test(tables_have_rows_that_explain_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
