#include "drivers/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const KaRows no_rows;

static KaDocument *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    KaDocument *document = ka_document_parse(&no_rows, text, &error);

    assert_null(error);
    return document;
}

static xmlNode *
root_of(const KaDocument *document)
{
    return xmlDocGetRootElement(document->xml);
}

/* What the document is after the place was set, in one line. */
static char *
after_set(const char *text, const char *place, const char *value, gboolean is_presence)
{
    g_autoptr(KaDocument) document = parse(text);

    assert_true(ka_place_set(root_of(document), place, value, is_presence, NULL));
    g_autofree char *formatted = ka_document_format(document);
    g_auto(GStrv) lines = g_strsplit(formatted, "\n", -1);
    for (char **line = lines; *line; line++)
        g_strstrip(*line);
    return g_strjoinv("", lines);
}

static char *
after_clear(const char *text, const char *place)
{
    g_autoptr(KaDocument) document = parse(text);

    ka_place_clear(root_of(document), place);
    g_autofree char *formatted = ka_document_format(document);
    g_auto(GStrv) lines = g_strsplit(formatted, "\n", -1);
    for (char **line = lines; *line; line++)
        g_strstrip(*line);
    return g_strjoinv("", lines);
}

static void
assert_get(const char *text, const char *place, const char *expected)
{
    g_autoptr(KaDocument) document = parse(text);
    g_autofree char *value = ka_place_get(root_of(document), place, FALSE);

    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
}

static void
assert_set(const char *text, const char *place, const char *value, const char *expected)
{
    g_autofree char *result = after_set(text, place, value, FALSE);

    assert_string_equal(result, expected);
}

static void
assert_clear(const char *text, const char *place, const char *expected)
{
    g_autofree char *result = after_clear(text, place);

    assert_string_equal(result, expected);
}

#define DISK "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"

static void
place_get_of_paths_reads_first_match(void **state)
{
    (void)state;
    assert_get(DISK, "source/@file", "/a");
    assert_get(DISK, "self[@type='file']/source/@file", "/a");
    assert_get(DISK, ".[@type='file']/./source/@file", "/a");
    assert_get(DISK, "self[@type='block']/source/@file", NULL);
    assert_get(DISK, "self[source]/target/@dev", "vda");
    assert_get(DISK, "self[mirror]/target/@dev", NULL);
    assert_get(DISK, "self[target/@dev='vda'][@type='file']/source/@file", "/a");
    assert_get("<d><t><a x='1'/></t><t><a y='2'/></t></d>", "t/a/@y", "2");
    assert_get("<d><t n='a]b/c'>1</t><t n='b'>2</t></d>", "t[@n='b']", "2");
    assert_get("<d><t n='a]b/c'>1</t></d>", "t[@n='a]b/c']", "1");
    assert_get("<d><a>x<![CDATA[<y>]]></a></d>", "a", "x<y>");
    assert_get("<d><a/><b c=''/></d>", "a", NULL);
    assert_get("<d><a/><b c=''/></d>", "b/@c", "");
}

static void
place_get_of_namespaced_element_wants_its_prefix(void **state)
{
    (void)state;
    const char *text = "<d xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
                       "<qemu:arg value='x'/></d>";
    assert_get(text, "qemu:arg/@value", "x");
    assert_get(text, "arg/@value", NULL);
    assert_set("<d/>", "qemu:arg/@value", "x",
               "<d xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">"
               "<qemu:arg value=\"x\"/></d>");
}

static void
place_get_of_presence_is_yes_or_no(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = parse("<d><f><acpi/></f></d>");
    g_autofree char *yes = ka_place_get(root_of(document), "f/acpi", TRUE);
    g_autofree char *no = ka_place_get(root_of(document), "f/apic", TRUE);
    assert_string_equal(yes, "yes");
    assert_string_equal(no, "no");
}

static void
place_template_joins_and_splits(void **state)
{
    (void)state;
    assert_get("<r start='10.0.0.1' end='10.0.0.9'/>", "@start '-' @end", "10.0.0.1-10.0.0.9");
    assert_get("<r start='10.0.0.1'/>", "@start '-' @end", NULL);
    assert_set("<r/>", "@start '-' @end", "fd00::1-fd00::9",
               "<r start=\"fd00::1\" end=\"fd00::9\"/>");
    assert_set("<r/>", "@address '/' @prefix", "fd00::1/64",
               "<r address=\"fd00::1\" prefix=\"64\"/>");
    assert_set("<r/>", "s/a/@d ':' s/a/@b ':' s/a/@l '.' s/a/@f", "0x0000:0x04:0x00.0x1",
               "<r><s><a d=\"0x0000\" b=\"0x04\" l=\"0x00\" f=\"0x1\"/></s></r>");
    assert_set("<r/>", "'net:' @name", "net:lan", "<r name=\"lan\"/>");
}

static void
place_set_of_value_without_the_literal_fails_and_writes_nothing(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(KaDocument) document = parse("<r/>");
    assert_false(ka_place_set(root_of(document), "@start '-' @end", "10.0.0.1", FALSE, &error));
    assert_true(g_error_matches(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE));
    g_autofree char *text = ka_document_format(document);
    assert_string_equal(text, "<r/>\n");
}

static void
place_set_makes_the_way_and_the_predicates(void **state)
{
    (void)state;
    assert_set("<d/>", "memory[@unit='KiB']", "4", "<d><memory unit=\"KiB\">4</memory></d>");
    assert_set("<d type='file'/>", "self[@type='block']/source/@dev", "/x",
               "<d type=\"block\"><source dev=\"/x\"/></d>");
    assert_set("<d/>", "dev/c[@t='u'][target/@n='a.b']/@s", "1",
               "<d><dev><c t=\"u\" s=\"1\"><target n=\"a.b\"/></c></dev></d>");
    assert_set("<d/>", "self[auth/@type='chap']/auth/@user", "u",
               "<d><auth type=\"chap\" user=\"u\"/></d>");
    assert_set("<d><a b='1'>old<c/></a></d>", "a", "<&>\"",
               "<d><a b=\"1\"><c/>&lt;&amp;&gt;\"</a></d>");
}

static void
place_set_beside_another_choice_leaves_it(void **state)
{
    (void)state;
    assert_set("<d><g type='spice' port='1'/></d>", "g[@type='vnc']/@port", "2",
               "<d><g type=\"spice\" port=\"1\"/><g type=\"vnc\" port=\"2\"/></d>");
    assert_set("<d><auth><s uuid='u'/></auth></d>", "auth[@type='ceph']/@user", "me",
               "<d><auth type=\"ceph\" user=\"me\"><s uuid=\"u\"/></auth></d>");
}

static void
place_set_of_presence_adds_and_removes_the_element(void **state)
{
    (void)state;
    g_autofree char *there = after_set("<d/>", "f/acpi", "yes", TRUE);
    g_autofree char *gone =
        after_set("<d><f><acpi x='1'><y/></acpi></f></d>", "f/acpi", "no", TRUE);
    g_autofree char *kept = after_set("<d><f><acpi/><apic/></f></d>", "f/acpi", "no", TRUE);
    assert_string_equal(there, "<d><f><acpi/></f></d>");
    assert_string_equal(gone, "<d/>");
    assert_string_equal(kept, "<d><f><apic/></f></d>");
}

static void
place_clear_removes_what_is_left_empty(void **state)
{
    (void)state;
    assert_clear("<d><os><k>/a</k></os></d>", "os/k", "<d/>");
    assert_clear("<d a='1'><os><k>/a</k><b/></os></d>", "os/k", "<d a=\"1\"><os><b/></os></d>");
    assert_clear("<d><m unit='KiB'>4</m></d>", "m[@unit='KiB']", "<d/>");
    assert_clear("<d><m unit='KiB'>4</m></d>", "m", "<d/>");
    assert_clear("<d><t name='hpet' present='no'/><t name='rtc' present='no'/></d>",
                 "t[@name='hpet']/@present", "<d><t name=\"rtc\" present=\"no\"/></d>");
    assert_clear("<d><v cpuset='1'>4</v></d>", "v", "<d><v cpuset=\"1\"/></d>");
    assert_clear("<d type='file'><s file='/a'/></d>", "self[@type='file']/s/@file",
                 "<d type=\"file\"/>");
    assert_clear("<d type='file'><s file='/a'/></d>", "self[@type='block']/s/@file",
                 "<d type=\"file\"><s file=\"/a\"/></d>");
    assert_clear("<r start='1' end='2' x='3'/>", "@start '-' @end", "<r x=\"3\"/>");
}

static void
place_contradicts_only_by_predicates_of_self(void **state)
{
    (void)state;
    const char *file = "self[@type='file']/source/@file";
    assert_true(ka_place_contradicts(file, "self[@type='block']/source/@dev"));
    assert_true(ka_place_contradicts("self[a/@b='1'][@c='2']/x", "self[@d='1'][@c='3']/x"));
    assert_false(ka_place_contradicts(file, "self[@type='file']/source/@pool"));
    assert_false(ka_place_contradicts(file, "source/@file"));
    assert_false(ka_place_contradicts(file, "self[@type]/x"));
    assert_false(ka_place_contradicts("g[@type='vnc']/@port", "g[@type='spice']/@port"));
}

static void
place_select_and_create_follow_the_order(void **state)
{
    (void)state;
    g_autoptr(KaDocument) document = parse("<d><b><f a='1'/><f/></b><b><f a='2'/></b></d>");
    g_autoptr(GPtrArray) all = ka_place_select(root_of(document), "b/f");
    g_autoptr(GPtrArray) with = ka_place_select(root_of(document), "b/f/@a");
    assert_int_equal(all->len, 3);
    assert_int_equal(with->len, 2);
    xmlNode *created = ka_place_create(root_of(document), "x/y/f[@k='v']");
    assert_string_equal((const char *)created->parent->name, "y");
    ka_place_prune(created, root_of(document));
    g_autofree char *there = ka_place_get(root_of(document), "x", TRUE);
    assert_string_equal(there, "no");
}

static void
place_that_is_malformed_does_no_harm(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "[",     "a[",  "a[@b",  "a[@b='", "'",
                                      "a/", "//",    "@",   "a[]/b", "]",      "a[@b='c'",
                                      "' ", "self[", "a:b", ":",     "a[=]"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(KaDocument) document = parse("<d><a b='c'>x</a></d>");
        g_autofree char *value = ka_place_get(root_of(document), bad[i], FALSE);
        g_autofree char *there = ka_place_get(root_of(document), bad[i], TRUE);
        ka_place_clear(root_of(document), bad[i]);
        assert_false(ka_place_contradicts(bad[i], bad[i]));
        assert_non_null(there);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place_get_of_paths_reads_first_match),
        cmocka_unit_test(place_get_of_namespaced_element_wants_its_prefix),
        cmocka_unit_test(place_get_of_presence_is_yes_or_no),
        cmocka_unit_test(place_template_joins_and_splits),
        cmocka_unit_test(place_set_of_value_without_the_literal_fails_and_writes_nothing),
        cmocka_unit_test(place_set_makes_the_way_and_the_predicates),
        cmocka_unit_test(place_set_beside_another_choice_leaves_it),
        cmocka_unit_test(place_set_of_presence_adds_and_removes_the_element),
        cmocka_unit_test(place_clear_removes_what_is_left_empty),
        cmocka_unit_test(place_contradicts_only_by_predicates_of_self),
        cmocka_unit_test(place_select_and_create_follow_the_order),
        cmocka_unit_test(place_that_is_malformed_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
