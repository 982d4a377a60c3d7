#include "drivers/storage.h"

#include <libxml/parser.h>

xmlNode *
ka_xml_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, (const xmlChar *)name))
            return node;
    }
    return NULL;
}

void
ka_xml_drop(xmlNode *parent, const char *name)
{
    xmlNode *node = NULL;

    while ((node = ka_xml_child(parent, name))) {
        xmlUnlinkNode(node);
        xmlFreeNode(node);
    }
}

char *
ka_xml_attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = node ? xmlGetProp(node, (const xmlChar *)name) : NULL;
    char *copy = g_strdup((const char *)value);

    xmlFree(value);
    return copy;
}

char *
ka_xml_text(const xmlNode *node)
{
    xmlChar *value = node ? xmlNodeGetContent(node) : NULL;
    char *copy = g_strdup((const char *)value);

    xmlFree(value);
    return copy;
}

xmlDoc *
ka_xml_parse(const char *text)
{
    return xmlReadMemory(text, (int)strlen(text), NULL, NULL,
                         XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                             XML_PARSE_HUGE);
}

void
ka_xml_settle_mode(const xmlNode *target)
{
    xmlNode *mode = ka_xml_child(ka_xml_child(target, "permissions"), "mode");
    g_autofree char *text = ka_xml_text(mode);
    g_autofree char *settled =
        text ? g_strdup_printf("%04o", (guint)g_ascii_strtoull(text, NULL, 8)) : NULL;

    if (settled)
        xmlNodeSetContent(mode, (const xmlChar *)settled);
}
