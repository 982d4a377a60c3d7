#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include "drivers/document.h"

/* XML in one form whatever the order of attributes and of unlike siblings is: siblings of one name
 * keep theirs. */

static inline gint
canonical_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static inline gint
canonical_compare_names(gconstpointer a, gconstpointer b)
{
    const xmlNode *x = *(xmlNode *const *)a, *y = *(xmlNode *const *)b;
    int order = strcmp((const char *)x->name, (const char *)y->name);

    return order ? order : (x->_private > y->_private) - (x->_private < y->_private);
}

static inline void
canonical_append(GString *text, xmlNode *element, int depth)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) children = g_ptr_array_new();

    g_string_append_printf(text, "%*s%s:%s", depth, "",
                           element->ns ? (const char *)element->ns->href : "",
                           (const char *)element->name);
    for (const xmlAttr *attr = element->properties; attr; attr = attr->next) {
        xmlChar *value = xmlGetProp(element, attr->name);
        g_ptr_array_add(parts, g_strdup_printf(" %s='%s'", attr->name, value));
        xmlFree(value);
    }
    g_ptr_array_sort(parts, canonical_compare);
    for (guint i = 0; i < parts->len; i++)
        g_string_append(text, parts->pdata[i]);
    for (xmlNode *child = element->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE) {
            child->_private = GUINT_TO_POINTER(children->len);
            g_ptr_array_add(children, child);
        } else if (child->type != XML_COMMENT_NODE && !xmlIsBlankNode(child)) {
            g_string_append_printf(text, " \"%s\"", (const char *)child->content);
        }
    }
    g_string_append_c(text, '\n');
    g_ptr_array_sort(children, canonical_compare_names);
    for (guint i = 0; i < children->len; i++)
        canonical_append(text, children->pdata[i], depth + 1);
}

static inline char *
canonical(const KaDocument *document)
{
    GString *text = g_string_new(NULL);

    canonical_append(text, xmlDocGetRootElement(document->xml), 0);
    return g_string_free(text, FALSE);
}
