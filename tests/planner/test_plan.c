#include "planner/plan.h"
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Hosts that hold what a test puts there: fakes through the driver interface, so that every
 * constellation can be had. The real drivers are tested against a real libvirt in tests/lab. */
typedef struct {
    const char *host;
    const char *kind;
    const char *name;
    const char *project; /* NULL: no record */
    const char *title;
    gboolean protect;
    const char *unknown;
} Thing;

static const Thing *things;
static gsize n_things;
static const char *down; /* name of the host that can't be reached */

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    (void)error;
    for (gsize i = 0; i < n_things; i++) {
        const Thing *thing = &things[i];
        if (!g_str_equal(thing->host, host->name) ||
            !g_str_equal(thing->kind, wanted->kind->table->kind))
            continue;
        KaActual *actual = ka_actual_new(thing->name);
        actual->config = ka_tree_new();
        actual->config->root = ka_node_new(actual->config, KA_NODE_MAP);
        if (thing->title)
            ka_node_put(actual->config, actual->config->root, "title", thing->title);
        if (thing->project) {
            actual->record = ka_record_new(thing->project, "uuid");
            actual->record->protect = thing->protect;
        }
        actual->unknown = g_strdup(thing->unknown);
        found(actual, data);
    }
    return TRUE;
}

static void
connect_host(KaHost *host, guint timeout_seconds)
{
    (void)timeout_seconds;
    host->memory_kib = 1024 * 1024;
    if (g_strcmp0(down, host->name) == 0)
        host->error = g_error_new(KA_HOST_ERROR, KA_HOST_ERROR_UNREACHABLE, "no route");
}

static void
disconnect_host(KaHost *host)
{
    (void)host;
}

static const KaDriver network_driver = {.kind = "network", .observe = observe};
static const KaDriver guest_driver = {.kind = "guest", .observe = observe};
static const KaDriver *const drivers_list[] = {&network_driver, &guest_driver};
static const KaDrivers drivers = {drivers_list, G_N_ELEMENTS(drivers_list), connect_host,
                                  disconnect_host};

static const char one_host[] = "project: shop\n"
                               "guests:\n"
                               "  web: {title: shop, vcpus: 1, memory: 64MiB}\n";
static const char two_hosts[] = "project: shop\n"
                                "hosts:\n"
                                "  kvm1: {uri: 'test:///a'}\n"
                                "  kvm2: {uri: 'test:///b'}\n"
                                "guests:\n"
                                "  web: {host: kvm1, title: shop, vcpus: 1, memory: 64MiB}\n"
                                "  db: {host: kvm2, title: shop, vcpus: 1, memory: 64MiB}\n";

typedef struct {
    KaManifest *manifest;
    KaPlanOptions options;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->options.timeout_seconds = 5;
    things = NULL;
    n_things = 0;
    down = NULL;
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;
    ka_manifest_free(f->manifest);
    g_free(f);
    return 0;
}

static KaPlan *
plan(Fixture *f, const char *yaml, const Thing *there, gsize n_there)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autofree char *path = NULL;
    int file = g_file_open_tmp("kvmapply-XXXXXX.yaml", &path, NULL);
    const char *const paths[] = {path, NULL};

    close(file);
    assert_true(g_file_set_contents(path, yaml, -1, NULL));
    f->manifest = ka_manifest_load(paths, "test:///default", diagnostics);
    g_unlink(path);
    assert_non_null(f->manifest);
    things = there;
    n_things = n_there;
    KaPlan *made = ka_plan_new(f->manifest, &drivers, &f->options, &error);
    if (error)
        fail_msg("%s", error->message);
    return made;
}
#define PLAN(f, yaml, ...)                                                                         \
    plan(f, yaml, (const Thing[]){__VA_ARGS__}, G_N_ELEMENTS(((const Thing[]){__VA_ARGS__})))

static KaAction *
action(const KaPlan *made, guint host, guint i)
{
    const KaHostPlan *host_plan = g_ptr_array_index(made->hosts, host);
    assert_true(i < host_plan->actions->len);
    return g_ptr_array_index(host_plan->actions, i);
}

static void
assert_refused(const KaPlan *made, const char *words)
{
    assert_int_equal(made->diagnostics->n_errors, 1);
    const KaDiagnostic *diagnostic = g_ptr_array_index(made->diagnostics->items, 0);
    if (!strstr(diagnostic->message, words))
        fail_msg("'%s' doesn't say '%s'", diagnostic->message, words);
}

static void
plan_missing_object_is_created(void **state)
{
    g_autoptr(KaPlan) made = plan(*state, one_host, NULL, 0);
    assert_int_equal(made->n_create, 1);
    assert_int_equal(action(made, 0, 0)->verb, KA_CREATE);
    assert_false(made->failed);
}

static void
plan_equal_object_is_empty(void **state)
{
    g_autoptr(KaPlan) made =
        PLAN(*state, one_host, {.host = "local", .kind = "guest", .name = "web", .title = "shop"});
    /* vcpus and memory are declared too: the fake host has neither, so compare the title alone */
    const KaAction *change = action(made, 0, 0);
    for (guint i = 0; i < change->changes->len; i++)
        assert_string_not_equal(((KaChange *)g_ptr_array_index(change->changes, i))->path, "title");
}

static void
plan_foreign_object_wants_adopt(void **state)
{
    g_autoptr(KaPlan) made =
        PLAN(*state, one_host, {.host = "local", .kind = "guest", .name = "web", .title = "x"});
    assert_int_equal(made->n_lacking, 1);
    assert_int_equal(action(made, 0, 0)->lacking, KA_WORD_ADOPT);
}

static void
plan_other_projects_object_is_refused(void **state)
{
    g_autoptr(KaPlan) made = PLAN(
        *state, one_host, {.host = "local", .kind = "guest", .name = "web", .project = "other"});
    assert_refused(made, "project 'other'");
}

static void
plan_left_over_is_listed_and_kept(void **state)
{
    g_autoptr(KaPlan) made = PLAN(
        *state, one_host, {.host = "local", .kind = "guest", .name = "old", .project = "shop"});
    assert_int_equal(made->n_left_over, 1);
    assert_int_equal(made->n_remove, 0);
    assert_int_equal(made->n_lacking, 0);
}

static void
plan_prune_removes_with_the_word(void **state)
{
    Fixture *f = *state;
    f->options.prune = TRUE;
    g_autoptr(KaPlan) made =
        PLAN(f, one_host, {.host = "local", .kind = "guest", .name = "old", .project = "shop"});
    assert_int_equal(made->n_remove, 1);
    assert_int_equal(made->n_lacking, 1);
}

static void
plan_prune_keeps_what_its_record_protects(void **state)
{
    Fixture *f = *state;
    f->options.prune = TRUE;
    f->options.allow = KA_WORD_DELETE;
    g_autoptr(KaPlan) made =
        PLAN(f, one_host,
             {.host = "local", .kind = "guest", .name = "old", .project = "shop", .protect = TRUE});
    assert_int_equal(made->n_remove, 0);
    assert_int_equal(made->n_left_over, 1);
}

static void
plan_delete_of_protected_is_refused(void **state)
{
    Fixture *f = *state;
    f->options.remove = TRUE;
    f->options.allow = KA_WORD_DELETE;
    g_autoptr(KaPlan) made =
        PLAN(f, one_host,
             {.host = "local", .kind = "guest", .name = "web", .project = "shop", .protect = TRUE});
    assert_refused(made, "protected");
}

static void
plan_delete_of_foreign_object_wants_adopt_too(void **state)
{
    Fixture *f = *state;
    f->options.remove = TRUE;
    f->options.allow = KA_WORD_DELETE | KA_WORD_ADOPT;
    g_autoptr(KaPlan) made = PLAN(f, one_host, {.host = "local", .kind = "guest", .name = "web"});
    assert_int_equal(made->n_lacking, 1);
}

static void
plan_delete_of_foreign_object_with_scoped_word_goes(void **state)
{
    Fixture *f = *state;
    f->options.remove = TRUE;
    f->options.allow = KA_WORD_DELETE;
    f->options.allow_scoped = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(f->options.allow_scoped, ka_borrow("guest/web"),
                        GUINT_TO_POINTER(KA_WORD_ADOPT));
    g_autoptr(KaPlan) made = PLAN(f, one_host, {.host = "local", .kind = "guest", .name = "web"});
    assert_int_equal(made->n_lacking, 0);
    assert_int_equal(made->n_remove, 1);
    g_hash_table_unref(f->options.allow_scoped);
}

static void
plan_word_that_an_object_says_holds_for_it_alone(void **state)
{
    Fixture *f = *state;
    f->options.remove = TRUE;
    g_autoptr(KaPlan) made = PLAN(
        f, "project: shop\nguests: {web: {memory: 1GiB, allow: [delete]}, db: {memory: 1GiB}}\n",
        {.host = "local", .kind = "guest", .name = "web", .project = "shop"},
        {.host = "local", .kind = "guest", .name = "db", .project = "shop"});
    assert_int_equal(made->n_remove, 2);
    assert_int_equal(made->n_lacking, 1);
    for (guint i = 0; i < 2; i++)
        assert_int_equal(action(made, 0, i)->lacking,
                         g_str_equal(action(made, 0, i)->name, "web") ? 0 : KA_WORD_DELETE);
}

static void
plan_replace_wants_delete(void **state)
{
    Fixture *f = *state;
    char *replace[] = {ka_borrow("guest/web"), NULL};
    f->options.replace = replace;
    g_autoptr(KaPlan) made =
        PLAN(f, one_host, {.host = "local", .kind = "guest", .name = "web", .project = "shop"});
    assert_int_equal(made->n_replace, 1);
    assert_int_equal(action(made, 0, 0)->lacking, KA_WORD_DELETE);
}

static void
plan_unreachable_host_is_unknown_and_others_go_on(void **state)
{
    down = "kvm2";
    g_autoptr(KaPlan) made =
        PLAN(*state, two_hosts,
             {.host = "kvm1", .kind = "guest", .name = "web", .project = "shop", .title = "x"});
    const KaHostPlan *kvm2 = g_ptr_array_index(made->hosts, 1);
    assert_true(made->failed);
    assert_int_equal(kvm2->unknown->len, 1);
    assert_int_equal(made->n_change, 1);
}

static void
plan_guest_is_not_created_while_a_host_is_unknown(void **state)
{
    down = "kvm2";
    g_autoptr(KaPlan) made = plan(*state, two_hosts, NULL, 0);
    const KaHostPlan *kvm1 = g_ptr_array_index(made->hosts, 0);
    assert_int_equal(made->n_create, 0);
    assert_int_equal(kvm1->unknown->len, 1);
}

static void
plan_guest_on_another_host_is_an_error_that_names_both(void **state)
{
    g_autoptr(KaPlan) made = PLAN(
        *state, two_hosts, {.host = "kvm2", .kind = "guest", .name = "web", .project = "shop"});
    assert_refused(made, "kvm1");
    assert_refused(made, "kvm2");
}

static void
plan_target_leaves_the_others_alone(void **state)
{
    Fixture *f = *state;
    char *targets[] = {ka_borrow("guest/db"), NULL};
    f->options.targets = targets;
    g_autoptr(KaPlan) made = plan(f, two_hosts, NULL, 0);
    assert_int_equal(made->n_create, 1);
    assert_string_equal(action(made, 1, 0)->name, "db");
}

static void
plan_target_that_names_nothing_is_an_error(void **state)
{
    Fixture *f = *state;
    char *targets[] = {ka_borrow("guest/nobody"), NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(KaPlan) made = plan(f, one_host, NULL, 0);
    f->options.targets = targets;
    assert_null(ka_plan_new(f->manifest, &drivers, &f->options, &error));
    assert_non_null(strstr(error->message, "guest/nobody"));
}

static void
plan_digest_follows_what_is_done(void **state)
{
    Fixture *f = *state;
    g_autoptr(KaPlan) first = plan(f, one_host, NULL, 0);
    g_autoptr(KaPlan) again = ka_plan_new(f->manifest, &drivers, &f->options, NULL);
    assert_string_equal(first->digest, again->digest);
    things = &(const Thing){.host = "local", .kind = "guest", .name = "web", .project = "shop"};
    n_things = 1;
    g_autoptr(KaPlan) other = ka_plan_new(f->manifest, &drivers, &f->options, NULL);
    assert_string_not_equal(first->digest, other->digest);
}

static void
plan_unknown_object_is_neither_created_nor_changed(void **state)
{
    g_autoptr(KaPlan) made =
        PLAN(*state, one_host,
             {.host = "local", .kind = "guest", .name = "web", .unknown = "its pool is inactive"});
    assert_int_equal(made->n_create + made->n_change, 0);
    assert_true(made->failed);
}

static guint
warnings_with_reserve(Fixture *f, const char *reserve)
{
    g_autofree char *yaml =
        g_strdup_printf("hosts: {here: {uri: 'test:///a', reserve-memory: %s}}\n"
                        "guests:\n"
                        "  a: {vcpus: 1, memory: 512MiB}\n"
                        "  b: {vcpus: 1, memory: {current: 64MiB, maximum: 256MiB}}\n"
                        "  idle: {vcpus: 1, memory: 8GiB, state: off}\n",
                        reserve);
    g_autoptr(KaPlan) made = plan(f, yaml, NULL, 0);
    const KaHostPlan *host = g_ptr_array_index(made->hosts, 0);
    return host->host->warnings->len;
}

static void
plan_more_memory_than_the_host_has_without_its_reserve_is_a_warning(void **state)
{
    assert_int_equal(warnings_with_reserve(*state, "257MiB"), 1);
}

static void
plan_memory_that_leaves_the_reserve_is_no_warning(void **state)
{
    assert_int_equal(warnings_with_reserve(*state, "256MiB"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(plan_missing_object_is_created),
        CASE(plan_equal_object_is_empty),
        CASE(plan_foreign_object_wants_adopt),
        CASE(plan_other_projects_object_is_refused),
        CASE(plan_left_over_is_listed_and_kept),
        CASE(plan_prune_removes_with_the_word),
        CASE(plan_prune_keeps_what_its_record_protects),
        CASE(plan_delete_of_protected_is_refused),
        CASE(plan_delete_of_foreign_object_wants_adopt_too),
        CASE(plan_delete_of_foreign_object_with_scoped_word_goes),
        CASE(plan_word_that_an_object_says_holds_for_it_alone),
        CASE(plan_replace_wants_delete),
        CASE(plan_unreachable_host_is_unknown_and_others_go_on),
        CASE(plan_guest_is_not_created_while_a_host_is_unknown),
        CASE(plan_guest_on_another_host_is_an_error_that_names_both),
        CASE(plan_target_leaves_the_others_alone),
        CASE(plan_target_that_names_nothing_is_an_error),
        CASE(plan_digest_follows_what_is_done),
        CASE(plan_more_memory_than_the_host_has_without_its_reserve_is_a_warning),
        CASE(plan_memory_that_leaves_the_reserve_is_no_warning),
        CASE(plan_unknown_object_is_neither_created_nor_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
