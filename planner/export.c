#include "planner/export.h"
#include "planner/plan.h"

typedef struct {
    GPtrArray **actuals; /* by kind; owned KaActual */
    const KaKind *kind;
    GMutex lock;
    KaHost *host;         /* borrowed */
    GHashTable *left_out; /* owned; borrowed KaActual that was looked at → owned reason why no
                             manifest can say it, or NULL */
} Collection;

static void
found(KaActual *actual, gpointer data)
{
    Collection *collection = data;

    g_mutex_lock(&collection->lock);
    g_ptr_array_add(collection->actuals[ka_kind_index(collection->kind)], actual);
    g_mutex_unlock(&collection->lock);
}

static gint
compare_actuals(gconstpointer a, gconstpointer b)
{
    return strcmp((*(KaActual *const *)a)->name, (*(KaActual *const *)b)->name);
}

static void drop_fresh(KaTree *tree, KaNode *node, const KaRows *rows);

/* A value that a new object gets by itself needn't be written; one that it gets and that isn't
 * there must be. */
static void
settle_fresh(KaTree *tree, KaNode *node, const KaRows *child)
{
    KaNode *value = ka_node_get(node, child->segment);
    const KaField *row = child->row;

    if (value && value->type == KA_NODE_SCALAR && row->fresh &&
        ka_codec_equal(row->codec, value->text, row->fresh)) {
        ka_node_remove(node, value);
    } else if (!value && row->fresh && ka_codec_equal(row->codec, NULL, row->fresh) == FALSE) {
        KaNode *absent = row->codec->is_presence ? ka_node_new_scalar(tree, "no")
                                                 : ka_node_new(tree, KA_NODE_NULL);
        absent->row = row;
        ka_node_append(tree, node, child->segment, absent);
    }
}

/* Literal branches are looked into even where they are absent: a row below may have a fresh value.
 */
static void
drop_fresh_below(KaTree *tree, KaNode *node, const KaRows *child)
{
    KaNode *branch = ka_node_get(node, child->segment);
    gboolean made = !branch;

    if (branch && branch->type == KA_NODE_NULL)
        return; /* a driver's own word: a new object would get something here */
    if (made) {
        branch = ka_node_new(tree, KA_NODE_MAP);
        branch->row = child->row;
        ka_node_append(tree, node, child->segment, branch);
    }
    drop_fresh(tree, branch, child);
    if (!branch->first)
        ka_node_remove(node, branch);
    else if (made && child->row->at) /* an element that isn't there: nothing below it is */
        *branch = (KaNode){
            .type = KA_NODE_NULL, .key = branch->key, .row = branch->row, .next = branch->next};
}

static void
drop_fresh(KaTree *tree, KaNode *node, const KaRows *rows)
{
    if (!node || node->type != KA_NODE_MAP)
        return;
    for (const KaRows *child = rows->first; child; child = child->next) {
        if (g_str_equal(child->segment, "[]"))
            continue;
        if (g_str_equal(child->segment, "*")) {
            for (KaNode *item = node->first; item && child->row->codec == &ka_map;
                 item = item->next)
                drop_fresh(tree, item, child);
        } else if (child->row->codec == &ka_map) {
            drop_fresh_below(tree, node, child);
        } else {
            settle_fresh(tree, node, child);
        }
    }
}

static gboolean
observe_all(const KaDrivers *drivers, KaHost *host, Collection *collection, GError **error)
{
    for (gsize i = 0; i < 2 * drivers->n_drivers; i++) {
        const KaDriver *driver = drivers->drivers[i % drivers->n_drivers];
        KaWanted wanted = {.kind = ka_kind_find(driver->kind)};
        if (driver->late != (i >= drivers->n_drivers))
            continue;
        collection->kind = wanted.kind;
        if (!driver->observe(host, &wanted, found, collection, error))
            return FALSE;
        g_ptr_array_sort(collection->actuals[ka_kind_index(wanted.kind)], compare_actuals);
    }
    return TRUE;
}

static const KaActual *
find_actual(const Collection *collection, const KaKind *kind, const char *name)
{
    const GPtrArray *actuals = collection->actuals[ka_kind_index(kind)];

    for (guint i = 0; i < actuals->len; i++) {
        const KaActual *actual = g_ptr_array_index(actuals, i);
        if (g_str_equal(actual->name, name))
            return actual;
    }
    return NULL;
}

/* The object and what it refers to, once each. */
static void
choose(const Collection *collection, GHashTable *chosen, const KaActual *actual)
{
    if (!actual || !g_hash_table_add(chosen, ka_borrow(actual)))
        return;
    g_autoptr(GPtrArray) open = g_ptr_array_new();
    if (actual->config && actual->config->root)
        g_ptr_array_add(open, actual->config->root);
    while (open->len) {
        const KaNode *node = g_ptr_array_steal_index_fast(open, open->len - 1);
        const char *refers =
            node->row && node->type == KA_NODE_SCALAR ? node->row->codec->refers : NULL;
        if (refers && ka_kind_find(refers))
            choose(collection, chosen, find_actual(collection, ka_kind_find(refers), node->text));
        for (KaNode *child = node->first; child; child = child->next)
            g_ptr_array_add(open, child);
    }
}

static gboolean
is_exported(const KaActual *actual, GHashTable *chosen)
{
    return actual->config && actual->config->root &&
           (!chosen || g_hash_table_contains(chosen, actual));
}

/* A manifest is of one project: that of what is exported, if it is one's. */
static void
add_project(const Collection *collection, GHashTable *chosen, KaTree *tree, KaHost *host)
{
    const char *project = NULL;

    for (gsize k = 0; k < ka_n_kinds; k++) {
        for (guint i = 0; i < collection->actuals[k]->len; i++) {
            const KaActual *actual = g_ptr_array_index(collection->actuals[k], i);
            if (!actual->record || !is_exported(actual, chosen))
                continue;
            if (project && !g_str_equal(project, actual->record->project)) {
                g_ptr_array_add(
                    host->warnings,
                    g_strdup_printf("what is exported belongs to several projects, '%s' "
                                    "and '%s' among them: a manifest is of one, so export "
                                    "by KIND/NAME",
                                    project, actual->record->project));
                return;
            }
            project = actual->record->project;
        }
    }
    if (project)
        ka_node_append(tree, tree->root, "project", ka_node_new_scalar(tree, project));
}

/* The first error of a manifest with the object alone; caller frees; NULL: none. References aren't
 * followed. */
static char *
load_error(const KaKind *kind, const KaActual *actual, const KaNode *root)
{
    g_autoptr(GError) error = NULL;
    if (!ka_name_check(actual->name, &error))
        return g_strdup(error->message);
    char *text = ka_emit(root);
    g_autoptr(KaSource) source = ka_source_new(actual->name, text, strlen(text));
    g_autoptr(KaTree) tree = ka_tree_new();
    g_autoptr(GPtrArray) roots = g_ptr_array_new();
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    if (ka_load(tree, source, roots, diagnostics) && roots->len)
        ka_check(tree, g_ptr_array_index(roots, 0), ka_kind_rows(kind), diagnostics);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, i);
        /* A secret's placeholder is for the user to fill. */
        if (diagnostic->severity == KA_ERROR && !diagnostic->secret)
            return g_strdup(diagnostic->message);
    }
    return NULL;
}

static const char *why_left_out(Collection *collection, const KaKind *kind, const KaActual *actual);

/* Why something that it names is left out; caller frees; NULL: nothing is. */
static char *
find_left_out(Collection *collection, const KaNode *node)
{
    const char *refers =
        node->row && node->type == KA_NODE_SCALAR ? node->row->codec->refers : NULL;
    const KaKind *kind = refers ? ka_kind_find(refers) : NULL;
    const KaActual *actual = kind ? find_actual(collection, kind, node->text) : NULL;
    char *found = actual && why_left_out(collection, kind, actual)
                      ? g_strdup_printf("it needs %s '%s', which is left out", refers, actual->name)
                      : NULL;
    for (const KaNode *child = node->first; child && !found; child = child->next)
        found = find_left_out(collection, child);
    return found;
}

/* NULL: a manifest can say the object and what it names. */
static const char *
why_left_out(Collection *collection, const KaKind *kind, const KaActual *actual)
{
    gpointer reason = NULL;
    if (g_hash_table_lookup_extended(collection->left_out, actual, NULL, &reason))
        return reason;
    g_hash_table_insert(collection->left_out, ka_borrow(actual), NULL); /* ends a circle */
    KaNode *root = actual->config ? actual->config->root : NULL;
    if (!root)
        return NULL;
    char *why = load_error(kind, actual, root);
    if (!why)
        why = find_left_out(collection, root);
    g_hash_table_insert(collection->left_out, ka_borrow(actual), why);
    return why;
}

static GHashTable *
choose_all(Collection *collection, const char *const *addresses, GError **error)
{
    g_autoptr(GHashTable) chosen = g_hash_table_new(NULL, NULL);

    for (; *addresses; addresses++) {
        g_auto(GStrv) parts = g_strsplit(*addresses, "/", 2);
        const KaKind *kind = ka_kind_find(parts[0] ? parts[0] : "");
        const KaActual *actual = kind && parts[1] ? find_actual(collection, kind, parts[1]) : NULL;
        if (!actual) {
            g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                        kind && parts[1] ? "'%s' doesn't exist on this host"
                                         : "'%s': expected KIND/NAME such as guest/web",
                        *addresses);
            return NULL;
        }
        const char *why = why_left_out(collection, kind, actual);
        if (why) {
            g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                        "no manifest can say '%s': %s", *addresses, why);
            return NULL;
        }
        choose(collection, chosen, actual);
    }
    return g_steal_pointer(&chosen);
}

/* Not in the manifest because it would be refused there; says so. */
static gboolean
leave_out(Collection *collection, const KaKind *kind, const KaActual *actual)
{
    const char *why = why_left_out(collection, kind, actual);
    if (why && collection->host->warnings)
        g_ptr_array_add(collection->host->warnings,
                        g_strdup_printf("%s '%s' is left out, as no manifest can say it: %s",
                                        kind->table->kind, actual->name, why));
    return why != NULL;
}

static KaTree *
compose(Collection *collection, GHashTable *chosen, KaHost *host)
{
    KaTree *tree = ka_tree_new();

    tree->root = ka_node_new(tree, KA_NODE_MAP);
    add_project(collection, chosen, tree, host);
    for (gsize k = 0; k < ka_n_kinds; k++) {
        KaNode *map = ka_node_new(tree, KA_NODE_MAP);
        for (guint i = 0; i < collection->actuals[k]->len; i++) {
            const KaActual *actual = g_ptr_array_index(collection->actuals[k], i);
            if (!is_exported(actual, chosen) || leave_out(collection, ka_kinds[k], actual))
                continue;
            KaNode *node = ka_node_copy(tree, actual->config->root);
            drop_fresh(tree, node, ka_kind_rows(ka_kinds[k]));
            ka_node_append(tree, map, actual->name, node);
        }
        if (map->first)
            ka_node_append(tree, tree->root, ka_kinds[k]->table->plural, map);
    }
    return tree;
}

KaTree *
ka_export(const KaDrivers *drivers, KaHost *host, const char *const *addresses, GError **error)
{
    g_autofree GPtrArray **actuals = g_new0(GPtrArray *, ka_n_kinds);
    g_autoptr(GHashTable) left_out = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    Collection collection = {.actuals = actuals, .host = host, .left_out = left_out};
    g_autoptr(GHashTable) chosen = NULL;
    KaTree *tree = NULL;

    for (gsize k = 0; k < ka_n_kinds; k++)
        actuals[k] = g_ptr_array_new_with_free_func((GDestroyNotify)ka_actual_free);
    g_mutex_init(&collection.lock);
    gboolean ok = observe_all(drivers, host, &collection, error);
    if (ok && addresses && *addresses)
        ok = (chosen = choose_all(&collection, addresses, error)) != NULL;
    if (ok)
        tree = compose(&collection, chosen, host);
    g_mutex_clear(&collection.lock);
    for (gsize k = 0; k < ka_n_kinds; k++)
        g_ptr_array_unref(actuals[k]);
    return tree;
}
