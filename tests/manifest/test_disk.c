#include "tests/manifest/loading.h"

#define POOLS                                                                                      \
    "pools: {files: {type: dir, path: /srv/vm}, lvm: {type: logical, source: {name: vg}}}\n"

static void
assert_refused(const char *disk, const char *why)
{
    g_autofree char *text =
        g_strdup_printf(POOLS "disks:\n  base: {pool: files, size: 1GiB}\n  web: %s\n", disk);
    g_autoptr(Loaded) loaded = loaded_text(text);

    if (loaded->diagnostics->n_errors != 1 || !strstr(loaded->messages, why))
        fail_msg("%s: expected '%s', got:\n%s", disk, why, loaded->messages);
}

static void
disk_filled_in_two_ways_is_refused(void **state)
{
    (void)state;
    assert_refused("{pool: files, backing: base, from: base}", "exclude each other");
    assert_refused("{pool: files, from: base, content: x.img, format: raw}", "exclude each other");
    assert_refused("{pool: files, backing: base, backing-path: /x, backing-format: raw}",
                   "exclude each other");
}

static void
disk_without_size_or_filling_is_refused(void **state)
{
    (void)state;
    assert_refused("{pool: files}", "'size' is missing");
}

static void
disk_of_no_size_is_refused(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text("disks: {a: {size: 0B}, b: {size: 1B}}\n");

    assert_int_equal(loaded->diagnostics->n_errors, 1);
    assert_non_null(strstr(loaded->messages, "1:19: error: disk 'a': size: expected a size"));
    assert_non_null(strstr(loaded->messages, "must be at least 1B"));
}

static void
disk_with_content_of_unsaid_format_is_refused(void **state)
{
    (void)state;
    assert_refused("{pool: files, content: x.img}", "'content' wants 'format'");
    assert_refused("{pool: files, backing-path: /x}", "'backing-path' wants 'backing-format'");
}

static void
disk_volume_outside_its_pool_is_refused(void **state)
{
    (void)state;
    assert_refused("{pool: files, size: 1GiB, volume: ../x}", "a volume's name");
    assert_refused("{pool: files, size: 1GiB, volume: '..'}", "a volume's name");
    assert_refused("{pool: files, size: 1GiB, volume: a/b}", "a volume's name");
}

static void
disk_format_unsaid_follows_from_the_pool(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(
        POOLS
        "disks: {a: {pool: files, size: 1GiB}, b: {pool: lvm, size: 1GiB}, c: {size: 1GiB}}\n");
    const KaObject *a = loaded_find(loaded, "disk", "a"), *b = loaded_find(loaded, "disk", "b");
    const KaObject *c = loaded_find(loaded, "disk", "c");

    assert_string_equal(ka_node_text(a->node, "format"), "qcow2");
    assert_true(ka_node_get(a->node, "format")->fresh);
    assert_string_equal(ka_node_text(b->node, "format"), "raw");
    assert_string_equal(ka_node_text(c->node, "pool"), "default");
    assert_null(ka_node_get(c->node, "format")); /* only its host knows the pool */
}

static void
pool_without_what_its_type_needs_is_refused(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(
        "pools: {a: {path: /x}, b: {type: dir}, c: {type: netfs, path: /x, source: {host: h}}}\n");

    assert_int_equal(loaded->diagnostics->n_errors, 3);
    assert_non_null(strstr(loaded->messages, "'type' is missing"));
    assert_non_null(strstr(loaded->messages, "a dir pool needs 'path'"));
    assert_non_null(strstr(loaded->messages, "a netfs pool needs 'source.dir'"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_filled_in_two_ways_is_refused),
        cmocka_unit_test(disk_without_size_or_filling_is_refused),
        cmocka_unit_test(disk_of_no_size_is_refused),
        cmocka_unit_test(disk_with_content_of_unsaid_format_is_refused),
        cmocka_unit_test(disk_volume_outside_its_pool_is_refused),
        cmocka_unit_test(disk_format_unsaid_follows_from_the_pool),
        cmocka_unit_test(pool_without_what_its_type_needs_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
