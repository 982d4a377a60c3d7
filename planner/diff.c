#include "planner/plan.h"

/* The views of one place of the tree. */
typedef struct {
    const KaNode *want;   /* NULL: not declared */
    const KaNode *config; /* NULL: absent */
    const KaNode *live;   /* NULL: absent, or nothing runs */
    const KaNode *owned;  /* NULL: the record doesn't own it, nor anything below */
} View;

static void diff_rows(KaAction *action, const KaRows *rows, const char *path, View view);

static gboolean
declared(const KaNode *node)
{
    return node && !node->fresh;
}

static gboolean
runs(const KaAction *action)
{
    return action->actual->live != NULL;
}

/* The value of a scalar, NULL where it is absent or declared absent. */
static const char *
value(const KaNode *node)
{
    return node && node->type == KA_NODE_SCALAR ? node->text : NULL;
}

static gboolean
list_equal(const KaRows *rows, const KaNode *a, const KaNode *b)
{
    const KaNode *x = a ? a->first : NULL, *y = b ? b->first : NULL;
    const KaCodec *codec = rows->first ? rows->first->row->codec : &ka_string;

    for (; x && y; x = x->next, y = y->next) {
        if (!ka_codec_equal(codec, x->text, y->text))
            return FALSE;
    }
    return !x && !y;
}

static gboolean
leaf_equal(const KaRows *rows, const KaNode *a, const KaNode *b)
{
    if (rows->row->codec == &ka_list)
        return list_equal(rows, a, b);
    return ka_codec_equal(rows->row->codec, value(a), value(b));
}

static KaChange *
add(KaAction *action,
    GPtrArray *to_list,
    const KaRows *rows,
    const char *path,
    const KaNode *from,
    const KaNode *to)
{
    KaChange *change = g_new0(KaChange, 1);
    change->path = g_strdup(path);
    change->row = rows->row;
    change->from = from;
    change->to = to;
    /* What isn't active has nothing that could wait. */
    change->way = action->actual->active || rows->row->way == KA_ONCE ? rows->row->way : KA_LIVE;
    g_ptr_array_add(to_list, change);
    return change;
}

/* A value against what is defined and what runs; want may be NULL (to be absent). */
static KaChange *
diff_leaf(KaAction *action, const KaRows *rows, const char *path, View view)
{
    KaWay way = rows->row->way;

    if (!leaf_equal(rows, view.want, view.config))
        return add(action, way == KA_ONCE ? action->notes : action->changes, rows, path,
                   view.config, view.want);
    if (way == KA_ONCE || !runs(action) || leaf_equal(rows, view.want, view.live))
        return NULL;
    KaChange *change = add(action, action->changes, rows, path, view.live, view.want);
    change->pending = way != KA_LIVE;
    return change;
}

static gboolean
is_branch(const KaRows *rows)
{
    return rows->row->codec == &ka_map && !g_str_equal(rows->segment, "*");
}

static gboolean
is_item(const KaRows *rows)
{
    return rows->row->codec == &ka_map && g_str_equal(rows->segment, "*");
}

/* A whole item of a map that is to be there (want) or not. */
static void
diff_item(KaAction *action, const KaRows *rows, const char *path, View view)
{
    gboolean wanted = view.want && view.want->type != KA_NODE_NULL;
    gboolean missing_live = runs(action) && !view.live != !wanted;

    if (wanted && view.config && !missing_live) {
        diff_rows(action, rows, path, view);
    } else if (wanted != (view.config != NULL)) {
        add(action, action->changes, rows, path, view.config, wanted ? view.want : NULL);
    } else if (missing_live) {
        KaChange *change =
            add(action, action->changes, rows, path, view.live, wanted ? view.want : NULL);
        /* A device that is gone from the definition but not from the guest waits for the guest. */
        change->pending = !wanted || rows->row->way != KA_LIVE;
        if (wanted)
            diff_rows(action, rows, path, (View){view.want, view.config, view.config, view.owned});
    }
}

/* Somebody else's since it was released, unless it only waits. */
static void
keep_pending(GPtrArray *changes, guint first)
{
    for (guint i = changes->len; i > first; i--)
        if (!((const KaChange *)g_ptr_array_index(changes, i - 1))->pending)
            g_ptr_array_remove_index(changes, i - 1);
}

/* What an earlier apply set and the manifest no longer names: back to what a new object gets. */
static void
diff_released(KaAction *action, const KaRows *rows, const char *path, View view)
{
    KaNode *fresh = NULL;
    guint before = action->changes->len;

    if (is_item(rows)) {
        diff_item(action, rows, path, (View){NULL, view.config, view.live, NULL});
    } else {
        if (view.want)
            fresh = ka_node_copy(action->tree, view.want);
        else if (rows->row->fresh && !g_str_equal(rows->segment, "*"))
            fresh = ka_node_new_scalar(action->tree, rows->row->fresh);
        if (fresh)
            fresh->row = rows->row;
        if (rows->row->way == KA_ONCE)
            return;
        diff_leaf(action, rows, path, (View){fresh, view.config, view.live, NULL});
    }
    if (g_strcmp0(g_hash_table_lookup(action->actual->record->owned, path), KA_RECORD_WAITING) == 0)
        keep_pending(action->changes, before);
    else if (action->changes->len == before) /* only the record lets go of it */
        add(action, action->changes, rows, path, view.config, fresh ? fresh : view.config)->way =
            KA_LIVE;
    for (guint i = before; i < action->changes->len; i++)
        ((KaChange *)g_ptr_array_index(action->changes, i))->released = TRUE;
}

/* A branch that is declared absent: its element goes, or where it has none, every value below. */
static void
diff_absent(KaAction *action, const KaRows *rows, const char *path, View view)
{
    if (rows->row->at) {
        diff_item(action, rows, path, (View){NULL, view.config, view.live, NULL});
        return;
    }
    for (const KaNode *node = view.config ? view.config->first : NULL; node; node = node->next) {
        g_autofree char *below = ka_path_append(path, node->key);
        const KaRows *child = ka_rows_child(rows, node->key);
        View here = {NULL, node, ka_node_get(view.live, node->key), NULL};
        if (is_branch(child))
            diff_absent(action, child, below, here);
        else if (is_item(child))
            diff_item(action, child, below, here);
        else
            diff_leaf(action, child, below, here);
    }
}

static void
diff_key(KaAction *action, const KaRows *rows, const char *parent, const char *key, View view)
{
    View here = {.want = ka_node_get(view.want, key), .owned = ka_node_get(view.owned, key)};

    if (!declared(here.want) && !here.owned)
        return;
    if (rows->row->way == KA_NONE && rows->row->codec != &ka_map)
        return;
    here.config = ka_node_get(view.config, key);
    here.live = ka_node_get(view.live, key);
    g_autofree char *path = ka_path_append(parent, key);
    if (is_branch(rows)) {
        if (declared(here.want) && here.want->type == KA_NODE_NULL)
            diff_absent(action, rows, path, here);
        else
            diff_rows(action, rows, path, here);
    } else if (!declared(here.want)) {
        diff_released(action, rows, path, here);
    } else if (is_item(rows)) {
        diff_item(action, rows, path, here);
    } else {
        diff_leaf(action, rows, path, here);
    }
}

static void
diff_rows(KaAction *action, const KaRows *rows, const char *path, View view)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        if (g_str_equal(child->segment, "[]"))
            continue;
        if (!g_str_equal(child->segment, "*")) {
            diff_key(action, child, path, child->segment, view);
            continue;
        }
        for (const KaNode *item = view.want ? view.want->first : NULL; item; item = item->next) {
            if (declared(item) && ka_rows_child(rows, item->key) == child)
                diff_key(action, child, path, item->key, view);
        }
        for (const KaNode *item = view.owned ? view.owned->first : NULL; item; item = item->next) {
            if (!declared(ka_node_get(view.want, item->key)) &&
                ka_rows_child(rows, item->key) == child)
                diff_key(action, child, path, item->key, view);
        }
    }
}

static gint
compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

/* The record's paths as a tree, in their order. */
static const KaNode *
owned_tree(KaAction *action)
{
    if (!action->actual->record)
        return NULL;
    g_autoptr(GList) paths =
        g_list_sort(g_hash_table_get_keys(action->actual->record->owned), compare_paths);
    KaNode *root = ka_node_new(action->tree, KA_NODE_MAP);
    for (const GList *path = paths; path; path = path->next) {
        if (!ka_node_find(root, path->data))
            ka_node_put(action->tree, root, path->data, NULL);
    }
    return root;
}

void
ka_diff(KaAction *action, const KaRows *rows)
{
    KaActual *actual = action->actual;
    View top = {action->object->node, actual->config ? actual->config->root : NULL,
                actual->live ? actual->live->root : NULL, owned_tree(action)};

    diff_rows(action, rows, "", top);
}
