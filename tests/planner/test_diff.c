#include "planner/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A small kind of our own: the diff knows rows only. */
static const KaField fields[] = {
    {"title",          &ka_line,     "title",       NULL,    NULL,     NULL, KA_LIVE,  "Title."  },
    {"machine",        &ka_word,     "os/@machine", NULL,    "q35",    NULL, KA_ONCE,  "Machine."},
    {"memory",         &ka_map,      NULL,          NULL,    NULL,     NULL, KA_LIVE,  "Memory." },
    {"memory.current", &ka_kib,      "current",     NULL,    NULL,     NULL, KA_GUEST, "Now."    },
    {"memory.maximum", &ka_kib,      "memory",      NULL,    NULL,     NULL, KA_BOOT,  "Most."   },
    {"acpi",           &ka_presence, "acpi",        NULL,    "yes",    NULL, KA_BOOT,  "ACPI."   },
    {"nics",           &ka_map,      NULL,          NULL,    NULL,     NULL, KA_LIVE,  "Nics."   },
    {"nics.*",         &ka_map,      "nic",         "@name", NULL,     NULL, KA_LIVE,  "A nic."  },
    {"nics.*.model",   &ka_word,     "model/@type", NULL,    "virtio", NULL, KA_BOOT,  "Model."  },
    {"nics.*.network", &ka_name,     "source/@net", NULL,    NULL,     NULL, KA_LIVE,  "Net."    },
    {"forwarders",     &ka_list,     NULL,          NULL,    NULL,     NULL, KA_LIVE,  "DNS."    },
    {"forwarders[]",   &ka_address,  "fwd/@addr",   NULL,    NULL,     NULL, KA_LIVE,  "One."    },
};
static const KaTable table = {"thing", "things", "thing", "A thing.", fields, G_N_ELEMENTS(fields)};
static const KaKind kind = {&table, NULL};

typedef struct {
    KaRows *rows;
    KaTree *want;
    KaObject object;
    KaAction *action;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->rows = ka_rows_new(&table);
    f->want = ka_tree_new();
    f->want->root = ka_node_new(f->want, KA_NODE_MAP);
    f->object.kind = &kind;
    f->object.node = f->want->root;
    f->action = ka_action_new(KA_CHANGE, &kind, "x", NULL);
    f->action->object = &f->object;
    f->action->actual = ka_actual_new("x");
    f->action->actual->record = ka_record_new("p", "u");
    f->action->actual->config = ka_tree_new();
    f->action->actual->config->root = ka_node_new(f->action->actual->config, KA_NODE_MAP);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;
    ka_action_free(f->action);
    ka_tree_free(f->want);
    ka_rows_free(f->rows);
    g_free(f);
    return 0;
}

static void
want(Fixture *f, const char *path, const char *text)
{
    ka_node_put(f->want, f->want->root, path, text);
}

static void
has(Fixture *f, const char *path, const char *text)
{
    ka_node_put(f->action->actual->config, f->action->actual->config->root, path, text);
}

static void
owned(Fixture *f, const char *path)
{
    g_hash_table_insert(f->action->actual->record->owned, g_strdup(path), NULL);
}

/* The guest runs; what it runs with starts as a copy of its definition. */
static void
run(Fixture *f)
{
    KaActual *actual = f->action->actual;
    actual->active = TRUE;
    actual->live = ka_tree_new();
    actual->live->root = ka_node_copy(actual->live, actual->config->root);
}

static void
lives(Fixture *f, const char *path, const char *text)
{
    KaNode *node = ka_node_find(f->action->actual->live->root, path);
    node->text = ka_tree_strdup(f->action->actual->live, text);
}

static KaChange *
only_change(Fixture *f)
{
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 1);
    return g_ptr_array_index(f->action->changes, 0);
}

static void
diff_equal_values_is_empty(void **state)
{
    Fixture *f = *state;
    want(f, "memory.current", "65536");
    has(f, "memory.current", "65536");
    has(f, "title", "not declared");
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 0);
}

static void
diff_leaf_differs_is_change_with_both_values(void **state)
{
    Fixture *f = *state;
    want(f, "title", "new");
    has(f, "title", "old");
    KaChange *change = only_change(f);
    assert_string_equal(change->path, "title");
    assert_string_equal(change->from->text, "old");
    assert_string_equal(change->to->text, "new");
    assert_false(change->pending);
}

static void
diff_once_differs_is_note(void **state)
{
    Fixture *f = *state;
    want(f, "machine", "pc");
    has(f, "machine", "q35");
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 0);
    assert_int_equal(f->action->notes->len, 1);
}

static void
diff_boot_row_staged_is_pending(void **state)
{
    Fixture *f = *state;
    want(f, "memory.maximum", "2048");
    has(f, "memory.maximum", "2048");
    run(f);
    lives(f, "memory.maximum", "1024");
    KaChange *change = only_change(f);
    assert_true(change->pending);
    assert_string_equal(change->from->text, "1024");
}

static void
diff_live_row_drifted_live_is_change(void **state)
{
    Fixture *f = *state;
    want(f, "title", "a");
    has(f, "title", "a");
    run(f);
    lives(f, "title", "b");
    assert_false(only_change(f)->pending);
}

static void
diff_guest_row_that_did_not_follow_is_pending(void **state)
{
    Fixture *f = *state;
    want(f, "memory.current", "1024");
    has(f, "memory.current", "1024");
    run(f);
    lives(f, "memory.current", "2048");
    assert_true(only_change(f)->pending);
}

static void
diff_inactive_object_changes_at_once(void **state)
{
    Fixture *f = *state;
    want(f, "memory.maximum", "2048");
    has(f, "memory.maximum", "1024");
    assert_int_equal(only_change(f)->way, KA_LIVE);
}

static void
diff_active_object_keeps_rows_way(void **state)
{
    Fixture *f = *state;
    want(f, "memory.maximum", "2048");
    has(f, "memory.maximum", "1024");
    run(f);
    assert_int_equal(only_change(f)->way, KA_BOOT);
}

static void
diff_released_leaf_takes_fresh_value(void **state)
{
    Fixture *f = *state;
    owned(f, "acpi");
    has(f, "acpi", "no");
    KaChange *change = only_change(f);
    assert_true(change->released);
    assert_string_equal(change->to->text, "yes");
}

static void
diff_released_leaf_without_fresh_goes(void **state)
{
    Fixture *f = *state;
    owned(f, "title");
    has(f, "title", "x");
    KaChange *change = only_change(f);
    assert_true(change->released);
    assert_null(change->to);
}

static void
diff_released_leaf_that_is_fresh_leaves_the_record(void **state)
{
    Fixture *f = *state;
    owned(f, "acpi");
    has(f, "acpi", "yes");
    KaChange *change = only_change(f);
    assert_true(change->released);
    assert_string_equal(change->from->text, change->to->text);
}

static void
diff_new_item_is_one_change(void **state)
{
    Fixture *f = *state;
    want(f, "nics.lan.network", "lan");
    KaChange *change = only_change(f);
    assert_string_equal(change->path, "nics.lan");
    assert_null(change->from);
    assert_string_equal(ka_node_text(change->to, "network"), "lan");
}

static void
diff_released_item_goes_whole(void **state)
{
    Fixture *f = *state;
    owned(f, "nics.old");
    owned(f, "nics.old.network");
    has(f, "nics.old.network", "lan");
    KaChange *change = only_change(f);
    assert_string_equal(change->path, "nics.old");
    assert_null(change->to);
    assert_true(change->released);
}

static void
diff_item_gone_but_still_live_is_pending(void **state)
{
    Fixture *f = *state;
    owned(f, "nics.old");
    has(f, "nics.old.network", "lan");
    run(f);
    ka_node_remove(f->action->actual->config->root,
                   ka_node_get(f->action->actual->config->root, "nics"));
    KaChange *change = only_change(f);
    assert_true(change->pending);
    assert_null(change->to);
}

static void
diff_undeclared_item_is_left_alone(void **state)
{
    Fixture *f = *state;
    has(f, "nics.other.network", "lan");
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 0);
}

static void
diff_fresh_node_is_ignored_on_an_existing_item(void **state)
{
    Fixture *f = *state;
    want(f, "nics.lan.network", "lan");
    ka_node_put(f->want, f->want->root, "nics.lan.model", "virtio")->fresh = 1;
    has(f, "nics.lan.network", "lan");
    has(f, "nics.lan.model", "e1000");
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 0);
}

static void
diff_null_leaf_is_declared_absent(void **state)
{
    Fixture *f = *state;
    KaNode *null = ka_node_new(f->want, KA_NODE_NULL);
    ka_node_append(f->want, f->want->root, "title", null);
    has(f, "title", "x");
    KaChange *change = only_change(f);
    assert_string_equal(change->path, "title");
    assert_true(!change->to || change->to->type == KA_NODE_NULL);
}

static void
put_list(KaTree *tree, const char *const *items)
{
    KaNode *list = ka_node_append(tree, tree->root, "forwarders", ka_node_new(tree, KA_NODE_LIST));
    for (; *items; items++)
        ka_node_append(tree, list, NULL, ka_node_new_scalar(tree, *items));
}

static void
diff_lists_compare_in_order(void **state)
{
    Fixture *f = *state;
    put_list(f->want, (const char *const[]){"10.0.0.1", "10.0.0.2", NULL});
    put_list(f->action->actual->config, (const char *const[]){"10.0.0.2", "10.0.0.1", NULL});
    assert_string_equal(only_change(f)->path, "forwarders");
}

static void
diff_equal_lists_is_empty(void **state)
{
    Fixture *f = *state;
    put_list(f->want, (const char *const[]){"10.0.0.1", NULL});
    put_list(f->action->actual->config, (const char *const[]){"10.0.0.1", NULL});
    ka_diff(f->action, f->rows);
    assert_int_equal(f->action->changes->len, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(diff_equal_values_is_empty),
        CASE(diff_leaf_differs_is_change_with_both_values),
        CASE(diff_once_differs_is_note),
        CASE(diff_boot_row_staged_is_pending),
        CASE(diff_live_row_drifted_live_is_change),
        CASE(diff_guest_row_that_did_not_follow_is_pending),
        CASE(diff_inactive_object_changes_at_once),
        CASE(diff_active_object_keeps_rows_way),
        CASE(diff_released_leaf_takes_fresh_value),
        CASE(diff_released_leaf_without_fresh_goes),
        CASE(diff_released_leaf_that_is_fresh_leaves_the_record),
        CASE(diff_new_item_is_one_change),
        CASE(diff_released_item_goes_whole),
        CASE(diff_item_gone_but_still_live_is_pending),
        CASE(diff_undeclared_item_is_left_alone),
        CASE(diff_fresh_node_is_ignored_on_an_existing_item),
        CASE(diff_null_leaf_is_declared_absent),
        CASE(diff_lists_compare_in_order),
        CASE(diff_equal_lists_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
