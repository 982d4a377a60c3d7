#include "drivers/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib/gstdio.h>
#include <string.h>

/* What validation says of one manifest. */
static char *
validated(const char *text, guint *ret_n_errors)
{
    g_autofree char *folder = g_dir_make_tmp("kvmapply-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "a.yaml", NULL);
    assert_true(g_file_set_contents(file, text, -1, NULL));
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(KaManifest) manifest =
        ka_manifest_load((const char *const[]){file, NULL}, NULL, diagnostics);
    if (manifest) {
        gboolean is_valid = ka_validate_xml(manifest, diagnostics);
        assert_int_equal(is_valid, diagnostics->n_errors == 0);
    }
    GString *messages = g_string_new(NULL);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *item = g_ptr_array_index(diagnostics->items, i);
        g_string_append_printf(messages, "%u:%u: %s: %s\n", item->mark.line, item->mark.column,
                               item->severity == KA_ERROR ? "error" : "warning", item->message);
    }
    *ret_n_errors = diagnostics->n_errors;
    g_remove(file);
    g_rmdir(folder);
    return g_string_free(messages, FALSE);
}

static void
assert_valid(const char *text)
{
    guint n_errors = 0;
    g_autofree char *messages = validated(text, &n_errors);
    assert_string_equal(messages, "");
}

static void
assert_said(const char *text, const char *const *parts, guint n_wanted)
{
    guint n_errors = 0;
    g_autofree char *messages = validated(text, &n_errors);
    for (; *parts; parts++)
        if (!strstr(messages, *parts))
            fail_msg("'%s' lacks '%s'", messages, *parts);
    assert_int_equal(n_errors, n_wanted);
}

static const char whole[] =
    "networks:\n"
    "  lan:\n"
    "    forward: nat\n"
    "    address: 192.168.50.1/24\n"
    "    dhcp: {range: 192.168.50.100-192.168.50.200, hosts: {web: 192.168.50.10}}\n"
    "pools:\n"
    "  fast: {type: dir, path: /srv/vm}\n"
    "disks:\n"
    "  web-root: {pool: fast, size: 20GiB}\n"
    "guests:\n"
    "  web:\n"
    "    vcpus: {current: 2, maximum: 8}\n"
    "    memory: {current: 2GiB, maximum: 8GiB}\n"
    "    disks: {vda: {disk: web-root}}\n"
    "    nics: {lan: {network: lan}}\n"
    "  test: {memory: 64MiB}\n";

static void
validate_of_good_objects_says_nothing(G_GNUC_UNUSED void **state)
{
    assert_valid(whole);
    /* Nothing is left of the first time. */
    assert_valid(whole);
    assert_valid("guests: {}\n");
}

static void
validate_of_what_libvirt_rejects_is_an_error_at_the_object(G_GNUC_UNUSED void **state)
{
    assert_said("guests:\n"
                "  a: {memory: 64MiB, nics: {lan: {user: true, mac: 53:54:00:00:00:01}}}\n"
                "  b: {memory: 64MiB}\n"
                "  c:\n"
                "    memory: 64MiB\n"
                "    xml: {features: \"<hyperv><relaxed state='maybe'/></hyperv>\"}\n",
                (const char *const[]){"2:3: error: guest 'a': libvirt refuses it: XML error: "
                                      "expected unicast mac address, found multicast "
                                      "'53:54:00:00:00:01' (libvirt error 27)\n",
                                      "4:3: error: guest 'c': libvirt refuses it: ", NULL},
                2);
}

static void
validate_of_networks_and_pools_asks_libvirt_too(G_GNUC_UNUSED void **state)
{
    assert_said("networks:\n"
                "  lan: {forward: nat, xml: {bridge: \"<bridge stp='maybe'/>\"}}\n"
                "pools:\n"
                "  odd: {type: dir, path: /srv/vm, xml: {pool: \"<target>\\\n"
                "    <permissions><mode>99</mode></permissions></target>\"}}\n",
                (const char *const[]){"2:3: error: network 'lan': libvirt refuses it: ",
                                      "4:3: error: pool 'odd': libvirt refuses it: ", NULL},
                2);
}

static void
validate_of_what_a_newer_libvirt_may_know_is_a_warning(G_GNUC_UNUSED void **state)
{
    assert_said("guests:\n"
                "  a: {memory: 64MiB, video: brandnew, graphics: {vnc: {}}}\n",
                (const char *const[]){
                    "2:3: warning: guest 'a': libvirt on this machine would refuse it, the host's "
                    "may not: ",
                    "'brandnew'", NULL},
                0);
}

static void
validate_of_a_fragment_that_libvirt_drops_is_a_warning_at_it(G_GNUC_UNUSED void **state)
{
    assert_said("networks:\n"
                "  lan:\n"
                "    address: 192.168.50.1/24\n"
                "    xml: {network: \"<mtuu size='1400'/>\"}\n"
                "guests:\n"
                "  a:\n"
                "    memory: 64MiB\n"
                "    nics: {lan: {user: true}}\n"
                "    xml:\n"
                "      devices: \"<watchdogg model='itco'/>\"\n"
                "      nics.lan: \"<mtu size='1400' sise='1'/>\"\n",
                (const char *const[]){"4:11: warning: network 'lan': xml.network: libvirt ",
                                      "10:7: warning: guest 'a': xml.devices: libvirt ",
                                      "11:7: warning: guest 'a': xml.nics.lan: libvirt ", NULL},
                0);
}

/* qemu: is what the test driver can't know. */
static void
validate_of_a_fragment_that_libvirt_keeps_says_nothing(G_GNUC_UNUSED void **state)
{
    assert_valid("guests:\n"
                 "  a:\n"
                 "    memory: 64MiB\n"
                 "    nics: {lan: {user: true}}\n"
                 "    xml:\n"
                 "      devices: \"<watchdog model='i6300esb'/>\"\n"
                 "      nics.lan: \"<mtu size='1400'/>\"\n"
                 "      domain: \"<qemu:commandline><qemu:arg value='-x'/></qemu:commandline>\"\n");
}

static void
validate_of_guests_with_one_uuid_is_an_error(G_GNUC_UNUSED void **state)
{
    assert_said(
        "guests:\n"
        "  a: {memory: 64MiB, uuid: 3f2504e0-4f89-41d3-9a0c-0305e82c3301}\n"
        "  b: {memory: 64MiB, uuid: 3f2504e0-4f89-41d3-9a0c-0305e82c3301}\n",
        (const char *const[]){"3:3: error: guest 'b': libvirt refuses it: operation failed: "
                              "domain 'a' is already defined with uuid",
                              NULL},
        1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validate_of_good_objects_says_nothing),
        cmocka_unit_test(validate_of_what_libvirt_rejects_is_an_error_at_the_object),
        cmocka_unit_test(validate_of_networks_and_pools_asks_libvirt_too),
        cmocka_unit_test(validate_of_what_a_newer_libvirt_may_know_is_a_warning),
        cmocka_unit_test(validate_of_a_fragment_that_libvirt_drops_is_a_warning_at_it),
        cmocka_unit_test(validate_of_a_fragment_that_libvirt_keeps_says_nothing),
        cmocka_unit_test(validate_of_guests_with_one_uuid_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
