#pragma once
#include "manifest/node.h"

#include <glib.h>
#include <libxml/tree.h>
#include <string.h>

/* Elements of libvirt's XML, looked at and changed where no row does. NULL elements have nothing.
 */

/* Borrowed; NULL: absent. */
static inline const char *
ka_attribute(const xmlNode *element, const char *name)
{
    for (const xmlAttr *attr = element ? element->properties : NULL; attr; attr = attr->next)
        if (strcmp((const char *)attr->name, name) == 0)
            return attr->children ? (const char *)attr->children->content : "";
    return NULL;
}

static inline gboolean
ka_attribute_is(const xmlNode *element, const char *name, const char *value)
{
    return g_strcmp0(ka_attribute(element, name), value) == 0;
}

/* value NULL: removes it. */
static inline void
ka_attribute_set(xmlNode *element, const char *name, const char *value)
{
    if (value)
        xmlSetProp(element, (const xmlChar *)name, (const xmlChar *)value);
    else
        xmlUnsetProp(element, (const xmlChar *)name);
}

/* name NULL: any element. */
static inline gboolean
ka_element_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)node->name, name) == 0);
}

/* The first of the name from this node on. */
static inline xmlNode *
ka_element_next(xmlNode *node, const char *name)
{
    while (node && !ka_element_is(node, name))
        node = node->next;
    return node;
}

static inline xmlNode *
ka_element_child(const xmlNode *element, const char *name)
{
    return element ? ka_element_next(element->children, name) : NULL;
}

/* The element itself must stay while the loop looks at it. */
#define ka_for_children(var, element, name)                                                        \
    for (xmlNode *var = ka_element_child(element, name); var;                                      \
         var = ka_element_next(var->next, name))

/* Removes and frees it, with the indentation before it. */
static inline void
ka_element_drop(xmlNode *node)
{
    xmlNode *before = node ? node->prev : NULL;

    if (before && before->type == XML_TEXT_NODE && xmlIsBlankNode(before)) {
        xmlUnlinkNode(before);
        xmlFreeNode(before);
    }
    if (node) {
        xmlUnlinkNode(node);
        xmlFreeNode(node);
    }
}

static inline xmlNode *
ka_element_add(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

/* Has it no attribute but these, and no child elements but of this name (NULL: none). */
static inline gboolean
ka_element_has_only(const xmlNode *element, const char *const *attributes, const char *only_child)
{
    for (const xmlAttr *attr = element->properties; attr; attr = attr->next)
        if (!g_strv_contains(attributes, (const char *)attr->name))
            return FALSE;
    for (const xmlNode *node = element->children; node; node = node->next)
        if (ka_element_is(node, NULL) && !(only_child && ka_element_is(node, only_child)))
            return FALSE;
    return TRUE;
}

/* As XML; pretty: indented. Caller frees. */
static inline char *
ka_element_text(const xmlNode *element, gboolean pretty)
{
    xmlBuffer *buffer = xmlBufferCreate();

    xmlNodeDump(buffer, element->doc, ka_borrow(element), 0, pretty);
    char *text = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

/* Removes what is of the normal form alone: libvirt never sees it. */
static inline void
ka_element_drop_own(xmlNode *element)
{
    for (xmlAttr *attr = element->properties, *next; attr; attr = next) {
        next = attr->next;
        if (strncmp((const char *)attr->name, "ka-", 3) == 0)
            xmlRemoveProp(attr);
    }
}
