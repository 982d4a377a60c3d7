#include "planner/graph.h"
#include "planner/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Drivers that note what was asked of them; they come in through the interface. */
static GPtrArray *done;
static const char *fails;
static GCancellable *cancel_at_first;
static GMutex guard;
static gint at_once, most_at_once;

static gboolean
act(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    (void)host;
    (void)progress;
    gint now = g_atomic_int_add(&at_once, 1) + 1;
    g_mutex_lock(&guard);
    most_at_once = MAX(most_at_once, now);
    g_ptr_array_add(done, g_strdup(action->name));
    g_mutex_unlock(&guard);
    if (cancel_at_first)
        g_cancellable_cancel(cancel_at_first);
    g_usleep(2000);
    g_atomic_int_add(&at_once, -1);
    if (g_strcmp0(fails, action->name) == 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_LIBVIRT, "said no");
        return FALSE;
    }
    return TRUE;
}

static const KaDriver pool_driver = {.kind = "pool", .create = act, .change = act, .remove = act};
static const KaDriver disk_driver = {.kind = "disk", .create = act, .change = act, .remove = act};
static const KaDriver guest_driver = {.kind = "guest", .create = act, .change = act, .remove = act};
static const KaDriver *const drivers_list[] = {&pool_driver, &disk_driver, &guest_driver};

typedef struct {
    KaDrivers drivers;
    KaHost host;
    KaHostPlan host_plan;
    KaPlan plan;
    KaObject objects[16];
    guint n_objects;
    GMutex lock;
    KaProgress progress;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    done = g_ptr_array_new_with_free_func(g_free);
    fails = NULL;
    cancel_at_first = NULL;
    most_at_once = 0;
    f->drivers = (KaDrivers){drivers_list, G_N_ELEMENTS(drivers_list), NULL, NULL};
    f->host.name = "here";
    f->host_plan.host = &f->host;
    f->host_plan.actions = g_ptr_array_new_with_free_func((GDestroyNotify)ka_action_free);
    f->plan.drivers = &f->drivers;
    f->plan.hosts = g_ptr_array_new();
    g_ptr_array_add(f->plan.hosts, &f->host_plan);
    g_mutex_init(&f->lock);
    f->progress.cancel = g_cancellable_new();
    f->progress.lock = &f->lock;
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;
    for (guint i = 0; i < f->n_objects; i++)
        g_ptr_array_unref(f->objects[i].needs);
    g_ptr_array_unref(f->host_plan.actions);
    g_ptr_array_unref(f->plan.hosts);
    g_object_unref(f->progress.cancel);
    g_mutex_clear(&f->lock);
    g_ptr_array_unref(done);
    g_free(f);
    return 0;
}

static KaAction *
add(Fixture *f, KaVerb verb, const char *kind, const char *name, KaAction *needs)
{
    KaAction *action = ka_action_new(verb, ka_kind_find(kind), name, &f->host);
    KaObject *object = &f->objects[f->n_objects++];
    object->kind = action->kind;
    object->name = action->name;
    object->needs = g_ptr_array_new();
    if (needs)
        g_ptr_array_add(object->needs, ka_borrow(needs->object));
    action->object = object;
    g_ptr_array_add(f->host_plan.actions, action);
    return action;
}

static guint
place(const char *name)
{
    for (guint i = 0; i < done->len; i++) {
        if (g_str_equal(g_ptr_array_index(done, i), name))
            return i;
    }
    fail_msg("'%s' wasn't done", name);
    return 0;
}

static void
execute_creations_follow_what_they_need(void **state)
{
    Fixture *f = *state;
    KaAction *guest = add(f, KA_CREATE, "guest", "web", NULL);
    KaAction *disk = add(f, KA_CREATE, "disk", "root", NULL);
    KaAction *pool = add(f, KA_CREATE, "pool", "fast", NULL);
    g_ptr_array_add(guest->object->needs, ka_borrow(disk->object));
    g_ptr_array_add(disk->object->needs, ka_borrow(pool->object));
    assert_true(ka_graph_order(f->host_plan.actions, NULL));
    assert_true(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(place("fast"), 0);
    assert_int_equal(place("root"), 1);
    assert_int_equal(place("web"), 2);
}

static void
execute_removals_go_the_other_way(void **state)
{
    Fixture *f = *state;
    KaAction *pool = add(f, KA_REMOVE, "pool", "fast", NULL);
    KaAction *disk = add(f, KA_REMOVE, "disk", "root", pool);
    add(f, KA_REMOVE, "guest", "web", disk);
    assert_true(ka_graph_order(f->host_plan.actions, NULL));
    assert_true(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(place("web"), 0);
    assert_int_equal(place("fast"), 2);
}

static void
execute_failure_skips_dependents_and_goes_on(void **state)
{
    Fixture *f = *state;
    KaAction *disk = add(f, KA_CREATE, "disk", "root", NULL);
    KaAction *web = add(f, KA_CREATE, "guest", "web", disk);
    KaAction *other = add(f, KA_CREATE, "guest", "other", NULL);
    fails = "root";
    assert_true(ka_graph_order(f->host_plan.actions, NULL));
    assert_false(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(disk->outcome, KA_FAILED);
    assert_int_equal(web->outcome, KA_SKIPPED);
    assert_int_equal(other->outcome, KA_DONE);
    assert_non_null(strstr(web->error->message, "disk/root"));
}

static void
execute_cancelled_skips_what_has_not_begun(void **state)
{
    Fixture *f = *state;
    KaAction *disk = add(f, KA_CREATE, "disk", "root", NULL);
    KaAction *web = add(f, KA_CREATE, "guest", "web", disk);
    cancel_at_first = f->progress.cancel;
    assert_true(ka_graph_order(f->host_plan.actions, NULL));
    assert_false(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(disk->outcome, KA_DONE);
    assert_int_equal(web->outcome, KA_SKIPPED);
}

static void
execute_restarts_go_one_at_a_time(void **state)
{
    Fixture *f = *state;
    const char *names[] = {"a", "b", "c", "d"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        add(f, KA_CHANGE, "guest", names[i], NULL)->restart = TRUE;
    assert_true(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(done->len, 4);
    assert_int_equal(most_at_once, 1);
}

static void
execute_independent_actions_run_side_by_side(void **state)
{
    Fixture *f = *state;
    const char *names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        add(f, KA_CREATE, "guest", names[i], NULL);
    assert_true(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_in_range(most_at_once, 2, 5);
}

static void
execute_left_over_is_not_touched(void **state)
{
    Fixture *f = *state;
    add(f, KA_REMOVE, "guest", "old", NULL)->left_over = TRUE;
    assert_true(ka_plan_execute(&f->plan, &f->progress, 1));
    assert_int_equal(done->len, 0);
}

static void
graph_cycle_is_an_error_that_names_it(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    KaAction *a = add(f, KA_CREATE, "disk", "a", NULL);
    KaAction *b = add(f, KA_CREATE, "disk", "b", a);
    g_ptr_array_add(a->object->needs, ka_borrow(b->object));
    assert_false(ka_graph_order(f->host_plan.actions, &error));
    assert_non_null(strstr(error->message, "disk/a"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(execute_creations_follow_what_they_need),
        CASE(execute_removals_go_the_other_way),
        CASE(execute_failure_skips_dependents_and_goes_on),
        CASE(execute_cancelled_skips_what_has_not_begun),
        CASE(execute_restarts_go_one_at_a_time),
        CASE(execute_independent_actions_run_side_by_side),
        CASE(execute_left_over_is_not_touched),
        CASE(graph_cycle_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
