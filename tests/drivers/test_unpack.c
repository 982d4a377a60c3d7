#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/unpack.h"

#include <bzlib.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <lzma.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define DATA_BYTES (3 * 1024 * 1024 + 777)
#define HOLE_AT (1024 * 1024)
#define HOLE_END (3 * 1024 * 1024)

static char *folder;
static GMutex lock;
static GCancellable *cancel;

static KaProgress
progress(void)
{
    return (KaProgress){.cancel = cancel, .lock = &lock};
}

/* Data, 2 MiB of zeros, data. */
static guint8 *
make_data(void)
{
    guint8 *data = g_malloc0(DATA_BYTES);
    guint32 x = 1;

    for (gsize i = 0; i < DATA_BYTES; i++)
        if (i < HOLE_AT || i >= HOLE_END)
            data[i] = (guint8)((x = x * 1664525 + 1013904223) >> 24);
    return data;
}

static gsize
pack_xz(const guint8 *data, gsize n, guint8 *to, gsize room)
{
    gsize used = 0;

    assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, data, n, to, &used, room),
                     LZMA_OK);
    return used;
}

static gsize
pack_gz(const guint8 *data, gsize n, guint8 *to, gsize room)
{
    z_stream stream = {.avail_in = (uInt)n, .next_out = to, .avail_out = (uInt)room};

    stream.next_in = (z_const Bytef *)g_memdup2(data, n);
    void *copy = stream.next_in;
    assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    g_free(copy);
    return room - stream.avail_out;
}

static gsize
pack_zst(const guint8 *data, gsize n, guint8 *to, gsize room)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();

    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    gsize used = ZSTD_compress2(context, to, room, data, n);
    assert_false(ZSTD_isError(used));
    ZSTD_freeCCtx(context);
    return used;
}

static gsize
pack_bz2(const guint8 *data, gsize n, guint8 *to, gsize room)
{
    unsigned used = (unsigned)room;
    g_autofree char *copy = g_memdup2(data, n);

    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)to, &used, copy, (unsigned)n, 1, 0, 0),
                     BZ_OK);
    return used;
}

static const struct {
    KaPacking packing;
    const char *name;
    gsize (*pack)(const guint8 *data, gsize n, guint8 *to, gsize room);
} formats[] = {
    {KA_PACKING_XZ,  "disk.img.xz",  pack_xz },
    {KA_PACKING_GZ,  "disk.img.GZ",  pack_gz },
    {KA_PACKING_ZST, "disk.img.zst", pack_zst},
    {KA_PACKING_BZ2, "disk.img.bz2", pack_bz2},
};

typedef struct {
    guint8 *bytes;
    gsize n;
} Packed;

/* Two streams, one after the other. */
static Packed
pack(gsize format, const guint8 *data)
{
    Packed packed = {g_malloc(2 * DATA_BYTES), 0};

    packed.n = formats[format].pack(data, HOLE_AT, packed.bytes, 2 * DATA_BYTES);
    packed.n += formats[format].pack(data + HOLE_AT, DATA_BYTES - HOLE_AT, packed.bytes + packed.n,
                                     2 * DATA_BYTES - packed.n);
    return packed;
}

static char *
in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* Unpacks the bytes as a file of the format; ret_fd: of what came out. */
static gboolean
unpack(gsize format, const guint8 *bytes, gsize n, guint64 limit, int *ret_fd, GError **error)
{
    g_autofree char *from = in_folder("packed"), *to = in_folder("unpacked");
    KaAction action = {0};
    KaProgress watch = progress();

    assert_true(g_file_set_contents(from, (const char *)bytes, (gssize)n, NULL));
    *ret_fd = open(to, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(*ret_fd, "old", 3), 3);
    return ka_unpack(from, formats[format].packing, *ret_fd, limit, &action, &watch, error);
}

static void
unpack_of_every_format_is_what_was_packed_and_sparse(void **state)
{
    g_autofree guint8 *data = make_data(), *found = g_malloc(DATA_BYTES);

    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GError) error = NULL;
        Packed packed = pack(i, data);
        struct stat status;
        int fd = -1;

        assert_true(unpack(i, packed.bytes, packed.n, DATA_BYTES, &fd, &error));
        assert_int_equal(fstat(fd, &status), 0);
        assert_int_equal(status.st_size, DATA_BYTES);
        assert_true(status.st_blocks * 512 < DATA_BYTES - (HOLE_END - HOLE_AT) / 2);
        assert_int_equal(pread(fd, found, DATA_BYTES, 0), DATA_BYTES);
        assert_memory_equal(found, data, DATA_BYTES);
        g_close(fd, NULL);
        g_free(packed.bytes);
    }
}

static void
expect_refusal(gsize format, const guint8 *bytes, gsize n, guint64 limit, const char *why)
{
    g_autoptr(GError) error = NULL;
    int fd = -1;

    if (unpack(format, bytes, n, limit, &fd, &error))
        fail_msg("%s: taken, should be refused: %s", formats[format].name, why);
    g_close(fd, NULL);
    assert_true(g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID));
    if (strstr(error->message, why) == NULL)
        fail_msg("%s: '%s' instead of '%s'", formats[format].name, error->message, why);
}

static void
unpack_of_what_is_cut_damaged_or_too_large_is_refused(void **state)
{
    g_autofree guint8 *data = make_data();

    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        Packed packed = pack(i, data);

        expect_refusal(i, packed.bytes, packed.n, DATA_BYTES - 1, "more than the limit");
        expect_refusal(i, packed.bytes, packed.n - 1, 0, "cut off");
        expect_refusal(i, packed.bytes, packed.n / 3, 0, "cut off");
        memcpy(packed.bytes + packed.n, "tail", 5);
        expect_refusal(i, packed.bytes, packed.n + 5, 0, "can't unpack");
        memset(packed.bytes + packed.n / 3, 0xa5, 64);
        expect_refusal(i, packed.bytes, packed.n, 0, "can't unpack");
        g_free(packed.bytes);
    }
}

static void
unpack_when_cancelled_ends(void **state)
{
    g_autofree guint8 *data = make_data();
    g_autoptr(GError) error = NULL;
    Packed packed = pack(0, data);
    int fd = -1;

    (void)state;
    g_cancellable_cancel(cancel);
    assert_false(unpack(0, packed.bytes, packed.n, 0, &fd, &error));
    assert_true(g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED));
    g_cancellable_reset(cancel);
    g_close(fd, NULL);
    g_free(packed.bytes);
}

/* Into a file that may not grow further. */
static void
unpack_to_a_full_disk_says_so(void **state)
{
    g_autofree guint8 *data = make_data();
    g_autoptr(GError) error = NULL;
    Packed packed = pack(0, data);
    struct rlimit before, small;
    int fd = -1;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){HOLE_END, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    gboolean is_done = unpack(0, packed.bytes, packed.n, 0, &fd, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(is_done);
    assert_true(g_error_matches(error, G_FILE_ERROR, g_file_error_from_errno(EFBIG)));
    assert_non_null(strstr(error->message, "can't write"));
    g_close(fd, NULL);
    g_free(packed.bytes);
}

static void
packing_is_what_name_and_first_bytes_agree_on(void **state)
{
    g_autofree guint8 *data = make_data();
    g_autofree char *path = in_folder("packed");
    KaPacking packing = KA_PACKING_NONE;

    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GError) error = NULL;
        Packed packed = pack(i, data);

        assert_true(g_file_set_contents(path, (const char *)packed.bytes, (gssize)packed.n, NULL));
        assert_true(ka_packing_find(path, formats[i].name, &packing, &error));
        assert_int_equal(packing, formats[i].packing);
        assert_true(ka_packing_find(path, NULL, &packing, &error));
        assert_int_equal(packing, formats[i].packing);
        assert_false(
            ka_packing_find(path, formats[(i + 1) % G_N_ELEMENTS(formats)].name, &packing, &error));
        assert_non_null(strstr(error->message, "though its name says so"));
        g_free(packed.bytes);
    }
    assert_true(g_file_set_contents(path, "plain", -1, NULL));
    assert_true(ka_packing_find(path, "disk.img", &packing, NULL));
    assert_int_equal(packing, KA_PACKING_NONE);
}

static int
set_up(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("ka-unpack-XXXXXX", NULL);
    cancel = g_cancellable_new();
    return 0;
}

static int
tear_down(void **state)
{
    g_autofree char *packed = in_folder("packed"), *unpacked = in_folder("unpacked");

    (void)state;
    g_unlink(packed);
    g_unlink(unpacked);
    g_rmdir(folder);
    g_free(folder);
    g_object_unref(cancel);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unpack_of_every_format_is_what_was_packed_and_sparse),
        cmocka_unit_test(unpack_of_what_is_cut_damaged_or_too_large_is_refused),
        cmocka_unit_test(unpack_when_cancelled_ends),
        cmocka_unit_test(unpack_to_a_full_disk_says_so),
        cmocka_unit_test(packing_is_what_name_and_first_bytes_agree_on),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
