#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/fetch_part.h"

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

/* More than one block, in pieces that fit none, as published (FIPS 180: a million times 'a'). */
static void
hash_of_many_pieces_is_the_published_one(void **state)
{
    g_autoptr(KaHash) hash = ka_hash_new(TRUE);
    g_autofree char *sha256 = NULL, *sha512 = NULL, *piece = g_strnfill(997, 'a');

    (void)state;
    for (guint left = 1000000; left > 0; left -= MIN(left, 997))
        ka_hash_add(hash, piece, MIN(left, 997));
    ka_hash_end(hash, &sha256, &sha512);
    assert_string_equal(sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_string_equal(sha512, "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
                                "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b");
}

static void
hash_that_never_ends_is_freed(void **state)
{
    g_autoptr(KaHash) hash = ka_hash_new(FALSE);

    (void)state;
    ka_hash_add(hash, "abc", 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_of_every_form_are_found),
        cmocka_unit_test(hash_of_many_pieces_is_the_published_one),
        cmocka_unit_test(hash_that_never_ends_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
