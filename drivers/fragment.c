#include "drivers/fragment.h"

#include <libxml/parser.h>
#include <string.h>

const char *const ka_fragment_identity[KA_FRAGMENT_N_IDENTITY] = {
    "id", "name", "vcpu", "vcpus", "iothread", "cellid", "dev", "type", "model", "index", "key"};

/* Below these, elements of one name are entries of a list: added, never merged. */
static const char *const lists[] = {"devices", "commandline"};

static const char *const prefixes[] = {"qemu", "lxc", "xen", "bhyve", "dnsmasq", "fs", "rbd"};

static gboolean
is_list(const xmlNode *element)
{
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (xmlStrEqual(element->name, (const xmlChar *)lists[i]))
            return TRUE;
    }
    return FALSE;
}

static gboolean
identifies(const xmlChar *attribute)
{
    for (gsize i = 0; i < G_N_ELEMENTS(ka_fragment_identity); i++) {
        if (xmlStrEqual(attribute, (const xmlChar *)ka_fragment_identity[i]))
            return TRUE;
    }
    return FALSE;
}

/* The elements below one that stands around them and declares libvirt's usual prefixes. */
static xmlDoc *
parse(const char *text, GError **error)
{
    g_autoptr(GString) wrapped = g_string_new("<fragment");

    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        const char *uri = ka_place_namespace(prefixes[i]);
        if (uri)
            g_string_append_printf(wrapped, " xmlns:%s='%s'", prefixes[i], uri);
    }
    g_string_append_printf(wrapped, ">%s</fragment>", text);
    xmlParserCtxt *context = xmlNewParserCtxt();
    xmlDoc *xml = xmlCtxtReadMemory(context, wrapped->str, (int)wrapped->len, NULL, NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOBLANKS | XML_PARSE_NOERROR |
                                        XML_PARSE_NOWARNING);
    if (!context->nsWellFormed)
        g_clear_pointer(&xml, xmlFreeDoc);
    if (!xml) {
        const xmlError *last = xmlCtxtGetLastError(context);
        g_autofree char *message =
            g_strchomp(g_strdup(last && last->message ? last->message : "not well-formed"));
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML,
                    "expected a fragment of XML: %s", message);
    }
    xmlFreeParserCtxt(context);
    return xml;
}

static xmlNode *
next_element(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

/* The fragment's only element, if it stands for the element at the place itself. */
static xmlNode *
itself(xmlNode *wrapper, const xmlNode *element)
{
    xmlNode *first = next_element(wrapper->children);

    return first && !next_element(first->next) && xmlStrEqual(first->name, element->name) ? first
                                                                                          : NULL;
}

gboolean
ka_fragment_check(const char *text, GError **error)
{
    xmlDoc *xml = parse(text, error);
    if (!xml)
        return FALSE;
    gboolean any = FALSE, bare = FALSE;
    for (const xmlNode *node = xmlDocGetRootElement(xml)->children; node; node = node->next) {
        any |= node->type == XML_ELEMENT_NODE;
        bare |= node->type == XML_TEXT_NODE && !xmlIsBlankNode(node);
    }
    xmlFreeDoc(xml);
    if (!any || bare)
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML,
                    "expected a fragment of XML: %s",
                    any ? "text outside of an element" : "no element");
    return any && !bare;
}

/* ka-add says how to merge, and isn't merged itself. */
static gboolean
is_mark(const xmlAttr *attribute)
{
    return xmlStrEqual(attribute->name, KA_XML("ka-add"));
}

/* Numbers are the same however they are written: libvirt prints 0x07 for 7. */
static gboolean
same_value(const xmlChar *a, const xmlChar *b)
{
    gint64 x = 0, y = 0;
    char *end_x = NULL, *end_y = NULL;

    if (xmlStrEqual(a, b))
        return TRUE;
    if (!a || !b || !*a || !*b)
        return FALSE;
    x = g_ascii_strtoll((const char *)a, &end_x, 0);
    y = g_ascii_strtoll((const char *)b, &end_y, 0);
    return !*end_x && !*end_y && x == y;
}

static gboolean
same_name(const xmlNode *a, const xmlNode *b)
{
    return xmlStrEqual(a->name, b->name) &&
           xmlStrEqual(a->ns ? a->ns->href : NULL, b->ns ? b->ns->href : NULL);
}

static gboolean
attribute_is(const xmlNode *element, const xmlAttr *attribute)
{
    xmlChar *here = xmlGetProp(element, attribute->name);
    xmlChar *there = xmlGetProp(attribute->parent, attribute->name);
    gboolean same = here && same_value(here, there);

    xmlFree(here);
    xmlFree(there);
    return same;
}

/* An element's own text, trimmed; NULL where it has none. */
static char *
own_text(const xmlNode *element)
{
    for (const xmlNode *node = element->children; node; node = node->next) {
        if ((node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) &&
            !xmlIsBlankNode(node))
            return g_strstrip(g_strdup((const char *)node->content));
    }
    return NULL;
}

static gboolean contains_children(const xmlNode *element, xmlNode *fragment);

static gboolean
contains(const xmlNode *element, xmlNode *fragment)
{
    g_autofree char *here = own_text(element);
    g_autofree char *there = own_text(fragment);

    if (!same_name(element, fragment) || (there && !same_value((xmlChar *)here, (xmlChar *)there)))
        return FALSE;
    for (const xmlAttr *attribute = fragment->properties; attribute; attribute = attribute->next) {
        if (!is_mark(attribute) && !attribute_is(element, attribute))
            return FALSE;
    }
    return contains_children(element, fragment);
}

/* A child of element, not taken yet, that contains the fragment's; NULL: none. */
static xmlNode *
find_containing(const xmlNode *element, xmlNode *fragment, GHashTable *taken)
{
    for (xmlNode *node = next_element(element->children); node; node = next_element(node->next)) {
        if (!g_hash_table_contains(taken, node) && contains(node, fragment))
            return node;
    }
    return NULL;
}

/* Each child of the fragment in a child of its own. */
static gboolean
contains_children(const xmlNode *element, xmlNode *fragment)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);

    for (xmlNode *child = next_element(fragment->children); child;
         child = next_element(child->next)) {
        xmlNode *found = find_containing(element, child, taken);
        if (!found)
            return FALSE;
        g_hash_table_add(taken, found);
    }
    return TRUE;
}

gboolean
ka_fragment_is_in(const xmlNode *element, const char *text)
{
    xmlDoc *xml = parse(text, NULL);
    if (!xml)
        return FALSE;
    xmlNode *wrapper = xmlDocGetRootElement(xml);
    xmlNode *self = itself(wrapper, element);
    gboolean in = self ? contains(element, self) : contains_children(element, wrapper);
    xmlFreeDoc(xml);
    return in;
}

gboolean
ka_fragment_could_be(const xmlNode *element, const xmlNode *part)
{
    if (!same_name(element, part))
        return FALSE;
    for (const xmlAttr *attribute = part->properties; attribute; attribute = attribute->next) {
        if (identifies(attribute->name) && xmlHasProp(element, attribute->name) &&
            !attribute_is(element, attribute))
            return FALSE;
    }
    return TRUE;
}

static void merge_children(xmlNode *element, xmlNode *fragment);

static void
merge_into(xmlNode *element, xmlNode *fragment)
{
    g_autofree char *text = own_text(fragment);

    for (const xmlAttr *attribute = fragment->properties; attribute; attribute = attribute->next) {
        xmlChar *value = xmlGetProp(fragment, attribute->name);
        xmlSetProp(element, attribute->name, value);
        xmlFree(value);
    }
    if (text) {
        xmlNodeSetContent(element, NULL);
        xmlNodeAddContent(element, (const xmlChar *)text);
    }
    merge_children(element, fragment);
}

/* One that has it already, else one that it can be merged into. */
xmlNode *
ka_fragment_target(const xmlNode *element, xmlNode *part, GHashTable *taken)
{
    gboolean is_new = xmlHasProp(part, KA_XML("ka-add")) != NULL;
    xmlNode *found = is_new ? NULL : find_containing(element, part, taken);

    if (found || is_new || is_list(element))
        return found;
    for (xmlNode *node = next_element(element->children); node; node = next_element(node->next)) {
        if (!g_hash_table_contains(taken, node) && ka_fragment_could_be(node, part))
            return node;
    }
    return NULL;
}

static void
merge_children(xmlNode *element, xmlNode *fragment)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);

    for (xmlNode *child = next_element(fragment->children); child;
         child = next_element(child->next)) {
        xmlNode *target = ka_fragment_target(element, child, taken);
        if (target) {
            merge_into(target, child);
        } else {
            target = xmlDocCopyNode(child, element->doc, 1);
            xmlUnsetProp(target, KA_XML("ka-add"));
            xmlAddChild(element, target);
        }
        g_hash_table_add(taken, target);
    }
}

/* What tells the object itself from others is not to be said by the way: what is shown, and asked
 * for a word, would be another object than the one that libvirt changes. */
static gboolean
names_object(const xmlNode *element, xmlNode *fragment)
{
    gboolean found = FALSE;
    for (const xmlNode *child = next_element(fragment->children); child && !found;
         child = next_element(child->next))
        found =
            xmlStrEqual(child->name, KA_XML("name")) || xmlStrEqual(child->name, KA_XML("uuid"));
    return found && element == xmlDocGetRootElement(element->doc);
}

gboolean
ka_fragment_merge(xmlNode *element, const char *text, GError **error)
{
    xmlDoc *xml = parse(text, error);
    if (!xml)
        return FALSE;
    xmlNode *wrapper = xmlDocGetRootElement(xml);
    xmlNode *self = itself(wrapper, element);
    if (names_object(element, self ? self : wrapper)) {
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_XML,
                    "xml: a fragment can't hold the object's <name> or <uuid>");
        xmlFreeDoc(xml);
        return FALSE;
    }
    if (self)
        merge_into(element, self);
    else
        merge_children(element, wrapper);
    xmlFreeDoc(xml);
    return TRUE;
}

static gboolean
says_nothing(const xmlNode *element)
{
    for (const xmlAttr *attribute = element->properties; attribute; attribute = attribute->next) {
        if (!identifies(attribute->name))
            return FALSE;
    }
    for (const xmlNode *node = element->children; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE || !xmlIsBlankNode(node))
            return FALSE;
    }
    return TRUE;
}

static void take_out_children(xmlNode *element, xmlNode *fragment);

static void
take_out_part(xmlNode *element, xmlNode *fragment)
{
    g_autofree char *text = own_text(fragment);

    for (const xmlAttr *attribute = fragment->properties; attribute; attribute = attribute->next) {
        if (!identifies(attribute->name))
            xmlUnsetProp(element, attribute->name);
    }
    if (text)
        xmlNodeSetContent(element, NULL);
    take_out_children(element, fragment);
}

static void
take_out_children(xmlNode *element, xmlNode *fragment)
{
    g_autoptr(GHashTable) none = g_hash_table_new(NULL, NULL);

    for (xmlNode *child = next_element(fragment->children); child;
         child = next_element(child->next)) {
        xmlNode *found = find_containing(element, child, none);
        if (!found)
            continue;
        if (!is_list(element))
            take_out_part(found, child);
        if (is_list(element) || says_nothing(found)) {
            xmlUnlinkNode(found);
            xmlFreeNode(found);
        }
    }
}

void
ka_fragment_take_out(xmlNode *element, const char *text)
{
    xmlDoc *xml = parse(text, NULL);
    if (!xml)
        return;
    xmlNode *wrapper = xmlDocGetRootElement(xml);
    xmlNode *self = itself(wrapper, element);
    if (self)
        take_out_part(element, self);
    else
        take_out_children(element, wrapper);
    xmlFreeDoc(xml);
}
