#include "drivers/recipe.h"
#include "tests/manifest/loading.h"

#include <fcntl.h>
#include <sys/stat.h>

typedef struct {
    char *folder;
} Place;

static int
setup(void **state)
{
    Place *place = g_new0(Place, 1);

    place->folder = g_dir_make_tmp("ka-recipe-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", place->folder, TRUE);
    *state = place;
    return 0;
}

static int
teardown(void **state)
{
    Place *place = *state;
    g_autofree char *command = g_strdup_printf("rm -rf %s", place->folder);

    g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    g_free(place->folder);
    g_free(place);
    return 0;
}

static void
put(const Place *place, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(place->folder, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* The key of the image with this map; %s in it is the folder. */
static char *
key_of(const Place *place, const char *map)
{
    g_auto(GStrv) parts = g_strsplit(map, "%s", -1);
    g_autofree char *filled = g_strjoinv(place->folder, parts);
    g_autofree char *text = g_strdup_printf("images:\n  deb: {%s}\n", filled);
    g_autoptr(Loaded) loaded = loaded_text(text);
    g_autoptr(GError) error = NULL;
    char *key = NULL;

    if (loaded->diagnostics->n_errors)
        fail_msg("%s:\n%s", text, loaded->messages);
    key = ka_recipe_key(loaded_find(loaded, "image", "deb"), "sha256:00", &error);
    assert_null(error);
    assert_int_equal(strlen(key), 64);
    return key;
}

static void
assert_keys(const Place *place, const char *a, const char *b, gboolean same)
{
    g_autofree char *x = key_of(place, a), *y = key_of(place, b);

    if (g_str_equal(x, y) != same)
        fail_msg("'%s' and '%s': expected %s keys", a, b, same ? "equal" : "different");
}

static void
recipe_said_in_another_way_has_the_same_key(void **state)
{
    const Place *place = *state;

    assert_keys(place, "source: {path: a.raw}, timezone: UTC, size: 1GiB",
                "size: 1024MiB, source: {path: a.raw}, timezone: UTC", TRUE);
    assert_keys(place, "source: {path: a.raw}", "source: {path: a.raw}, format: raw", TRUE);
    assert_keys(place, "source: {path: a.raw}", "source: 'https://a.example/b.raw'", TRUE);
    assert_keys(place, "source: {path: a.raw}, files: {/a: x}",
                "source: {path: a.raw}, files: {/a: {content: x}}", TRUE);
}

static void
recipe_that_makes_another_image_has_another_key(void **state)
{
    const Place *place = *state;
    static const char plain[] = "source: {path: a.raw}, install: [vim, tree]";

    assert_keys(place, plain, "source: {path: a.raw}, install: [vim]", FALSE);
    assert_keys(place, plain, "source: {path: a.raw}, install: [tree, vim]", FALSE);
    assert_keys(place, plain, "source: {path: a.raw}, install: [vim, tree], scrub: true", FALSE);
    assert_keys(place, "source: {path: a.raw}, run: [{command: x}]",
                "source: {path: a.raw}, first-boot: [{command: x}]", FALSE);
    assert_keys(place, "source: {path: a.raw}, hostname: ab",
                "source: {path: a.raw}, hostname: a, timezone: b", FALSE);
    assert_keys(place, "source: {path: a.raw}, root-password: locked",
                "source: {path: a.raw}, root-password: $6$a$b", FALSE);
}

static void
recipe_key_follows_the_source(void **state)
{
    const Place *place = *state;
    g_autoptr(Loaded) loaded = loaded_text("images: {deb: {source: {path: a.raw}}}\n");
    const KaObject *image = loaded_find(loaded, "image", "deb");
    g_autofree char *a = ka_recipe_key(image, "sha256:00", NULL);
    g_autofree char *b = ka_recipe_key(image, "sha256:01", NULL);

    (void)place;
    assert_string_not_equal(a, b);
}

static void
recipe_key_follows_the_contents_of_files(void **state)
{
    const Place *place = *state;
    static const char map[] = "source: {path: a.raw}, run: ['%s/setup.sh']";

    put(place, "setup.sh", "echo a\n");
    g_autofree char *a = key_of(place, map);
    put(place, "setup.sh", "echo b\n");
    g_autofree char *b = key_of(place, map);
    put(place, "setup.sh", "echo a\n");
    g_autofree char *again = key_of(place, map);
    assert_string_not_equal(a, b);
    assert_string_equal(a, again);
}

static void
recipe_with_a_missing_file_is_an_error(void **state)
{
    const Place *place = *state;
    g_autoptr(Loaded) loaded =
        loaded_text("images: {deb: {source: {path: a.raw}, run: [/nonexistent/x.sh]}}\n");
    g_autoptr(GError) error = NULL;

    (void)place;
    assert_null(ka_recipe_digest(loaded_find(loaded, "image", "deb"), &error));
    assert_non_null(strstr(error->message, "can't read '/nonexistent/x.sh'"));
}

/* Remembered by its times and size, never taken for what it was before. */
static void
recipe_file_digest_follows_a_large_file(void **state)
{
    const Place *place = *state;
    g_autofree char *path = g_build_filename(place->folder, "large", NULL);
    g_autofree char *text = g_strnfill(2 << 20, 'a');
    struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    put(place, "large", text);
    g_autofree char *a = ka_recipe_file_digest(path, NULL);
    assert_int_equal(utimensat(AT_FDCWD, path, past, 0), 0);
    g_autofree char *same = ka_recipe_file_digest(path, NULL);
    assert_string_equal(a, same);
    text[7] = 'b';
    put(place, "large", text);
    assert_int_equal(utimensat(AT_FDCWD, path, past, 0), 0);
    g_autofree char *b = ka_recipe_file_digest(path, NULL);
    assert_string_not_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipe_said_in_another_way_has_the_same_key),
        cmocka_unit_test(recipe_that_makes_another_image_has_another_key),
        cmocka_unit_test(recipe_key_follows_the_source),
        cmocka_unit_test(recipe_key_follows_the_contents_of_files),
        cmocka_unit_test(recipe_with_a_missing_file_is_an_error),
        cmocka_unit_test(recipe_file_digest_follows_a_large_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
