#include "tests/manifest/table.h"

#include <glib/gstdio.h>

typedef struct {
    KaRows *rows;
    KaSource *source;
    KaTree *tree;
    KaNode *node;
    KaDiagnostics *diagnostics;
    char *messages;
} Checked;

static void
checked_free(Checked *checked)
{
    ka_rows_free(checked->rows);
    ka_tree_free(checked->tree);
    ka_source_free(checked->source);
    ka_diagnostics_free(checked->diagnostics);
    g_free(checked->messages);
    g_free(checked);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Checked, checked_free)

static Checked *
checked_new_named(const char *name, const char *text)
{
    Checked *checked = g_new0(Checked, 1);
    checked->rows = ka_rows_new(&test_table);
    checked->source = ka_source_new(name, g_strdup(text), strlen(text));
    checked->tree = ka_tree_new();
    checked->diagnostics = ka_diagnostics_new();
    g_autoptr(GPtrArray) roots = g_ptr_array_new();
    assert_true(ka_load(checked->tree, checked->source, roots, checked->diagnostics));
    checked->node = ((KaNode *)g_ptr_array_index(roots, 0))->first;
    ka_check(checked->tree, checked->node, checked->rows, checked->diagnostics);
    GString *messages = g_string_new(NULL);
    for (guint i = 0; i < checked->diagnostics->items->len; i++) {
        const KaDiagnostic *item = g_ptr_array_index(checked->diagnostics->items, i);
        g_autofree char *place = ka_mark_format(item->mark);
        g_string_append_printf(messages, "%s: %s\n", place, item->message);
    }
    checked->messages = g_string_free(messages, FALSE);
    return checked;
}

static Checked *
checked_new(const char *text)
{
    return checked_new_named("a.yaml", text);
}

static void
check_of_good_values_makes_them_canonical(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked =
        checked_new("one: {title: no, memory: {current: 2MiB, locked: true}, weight: 0100,\n"
                    "  disks: {a: {path: /x//y/, cache: on}}, words: [a, b]}\n");
    assert_string_equal(checked->messages, "");
    assert_string_equal(ka_node_text(checked->node, "title"), "no");
    assert_string_equal(ka_node_text(checked->node, "memory.current"), "2048");
    assert_string_equal(ka_node_text(checked->node, "memory.locked"), "yes");
    assert_string_equal(ka_node_text(checked->node, "weight"), "100");
    assert_string_equal(ka_node_text(checked->node, "disks.a.path"), "/x/y");
    assert_string_equal(ka_node_text(checked->node, "disks.a.cache"), "on");
    const KaNode *cache = ka_node_find(checked->node, "disks.a.cache");
    assert_string_equal(cache->row->key, "disks.*.cache");
    assert_string_equal(ka_node_find(checked->node, "disks.a")->row->key, "disks.*");
    assert_string_equal(ka_node_find(checked->node, "words")->first->row->key, "words[]");
}

static void
check_of_bare_values_expands_them(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked = checked_new(
        "one: {memory: 1GiB, disks: {a: /x}, words: w, hosts: [x, [y, z], {names: v}]}");
    assert_string_equal(checked->messages, "");
    assert_string_equal(ka_node_text(checked->node, "memory.current"), "1048576");
    assert_string_equal(ka_node_text(checked->node, "disks.a.path"), "/x");
    assert_string_equal(ka_node_find(checked->node, "words")->first->text, "w");
    const KaNode *host = ka_node_find(checked->node, "hosts")->first;
    assert_string_equal(ka_node_get(host, "names")->first->text, "x");
    assert_string_equal(ka_node_get(host->next, "names")->first->next->text, "z");
    assert_string_equal(ka_node_get(host->next->next, "names")->first->text, "v");
}

static void
check_of_null_keeps_it(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked =
        checked_new("one: {title: ~, memory: , disks: {a: ~}, words: null, password: ~}");
    assert_string_equal(checked->messages, "");
    assert_int_equal(ka_node_find(checked->node, "title")->type, KA_NODE_NULL);
    assert_non_null(ka_node_find(checked->node, "disks.a")->row);
}

static void
check_of_unknown_key_names_the_nearest(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked =
        checked_new("one:\n  memry: 1GiB\n  disks:\n    a:\n      zzz: 1\n  memory: {x: 1}\n");
    assert_string_equal(
        checked->messages,
        "a.yaml:2:3: thing 'one': unknown key 'memry', did you mean 'memory'?\n"
        "a.yaml:5:7: thing 'one': disks.a: unknown key 'zzz', known are path, device, type, cache\n"
        "a.yaml:6:12: thing 'one': memory: unknown key 'x', known are current, locked\n");
}

static void
check_of_wrong_values_says_all_with_their_places(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked = checked_new("one:\n"
                                             "  memory: {current: 2x}\n"
                                             "  title: [a]\n"
                                             "  weight: 7\n"
                                             "  disks: [a]\n"
                                             "  words: [a, ~, 'b c']\n");
    assert_string_equal(
        checked->messages,
        "a.yaml:2:21: thing 'one': memory.current: expected a size with a unit such as 2GiB, got "
        "'2x': units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB\n"
        "a.yaml:3:3: thing 'one': title: expected one line of text, got a list\n"
        "a.yaml:4:11: thing 'one': weight: expected a whole number from 100 to 1000, got '7'\n"
        "a.yaml:5:3: thing 'one': disks: expected a map, got a list\n"
        "a.yaml:6:14: thing 'one': words[1]: expected a word of letters, digits and _ . : + -, got "
        "nothing\n"
        "a.yaml:6:17: thing 'one': words[2]: expected a word of letters, digits and _ . : + -, got "
        "'b c'\n");
}

static void
check_of_device_name_wants_what_an_alias_holds(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked = checked_new("one: {disks: {a.b: /x, '': /y}}");
    assert_string_equal(checked->messages,
                        "a.yaml:1:15: thing 'one': disks: key 'a.b': expected a name of letters, "
                        "digits, _ and -, got 'a.b'\n"
                        "a.yaml:1:24: thing 'one': disks: expected a name, got nothing\n");
}

static void
check_of_union_declared_twice_is_refused(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) checked =
        checked_new("one:\n  disks:\n    a: {path: /x, device: /y}\n    b: {device: /z}\n");
    assert_string_equal(checked->messages, "a.yaml:3:19: thing 'one': disks.a: 'device' and 'path' "
                                           "(a.yaml:3:9) exclude each other: keep one\n");
    g_autoptr(Checked) absent = checked_new("one: {disks: {a: {path: /x, device: ~}}}");
    assert_string_equal(absent->messages, "");
}

static void
check_of_type_that_contradicts_is_refused(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) first = checked_new("one: {disks: {a: {type: block, path: /x}}}");
    assert_string_equal(first->messages, "a.yaml:1:32: thing 'one': disks.a: 'path' does not go "
                                         "with 'type: block' (a.yaml:1:19)\n");
    g_autoptr(Checked) second = checked_new("one: {disks: {a: {path: /x, type: block}}}");
    assert_string_equal(second->messages, "a.yaml:1:29: thing 'one': disks.a: 'type: block' does "
                                          "not go with 'path' (a.yaml:1:19)\n");
    g_autoptr(Checked) good =
        checked_new("one: {disks: {a: {path: /x, type: file}, b: {device: /x}}}");
    assert_string_equal(good->messages, "");
}

static void
check_of_secret_reads_file_and_environment(G_GNUC_UNUSED void **state)
{
    g_autofree char *folder = g_dir_make_tmp("kvmapply-XXXXXX", NULL);
    g_autofree char *manifest = g_build_filename(folder, "a.yaml", NULL);
    g_autofree char *file = g_build_filename(folder, "pw", NULL);
    assert_true(g_file_set_contents(file, "from file\r\n", -1, NULL));
    g_autoptr(Checked) from_file = checked_new_named(manifest, "one: {password: {file: pw}}");
    assert_string_equal(from_file->messages, "");
    assert_string_equal(ka_node_text(from_file->node, "password"), "from file");
    assert_int_equal(ka_node_find(from_file->node, "password")->secret, 1);
    assert_true(g_file_set_contents(file, "two\nlines\n", -1, NULL));
    g_autoptr(Checked) lines = checked_new_named(manifest, "one: {password: {file: pw}}");
    assert_non_null(strstr(lines->messages, "password: expected one line of text"));
    assert_null(strstr(lines->messages, "two"));
    const KaDiagnostic *item = g_ptr_array_index(lines->diagnostics->items, 0);
    assert_true(item->secret);
    g_remove(file);
    g_autoptr(Checked) missing = checked_new_named(manifest, "one: {password: {file: pw}}");
    assert_non_null(strstr(missing->messages, "No such file"));
    g_rmdir(folder);

    g_setenv("KA_TEST_SECRET", "from environment", TRUE);
    g_autoptr(Checked) environment = checked_new("one: {password: {env: KA_TEST_SECRET}}");
    assert_string_equal(ka_node_text(environment->node, "password"), "from environment");
    g_unsetenv("KA_TEST_SECRET");
    g_autoptr(Checked) unset = checked_new("one: {password: {env: KA_TEST_SECRET}}");
    assert_non_null(strstr(unset->messages, "'KA_TEST_SECRET' is not set"));
    g_autoptr(Checked) odd = checked_new("one: {password: {what: ever}}");
    assert_non_null(strstr(odd->messages, "{file: PATH} or {env: NAME}, got a map"));
}

static void
check_of_object_that_is_no_map_is_refused(G_GNUC_UNUSED void **state)
{
    g_autoptr(Checked) text = checked_new("one: two");
    assert_string_equal(text->messages, "a.yaml:1:6: thing 'one': expected a map, got 'two'\n");
    g_autoptr(Checked) nothing = checked_new("one:");
    assert_non_null(strstr(nothing->messages, "expected a map, {} at least, got nothing"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_of_good_values_makes_them_canonical),
        cmocka_unit_test(check_of_bare_values_expands_them),
        cmocka_unit_test(check_of_null_keeps_it),
        cmocka_unit_test(check_of_unknown_key_names_the_nearest),
        cmocka_unit_test(check_of_wrong_values_says_all_with_their_places),
        cmocka_unit_test(check_of_device_name_wants_what_an_alias_holds),
        cmocka_unit_test(check_of_union_declared_twice_is_refused),
        cmocka_unit_test(check_of_type_that_contradicts_is_refused),
        cmocka_unit_test(check_of_secret_reads_file_and_environment),
        cmocka_unit_test(check_of_object_that_is_no_map_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
