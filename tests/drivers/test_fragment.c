#include "tests/drivers/things.h"

static const KaRows no_rows;

/* The document's root after a fragment is merged into it. */
static void
assert_merged(const char *xml, const char *fragment, const char *expected)
{
    g_autoptr(KaDocument) document = thing_parse(&no_rows, xml);
    xmlNode *root = xmlDocGetRootElement(document->xml);

    assert_true(ka_fragment_merge(root, fragment, NULL));
    assert_document(document, expected);
    assert_true(ka_fragment_is_in(root, fragment));
}

static void
assert_taken_out(const char *xml, const char *fragment, const char *expected)
{
    g_autoptr(KaDocument) document = thing_parse(&no_rows, xml);

    ka_fragment_take_out(xmlDocGetRootElement(document->xml), fragment);
    assert_document(document, expected);
}

static void
assert_is_in(const char *xml, const char *fragment, gboolean expected)
{
    g_autoptr(KaDocument) document = thing_parse(&no_rows, xml);

    assert_int_equal(ka_fragment_is_in(xmlDocGetRootElement(document->xml), fragment), expected);
}

static void
fragment_check_of_anything_but_elements_fails(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "text",
                                      "<a>",
                                      "</fragment><fragment>",
                                      "<a/>text",
                                      "<!DOCTYPE a><a/>",
                                      "<!ENTITY x 'y'><a/>",
                                      "<a>&x;</a>",
                                      "<?xml version='1.0'?><a/>",
                                      "<nosuch:a/>",
                                      "<!-- -->"};
    static const char *const good[] = {"<a/>", "<a/>\n<b c='d'>e</b>", "<qemu:arg value='x'/>",
                                       "<x:a xmlns:x='urn:x'/>", "<!-- c --><a/>"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        if (ka_fragment_check(bad[i], &error))
            fail_msg("'%s' is taken", bad[i]);
        assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(ka_fragment_check(good[i], NULL));
}

static void
fragment_merge_of_the_element_itself_sets_its_parts(void **state)
{
    (void)state;
    assert_merged("<disk a='1'><b/></disk>", "<disk a='2' c='3'><d>e</d></disk>",
                  "<disk a=\"2\" c=\"3\"><b/><d>e</d></disk>");
    assert_merged("<disk/>", "<b/><c/>", "<disk><b/><c/></disk>");
}

static void
fragment_merge_goes_into_the_sibling_that_it_means(void **state)
{
    (void)state;
    assert_merged("<clock><timer name='rtc' a='1'/><timer name='pit'/></clock>",
                  "<timer name='pit' b='2'/><timer name='hpet'/>",
                  "<clock><timer name=\"rtc\" a=\"1\"/><timer name=\"pit\" b=\"2\"/>"
                  "<timer name=\"hpet\"/></clock>");
    assert_merged("<cpu><model>a</model></cpu>", "<model fallback='forbid'>b</model>",
                  "<cpu><model fallback=\"forbid\">b</model></cpu>");
    assert_merged("<os><a x='0x07'/></os>", "<a x='7'/>", "<os><a x=\"7\"/></os>");
}

static void
fragment_merge_of_devices_adds_once(void **state)
{
    (void)state;
    assert_merged("<devices><input type='mouse' bus='usb'/></devices>",
                  "<input type='mouse' bus='ps2'/>",
                  "<devices><input type=\"mouse\" bus=\"usb\"/>"
                  "<input type=\"mouse\" bus=\"ps2\"/></devices>");
    assert_merged("<devices><hub type='usb'/></devices>", "<hub type='usb'/>",
                  "<devices><hub type=\"usb\"/></devices>");
    assert_merged("<devices/>", "<hub type='usb'/><hub type='usb'/>",
                  "<devices><hub type=\"usb\"/><hub type=\"usb\"/></devices>");
}

static void
fragment_merge_of_a_twin_adds_it(void **state)
{
    (void)state;
    assert_merged("<source><host name='a' port='1'/></source>", "<host name='a' ka-add='yes'/>",
                  "<source><host name=\"a\" port=\"1\"/><host name=\"a\"/></source>");
}

static void
fragment_merge_of_arguments_keeps_their_order(void **state)
{
    (void)state;
    assert_merged("<domain/>",
                  "<qemu:commandline><qemu:arg value='-a'/><qemu:arg value='b'/>"
                  "<qemu:arg value='-a'/></qemu:commandline>",
                  "<domain><qemu:commandline "
                  "xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">"
                  "<qemu:arg value=\"-a\"/><qemu:arg value=\"b\"/><qemu:arg value=\"-a\"/>"
                  "</qemu:commandline></domain>");
}

static void
fragment_is_in_what_says_it_all(void **state)
{
    (void)state;
    const char *devices = "<devices><hub type='usb'><address port='0x07'/></hub><x>t</x></devices>";
    assert_is_in(devices, "<hub type='usb'/>", TRUE);
    assert_is_in(devices, "<hub><address port='7'/></hub><x> t </x>", TRUE);
    assert_is_in(devices, "<hub type='usb'/><hub type='usb'/>", FALSE);
    assert_is_in(devices, "<hub type='x'/>", FALSE);
    assert_is_in(devices, "<x>u</x>", FALSE);
    assert_is_in(devices, "<devices><x/></devices>", TRUE);
    assert_is_in(devices, "<qemu:x/>", FALSE);
    assert_is_in(devices, "<broken", FALSE);
}

static void
fragment_take_out_leaves_what_others_said(void **state)
{
    (void)state;
    assert_taken_out(
        "<clock a='1'><timer name='rtc' x='1' y='2'/><timer name='pit' z='1'/></clock>",
        "<timer name='rtc' x='1'/><timer name='pit' z='1'/>",
        "<clock a=\"1\"><timer name=\"rtc\" y=\"2\"/></clock>");
    assert_taken_out("<disk a='1' b='2'><c>d</c></disk>", "<disk b='2'><c>d</c></disk>",
                     "<disk a=\"1\"/>");
    /* A device goes with what libvirt added to it. */
    assert_taken_out("<devices><hub type='usb'><address x='1'/></hub><hub type='y'/></devices>",
                     "<hub type='usb'/>", "<devices><hub type=\"y\"/></devices>");
    assert_taken_out("<devices><hub type='y'/></devices>", "<hub type='usb'/>",
                     "<devices><hub type=\"y\"/></devices>");
}

static void
fragment_merge_of_an_object_s_name_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"<name>b</name>", "<x/><uuid>1</uuid>",
                                      "<domain><name>b</name></domain>"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(KaDocument) document = thing_parse(&no_rows, "<domain><name>a</name></domain>");
        g_autoptr(GError) error = NULL;
        assert_false(ka_fragment_merge(xmlDocGetRootElement(document->xml), bad[i], &error));
        assert_document(document, "<domain><name>a</name></domain>");
    }
    assert_merged("<domain/>", "<os><name>b</name></os>",
                  "<domain><os><name>b</name></os></domain>");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragment_check_of_anything_but_elements_fails),
        cmocka_unit_test(fragment_merge_of_the_element_itself_sets_its_parts),
        cmocka_unit_test(fragment_merge_goes_into_the_sibling_that_it_means),
        cmocka_unit_test(fragment_merge_of_devices_adds_once),
        cmocka_unit_test(fragment_merge_of_a_twin_adds_it),
        cmocka_unit_test(fragment_merge_of_arguments_keeps_their_order),
        cmocka_unit_test(fragment_is_in_what_says_it_all),
        cmocka_unit_test(fragment_take_out_leaves_what_others_said),
        cmocka_unit_test(fragment_merge_of_an_object_s_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
