#include "tests/manifest/table.h"

static void
rows_of_a_path_are_found_by_names_stars_and_items(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaRows) rows = ka_rows_new(&test_table);
    assert_string_equal(ka_rows_find(rows, "disks.vda.cache")->row->key, "disks.*.cache");
    assert_string_equal(ka_rows_find(rows, "disks.*.cache")->row->key, "disks.*.cache");
    assert_string_equal(ka_rows_find(rows, "disks.\"a.b\"")->row->key, "disks.*");
    assert_string_equal(ka_rows_find(rows, "words[]")->row->key, "words[]");
    assert_string_equal(ka_rows_find(rows, "hosts[].names[]")->row->key, "hosts[].names[]");
    assert_ptr_equal(ka_rows_find(rows, ""), rows);
    assert_null(ka_rows_find(rows, "disks.vda.nothing"));
    assert_null(ka_rows_find(rows, "words.x"));
    assert_null(ka_rows_find(rows, "title.x"));
}

static void
rows_stand_in_the_tables_order(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaRows) rows = ka_rows_new(&test_table);
    assert_string_equal(rows->first->segment, "title");
    assert_string_equal(rows->first->next->segment, "memory");
    assert_string_equal(rows->first->next->first->next->segment, "locked");
    assert_ptr_equal(rows->first->next->first->parent, rows->first->next);
    assert_ptr_equal(ka_rows_item(ka_rows_find(rows, "words")), ka_rows_find(rows, "words[]"));
    assert_null(ka_rows_item(ka_rows_find(rows, "disks")));
    assert_ptr_equal(ka_rows_find(rows, "disks.*")->name, &ka_device);
}

static void
rows_claim_the_predicates_on_their_item(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaRows) rows = ka_rows_new(&test_table);
    const KaRows *path = ka_rows_find(rows, "disks.*.path");
    assert_int_equal(path->claims->len, 1);
    const KaClaim *claim = g_ptr_array_index(path->claims, 0);
    assert_string_equal(claim->place, "@type");
    assert_string_equal(claim->value, "file");
    const KaClaim *own = g_ptr_array_index(ka_rows_find(rows, "disks.*.type")->claims, 0);
    assert_string_equal(own->place, "@type");
    assert_null(own->value);
    assert_null(ka_rows_find(rows, "weight")->claims);
    assert_null(ka_rows_find(rows, "disks.*.cache")->claims);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_path_are_found_by_names_stars_and_items),
        cmocka_unit_test(rows_stand_in_the_tables_order),
        cmocka_unit_test(rows_claim_the_predicates_on_their_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
