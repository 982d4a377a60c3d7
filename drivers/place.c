#include "drivers/place.h"
#include "drivers/walk.h"
#include "manifest/node.h"

#include <string.h>

static void
value_write(xmlNode *element, KaSpan attribute, const char *value)
{
    if (!ka_span_is_empty(attribute)) {
        g_autofree char *name = ka_span_dup((KaSpan){attribute.at + 1, attribute.end});
        xmlSetProp(element, KA_XML(name), KA_XML(value));
        return;
    }
    for (xmlNode *child = element->children, *next; child; child = next) {
        next = child->next;
        if (child->type != XML_ELEMENT_NODE) {
            xmlUnlinkNode(child);
            xmlFreeNode(child);
        }
    }
    if (*value)
        xmlAddChild(element, xmlNewDocText(element->doc, KA_XML(value)));
}

static xmlNode *path_ensure(xmlNode *element, KaSpan path, KaSpan *ret_attribute);

static void
predicates_make(xmlNode *element, KaSpan predicates)
{
    KaSpan path, value;

    while (ka_predicate_next(&predicates, &path, &value)) {
        if (ka_walk(element, path, value.at ? ka_visit_equal : ka_visit_exists, &value))
            continue;
        KaSpan attribute;
        xmlNode *holder = path_ensure(element, path, &attribute);
        g_autofree char *text = value.at ? ka_span_dup(value) : NULL;
        if (text)
            value_write(holder, attribute, text);
    }
}

/* May the element be the one that the step means, once its predicates are made true? Not where one
 * of them has another value: then it is another element. */
static gboolean
predicates_may_hold(xmlNode *element, KaSpan predicates)
{
    KaSpan path, value;

    while (ka_predicate_next(&predicates, &path, &value)) {
        g_autofree char *found = NULL;
        if (!ka_walk(element, path, value.at ? ka_visit_equal : ka_visit_exists, &value) &&
            ka_walk(element, path, ka_visit_copy, &found))
            return FALSE;
    }
    return TRUE;
}

static xmlNode *
step_child(xmlNode *element, const KaStep *step)
{
    for (xmlNode *child = element->children; child; child = child->next)
        if (ka_step_matches(child, step) && ka_predicates_hold(child, step->predicates))
            return child;
    for (xmlNode *child = element->children; child; child = child->next)
        if (ka_step_matches(child, step) && predicates_may_hold(child, step->predicates))
            return child;
    return NULL;
}

static xmlNode *
step_create(xmlNode *element, const KaStep *step)
{
    g_autofree char *prefix = ka_span_is_empty(step->prefix) ? NULL : ka_span_dup(step->prefix);
    g_autofree char *name = ka_span_dup(step->name);

    return ka_place_new_child(element, prefix, name);
}

/* The element at the end of the path, with what is missing on the way created. */
static xmlNode *
path_ensure(xmlNode *element, KaSpan path, KaSpan *ret_attribute)
{
    while (!ka_span_is_empty(path) && *path.at != '@') {
        KaStep step = ka_step_read(path);
        if (!step.is_self) {
            xmlNode *child = step_child(element, &step);
            element = child ? child : step_create(element, &step);
        }
        predicates_make(element, step.predicates);
        path = step.rest;
    }
    *ret_attribute = path;
    return element;
}

/* --- namespaces --- */

static const struct {
    const char *prefix, *uri;
} namespaces[] = {
    {"qemu",     "http://libvirt.org/schemas/domain/qemu/1.0"    },
    {"lxc",      "http://libvirt.org/schemas/domain/lxc/1.0"     },
    {"xen",      "http://libvirt.org/schemas/domain/xen/1.0"     },
    {"bhyve",    "http://libvirt.org/schemas/domain/bhyve/1.0"   },
    {"dnsmasq",  "http://libvirt.org/schemas/network/dnsmasq/1.0"},
    {"fs",       "http://libvirt.org/schemas/storagepool/fs/1.0" },
    {"rbd",      "http://libvirt.org/schemas/storagepool/rbd/1.0"},
    {"kvmapply", "https://kvmapply.org/record/1"                 },
};

const char *
ka_place_namespace(const char *prefix)
{
    for (gsize i = 0; i < G_N_ELEMENTS(namespaces); i++)
        if (g_str_equal(namespaces[i].prefix, prefix))
            return namespaces[i].uri;
    return NULL;
}

xmlNode *
ka_place_new_child(xmlNode *element, const char *prefix, const char *name)
{
    xmlNode *child = xmlNewDocNode(element->doc, NULL, KA_XML(name), NULL);

    xmlAddChild(element, child);
    if (prefix) {
        xmlNs *ns = xmlSearchNs(element->doc, child, KA_XML(prefix));
        const char *uri = ka_place_namespace(prefix);
        if (!ns && uri)
            ns = xmlNewNs(xmlDocGetRootElement(element->doc), KA_XML(uri), KA_XML(prefix));
        xmlSetNs(child, ns);
    }
    return child;
}

/* --- places: paths and literals --- */

typedef struct {
    KaSpan text;
    gboolean is_literal;
} Token;

static gboolean
token_next(const char **cursor, Token *ret_token)
{
    const char *at = *cursor + strspn(*cursor, " ");
    const char *end = at + strlen(at);

    if (!*at)
        return FALSE;
    ret_token->is_literal = *at == '\'';
    if (ret_token->is_literal) {
        const char *close = memchr(at + 1, '\'', (gsize)(end - at - 1));
        ret_token->text = (KaSpan){at + 1, close ? close : end};
        *cursor = close ? close + 1 : end;
        return TRUE;
    }
    ret_token->text = (KaSpan){at, ka_span_skip(at, end, " ")};
    *cursor = ret_token->text.end;
    return TRUE;
}

char *
ka_place_get(const xmlNode *self, const char *place, gboolean is_presence)
{
    xmlNode *element = ka_borrow(self);
    Token token;

    if (is_presence) {
        xmlNode *found = NULL;
        KaSpan path = {place, place + strlen(place)};
        return g_strdup(ka_walk(element, path, ka_visit_first, &found) ? "yes" : "no");
    }
    if (!token_next(&place, &token))
        return NULL;
    if (!token.is_literal && !*place) {
        char *text = NULL;
        ka_walk(element, token.text, ka_visit_copy, &text);
        return text;
    }
    g_autoptr(GString) joined = g_string_new(NULL);
    do {
        g_autofree char *part = NULL;
        if (token.is_literal)
            g_string_append_len(joined, token.text.at, token.text.end - token.text.at);
        else if (!ka_walk(element, token.text, ka_visit_copy, &part))
            return NULL;
        else
            g_string_append(joined, part);
    } while (token_next(&place, &token));
    return g_string_free(g_steal_pointer(&joined), FALSE);
}

static void
path_set(xmlNode *self, KaSpan path, const char *value)
{
    xmlNode *element = NULL;
    KaSpan attribute = {ka_span_skip(path.at, path.end, "@"), path.end};

    /* What reading finds is what is written; else the way is made. */
    if (!ka_walk(self, path, ka_visit_first, &element))
        element = path_ensure(self, path, &attribute);
    value_write(element, attribute, value);
}

/* Cuts value at the place's literals: paths and values by turns. */
static gboolean
template_split(
    const char *place, const char *value, GArray *paths, GPtrArray *values, GError **error)
{
    const char *cursor = place;
    const char *rest = value;
    Token token;
    gboolean open = FALSE;

    while (token_next(&cursor, &token)) {
        if (!token.is_literal) {
            g_array_append_val(paths, token.text);
            open = TRUE;
            continue;
        }
        g_autofree char *literal = ka_span_dup(token.text);
        const char *found = strstr(rest, literal);
        if (!found || (!open && found != rest)) {
            g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_PLACE,
                        "expected a value with '%s' in it", literal);
            return FALSE;
        }
        if (open)
            g_ptr_array_add(values, g_strndup(rest, (gsize)(found - rest)));
        open = FALSE;
        rest = found + strlen(literal);
    }
    if (open)
        g_ptr_array_add(values, g_strdup(rest));
    return TRUE;
}

/* --- removing --- */

/* Is nothing left in the element but what the step's predicates (and, of a text, its unit) say? */
static gboolean
is_spent(const xmlNode *element, KaSpan predicates, gboolean held_text)
{
    for (const xmlNode *child = element->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE || ka_walk_is_text(child))
            return FALSE;
    for (const xmlAttr *attr = element->properties; attr; attr = attr->next) {
        KaSpan rest = predicates, path, value;
        gboolean named = held_text && g_str_equal((const char *)attr->name, "unit");
        while (!named && ka_predicate_next(&rest, &path, &value))
            named = *path.at == '@' &&
                    ka_span_equal((KaSpan){path.at + 1, path.end}, (const char *)attr->name);
        if (!named)
            return FALSE;
    }
    return TRUE;
}

static void
element_drop(xmlNode *element)
{
    xmlUnlinkNode(element);
    xmlFreeNode(element);
}

/* Removes what the path ends in: whole elements, or values and the elements that they leave empty.
 */
static void
path_clear(xmlNode *element, KaSpan path, gboolean whole)
{
    if (ka_span_is_empty(path)) {
        value_write(element, path, "");
        return;
    }
    if (*path.at == '@') {
        xmlAttr *attr = ka_walk_attribute(element, path);
        if (attr)
            xmlRemoveProp(attr);
        return;
    }
    KaStep step = ka_step_read(path);
    if (step.is_self) {
        if (ka_predicates_hold(element, step.predicates) && !(whole && ka_span_is_empty(step.rest)))
            path_clear(element, step.rest, whole);
        return;
    }
    gboolean is_last = ka_span_is_empty(step.rest);
    for (xmlNode *child = element->children, *next; child; child = next) {
        next = child->next;
        if (!ka_step_matches(child, &step) || !ka_predicates_hold(child, step.predicates))
            continue;
        if (!(whole && is_last))
            path_clear(child, step.rest, whole);
        if ((whole && is_last) || is_spent(child, step.predicates, is_last))
            element_drop(child);
    }
}

void
ka_place_clear(xmlNode *self, const char *place)
{
    Token token;

    while (token_next(&place, &token))
        if (!token.is_literal)
            path_clear(self, token.text, FALSE);
}

void
ka_place_prune(xmlNode *element, const xmlNode *stop)
{
    while (element && element != stop) {
        xmlNode *parent = element->parent;
        element_drop(element);
        if (!parent || parent->children || parent->properties)
            return;
        element = parent;
    }
}

gboolean
ka_place_set(
    xmlNode *self, const char *place, const char *value, gboolean is_presence, GError **error)
{
    KaSpan whole = {place, place + strlen(place)};

    if (is_presence) {
        KaSpan attribute;
        if (g_str_equal(value, "yes"))
            path_ensure(self, whole, &attribute);
        else
            path_clear(self, whole, TRUE);
        return TRUE;
    }
    g_autoptr(GArray) paths = g_array_new(FALSE, FALSE, sizeof(KaSpan));
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    if (!template_split(place, value, paths, values, error))
        return FALSE;
    for (guint i = 0; i < paths->len && i < values->len; i++)
        path_set(self, g_array_index(paths, KaSpan, i), values->pdata[i]);
    return TRUE;
}

/* --- what else the store asks of places --- */

GPtrArray *
ka_place_select(const xmlNode *self, const char *place)
{
    GPtrArray *found = g_ptr_array_new();

    ka_walk(ka_borrow(self), (KaSpan){place, place + strlen(place)}, ka_visit_collect, found);
    return found;
}

xmlNode *
ka_place_create(xmlNode *self, const char *path)
{
    KaSpan rest = {path, path + strlen(path)};
    const char *last = rest.at;

    for (const char *at = rest.at; at < rest.end; at = ka_span_skip(at, rest.end, "/") + 1)
        last = at;
    KaSpan attribute, above = {path, last > path ? last - 1 : path};
    xmlNode *parent = path_ensure(self, above, &attribute);
    KaStep step = ka_step_read((KaSpan){last, rest.end});
    xmlNode *child = step_create(parent, &step);
    predicates_make(child, step.predicates);
    return child;
}

/* Takes the predicates of a leading "self" off; the rest of the path. */
static KaSpan
self_read(const char *place, KaSpan *ret_predicates)
{
    KaSpan path = {place, ka_span_skip(place, place + strlen(place), " ")};
    KaStep step = ka_step_read(path);

    *ret_predicates = step.is_self ? step.predicates : (KaSpan){NULL, NULL};
    return step.is_self ? step.rest : path;
}

char *
ka_place_bare(const char *place)
{
    g_autoptr(GString) bare = g_string_new(NULL);
    Token token;

    while (token_next(&place, &token)) {
        if (token.is_literal)
            continue;
        g_autofree char *text = ka_span_dup(token.text);
        KaSpan ignored, path = self_read(text, &ignored);
        if (bare->len)
            g_string_append_c(bare, ' ');
        g_string_append_len(bare, path.at, path.end - path.at);
    }
    return g_string_free(g_steal_pointer(&bare), FALSE);
}

gboolean
ka_place_contradicts(const char *a, const char *b)
{
    KaSpan of_a, of_b, path_a, path_b, value_a, value_b;

    self_read(a, &of_a);
    self_read(b, &of_b);
    while (ka_predicate_next(&of_a, &path_a, &value_a)) {
        KaSpan others = of_b;
        while (ka_predicate_next(&others, &path_b, &value_b)) {
            g_autofree char *path = ka_span_dup(path_b);
            g_autofree char *value = value_b.at ? ka_span_dup(value_b) : NULL;
            if (value_a.at && value && ka_span_equal(path_a, path) &&
                !ka_span_equal(value_a, value))
                return TRUE;
        }
    }
    return FALSE;
}
