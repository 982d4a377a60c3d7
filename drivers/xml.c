#include "drivers/storage.h"

#include <libxml/parser.h>

void
ka_xml_drop(xmlNode *parent, const char *name)
{
    xmlNode *node = NULL;

    while ((node = ka_element_child(parent, name)))
        ka_element_drop(node);
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
    xmlNode *mode = ka_element_child(ka_element_child(target, "permissions"), "mode");
    g_autofree char *text = ka_xml_text(mode);
    g_autofree char *settled =
        text ? g_strdup_printf("%04o", (guint)g_ascii_strtoull(text, NULL, 8)) : NULL;

    if (settled)
        xmlNodeSetContent(mode, (const xmlChar *)settled);
}
