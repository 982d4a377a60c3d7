#include "planner/plan.h"

/* One walk over the rows: what the manifest says, what is defined, what runs. */
typedef struct {
    KaAction *action;
    GHashTable *owned; /* borrowed; path → text; NULL: nothing is owned */
} Diff;

/* The three views of one place of the tree. */
typedef struct {
    const KaNode *want;   /* NULL: not declared */
    const KaNode *config; /* NULL: absent */
    const KaNode *live;   /* NULL: absent, or nothing runs */
} View;

static void diff_rows(Diff *diff, const KaRows *rows, const char *path, View view);

static gboolean
declared(const KaNode *node)
{
    return node && !node->fresh;
}

static gboolean
runs(const Diff *diff)
{
    return diff->action->actual->live != NULL;
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
add(Diff *diff,
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
    change->way =
        diff->action->actual->active || rows->row->way == KA_ONCE ? rows->row->way : KA_LIVE;
    g_ptr_array_add(to_list, change);
    return change;
}

/* A value against what is defined and what runs; want may be NULL (to be absent). */
static KaChange *
diff_leaf(Diff *diff, const KaRows *rows, const char *path, View view)
{
    KaAction *action = diff->action;
    KaWay way = rows->row->way;

    if (!leaf_equal(rows, view.want, view.config))
        return add(diff, way == KA_ONCE ? action->notes : action->changes, rows, path, view.config,
                   view.want);
    if (way == KA_ONCE || !runs(diff) || leaf_equal(rows, view.want, view.live))
        return NULL;
    KaChange *change = add(diff, action->changes, rows, path, view.live, view.want);
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

static gboolean
owns(const Diff *diff, const char *path)
{
    return diff->owned && g_hash_table_contains(diff->owned, path);
}

static gboolean
owns_below(const Diff *diff, const char *path)
{
    GHashTableIter iter;
    gpointer key;
    gsize length = strlen(path);

    if (!diff->owned)
        return FALSE;
    g_hash_table_iter_init(&iter, diff->owned);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const char *owned = key;
        if (strncmp(owned, path, length) == 0 && owned[length] == '.')
            return TRUE;
    }
    return FALSE;
}

/* A whole item of a map that is to be there (want) or not. */
static void
diff_item(Diff *diff, const KaRows *rows, const char *path, View view)
{
    gboolean wanted = view.want && view.want->type != KA_NODE_NULL;
    gboolean missing_live = runs(diff) && !view.live != !wanted;

    if (wanted && view.config && !missing_live) {
        diff_rows(diff, rows, path, view);
    } else if (wanted != (view.config != NULL)) {
        add(diff, diff->action->changes, rows, path, view.config, wanted ? view.want : NULL);
    } else if (missing_live) {
        KaChange *change =
            add(diff, diff->action->changes, rows, path, view.live, wanted ? view.want : NULL);
        /* A device that is gone from the definition but not from the guest waits for the guest. */
        change->pending = !wanted || rows->row->way != KA_LIVE;
        if (wanted)
            diff_rows(diff, rows, path, (View){view.want, view.config, view.config});
    }
}

/* What an earlier apply set and the manifest no longer names: back to what a new object gets. */
static void
diff_released(Diff *diff, const KaRows *rows, const char *path, View view)
{
    KaNode *fresh = NULL;
    guint before = diff->action->changes->len;

    if (is_item(rows)) {
        diff_item(diff, rows, path, (View){NULL, view.config, view.live});
    } else {
        if (view.want)
            fresh = ka_node_copy(diff->action->tree, view.want);
        else if (rows->row->fresh && !g_str_equal(rows->segment, "*"))
            fresh = ka_node_new_scalar(diff->action->tree, rows->row->fresh);
        if (fresh)
            fresh->row = rows->row;
        if (rows->row->way == KA_ONCE)
            return;
        diff_leaf(diff, rows, path, (View){fresh, view.config, view.live});
    }
    if (diff->action->changes->len == before) /* only the record lets go of it */
        add(diff, diff->action->changes, rows, path, view.config, fresh ? fresh : view.config)
            ->way = KA_LIVE;
    for (guint i = before; i < diff->action->changes->len; i++)
        ((KaChange *)g_ptr_array_index(diff->action->changes, i))->released = TRUE;
}

/* A branch that is declared absent: its element goes, or where it has none, every value below. */
static void
diff_absent(Diff *diff, const KaRows *rows, const char *path, View view)
{
    if (rows->row->at) {
        diff_item(diff, rows, path, (View){NULL, view.config, view.live});
        return;
    }
    for (const KaNode *node = view.config ? view.config->first : NULL; node; node = node->next) {
        g_autofree char *below = ka_path_append(path, node->key);
        const KaRows *child = ka_rows_child(rows, node->key);
        View here = {NULL, node, ka_node_get(view.live, node->key)};
        if (is_branch(child))
            diff_absent(diff, child, below, here);
        else if (is_item(child))
            diff_item(diff, child, below, here);
        else
            diff_leaf(diff, child, below, here);
    }
}

static void
diff_key(Diff *diff, const KaRows *rows, const char *parent, const char *key, View view)
{
    View here = {ka_node_get(view.want, key), ka_node_get(view.config, key),
                 ka_node_get(view.live, key)};

    if (rows->row->way == KA_NONE && rows->row->codec != &ka_map)
        return;
    g_autofree char *path = ka_path_append(parent, key);
    if (is_branch(rows)) {
        if (declared(here.want) && here.want->type == KA_NODE_NULL)
            diff_absent(diff, rows, path, here);
        else if (declared(here.want) || owns_below(diff, path))
            diff_rows(diff, rows, path, here);
    } else if (declared(here.want)) {
        if (is_item(rows))
            diff_item(diff, rows, path, here);
        else
            diff_leaf(diff, rows, path, here);
    } else if (owns(diff, path)) {
        diff_released(diff, rows, path, here);
    }
}

static gint
compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys right below path that are owned and that the manifest doesn't declare, sorted. */
static GPtrArray *
released_keys(const Diff *diff, const char *path, const KaNode *want)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *keys = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) top = path && *path ? ka_path_split(path) : g_new0(char *, 1);
    guint depth = g_strv_length(top);
    GHashTableIter iter;
    gpointer owned;

    if (!diff->owned)
        return keys;
    g_hash_table_iter_init(&iter, diff->owned);
    while (g_hash_table_iter_next(&iter, &owned, NULL)) {
        if (depth && !g_str_has_prefix(owned, path))
            continue;
        g_auto(GStrv) parts = ka_path_split(owned);
        gboolean below = g_strv_length(parts) > depth;
        for (guint i = 0; below && i < depth; i++)
            below = g_str_equal(parts[i], top[i]);
        if (!below || g_hash_table_contains(seen, parts[depth]) ||
            declared(ka_node_get(want, parts[depth])))
            continue;
        char *key = g_strdup(parts[depth]);
        g_hash_table_add(seen, key);
        g_ptr_array_add(keys, key);
    }
    g_ptr_array_sort(keys, compare_keys);
    return keys;
}

static void
diff_rows(Diff *diff, const KaRows *rows, const char *path, View view)
{
    for (const KaRows *child = rows->first; child; child = child->next) {
        if (g_str_equal(child->segment, "[]"))
            continue;
        if (!g_str_equal(child->segment, "*")) {
            diff_key(diff, child, path, child->segment, view);
            continue;
        }
        for (const KaNode *item = view.want ? view.want->first : NULL; item; item = item->next) {
            if (declared(item) && ka_rows_child(rows, item->key) == child)
                diff_key(diff, child, path, item->key, view);
        }
        g_autoptr(GPtrArray) keys = released_keys(diff, path, view.want);
        for (guint i = 0; i < keys->len; i++) {
            if (ka_rows_child(rows, g_ptr_array_index(keys, i)) == child)
                diff_key(diff, child, path, g_ptr_array_index(keys, i), view);
        }
    }
}

void
ka_diff(KaAction *action, const KaRows *rows)
{
    KaActual *actual = action->actual;
    Diff diff = {action, actual->record ? actual->record->owned : NULL};
    View top = {action->object->node, actual->config ? actual->config->root : NULL,
                actual->live ? actual->live->root : NULL};

    diff_rows(&diff, rows, "", top);
}
