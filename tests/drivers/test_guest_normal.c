#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/guest.h"

#define DEVICES(text)                                                                              \
    "<domain type='qemu'><os><type arch='x86_64'>hvm</type></os><clock offset='utc'/><vcpu "       \
    "current='1'>4</vcpu>"                                                                         \
    "<currentMemory unit='KiB'>1024</currentMemory><memory unit='KiB'>2048</memory><devices>" text \
    "</devices></domain>"

typedef struct {
    KaHost host;
    GHashTable *disks;
    KaGuestForm form;
} State;

static int
set_up(void **state)
{
    State *self = g_new0(State, 1);

    self->host.link = ka_link_new(NULL);
    self->disks = g_hash_table_new(g_str_hash, g_str_equal);
    self->form = (KaGuestForm){.host = &self->host, .disks = self->disks};
    *state = self;
    return 0;
}

static int
tear_down(void **state)
{
    State *self = *state;

    ka_link_free(self->host.link);
    g_hash_table_unref(self->disks);
    g_free(self);
    return 0;
}

static KaDocument *
normal(State *state, const char *text)
{
    KaDocument *document = ka_document_parse(ka_kind_rows(ka_kind_find("guest")), text, NULL);

    assert_non_null(document);
    ka_guest_normalise(document, &state->form, &(KaGuestFacts){"running", "no", NULL});
    return document;
}

static char *
back(State *state, KaDocument *document)
{
    g_autoptr(GError) error = NULL;

    if (!ka_guest_denormalise(document, &state->form, &error))
        fail_msg("%s", error->message);
    return ka_document_format(document);
}

static void
assert_value(const KaDocument *document, const char *path, const char *expected)
{
    g_autofree char *value = ka_document_get(document, path);

    if (g_strcmp0(value, expected) != 0)
        fail_msg("%s: expected %s, found %s", path, expected, value);
}

static void
assert_has(const char *text, const char *part, gboolean wanted)
{
    if ((strstr(text, part) != NULL) != wanted)
        fail_msg("'%s' is %sin:\n%s", part, wanted ? "not " : "", text);
}

static void
normalise_and_back_leaves_no_attribute_of_ours(void **state)
{
    g_autoptr(KaDocument) document =
        normal(*state, DEVICES("<controller type='scsi' index='1'/><interface type='user'/>"
                               "<input type='tablet' bus='usb'/>"));

    assert_value(document, "state", "running");
    assert_value(document, "controllers.scsi-1.model", NULL);
    assert_non_null(ka_document_item(document, "controllers.scsi-1", NULL));
    g_autofree char *text = back(*state, document);
    assert_has(text, "ka-", FALSE);
}

static void
denormalise_of_counts_raises_what_must_hold_them(void **state)
{
    g_autoptr(KaDocument) document = normal(*state, DEVICES(""));

    assert_true(ka_document_set(document, "vcpus.current", "6", NULL));
    assert_true(ka_document_set(document, "memory.current", "4096", NULL));
    g_autofree char *text = back(*state, document);
    assert_has(text, "<vcpu>6</vcpu>", TRUE);
    assert_has(text, "<memory unit=\"KiB\">4096</memory>", TRUE);
}

static void
normalise_of_graphics_keeps_a_second_listen(void **state)
{
    g_autoptr(KaDocument) one =
        normal(*state, DEVICES("<graphics type='vnc' port='-1' autoport='yes' listen='::1'>"
                               "<listen type='address' address='::1'/></graphics>"));
    g_autoptr(KaDocument) two =
        normal(*state, DEVICES("<graphics type='vnc' listen='::1'>"
                               "<listen type='address' address='::1'/>"
                               "<listen type='network' network='lan'/></graphics>"));

    assert_true(ka_document_set(one, "graphics.vnc.listen", "::2", NULL));
    assert_true(ka_document_set(two, "graphics.vnc.listen", "::2", NULL));
    g_autofree char *one_text = back(*state, one), *two_text = back(*state, two);
    assert_has(one_text, "<listen", FALSE);
    assert_has(two_text, "address=\"::2\"", TRUE);
    assert_has(two_text, "network=\"lan\"", TRUE);
}

static void
normalise_of_the_first_console_drops_the_serial_ports_twin(void **state)
{
    g_autoptr(KaDocument) document =
        normal(*state, DEVICES("<serial type='pty'><target port='0'/></serial>"
                               "<console type='pty'><target type='serial' port='0'/></console>"
                               "<console type='pty'><target type='virtio' port='1'/></console>"));

    assert_value(document, "consoles.0.target", "virtio");
    assert_value(document, "consoles.1.target", NULL);
    assert_true(ka_document_set(document, "serial.0.type", "null", NULL));
    g_autofree char *text = back(*state, document);
    assert_has(text, "<console type=\"null\">", TRUE);
}

static void
normalise_of_a_default_cpu_finds_none(void **state)
{
    g_autoptr(KaDocument) document =
        normal(*state, "<domain><cpu mode='custom' match='exact' check='none'>"
                       "<model fallback='forbid'>qemu64</model></cpu></domain>");
    g_autoptr(KaDocument) said =
        normal(*state, "<domain><cpu mode='custom' match='exact' check='none'>"
                       "<model fallback='forbid'>qemu64</model><feature name='x' "
                       "policy='require'/></cpu></domain>");

    assert_value(document, "cpu.mode", NULL);
    assert_value(said, "cpu.mode", "custom");
}

static void
normalise_live_names_nics_as_defined(void **state)
{
    g_autoptr(KaDocument) config =
        normal(*state, DEVICES("<interface type='user'><mac address='52:00:00:00:00:01'/>"
                               "<alias name='ua-lan'/></interface>"));
    g_autoptr(KaDocument) live =
        normal(*state, DEVICES("<interface type='user'><mac address='52:00:00:00:00:01'/>"
                               "<alias name='net0'/></interface>"));

    assert_null(ka_document_item(live, "nics.lan", NULL));
    ka_guest_normalise_live(live, config);
    assert_non_null(ka_document_item(live, "nics.lan", NULL));
    g_autofree char *text = back(*state, live);
    assert_has(text, "net0", TRUE);
    assert_has(text, "ua-lan", FALSE);
}

static void
defaults_of_q35_give_spare_ports(void **state)
{
    State *self = *state;
    g_autoptr(KaDocument) document = normal(self, DEVICES("<disk><target bus='scsi'/></disk>"));

    ka_guest_defaults(document, &self->host, NULL);
    g_autofree char *text = back(self, document);
    g_auto(GStrv) parts = g_strsplit(text, "pcie-root-port", -1);
    assert_int_equal(g_strv_length(parts) - 1, 14);
    assert_has(text, "model=\"virtio-scsi\"", TRUE);
    assert_has(text, "machine=\"q35\"", TRUE);
    assert_has(text, "name=\"hpet\" present=\"no\"", TRUE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalise_and_back_leaves_no_attribute_of_ours),
        cmocka_unit_test(denormalise_of_counts_raises_what_must_hold_them),
        cmocka_unit_test(normalise_of_graphics_keeps_a_second_listen),
        cmocka_unit_test(normalise_of_the_first_console_drops_the_serial_ports_twin),
        cmocka_unit_test(normalise_of_a_default_cpu_finds_none),
        cmocka_unit_test(normalise_live_names_nics_as_defined),
        cmocka_unit_test(defaults_of_q35_give_spare_ports),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
