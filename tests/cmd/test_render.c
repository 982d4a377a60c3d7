#include "cmd/outline.h"
#include "cmd/render.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A plan made by hand, of real rows, with all that a plan can hold. */
typedef struct {
    KaTree *tree;
    KaSource *source;
    KaManifest manifest;
    GPtrArray *objects;
    KaPlan *plan;
} Fixture;

static const KaTerminal wide = {.is_utf8 = TRUE, .width = 120, .height = 24};
static const KaTerminal narrow = {.is_utf8 = TRUE, .width = 80, .height = 24};
static const KaTerminal ascii = {.width = 60, .height = 24};
static const KaTerminal colored = {.is_utf8 = TRUE, .color = TRUE, .width = 80, .height = 24};

static KaNode *
scalar(Fixture *fixture, const char *kind, const char *path, const char *canonical)
{
    KaNode *node = ka_node_new_scalar(fixture->tree, canonical);
    const KaRows *rows = ka_rows_find(ka_kind_rows(ka_kind_find(kind)), path);
    assert_non_null(rows);
    node->row = rows->row;
    node->secret = rows->row->codec->secret != 0;
    return node;
}

static KaObject *
object_new(Fixture *fixture, const char *kind, const char *name, guint line)
{
    KaObject *object = g_new0(KaObject, 1);
    object->kind = ka_kind_find(kind);
    object->name = name;
    object->node = ka_node_new(fixture->tree, KA_NODE_MAP);
    object->node->source = fixture->source;
    object->node->line = line;
    object->node->column = 5;
    g_ptr_array_add(fixture->objects, object);
    return object;
}

static void
set(Fixture *fixture, KaObject *object, const char *path, const char *canonical)
{
    g_auto(GStrv) keys = ka_path_split(path);
    const KaNode *row = scalar(fixture, object->kind->table->kind, path, canonical);
    KaNode *node = ka_node_put(fixture->tree, object->node, path, canonical);
    node->row = row->row;
    node->secret = row->secret;
}

static KaHostPlan *
host_new(Fixture *fixture, const char *name, const char *uri)
{
    KaHostPlan *host = g_new0(KaHostPlan, 1);
    host->host = g_new0(KaHost, 1);
    host->host->name = name;
    host->host->real_uri = g_strdup(uri);
    host->host->warnings = g_ptr_array_new_with_free_func(g_free);
    host->actions = g_ptr_array_new_with_free_func((GDestroyNotify)ka_action_free);
    host->unknown = g_ptr_array_new_with_free_func((GDestroyNotify)ka_action_free);
    g_ptr_array_add(fixture->plan->hosts, host);
    return host;
}

static void
host_plan_free(KaHostPlan *host)
{
    g_clear_error(&host->host->error);
    g_free(host->host->real_uri);
    g_ptr_array_unref(host->host->warnings);
    g_free(host->host);
    g_ptr_array_unref(host->actions);
    g_ptr_array_unref(host->unknown);
    g_free(host);
}

static KaAction *
action_new(KaHostPlan *host, KaVerb verb, const char *kind, const char *name, KaObject *object)
{
    KaAction *action = ka_action_new(verb, ka_kind_find(kind), name, host->host);
    action->object = object;
    g_ptr_array_add(host->actions, action);
    return action;
}

static KaChange *
change(GPtrArray *list, const char *path, const KaNode *from, const KaNode *to, KaWay way)
{
    KaChange *new = g_new0(KaChange, 1);
    new->path = g_strdup(path);
    new->from = from;
    new->to = to;
    new->row = to ? to->row : from->row;
    new->way = way;
    g_ptr_array_add(list, new);
    return new;
}

static KaNode *
nic(Fixture *fixture, const char *network)
{
    KaNode *node = ka_node_new(fixture->tree, KA_NODE_MAP);
    node->row = ka_rows_find(ka_kind_rows(ka_kind_find("guest")), "nics.backup")->row;
    ka_node_append(fixture->tree, node, "network",
                   scalar(fixture, "guest", "nics.backup.network", network));
    KaNode *mac = scalar(fixture, "guest", "nics.backup.mac", "52:00:00:00:00:01");
    mac->fresh = TRUE;
    ka_node_append(fixture->tree, node, "mac", mac);
    return node;
}

static void
add_guest_changes(Fixture *fixture, KaHostPlan *host)
{
    KaObject *web = object_new(fixture, "guest", "web", 31);
    KaAction *action = action_new(host, KA_CHANGE, "guest", "web", web);
    change(action->changes, "memory.current", scalar(fixture, "guest", "memory.current", "2097152"),
           scalar(fixture, "guest", "memory.current", "4194304"), KA_LIVE);
    change(action->changes, "vcpus.maximum", scalar(fixture, "guest", "vcpus.maximum", "8"),
           scalar(fixture, "guest", "vcpus.maximum", "16"), KA_BOOT);
    change(action->changes, "nics.backup", NULL, nic(fixture, "lan"), KA_LIVE);
    change(action->changes, "title", scalar(fixture, "guest", "title", "the old web server"), NULL,
           KA_LIVE)
        ->released = TRUE;
    change(action->changes, "description", NULL,
           scalar(fixture, "guest", "description",
                  "first line\nsecond line \033[31mred and a great many more words than fit"),
           KA_LIVE);
    change(action->changes, "graphics.vnc.password",
           scalar(fixture, "guest", "graphics.vnc.password", "hunter1"),
           scalar(fixture, "guest", "graphics.vnc.password", "hunter2"), KA_LIVE);
    change(action->changes, "xml.devices", NULL,
           scalar(fixture, "guest", "xml.devices", "<tpm model='x' password='hunter3'/>"), KA_BOOT);
    change(action->notes, "machine", scalar(fixture, "guest", "machine", "pc"),
           scalar(fixture, "guest", "machine", "q35"), KA_ONCE);
    g_ptr_array_add(action->remarks,
                    g_strdup("its disk vda has an overlay, web-root.snap1, of an external "
                             "snapshot: the declared disk is below it"));
}

static void
add_others(Fixture *fixture, KaHostPlan *host)
{
    KaObject *data = object_new(fixture, "disk", "web-data", 24);
    set(fixture, data, "size", "107374182400");
    set(fixture, data, "format", "qcow2");
    set(fixture, data, "pool", "fast");
    action_new(host, KA_CREATE, "disk", "web-data", data);

    KaObject *db = object_new(fixture, "guest", "db", 44);
    KaAction *restart = action_new(host, KA_CHANGE, "guest", "db", db);
    change(restart->changes, "firmware", NULL, scalar(fixture, "guest", "title", "efi"),
           KA_RESTART);
    restart->restart = TRUE;
    restart->words = restart->lacking = KA_WORD_RESTART;

    KaObject *slow = object_new(fixture, "guest", "slow", 60);
    KaAction *pending = action_new(host, KA_CHANGE, "guest", "slow", slow);
    change(pending->changes, "memory.current",
           scalar(fixture, "guest", "memory.current", "4194304"),
           scalar(fixture, "guest", "memory.current", "2097152"), KA_GUEST)
        ->pending = TRUE;

    KaObject *scratch = object_new(fixture, "disk", "scratch", 70);
    set(fixture, scratch, "size", "1073741824");
    KaAction *replace = action_new(host, KA_REPLACE, "disk", "scratch", scratch);
    replace->words = KA_WORD_DELETE;
    action_new(host, KA_REMOVE, "network", "gone", NULL)->words = KA_WORD_DELETE;
    action_new(host, KA_CHANGE, "guest", "old", NULL)->left_over = TRUE;
}

static void
add_unreachable(Fixture *fixture, const char *name)
{
    KaHostPlan *host = host_new(fixture, name, NULL);
    host->host->uri = "qemu+ssh://root@kvm2.example.com/system";
    host->host->error = g_error_new(KA_HOST_ERROR, KA_HOST_ERROR_UNREACHABLE,
                                    "can't connect to 'qemu+ssh://root@kvm2.example.com/system': "
                                    "ssh: connect to host kvm2.example.com port 22: No route to "
                                    "host (libvirt error 38)");
    KaObject *far = object_new(fixture, "guest", "far", 80);
    KaAction *unknown = ka_action_new(KA_CHANGE, far->kind, "far", host->host);
    unknown->object = far;
    unknown->actual = ka_actual_new("far");
    unknown->actual->unknown = g_strdup("its host can't be reached");
    g_ptr_array_add(host->unknown, unknown);
    fixture->plan->failed = TRUE;
}

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->tree = ka_tree_new();
    fixture->source = ka_source_new("web.yaml", g_strdup(""), 0);
    fixture->objects = g_ptr_array_new_with_free_func(g_free);
    fixture->manifest.project = "shop";
    fixture->plan = g_new0(KaPlan, 1);
    fixture->plan->manifest = &fixture->manifest;
    fixture->plan->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)host_plan_free);
    fixture->plan->others = g_ptr_array_new();
    fixture->plan->diagnostics = ka_diagnostics_new();
    fixture->plan->digest = g_strdup("5f0c9a1e");
    *state = fixture;
    return 0;
}

static int
setup_full(void **state)
{
    setup(state);
    Fixture *fixture = *state;
    KaHostPlan *host = host_new(fixture, "kvm1", "qemu+ssh://root@kvm1.example.com/system");
    g_ptr_array_add(host->host->warnings, g_strdup("the clock of the host is 3 minutes behind"));
    add_guest_changes(fixture, host);
    add_others(fixture, host);
    host->n_unchanged = 12;
    add_unreachable(fixture, "kvm2");
    fixture->plan->n_create = 1;
    fixture->plan->n_change = 2;
    fixture->plan->n_replace = 1;
    fixture->plan->n_remove = 1;
    fixture->plan->n_left_over = 1;
    fixture->plan->n_pending = 1;
    fixture->plan->n_lacking = 1;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    g_ptr_array_unref(fixture->plan->hosts);
    g_ptr_array_unref(fixture->plan->others);
    ka_diagnostics_free(fixture->plan->diagnostics);
    g_free(fixture->plan->digest);
    g_free(fixture->plan);
    g_ptr_array_unref(fixture->objects);
    ka_source_free(fixture->source);
    ka_tree_free(fixture->tree);
    g_free(fixture);
    return 0;
}

/* KA_REGENERATE=1 writes what is, for review; else it must be what was. */
static void
assert_golden(const char *file, const char *text)
{
    g_autofree char *path = g_build_filename(KA_SOURCE_DIR, "tests/data/plan", file, NULL);
    g_autofree char *golden = NULL;
    if (g_getenv("KA_REGENERATE"))
        assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_true(g_file_get_contents(path, &golden, NULL, NULL));
    assert_string_equal(text, golden);
}

static void
assert_fits(const char *text, guint width)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        if (ka_text_width(*line) > width)
            fail_msg("wider than %u: %s", width, *line);
}

static void
render_text_of_narrow_terminal_fits(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_text(fixture->plan, &narrow, FALSE);
    assert_fits(text, 80);
    assert_golden("narrow.txt", text);
}

static void
render_text_of_wide_terminal_shows_more(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_text(fixture->plan, &wide, TRUE);
    assert_fits(text, 120);
    assert_golden("wide.txt", text);
}

static void
render_text_without_utf8_is_ascii(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_text(fixture->plan, &ascii, FALSE);
    assert_true(g_str_is_ascii(text));
    assert_golden("ascii.txt", text);
}

static void
render_text_in_color_has_balanced_sequences(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_text(fixture->plan, &colored, FALSE);
    assert_golden("color.txt", text);
    g_auto(GStrv) begun = g_strsplit(text, "\033[", -1), ended = g_strsplit(text, "\033[0m", -1);
    assert_int_equal(g_strv_length(begun) - 1, 2 * (g_strv_length(ended) - 1));
}

static void
render_any_form_never_shows_a_secret_or_an_escape(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_text(fixture->plan, &wide, TRUE);
    g_autofree char *json = ka_render_json(fixture->plan);
    g_autofree char *markdown = ka_render_markdown(fixture->plan);
    const char *const forms[] = {text, json, markdown};
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        assert_null(strstr(forms[i], "hunter"));
        assert_null(strchr(forms[i], '\033'));
    }
}

static void
render_json_is_golden(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_json(fixture->plan);
    assert_golden("plan.json", text);
}

static void
render_markdown_is_golden(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *text = ka_render_markdown(fixture->plan);
    assert_golden("plan.md", text);
}

static void
render_text_of_empty_plan_says_so(void **state)
{
    Fixture *fixture = *state;
    host_new(fixture, "local", "qemu:///system")->n_unchanged = 3;
    g_autofree char *text = ka_render_text(fixture->plan, &narrow, FALSE);
    assert_string_equal(text,
                        "local  qemu:///system\nnothing to do, 3 as declared\nplan 5f0c9a1e\n");
    assert_true(ka_plan_is_empty(fixture->plan));
}

static void
render_outcome_of_failure_quotes_libvirt(void **state)
{
    const Fixture *fixture = *state;
    const KaHostPlan *host = g_ptr_array_index(fixture->plan->hosts, 0);
    for (guint i = 0; i < host->actions->len; i++) {
        KaAction *action = g_ptr_array_index(host->actions, i);
        action->outcome = i == 1 ? KA_FAILED : i == 2 ? KA_SKIPPED : KA_DONE;
        action->duration_us = 1234567;
        if (i == 1)
            action->error =
                g_error_new(KA_HOST_ERROR, KA_HOST_ERROR_LIBVIRT,
                            "can't create volume 'web-data': cannot allocate 107374182400 bytes in "
                            "file '/srv/vm/web-data': No space left on device (libvirt error 38)");
        if (i == 2)
            action->error = g_error_new(KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED,
                                        "waits for 'disk/web-data', which wasn't done");
    }
    g_autofree char *text = ka_render_outcome(fixture->plan, &narrow);
    assert_fits(text, 80);
    assert_golden("outcome.txt", text);
}

static void
allow_of_lacking_words_names_options(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *all = ka_outline_allow(fixture->plan, FALSE);
    g_autofree char *scoped = ka_outline_allow(fixture->plan, TRUE);
    assert_string_equal(all, "--allow restart");
    assert_string_equal(scoped, "--allow restart=guest/db@kvm1");
    /* Given for all and still lacking: only its name helps. */
    fixture->plan->options.allow = KA_WORD_RESTART;
    g_autofree char *again = ka_outline_allow(fixture->plan, FALSE);
    assert_string_equal(again, scoped);
}

int
main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(render_text_of_narrow_terminal_fits, setup_full, teardown),
        cmocka_unit_test_setup_teardown(render_text_of_wide_terminal_shows_more, setup_full,
                                        teardown),
        cmocka_unit_test_setup_teardown(render_text_without_utf8_is_ascii, setup_full, teardown),
        cmocka_unit_test_setup_teardown(render_text_in_color_has_balanced_sequences, setup_full,
                                        teardown),
        cmocka_unit_test_setup_teardown(render_any_form_never_shows_a_secret_or_an_escape,
                                        setup_full, teardown),
        cmocka_unit_test_setup_teardown(render_json_is_golden, setup_full, teardown),
        cmocka_unit_test_setup_teardown(render_markdown_is_golden, setup_full, teardown),
        cmocka_unit_test_setup_teardown(render_text_of_empty_plan_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(render_outcome_of_failure_quotes_libvirt, setup_full,
                                        teardown),
        cmocka_unit_test_setup_teardown(allow_of_lacking_words_names_options, setup_full, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
