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

/* A change of one path between two manifests; either may be NULL, for absent. */
static KaChange *
change_new(const char *path, const KaNode *from, const KaNode *to)
{
    KaChange *change = g_new0(KaChange, 1);

    change->path = g_strdup(path);
    change->row = ka_rows_find(rows, path)->row;
    change->from = ka_node_find(from, path);
    change->to = ka_node_find(to, path);
    return change;
}

/* Patches what xml says from one manifest's values to another's at each of the paths. */
static KaDocument *
patch(const char *xml, const char *from, const char *to, const char *const *paths, GError **error)
{
    g_autoptr(KaDocument) document = thing_parse(rows, xml);
    g_autoptr(Text) old = thing_load(rows, from);
    g_autoptr(Text) now = thing_load(rows, to);
    g_autoptr(GPtrArray) changes = g_ptr_array_new_with_free_func((GDestroyNotify)ka_change_free);

    for (; *paths; paths++)
        g_ptr_array_add(changes, change_new(*paths, text_root(old), text_root(now)));
    if (!ka_document_patch(document, text_root(now), changes, FALSE, error))
        return NULL;
    return g_steal_pointer(&document);
}

static void
assert_patched(
    const char *xml, const char *from, const char *to, const char *paths, const char *expected)
{
    g_auto(GStrv) list = g_strsplit(paths, " ", -1);
    g_autoptr(GError) error = NULL;
    g_autoptr(KaDocument) document = patch(xml, from, to, (const char *const *)list, &error);

    if (error)
        fail_msg("%s", error->message);
    assert_document(document, expected);
}

static void
patch_of_leaves_touches_nothing_else(void **state)
{
    (void)state;
    assert_patched("<domain x='1'><memory unit='KiB'>1</memory><title>t</title><u/></domain>", "{}",
                   "{size: 2MiB, title: ~, hap: true, acpi: false}", "size title hap acpi",
                   "<domain x=\"1\"><memory unit=\"KiB\">2048</memory><u/>"
                   "<features><hap/></features></domain>");
}

static void
patch_of_what_no_document_holds_does_nothing(void **state)
{
    (void)state;
    assert_patched("<domain/>", "{}", "{host: x}", "host", "<domain/>");
}

static void
patch_of_a_branch_that_goes_removes_its_element(void **state)
{
    (void)state;
    assert_patched("<domain><devices><rng model='virtio'><rate/></rng><x/></devices></domain>",
                   "{rng: {model: virtio}}", "{rng: ~}", "rng",
                   "<domain><devices><x/></devices></domain>");
}

static void
patch_of_a_list_keeps_what_its_entries_hold_beside(void **state)
{
    (void)state;
    assert_patched("<domain><os><boot dev='hd' x='1'/><boot dev='cdrom' x='2'/>"
                   "<boot dev='fd' x='3'/></os></domain>",
                   "{boot: [hd, cdrom, fd]}", "{boot: [fd, network, hd]}", "boot",
                   "<domain><os><boot dev=\"fd\" x=\"3\"/><boot dev=\"network\"/>"
                   "<boot dev=\"hd\" x=\"1\"/></os></domain>");
    assert_patched("<domain><os><boot dev='hd'/></os></domain>", "{boot: [hd]}", "{boot: []}",
                   "boot", "<domain/>");
    assert_patched("<domain><ip><range start='10.0.0.1' end='10.0.0.2'/></ip></domain>", "{}",
                   "{ranges: ~}", "ranges", "<domain/>");
}

#define DISKS                                                                                      \
    "<domain><devices><disk type='file'><source file='/a' startupPolicy='optional' index='1'/>"    \
    "<target dev='vda' bus='virtio'/><address x='1'/></disk></devices></domain>"

static void
patch_of_items_adds_and_removes_whole_ones(void **state)
{
    (void)state;
    assert_patched(DISKS, "{disks: {vda: {path: /a}}}", "{disks: {vdb: {device: /dev/b}}}",
                   "disks.vda disks.vdb",
                   "<domain><devices><disk type=\"block\"><target dev=\"vdb\" bus=\"virtio\"/>"
                   "<source dev=\"/dev/b\"/></disk></devices></domain>");
    assert_patched("<domain><cputune><vcpupin vcpu='0' cpuset='1'/></cputune></domain>",
                   "{pin: {0: 1}}", "{pin: {0: 2, 3: 4}}", "pin.0 pin.3",
                   "<domain><cputune><vcpupin vcpu=\"0\" cpuset=\"2\"/>"
                   "<vcpupin vcpu=\"3\" cpuset=\"4\"/></cputune></domain>");
}

static void
patch_of_a_union_clears_what_it_excludes_and_keeps_what_is_shared(void **state)
{
    (void)state;
    assert_patched(DISKS, "{}", "{disks: {vda: {device: /dev/a}}}", "disks.vda.device",
                   "<domain><devices><disk type=\"block\">"
                   "<source startupPolicy=\"optional\" index=\"1\" dev=\"/dev/a\"/>"
                   "<target dev=\"vda\" bus=\"virtio\"/><address x=\"1\"/></disk></devices>"
                   "</domain>");
    assert_patched(DISKS, "{}", "{disks: {vda: {volume: v, protocol: rbd}}}",
                   "disks.vda.protocol disks.vda.volume",
                   "<domain><devices><disk type=\"network\">"
                   "<source startupPolicy=\"optional\" index=\"1\" protocol=\"rbd\" name=\"v\"/>"
                   "<target dev=\"vda\" bus=\"virtio\"/><address x=\"1\"/></disk></devices>"
                   "</domain>");
}

static void
patch_of_a_union_keeps_the_place_that_two_of_it_share(void **state)
{
    (void)state;
    assert_patched("<domain><devices><disk type='network'><source protocol='nbd' name='v'/>"
                   "<target dev='vda'/></disk></devices></domain>",
                   "{}", "{disks: {vda: {protocol: rbd}}}", "disks.vda.protocol",
                   "<domain><devices><disk type=\"network\"><source protocol=\"rbd\" name=\"v\"/>"
                   "<target dev=\"vda\"/></disk></devices></domain>");
    assert_patched("<domain><devices><disk type='network'><source protocol='nbd' name='v'/>"
                   "<target dev='vda'/></disk></devices></domain>",
                   "{}", "{disks: {vda: {path: /a}}}", "disks.vda.path",
                   "<domain><devices><disk type=\"file\"><source file=\"/a\"/>"
                   "<target dev=\"vda\"/></disk></devices></domain>");
}

#define NICS                                                                                       \
    "<domain><devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"                 \
    "<source bridge='br0'/></interface></devices></domain>"

static void
patch_of_an_adopted_nic_gives_it_its_alias(void **state)
{
    (void)state;
    assert_patched(
        NICS, "{}", "{nics: {wan: {bridge: br0, model: virtio}}}", "nics.wan.model",
        "<domain><devices><interface type=\"bridge\"><mac address=\"52:54:00:00:00:01\"/>"
        "<source bridge=\"br0\"/><alias name=\"ua-wan\"/><model type=\"virtio\"/>"
        "</interface></devices></domain>");
}

static void
patch_of_a_forgotten_nic_finds_it_by_what_was_read(void **state)
{
    (void)state;
    assert_patched(NICS, "{nics: {wan: {mac: '52:54:00:00:00:01'}}}", "{}", "nics.wan",
                   "<domain/>");
}

static void
patch_of_a_field_of_no_item_fails(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    assert_null(patch(DISKS, "{}", "{disks: {vdz: {bus: scsi}}}",
                      (const char *const[]){"disks.vdz.bus", NULL}, &error));
    assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE));
    assert_contains(error->message, "disks.vdz.bus");
}

static void
patch_of_fragments_takes_the_old_out_and_merges_the_new(void **state)
{
    (void)state;
    assert_patched("<domain><devices><hub type='usb'><address x='1'/></hub></devices>"
                   "<clock offset='utc'><timer name='rtc' x='1' track='wall'/></clock></domain>",
                   "{xml: {devices: <hub type='usb'/>, clock: <timer name='rtc' track='wall'/>}}",
                   "{xml: {devices: <hub type='x'/>, disks.vda: <driver io='native'/>},"
                   " disks: {vda: {path: /a}}}",
                   "xml.\"disks.vda\" xml.devices xml.clock disks.vda",
                   "<domain><devices><disk type=\"file\"><target dev=\"vda\" bus=\"virtio\"/>"
                   "<source file=\"/a\"/><driver io=\"native\"/></disk><hub type=\"x\"/></devices>"
                   "<clock offset=\"utc\"><timer name=\"rtc\" x=\"1\"/></clock></domain>");
}

static void
patch_without_pending_skips_what_is_staged(void **state)
{
    (void)state;
    g_autoptr(Text) manifest = thing_load(rows, "{title: x}");
    g_autoptr(GPtrArray) changes = g_ptr_array_new_with_free_func((GDestroyNotify)ka_change_free);
    KaChange *change = change_new("title", NULL, text_root(manifest));
    change->pending = TRUE;
    g_ptr_array_add(changes, change);
    g_autoptr(KaDocument) document = thing_parse(rows, "<domain/>");
    assert_true(ka_document_patch(document, NULL, changes, FALSE, NULL));
    assert_document(document, "<domain/>");
    assert_true(ka_document_patch(document, NULL, changes, TRUE, NULL));
    assert_document(document, "<domain><title>x</title></domain>");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patch_of_leaves_touches_nothing_else),
        cmocka_unit_test(patch_of_what_no_document_holds_does_nothing),
        cmocka_unit_test(patch_of_a_branch_that_goes_removes_its_element),
        cmocka_unit_test(patch_of_a_list_keeps_what_its_entries_hold_beside),
        cmocka_unit_test(patch_of_items_adds_and_removes_whole_ones),
        cmocka_unit_test(patch_of_a_union_clears_what_it_excludes_and_keeps_what_is_shared),
        cmocka_unit_test(patch_of_a_union_keeps_the_place_that_two_of_it_share),
        cmocka_unit_test(patch_of_an_adopted_nic_gives_it_its_alias),
        cmocka_unit_test(patch_of_a_forgotten_nic_finds_it_by_what_was_read),
        cmocka_unit_test(patch_of_a_field_of_no_item_fails),
        cmocka_unit_test(patch_of_fragments_takes_the_old_out_and_merges_the_new),
        cmocka_unit_test(patch_without_pending_skips_what_is_staged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
