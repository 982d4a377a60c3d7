#include "tests/drivers/things.h"

static KaRows *rows;

static int
setup(void **state)
{
    (void)state;
    rows = ka_rows_new(&thing_table);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    ka_rows_free(rows);
    return 0;
}

static void
assert_built(const char *yaml, const char *expected)
{
    g_autoptr(Text) manifest = thing_load(rows, yaml);
    g_autoptr(GError) error = NULL;
    g_autoptr(KaDocument) document =
        ka_document_build(&thing_table, rows, "a", text_root(manifest), &error);

    if (error)
        fail_msg("%s", error->message);
    assert_document(document, expected);
}

/* What the fields read are, of a manifest's (NULL: all) and of a record's. */
static void
assert_read(const char *xml, const char *yaml, GHashTable *owned, const char *expected)
{
    g_autoptr(KaDocument) document = thing_parse(rows, xml);
    g_autoptr(Text) manifest = yaml ? thing_load(rows, yaml) : NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(KaTree) tree =
        ka_document_read(document, manifest ? text_root(manifest) : NULL, owned, &error);

    if (error)
        fail_msg("%s", error->message);
    assert_tree(tree, expected);
}

/* --- parse --- */

static void
document_parse_of_broken_or_unsafe_xml_fails(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "<a>",
                                      "<a></b>",
                                      "text",
                                      "<a/><b/>",
                                      "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
                                      "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
                                      "<a>&x;</a>",
                                      "<a b='&#0;'/>"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(ka_document_parse(rows, bad[i], &error));
        assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML));
    }
}

/* --- build --- */

#define FRESH                                                                                      \
    "<features><acpi/></features><on_crash>destroy</on_crash>"                                     \
    "<devices><rng model=\"virtio\"/></devices>"

static void
document_build_of_nothing_has_the_fresh_values(void **state)
{
    (void)state;
    assert_built("{}", "<domain><name>a</name>" FRESH "</domain>");
}

static void
document_build_of_absences_leaves_the_fresh_values_out(void **state)
{
    (void)state;
    assert_built("{acpi: false, crash: ~, rng: ~, size: ~}", "<domain><name>a</name></domain>");
}

static void
document_build_of_items_and_lists_is_in_the_rows_order(void **state)
{
    (void)state;
    assert_built(
        "acpi: false\ncrash: ~\nrng: ~\n"
        "nics: {lan: {network: lan}}\n"
        "disks: {vdb: {device: /dev/x, read-only: true}, vda: {path: /a, bus: scsi}}\n"
        "names: {10.0.0.1: {of: [a, b]}}\n"
        "pin: {0: 1-2}\n"
        "ranges: [10.0.0.1-10.0.0.2, 'fd00::1-fd00::2']\n"
        "boot: [hd, cdrom]\n"
        "size: 1GiB\n",
        "<domain><name>a</name><memory unit=\"KiB\">1048576</memory>"
        "<os><boot dev=\"hd\"/><boot dev=\"cdrom\"/></os>"
        "<ip><range start=\"10.0.0.1\" end=\"10.0.0.2\"/>"
        "<range start=\"fd00::1\" end=\"fd00::2\"/></ip>"
        "<cputune><vcpupin vcpu=\"0\" cpuset=\"1-2\"/></cputune>"
        "<dns><host ip=\"10.0.0.1\"><hostname>a</hostname><hostname>b</hostname></host>"
        "</dns><devices>"
        "<disk type=\"block\"><target dev=\"vdb\" bus=\"virtio\"/><source dev=\"/dev/x\"/>"
        "<readonly/></disk>"
        "<disk type=\"file\"><target dev=\"vda\" bus=\"scsi\"/><source file=\"/a\"/></disk>"
        "<interface type=\"network\"><alias name=\"ua-lan\"/><source network=\"lan\"/>"
        "</interface></devices></domain>");
}

static void
document_build_with_fragments_merges_them_last(void **state)
{
    (void)state;
    assert_built("{acpi: false, crash: ~, rng: ~, disks: {vda: {path: /a}},"
                 " xml: {disks.vda: <driver iothread='1'/>, domain: <genid/>,"
                 " devices: <hub type='usb'/>, os/bios: <bios rebootTimeout='0'/>}}",
                 "<domain><name>a</name><devices><disk type=\"file\">"
                 "<target dev=\"vda\" bus=\"virtio\"/><source file=\"/a\"/>"
                 "<driver iothread=\"1\"/></disk><hub type=\"usb\"/></devices><genid/>"
                 "<os><bios rebootTimeout=\"0\"/></os></domain>");
}

static void
document_build_with_a_fragment_at_no_place_fails(void **state)
{
    (void)state;
    static const char *const places[] = {"disks.vdx", "a b", "<x>", "\"\""};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(KaTree) tree = ka_tree_new();
        KaNode *root = ka_node_new(tree, KA_NODE_MAP), *map = ka_node_new(tree, KA_NODE_MAP);
        ka_node_append(tree, root, "xml", map);
        ka_node_append(tree, map, places[i], ka_node_new_scalar(tree, "<x/>"));
        assert_null(ka_document_build(&thing_table, rows, "a", root, &error));
        assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE));
    }
}

static void
document_build_of_an_exported_nic_gives_it_no_alias(void **state)
{
    (void)state;
    assert_built(
        "{acpi: false, crash: ~, rng: ~, nics: {nic0: {mac: '52:54:00:00:00:01'},"
        " nic: {mac: '52:54:00:00:00:02'}, nic1: {}}}",
        "<domain><name>a</name><devices>"
        "<interface><mac address=\"52:54:00:00:00:01\"/></interface>"
        "<interface><alias name=\"ua-nic\"/><mac address=\"52:54:00:00:00:02\"/></interface>"
        "<interface><alias name=\"ua-nic1\"/></interface></devices></domain>");
}

/* --- read --- */

#define GUEST                                                                                      \
    "<domain><name>a</name><memory unit='KiB'>1024</memory><title>t</title>"                       \
    "<features><hap/></features><os><boot dev='hd'/><boot dev='cdrom'/></os>"                      \
    "<ip><range start='10.0.0.1' end='10.0.0.2'/></ip>"                                            \
    "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"                                            \
    "<dns><host ip='10.0.0.1'><hostname>a</hostname><hostname>b</hostname></host></dns><devices>"  \
    "<disk type='file'><source file='/a' startupPolicy='optional'/>"                               \
    "<target dev='vda' bus='virtio'/></disk>"                                                      \
    "<disk type='block'><source dev='/dev/x'/><target dev='sda' bus='scsi'/><readonly/></disk>"    \
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/>"          \
    "<alias name='ua-lan'/></interface>"                                                           \
    "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/>"            \
    "</interface>"                                                                                 \
    "<input type='tablet'/><input type='mouse'/><graphics passwd='xyz'/></devices></domain>"

static void
document_read_of_everything_names_what_has_no_name(void **state)
{
    (void)state;
    assert_read(GUEST, NULL, NULL,
                "size: 1MiB\ntitle: t\nhap: true\nboot:\n  - hd\n  - cdrom\n"
                "ranges:\n  - 10.0.0.1-10.0.0.2\npin:\n  \"0\": \"1\"\n"
                "names:\n  10.0.0.1:\n    of:\n      - a\n      - b\n"
                "disks:\n  vda:\n    path: /a\n    startup: optional\n    bus: virtio\n"
                "  sda:\n    device: /dev/x\n    bus: scsi\n    read-only: true\n"
                "nics:\n  lan:\n    network: lan\n    mac: \"52:54:00:00:00:01\"\n"
                "  nic1:\n    bridge: br0\n    mac: \"52:54:00:00:00:02\"\n"
                "inputs:\n  \"0\":\n    type: tablet\n  \"1\":\n    type: mouse\n"
                "password: {env: PASSWORD}\n");
}

static void
document_read_of_what_is_wanted_reads_nothing_else(void **state)
{
    (void)state;
    assert_read(GUEST, "{size: 2MiB, acpi: true, hap: true, crash: restart, host: x}", NULL,
                "size: 1MiB\nacpi: false\nhap: true\n");
    assert_read(GUEST, "{disks: {vda: {bus: scsi}, vdz: {path: /z}}, boot: [], pin: {0: 0, 7: 0}}",
                NULL,
                "disks:\n  vda:\n    bus: virtio\nboot:\n  - hd\n  - cdrom\n"
                "pin:\n  \"0\": \"1\"\n");
}

static void
document_read_of_what_is_declared_absent_reads_all_of_it(void **state)
{
    (void)state;
    assert_read(GUEST, "{disks: {sda: ~}, names: ~, title: ~, rng: ~}", NULL,
                "disks:\n  sda:\n    device: /dev/x\n    bus: scsi\n    read-only: true\n"
                "names:\n  10.0.0.1:\n    of:\n      - a\n      - b\ntitle: t\n");
}

static void
document_read_of_owned_paths_adds_them(void **state)
{
    (void)state;
    g_autoptr(GHashTable) owned = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(owned, g_strdup("disks.vda"), NULL);
    g_hash_table_insert(owned, g_strdup("disks.vda.bus"), NULL);
    g_hash_table_insert(owned, g_strdup("size"), NULL);
    g_hash_table_insert(owned, g_strdup("boot"), NULL);
    g_hash_table_insert(owned, g_strdup("nosuch.thing"), NULL);
    g_autoptr(KaDocument) document = thing_parse(rows, GUEST);
    g_autoptr(Text) manifest = thing_load(rows, "title: x");
    g_autoptr(KaTree) tree = ka_document_read(document, text_root(manifest), owned, NULL);
    assert_int_equal(tree->root->n_children, 4);
    assert_string_equal(ka_node_text(tree->root, "disks.vda.bus"), "virtio");
    assert_int_equal(ka_node_find(tree->root, "disks.vda")->n_children, 1);
    assert_string_equal(ka_node_text(tree->root, "size"), "1024");
    assert_int_equal(ka_node_find(tree->root, "boot")->n_children, 2);
}

static void
document_read_of_a_forgotten_nic_finds_it_by_its_mac(void **state)
{
    (void)state;
    g_autoptr(GHashTable) owned = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(owned, g_strdup("nics.nic7"), NULL);
    g_hash_table_insert(owned, g_strdup("nics.nic7.mac"), g_strdup("52:54:00:00:00:02"));
    assert_read(GUEST, "{}", owned, "nics:\n  nic7:\n    mac: \"52:54:00:00:00:02\"\n");
}

static void
document_read_of_nics_binds_by_alias_then_mac_then_source(void **state)
{
    (void)state;
    assert_read(GUEST, "nics: {lan: {network: other, model: x}}", NULL,
                "nics:\n  lan:\n    network: lan\n");
    assert_read(GUEST, "nics: {wan: {mac: '52:54:00:00:00:02', bridge: br9}}", NULL,
                "nics:\n  wan:\n    mac: \"52:54:00:00:00:02\"\n    bridge: br0\n");
    assert_read(GUEST, "nics: {wan: {bridge: br0}}", NULL, "nics:\n  wan:\n    bridge: br0\n");
    /* The alias is another's. */
    assert_read(GUEST, "nics: {wan: {network: lan}}", NULL, "{}\n");
    assert_read(GUEST, "nics: {wan: {mac: '52:54:00:00:00:01', model: x}}", NULL, "{}\n");
    /* A disk's name is its identity: another's source doesn't make it that. */
    assert_read(GUEST, "disks: {vdz: {path: /a}}", NULL, "{}\n");
}

static void
document_read_of_a_nic_that_two_can_be_is_ambiguous(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document =
        thing_parse(rows, "<domain><devices>"
                          "<interface type='bridge'><mac address='52:54:00:00:00:01'/>"
                          "<source bridge='br0'/></interface>"
                          "<interface type='bridge'><mac address='52:54:00:00:00:02'/>"
                          "<source bridge='br0'/></interface></devices></domain>");
    g_autoptr(Text) one = thing_load(rows, "nics: {wan: {bridge: br0}}");
    g_autoptr(Text) both =
        thing_load(rows, "nics: {x: {bridge: br0, mac: '52:54:00:00:00:02'}, wan: {bridge: br0}}");
    g_autoptr(GError) error = NULL;
    assert_null(ka_document_read(document, text_root(one), NULL, &error));
    assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_AMBIGUOUS));
    assert_contains(error->message, "'wan'");
    assert_contains(error->message, "52:54:00:00:00:01, 52:54:00:00:00:02");
    g_autoptr(KaTree) tree = ka_document_read(document, text_root(both), NULL, NULL);
    assert_non_null(ka_node_find(tree->root, "nics.wan"));
    assert_non_null(ka_node_find(tree->root, "nics.x"));
}

static void
document_read_of_secrets_marks_them(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = thing_parse(rows, GUEST);
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, NULL);
    assert_true(ka_node_find(tree->root, "password")->secret);
    assert_false(ka_node_find(tree->root, "title")->secret);
}

static void
document_read_of_fragments_is_the_declared_or_the_owned_or_nothing(void **state)
{
    (void)state;
    g_autoptr(GHashTable) owned = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(owned, g_strdup("xml.devices"), g_strdup("<input type='mouse'/>"));
    assert_read(GUEST, "xml: {devices: <input type='tablet'/>}", NULL,
                "xml:\n  devices: \"<input type='tablet'/>\"\n");
    assert_read(GUEST, "xml: {devices: <input type='keyboard'/>}", owned,
                "xml:\n  devices: \"<input type='mouse'/>\"\n");
    assert_read(GUEST, "xml: {devices: <input type='keyboard'/>, disks.vda: <driver io='native'/>}",
                NULL, "{}\n");
    assert_read(GUEST, "{}", owned, "xml:\n  devices: \"<input type='mouse'/>\"\n");
}

static void
document_read_of_what_it_built_is_the_same(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = thing_parse(rows, GUEST);
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, NULL);
    ka_node_append(tree, tree->root, "acpi", ka_node_new(tree, KA_NODE_NULL));
    ka_node_append(tree, tree->root, "crash", ka_node_new(tree, KA_NODE_NULL));
    ka_node_append(tree, tree->root, "rng", ka_node_new(tree, KA_NODE_NULL));
    g_autoptr(KaDocument) built = ka_document_build(&thing_table, rows, "a", tree->root, NULL);
    g_autoptr(KaTree) again = ka_document_read(built, NULL, NULL, NULL);
    g_autoptr(KaTree) first = ka_document_read(document, NULL, NULL, NULL);
    g_autofree char *expected = ka_emit(first->root);
    assert_tree(again, expected);
}

/* --- get, set, item --- */

static void
document_get_and_set_follow_row_paths(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = thing_parse(rows, GUEST);
    g_autofree char *bus = ka_document_get(document, "disks.sda.bus");
    g_autofree char *pin = ka_document_get(document, "pin.0");
    assert_string_equal(bus, "scsi");
    assert_string_equal(pin, "1");
    assert_null(ka_document_get(document, "disks.vdz.bus"));
    assert_null(ka_document_get(document, "disks.sda"));
    assert_null(ka_document_get(document, "nosuch"));
    assert_true(ka_document_set(document, "disks.sda.bus", "sata", NULL));
    g_autofree char *after = ka_document_get(document, "disks.sda.bus");
    assert_string_equal(after, "sata");
    g_autoptr(GError) error = NULL;
    assert_false(ka_document_set(document, "disks.vdz.bus", "sata", &error));
    assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE));
}

static void
document_item_is_found_by_name_or_by_what_is_declared(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = thing_parse(rows, GUEST);
    g_autoptr(Text) manifest = thing_load(rows, "nics: {wan: {bridge: br0}}");
    const KaNode *wan = ka_node_find(text_root(manifest), "nics.wan");
    assert_non_null(ka_document_item(document, "disks.vda", NULL));
    assert_non_null(ka_document_item(document, "inputs.1", NULL));
    assert_null(ka_document_item(document, "inputs.2", NULL));
    assert_null(ka_document_item(document, "nics.wan", NULL));
    assert_non_null(ka_document_item(document, "nics.wan", wan));
    assert_null(ka_document_item(document, "size", NULL));
    assert_null(ka_document_item(document, "nosuch.x", NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_parse_of_broken_or_unsafe_xml_fails),
        cmocka_unit_test(document_build_of_nothing_has_the_fresh_values),
        cmocka_unit_test(document_build_of_absences_leaves_the_fresh_values_out),
        cmocka_unit_test(document_build_of_items_and_lists_is_in_the_rows_order),
        cmocka_unit_test(document_build_with_fragments_merges_them_last),
        cmocka_unit_test(document_build_with_a_fragment_at_no_place_fails),
        cmocka_unit_test(document_build_of_an_exported_nic_gives_it_no_alias),
        cmocka_unit_test(document_read_of_everything_names_what_has_no_name),
        cmocka_unit_test(document_read_of_what_is_wanted_reads_nothing_else),
        cmocka_unit_test(document_read_of_what_is_declared_absent_reads_all_of_it),
        cmocka_unit_test(document_read_of_owned_paths_adds_them),
        cmocka_unit_test(document_read_of_a_forgotten_nic_finds_it_by_its_mac),
        cmocka_unit_test(document_read_of_nics_binds_by_alias_then_mac_then_source),
        cmocka_unit_test(document_read_of_a_nic_that_two_can_be_is_ambiguous),
        cmocka_unit_test(document_read_of_secrets_marks_them),
        cmocka_unit_test(document_read_of_fragments_is_the_declared_or_the_owned_or_nothing),
        cmocka_unit_test(document_read_of_what_it_built_is_the_same),
        cmocka_unit_test(document_get_and_set_follow_row_paths),
        cmocka_unit_test(document_item_is_found_by_name_or_by_what_is_declared),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
