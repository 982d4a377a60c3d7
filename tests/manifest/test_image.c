#include "tests/manifest/loading.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* rest: of the image's map. */
static Loaded *
load_image(const char *rest)
{
    g_autofree char *text = g_strdup_printf("images:\n  deb: {%s}\n", rest);

    return loaded_text(text);
}

static void
assert_refused(const char *image, const char *why)
{
    g_autoptr(Loaded) loaded = load_image(image);

    if (loaded->diagnostics->n_errors != 1 || !strstr(loaded->messages, why))
        fail_msg("%s: expected '%s', got:\n%s", image, why, loaded->messages);
}

static void
assert_fine(const char *image)
{
    g_autoptr(Loaded) loaded = load_image(image);

    if (loaded->diagnostics->n_errors)
        fail_msg("%s: refused:\n%s", image, loaded->messages);
}

static void
image_source_over_a_plain_line_wants_a_checksum(G_GNUC_UNUSED void **state)
{
    assert_refused("source: 'http://a.example/d.qcow2'", "'http' without a checksum");
    assert_refused("source: {url: 'ftp://a.example/d.qcow2'}", "'ftp' without a checksum");
    assert_refused("source: {url: 'https://a.example/d.qcow2', mirrors: ['http://b/d.qcow2']}",
                   "'http' without a checksum");
    assert_refused("source: {url: 'http://a.example/d.raw', checksums: 'http://a.example/SUMS'}",
                   "'checksums' wants https or file");
    assert_fine("source: {url: 'http://a.example/d.qcow2', sha256: " DIGEST "}");
    assert_fine("source: {url: 'http://a.example/d.raw', checksums: 'https://a.example/SUMS'}");
    assert_fine("source: 'https://a.example/d.qcow2'");
}

static void
image_source_is_one_of_four(G_GNUC_UNUSED void **state)
{
    assert_refused("size: 4GiB", "'source' is missing");
    assert_refused("source: {sha256: " DIGEST "}", "'url' or 'path' or 'volume' or 'guest' is missing");
    assert_refused("source: {path: a.raw, volume: b}", "exclude each other");
    assert_refused("source: {path: a.raw, mirrors: ['https://b/a.raw']}", "goes with 'url' alone");
    assert_refused("source: {volume: b, format: raw}", "goes with 'url' alone");
    assert_refused("source: {guest: web, pool: fast}", "goes with 'volume' alone");
    assert_fine("source: {volume: b, pool: fast}");
    assert_fine("source: {guest: web, disk: vda}");
}

static void
image_source_format_follows_from_its_name_or_is_said(G_GNUC_UNUSED void **state)
{
    static const struct {
        const char *source, *format;
    } cases[] = {
        {"url: 'https://a.example/d.qcow2'",       "qcow2"},
        {"url: 'https://a.example/d.RAW.xz?x=1'",  "raw"  },
        {"path: /dev/cdrom",                       "raw"  },
        {"path: a.img, format: qcow2",             "qcow2"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *rest = g_strdup_printf("source: {%s}", cases[i].source);
        g_autoptr(Loaded) loaded = load_image(rest);
        const KaObject *image = loaded_find(loaded, "image", "deb");

        assert_string_equal(ka_node_text(image->node, "source.format"), cases[i].format);
    }
    assert_refused("source: {path: a.img}", "say 'format'");
}

static void
image_format_is_raw_unless_it_is_compressed(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) plain = load_image("source: {path: a.raw}");
    g_autoptr(Loaded) packed = load_image("source: {path: a.raw}, compress: true");

    assert_string_equal(ka_node_text(loaded_find(plain, "image", "deb")->node, "format"), "raw");
    assert_string_equal(ka_node_text(loaded_find(packed, "image", "deb")->node, "format"),
                        "qcow2");
    assert_refused("source: {path: a.raw}, compress: true, format: raw", "can't be compressed");
}

static void
image_files_and_scripts_have_one_content(G_GNUC_UNUSED void **state)
{
    assert_refused("source: {path: a.raw}, files: {/a: {content: x, file: y}}",
                   "files.\"/a\": 'content' and 'file' exclude each other");
    assert_refused("source: {path: a.raw}, files: {/a: {mode: 0600}}", "'content' or 'file'");
    assert_refused("source: {path: a.raw}, run: [{script: a, command: b}]",
                   "run[0]: 'script' and 'command' exclude each other");
    assert_refused("source: {path: a.raw}, first-boot: [{}]", "'script' or 'command'");
    assert_fine("source: {path: a.raw}, files: {/a: text}, run: [a.sh, {command: ls}]");
}

static void
image_scrub_is_a_word_or_a_choice(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) loaded = load_image("source: {path: a.raw}, scrub: true");

    assert_string_equal(ka_node_text(loaded_find(loaded, "image", "deb")->node, "scrub.enabled"),
                        "yes");
    assert_fine("source: {path: a.raw}, scrub: {also: [user-account], keep: [logfiles], "
                "paths: ['/srv/*']}");
}

static void
image_that_no_disk_uses_needs_no_host(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) loaded = loaded_text("hosts: {a: {uri: 'test:///a'}, b: {uri: 'test:///b'}}\n"
                                           "images: {deb: {source: {path: a.raw}}}\n");

    assert_int_equal(loaded->diagnostics->n_errors, 0);
}

static void
image_of_a_disk_is_its_only_filling(G_GNUC_UNUSED void **state)
{
    static const char text[] = "images: {deb: {source: {path: a.raw}}}\n"
                               "disks: {root: {image: deb%s}}\n";
    static const struct {
        const char *more, *why;
    } cases[] = {
        {"",                                NULL                        },
        {", clone: full, size: 20GiB",      NULL                        },
        {", content: x.raw, format: raw",   "exclude each other"        },
        {", clone: half",                   "one of linked, full"       },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) parts = g_strsplit(text, "%s", 2);
        g_autofree char *all = g_strconcat(parts[0], cases[i].more, parts[1], NULL);
        g_autoptr(Loaded) loaded = loaded_text(all);

        if (cases[i].why ? !strstr(loaded->messages, cases[i].why)
                         : loaded->diagnostics->n_errors != 0)
            fail_msg("%s: got:\n%s", all, loaded->messages);
    }
    g_autoptr(Loaded) alone = loaded_text("disks: {root: {size: 1GiB, clone: full}}\n");
    assert_non_null(strstr(alone->messages, "'clone' goes with 'image' alone"));
    g_autoptr(Loaded) unknown = loaded_text("disks: {root: {image: dbe}}\n");
    assert_non_null(strstr(unknown->messages, "image 'dbe' is not declared"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_source_over_a_plain_line_wants_a_checksum),
        cmocka_unit_test(image_source_is_one_of_four),
        cmocka_unit_test(image_source_format_follows_from_its_name_or_is_said),
        cmocka_unit_test(image_format_is_raw_unless_it_is_compressed),
        cmocka_unit_test(image_files_and_scripts_have_one_content),
        cmocka_unit_test(image_scrub_is_a_word_or_a_choice),
        cmocka_unit_test(image_that_no_disk_uses_needs_no_host),
        cmocka_unit_test(image_of_a_disk_is_its_only_filling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
