#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>
#include <gio/gio.h>
#include <glib/gstdio.h>

#include "drivers/seed.h"

static KaSeed
seed_of(const char *label, const KaSeedFile *files, guint n_files)
{
    KaSeed seed = {.label = label, .files = g_array_new(FALSE, FALSE, sizeof(KaSeedFile))};

    g_array_append_vals(seed.files, files, n_files);
    return seed;
}

static GBytes *
iso_of(const char *label, const KaSeedFile *files, guint n_files)
{
    KaSeed seed = seed_of(label, files, n_files);
    g_autoptr(GError) error = NULL;
    GBytes *bytes = ka_seed_iso(&seed, &error);

    if (!bytes)
        fail_msg("%s", error->message);
    g_array_unref(seed.files);
    return bytes;
}

static const KaSeedFile files[] = {
    {"user-data",                       "#cloud-config\nname: Grüße\n"},
    {"meta-data",                       ""                              },
    {"openstack/latest/user_data",      "x"                             },
    {"openstack/latest/meta_data.json", "{}"                            },
};

static void
iso_of_the_same_files_has_the_same_bytes(G_GNUC_UNUSED void **state)
{
    g_autoptr(GBytes) one = iso_of("cidata", files, G_N_ELEMENTS(files));
    g_autoptr(GBytes) between = iso_of("cidata", files, 2);

    g_usleep(1100 * 1000); /* another second */
    g_autoptr(GBytes) two = iso_of("cidata", files, G_N_ELEMENTS(files));
    assert_true(g_bytes_equal(one, two));
    assert_false(g_bytes_equal(one, between));
    assert_int_equal(g_bytes_get_size(one) % 2048, 0);
}

static void
iso_has_its_label(G_GNUC_UNUSED void **state)
{
    g_autoptr(GBytes) bytes = iso_of("config-2", files, G_N_ELEMENTS(files));
    const char *data = g_bytes_get_data(bytes, NULL);

    /* ECMA-119, 8.4: the volume identifier, in the 17th sector. */
    assert_memory_equal(data + 16 * 2048 + 1, "CD001", 5);
    assert_memory_equal(data + 16 * 2048 + 40, "config-2 ", 9);
}

/* By another program than the one that wrote it. */
static void
iso_gives_back_its_files(G_GNUC_UNUSED void **state)
{
    g_autofree char *program = g_find_program_in_path("xorriso");
    g_autofree char *folder = g_dir_make_tmp("kvmapply-XXXXXX", NULL);
    g_autofree char *image = g_build_filename(folder, "seed.iso", NULL);
    g_autofree char *out = g_build_filename(folder, "out", NULL);
    g_autoptr(GBytes) bytes = iso_of("cidata", files, G_N_ELEMENTS(files));
    gsize size = 0;
    const char *data = g_bytes_get_data(bytes, &size);

    if (!program)
        skip();
    assert_true(g_file_set_contents(image, data, (gssize)size, NULL));
    const char *const arguments[] = {program,    "-osirrox", "on", "-indev", image,
                                     "-extract", "/",        out,  NULL};
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **)(guintptr)arguments, NULL,
                             G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                             NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(out, files[i].path, NULL);
        g_autofree char *text = NULL;
        assert_true(g_file_get_contents(path, &text, NULL, NULL));
        assert_string_equal(text, files[i].text);
    }
    const char *const removal[] = {"rm", "-rf", folder, NULL};
    g_spawn_sync(NULL, (char **)(guintptr)removal, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                 NULL, NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iso_of_the_same_files_has_the_same_bytes),
        cmocka_unit_test(iso_has_its_label),
        cmocka_unit_test(iso_gives_back_its_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
