#include "tests/drivers/canonical.h"

#include "drivers/storage.h"

#define DATA KA_SOURCE_DIR "/tests/data/pools"

/* A pool's definition to fields and back: what no row covers would be in the residual. */
static void
round_trip(const char *name)
{
    const KaKind *kind = ka_kind_find("pool");
    g_autofree char *path = g_build_filename(DATA, name, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autoptr(KaDocument) document = ka_document_parse(ka_kind_rows(kind), text, &error);
    assert_non_null(document);
    g_autofree char *type = g_strdup(ka_attribute(xmlDocGetRootElement(document->xml), "type"));
    g_autofree char *pool =
        ka_xml_text(ka_element_child(xmlDocGetRootElement(document->xml), "name"));
    g_autoptr(KaDocument) before = ka_document_parse(ka_kind_rows(kind), text, NULL);
    ka_pool_normalise(document, type, FALSE, FALSE);
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, &error);
    assert_non_null(tree);
    g_autoptr(KaDocument) built =
        ka_document_build(kind->table, ka_kind_rows(kind), pool, tree->root, &error);
    assert_non_null(built);
    KaNode *map = ka_node_new(tree, KA_NODE_MAP);
    ka_document_residual(document, built, tree, map);
    g_autofree char *made = ka_pool_text(built);
    g_autoptr(KaDocument) after = ka_document_parse(ka_kind_rows(kind), made, NULL);
    g_autofree char *want = canonical(before);
    g_autofree char *have = canonical(after);
    assert_string_equal(have, want);
    assert_null(map->first);
}

static void
pool_every_type_comes_back_from_its_fields(void **state)
{
    g_autoptr(GDir) folder = g_dir_open(DATA, 0, NULL);
    const char *name = NULL;
    guint n = 0;

    (void)state;
    assert_non_null(folder);
    for (; (name = g_dir_read_name(folder)); n++)
        round_trip(name);
    assert_true(n >= 16);
}

static void
pool_text_has_nothing_of_our_own(void **state)
{
    const KaKind *kind = ka_kind_find("pool");
    g_autoptr(KaDocument) document = ka_document_parse(
        ka_kind_rows(kind),
        "<pool type='rbd'><name>a</name><source><host name='x'/><name>n</name></source></pool>",
        NULL);

    (void)state;
    ka_pool_normalise(document, "rbd", TRUE, TRUE);
    g_autofree char *inside = ka_document_format(document);
    g_autofree char *text = ka_pool_text(document);
    assert_non_null(strstr(inside, "ka-host"));
    assert_null(strstr(text, "ka-"));
}

static void
mark_uuid_is_a_version_5_of_all_three(void **state)
{
    g_autofree char *a = ka_mark_uuid("shop", "pool", "fast");
    g_autofree char *same = ka_mark_uuid("shop", "pool", "fast");
    g_autofree char *project = ka_mark_uuid("shed", "pool", "fast");
    g_autofree char *kind = ka_mark_uuid("shop", "filter", "fast");
    g_autofree char *name = ka_mark_uuid("shop", "pool", "slow");

    (void)state;
    assert_true(g_uuid_string_is_valid(a));
    assert_int_equal(a[14], '5');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_equal(a, same);
    assert_string_not_equal(a, project);
    assert_string_not_equal(a, kind);
    assert_string_not_equal(a, name);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_every_type_comes_back_from_its_fields),
        cmocka_unit_test(pool_text_has_nothing_of_our_own),
        cmocka_unit_test(mark_uuid_is_a_version_5_of_all_three),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
