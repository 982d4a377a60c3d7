#include "manifest/manifest.h"

#include <string.h>

#define DEFAULT_PROJECT "default"

typedef struct {
    KaManifest *manifest;
    KaDiagnostics *diagnostics;
    const KaNode *project; /* the first that was said, or NULL */
} Merger;

static void
object_free(gpointer data)
{
    KaObject *object = data;
    g_ptr_array_unref(object->hosts);
    g_ptr_array_unref(object->needs);
}

static KaManifest *
manifest_new(void)
{
    KaManifest *manifest = g_new0(KaManifest, 1);
    manifest->tree = ka_tree_new();
    manifest->none = g_ptr_array_new();
    manifest->sources = g_ptr_array_new_with_free_func((GDestroyNotify)ka_source_free);
    manifest->objects = g_new0(GPtrArray *, ka_n_kinds);
    manifest->by_name = g_new0(GHashTable *, ka_n_kinds);
    for (gsize i = 0; i < ka_n_kinds; i++) {
        manifest->objects[i] = g_ptr_array_new_with_free_func(object_free);
        manifest->by_name[i] = g_hash_table_new(g_str_hash, g_str_equal);
    }
    return manifest;
}

void
ka_manifest_free(KaManifest *manifest)
{
    if (!manifest)
        return;
    for (gsize i = 0; i < ka_n_kinds; i++) {
        g_ptr_array_unref(manifest->objects[i]);
        g_hash_table_unref(manifest->by_name[i]);
    }
    g_free(manifest->objects);
    g_free(manifest->by_name);
    g_ptr_array_unref(manifest->none);
    g_ptr_array_unref(manifest->sources);
    ka_tree_free(manifest->tree);
    g_free(manifest);
}

void
ka_object_keep_active(KaManifest *manifest, KaObject *object)
{
    if (ka_node_get(object->node, "state"))
        return;
    KaNode *state = ka_node_put(manifest->tree, object->node, "state", "active");
    state->row = ka_rows_find(ka_kind_rows(object->kind), "state")->row;
}

KaObject *
ka_manifest_find(const KaManifest *manifest, const KaKind *kind, const char *name)
{
    return g_hash_table_lookup(manifest->by_name[ka_kind_index(kind)], name);
}

KaObject *
ka_manifest_add(KaManifest *manifest, const KaKind *kind, KaNode *node)
{
    gsize index = ka_kind_index(kind);
    KaObject *object = ka_tree_alloc(manifest->tree, sizeof *object);
    object->kind = kind;
    object->name = node->key;
    object->node = node;
    object->hosts = g_ptr_array_ref(manifest->none);
    object->needs = g_ptr_array_ref(manifest->none);
    g_ptr_array_add(manifest->objects[index], object);
    g_hash_table_insert(manifest->by_name[index], (gpointer)(guintptr)object->name, object);
    return object;
}

static void
check_object(Merger *merger, KaObject *object)
{
    guint n_errors = merger->diagnostics->n_errors;
    g_autoptr(GError) error = NULL;
    if (!ka_name_check(object->name, &error))
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_key_mark(object->node),
                           "%s '%s': %s", object->kind->table->kind, object->name, error->message);
    ka_check(merger->manifest->tree, object->node, ka_kind_rows(object->kind), merger->diagnostics);
    object->broken = merger->diagnostics->n_errors > n_errors;
}

static void
take_objects(Merger *merger, const KaKind *kind, KaNode *map)
{
    const KaTable *table = kind->table;
    if (map->type == KA_NODE_NULL)
        return;
    if (map->type != KA_NODE_MAP) {
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_mark(map),
                           "%s: expected a map of %s by name", table->plural, table->plural);
        return;
    }
    /* Within one map ka_load has found them. */
    gboolean may_repeat = merger->manifest->objects[ka_kind_index(kind)]->len > 0;
    for (KaNode *node = map->first; node; node = node->next) {
        const KaObject *first =
            may_repeat ? ka_manifest_find(merger->manifest, kind, node->key) : NULL;
        if (!first) {
            check_object(merger, ka_manifest_add(merger->manifest, kind, node));
            continue;
        }
        g_autofree char *place = ka_mark_format(ka_node_key_mark(first->node));
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_key_mark(node),
                           "%s '%s' is declared twice, first at %s", table->kind, node->key, place);
    }
}

static void
take_project(Merger *merger, const KaNode *node)
{
    g_autoptr(GError) error = NULL;
    if (node->type != KA_NODE_SCALAR) {
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_mark(node),
                           "project: expected a name");
    } else if (!ka_name_check(node->text, &error)) {
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_mark(node), "project: %s",
                           error->message);
    } else if (!merger->project) {
        merger->project = node;
        merger->manifest->project = node->text;
    } else if (!g_str_equal(node->text, merger->project->text)) {
        g_autofree char *place = ka_mark_format(ka_node_mark(merger->project));
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_mark(node),
                           "project '%s', but '%s' at %s: one run is about one project", node->text,
                           merger->project->text, place);
    }
}

static void
refuse_key(Merger *merger, const KaNode *node)
{
    g_autofree const char **known = g_new0(const char *, ka_n_kinds + 1);
    g_autoptr(GString) all = g_string_new("project");
    known[0] = "project";
    for (gsize i = 0; i < ka_n_kinds; i++) {
        known[i + 1] = ka_kinds[i]->table->plural;
        g_string_append_printf(all, ", %s", known[i + 1]);
    }
    const char *nearest = ka_nearest(node->key, known, ka_n_kinds + 1);
    ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_key_mark(node),
                       nearest ? "unknown key '%s': did you mean '%s'?"
                               : "unknown key '%s': expected one of %s",
                       node->key, nearest ? nearest : all->str);
}

static void
take_root(Merger *merger, KaNode *root)
{
    if (root->type != KA_NODE_MAP) {
        ka_diagnostics_add(merger->diagnostics, KA_ERROR, ka_node_mark(root),
                           "expected a map with keys such as 'guests' and 'networks'");
        return;
    }
    for (KaNode *node = root->first; node; node = node->next) {
        const KaKind *kind = NULL;
        for (gsize i = 0; i < ka_n_kinds && !kind; i++)
            if (g_str_equal(node->key, ka_kinds[i]->table->plural))
                kind = ka_kinds[i];
        if (kind)
            take_objects(merger, kind, node);
        else if (g_str_equal(node->key, "project"))
            take_project(merger, node);
        else if (!g_str_has_prefix(node->key, "x-"))
            refuse_key(merger, node);
    }
}

/* FALSE: a text isn't YAML, so that what it declares isn't known. */
static gboolean
load_sources(Merger *merger)
{
    KaManifest *manifest = merger->manifest;
    g_autoptr(GPtrArray) roots = g_ptr_array_new();
    gboolean whole = TRUE;
    for (guint i = 0; i < manifest->sources->len; i++) {
        const KaSource *source = g_ptr_array_index(manifest->sources, i);
        guint n_roots = roots->len;
        gboolean loaded = ka_load(manifest->tree, source, roots, merger->diagnostics);
        if (loaded && roots->len == n_roots)
            ka_diagnostics_add(merger->diagnostics, KA_ERROR, (KaMark){source, 0, 0},
                               "nothing is declared here: the text is empty or has only comments");
        whole = whole && roots->len > n_roots;
    }
    for (guint i = 0; i < roots->len; i++)
        take_root(merger, g_ptr_array_index(roots, i));
    return whole;
}

KaManifest *
ka_manifest_load(const char *const *paths, const char *default_uri, KaDiagnostics *diagnostics)
{
    g_autoptr(KaManifest) manifest = manifest_new();
    Merger merger = {manifest, diagnostics, NULL};
    guint n_errors = diagnostics->n_errors;
    manifest->project = DEFAULT_PROJECT;
    ka_paths_read(paths, manifest->sources, diagnostics);
    gboolean whole = diagnostics->n_errors == n_errors;
    if (whole && manifest->sources->len == 0)
        ka_diagnostics_add(diagnostics, KA_ERROR, KA_NOWHERE, "no manifest is named");
    /* References into what couldn't be read would only be said to lead nowhere. */
    if (load_sources(&merger) && whole)
        ka_resolve(manifest, default_uri, diagnostics);
    ka_diagnostics_sort(diagnostics);
    if (diagnostics->n_errors == n_errors)
        return g_steal_pointer(&manifest);
    g_ptr_array_extend_and_steal(diagnostics->sources, g_steal_pointer(&manifest->sources));
    manifest->sources = g_ptr_array_new();
    return NULL;
}
