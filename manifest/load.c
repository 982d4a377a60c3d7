#include "manifest/manifest.h"

#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 64
#define MAX_TEXT (64 * 1024 * 1024)
#define MAX_COPIED 100000
#define MAX_COPIED_PER_NODE 20
/* A copied scalar's text costs one more node for each of these bytes: what reads it pays for it. */
#define TEXT_PER_NODE 64
/* From so many keys on, a map's duplicates are found by a hash. */
#define HASH_FROM 12

/* Short texts that come again and again (keys, most values) are kept once: less memory to fill, and
 * a comparison finds them in the cache. */
#define N_COMMON 512
#define MAX_COMMON 24

typedef struct {
    const char *text; /* in the tree; NULL: none yet */
    gsize length;
} Common;

/* A map or list that is being read. */
typedef struct {
    KaNode *node;     /* borrowed of the tree */
    const char *key;  /* of a map: the one that waits for its value, in the tree; NULL: none */
    KaMark key_mark;  /* where that stands */
    gboolean merging; /* that key is "<<" */
    KaNode *merge;    /* what "<<" named: a map or a list of maps; NULL: nothing */
    GHashTable *keys; /* owned; set of keys; NULL: few keys, compare them all */
    guint64 seen;     /* of a map: a bit for each key's guess_of; one that isn't set is a new key */
} Frame;

typedef struct {
    KaTree *tree; /* borrowed */
    const KaSource *source;
    GPtrArray *roots; /* borrowed */
    KaDiagnostics *diagnostics;
    Frame stack[MAX_DEPTH];
    guint depth;
    GHashTable *anchors;     /* owned; owned name → borrowed KaNode; NULL: none yet */
    guint64 n_written;       /* nodes that the text itself holds */
    guint64 n_copied;        /* what aliases made of them */
    Common common[N_COMMON]; /* by what seems to tell texts apart; the last one wins */
} Loader;

static KaMark
mark_of(const Loader *loader, yaml_mark_t mark)
{
    return (KaMark){loader->source, (guint32)mark.line + 1, (guint32)mark.column + 1};
}

static gboolean
refuse(Loader *loader, KaMark mark, const char *message)
{
    ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark, "%s", message);
    return FALSE;
}

/* A number that tells most short texts apart, at little cost. */
static gsize
guess_of(const char *text, gsize length)
{
    const guchar *bytes = (const guchar *)text;
    return length == 0 ? 0
                       : length * 131 + bytes[0] * 31u + bytes[length / 2] * 17u +
                             bytes[length - 1];
}

static const char *
keep_text(Loader *loader, const char *text, gsize length)
{
    if (length == 0 || length > MAX_COMMON)
        return ka_tree_strndup(loader->tree, text, length);
    Common *common = &loader->common[guess_of(text, length) % N_COMMON];
    if (!common->text || common->length != length || memcmp(common->text, text, length) != 0)
        *common = (Common){ka_tree_strndup(loader->tree, text, length), length};
    return common->text;
}

static Frame *
top(Loader *loader)
{
    return loader->depth > 0 ? &loader->stack[loader->depth - 1] : NULL;
}

static gboolean
wants_key(const Frame *frame)
{
    return frame && frame->node->type == KA_NODE_MAP && !frame->key;
}

/* FALSE: the map has the key already. */
static gboolean
add_child(Frame *frame, const char *key, KaNode *child)
{
    if (!frame->keys && frame->node->n_children >= HASH_FROM) {
        frame->keys = g_hash_table_new(g_str_hash, g_str_equal);
        for (KaNode *other = frame->node->first; other; other = other->next)
            g_hash_table_add(frame->keys, (gpointer)(guintptr)other->key);
    }
    guint64 bit = G_GUINT64_CONSTANT(1) << guess_of(key, strlen(key)) % 64;
    gboolean is_new = frame->keys ? g_hash_table_add(frame->keys, (gpointer)(guintptr)key)
                                  : !(frame->seen & bit) || !ka_node_get(frame->node, key);
    frame->seen |= bit;
    if (is_new)
        ka_node_link(frame->node, key, child);
    return is_new;
}

/* What a copy of the node costs, counted no further than limit; raises depth to its deepest level.
 */
static guint64
measure(const KaNode *node, guint level, guint *depth, guint64 limit)
{
    *depth = MAX(*depth, level);
    guint64 cost = 1 + (node->text ? strlen(node->text) / TEXT_PER_NODE : 0);
    for (const KaNode *child = node->first; child && cost <= limit; child = child->next)
        cost += measure(child, level + 1, depth, limit - cost);
    return cost;
}

/* As ka_node_copy, but the texts, which nobody changes, are shared. */
static KaNode *
copy_shared(KaTree *tree, const KaNode *node)
{
    KaNode *copy = ka_node_new(tree, node->type);
    *copy = *node;
    copy->first = copy->last = copy->next = NULL;
    copy->n_children = 0;
    for (const KaNode *child = node->first; child; child = child->next)
        ka_node_link(copy, child->key, copy_shared(tree, child));
    return copy;
}

/* --- events --- */

static void
add_duplicate(Loader *loader, Frame *frame, const KaNode *first)
{
    g_autofree char *place = ka_mark_format(ka_node_key_mark(first));
    ka_diagnostics_add(loader->diagnostics, KA_ERROR, frame->key_mark,
                       "'%s' stands twice in one map, first at %s%s", frame->key, place,
                       frame->merging ? ": to merge several maps, give one '<<' a list of them"
                                      : "");
}

static void
attach(Loader *loader, KaNode *node)
{
    Frame *frame = top(loader);
    if (!frame) {
        if (node->type != KA_NODE_NULL)
            g_ptr_array_add(loader->roots, node);
        return;
    }
    if (frame->node->type == KA_NODE_LIST) {
        ka_node_link(frame->node, NULL, node);
        return;
    }
    node->key_line = frame->key_mark.line;
    node->key_column = frame->key_mark.column & 0xffffff;
    if (node->type == KA_NODE_MAP || node->type == KA_NODE_LIST) {
        node->line = frame->key_mark.line;
        node->column = frame->key_mark.column;
    }
    if (frame->merging && frame->merge)
        add_duplicate(loader, frame, frame->merge);
    else if (frame->merging)
        frame->merge = node;
    else if (!add_child(frame, frame->key, node))
        add_duplicate(loader, frame, ka_node_get(frame->node, frame->key));
    frame->key = NULL;
    frame->merging = FALSE;
}

static void
keep_anchor(Loader *loader, const yaml_char_t *anchor, KaNode *node)
{
    if (!anchor)
        return;
    if (!loader->anchors)
        loader->anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_replace(loader->anchors, g_strdup((const char *)anchor), node);
}

/* YAML's own tags say nothing that the rows don't; others would silently be lost. */
static gboolean
check_tag(Loader *loader, const yaml_char_t *tag, KaMark mark)
{
    static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    if (!tag || strcmp((const char *)tag, "!") == 0)
        return TRUE;
    const char *name = (const char *)tag;
    if (g_str_has_prefix(name, "tag:yaml.org,2002:"))
        for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
            if (g_str_equal(name + strlen("tag:yaml.org,2002:"), known[i]))
                return TRUE;
    ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark, "tag '%s' has no meaning here", name);
    return FALSE;
}

static gboolean
is_null(const char *text, gsize length)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    gboolean may_be = length <= 4 && strchr("~nN", text[0]); /* its end is in there, too */
    for (gsize i = 0; may_be && i < G_N_ELEMENTS(nulls); i++)
        if (strcmp(text, nulls[i]) == 0)
            return TRUE;
    return FALSE;
}

static void
take_key(Frame *frame, const char *key, KaMark mark, gboolean plain)
{
    frame->key = key;
    frame->key_mark = mark;
    frame->merging = plain && key[0] == '<' && strcmp(key, "<<") == 0;
}

static gboolean
on_scalar(Loader *loader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    gsize length = event->data.scalar.length;
    KaMark mark = mark_of(loader, event->start_mark);
    gboolean plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, '\0', length))
        return refuse(loader, mark, "a text can't hold a NUL character");
    if (!check_tag(loader, event->data.scalar.tag, mark))
        return FALSE;

    Frame *frame = top(loader);
    if (wants_key(frame) && !event->data.scalar.anchor) {
        take_key(frame, keep_text(loader, text, length), mark, plain);
        return TRUE;
    }
    gboolean string = !plain || (event->data.scalar.tag && !event->data.scalar.plain_implicit &&
                                 g_str_has_suffix((const char *)event->data.scalar.tag, ":str"));
    KaNode *node = ka_node_new(loader->tree, KA_NODE_SCALAR);
    node->source = loader->source;
    node->line = mark.line;
    node->column = mark.column;
    node->quoted = string ? 1 : 0;
    if (!string && is_null(text, length))
        node->type = KA_NODE_NULL;
    else
        node->text = keep_text(loader, text, length);
    loader->n_written++;
    keep_anchor(loader, event->data.scalar.anchor, node);
    if (wants_key(frame))
        take_key(frame, node->text ? node->text : "~", mark, plain);
    else
        attach(loader, node);
    return TRUE;
}

/* NULL with an error added: it is unknown, or stands within itself, or makes too much. */
static KaNode *
find_anchor(Loader *loader, const char *name, KaMark mark)
{
    KaNode *node = loader->anchors ? g_hash_table_lookup(loader->anchors, name) : NULL;
    if (!node) {
        ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark,
                           "alias '*%s' names nothing: no '&%s' stands above it in this document",
                           name, name);
        return NULL;
    }
    for (guint i = 0; i < loader->depth; i++)
        if (loader->stack[i].node == node) {
            ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark,
                               "alias '*%s' stands within '&%s' itself", name, name);
            return NULL;
        }
    guint depth = 0;
    guint64 limit = MAX_COPIED + MAX_COPIED_PER_NODE * loader->n_written - loader->n_copied;
    guint64 cost = measure(node, loader->depth + 1, &depth, limit);
    if (cost > limit)
        ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark,
                           "alias '*%s': aliases make more than %" G_GUINT64_FORMAT
                           " values of %" G_GUINT64_FORMAT " written ones",
                           name, loader->n_copied + limit, loader->n_written);
    else if (depth > MAX_DEPTH)
        ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark,
                           "alias '*%s' nests deeper than %d levels", name, MAX_DEPTH);
    if (cost > limit || depth > MAX_DEPTH)
        return NULL;
    loader->n_copied += cost;
    return node;
}

static gboolean
on_alias(Loader *loader, const yaml_event_t *event)
{
    KaMark mark = mark_of(loader, event->start_mark);
    const KaNode *node = find_anchor(loader, (const char *)event->data.alias.anchor, mark);
    if (!node)
        return FALSE;
    Frame *frame = top(loader);
    if (!wants_key(frame)) {
        attach(loader, copy_shared(loader->tree, node));
        return TRUE;
    }
    if (node->type != KA_NODE_SCALAR)
        return refuse(loader, mark, "a key must be a text");
    take_key(frame, node->text, mark, FALSE);
    return TRUE;
}

static gboolean
on_start(Loader *loader,
         const yaml_event_t *event,
         KaNodeType type,
         const yaml_char_t *anchor,
         const yaml_char_t *tag)
{
    KaMark mark = mark_of(loader, event->start_mark);
    if (wants_key(top(loader)))
        return refuse(loader, mark, "a key must be a text");
    if (!check_tag(loader, tag, mark))
        return FALSE;
    if (loader->depth == MAX_DEPTH)
        return refuse(loader, mark, "nested deeper than " G_STRINGIFY(MAX_DEPTH) " levels");
    KaNode *node = ka_node_new(loader->tree, type);
    node->source = loader->source;
    node->line = mark.line;
    node->column = mark.column;
    loader->n_written++;
    keep_anchor(loader, anchor, node);
    loader->stack[loader->depth++] = (Frame){.node = node};
    return TRUE;
}

/* Moves the map's children that the frame hasn't got: what merge names is its own copy already. */
static void
merge_map(Frame *frame, KaNode *map)
{
    for (KaNode *child = map->first, *next; child; child = next) {
        next = child->next;
        add_child(frame, child->key, child);
    }
}

static void
merge(Loader *loader, Frame *frame)
{
    KaNode *from = frame->merge;
    if (from->type == KA_NODE_MAP) {
        merge_map(frame, from);
        return;
    }
    gboolean maps = from->type == KA_NODE_LIST;
    for (const KaNode *item = from->first; item; item = item->next)
        maps = maps && item->type == KA_NODE_MAP;
    if (!maps)
        refuse(loader, ka_node_key_mark(from), "'<<' wants a map or a list of maps");
    for (KaNode *item = from->first; maps && item; item = item->next)
        merge_map(frame, item);
}

static void
on_end(Loader *loader)
{
    Frame *frame = top(loader);
    if (frame->merge)
        merge(loader, frame);
    g_clear_pointer(&frame->keys, g_hash_table_unref);
    KaNode *node = frame->node;
    loader->depth--;
    attach(loader, node);
}

static gboolean
on_event(Loader *loader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(loader, event);
    case YAML_ALIAS_EVENT:
        return on_alias(loader, event);
    case YAML_MAPPING_START_EVENT:
        return on_start(loader, event, KA_NODE_MAP, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(loader, event, KA_NODE_LIST, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        on_end(loader);
        return TRUE;
    case YAML_DOCUMENT_END_EVENT:
        g_clear_pointer(&loader->anchors, g_hash_table_unref);
        return TRUE;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
        return TRUE;
    }
    return TRUE;
}

/* --- libyaml's own errors --- */

/* What libyaml says in terms of its grammar, in terms of what a user wrote. */
static const struct {
    const char *problem, *message;
} problems[] = {
    {"mapping values are not allowed in this context",
     "a ':' can't stand here: is the line indented too far, or does a text that holds ': ' lack "
     "quotes?"                                                                                                      },
    {"did not find expected key",
     "expected a key here: is the indentation that of the lines above?"                                             },
    {"could not find expected ':'",                            "expected 'key: value', but no ':' follows this key" },
    {"did not find expected '-' indicator",
     "expected a list's next '- ' here: is the indentation right?"                                                  },
    {"block sequence entries are not allowed in this context",
     "a list can't begin here: put it on the next line"                                                             },
    {"block collections must start on a new line",
     "a map or list can't begin here: put it on the next line"                                                      },
    {"did not find expected ',' or '}'",                       "expected ',' or '}': a '{' is still open"           },
    {"did not find expected ',' or ']'",                       "expected ',' or ']': a '[' is still open"           },
    {"did not find expected node content",                     "expected a value here"                              },
    {"found unexpected end of stream",                         "the text ends within quotes that are still open"    },
    {"found unexpected document indicator",                    "the document ends within quotes that are still open"},
    {"did not find expected <document start>",
     "expected the end of the document: is this line indented too little?"                                          },
    {"found character that cannot start any token",
     "this character can't begin a value: put the text in quotes"                                                   },
    {"found unknown escape character",
     "unknown escape in double quotes: write \\\\ for a backslash, or use single quotes"                            },
    {"found incompatible YAML document",                       "expected YAML 1.1 or 1.2"                           },
    {"found duplicate %YAML directive",                        "the %YAML directive stands twice"                   },
    {"found undefined tag handle",                             "this tag has no meaning here"                       },
};

static const char *
readable(const char *problem, char at)
{
    gboolean about_start = strstr(problem, "cannot start any token") || strstr(problem, "tab");
    if (at == '\t' && about_start)
        return "a tab can't indent in YAML: use spaces";
    for (gsize i = 0; i < G_N_ELEMENTS(problems); i++)
        if (g_str_equal(problem, problems[i].problem))
            return problems[i].message;
    return problem;
}

static void
add_reader_error(Loader *loader, const yaml_parser_t *parser)
{
    KaMark mark = ka_source_mark(loader->source, parser->problem_offset);
    if (parser->problem_value == 0)
        refuse(loader, mark, "a NUL byte: this is no text");
    else if (strstr(parser->problem, "control characters"))
        ka_diagnostics_add(
            loader->diagnostics, KA_ERROR, mark,
            "a control character (U+%04X) can't stand here: write it as an escape in double quotes",
            (guint)parser->problem_value);
    else
        refuse(loader, mark, "not UTF-8 text: save the file in that encoding");
}

/* What was opened lines above, or NULL. */
static char *
context_of(const yaml_parser_t *parser)
{
    const char *context = parser->context;
    gsize line = parser->context_mark.line;
    if (!context || line == parser->problem_mark.line)
        return NULL;
    const char *what = strstr(context, "mapping")    ? "map"
                       : strstr(context, "sequence") ? "list"
                       : strstr(context, "quoted")   ? "text"
                                                     : NULL;
    return what ? g_strdup_printf(" (in the %s that begins at line %zu)", what, line + 1) : NULL;
}

static void
add_parser_error(Loader *loader, const yaml_parser_t *parser)
{
    if (parser->error == YAML_READER_ERROR) {
        add_reader_error(loader, parser);
        return;
    }
    g_autofree char *context = context_of(parser);
    const char *at =
        g_utf8_offset_to_pointer(loader->source->text, (glong)parser->problem_mark.index);
    ka_diagnostics_add(loader->diagnostics, KA_ERROR, mark_of(loader, parser->problem_mark), "%s%s",
                       readable(parser->problem ? parser->problem : "no YAML", *at),
                       context ? context : "");
}

/* FALSE: an error that ends the reading was added. */
static gboolean
parse(Loader *loader)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        g_error("out of memory");
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const guchar *)loader->source->text,
                                 loader->source->length);
    gboolean going = TRUE, ended = FALSE;
    while (going && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            add_parser_error(loader, &parser);
            going = FALSE;
        } else {
            going = on_event(loader, &event);
            ended = event.type == YAML_STREAM_END_EVENT;
            yaml_event_delete(&event);
        }
    }
    yaml_parser_delete(&parser);
    return going;
}

gboolean
ka_load(KaTree *tree, const KaSource *source, GPtrArray *roots, KaDiagnostics *diagnostics)
{
    guint n_errors = diagnostics->n_errors;
    if (source->length > MAX_TEXT) {
        ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){source, 0, 0}, "larger than %d MiB",
                           MAX_TEXT >> 20);
        return FALSE;
    }
    guint n_roots = roots->len;
    g_autofree Loader *loader = g_new0(Loader, 1);
    loader->tree = tree;
    loader->source = source;
    loader->roots = roots;
    loader->diagnostics = diagnostics;
    /* Half a text makes no sense: what follows of it would only hide what is wrong. */
    if (!parse(loader))
        g_ptr_array_set_size(roots, (gint)n_roots);
    for (guint i = 0; i < loader->depth; i++)
        g_clear_pointer(&loader->stack[i].keys, g_hash_table_unref);
    g_clear_pointer(&loader->anchors, g_hash_table_unref);
    return diagnostics->n_errors == n_errors;
}
