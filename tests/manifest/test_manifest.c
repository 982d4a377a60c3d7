#include "tests/manifest/loading.h"

#include <fcntl.h>

static void
manifest_of_folder_takes_yaml_files_sorted_and_subfolders(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "b.yaml", "networks: {two: {}}\n");
    folder_write(folder, "a.yml", "networks: {one: {}}\n");
    folder_write(folder, "c/d.yaml", "project: shop\nnetworks: {three: {}}\n");
    folder_write(folder, ".hidden.yaml", "networks: {four: {}}\n");
    folder_write(folder, ".git/x.yaml", "networks: {five: {}}\n");
    folder_write(folder, "notes.txt", "nothing: [\n");
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, NULL});
    assert_string_equal(loaded->messages, "");
    const GPtrArray *networks = loaded->manifest->objects[ka_kind_index(ka_kind_find("networks"))];
    g_autofree char *names = names_of(networks);
    assert_string_equal(names, "one two three");
    assert_string_equal(loaded->manifest->project, "shop");
}

static void
manifest_named_beside_its_folder_is_read_once(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "a.yaml", "networks: {lan: {}}\n");
    g_autofree char *file = folder_path(folder, "a.yaml"), *link = folder_path(folder, "loop");
    assert_int_equal(symlink(folder->path, link), 0);
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){file, folder->path, file, NULL});
    assert_non_null(loaded->manifest);
    assert_int_equal(loaded->manifest->sources->len, 1);
    assert_string_equal(loaded->manifest->project, "default");
}

static void
manifest_that_cannot_be_read_is_said_for_each(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "empty.yaml", "");
    folder_write(folder, "comments.yaml", "# nothing\n");
    folder_write(folder, "none/readme", "");
    g_autofree char *none = folder_path(folder, "none"), *missing = folder_path(folder, "missing");
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, none, missing, NULL});
    g_autofree char *first =
        g_strdup_printf("%s/comments.yaml: error: nothing is declared here", folder->path);
    g_autofree char *second =
        g_strdup_printf("%s/empty.yaml: error: nothing is declared here", folder->path);
    g_autofree char *third = g_strdup_printf("error: '%s': no such file or folder\n", missing);
    assert_contains(loaded->messages, first);
    assert_contains(loaded->messages, second);
    assert_contains(loaded->messages, third);
    g_autoptr(Loaded) alone = loaded_new((const char *const[]){none, NULL});
    g_autofree char *fourth =
        g_strdup_printf("error: '%s': no *.yaml or *.yml in this folder\n", none);
    assert_string_equal(alone->messages, fourth);
    g_autoptr(Loaded) nothing = loaded_new((const char *const[]){NULL});
    assert_contains(nothing->messages, "error: no manifest is named");
}

static void
manifest_without_end_is_refused(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){"/dev/zero", NULL});
    assert_contains(loaded->messages, "/dev/zero: error: larger than 64 MiB");
}

static void
manifest_from_standard_input_is_named_so(void **state)
{
    (void)state;
    int pipes[2], old = dup(0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], "networks: 1\n", 12), 12);
    close(pipes[1]);
    assert_int_equal(dup2(pipes[0], 0), 0);
    close(pipes[0]);
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){"-", "-", NULL});
    assert_int_equal(dup2(old, 0), 0);
    close(old);
    assert_contains(loaded->messages, "<stdin>:1:11: error: networks: expected a map of networks "
                                      "by name\n  networks: 1\n            ^\n");
    assert_int_equal(loaded->diagnostics->n_errors, 1);
}

static void
manifest_with_several_errors_says_all(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(
        folder, "a.yaml",
        "project: shop\nnetworks:\n  lan: {}\n  empty:\ngeusts: {}\nx-any: {a: 1}\n---\n- 1\n");
    folder_write(folder, "b.yaml",
                 "project: bar\nnetworks:\n  lan: {}\n  \"a/b\": {}\n  wan: 1\nvolumes: {}\n");
    g_autofree char *a = folder_path(folder, "a.yaml");
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, NULL});
    assert_contains(loaded->messages,
                    "a.yaml:4:9: error: network 'empty': expected a map, {} at least, got nothing");
    assert_contains(loaded->messages,
                    "a.yaml:5:1: error: unknown key 'geusts': did you mean 'guests'?");
    assert_contains(loaded->messages,
                    "a.yaml:8:1: error: expected a map with keys such as 'guests'");
    g_autofree char *project =
        g_strdup_printf("b.yaml:1:10: error: project 'bar', but 'shop' at %s:1:10", a);
    assert_contains(loaded->messages, project);
    g_autofree char *twice =
        g_strdup_printf("b.yaml:3:3: error: network 'lan' is declared twice, first at %s:3:3", a);
    assert_contains(loaded->messages, twice);
    assert_contains(loaded->messages, "b.yaml:4:3: error: network 'a/b': ");
    assert_contains(loaded->messages, "b.yaml:5:8: error: network 'wan': expected a map");
    assert_contains(
        loaded->messages,
        "b.yaml:6:1: error: unknown key 'volumes': expected one of project, hosts, tuning");
    assert_int_equal(loaded->diagnostics->n_errors, 8);
}

static void
manifest_with_bad_names_refuses_them(void **state)
{
    (void)state;
    static const char *const names[] = {"a/b", "a<b", "a\\\"b", "a\\nb", "..", "", "-x", " x"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *object =
            g_strdup_printf("pools:\n  \"%s\": {type: dir, path: /x}\n", names[i]);
        g_autoptr(Loaded) loaded = loaded_text(object);
        assert_null(loaded->manifest);
        assert_contains(loaded->messages, "a.yaml:2:3: error: pool '");
        g_autofree char *project =
            g_strdup_printf("project: \"%s\"\nnetworks: {lan: {}}\n", names[i]);
        g_autoptr(Loaded) wrong = loaded_text(project);
        assert_contains(wrong->messages, "a.yaml:1:10: error: project: ");
    }
}

static void
manifest_with_broken_text_says_nothing_of_references(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "a.yaml", "disks:\n  root: {pool: p, size: 1GiB\n");
    folder_write(folder, "b.yaml", "guests:\n  web: {memory: 1GiB, disks: {vda: {disk: root}}}\n");
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, NULL});
    assert_int_equal(loaded->diagnostics->n_errors, 1);
    assert_lacks(loaded->messages, "not declared");
}

static void
manifest_messages_outlive_it(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text("guests: 5\n");
    assert_null(loaded->manifest);
    g_autofree char *again = diagnostics_text(loaded->diagnostics);
    assert_contains(again, "  guests: 5\n          ^\n");
}

static void
paths_of_a_folder_without_bounds_are_refused(void **state)
{
    (void)state;
    g_autoptr(Folder) folder = folder_new();
    folder_write(folder, "a.yaml", "guests: {}\n");
    g_autofree char *link = folder_path(folder, "zzz");
    assert_int_equal(symlink("/proc", link), 0);
    for (guint i = 0; i < 50001; i++) {
        g_autofree char *name = g_strdup_printf("%u", i);
        g_autofree char *path = folder_path(folder, name);
        int fd = g_creat(path, 0600);
        assert_true(fd >= 0);
        g_close(fd, NULL);
    }
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, NULL});
    assert_contains(loaded->messages, "more than 50000 files");
    assert_int_equal(loaded->diagnostics->n_errors, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_a_folder_without_bounds_are_refused),
        cmocka_unit_test(manifest_of_folder_takes_yaml_files_sorted_and_subfolders),
        cmocka_unit_test(manifest_named_beside_its_folder_is_read_once),
        cmocka_unit_test(manifest_that_cannot_be_read_is_said_for_each),
        cmocka_unit_test(manifest_without_end_is_refused),
        cmocka_unit_test(manifest_from_standard_input_is_named_so),
        cmocka_unit_test(manifest_with_several_errors_says_all),
        cmocka_unit_test(manifest_with_bad_names_refuses_them),
        cmocka_unit_test(manifest_with_broken_text_says_nothing_of_references),
        cmocka_unit_test(manifest_messages_outlive_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
