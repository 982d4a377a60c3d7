#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/storage.h"

#include <unistd.h>

/* Bytes at a place of an otherwise empty file of 128 KiB. */
typedef struct {
    gsize at;
    const char *bytes;
    gsize n;
} Piece;

#define PIECE(place, text)                                                                         \
    {                                                                                              \
        place, text, sizeof(text) - 1                                                              \
    }
#define N_PIECES 6

typedef struct {
    const char *format;
    Piece pieces[N_PIECES];
    const char *refusal; /* part of the error; NULL: it is taken */
    guint64 size_bytes;
} Case;

#define QCOW2_V3                                                                                   \
    PIECE(0, "QFI\xfb\0\0\0\3"), PIECE(20, "\0\0\0\20\0\0\0\0\x40\0\0\0"), PIECE(100, "\0\0\0\x68")
#define VMDK                                                                                       \
    PIECE(0, "KDMV\1\0\0\0"), PIECE(12, "\0\0\1\0\0\0\0\0"),                                       \
        PIECE(28, "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0")

static const Case cases[] = {
    {"qcow2", {QCOW2_V3},                                                                   NULL,                     1 << 30    },
    {"qcow2", {QCOW2_V3, PIECE(8, "\0\0\0\0\0\0\1\0")},                                     "has a backing file",     0          },
    {"qcow2", {QCOW2_V3, PIECE(72, "\0\0\0\0\0\0\0\4")},                                    "in another file",        0          },
    {"qcow2", {QCOW2_V3, PIECE(104, "\x44\x41\x54\x41\0\0\0\4name")},                       "names a data file",      0          },
    {"qcow2",
     {PIECE(0, "QFI\xfb\0\0\0\3"), PIECE(20, "\0\0\0\25"), PIECE(100, "\xff\xff\xff\xf0")},
     "too long",                                                                                                      0          },
    {"qcow",  {PIECE(0, "QFI\xfb\0\0\0\1"), PIECE(24, "\0\0\0\0\0\x10\0\0")},               NULL,                     1 << 20    },
    {"qcow",
     {PIECE(0, "QFI\xfb\0\0\0\1"), PIECE(8, "\0\0\0\0\0\0\0\x40")},
     "has a backing file",                                                                                            0          },
    {"qed",   {PIECE(0, "QED\0"), PIECE(48, "\0\0\x10\0\0\0\0\0")},                         NULL,                     1 << 20    },
    {"qed",   {PIECE(0, "QED\0"), PIECE(16, "\1")},                                         "has a backing file",     0          },
    {"vmdk",  {VMDK},                                                                       NULL,                     65536 * 512},
    {"vmdk",  {VMDK, PIECE(600, "parentFileNameHint=\"/etc/shadow\"")},                     "has a parent",           0          },
    {"vmdk",  {VMDK, PIECE(36, "\xff\xff\xff\xff\xff\xff\xff\xff")},                        "too long",               0          },
    {"vmdk",  {PIECE(0, "KDMV\1\0\0\0")},                                                   "extents in other files", 0          },
    {"vmdk",  {PIECE(0, "# Disk DescriptorFile\n")},                                        "names other files",      0          },
    {"vdi",   {PIECE(64, "\x7f\x10\xda\xbe"), PIECE(76, "\1"), PIECE(370, "\x10")},         NULL,                     1 << 20    },
    {"vdi",   {PIECE(64, "\x7f\x10\xda\xbe"), PIECE(76, "\4")},                             "difference",             0          },
    {"vpc",
     {PIECE(0, "conectix"), PIECE(48, "\0\0\0\0\0\x10\0\0"), PIECE(60, "\0\0\0\3")},
     NULL,                                                                                                            1 << 20    },
    {"vpc",   {PIECE(0, "conectix"), PIECE(60, "\0\0\0\4")},                                "difference",             0          },
    {"iso",   {PIECE(32769, "CD001")},                                                      NULL,                     131072     },
    {"raw",   {PIECE(510, "\x55\xaa")},                                                     NULL,                     131072     },
    {"raw",   {QCOW2_V3},                                                                   "looks like qcow2",       0          },
    {"raw",   {PIECE(32769, "CD001")},                                                      "looks like iso",         0          },
    {"qcow2", {PIECE(0, "hello")},                                                          "looks like raw",         0          },
    {"qcow2", {VMDK},                                                                       "looks like vmdk",        0          },
    {"bochs", {PIECE(0, "hello")},                                                          "not uploaded",           0          },
};

static void
check(const Case *of)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    guint64 size_bytes = 0;
    int fd = g_file_open_tmp("ka-image-XXXXXX", &path, NULL);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 131072), 0);
    for (gsize i = 0; i < N_PIECES && of->pieces[i].bytes; i++)
        assert_int_equal(pwrite(fd, of->pieces[i].bytes, of->pieces[i].n, (off_t)of->pieces[i].at),
                         of->pieces[i].n);
    gboolean taken = ka_image_check(fd, of->format, "file.img", &size_bytes, &error);
    close(fd);
    unlink(path);
    assert_int_equal(taken, of->refusal == NULL);
    if (of->refusal) {
        assert_non_null(strstr(error->message, of->refusal));
        assert_non_null(strstr(error->message, "file.img"));
    } else {
        assert_int_equal(size_bytes, of->size_bytes);
    }
}

static void
image_check_headers_are_taken_or_refused(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        check(&cases[i]);
}

static void
image_check_no_regular_file_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    guint64 size_bytes = 0;
    int pair[2];

    (void)state;
    assert_int_equal(pipe(pair), 0);
    assert_false(ka_image_check(pair[0], "raw", "pipe", &size_bytes, &error));
    assert_non_null(strstr(error->message, "not a regular file"));
    close(pair[0]);
    close(pair[1]);
}

static void
image_check_short_file_is_raw_only(void **state)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    guint64 size_bytes = 7;
    int fd = g_file_open_tmp("ka-image-XXXXXX", &path, NULL);

    (void)state;
    assert_true(ka_image_check(fd, "raw", "empty", &size_bytes, &error));
    assert_int_equal(size_bytes, 0);
    assert_false(ka_image_check(fd, "qcow2", "empty", &size_bytes, &error));
    close(fd);
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_check_headers_are_taken_or_refused),
        cmocka_unit_test(image_check_no_regular_file_is_refused),
        cmocka_unit_test(image_check_short_file_is_raw_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
