#include "manifest/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void
assert_canonical(const KaCodec *codec, const char *text, const char *canonical)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *parsed = ka_codec_parse(codec, text, &error);
    if (!parsed)
        fail_msg("%s: '%s': %s", codec->name, text, error->message);
    assert_string_equal(parsed, canonical);
    const char *quick = ka_codec_canonical(codec, text);
    if (quick)
        assert_string_equal(quick, canonical);
}

static void
assert_refused(const KaCodec *codec, const char *text, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *parsed = ka_codec_parse(codec, text, &error);
    if (parsed)
        fail_msg("%s: '%s' is taken as '%s'", codec->name, text, parsed);
    assert_true(g_error_matches(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE));
    if (!strstr(error->message, part))
        fail_msg("'%s' lacks '%s'", error->message, part);
}

static void
assert_formatted(const KaCodec *codec, const char *canonical, const char *text)
{
    g_autofree char *formatted = ka_codec_format(codec, canonical);
    assert_string_equal(formatted, text);
}

static void
size_with_unit_is_scaled_as_libvirt_does(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_kib, "2GiB", "2097152");
    assert_canonical(&ka_kib, "64MiB", "65536");
    assert_canonical(&ka_kib, "65536KiB", "65536");
    assert_canonical(&ka_kib, "1k", "1");
    assert_canonical(&ka_kib, "1 G", "1048576");
    assert_canonical(&ka_bytes, "1KB", "1000");
    assert_canonical(&ka_bytes, "1K", "1024");
    assert_canonical(&ka_bytes, "3mb", "3000000");
    assert_canonical(&ka_bytes, "2TiB", "2199023255552");
    assert_canonical(&ka_bytes, "7bytes", "7");
    assert_canonical(&ka_bytes, "7EiB", "8070450532247928832");
}

static void
size_that_is_no_whole_kib_is_rounded_up(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_kib, "1B", "1");
    assert_canonical(&ka_kib, "1025B", "2");
    assert_canonical(&ka_kib, "1GB", "976563");
    assert_canonical(&ka_kib, "0B", "0");
}

static void
size_without_unit_is_refused_with_the_unit_to_add(G_GNUC_UNUSED void **state)
{
    assert_refused(&ka_kib, "2048", "add a unit, e.g. 2048MiB");
    assert_refused(&ka_seconds, "10", "add a unit, e.g. 10s");
    assert_refused(&ka_ms, "20", "add a unit, e.g. 20ms");
}

static void
size_that_is_wrong_or_too_large_is_refused(G_GNUC_UNUSED void **state)
{
    static const char *const wrong[] = {"", "2x", "GiB", "-1GiB", "1.5GiB", "2GiBB", "2kk", "1ZiB"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_refused(&ka_kib, wrong[i], "expected a size with a unit such as 2GiB");
    assert_refused(&ka_bytes, "8EiB", "below 8EiB");
    assert_refused(&ka_bytes, "99999999999999999999999B", "expected");
    assert_refused(&ka_bytes, "18446744073709551615KiB", "below 8EiB");
}

static void
size_is_formatted_in_the_largest_exact_binary_unit(G_GNUC_UNUSED void **state)
{
    assert_formatted(&ka_kib, "2097152", "2GiB");
    assert_formatted(&ka_kib, "2097153", "2097153KiB");
    assert_formatted(&ka_kib, "1536", "1536KiB");
    assert_formatted(&ka_bytes, "1000", "1000B");
    assert_formatted(&ka_bytes, "0", "0B");
    assert_canonical(&ka_bytes, "0B", "0");
    assert_canonical(&ka_capacity, "1B", "1");
    assert_refused(&ka_capacity, "0B", "must be at least 1B");
    assert_refused(&ka_capacity, "00 GiB", "must be at least 1B");
    assert_formatted(&ka_kib, "odd", "odd");
    assert_formatted(&ka_kib, "18446744073709551615", "18446744073709551615");
}

static void
size_within_bounds_is_taken_others_refused(G_GNUC_UNUSED void **state)
{
    KaCodec bounded = ka_kib;
    bounded.minimum = 1024;
    bounded.maximum = 4096;
    assert_canonical(&bounded, "1MiB", "1024");
    assert_refused(&bounded, "1KiB", "must be from 1MiB to 4MiB");
    assert_refused(&bounded, "1GiB", "must be from 1MiB to 4MiB");
}

static void
time_is_scaled_exactly(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_ms, "2s", "2000");
    assert_canonical(&ka_seconds, "5min", "300");
    assert_canonical(&ka_seconds, "2000ms", "2");
    assert_refused(&ka_seconds, "1500ms", "must be whole s");
    assert_refused(&ka_seconds, "99999999999999999999h", "expected");
    assert_refused(&ka_seconds, "9999999999999999h", "too long");
    assert_formatted(&ka_seconds, "43200", "12h");
    assert_formatted(&ka_seconds, "90", "90s");
    assert_formatted(&ka_ms, "20", "20ms");
    assert_formatted(&ka_seconds, "0", "0s");
}

static void
number_in_range_is_canonical_without_zeros(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_uint, "007", "7");
    assert_canonical(&ka_uint, "0", "0");
    assert_canonical(&ka_uint, "2147483647", "2147483647");
    assert_refused(&ka_uint, "2147483648", "a whole number from 0 to 2147483647");
    assert_refused(&ka_positive, "0", "from 1 to");
    assert_refused(&ka_port, "65536", "from 0 to 65535");
    assert_refused(&ka_uint, "1.0", "expected");
    assert_refused(&ka_uint, "+1", "expected");
    assert_refused(&ka_uint, "99999999999999999999", "expected");
    assert_true(ka_codec_equal(&ka_uint, "0x10", "16"));
    assert_true(ka_codec_equal(&ka_uint, "016", "16"));
    assert_false(ka_codec_equal(&ka_uint, "15", "16"));
}

static void
boolean_in_any_spelling_is_the_hosts_word(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_yes_no, "true", "yes");
    assert_canonical(&ka_yes_no, "off", "no");
    assert_canonical(&ka_on_off, "Yes", "on");
    assert_canonical(&ka_on_off, "FALSE", "off");
    assert_refused(&ka_yes_no, "1", "expected true or false, got '1'");
    assert_formatted(&ka_on_off, "off", "false");
    assert_formatted(&ka_presence, "yes", "true");
}

static void
presence_that_is_absent_equals_no(G_GNUC_UNUSED void **state)
{
    assert_true(ka_codec_equal(&ka_presence, NULL, "no"));
    assert_false(ka_codec_equal(&ka_presence, NULL, "yes"));
    assert_false(ka_codec_equal(&ka_yes_no, NULL, "no"));
    assert_true(ka_codec_equal(&ka_yes_no, NULL, NULL));
}

static void
enumeration_misspelt_suggests_the_nearest(G_GNUC_UNUSED void **state)
{
    KA_ENUM(cache, "none", "writeback", "writethrough");
    assert_canonical(&cache, "none", "none");
    assert_refused(&cache, "writebak",
                   "expected one of none, writeback, writethrough, got 'writebak': did you mean "
                   "'writeback'?");
}

static void
path_loses_spare_slashes(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_path, "/srv//vm/", "/srv/vm");
    assert_canonical(&ka_path, "///", "/");
    assert_canonical(&ka_path, "/srv/vm", "/srv/vm");
    assert_refused(&ka_path, "srv/vm", "absolute path");
    assert_refused(&ka_path, "/srv\n/vm", "absolute path");
    assert_true(ka_codec_equal(&ka_path, "/srv/vm", "/srv/vm/"));
}

static void
address_is_as_inet_ntop_prints_it(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_address, "FD00:0050:0::1", "fd00:50::1");
    assert_canonical(&ka_address, "10.0.0.1", "10.0.0.1");
    assert_refused(&ka_address, "10.0.0.256", "IPv4 or IPv6");
    assert_canonical(&ka_cidr, "192.168.50.1/24", "192.168.50.1/24");
    assert_refused(&ka_cidr, "192.168.50.1", "add the prefix");
    assert_refused(&ka_cidr, "192.168.50.1/33", "expected");
    assert_canonical(&ka_cidr, "10.24.10.1/default", "10.24.10.1/default");
    assert_true(ka_codec_equal(&ka_cidr, "10.24.10.1/default", "10.24.10.1/8"));
    assert_true(ka_codec_equal(&ka_cidr, "fd00::1/64", "fd00::1/default"));
    assert_false(ka_codec_equal(&ka_cidr, "192.168.50.1/default", "192.168.50.1/16"));
    assert_canonical(&ka_range, "10.0.0.1 - 10.0.0.9", "10.0.0.1-10.0.0.9");
    assert_canonical(&ka_range, "fd00::1-fd00::1ff", "fd00::1-fd00::1ff");
    assert_refused(&ka_range, "10.0.0.9-10.0.0.1", "the first is above the last");
    assert_refused(&ka_range, "10.0.0.9-fd00::1", "families");
    assert_refused(&ka_range, "10.0.0.9", "two addresses");
    assert_refused(&ka_range, "", "two addresses");
}

static void
hardware_address_is_folded(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_mac, "52:54:00:AB:cd:0F", "52:54:00:ab:cd:0f");
    assert_canonical(&ka_mac, "52:54:0:1:2:3", "52:54:00:01:02:03");
    assert_refused(&ka_mac, "52:54:00:12:34", "MAC");
    assert_refused(&ka_mac, "52:54:00:12:34:56:78", "MAC");
    assert_refused(&ka_mac, "52:54:00:12:34: 5", "MAC");
    assert_canonical(&ka_pci, "0000:04:00.0", "0x0000:0x04:0x00.0x0");
    assert_canonical(&ka_pci, "04:00.1", "0x0000:0x04:0x00.0x1");
    assert_canonical(&ka_pci, "0x0000:0x04:0x1f.0x7", "0x0000:0x04:0x1f.0x7");
    assert_refused(&ka_pci, "04:20.0", "PCI");
    assert_formatted(&ka_pci, "0x0000:0x04:0x00.0x0", "0000:04:00.0");
    assert_canonical(&ka_uuid, "3F2504E04F8941D39A0C0305E82C3301",
                     "3f2504e0-4f89-41d3-9a0c-0305e82c3301");
    assert_refused(&ka_uuid, "3f2504e0--4f89-41d3-9a0c-0305e82c3301", "UUID");
    assert_refused(&ka_uuid, "3f2504e0-4f89-41d3-9a0c-0305e82c330", "UUID");
}

static void
cpuset_is_compared_as_a_set(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_cpuset, "0-3,^2,7", "0-1,3,7");
    assert_canonical(&ka_cpuset, "4", "4");
    assert_canonical(&ka_cpuset, "16383", "16383");
    assert_refused(&ka_cpuset, "16384", "set of CPUs");
    assert_refused(&ka_cpuset, "3-1", "set of CPUs");
    assert_refused(&ka_cpuset, "", "set of CPUs");
    assert_refused(&ka_cpuset, "1,^1", "the set is empty");
    assert_true(ka_codec_equal(&ka_cpuset, "0,1,2", "0-2"));
}

static void
mode_is_four_digits(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_octal, "755", "0755");
    assert_canonical(&ka_octal, "0o711", "0711");
    assert_refused(&ka_octal, "0788", "mode");
    assert_refused(&ka_octal, "17777", "mode");
}

static void
text_that_xml_cannot_hold_is_refused(G_GNUC_UNUSED void **state)
{
    assert_canonical(&ka_string, "two\nlines", "two\nlines");
    assert_refused(&ka_line, "two\nlines", "one line of text");
    assert_refused(&ka_string, "bell\a", "control characters");
    assert_refused(&ka_string, "\xef\xbf\xbf", "control characters");
    assert_refused(&ka_word, "a b", "a word");
    assert_refused(&ka_word, "", "a word");
    assert_refused(&ka_device, "a.b", "a name");
    assert_refused(&ka_fragment, "watchdog", "libvirt XML");
    assert_refused(&ka_fragment, "<pae/", "'pae'");
    assert_refused(&ka_fragment, "<a><b></a>", "currently open element is 'b'");
    assert_refused(&ka_fragment, "</xml><xml>", "fragment");
    assert_refused(&ka_fragment, "<a/>b", "text stands outside");
    assert_refused(&ka_fragment, "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "'x' is not known");
    assert_canonical(&ka_fragment, "<a b='c'>d &amp; e</a>\n<f:g/><!-- h -->",
                     "<a b='c'>d &amp; e</a>\n<f:g/><!-- h -->");
    assert_refused(&ka_uri, "qemu", "libvirt URI");
    assert_canonical(&ka_uri, "qemu+ssh://root@[fd00::1]/system?no_tty=1",
                     "qemu+ssh://root@[fd00::1]/system?no_tty=1");
}

static void
secret_that_is_refused_is_not_shown(G_GNUC_UNUSED void **state)
{
    g_autoptr(GError) error = NULL;
    assert_null(ka_codec_parse(&ka_secret, "hunter2\n", &error));
    assert_null(strstr(error->message, "hunter2"));
}

static void
name_that_could_leave_a_pool_is_refused(G_GNUC_UNUSED void **state)
{
    static const char *const wrong[] = {"",    ".",   "..",   "a/b",  "-a",  " a",  "a ",
                                        "a<b", "a'b", "a\"b", "a\nb", "a&b", "\xff"};
    static const char *const unseen[] = {"a\xc2\x85"
                                         "b",
                                         "a\u202eb", "a\u200bb"};
    for (gsize i = 0; i < G_N_ELEMENTS(unseen); i++)
        assert_refused(&ka_name, unseen[i], "control characters");
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_refused(&ka_name, wrong[i], "expected a name");
    g_autofree char *longest = g_strnfill(200, 'n'), *longer = g_strnfill(201, 'n');
    assert_true(ka_name_check(longest, NULL));
    assert_false(ka_name_check(longer, NULL));
    assert_true(ka_name_check("disk 1 of größe.qcow2", NULL));
    assert_true(ka_name_check("x", NULL));
    /* What the schema says of names is what the code does. */
    for (gsize i = 0; i < G_N_ELEMENTS(wrong) - 1; i++)
        assert_false(g_regex_match_simple(ka_name.pattern, wrong[i], G_REGEX_DOLLAR_ENDONLY, 0));
    assert_true(g_regex_match_simple(ka_name.pattern, "disk 1 of größe.qcow2", 0, 0));
    assert_true(g_regex_match_simple(ka_name.pattern, "x", 0, 0));
}

static void
codec_with_pattern_alone_asks_it(G_GNUC_UNUSED void **state)
{
    static const KaCodec drive = {.name = "drive",
                                  .expected = "a drive address",
                                  .json_type = "string",
                                  .pattern = "^[0-9]+:[0-9]+$"};
    assert_canonical(&drive, "0:1", "0:1");
    assert_refused(&drive, "0:x", "expected a drive address, got '0:x'");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_with_unit_is_scaled_as_libvirt_does),
        cmocka_unit_test(size_that_is_no_whole_kib_is_rounded_up),
        cmocka_unit_test(size_without_unit_is_refused_with_the_unit_to_add),
        cmocka_unit_test(size_that_is_wrong_or_too_large_is_refused),
        cmocka_unit_test(size_is_formatted_in_the_largest_exact_binary_unit),
        cmocka_unit_test(size_within_bounds_is_taken_others_refused),
        cmocka_unit_test(time_is_scaled_exactly),
        cmocka_unit_test(number_in_range_is_canonical_without_zeros),
        cmocka_unit_test(boolean_in_any_spelling_is_the_hosts_word),
        cmocka_unit_test(presence_that_is_absent_equals_no),
        cmocka_unit_test(enumeration_misspelt_suggests_the_nearest),
        cmocka_unit_test(path_loses_spare_slashes),
        cmocka_unit_test(address_is_as_inet_ntop_prints_it),
        cmocka_unit_test(hardware_address_is_folded),
        cmocka_unit_test(cpuset_is_compared_as_a_set),
        cmocka_unit_test(mode_is_four_digits),
        cmocka_unit_test(text_that_xml_cannot_hold_is_refused),
        cmocka_unit_test(secret_that_is_refused_is_not_shown),
        cmocka_unit_test(name_that_could_leave_a_pool_is_refused),
        cmocka_unit_test(codec_with_pattern_alone_asks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
