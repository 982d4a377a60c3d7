#include "tests/manifest/loading.h"

static void
tree_alloc_of_any_size_is_zeroed_and_aligned(void **state)
{
    (void)state;
    g_autoptr(KaTree) tree = ka_tree_new();
    for (gsize size = 1; size < 3000000; size = size * 3 + 1)
        for (int i = 0; i < 20; i++) {
            char *text = ka_tree_strndup(tree, "abcdefg", size % 8);
            guint8 *memory = ka_tree_alloc(tree, size);
            assert_int_equal((guintptr)memory % 8, 0);
            for (gsize at = 0; at < size; at++)
                assert_int_equal(memory[at], 0);
            memset(memory, 0xff, size);
            assert_int_equal(strlen(text), size % 8);
        }
}

static void
node_put_at_path_makes_the_maps(void **state)
{
    (void)state;
    g_autoptr(KaTree) tree = ka_tree_new();
    KaNode *root = ka_node_new(tree, KA_NODE_MAP);
    ka_node_put(tree, root, "memory.current", "1");
    ka_node_put(tree, root, "dhcp.hosts.\"a.\\\"example\".ip", "10.0.0.1");
    ka_node_put(tree, root, "memory.current", "2");
    assert_string_equal(ka_node_text(root, "memory.current"), "2");
    assert_int_equal(ka_node_find(root, "memory")->n_children, 1);
    const KaNode *hosts = ka_node_find(root, "dhcp.hosts");
    assert_string_equal(hosts->first->key, "a.\"example");
    assert_string_equal(ka_node_text(root, "dhcp.hosts.\"a.\\\"example\".ip"), "10.0.0.1");
    assert_null(ka_node_text(root, "memory"));
    assert_null(ka_node_find(root, "memory.curren"));
    assert_null(ka_node_find(NULL, "memory"));
    assert_null(ka_node_get(ka_node_find(root, "memory.current"), "x"));
}

static void
path_of_any_keys_splits_into_them(void **state)
{
    (void)state;
    static const char *const keys[] = {"disks", "a.b", "", "q\"\\", "*", "é", "x-y_1"};
    g_autofree char *path = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *longer = ka_path_append(path, keys[i]);
        g_free(path);
        path = g_steal_pointer(&longer);
    }
    g_auto(GStrv) split = ka_path_split(path);
    assert_int_equal(g_strv_length(split), G_N_ELEMENTS(keys));
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        assert_string_equal(split[i], keys[i]);
    g_autofree char *plain = ka_path_append("memory", "current");
    assert_string_equal(plain, "memory.current");
}

static void
node_copy_outlives_its_tree(void **state)
{
    (void)state;
    g_autoptr(KaTree) copies = ka_tree_new();
    KaTree *tree = ka_tree_new();
    KaNode *root = ka_node_new(tree, KA_NODE_MAP);
    ka_node_put(tree, root, "a.b", "text")->line = 7;
    KaNode *copy = ka_node_copy(copies, root);
    ka_tree_free(tree);
    assert_string_equal(ka_node_text(copy, "a.b"), "text");
    assert_int_equal(ka_node_find(copy, "a.b")->line, 7);
}

static void
node_remove_of_each_place_keeps_the_rest(void **state)
{
    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        g_autoptr(KaTree) tree = ka_tree_new();
        KaNode *list = ka_node_new(tree, KA_NODE_LIST), *items[3];
        for (int i = 0; i < 3; i++)
            items[i] = ka_node_append(tree, list, NULL, ka_node_new_scalar(tree, "x"));
        ka_node_remove(list, items[gone]);
        assert_int_equal(list->n_children, 2);
        KaNode *added = ka_node_append(tree, list, NULL, ka_node_new_scalar(tree, "y"));
        assert_ptr_equal(list->last, added);
        guint count = 0;
        for (const KaNode *item = list->first; item; item = item->next, count++)
            assert_ptr_not_equal(item, items[gone]);
        assert_int_equal(count, 3);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_alloc_of_any_size_is_zeroed_and_aligned),
        cmocka_unit_test(node_put_at_path_makes_the_maps),
        cmocka_unit_test(path_of_any_keys_splits_into_them),
        cmocka_unit_test(node_copy_outlives_its_tree),
        cmocka_unit_test(node_remove_of_each_place_keeps_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
