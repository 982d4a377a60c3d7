#include "drivers/walk.h"

#include <string.h>

gboolean
ka_span_equal(KaSpan span, const char *text)
{
    gsize length = (gsize)(span.end - span.at);

    return strncmp(text, span.at, length) == 0 && text[length] == '\0';
}

char *
ka_span_dup(KaSpan span)
{
    return g_strndup(span.at, (gsize)(span.end - span.at));
}

const char *
ka_span_skip(const char *at, const char *end, const char *stops)
{
    guint depth = 0;
    gboolean quoted = FALSE;

    for (; at < end; at++) {
        if (!quoted && depth == 0 && strchr(stops, *at))
            return at;
        if (*at == '\'')
            quoted = !quoted;
        else if (!quoted && *at == '[')
            depth++;
        else if (!quoted && *at == ']' && depth > 0)
            depth--;
    }
    return end;
}

KaStep
ka_step_read(KaSpan path)
{
    const char *end = ka_span_skip(path.at, path.end, "/");
    const char *bracket = ka_span_skip(path.at, end, "[");
    KaStep step = {
        .name = {path.at,                        bracket },
        .predicates = {bracket,                        end     },
        .rest = {end < path.end ? end + 1 : end, path.end}
    };
    const char *colon = ka_span_skip(step.name.at, step.name.end, ":");

    step.is_self = ka_span_equal(step.name, "self") || ka_span_equal(step.name, ".");
    if (colon < step.name.end) {
        step.prefix = (KaSpan){step.name.at, colon};
        step.name.at = colon + 1;
    }
    return step;
}

gboolean
ka_predicate_next(KaSpan *predicates, KaSpan *ret_path, KaSpan *ret_value)
{
    if (ka_span_is_empty(*predicates))
        return FALSE;
    const char *close = ka_span_skip(predicates->at + 1, predicates->end, "]");
    const char *equals = ka_span_skip(predicates->at + 1, close, "=");
    *ret_path = (KaSpan){predicates->at + 1, equals};
    *ret_value = (KaSpan){NULL, NULL};
    if (equals < close) {
        const char *open = equals + 1 < close && equals[1] == '\'' ? equals + 2 : equals + 1;
        const char *last = close > open && close[-1] == '\'' ? close - 1 : close;
        *ret_value = (KaSpan){open, last};
    }
    predicates->at = close < predicates->end ? close + 1 : close;
    return TRUE;
}

xmlAttr *
ka_walk_attribute(const xmlNode *element, KaSpan attribute)
{
    for (xmlAttr *attr = element->properties; attr; attr = attr->next)
        if (ka_span_equal((KaSpan){attribute.at + 1, attribute.end}, (const char *)attr->name))
            return attr;
    return NULL;
}

gboolean
ka_walk_is_text(const xmlNode *node)
{
    return node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE;
}

/* The value's text where it is one piece, which spares a copy; else joined into *own. */
static const char *
value_text(const xmlNode *element, KaSpan attribute, char **own)
{
    const xmlNode *first = element->children;

    if (!ka_span_is_empty(attribute)) {
        const xmlAttr *attr = ka_walk_attribute(element, attribute);
        if (!attr)
            return NULL;
        if (!attr->children)
            return "";
        first = attr->children;
    }
    if (first && ka_walk_is_text(first) && !first->next)
        return (const char *)first->content;
    g_autoptr(GString) text = g_string_new(NULL);
    for (; first; first = first->next)
        if (ka_walk_is_text(first) && first->content)
            g_string_append(text, (const char *)first->content);
    if (text->len == 0)
        return NULL;
    *own = g_string_free(g_steal_pointer(&text), FALSE);
    return *own;
}

gboolean
ka_visit_equal(xmlNode *element, KaSpan attribute, gpointer data)
{
    const KaSpan *wanted = data;
    g_autofree char *own = NULL;
    const char *text = value_text(element, attribute, &own);

    return text && ka_span_equal(*wanted, text);
}

gboolean
ka_visit_exists(xmlNode *element, KaSpan attribute, gpointer data)
{
    (void)data;
    return ka_span_is_empty(attribute) || ka_walk_attribute(element, attribute);
}

gboolean
ka_visit_copy(xmlNode *element, KaSpan attribute, gpointer data)
{
    char **ret_text = data;
    g_autofree char *own = NULL;
    const char *text = value_text(element, attribute, &own);

    if (!text)
        return FALSE;
    *ret_text = own ? g_steal_pointer(&own) : g_strdup(text);
    return TRUE;
}

gboolean
ka_visit_collect(xmlNode *element, KaSpan attribute, gpointer data)
{
    if (ka_visit_exists(element, attribute, NULL))
        g_ptr_array_add(data, element);
    return FALSE;
}

gboolean
ka_visit_first(xmlNode *element, KaSpan attribute, gpointer data)
{
    xmlNode **ret_element = data;

    if (!ka_visit_exists(element, attribute, NULL))
        return FALSE;
    *ret_element = element;
    return TRUE;
}

gboolean
ka_predicates_hold(xmlNode *element, KaSpan predicates)
{
    KaSpan path, value;

    while (ka_predicate_next(&predicates, &path, &value))
        if (!ka_walk(element, path, value.at ? ka_visit_equal : ka_visit_exists, &value))
            return FALSE;
    return TRUE;
}

gboolean
ka_step_matches(const xmlNode *node, const KaStep *step)
{
    if (node->type != XML_ELEMENT_NODE || !ka_span_equal(step->name, (const char *)node->name))
        return FALSE;
    if (ka_span_is_empty(step->prefix))
        return !node->ns || !node->ns->prefix;
    return node->ns && node->ns->prefix &&
           ka_span_equal(step->prefix, (const char *)node->ns->prefix);
}

gboolean
ka_walk(xmlNode *element, KaSpan path, KaVisit visit, gpointer data)
{
    if (ka_span_is_empty(path))
        return visit(element, (KaSpan){NULL, NULL}, data);
    if (*path.at == '@')
        return visit(element, path, data);

    KaStep step = ka_step_read(path);
    if (step.is_self)
        return ka_predicates_hold(element, step.predicates) &&
               ka_walk(element, step.rest, visit, data);
    for (xmlNode *child = element->children; child; child = child->next)
        if (ka_step_matches(child, &step) && ka_predicates_hold(child, step.predicates) &&
            ka_walk(child, step.rest, visit, data))
            return TRUE;
    return FALSE;
}
