#include "drivers/document_part.h"
#include "drivers/element.h"
#include "drivers/item.h"

#include <libxml/parser.h>
#include <string.h>

G_DEFINE_QUARK(ka - document - error - quark, ka_document_error)

static KaDocument *
document_new(const KaRows *rows, xmlDoc *xml)
{
    KaDocument *document = g_new0(KaDocument, 1);

    document->rows = rows;
    document->xml = xml;
    return document;
}

/* libxml2's messages name elements and lines, never values. */
static void
set_parse_error(xmlParserCtxt *context, GError **error)
{
    const xmlError *last = xmlCtxtGetLastError(context);
    g_autofree char *message = g_strchomp(g_strdup(last && last->message ? last->message : ""));

    g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML,
                "expected a well-formed XML document: line %d: %s", last ? last->line : 0, message);
}

KaDocument *
ka_document_parse(const KaRows *rows, const char *text, GError **error)
{
    static gsize started;

    if (g_once_init_enter(&started)) {
        xmlInitParser();
        g_once_init_leave(&started, 1);
    }
    xmlParserCtxt *context = xmlNewParserCtxt();
    xmlDoc *xml = xmlCtxtReadMemory(context, text, (int)strlen(text), NULL, NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOBLANKS | XML_PARSE_COMPACT |
                                        XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!xml)
        set_parse_error(context, error);
    xmlFreeParserCtxt(context);
    if (xml && (xml->intSubset || !xmlDocGetRootElement(xml))) {
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML,
                    "expected an XML document without a DTD");
        g_clear_pointer(&xml, xmlFreeDoc);
    }
    return xml ? document_new(rows, xml) : NULL;
}

void
ka_document_free(KaDocument *document)
{
    if (!document)
        return;
    xmlFreeDoc(document->xml);
    g_free(document);
}

KaDocument *
ka_document_build(const KaTable *table,
                  const KaRows *rows,
                  const char *name,
                  const KaNode *desired,
                  GError **error)
{
    xmlDoc *xml = xmlNewDoc(KA_XML("1.0"));
    xmlNode *root = xmlNewDocNode(xml, NULL, KA_XML(table->root), NULL);
    g_autoptr(KaDocument) document = document_new(rows, xml);

    xmlDocSetRootElement(xml, root);
    ka_place_set(root, "name", name, FALSE, NULL);
    if (!ka_document_write_new(root, rows, desired, error))
        return NULL;
    const KaNode *fragments = ka_node_get(desired, "xml");
    for (const KaNode *node = fragments ? fragments->first : NULL; node; node = node->next)
        if (node->text && !ka_document_merge(document, node->key, desired, node->text, error))
            return NULL;
    return g_steal_pointer(&document);
}

char *
ka_document_format(const KaDocument *document)
{
    g_autofree char *text = ka_element_text(xmlDocGetRootElement(document->xml), TRUE);

    return g_strconcat(text, "\n", NULL);
}

gboolean
ka_document_find(const KaDocument *document,
                 const char *path,
                 const KaNode *want,
                 const KaNode *item,
                 gboolean names,
                 KaSpot *ret_spot,
                 GError **error)
{
    g_auto(GStrv) keys = ka_path_split(path);
    KaSpot spot = {document->rows, xmlDocGetRootElement(document->xml), NULL, FALSE};

    for (char **key = keys; *key; key++) {
        const KaRows *child = ka_rows_child(spot.rows, *key);
        const KaNode *wanted = ka_node_get(want, *key);
        const KaNode *node = wanted || key[1] ? wanted : item;
        if (!child || (spot.is_item && !spot.element)) {
            g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE,
                        "'%s': expected it in the object's XML", path);
            return FALSE;
        }
        if (spot.is_item)
            spot.self = spot.element;
        spot.is_item = g_str_equal(child->segment, "*") && child->row->at;
        if (spot.is_item) {
            GError *local = NULL;
            spot.element = ka_item_find(spot.self, child, want, *key, node, &local);
            if (local) {
                g_propagate_error(error, local);
                return FALSE;
            }
            if (spot.element && names)
                ka_item_name(spot.element, child, *key, node, TRUE);
        }
        spot.rows = child;
        want = node;
    }
    *ret_spot = spot;
    return TRUE;
}

char *
ka_document_get(const KaDocument *document, const char *path)
{
    KaSpot spot;

    if (!ka_document_find(document, path, NULL, NULL, FALSE, &spot, NULL) || !spot.rows->row->at)
        return NULL;
    if (!spot.is_item)
        return ka_place_get(spot.self, spot.rows->row->at, spot.rows->row->codec->is_presence);
    g_auto(KaItemPlace) place = ka_item_place(spot.rows->row);
    return spot.element && place.value ? ka_place_get(spot.element, place.value, FALSE) : NULL;
}

gboolean
ka_document_set(KaDocument *document, const char *path, const char *canonical, GError **error)
{
    KaSpot spot;

    if (!ka_document_find(document, path, NULL, NULL, FALSE, &spot, error))
        return FALSE;
    return ka_document_write_value(spot.self, spot.rows, canonical, error);
}

xmlNode *
ka_document_item(const KaDocument *document, const char *path, const KaNode *want)
{
    g_auto(GStrv) keys = ka_path_split(path);
    const KaRows *rows = document->rows;
    xmlNode *self = xmlDocGetRootElement(document->xml);

    for (char **key = keys; *key && rows && self; key++) {
        rows = ka_rows_child(rows, *key);
        if (rows && g_str_equal(rows->segment, "*") && rows->row->at)
            self = ka_item_find(self, rows, NULL, *key, key[1] ? NULL : want, NULL);
    }
    return rows && g_str_equal(rows->segment, "*") ? self : NULL;
}

/* --- xml: places --- */

#define STEP "[A-Za-z_][A-Za-z0-9_:.-]*(\\[@[A-Za-z0-9_:-]+='[^'<>&\"]*'\\])*"

static gboolean
place_is_safe(const char *place)
{
    return g_regex_match_simple("^" STEP "(/" STEP ")*$", place, G_REGEX_DOLLAR_ENDONLY, 0);
}

xmlNode *
ka_document_fragment_element(const KaDocument *document,
                             const char *place,
                             const KaNode *want,
                             gboolean create)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    const KaRows *rows = ka_rows_find(document->rows, place);
    KaSpot spot;

    if (g_str_equal(place, (const char *)root->name))
        return root;
    if (rows && g_str_equal(rows->segment, "*") && strchr(place, '.'))
        return ka_document_find(document, place, want, NULL, FALSE, &spot, NULL) ? spot.element
                                                                                 : NULL;
    if (!place_is_safe(place))
        return NULL;
    g_autoptr(GPtrArray) found = ka_place_select(root, place);
    if (found->len || !create)
        return found->len ? found->pdata[0] : NULL;
    ka_place_set(root, place, "yes", TRUE, NULL);
    return ka_document_fragment_element(document, place, want, FALSE);
}

gboolean
ka_document_merge(
    KaDocument *document, const char *place, const KaNode *want, const char *text, GError **error)
{
    xmlNode *element = ka_document_fragment_element(document, place, want, TRUE);

    if (!element) {
        const KaRows *rows = ka_rows_find(document->rows, place);
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE,
                    rows && rows->parent
                        ? "xml: '%s' isn't there: nothing of that name is declared"
                        : "xml: expected the place of a fragment, such as disks.vda or devices, "
                          "found '%s'",
                    place);
        return FALSE;
    }
    return ka_fragment_merge(element, text, error);
}
