#include "planner/plan.h"
#include "planner/graph.h"
#include "planner/observe.h"

G_DEFINE_QUARK(ka - plan - error - quark, ka_plan_error)

static void
host_free(KaHost *host)
{
    g_free(host->real_uri);
    g_clear_error(&host->error);
    g_ptr_array_unref(host->warnings);
    g_free(host);
}

static void
host_plan_free(KaHostPlan *host)
{
    g_ptr_array_unref(host->actions);
    g_ptr_array_unref(host->unknown);
    host_free(host->host);
    g_free(host);
}

static KaHostPlan *
host_plan_new(const KaObject *object)
{
    KaHostPlan *plan = g_new0(KaHostPlan, 1);

    plan->host = g_new0(KaHost, 1);
    plan->host->object = object;
    plan->host->name = object->name;
    plan->host->uri = ka_node_text(object->node, "uri");
    plan->host->offline = g_strcmp0(ka_node_text(object->node, "offline"), "yes") == 0;
    plan->host->warnings = g_ptr_array_new_with_free_func(g_free);
    plan->actions = g_ptr_array_new_with_free_func((GDestroyNotify)ka_action_free);
    plan->unknown = g_ptr_array_new_with_free_func((GDestroyNotify)ka_action_free);
    return plan;
}

static void
disconnect(const KaPlan *plan, const GPtrArray *hosts)
{
    for (guint i = 0; i < hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(hosts, i);
        plan->drivers->disconnect(host->host);
    }
}

void
ka_plan_free(KaPlan *plan)
{
    if (!plan)
        return;
    disconnect(plan, plan->hosts);
    disconnect(plan, plan->others);
    g_ptr_array_unref(plan->hosts);
    g_ptr_array_unref(plan->others);
    ka_diagnostics_free(plan->diagnostics);
    g_free(plan->digest);
    g_mutex_clear(&plan->lock);
    g_free(plan);
}

/* An address names a declared object ("guest/web", "guest/web@kvm1"); left-overs can't be scoped.
 */
static gboolean
check_address(const KaManifest *manifest, const char *option, const char *address, GError **error)
{
    const char *slash = strchr(address, '/');
    g_autofree char *kind_name =
        g_strndup(address, slash ? (gsize)(slash - address) : strlen(address));
    const KaKind *kind = ka_kind_find(kind_name);
    g_auto(GStrv) parts = g_strsplit(slash ? slash + 1 : "", "@", 2);

    if (!slash || !kind || !parts[0] || !*parts[0]) {
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                    "%s '%s': expected KIND/NAME such as guest/web", option, address);
        return FALSE;
    }
    if (!ka_manifest_find(manifest, kind, parts[0])) {
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                    "%s '%s': no manifest declares %s '%s'", option, address, kind->table->kind,
                    parts[0]);
        return FALSE;
    }
    if (kind->on_demand && g_str_equal(option, "--replace")) {
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                    "--replace '%s': it is made anew when what it is declared to be changes; "
                    "replace what is made of it",
                    address);
        return FALSE;
    }
    return TRUE;
}

static gboolean
check_options(const KaManifest *manifest, const KaPlanOptions *options, GError **error)
{
    const KaKind *host = ka_kind_find("host");

    for (char **target = options->targets; target && *target; target++) {
        if (!check_address(manifest, "--target", *target, error))
            return FALSE;
    }
    for (char **replace = options->replace; replace && *replace; replace++) {
        if (!check_address(manifest, "--replace", *replace, error))
            return FALSE;
    }
    for (char **name = options->hosts; name && *name; name++) {
        if (!ka_manifest_find(manifest, host, *name)) {
            g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                        "--host '%s': no manifest declares it", *name);
            return FALSE;
        }
    }
    if (options->prune && (options->targets || options->hosts)) {
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                    "--prune wants the whole project: leave out %s",
                    options->targets ? "--target" : "--host");
        return FALSE;
    }
    return TRUE;
}

/* Where a host is unknown, a guest may be there already: it isn't made elsewhere. */
static void
hold_back_guests(KaPlan *plan, const KaHost *unreachable)
{
    for (guint i = 0; i < plan->hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = host->actions->len; j-- > 0;) {
            KaAction *action = g_ptr_array_index(host->actions, j);
            if (action->verb != KA_CREATE || !g_str_equal(action->kind->table->kind, "guest"))
                continue;
            action = g_ptr_array_steal_index(host->actions, j);
            action->actual = ka_actual_new(action->name);
            action->actual->unknown =
                g_strdup_printf("may be on host '%s', which can't be reached: mend it, or declare "
                                "it 'offline: true' "
                                "once it is down for good",
                                unreachable->name);
            g_ptr_array_insert(host->unknown, 0, action);
        }
    }
}

/* A guest that is to be made may be on a host that --host leaves out. */
static void
look_elsewhere(KaPlan *plan)
{
    gboolean creates = FALSE;

    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++) {
            const KaAction *action = g_ptr_array_index(host->actions, j);
            creates |= action->verb == KA_CREATE && g_str_equal(action->kind->table->kind, "guest");
        }
    }
    if (!creates)
        return;
    ka_observe_others(plan);
    for (guint i = 0; i < plan->others->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->others, i);
        if (host->host->error)
            hold_back_guests(plan, host->host);
    }
}

/* Objects of an unreachable host: what is declared there can't be told. */
static void
mark_unknown(KaPlan *plan, KaHostPlan *host)
{
    g_ptr_array_set_size(host->actions, 0);
    g_ptr_array_set_size(host->unknown, 0);
    host->n_unchanged = 0;
    for (gsize k = 0; k < plan->drivers->n_drivers; k++) {
        const KaKind *kind = ka_kind_find(plan->drivers->drivers[k]->kind);
        const GPtrArray *objects = plan->manifest->objects[ka_kind_index(kind)];
        for (guint i = 0; i < objects->len && !kind->on_demand; i++) {
            KaObject *object = g_ptr_array_index(objects, i);
            if (!g_ptr_array_find(object->hosts, host->host->object, NULL))
                continue;
            KaAction *action = ka_action_new(KA_CHANGE, kind, object->name, host->host);
            action->object = object;
            action->actual = ka_actual_new(object->name);
            action->actual->unknown = g_strdup("its host can't be reached");
            g_ptr_array_add(host->unknown, action);
        }
    }
}

/* By kind, then as declared, then by name: the order the graph keeps where it can. */
static gint
compare_actions(gconstpointer a, gconstpointer b, gpointer positions)
{
    const KaAction *x = *(KaAction *const *)a, *y = *(KaAction *const *)b;
    gsize kind_x = ka_kind_index(x->kind), kind_y = ka_kind_index(y->kind);
    guint at_x = GPOINTER_TO_UINT(g_hash_table_lookup(positions, x->object));
    guint at_y = GPOINTER_TO_UINT(g_hash_table_lookup(positions, y->object));

    if (kind_x != kind_y)
        return kind_x < kind_y ? -1 : 1;
    if (at_x != at_y)
        return at_x - 1 < at_y - 1 ? -1 : 1; /* what isn't declared has 0 and comes last */
    return strcmp(x->name, y->name);
}

static gboolean
order(KaPlan *plan, GError **error)
{
    g_autoptr(GHashTable) positions = g_hash_table_new(NULL, NULL);

    for (gsize k = 0; k < ka_n_kinds; k++) {
        const GPtrArray *objects = plan->manifest->objects[k];
        for (guint i = 0; i < objects->len; i++)
            g_hash_table_insert(positions, g_ptr_array_index(objects, i), GUINT_TO_POINTER(i + 1));
    }
    for (guint i = 0; i < plan->hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        g_ptr_array_sort_with_data(host->actions, compare_actions, positions);
        g_ptr_array_sort_with_data(host->unknown, compare_actions, positions);
        if (!ka_graph_order(host->actions, error))
            return FALSE;
    }
    return TRUE;
}

static void
digest_node(GChecksum *sum, const KaNode *node)
{
    g_checksum_update(sum, (const guchar *)(node ? "(" : "-"), 1);
    if (!node)
        return;
    if (node->key)
        g_checksum_update(sum, (const guchar *)node->key, (gssize)strlen(node->key) + 1);
    if (node->text)
        g_checksum_update(sum, (const guchar *)node->text, (gssize)strlen(node->text) + 1);
    for (const KaNode *child = node->first; child; child = child->next)
        digest_node(sum, child);
    g_checksum_update(sum, (const guchar *)")", 1);
}

static void
digest_action(GChecksum *sum, const KaAction *action)
{
    g_autofree char *address = ka_action_address(action, TRUE);
    g_autofree char *head =
        g_strdup_printf("%d %s %u %d\n", action->verb, address, action->words, action->restart);

    g_checksum_update(sum, (const guchar *)head, -1);
    if (action->verb == KA_CREATE || action->verb == KA_REPLACE)
        digest_node(sum, action->object->node);
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (change->pending)
            continue;
        g_checksum_update(sum, (const guchar *)change->path, -1);
        digest_node(sum, change->from);
        digest_node(sum, change->to);
    }
}

static gboolean
has_pending(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (change->pending)
            return TRUE;
    }
    return FALSE;
}

static void
count(KaPlan *plan, KaAction *action)
{
    guint *const by_verb[] = {&plan->n_create, &plan->n_change, &plan->n_remove, &plan->n_replace};

    if (action->left_over) {
        plan->n_left_over++;
        return;
    }
    if (action->verb == KA_CHANGE && has_pending(action) && !action->restart)
        plan->n_pending++;
    if (ka_action_is_idle(action))
        return;
    (*by_verb[action->verb])++;
    action->lacking = action->words & ~action->allowed;
    plan->n_lacking += action->lacking != 0;
}

static void
summarise(KaPlan *plan)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    for (guint i = 0; i < plan->hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        plan->failed |= host->host->error != NULL || host->unknown->len > 0;
        for (guint j = 0; j < host->actions->len; j++) {
            KaAction *action = g_ptr_array_index(host->actions, j);
            count(plan, action);
            if (!ka_action_is_idle(action))
                digest_action(sum, action);
        }
    }
    plan->digest = g_strndup(g_checksum_get_string(sum), 8);
}

KaPlan *
ka_plan_new(const KaManifest *manifest,
            const KaDrivers *drivers,
            const KaPlanOptions *options,
            GError **error)
{
    const GPtrArray *hosts = manifest->objects[ka_kind_index(ka_kind_find("host"))];

    if (!check_options(manifest, options, error))
        return NULL;
    g_autoptr(KaPlan) plan = g_new0(KaPlan, 1);
    plan->manifest = manifest;
    plan->drivers = drivers;
    plan->options = *options;
    plan->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)host_plan_free);
    plan->others = g_ptr_array_new_with_free_func((GDestroyNotify)host_plan_free);
    plan->diagnostics = ka_diagnostics_new();
    g_mutex_init(&plan->lock);
    for (guint i = 0; i < hosts->len; i++) {
        const KaObject *object = g_ptr_array_index(hosts, i);
        gboolean chosen =
            !options->hosts || g_strv_contains((const char *const *)options->hosts, object->name);
        g_ptr_array_add(chosen ? plan->hosts : plan->others, host_plan_new(object));
    }
    ka_observe(plan);
    look_elsewhere(plan);
    for (guint i = 0; i < plan->hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        if (!host->host->error) {
            ka_capacity_check(manifest, host->host);
            continue;
        }
        mark_unknown(plan, host);
        hold_back_guests(plan, host->host);
    }
    if (!order(plan, error))
        return NULL;
    ka_diagnostics_sort(plan->diagnostics);
    summarise(plan);
    return g_steal_pointer(&plan);
}
