#include "manifest/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void
assert_explained(const char *path, const char *const *parts)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = ka_explain(path, &error);
    if (!text)
        fail_msg("%s", error->message);
    for (; *parts; parts++)
        if (!strstr(text, *parts))
            fail_msg("'%s' lacks '%s'", text, *parts);
}

static void
assert_unknown(const char *path, const char *part)
{
    g_autoptr(GError) error = NULL;
    assert_null(ka_explain(path, &error));
    if (!strstr(error->message, part))
        fail_msg("'%s' lacks '%s'", error->message, part);
}

static void
explain_of_a_kind_lists_its_keys(G_GNUC_UNUSED void **state)
{
    assert_explained("guests", (const char *const[]){"guests\n", "keys of guests:\n", "  memory …",
                                                     "  machine ", NULL});
    assert_explained("guest", (const char *const[]){"guests\n", NULL});
    assert_explained("project", (const char *const[]){"project\n", "expected   a name", NULL});
}

static void
explain_of_a_field_says_what_is_expected(G_GNUC_UNUSED void **state)
{
    assert_explained("guests.memory.current",
                     (const char *const[]){"guests.memory.current\n",
                                           "expected   a size with a unit such as 2GiB\n",
                                           "changes    at once",
                                           "libvirt    domain/currentMemory[@unit='KiB']\n", NULL});
    assert_explained("guests.features.acpi", (const char *const[]){"expected   true or false\n",
                                                                   "default    true\n", NULL});
}

static void
explain_of_items_takes_any_name_or_none(G_GNUC_UNUSED void **state)
{
    const char *const parts[] = {"guests.disks.NAME.cache\n",
                                 "libvirt    domain/devices/disk/driver/@cache\n", NULL};
    assert_explained("guests.disks.cache", parts);
    assert_explained("guests.disks.*.cache", parts);
    assert_explained("guests.disks.vda.cache", parts);
    assert_explained("guests.disks",
                     (const char *const[]){"keys of guests.disks.NAME:\n", "  cache ", NULL});
    assert_explained("guests.boot[]", (const char *const[]){"guests.boot[]\n", NULL});
}

static void
explain_of_the_unknown_names_the_nearest(G_GNUC_UNUSED void **state)
{
    assert_unknown("geusts", "unknown field 'geusts': did you mean 'guests'?");
    assert_unknown("guests.memry", "unknown field 'guests.memry': did you mean 'guests.memory'?");
    assert_unknown("guests.memory.zzzzzz", "known are current, maximum");
    assert_unknown("guests.disks.vda.cahce", "did you mean 'guests.disks.NAME.cache'?");
    assert_unknown("guests.memory.current.x", "unknown field 'guests.memory.current.x'");
    assert_unknown("", "unknown field ''");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explain_of_a_kind_lists_its_keys),
        cmocka_unit_test(explain_of_a_field_says_what_is_expected),
        cmocka_unit_test(explain_of_items_takes_any_name_or_none),
        cmocka_unit_test(explain_of_the_unknown_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
