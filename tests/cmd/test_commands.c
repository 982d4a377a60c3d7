#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The program itself, run as a user runs it; libvirt is the in-process test driver. */
#define PROGRAM KA_BINARY_DIR "/cmd/kvmapply"

typedef struct {
    char *folder;
    char *out, *err;
    int status;
} Run;

static int
setup(void **state)
{
    Run *run = g_new0(Run, 1);
    run->folder = g_dir_make_tmp("kvmapply-test-XXXXXX", NULL);
    *state = run;
    return 0;
}

static int
teardown(void **state)
{
    Run *run = *state;
    g_autoptr(GDir) folder = g_dir_open(run->folder, 0, NULL);
    for (const char *name = g_dir_read_name(folder); name; name = g_dir_read_name(folder)) {
        g_autofree char *path = g_build_filename(run->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(run->folder);
    g_free(run->folder);
    g_free(run->out);
    g_free(run->err);
    g_free(run);
    return 0;
}

static void
write_manifest(const Run *run, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(run->folder, name, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* Runs the shell's words in the test's folder, without a terminal. */
static void
kvmapply(Run *run, const char *arguments)
{
    g_autofree char *line = g_strdup_printf("exec " PROGRAM " %s", arguments);
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, line, NULL};
    g_auto(GStrv) environment = g_get_environ();
    g_autoptr(GError) error = NULL;
    int status = 0;
    environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", TRUE);
    environment = g_environ_unsetenv(environment, "COLUMNS");
    g_clear_pointer(&run->out, g_free);
    g_clear_pointer(&run->err, g_free);
    gboolean ran = g_spawn_sync(run->folder, argv, environment, G_SPAWN_DEFAULT, NULL, NULL,
                                &run->out, &run->err, &status, &error);
    assert_true(ran);
    assert_true(WIFEXITED(status));
    run->status = WEXITSTATUS(status);
}

static void
assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected '%s' in:\n%s", part, text);
}

static const char good[] = "project: shop\n"
                           "pools:\n"
                           "  fast: {type: dir, path: /srv/vm}\n"
                           "networks:\n"
                           "  lan: {forward: nat, address: 192.168.50.1/24}\n";

static void
help_of_every_command_goes_to_stdout(void **state)
{
    static const char *const commands[] = {"validate", "plan",   "apply",   "delete",
                                           "export",   "schema", "explain", "version"};
    Run *run = *state;
    kvmapply(run, "--help");
    assert_int_equal(run->status, 0);
    assert_string_equal(run->err, "");
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        assert_has(run->out, commands[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *arguments = g_strdup_printf("%s --help", commands[i]);
        kvmapply(run, arguments);
        assert_int_equal(run->status, 0);
        assert_string_equal(run->err, "");
        assert_has(run->out, "\nExamples:\n  kvmapply ");
    }
}

static void
command_unknown_suggests_nearest(void **state)
{
    Run *run = *state;
    kvmapply(run, "aply");
    assert_int_equal(run->status, 1);
    assert_string_equal(run->out, "");
    assert_has(run->err, "kvmapply: unknown command 'aply'; did you mean 'apply'?");
    kvmapply(run, "plan --prnue");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "unknown option '--prnue'; did you mean '--prune'?");
    kvmapply(run, "plan --zzzzzz");
    assert_int_equal(run->status, 1);
    assert_string_equal(run->err,
                        "kvmapply: unknown option '--zzzzzz'; see kvmapply plan --help\n");
    kvmapply(run, "apply --allow restart=web");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "expected KIND/NAME");
    kvmapply(run, "apply --allow restrat");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "did you mean 'restart'?");
}

static void
validate_good_manifest_counts_objects(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml", good);
    kvmapply(run, "validate");
    assert_string_equal(run->err, "");
    assert_string_equal(run->out, "2 objects in 1 file: no errors\n");
    assert_int_equal(run->status, 0);
    kvmapply(run, "validate -q - < shop.yaml");
    assert_string_equal(run->out, "");
    assert_int_equal(run->status, 0);
}

static void
secret_that_is_elsewhere_is_a_warning_to_validate_alone(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml",
                   "guests:\n"
                   "  web:\n"
                   "    memory: 64MiB\n"
                   "    graphics:\n"
                   "      vnc: {password: {env: KA_TEST_NOT_SET}}\n"
                   "      spice: {password: {file: nowhere.txt}}\n");
    kvmapply(run, "validate shop.yaml");
    assert_has(run->err, "shop.yaml:5:29: warning: guest 'web': graphics.vnc.password: environment "
                         "variable 'KA_TEST_NOT_SET' is not set\n");
    assert_has(run->err,
               "shop.yaml:6:32: warning: guest 'web': graphics.spice.password: can't read "
               "'nowhere.txt'");
    assert_string_equal(run->out, "1 object in 1 file: no errors, 2 warnings\n");
    assert_int_equal(run->status, 0);
    kvmapply(run, "-c test:///default plan shop.yaml");
    assert_has(run->err, "shop.yaml:5:29: error: ");
    assert_has(run->err, "shop.yaml:6:32: error: ");
    assert_int_equal(run->status, 1);
    kvmapply(run, "-c test:///default apply --yes shop.yaml");
    assert_int_equal(run->status, 1);
}

static void
validate_bad_manifest_points_at_every_mistake(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml",
                   "project: shop\npools:\n  fast: {tpye: dir}\n"
                   "disks:\n  root: {pool: fast, size: 20}\n");
    kvmapply(run, "validate shop.yaml");
    assert_int_equal(run->status, 1);
    assert_string_equal(run->out, "");
    assert_has(run->err, "shop.yaml:3:");
    assert_has(run->err, "type");
    assert_has(run->err, "shop.yaml:5:");
    assert_has(run->err, "^");
    assert_has(run->err, "errors\n");
}

static void
plan_of_test_host_exits_by_changes(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml", good);
    kvmapply(run, "-c test:///default plan");
    assert_string_equal(run->err, "");
    assert_int_equal(run->status, 0);
    assert_has(run->out, "local  test:///default\n");
    assert_has(run->out, "  + network lan  ");
    assert_has(run->out, "2 to create");
    kvmapply(run, "-c test:///default plan --detailed-exitcode --format json");
    assert_int_equal(run->status, 2);
    assert_has(run->out, "\"kvmapply\" : 1");
    kvmapply(run, "-c test:///default plan --format markdown");
    assert_int_equal(run->status, 0);
    assert_has(run->out, "### kvmapply plan `");
}

static void
plan_of_unreachable_host_is_error_and_unknown(void **state)
{
    Run *run = *state;
    g_autofree char *text =
        g_strconcat(good,
                    "hosts:\n  here: {uri: 'test:///default'}\n"
                    "  gone: {uri: 'qemu+unix:///system?socket=/nonexistent/sock'}\n",
                    NULL);
    write_manifest(run, "shop.yaml", text);
    kvmapply(run, "plan");
    assert_int_equal(run->status, 1);
    assert_has(run->out, "unreachable");
    assert_has(run->out, "/nonexistent/sock");
}

static void
apply_without_terminal_wants_yes(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml", good);
    kvmapply(run, "-c test:///default apply < /dev/null");
    assert_int_equal(run->status, 1);
    assert_has(run->out, "2 to create");
    assert_has(run->err, "add --yes");
}

static void
apply_of_another_digest_does_nothing(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml", good);
    kvmapply(run, "-c test:///default apply --yes --expect 00000000");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "expected plan 00000000");
}

static void
output_to_full_disk_is_error(void **state)
{
    static const char *const commands[] = {"schema", "explain", "--help", "version"};
    Run *run = *state;
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *arguments = g_strdup_printf("%s > /dev/full", commands[i]);
        kvmapply(run, arguments);
        assert_int_equal(run->status, 1);
        assert_has(run->err, "No space left on device");
    }
}

static void
output_to_closed_pipe_is_error_not_signal(void **state)
{
    Run *run = *state;
    kvmapply(run, "schema 3>&1 >&- 2>&3");
    assert_int_equal(run->status, 1);
}

static void
export_to_file_never_replaces_a_link(void **state)
{
    Run *run = *state;
    kvmapply(run, "-c test:///default export -o all.yaml");
    assert_string_equal(run->err, "");
    assert_int_equal(run->status, 0);
    kvmapply(run, "validate all.yaml");
    assert_int_equal(run->status, 0);
    g_autofree char *link = g_build_filename(run->folder, "link.yaml", NULL);
    assert_int_equal(symlink("/dev/full", link), 0);
    kvmapply(run, "-c test:///default export -o link.yaml");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "can't write 'link.yaml': No space left on device");
    assert_true(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
}

static void
explain_unknown_field_suggests(void **state)
{
    Run *run = *state;
    kvmapply(run, "explain guests.memory.current");
    assert_int_equal(run->status, 0);
    assert_has(run->out, "memory");
    kvmapply(run, "explain guests.memroy");
    assert_int_equal(run->status, 1);
    assert_has(run->err, "memory");
}

static void
color_always_paints_and_never_does_not(void **state)
{
    Run *run = *state;
    write_manifest(run, "shop.yaml", good);
    kvmapply(run, "-c test:///default --color always plan");
    assert_has(run->out, "\033[");
    kvmapply(run, "-c test:///default plan --color=auto");
    assert_null(strchr(run->out, '\033'));
    kvmapply(run, "plan --color=sometimes");
    assert_int_equal(run->status, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(help_of_every_command_goes_to_stdout, setup, teardown),
        cmocka_unit_test_setup_teardown(command_unknown_suggests_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(validate_good_manifest_counts_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(secret_that_is_elsewhere_is_a_warning_to_validate_alone,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(validate_bad_manifest_points_at_every_mistake, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(plan_of_test_host_exits_by_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(plan_of_unreachable_host_is_error_and_unknown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(apply_without_terminal_wants_yes, setup, teardown),
        cmocka_unit_test_setup_teardown(apply_of_another_digest_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(output_to_full_disk_is_error, setup, teardown),
        cmocka_unit_test_setup_teardown(output_to_closed_pipe_is_error_not_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(export_to_file_never_replaces_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(explain_unknown_field_suggests, setup, teardown),
        cmocka_unit_test_setup_teardown(color_always_paints_and_never_does_not, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
