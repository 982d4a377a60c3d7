#include "tests/drivers/things.h"

#include "drivers/record.h"

static const KaRows no_rows;
#define UUID "5f1e3c6e-7a0b-4a52-9d61-0c1f2e3d4a5b"

static KaRecord *
record_new(void)
{
    KaRecord *record = ka_record_new("shop <&>", UUID);

    record->protect = TRUE;
    g_hash_table_insert(record->owned, g_strdup("memory.current"), NULL);
    g_hash_table_insert(record->owned, g_strdup("xml.devices"), g_strdup("<hub type='usb'/>"));
    g_ptr_array_add(record->volumes, g_strdup("fast/web \"root\""));
    g_ptr_array_add(record->volumes, g_strdup("fast/data"));
    g_hash_table_add(record->protected_volumes, g_strdup("fast/data"));
    return record;
}

static void
record_written_is_read_again(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document =
        thing_parse(&no_rows, "<domain><metadata><x/></metadata></domain>");
    g_autoptr(KaRecord) record = record_new();
    ka_record_write(document, record);
    ka_record_write(document, record);
    g_autofree char *text = ka_document_format(document);
    g_autoptr(KaDocument) again = thing_parse(&no_rows, text);
    g_autoptr(KaRecord) read = ka_record_read(again, UUID);
    assert_string_equal(read->project, "shop <&>");
    assert_true(read->protect);
    assert_int_equal(g_hash_table_size(read->owned), 2);
    assert_true(g_hash_table_contains(read->owned, "memory.current"));
    assert_null(g_hash_table_lookup(read->owned, "memory.current"));
    assert_string_equal(g_hash_table_lookup(read->owned, "xml.devices"), "<hub type='usb'/>");
    assert_int_equal(read->volumes->len, 2);
    assert_string_equal(read->volumes->pdata[0], "fast/web \"root\"");
    assert_true(g_hash_table_contains(read->protected_volumes, "fast/data"));
    assert_false(g_hash_table_contains(read->protected_volumes, "fast/web \"root\""));
    assert_contains(text, "<x/>");
}

static void
record_of_another_uuid_does_not_count(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = thing_parse(&no_rows, "<domain/>");
    g_autoptr(KaRecord) record = record_new();
    assert_null(ka_record_read(document, UUID));
    ka_record_write(document, record);
    assert_null(ka_record_read(document, "00000000-0000-0000-0000-000000000000"));
    assert_null(ka_record_read(document, NULL));
}

static const KaKind thing_kind = {.table = &thing_table};

/* The record that an object with these fields gets. */
static KaRecord *
record_for(const KaRows *rows, const char *yaml)
{
    g_autoptr(Text) manifest = thing_load(rows, yaml);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    KaNode *node = manifest->roots->pdata[0];
    KaNode *fresh = ka_node_put(manifest->tree, node, "crash", "destroy");
    fresh->fresh = TRUE;
    fresh->row = ka_rows_find(rows, "crash")->row;
    KaObject object = {
        .kind = &thing_kind, .name = "a", .node = node, .hosts = none, .needs = none};
    g_autoptr(KaAction) action = ka_action_new(KA_CREATE, &thing_kind, "a", NULL);
    action->object = &object;
    action->project = "shop";
    return ka_record_for(action, UUID);
}

static void
record_for_an_object_owns_what_is_declared(void **state)
{
    (void)state;
    static const char *const owned[] = {
        "size",     "disks.vda",    "disks.vda.path",   "boot",       "acpi",
        "nics.lan", "nics.lan.mac", "nics.lan.network", "xml.devices"};
    g_autoptr(KaRows) rows = ka_rows_new(&thing_table);
    g_autoptr(KaRecord) record =
        record_for(rows, "{size: 1GiB, boot: [hd], acpi: ~, host: x, disks: {vda: {path: /a}},"
                         " nics: {lan: {network: n, mac: '52:54:00:00:00:01'}},"
                         " xml: {devices: \"<graphics passwd='s3cret' port='1'/>\"}}");
    for (gsize i = 0; i < G_N_ELEMENTS(owned); i++)
        if (!g_hash_table_contains(record->owned, owned[i]))
            fail_msg("'%s' is not owned", owned[i]);
    assert_int_equal(g_hash_table_size(record->owned), G_N_ELEMENTS(owned));
    assert_string_equal(g_hash_table_lookup(record->owned, "nics.lan.mac"), "52:54:00:00:00:01");
    assert_null(g_hash_table_lookup(record->owned, "nics.lan.network"));
    assert_string_equal(g_hash_table_lookup(record->owned, "xml.devices"), "<graphics port='1'/>");
}

static void
record_for_an_object_never_holds_a_secret(void **state)
{
    (void)state;
    g_autoptr(KaRows) rows = ka_rows_new(&thing_table);
    g_autoptr(KaRecord) record =
        record_for(rows, "{password: s3cret, xml: {domain: \"<a passwd = \\\"s3cret\\\" x='1'><b "
                         "password='s3cret'/></a>\"}}");
    g_autofree char *text = ka_record_format(record);
    assert_contains(text, "xml.domain");
    assert_lacks(text, "s3cret");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_written_is_read_again),
        cmocka_unit_test(record_of_another_uuid_does_not_count),
        cmocka_unit_test(record_for_an_object_owns_what_is_declared),
        cmocka_unit_test(record_for_an_object_never_holds_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
