#include "drivers/document_part.h"
#include "drivers/item.h"

static gboolean
is_absent(const KaNode *node)
{
    return !node || node->type == KA_NODE_NULL;
}

static gboolean
patch_item(const KaSpot *spot, const char *key, const KaChange *change, GError **error)
{
    xmlNode *element = spot->element;

    if (is_absent(change->to)) {
        if (element)
            ka_place_prune(element, spot->self);
        return TRUE;
    }
    if (!element)
        return ka_document_write_item(spot->self, spot->rows, key, change->to, error);
    return ka_document_write_item_value(element, spot->rows, change->to, error);
}

static gboolean
patch_field(KaDocument *document, const KaNode *want, const KaChange *change, GError **error)
{
    KaSpot spot;

    if (change->row->way == KA_NONE)
        return TRUE;
    if (!ka_document_find(document, change->path, want, change->from, TRUE, &spot, error))
        return FALSE;
    if (spot.is_item) {
        g_auto(GStrv) keys = ka_path_split(change->path);
        return patch_item(&spot, keys[g_strv_length(keys) - 1], change, error);
    }
    if (!is_absent(change->to))
        return ka_document_write_node(spot.self, spot.rows, change->to, error);
    ka_document_clear(spot.self, spot.rows);
    return TRUE;
}

static gboolean
patch_fragment(KaDocument *document, const KaNode *want, const KaChange *change, GError **error)
{
    g_auto(GStrv) keys = ka_path_split(change->path);
    const char *place = keys[g_strv_length(keys) - 1];
    xmlNode *element = ka_document_fragment_element(document, place, want, FALSE);

    if (element && change->from && change->from->text)
        ka_fragment_take_out(element, change->from->text);
    if (is_absent(change->to) || !change->to->text)
        return TRUE;
    return ka_document_merge(document, place, want, change->to->text, error);
}

gboolean
ka_document_patch(KaDocument *document,
                  const KaNode *want,
                  const GPtrArray *changes,
                  gboolean pending_too,
                  GError **error)
{
    /* Fragments last: they may be merged into items that come. */
    for (int fragments = 0; fragments < 2; fragments++) {
        for (guint i = 0; i < changes->len; i++) {
            const KaChange *change = changes->pdata[i];
            gboolean is_fragment = change->row->codec == &ka_fragment;
            if (is_fragment != fragments || (change->pending && !pending_too))
                continue;
            if (!(is_fragment ? patch_fragment(document, want, change, error)
                              : patch_field(document, want, change, error)))
                return FALSE;
        }
    }
    return TRUE;
}
