#include "drivers/document_part.h"
#include "drivers/item.h"

static gboolean
write_declared(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error);

/* --- unions: writing one row clears what contradicts it --- */

typedef struct {
    xmlNode *self;
    const KaField *row; /* the one that was written */
    const KaRows *item; /* all rows of one item */
} Union;

/* Does a row that may stand beside the written one hold its value at the same bare place? */
static gboolean
is_shared(const Union *one, const KaRows *rows, const char *bare)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        const char *at = child->row->at;
        if (at && !ka_place_contradicts(one->row->at, at)) {
            g_autofree char *other = ka_place_bare(at);
            if (g_str_equal(other, bare))
                return TRUE;
        }
        if (child != rows->any && is_shared(one, child, bare))
            return TRUE;
    }
    return FALSE;
}

static void
elements_remove(xmlNode *self, const char *path)
{
    g_autoptr(GPtrArray) elements = ka_place_select(self, path);

    for (guint i = 0; i < elements->len; i++)
        ka_place_prune(elements->pdata[i], self);
}

static void
clear_place(xmlNode *self, const KaField *row, const char *place)
{
    if (row->codec->is_presence || row->codec == &ka_map)
        ka_place_set(self, place, "no", TRUE, NULL);
    else
        ka_place_clear(self, place);
}

static void
union_clear(const Union *one, const KaRows *rows)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        const char *at = child->row->at;
        if (at && child->claims && ka_place_contradicts(one->row->at, at)) {
            g_autofree char *bare = ka_place_bare(at);
            if (*bare && !is_shared(one, one->item, bare))
                clear_place(one->self, child->row, bare);
        }
        if (child != rows->any)
            union_clear(one, child);
    }
}

static const KaRows *
item_of(const KaRows *rows)
{
    while (rows->parent && rows->parent->any != rows)
        rows = rows->parent;
    return rows;
}

gboolean
ka_document_write_value(xmlNode *self, const KaRows *rows, const char *canonical, GError **error)
{
    const KaField *row = rows->row;
    const KaRows *item = item_of(rows->parent);

    if (!row->at)
        return TRUE;
    if (!ka_place_set(self, row->at, canonical, row->codec->is_presence, error)) {
        g_prefix_error(error, "'%s': ", row->key);
        return FALSE;
    }
    if (rows->claims)
        union_clear(&(Union){self, row, item}, item);
    return TRUE;
}

/* --- lists: written as a whole --- */

/* Does the element say all that the item declares? */
static gboolean
element_is(const KaRows *item, const char *value, xmlNode *element, const KaNode *node)
{
    if (value) {
        g_autofree char *text = ka_place_get(element, value, FALSE);
        return text && node->text && ka_codec_equal(item->row->codec, text, node->text);
    }
    for (const KaNode *child = node->first; child; child = child->next) {
        const KaRows *rows = ka_rows_child(item, child->key);
        if (!rows || !rows->row->at || !child->text)
            return FALSE;
        g_autofree char *text = ka_place_get(element, rows->row->at, rows->row->codec->is_presence);
        if (!ka_codec_equal(rows->row->codec, text, child->text))
            return FALSE;
    }
    return TRUE;
}

/* What an entry holds beside the declared stays with it, wherever in the list it goes. */
static xmlNode *
take_equal(GPtrArray *old, const KaRows *item, const char *value, const KaNode *node)
{
    for (guint i = 0; i < old->len; i++)
        if (element_is(item, value, old->pdata[i], node))
            return g_ptr_array_steal_index(old, i);
    return NULL;
}

static gboolean
write_entry(
    xmlNode *element, const KaRows *item, const char *value, const KaNode *node, GError **error)
{
    if (value)
        return ka_place_set(element, value, node->text, FALSE, error);
    return ka_document_write_new(element, item, node, error);
}

static gboolean
write_list(xmlNode *self, const KaRows *rows, const KaNode *list, GError **error)
{
    const KaRows *item = ka_rows_item(rows);

    if (!item || !item->row->at)
        return TRUE;
    g_auto(KaItemPlace) place = ka_item_place(item->row);
    g_autoptr(GPtrArray) old = ka_place_select(self, place.path);
    for (const KaNode *node = list->first; node; node = node->next) {
        xmlNode *element = take_equal(old, item, place.value, node);
        if (element) { /* behind those before it */
            xmlNode *parent = element->parent;
            xmlUnlinkNode(element);
            xmlAddChild(parent, element);
        } else if (!write_entry(ka_place_create(self, place.path), item, place.value, node,
                                error)) {
            return FALSE;
        }
    }
    for (guint i = 0; i < old->len; i++)
        ka_place_prune(old->pdata[i], self);
    return TRUE;
}

/* --- maps --- */

gboolean
ka_document_write_item(
    xmlNode *self, const KaRows *rows, const char *key, const KaNode *node, GError **error)
{
    if (!rows->row->at || node->type == KA_NODE_NULL)
        return TRUE;
    g_auto(KaItemPlace) place = ka_item_place(rows->row);
    xmlNode *element = ka_place_create(self, place.path);
    ka_item_name(element, rows, key, node, FALSE);
    if (rows->row->codec == &ka_list)
        return write_list(element, rows, node, error);
    return write_entry(element, rows, place.value, node, error);
}

gboolean
ka_document_write_node(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error)
{
    const KaField *row = rows->row;

    if (node->type == KA_NODE_NULL)
        return TRUE;
    if (row->codec == &ka_list)
        return write_list(self, rows, node, error);
    if (row->codec != &ka_map)
        return !node->text || ka_document_write_value(self, rows, node->text, error);
    if (row->at)
        ka_place_set(self, row->at, "yes", TRUE, NULL);
    return write_declared(self, rows, node, error);
}

gboolean
ka_document_write_item_value(xmlNode *element,
                             const KaRows *rows,
                             const KaNode *node,
                             GError **error)
{
    g_auto(KaItemPlace) place = ka_item_place(rows->row);

    if (rows->row->codec == &ka_map)
        return write_declared(element, rows, node, error);
    if (rows->row->codec == &ka_list)
        return write_list(element, rows, node, error);
    return ka_place_set(element, place.value, node->text, FALSE, error);
}

static gboolean
write_items(xmlNode *self, const KaRows *rows, const KaNode *map, GError **error)
{
    for (const KaNode *node = map->first; node; node = node->next)
        if (ka_rows_child(rows->parent, node->key) == rows &&
            !ka_document_write_item(self, rows, node->key, node, error))
            return FALSE;
    return TRUE;
}

/* In the order of the rows, so that equal manifests make equal documents. */
static gboolean
write_declared(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        const KaNode *value = ka_node_get(node, child->segment);
        gboolean ok = TRUE;
        if (child == rows->any)
            ok = !node || node->type != KA_NODE_MAP || write_items(self, child, node, error);
        else if (value)
            ok = ka_document_write_node(self, child, value, error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}

static gboolean
write_fresh(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        const KaNode *value = ka_node_get(node, child->segment);
        gboolean is_map = child->row->codec == &ka_map;
        if (child == rows->any || (value && (value->type == KA_NODE_NULL || !is_map)))
            continue;
        if (is_map ? !write_fresh(self, child, value, error)
                   : child->row->fresh &&
                         !ka_document_write_value(self, child, child->row->fresh, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
ka_document_write_new(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error)
{
    return write_fresh(self, rows, node, error) && write_declared(self, rows, node, error);
}

void
ka_document_clear(xmlNode *self, const KaRows *rows)
{
    const KaField *row = rows->row;
    g_auto(KaItemPlace) place = {NULL, NULL, NULL};

    if (rows->parent->any == rows) {
        if (!row->at)
            return;
        place = ka_item_place(row);
        elements_remove(self, place.path);
    } else if (row->at) {
        clear_place(self, row, row->at);
    } else {
        for (const KaRows *child = rows->first; child; child = child->next)
            ka_document_clear(self, child);
    }
}
