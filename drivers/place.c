#include "drivers/place.h"

#include <string.h>

/* Places are read where they stand: a path is a view into the row's text, so nothing is compiled,
 * copied or cached, and any thread may use any place. */
typedef struct {
    const char *at, *end;
} Span;

typedef struct {
    Span prefix, name; /* prefix empty: none */
    Span predicates;   /* "[…][…]", may be empty */
    Span rest;         /* the path below */
    gboolean is_self;
} Step;

/* What a walk calls at the end of a path; attribute is empty where the path ends in an element.
 * TRUE ends the walk. */
typedef gboolean (*Visit)(xmlNode *element, Span attribute, gpointer data);

static gboolean walk(xmlNode *element, Span path, Visit visit, gpointer data);

static gboolean
span_is_empty(Span span)
{
    return span.at >= span.end;
}

static gboolean
span_equal(Span span, const char *text)
{
    gsize length = (gsize)(span.end - span.at);

    return strncmp(text, span.at, length) == 0 && text[length] == '\0';
}

static char *
span_dup(Span span)
{
    return g_strndup(span.at, (gsize)(span.end - span.at));
}

/* The first of the stops outside of quotes and brackets, or the end. */
static const char *
skip_to(const char *at, const char *end, const char *stops)
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

static Step
step_read(Span path)
{
    const char *end = skip_to(path.at, path.end, "/");
    const char *bracket = memchr(path.at, '[', (gsize)(end - path.at));
    Step step = {
        .name = {path.at,                        bracket ? bracket : end},
        .predicates = {bracket ? bracket : end,        end                    },
        .rest = {end < path.end ? end + 1 : end, path.end               }
    };
    const char *colon = memchr(step.name.at, ':', (gsize)(step.name.end - step.name.at));

    step.is_self = span_equal(step.name, "self") || span_equal(step.name, ".");
    if (colon) {
        step.prefix = (Span){step.name.at, colon};
        step.name.at = colon + 1;
    }
    return step;
}

/* Takes the first predicate off; value's at is NULL for one of mere existence. */
static gboolean
predicate_next(Span *predicates, Span *ret_path, Span *ret_value)
{
    if (span_is_empty(*predicates))
        return FALSE;
    const char *close = skip_to(predicates->at + 1, predicates->end, "]");
    const char *equals = skip_to(predicates->at + 1, close, "=");
    *ret_path = (Span){predicates->at + 1, equals};
    *ret_value = (Span){NULL, NULL};
    if (equals < close) {
        const char *open = equals + 1 < close && equals[1] == '\'' ? equals + 2 : equals + 1;
        const char *last = close > open && close[-1] == '\'' ? close - 1 : close;
        *ret_value = (Span){open, last};
    }
    predicates->at = close < predicates->end ? close + 1 : close;
    return TRUE;
}

static xmlAttr *
attribute_find(const xmlNode *element, Span attribute)
{
    for (xmlAttr *attr = element->properties; attr; attr = attr->next)
        if (span_equal((Span){attribute.at + 1, attribute.end}, (const char *)attr->name))
            return attr;
    return NULL;
}

static gboolean
is_text(const xmlNode *node)
{
    return node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE;
}

/* The value's text where it is one piece, which spares a copy; else joined into *own. */
static const char *
value_text(const xmlNode *element, Span attribute, char **own)
{
    const xmlNode *first = element->children;

    if (!span_is_empty(attribute)) {
        const xmlAttr *attr = attribute_find(element, attribute);
        if (!attr)
            return NULL;
        if (!attr->children)
            return "";
        first = attr->children;
    }
    if (first && is_text(first) && !first->next)
        return (const char *)first->content;
    g_autoptr(GString) text = g_string_new(NULL);
    for (; first; first = first->next)
        if (is_text(first) && first->content)
            g_string_append(text, (const char *)first->content);
    if (text->len == 0)
        return NULL;
    *own = g_string_free(g_steal_pointer(&text), FALSE);
    return *own;
}

static gboolean
visit_equal(xmlNode *element, Span attribute, gpointer data)
{
    const Span *wanted = data;
    g_autofree char *own = NULL;
    const char *text = value_text(element, attribute, &own);

    return text && span_equal(*wanted, text);
}

static gboolean
visit_exists(xmlNode *element, Span attribute, gpointer data)
{
    (void)data;
    return span_is_empty(attribute) || attribute_find(element, attribute);
}

static gboolean
visit_copy(xmlNode *element, Span attribute, gpointer data)
{
    char **ret_text = data;
    g_autofree char *own = NULL;
    const char *text = value_text(element, attribute, &own);

    if (!text)
        return FALSE;
    *ret_text = own ? g_steal_pointer(&own) : g_strdup(text);
    return TRUE;
}

static gboolean
visit_collect(xmlNode *element, Span attribute, gpointer data)
{
    if (visit_exists(element, attribute, NULL))
        g_ptr_array_add(data, element);
    return FALSE;
}

static gboolean
visit_first(xmlNode *element, Span attribute, gpointer data)
{
    xmlNode **ret_element = data;

    if (!visit_exists(element, attribute, NULL))
        return FALSE;
    *ret_element = element;
    return TRUE;
}

static gboolean
predicates_hold(xmlNode *element, Span predicates)
{
    Span path, value;

    while (predicate_next(&predicates, &path, &value))
        if (!walk(element, path, value.at ? visit_equal : visit_exists, &value))
            return FALSE;
    return TRUE;
}

static gboolean
name_matches(const xmlNode *node, const Step *step)
{
    if (node->type != XML_ELEMENT_NODE || !span_equal(step->name, (const char *)node->name))
        return FALSE;
    if (span_is_empty(step->prefix))
        return !node->ns || !node->ns->prefix;
    return node->ns && node->ns->prefix && span_equal(step->prefix, (const char *)node->ns->prefix);
}

static gboolean
walk(xmlNode *element, Span path, Visit visit, gpointer data)
{
    if (span_is_empty(path))
        return visit(element, (Span){NULL, NULL}, data);
    if (*path.at == '@')
        return visit(element, path, data);

    Step step = step_read(path);
    if (step.is_self)
        return predicates_hold(element, step.predicates) && walk(element, step.rest, visit, data);
    for (xmlNode *child = element->children; child; child = child->next)
        if (name_matches(child, &step) && predicates_hold(child, step.predicates) &&
            walk(child, step.rest, visit, data))
            return TRUE;
    return FALSE;
}

static void
value_write(xmlNode *element, Span attribute, const char *value)
{
    if (!span_is_empty(attribute)) {
        g_autofree char *name = span_dup((Span){attribute.at + 1, attribute.end});
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

static xmlNode *path_ensure(xmlNode *element, Span path, Span *ret_attribute);

static void
predicates_make(xmlNode *element, Span predicates)
{
    Span path, value;

    while (predicate_next(&predicates, &path, &value)) {
        if (walk(element, path, value.at ? visit_equal : visit_exists, &value))
            continue;
        Span attribute;
        xmlNode *holder = path_ensure(element, path, &attribute);
        g_autofree char *text = value.at ? span_dup(value) : NULL;
        if (text)
            value_write(holder, attribute, text);
    }
}

/* May the element be the one that the step means, once its predicates are made true? Not where one
 * of them has another value: then it is another element. */
static gboolean
predicates_may_hold(xmlNode *element, Span predicates)
{
    Span path, value;

    while (predicate_next(&predicates, &path, &value)) {
        g_autofree char *found = NULL;
        if (!walk(element, path, value.at ? visit_equal : visit_exists, &value) &&
            walk(element, path, visit_copy, &found))
            return FALSE;
    }
    return TRUE;
}

static xmlNode *
step_child(xmlNode *element, const Step *step)
{
    for (xmlNode *child = element->children; child; child = child->next)
        if (name_matches(child, step) && predicates_hold(child, step->predicates))
            return child;
    for (xmlNode *child = element->children; child; child = child->next)
        if (name_matches(child, step) && predicates_may_hold(child, step->predicates))
            return child;
    return NULL;
}

static xmlNode *
step_create(xmlNode *element, const Step *step)
{
    g_autofree char *prefix = span_is_empty(step->prefix) ? NULL : span_dup(step->prefix);
    g_autofree char *name = span_dup(step->name);

    return ka_place_new_child(element, prefix, name);
}

/* The element at the end of the path, with what is missing on the way created. */
static xmlNode *
path_ensure(xmlNode *element, Span path, Span *ret_attribute)
{
    while (!span_is_empty(path) && *path.at != '@') {
        Step step = step_read(path);
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
    Span text;
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
        ret_token->text = (Span){at + 1, close ? close : end};
        *cursor = close ? close + 1 : end;
        return TRUE;
    }
    ret_token->text = (Span){at, skip_to(at, end, " ")};
    *cursor = ret_token->text.end;
    return TRUE;
}

static xmlNode *
unconst(const xmlNode *node)
{
    /* A walk hands out what it was given; only the writing half writes to it. */
    union {
        const xmlNode *in;
        xmlNode *out;
    } pun = {.in = node};
    return pun.out;
}

char *
ka_place_get(const xmlNode *self, const char *place, gboolean is_presence)
{
    xmlNode *element = unconst(self);
    Token token;

    if (is_presence) {
        xmlNode *found = NULL;
        Span path = {place, place + strlen(place)};
        return g_strdup(walk(element, path, visit_first, &found) ? "yes" : "no");
    }
    if (!token_next(&place, &token))
        return NULL;
    if (!token.is_literal && !*place) {
        char *text = NULL;
        walk(element, token.text, visit_copy, &text);
        return text;
    }
    g_autoptr(GString) joined = g_string_new(NULL);
    do {
        g_autofree char *part = NULL;
        if (token.is_literal)
            g_string_append_len(joined, token.text.at, token.text.end - token.text.at);
        else if (!walk(element, token.text, visit_copy, &part))
            return NULL;
        else
            g_string_append(joined, part);
    } while (token_next(&place, &token));
    return g_string_free(g_steal_pointer(&joined), FALSE);
}

static void
path_set(xmlNode *self, Span path, const char *value)
{
    xmlNode *element = NULL;
    Span attribute = {skip_to(path.at, path.end, "@"), path.end};

    /* What reading finds is what is written; else the way is made. */
    if (!walk(self, path, visit_first, &element))
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
        g_autofree char *literal = span_dup(token.text);
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
is_spent(const xmlNode *element, Span predicates, gboolean held_text)
{
    for (const xmlNode *child = element->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE || is_text(child))
            return FALSE;
    for (const xmlAttr *attr = element->properties; attr; attr = attr->next) {
        Span rest = predicates, path, value;
        gboolean named = held_text && g_str_equal((const char *)attr->name, "unit");
        while (!named && predicate_next(&rest, &path, &value))
            named = *path.at == '@' &&
                    span_equal((Span){path.at + 1, path.end}, (const char *)attr->name);
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
path_clear(xmlNode *element, Span path, gboolean whole)
{
    if (span_is_empty(path)) {
        value_write(element, path, "");
        return;
    }
    if (*path.at == '@') {
        xmlAttr *attr = attribute_find(element, path);
        if (attr)
            xmlRemoveProp(attr);
        return;
    }
    Step step = step_read(path);
    if (step.is_self) {
        if (predicates_hold(element, step.predicates) && !(whole && span_is_empty(step.rest)))
            path_clear(element, step.rest, whole);
        return;
    }
    gboolean is_last = span_is_empty(step.rest);
    for (xmlNode *child = element->children, *next; child; child = next) {
        next = child->next;
        if (!name_matches(child, &step) || !predicates_hold(child, step.predicates))
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
    Span whole = {place, place + strlen(place)};

    if (is_presence) {
        Span attribute;
        if (g_str_equal(value, "yes"))
            path_ensure(self, whole, &attribute);
        else
            path_clear(self, whole, TRUE);
        return TRUE;
    }
    g_autoptr(GArray) paths = g_array_new(FALSE, FALSE, sizeof(Span));
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    if (!template_split(place, value, paths, values, error))
        return FALSE;
    for (guint i = 0; i < paths->len && i < values->len; i++)
        path_set(self, g_array_index(paths, Span, i), values->pdata[i]);
    return TRUE;
}

/* --- what else the store asks of places --- */

GPtrArray *
ka_place_select(const xmlNode *self, const char *place)
{
    GPtrArray *found = g_ptr_array_new();

    walk(unconst(self), (Span){place, place + strlen(place)}, visit_collect, found);
    return found;
}

xmlNode *
ka_place_create(xmlNode *self, const char *path)
{
    Span rest = {path, path + strlen(path)};
    const char *last = rest.at;

    for (const char *at = rest.at; at < rest.end; at = skip_to(at, rest.end, "/") + 1)
        last = at;
    Span attribute, above = {path, last > path ? last - 1 : path};
    xmlNode *parent = path_ensure(self, above, &attribute);
    Step step = step_read((Span){last, rest.end});
    xmlNode *child = step_create(parent, &step);
    predicates_make(child, step.predicates);
    return child;
}

/* Takes the predicates of a leading "self" off; the rest of the path. */
static Span
self_read(const char *place, Span *ret_predicates)
{
    Span path = {place, skip_to(place, place + strlen(place), " ")};
    Step step = step_read(path);

    *ret_predicates = step.is_self ? step.predicates : (Span){NULL, NULL};
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
        g_autofree char *text = span_dup(token.text);
        Span ignored, path = self_read(text, &ignored);
        if (bare->len)
            g_string_append_c(bare, ' ');
        g_string_append_len(bare, path.at, path.end - path.at);
    }
    return g_string_free(g_steal_pointer(&bare), FALSE);
}

gboolean
ka_place_contradicts(const char *a, const char *b)
{
    Span of_a, of_b, path_a, path_b, value_a, value_b;

    self_read(a, &of_a);
    self_read(b, &of_b);
    while (predicate_next(&of_a, &path_a, &value_a)) {
        Span others = of_b;
        while (predicate_next(&others, &path_b, &value_b)) {
            g_autofree char *path = span_dup(path_b);
            g_autofree char *value = value_b.at ? span_dup(value_b) : NULL;
            if (value_a.at && value && span_equal(path_a, path) && !span_equal(value_a, value))
                return TRUE;
        }
    }
    return FALSE;
}
