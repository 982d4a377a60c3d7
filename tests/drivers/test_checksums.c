#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/fetch_part.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define A8 "aaaaaaaa"
#define B8 "bbbbbbbb"
#define A64 A8 A8 A8 A8 A8 A8 A8 A8
#define B64 B8 B8 B8 B8 B8 B8 B8 B8
#define A128 A64 A64
#define A32 A8 A8 A8 A8

typedef struct {
    const char *text;
    const char *sha256, *sha512; /* NULL: none is found */
    const char *refusal;         /* NULL: one is found */
} Case;

static const Case cases[] = {
    {A64 "  disk.img\n" B64 "  other.img\n",                                                   A64,  NULL, NULL       },
    {B64 "  other.img\n" A64 " *disk.img",                                                     A64,  NULL, NULL       },
    {A64 "  ./disk.img\r\n",                                                                   A64,  NULL, NULL       },
    {A128 "  disk.img\n",                                                                      NULL, A128, NULL       },
    {A64 "  disk.img\n" A128 "  disk.img\n",                                                   A64,  A128, NULL       },
    {"SHA256 (disk.img) = " A64 "\n",                                                          A64,  NULL, NULL       },
    {"MD5 (disk.img) = " A32 "\nSHA512 (disk.img) = " A128,                                    NULL, A128, NULL       },
    {"SHA512/256 (disk.img) = " A64 "\n",                                                      NULL, NULL, "no line"  },
    {"# disk.img: 12 bytes\nSHA256 (disk.img) = " A64 "\n",                                    A64,  NULL, NULL       },
    {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (disk.img) = " A64
     "\n-----BEGIN PGP SIGNATURE-----\n" B64 "  disk.img\n-----END PGP SIGNATURE-----\n",
     A64,                                                                                            NULL, NULL       },
    {"AAAAAAAA" A8 A8 A8 A8 A8 A8 A8 "  disk.img\n",                                           A64,  NULL, NULL       },
    {A64 "\n",                                                                                 A64,  NULL, NULL       },
    {A64 "  folder/disk.img\n",                                                                A64,  NULL, NULL       },
    {B64 "  folder/disk.img\n" A64 "  disk.img\n",                                             A64,  NULL, NULL       },
    {A64 "  disk.img\n" B64 "  folder/disk.img\n",                                             A64,  NULL, NULL       },
    {A64 "  a/disk.img\n" B64 "  b/disk.img\n",                                                NULL, NULL, "different"},
    {A64 "  disk.img\n" B64 "  disk.img\n",                                                    NULL, NULL, "different"},
    {A64 "  disk.img.xz\n",                                                                    NULL, NULL, "no line"  },
    {A64 "  mydisk.img\n",                                                                     NULL, NULL, "no line"  },
    {A32 "  disk.img\n",                                                                       NULL, NULL, "MD5"      },
    {A8 "zz  disk.img\n",                                                                      NULL, NULL, "no line"  },
    {"",                                                                                       NULL, NULL, "no line"  },
    {"<html>not found</html>",                                                                 NULL, NULL, "no line"  },
};

static void
checksums_of_every_form_are_found(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *sha256 = NULL, *sha512 = NULL;
        g_autoptr(GError) error = NULL;
        gboolean is_found = ka_checksums_find(cases[i].text, "disk.img", &sha256, &sha512, &error);

        if (is_found != (cases[i].refusal == NULL) || g_strcmp0(sha256, cases[i].sha256) != 0 ||
            g_strcmp0(sha512, cases[i].sha512) != 0 ||
            (!is_found && strstr(error->message, cases[i].refusal) == NULL))
            fail_msg("case %zu: '%s', '%s', '%s'", i, sha256, sha512, error ? error->message : "");
    }
}

static int
write_some(int fd, guint n)
{
    g_autofree char *piece = g_strnfill(n, 'a');

    return (int)write(fd, piece, n);
}

/* In pieces that fit no block, as published (FIPS 180: a million times 'a'). */
static void
hash_of_a_growing_file_is_the_published_one(void **state)
{
    g_autofree char *path = NULL, *sha256 = NULL, *sha512 = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    const KaAction action = {0};
    const KaProgress progress = {.cancel = cancel};
    int fd = g_file_open_tmp("ka-hash-XXXXXX", &path, NULL);
    KaHash *hash = ka_hash_new(fd, TRUE);

    (void)state;
    g_unlink(path);
    for (guint done = 0, n = 0; done < 1000000; done += n) {
        n = MIN(1000000 - done, 997);
        assert_int_equal(write_some(fd, n), n);
        ka_hash_reach(hash, done + n);
    }
    assert_true(ka_hash_end(hash, &action, &progress, &sha256, &sha512, &error));
    assert_string_equal(sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_string_equal(sha512, "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
                                "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b");
    ka_hash_free(hash);
    g_close(fd, NULL);
}

static void
hash_of_what_became_shorter_fails(void **state)
{
    g_autofree char *path = NULL, *sha256 = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    const KaAction action = {0};
    const KaProgress progress = {.cancel = cancel};
    int fd = g_file_open_tmp("ka-hash-XXXXXX", &path, NULL);
    KaHash *hash = ka_hash_new(fd, FALSE), *unread = ka_hash_new(fd, FALSE);

    (void)state;
    g_unlink(path);
    assert_int_equal(write_some(fd, 10), 10);
    ka_hash_reach(unread, 10);
    ka_hash_free(unread);
    ka_hash_reach(hash, 11);
    assert_false(ka_hash_end(hash, &action, &progress, &sha256, NULL, &error));
    assert_non_null(strstr(error->message, "can't read"));
    ka_hash_free(hash);
    g_close(fd, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_of_every_form_are_found),
        cmocka_unit_test(hash_of_a_growing_file_is_the_published_one),
        cmocka_unit_test(hash_of_what_became_shorter_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
