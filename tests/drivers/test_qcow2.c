#include "drivers/qcow2.h"
#include "drivers/sparse_copy.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE ((off_t)1300 << 20) /* three tables of the second level */

static GMutex lock;
static KaAction action;
static KaProgress progress;

static int
temporary(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("ka-qcow2-XXXXXX", &path, NULL);

    assert_true(fd >= 0);
    g_unlink(path);
    return fd;
}

static void
put(int fd, const char *text, off_t at)
{
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

/* Data at the edges of clusters and tables, a run that packs well and one that doesn't. */
static int
sample(void)
{
    int fd = temporary();
    g_autofree char *run = g_strnfill(300000, 'x');
    g_autofree guint8 *noise = g_malloc(200000);

    assert_int_equal(ftruncate(fd, SIZE), 0);
    put(fd, "first", 0);
    put(fd, "edge", 65534);
    put(fd, run, 5 << 20);
    for (gsize i = 0; i < 200000; i++)
        noise[i] = (guint8)g_random_int();
    assert_int_equal(pwrite(fd, noise, 200000, 700 << 20), 200000);
    put(fd, "table", ((off_t)512 << 20) - 3);
    put(fd, "last", SIZE - 4);
    return fd;
}

static void
assert_same(int a, int b)
{
    g_autofree char *x = g_malloc(1 << 20), *y = g_malloc(1 << 20);
    struct stat of_a, of_b;

    assert_int_equal(fstat(a, &of_a), 0);
    assert_int_equal(fstat(b, &of_b), 0);
    assert_int_equal(of_a.st_size, of_b.st_size);
    for (off_t at = 0; at < of_a.st_size; at += 1 << 20) {
        gssize n = pread(a, x, 1 << 20, at);
        assert_int_equal(n, pread(b, y, 1 << 20, at));
        assert_memory_equal(x, y, n);
    }
}

static void
round_trip(gboolean compress)
{
    int from = sample(), packed = temporary(), back = temporary();
    g_autoptr(GError) error = NULL;
    struct stat status;

    if (!ka_qcow2_write(from, packed, compress, &action, &progress, &error) ||
        !ka_qcow2_read(packed, back, "a.qcow2", &action, &progress, &error))
        fail_msg("%s", error->message);
    assert_same(from, back);
    assert_int_equal(fstat(packed, &status), 0);
    assert_true(status.st_size < 2 << 20);
    assert_int_equal(fstat(back, &status), 0);
    assert_true((guint64)status.st_blocks * 512 < 2 << 20);
    close(from);
    close(packed);
    close(back);
}

static void
qcow2_written_and_read_is_the_same(G_GNUC_UNUSED void **state)
{
    round_trip(FALSE);
    round_trip(TRUE);
}

/* QEMU's own reader finds no fault, and the same data. */
static void
qcow2_written_is_fine_for_qemu(G_GNUC_UNUSED void **state)
{
    g_autofree char *folder = g_dir_make_tmp("ka-qcow2-XXXXXX", NULL);
    g_autofree char *raw = g_build_filename(folder, "a.raw", NULL);
    g_autofree char *packed = g_build_filename(folder, "a.qcow2", NULL);
    g_autofree char *qemu_img = g_find_program_in_path("qemu-img");

    for (int compress = 0; qemu_img && compress < 2; compress++) {
        int from = sample(), to_raw = g_creat(raw, 0600), to = g_open(packed, O_RDWR | O_CREAT | O_TRUNC, 0600);
        g_autofree char *command = g_strdup_printf(
            "sh -c 'qemu-img check -q -f qcow2 %s && qemu-img compare -q -f qcow2 -F raw %s %s'",
            packed, packed, raw);
        int status = -1;

        assert_true(ka_sparse_copy(from, to_raw, "copies", &action, &progress, NULL));
        assert_true(ka_qcow2_write(from, to, compress, &action, &progress, NULL));
        assert_true(g_spawn_command_line_sync(command, NULL, NULL, &status, NULL));
        assert_int_equal(status, 0);
        close(from);
        close(to_raw);
        close(to);
    }
    g_unlink(raw);
    g_unlink(packed);
    g_rmdir(folder);
    if (!qemu_img)
        skip();
}

/* What qemu-img wrote, in each way that it packs. */
static void
qcow2_of_qemu_is_read(G_GNUC_UNUSED void **state)
{
    static const char *const ways[] = {"-o cluster_size=4k", "-c -o compression_type=zlib",
                                       "-c -o compression_type=zstd,cluster_size=2M",
                                       "-o compat=0.10"};
    g_autofree char *folder = g_dir_make_tmp("ka-qcow2-XXXXXX", NULL);
    g_autofree char *raw = g_build_filename(folder, "a.raw", NULL);
    g_autofree char *packed = g_build_filename(folder, "a.qcow2", NULL);
    g_autofree char *qemu_img = g_find_program_in_path("qemu-img");
    int from = sample(), to_raw = g_creat(raw, 0600);

    assert_true(ka_sparse_copy(from, to_raw, "copies", &action, &progress, NULL));
    for (gsize i = 0; qemu_img && i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *command = g_strdup_printf(
            "qemu-img convert -f raw -O qcow2 %s %s %s", ways[i], raw, packed);
        g_autoptr(GError) error = NULL;
        int status = -1, back = temporary(), fd = -1;

        assert_true(g_spawn_command_line_sync(command, NULL, NULL, &status, NULL));
        assert_int_equal(status, 0);
        fd = g_open(packed, O_RDONLY, 0);
        if (!ka_qcow2_read(fd, back, "a.qcow2", &action, &progress, &error))
            fail_msg("%s: %s", ways[i], error->message);
        assert_same(from, back);
        close(fd);
        close(back);
    }
    close(from);
    close(to_raw);
    g_unlink(raw);
    g_unlink(packed);
    g_rmdir(folder);
    if (!qemu_img)
        skip();
}

/* Any byte of a table or header turned: an error or other data, never more than that. */
static void
qcow2_damaged_is_refused_or_read_within_bounds(G_GNUC_UNUSED void **state)
{
    int from = temporary(), packed = temporary();
    struct stat status;
    guint refused = 0;

    assert_int_equal(ftruncate(from, 1 << 20), 0);
    put(from, "data", 70000);
    assert_true(ka_qcow2_write(from, packed, TRUE, &action, &progress, NULL));
    assert_int_equal(fstat(packed, &status), 0);
    for (off_t at = 0; at < 112 + 8; at++) {
        off_t place = at < 112 ? at : 65536 + at - 112;
        guint8 before = 0, after = 0xff;
        int back = temporary();

        assert_int_equal(pread(packed, &before, 1, place), 1);
        assert_int_equal(pwrite(packed, &after, 1, place), 1);
        refused += !ka_qcow2_read(packed, back, "a.qcow2", &action, &progress, NULL);
        assert_int_equal(pwrite(packed, &before, 1, place), 1);
        close(back);
    }
    assert_true(refused > 20);
    assert_int_equal(ftruncate(packed, status.st_size / 2), 0);
    int back = temporary();
    g_autoptr(GError) error = NULL;
    assert_false(ka_qcow2_read(packed, back, "a.qcow2", &action, &progress, &error));
    assert_non_null(strstr(error->message, "'a.qcow2' is"));
    close(back);
    close(from);
    close(packed);
}

static void
copy_keeps_holes_and_makes_new_ones(G_GNUC_UNUSED void **state)
{
    int from = sample(), to = temporary();
    g_autofree char *zeros = g_malloc0(4 << 20);
    struct stat status;

    assert_int_equal(pwrite(from, zeros, 4 << 20, 100 << 20), 4 << 20);
    assert_true(ka_sparse_copy(from, to, "copies", &action, &progress, NULL));
    assert_same(from, to);
    assert_int_equal(fstat(to, &status), 0);
    assert_true((guint64)status.st_blocks * 512 < 2 << 20);
    close(from);
    close(to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qcow2_written_and_read_is_the_same),
        cmocka_unit_test(qcow2_written_is_fine_for_qemu),
        cmocka_unit_test(qcow2_of_qemu_is_read),
        cmocka_unit_test(qcow2_damaged_is_refused_or_read_within_bounds),
        cmocka_unit_test(copy_keeps_holes_and_makes_new_ones),
    };
    progress = (KaProgress){.cancel = g_cancellable_new(), .lock = &lock};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
