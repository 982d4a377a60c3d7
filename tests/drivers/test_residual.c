#include "tests/drivers/canonical.h"
#include "tests/drivers/things.h"

#include "manifest/manifest.h"

/* Says that what a new object gets and this one hasn't is absent, as export does. */
static void
deny_fresh(KaTree *tree, KaNode *node, const KaRows *rows)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        KaNode *value = ka_node_get(node, child->segment);
        gboolean is_map = child->row->codec == &ka_map;
        if (child == rows->any) {
            for (KaNode *item = is_map ? node->first : NULL; item; item = item->next)
                if (ka_rows_child(rows, item->key) == child)
                    deny_fresh(tree, item, child);
        } else if (is_map) {
            gboolean made = !value;
            if (made)
                value = ka_node_append(tree, node, child->segment, ka_node_new(tree, KA_NODE_MAP));
            deny_fresh(tree, value, child);
            if (made && child->row->at) /* an element that isn't there: nothing below it is */
                *value = (KaNode){.type = KA_NODE_NULL, .key = value->key, .next = value->next};
        } else if (!value && child->row->fresh) {
            ka_node_append(tree, node, child->segment, ka_node_new(tree, KA_NODE_NULL));
        }
    }
}

/* The document made again from its fields and the residual of them; ret_fields: those. */
static KaDocument *
rebuild(const KaDocument *document, const KaTable *table, KaTree **ret_fields)
{
    g_autoptr(KaTree) tree = ka_document_read(document, NULL, NULL, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *name = ka_place_get(xmlDocGetRootElement(document->xml), "name", FALSE);

    deny_fresh(tree, tree->root, document->rows);
    KaNode *denied = ka_node_get(tree->root, "xml");
    if (denied)
        ka_node_remove(tree->root, denied);
    g_autoptr(KaDocument) built =
        ka_document_build(table, document->rows, name, tree->root, &error);
    if (!built)
        fail_msg("build: %s", error->message);
    KaNode *map = ka_node_append(tree, tree->root, "xml", ka_node_new(tree, KA_NODE_MAP));
    ka_document_residual(document, built, tree, map);
    for (const KaNode *node = map->first; node; node = node->next)
        assert_true(ka_fragment_check(node->text, NULL));
    KaDocument *again = ka_document_build(table, document->rows, name, tree->root, &error);
    if (!again)
        fail_msg("build again: %s", error->message);
    if (ret_fields)
        *ret_fields = g_steal_pointer(&tree);
    return again;
}

static guint
assert_folder_is_rebuilt(const char *folder, const char *kind_name)
{
    const KaKind *kind = ka_kind_find(kind_name);
    g_autoptr(GDir) files = g_dir_open(folder, 0, NULL);
    guint count = 0;

    assert_non_null(files);
    for (const char *name = g_dir_read_name(files); name; name = g_dir_read_name(files)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *text = NULL;
        if (!g_str_has_suffix(name, ".xml"))
            continue;
        assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_autoptr(KaDocument) document = thing_parse(ka_kind_rows(kind), text);
        g_autoptr(KaDocument) again = rebuild(document, kind->table, NULL);
        g_autofree char *expected = canonical(document);
        g_autofree char *found = canonical(again);
        if (!g_str_equal(expected, found))
            fail_msg("%s: expected\n%s\nfound\n%s", path, expected, found);
        count++;
    }
    return count;
}

static void
residual_of_documents_loses_nothing(void **state)
{
    (void)state;
    assert_true(assert_folder_is_rebuilt(KA_SOURCE_DIR "/tests/data/xml/guest", "guest") > 1);
    assert_true(assert_folder_is_rebuilt(KA_SOURCE_DIR "/tests/data/xml/network", "network") > 0);
    assert_true(assert_folder_is_rebuilt(KA_SOURCE_DIR "/tests/data/xml/pool", "pool") > 1);
}

/* Of a corpus elsewhere, with folders domain, network and pool: for whoever has one. */
static void
residual_of_a_corpus_loses_nothing(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {
        {"domain",  "guest"  },
        {"network", "network"},
        {"pool",    "pool"   }
    };
    const char *corpus = g_getenv("KA_CORPUS");

    for (gsize i = 0; corpus && i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *folder = g_build_filename(corpus, kinds[i][0], NULL);
        assert_folder_is_rebuilt(folder, kinds[i][1]);
    }
    if (!corpus)
        skip();
}

static void
assert_residual(const char *xml, const char *expected)
{
    g_autoptr(KaRows) rows = ka_rows_new(&thing_table);
    g_autoptr(KaDocument) document = thing_parse(rows, xml);
    KaTree *fields = NULL;
    g_autoptr(KaDocument) again = rebuild(document, &thing_table, &fields);
    g_autoptr(KaTree) owner = fields;
    g_autofree char *text = ka_emit(ka_node_get(owner->root, "xml"));
    assert_string_equal(text, expected);
}

static void
residual_of_what_rows_say_is_empty(void **state)
{
    (void)state;
    assert_residual("<domain><name>a</name><title>t</title><devices><disk type='file'>"
                    "<target dev='vda'/><source file='/a'/></disk></devices></domain>",
                    "{}\n");
}

static void
residual_is_said_at_the_nearest_place(void **state)
{
    (void)state;
    assert_residual("<domain x='1'><name>a</name><devices><disk type='file' device='lun'>"
                    "<target dev='vda'/><source file='/a'/></disk><hub type='usb'/>"
                    "<rng model='virtio'><rate bytes='1'/></rng></devices>"
                    "<features><hap/><x/></features></domain>",
                    "disks.vda: \"<disk device=\\\"lun\\\"/>\"\n"
                    "devices/rng: |-\n  <rng model=\"virtio\">\n    <rate bytes=\"1\"/>\n  </rng>\n"
                    "devices: \"<hub type=\\\"usb\\\"/>\"\n"
                    "features: \"<x/>\"\n"
                    "domain: \"<domain x=\\\"1\\\"/>\"\n");
}

static void
residual_without_records_passwords_and_marks(void **state)
{
    (void)state;
    assert_residual("<domain ka-state='running'><name>a</name><metadata>"
                    "<kvmapply:record xmlns:kvmapply='https://kvmapply.org/record/1'/></metadata>"
                    "<devices><graphics passwd='a'/><graphics type='x' passwd='s3cret'/>"
                    "<tpm><x password='s3cret'/></tpm></devices></domain>",
                    "devices: |-\n  <graphics type=\"x\"/>\n  <tpm>\n    <x/>\n  </tpm>\n"
                    "domain: \"<metadata/>\"\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_of_documents_loses_nothing),
        cmocka_unit_test(residual_of_a_corpus_loses_nothing),
        cmocka_unit_test(residual_of_what_rows_say_is_empty),
        cmocka_unit_test(residual_is_said_at_the_nearest_place),
        cmocka_unit_test(residual_without_records_passwords_and_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
