#include "tests/manifest/loading.h"

static char *
messages_of(const char *text)
{
    g_autoptr(Text) loaded = text_load(text);
    assert_false(loaded->loaded);
    return diagnostics_text(loaded->diagnostics);
}

static void
load_map_keeps_places_and_texts(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load("a: no\nb:\n  - é: 0755\n    f: \"~\"\n  - ~\n  -\n");
    assert_true(text->loaded);
    const KaNode *root = text_root(text);
    assert_string_equal(ka_node_text(root, "a"), "no");
    const KaNode *b = ka_node_get(root, "b");
    assert_int_equal(b->type, KA_NODE_LIST);
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 1);
    const KaNode *mode = ka_node_get(b->first, "é");
    assert_string_equal(mode->text, "0755");
    assert_int_equal(mode->line, 3);
    assert_int_equal(mode->column, 8);
    assert_int_equal(mode->key_column, 5);
    assert_string_equal(ka_node_text(b->first, "f"), "~");
    assert_int_equal(b->first->next->type, KA_NODE_NULL);
    assert_int_equal(b->last->type, KA_NODE_NULL);
}

static void
load_several_documents_gives_a_root_each(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load("a: 1\n---\n# nothing\n---\nb: &x 2\n...\n---\nc: 3\n");
    assert_true(text->loaded);
    assert_int_equal(text->roots->len, 3);
}

static void
load_of_nothing_gives_no_root(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# only\n", "\n\n", "---\n", "\xef\xbb\xbf"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Text) text = text_load(texts[i]);
        assert_true(text->loaded);
        assert_int_equal(text->roots->len, 0);
    }
}

static void
load_merge_key_yields_to_explicit_keys(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load("x: &x {p: 1, q: 2}\n"
                                     "y: &y {q: 3, r: {s: 4}}\n"
                                     "a:\n  q: 9\n  <<: [*x, *y]\n"
                                     "b:\n  <<: *y\n  r: 5\n"
                                     "c:\n  <<: {t: 6}\n"
                                     "d: {\"<<\": 7}\n");
    assert_true(text->loaded);
    const KaNode *root = text_root(text);
    assert_string_equal(ka_node_text(root, "a.q"), "9");
    assert_string_equal(ka_node_text(root, "a.p"), "1");
    assert_string_equal(ka_node_text(root, "a.r.s"), "4");
    assert_int_equal(ka_node_get(root, "a")->n_children, 3);
    assert_string_equal(ka_node_text(root, "b.r"), "5");
    assert_string_equal(ka_node_text(root, "b.q"), "3");
    assert_string_equal(ka_node_text(root, "c.t"), "6");
    assert_string_equal(ka_node_text(root, "d.\"<<\""), "7");
}

static void
load_merge_of_no_map_is_refused(void **state)
{
    (void)state;
    g_autofree char *scalar = messages_of("a:\n  <<: 1\n");
    assert_contains(scalar, "a.yaml:2:3: error: '<<' wants a map or a list of maps");
    g_autofree char *twice = messages_of("x: &x {}\na:\n  <<: *x\n  <<: *x\n");
    assert_contains(twice, "a.yaml:4:3: error: '<<' stands twice in one map, first at a.yaml:3:3");
}

static void
load_alias_is_a_copy_of_its_own(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load("a: &a {b: 1}\nc: *a\nd: [*a]\n*k : 1\n");
    assert_false(text->loaded);
    g_autoptr(Text) good = text_load("a: &a {b: 1}\nk: &k e\nc: *a\n*k : 2\n");
    const KaNode *root = text_root(good);
    assert_ptr_not_equal(ka_node_get(root, "a"), ka_node_get(root, "c"));
    assert_string_equal(ka_node_text(root, "c.b"), "1");
    assert_string_equal(ka_node_text(root, "e"), "2");
    assert_int_equal(ka_node_get(root, "c")->line, 3);
    assert_int_equal(ka_node_find(root, "c.b")->line, 1);
}

static void
load_duplicate_keys_are_all_named_with_both_places(void **state)
{
    (void)state;
    GString *text = g_string_new("m:\n");
    for (int i = 0; i < 30; i++)
        g_string_append_printf(text, "  k%d: 1\n", i);
    g_string_append(text, "  k3: 2\n  k29: 2\nn: {a: 1, a: 2}\n");
    g_autofree char *messages = messages_of(text->str);
    assert_contains(messages,
                    "a.yaml:32:3: error: 'k3' stands twice in one map, first at a.yaml:5:3");
    assert_contains(messages,
                    "a.yaml:33:3: error: 'k29' stands twice in one map, first at a.yaml:31:3");
    assert_contains(messages,
                    "a.yaml:34:11: error: 'a' stands twice in one map, first at a.yaml:34:5");
    g_string_free(text, TRUE);
}

/* Twenty levels of ten aliases each would be 10^20 values. */
static void
load_billion_laughs_stays_within_its_bound(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        g_string_append_printf(text, "l%d: &l%d [", i, i);
        for (int j = 0; j < 10; j++)
            g_string_append_printf(text, "%s*l%d", j ? ", " : "", i - 1);
        g_string_append(text, "]\n");
    }
    g_autoptr(Text) loaded = text_load(text->str);
    assert_false(loaded->loaded);
    g_autofree char *messages = diagnostics_text(loaded->diagnostics);
    assert_contains(messages, "aliases make more than 10");
    /* 100,000 copies and 20 for each of the few written values, no more than 100 bytes each. */
    assert_true(ka_tree_size(loaded->tree) < 105000 * 100);
}

/* A long text costs whoever reads the copies, even if these share its memory. */
static void
load_many_aliases_of_a_long_text_are_refused(void **state)
{
    (void)state;
    g_autofree char *word = g_strnfill(1000000, 'x');
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "a: &a %s\nb:\n", word);
    for (int i = 0; i < 100; i++)
        g_string_append(text, "- *a\n");
    g_autofree char *messages = messages_of(text->str);
    assert_contains(messages, "aliases make more than");
}

static void
load_many_aliases_of_a_small_map_are_fine(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new("x: &x {a: 1, b: 2, c: {d: 4, e: 5}}\nm:\n");
    for (int i = 0; i < 20000; i++)
        g_string_append_printf(text, "  k%d: {<<: *x, f: 6}\n", i);
    g_autoptr(Text) loaded = text_load(text->str);
    assert_true(loaded->loaded);
    assert_string_equal(ka_node_text(text_root(loaded), "m.k19999.c.e"), "5");
}

static void
load_too_deep_is_refused_also_through_aliases(void **state)
{
    (void)state;
    g_autofree char *open = g_strnfill(65, '['), *fine = g_strnfill(64, '[');
    g_autofree char *messages = messages_of(open);
    assert_contains(messages, "a.yaml:1:65: error: nested deeper than 64 levels");
    g_autofree char *close = g_strnfill(64, ']');
    g_autofree char *both = g_strconcat(fine, close, NULL);
    g_autoptr(Text) text = text_load(both);
    assert_true(text->loaded);
    g_autofree char *twice =
        g_strconcat("- &a ", fine + 24, close + 24, "\n- ", fine + 24, "*a", close + 24, NULL);
    g_autofree char *aliased = messages_of(twice);
    assert_contains(aliased, "alias '*a' nests deeper than 64 levels");
}

static void
load_wrong_alias_says_what_is_wrong(void **state)
{
    (void)state;
    g_autofree char *unknown = messages_of("a: *foo\n");
    assert_contains(unknown, "a.yaml:1:4: error: alias '*foo' names nothing");
    g_autofree char *within = messages_of("a: &a {b: [*a]}\n");
    assert_contains(within, "alias '*a' stands within '&a' itself");
    g_autofree char *other = messages_of("a: &a 1\n---\nb: *a\n");
    assert_contains(other, "a.yaml:3:4: error: alias '*a' names nothing");
}

static void
load_bad_text_says_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a:\n\tb: 1\n",
         "a.yaml:2:1: error: a tab can't indent in YAML: use spaces\n  \tb: 1\n  ^"    },
        {"a: b: c\n",           "a.yaml:1:5: error: a ':' can't stand here"            },
        {"a:\n  b: 1\n c: 2\n", "a.yaml:3:2: error: expected a key here"               },
        {"a: {b: 1\nc: 2\n",    "a.yaml:2:2: error: expected ',' or '}': a '{' is still open (in the "
                             "map that begins at line 1)"  },
        {"a: \"x\n",            "quotes that are still open"                           },
        {"a: 1\nb\nc: 2\n",     "expected 'key: value', but no ':' follows this key"   },
        {"a: @b\n",             "a.yaml:1:4: error: this character can't begin a value"},
        {"a: !env X\n",         "a.yaml:1:4: error: tag '!env' has no meaning here"    },
        {"a: \xc3\xa9\xff\n",   "a.yaml:1:5: error: not UTF-8 text"                    },
        {"\xff\xfe"
         "a",          "a.yaml:1:1: error: not UTF-8 text"                    },
        {"a: x\x01y\n",         "a.yaml:1:5: error: a control character (U+0001)"      },
        {"a: \"x\\0y\"\n",      "a.yaml:1:4: error: a text can't hold a NUL character" },
        {"? [a]\n: 1\n",        "a.yaml:1:3: error: a key must be a text"              },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *messages = messages_of(cases[i].text);
        assert_contains(messages, cases[i].message);
    }
}

static void
load_nul_byte_is_refused(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load_sized("a: 1\nb: x\0y\n", 12);
    assert_false(text->loaded);
    g_autofree char *messages = diagnostics_text(text->diagnostics);
    assert_contains(messages, "a.yaml:2:5: error: a NUL byte");
}

static void
load_broken_text_gives_no_root_at_all(void **state)
{
    (void)state;
    g_autoptr(Text) text = text_load("a: 1\n---\nb: [\n");
    assert_false(text->loaded);
    assert_int_equal(text->roots->len, 0);
}

static void
load_too_large_text_is_refused_unread(void **state)
{
    (void)state;
    gsize length = 64 * 1024 * 1024 + 1;
    g_autofree char *large = g_strnfill(length, '\n');
    g_autoptr(Text) text = text_load_sized(large, length);
    assert_false(text->loaded);
    g_autofree char *messages = diagnostics_text(text->diagnostics);
    assert_string_equal(messages, "a.yaml: error: larger than 64 MiB\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_map_keeps_places_and_texts),
        cmocka_unit_test(load_several_documents_gives_a_root_each),
        cmocka_unit_test(load_of_nothing_gives_no_root),
        cmocka_unit_test(load_merge_key_yields_to_explicit_keys),
        cmocka_unit_test(load_merge_of_no_map_is_refused),
        cmocka_unit_test(load_alias_is_a_copy_of_its_own),
        cmocka_unit_test(load_duplicate_keys_are_all_named_with_both_places),
        cmocka_unit_test(load_billion_laughs_stays_within_its_bound),
        cmocka_unit_test(load_many_aliases_of_a_long_text_are_refused),
        cmocka_unit_test(load_many_aliases_of_a_small_map_are_fine),
        cmocka_unit_test(load_too_deep_is_refused_also_through_aliases),
        cmocka_unit_test(load_wrong_alias_says_what_is_wrong),
        cmocka_unit_test(load_bad_text_says_what_and_where),
        cmocka_unit_test(load_nul_byte_is_refused),
        cmocka_unit_test(load_broken_text_gives_no_root_at_all),
        cmocka_unit_test(load_too_large_text_is_refused_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
