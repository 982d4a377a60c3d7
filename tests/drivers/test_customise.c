#include "drivers/customise.h"
#include "tests/manifest/loading.h"

/* What isn't done inside the image, or not by a step. */
static const char *const elsewhere[] = {"source",   "luks-key", "format", "size",
                                        "compress", "network",  "scrub"};

static int
index_of(const char *key, gboolean last)
{
    for (gsize i = 0; i < ka_n_steps; i++) {
        if (g_str_equal(ka_steps[i].key, key) && ka_steps[i].last == last)
            return (int)i;
    }
    fail_msg("no step '%s'", key);
    return -1;
}

static void
steps_have_every_key_of_the_recipe(G_GNUC_UNUSED void **state)
{
    const KaRows *rows = ka_kind_rows(ka_kind_find("image"));

    for (const KaRows *row = rows->first; row; row = row->next) {
        gboolean found = FALSE;

        for (gsize i = 0; i < ka_n_steps; i++)
            found |= g_str_equal(ka_steps[i].key, row->segment);
        for (gsize i = 0; i < G_N_ELEMENTS(elsewhere); i++)
            found |= g_str_equal(elsewhere[i], row->segment);
        if (!found)
            fail_msg("'%s' is declared, but nothing does it", row->segment);
    }
    for (gsize i = 0; i < ka_n_steps; i++)
        assert_non_null(ka_rows_find(rows, ka_steps[i].key));
}

static void
steps_come_in_an_order_that_works(G_GNUC_UNUSED void **state)
{
    static const char *const order[] = {"update", "install", "install-files", "users",
                                        "files",  "run",     "services",      "kernel-args"};

    for (gsize i = 1; i < G_N_ELEMENTS(order); i++)
        assert_true(index_of(order[i - 1], FALSE) < index_of(order[i], FALSE));
    assert_true(index_of("selinux-relabel", TRUE) == (int)ka_n_steps - 1);
    /* A scrub would take these out again. */
    index_of("hostname", TRUE);
    index_of("ssh-keys", TRUE);
    index_of("users", TRUE);
    for (gsize i = 1; i < ka_n_steps; i++)
        assert_true(ka_steps[i - 1].last <= ka_steps[i].last);
}

static gboolean
wants_network(const char *map)
{
    g_autofree char *text =
        g_strdup_printf("images: {a: {source: {path: a.raw}%s%s}}\n", *map ? ", " : "", map);
    g_autoptr(Loaded) loaded = loaded_text(text);

    assert_int_equal(loaded->diagnostics->n_errors, 0);
    return ka_customise_wants_network(loaded_find(loaded, "image", "a"));
}

static void
network_is_on_only_where_something_needs_it(G_GNUC_UNUSED void **state)
{
    assert_false(wants_network(""));
    assert_false(wants_network("hostname: a, scrub: true"));
    assert_false(wants_network("update: false, install: []"));
    assert_true(wants_network("install: [vim]"));
    assert_true(wants_network("update: true"));
    assert_true(wants_network("run: [{command: x}]"));
    assert_false(wants_network("run: [{command: x}], network: false"));
    assert_true(wants_network("network: true"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_have_every_key_of_the_recipe),
        cmocka_unit_test(steps_come_in_an_order_that_works),
        cmocka_unit_test(network_is_on_only_where_something_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
