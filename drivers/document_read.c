#include "drivers/document_part.h"
#include "drivers/item.h"

#include <string.h>

typedef struct {
    const KaDocument *document;
    KaTree *tree;
    const KaNode *want; /* borrowed; the top; NULL: all */
    GHashTable *owned;  /* borrowed; NULL: nothing is */
    GError **error;
    gboolean failed;
} Reader;

/* Reads below self; want NULL: all that is there. */
static void
read_rows(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want, KaNode *into);

static KaNode *
new_node(Reader *reader, const KaRows *rows, KaNodeType type)
{
    KaNode *node = ka_node_new(reader->tree, type);

    node->row = rows->row;
    return node;
}

static KaNode *
new_scalar(Reader *reader, const KaRows *rows, const char *text)
{
    KaNode *node = new_node(reader, rows, KA_NODE_SCALAR);

    node->text = ka_tree_strdup(reader->tree, text);
    node->secret = rows->row->codec->secret ? 1 : 0;
    return node;
}

/* A declared absence asks for whatever is there, and so does a node of another shape. */
static const KaNode *
below(const KaNode *want, KaNodeType type)
{
    return want && want->type == type ? want : NULL;
}

/* Could a manifest say it? What none of a row's values is stays for an export's `xml`. */
static gboolean
can_be_written(const KaCodec *codec, const char *text)
{
    g_autofree char *written = ka_codec_format(codec, text);
    g_autofree char *again = ka_codec_parse(codec, written, NULL);

    return again && ka_codec_equal(codec, again, text);
}

static KaNode *
read_map(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want)
{
    const char *at = rows->row->at;
    g_autofree char *there = at ? ka_place_get(self, at, TRUE) : NULL;

    if (there && g_str_equal(there, "no"))
        return NULL;
    KaNode *node = new_node(reader, rows, KA_NODE_MAP);
    read_rows(reader, rows, self, below(want, KA_NODE_MAP), node);
    return node->first || there ? node : NULL;
}

static KaNode *
read_list(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want)
{
    const KaRows *item = ka_rows_item(rows);
    const KaNode *wanted = want && want->type == KA_NODE_LIST ? want->first : NULL;

    if (!item || !item->row->at)
        return NULL;
    g_auto(KaItemPlace) place = ka_item_place(item->row);
    g_autoptr(GPtrArray) elements = ka_place_select(self, place.path);
    KaNode *list = new_node(reader, rows, KA_NODE_LIST);
    for (guint i = 0; i < elements->len; i++) {
        g_autofree char *text =
            place.value ? ka_place_get(elements->pdata[i], place.value, FALSE) : NULL;
        if (place.value && !text)
            continue;
        if (!want && text && !can_be_written(item->row->codec, text))
            return NULL;
        KaNode *node = text ? new_scalar(reader, item, text) : new_node(reader, item, KA_NODE_MAP);
        if (!text)
            read_rows(reader, item, elements->pdata[i], below(wanted, KA_NODE_MAP), node);
        ka_node_append(reader->tree, list, NULL, node);
        wanted = wanted ? wanted->next : NULL;
    }
    return list->first ? list : NULL;
}

static KaNode *
read_row(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want, gboolean all)
{
    const KaField *row = rows->row;

    if (row->codec == &ka_map)
        return read_map(reader, rows, self, want);
    if (row->codec == &ka_list)
        return read_list(reader, rows, self, want);
    g_autofree char *text = row->at ? ka_place_get(self, row->at, row->codec->is_presence) : NULL;
    if (!text || (all && row->codec->is_presence && g_str_equal(text, "no")))
        return NULL;
    if (all && !can_be_written(row->codec, text))
        return NULL;
    return new_scalar(reader, rows, text);
}

static void
read_item(Reader *reader, const KaRows *rows, const KaItem *item, KaNode *into)
{
    g_auto(KaItemPlace) place = ka_item_place(rows->row);
    KaNode *node = NULL;

    if (rows->row->codec == &ka_map) {
        node = new_node(reader, rows, KA_NODE_MAP);
        read_rows(reader, rows, item->element, below(item->want, KA_NODE_MAP), node);
    } else if (rows->row->codec == &ka_list) {
        node = read_list(reader, rows, item->element, item->want);
    } else {
        g_autofree char *text = ka_place_get(item->element, place.value, FALSE);
        node = text ? new_scalar(reader, rows, text) : NULL;
    }
    if (node)
        ka_node_append(reader->tree, into, item->key, node);
}

/* A fragment is there as it is declared, or as it was when it was last applied; else it is absent.
 */
static void
read_fragment(Reader *reader, const KaRows *rows, const KaNode *want, KaNode *into)
{
    xmlNode *element =
        ka_document_fragment_element(reader->document, want->key, reader->want, FALSE);
    g_autofree char *path = ka_path_append("xml", want->key);
    const char *owned = reader->owned ? g_hash_table_lookup(reader->owned, path) : NULL;
    const char *texts[] = {want->text, owned};

    for (gsize i = 0; element && i < G_N_ELEMENTS(texts); i++) {
        if (!texts[i] || !*texts[i] || !ka_fragment_is_in(element, texts[i]))
            continue;
        ka_node_append(reader->tree, into, want->key, new_scalar(reader, rows, texts[i]));
        return;
    }
}

static void
read_items(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want, KaNode *into)
{
    if (rows->row->codec == &ka_fragment) {
        for (const KaNode *node = want ? want->first : NULL; node; node = node->next)
            read_fragment(reader, rows, node, into);
        return;
    }
    if (!rows->row->at)
        return;
    g_autoptr(GPtrArray) items =
        want ? ka_items_bind(self, rows, want, NULL, NULL, reader->failed ? NULL : reader->error)
             : ka_items_all(self, rows);
    reader->failed |= !items;
    for (guint i = 0; items && i < items->len; i++) {
        const KaItem *item = items->pdata[i];
        if (item->element)
            read_item(reader, rows, item, into);
    }
}

static void
read_rows(Reader *reader, const KaRows *rows, xmlNode *self, const KaNode *want, KaNode *into)
{
    const KaRows *items = rows->any && rows->any->segment[0] == '*' ? rows->any : NULL;

    if (want) {
        for (const KaNode *node = want->first; node; node = node->next) {
            const KaRows *child = node->key ? ka_rows_child(rows, node->key) : NULL;
            KaNode *read =
                child && child != items ? read_row(reader, child, self, node, FALSE) : NULL;
            if (read)
                ka_node_append(reader->tree, into, node->key, read);
        }
    } else {
        for (const KaRows *child = rows->first; child; child = child->next) {
            KaNode *read = child != rows->any ? read_row(reader, child, self, NULL, TRUE) : NULL;
            if (read)
                ka_node_append(reader->tree, into, child->segment, read);
        }
    }
    if (items)
        read_items(reader, items, self, want, into);
}

/* Makes want speak of an owned path too: maps on the way, a scalar at its end (with the text by
 * which the record has it found again). */
static void
want_path(KaTree *tree, KaNode *want, const KaRows *rows, const char *path, const char *text)
{
    g_auto(GStrv) keys = ka_path_split(path);

    for (char **key = keys; *key; key++) {
        rows = ka_rows_child(rows, *key);
        KaNode *node = ka_node_get(want, *key);
        if (!rows || (node && node->type != KA_NODE_MAP))
            return;
        if (!node) {
            gboolean is_map = rows->row->codec == &ka_map;
            node = ka_node_new(tree, is_map ? KA_NODE_MAP : KA_NODE_SCALAR);
            node->row = rows->row;
            node->text = is_map ? NULL : text;
            ka_node_append(tree, want, *key, node);
        }
        want = node;
    }
}

static const KaNode *
with_owned(KaTree *tree, const KaRows *rows, const KaNode *want, GHashTable *owned)
{
    KaNode *copy = NULL;
    GHashTableIter iter;
    gpointer path, text;

    if (!owned)
        return want;
    g_hash_table_iter_init(&iter, owned);
    while (g_hash_table_iter_next(&iter, &path, &text)) {
        if (ka_node_find(want, path))
            continue;
        if (!copy)
            copy = ka_node_copy(tree, want);
        want_path(tree, copy, rows, path, text);
    }
    return copy ? copy : want;
}

KaTree *
ka_document_read(const KaDocument *document, const KaNode *want, GHashTable *owned, GError **error)
{
    g_autoptr(KaTree) tree = ka_tree_new();
    Reader reader = {document, tree, NULL, owned, error, FALSE};

    tree->root = ka_node_new(tree, KA_NODE_MAP);
    if (want)
        reader.want = want = with_owned(tree, document->rows, want, owned);
    read_rows(&reader, document->rows, xmlDocGetRootElement(document->xml), want, tree->root);
    return reader.failed ? NULL : g_steal_pointer(&tree);
}
