#include "tests/manifest/loading.h"

static void
assert_same(const KaNode *a, const KaNode *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n_children, b->n_children);
    if (a->key || b->key)
        assert_string_equal(a->key, b->key);
    if (a->type == KA_NODE_SCALAR)
        assert_string_equal(a->text, b->text);
    const KaNode *other = b->first;
    for (const KaNode *child = a->first; child; child = child->next, other = other->next)
        assert_same(child, other);
}

static void
assert_round_trip(const KaNode *node)
{
    g_autofree char *text = ka_emit(node);
    g_autoptr(Text) loaded = text_load(text);
    if (!loaded->loaded) {
        g_autofree char *messages = diagnostics_text(loaded->diagnostics);
        fail_msg("%s\n%s", messages, text);
    }
    assert_same(node, text_root(loaded));
}

static const char *const texts[] = {
    "",
    "~",
    "null",
    "NULL",
    "yes",
    "No",
    "on",
    "y",
    "true",
    "1",
    "-1",
    "1.10",
    "0755",
    "0x1f",
    "1e5",
    "1_000",
    "12:30:45",
    "2001-01-01",
    ".5",
    ".inf",
    ".NaN",
    "<<",
    "=",
    "- a",
    "-",
    "a: b",
    "a:",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "{a",
    "[a]",
    "a, b",
    "'a'",
    "\"a\"",
    "a\\b",
    " a",
    "a ",
    "\ta",
    "a\tb",
    "a\n",
    "\na",
    "a\nb",
    "a\nb\n",
    "a\n\n",
    "a\n\n\n",
    "\n",
    "\n\n",
    "a\n  b\n",
    " a\nb",
    "a\n\n\nb",
    "a \nb\n",
    "a\n\tb\n",
    "a\n \nb\n",
    "---",
    "--- a",
    "...",
    "? a",
    "a\r\nb",
    "\x1b[31m",
    "é",
    "\xc2\x85",
    "a\n\xe2\x80\xa8"
    "b",
    "\xef\xbb\xbf"
    "x",
    "\xf0\x9f\x98\x80",
    "2GiB",
    "/srv/vm",
    "10.0.0.1",
    "::1",
    "fe80::1/64",
    "52:54:00:12:34:56",
    "52:54:00:aa:bb:cc",
    "a\n---\nb\n",
    "a\n# b\n",
    "a\nb: c\n",
    "web-root",
    "k=v",
    "a\n...\n",
};

static void
emit_of_any_text_loads_as_the_same(void **state)
{
    (void)state;
    g_autoptr(KaTree) tree = ka_tree_new();
    KaNode *root = ka_node_new(tree, KA_NODE_MAP);
    KaNode *list = ka_node_append(tree, root, "list", ka_node_new(tree, KA_NODE_LIST));
    KaNode *deep = ka_node_append(tree, list, NULL, ka_node_new(tree, KA_NODE_LIST));
    KaNode *items = ka_node_append(tree, deep, NULL, ka_node_new(tree, KA_NODE_MAP));
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *key = g_strdup_printf("k%zu", i);
        ka_node_append(tree, root, key, ka_node_new_scalar(tree, texts[i]));
        ka_node_append(tree, root, texts[i], ka_node_new(tree, KA_NODE_NULL));
        ka_node_append(tree, list, NULL, ka_node_new_scalar(tree, texts[i]));
        ka_node_append(tree, items, texts[i], ka_node_new_scalar(tree, texts[i]));
        assert_round_trip(ka_node_new_scalar(tree, texts[i]));
    }
    ka_node_append(tree, items, "empty", ka_node_new(tree, KA_NODE_MAP));
    ka_node_append(tree, list, NULL, ka_node_new(tree, KA_NODE_LIST));
    assert_round_trip(root);
}

/* Every text of three of the characters that mean something in YAML. */
static void
emit_of_special_characters_loads_as_the_same(void **state)
{
    (void)state;
    static const char alphabet[] = " \n\t-:#a1'\"\\~,[&.";
    g_autoptr(KaTree) tree = ka_tree_new();
    KaNode *list = ka_node_new(tree, KA_NODE_LIST);
    for (const char *a = alphabet; *a; a++)
        for (const char *b = alphabet; *b; b++)
            for (const char *c = alphabet; *c; c++)
                ka_node_append(tree, list, NULL, ka_node_new_scalar(tree, (char[]){*a, *b, *c, 0}));
    assert_round_trip(list);
}

static void
emit_of_tree_is_plain_where_it_can_be(void **state)
{
    (void)state;
    static const char *const text = "guests:\n"
                                    "  web:\n"
                                    "    memory: 2GiB\n"
                                    "    title: \"yes\"\n"
                                    "    description: |-\n"
                                    "      one\n"
                                    "\n"
                                    "      two\n"
                                    "    mac: 52:54:00:aa:bb:cc\n"
                                    "    mode: \"0755\"\n"
                                    "    address: 10.0.0.1\n"
                                    "    none: ~\n"
                                    "    empty: {}\n"
                                    "    items:\n"
                                    "      - a\n"
                                    "      - b: c\n"
                                    "        d: e\n"
                                    "      - []\n"
                                    "      - - f\n"
                                    "        - g\n";
    g_autoptr(Text) loaded = text_load(text);
    g_autofree char *emitted = ka_emit(text_root(loaded));
    assert_string_equal(emitted, text);
}

static void
emit_of_checked_values_writes_them_as_a_user_does(void **state)
{
    (void)state;
    static const char *const text =
        "memory: {current: 2GiB}\nvcpus: {current: 2}\nautostart: yes\ntitle: no\n";
    g_autoptr(Text) loaded = text_load(text);
    KaNode *root = g_ptr_array_index(loaded->roots, 0);
    ka_check(loaded->tree, root, ka_kind_rows(ka_kind_find("guest")), loaded->diagnostics);
    assert_int_equal(loaded->diagnostics->n_errors, 0);
    assert_string_equal(ka_node_text(root, "memory.current"), "2097152");
    g_autofree char *emitted = ka_emit(root);
    assert_string_equal(
        emitted,
        "memory:\n  current: 2GiB\nvcpus:\n  current: 2\nautostart: true\ntitle: \"no\"\n");
}

static void
emit_of_secret_writes_where_to_give_it(void **state)
{
    (void)state;
    g_autoptr(KaTree) tree = ka_tree_new();
    KaNode *root = ka_node_new(tree, KA_NODE_MAP);
    ka_node_put(tree, root, "auth.pass-word", "hunter2")->secret = 1;
    g_autofree char *emitted = ka_emit(root);
    assert_string_equal(emitted, "auth:\n  pass-word: {env: PASS_WORD}\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emit_of_any_text_loads_as_the_same),
        cmocka_unit_test(emit_of_special_characters_loads_as_the_same),
        cmocka_unit_test(emit_of_tree_is_plain_where_it_can_be),
        cmocka_unit_test(emit_of_checked_values_writes_them_as_a_user_does),
        cmocka_unit_test(emit_of_secret_writes_where_to_give_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
