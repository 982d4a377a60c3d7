#include "planner/graph.h"
#include "planner/plan.h"

static gboolean
removes(const KaAction *action)
{
    return action->verb == KA_REMOVE;
}

static gboolean
needs(const KaAction *action, const KaAction *other)
{
    return action->object && other->object &&
           g_ptr_array_find(action->object->needs, other->object, NULL);
}

/* What nothing declares has no references to go by: kinds that are created later go first, and
 * within a kind what was found to stand on another. */
static gboolean
waits_by_kind(const KaAction *action, const KaAction *other)
{
    if (action->object && other->object)
        return FALSE;
    if (action->kind == other->kind)
        return other->actual && g_strcmp0(other->actual->base, action->name) == 0;
    return ka_kind_index(action->kind) < ka_kind_index(other->kind);
}

static gboolean
waits_for(const KaAction *action, const KaAction *other)
{
    if (removes(action))
        return removes(other) ? needs(other, action) || waits_by_kind(action, other)
                              : ka_kind_index(action->kind) < ka_kind_index(other->kind);
    return !removes(other) && needs(action, other);
}

/* Depth first, so that the order given is kept wherever nothing speaks against it. */
static gboolean
visit(KaAction *action, GHashTable *state, GPtrArray *sorted, GError **error)
{
    const char *seen = g_hash_table_lookup(state, action);

    if (seen && g_str_equal(seen, "done"))
        return TRUE;
    if (seen) {
        g_autofree char *address = ka_action_address(action, FALSE);
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_CYCLE,
                    "'%s' needs itself through what it refers to", address);
        return FALSE;
    }
    g_hash_table_insert(state, action, ka_borrow("open"));
    for (guint i = 0; i < action->after->len; i++) {
        if (!visit(g_ptr_array_index(action->after, i), state, sorted, error))
            return FALSE;
    }
    g_hash_table_insert(state, action, ka_borrow("done"));
    g_ptr_array_add(sorted, action);
    return TRUE;
}

/* Objects that are declared find what they need by it, in linear time. */
static void
link_declared(KaAction *action, GHashTable *by_object)
{
    for (guint i = 0; action->object && i < action->object->needs->len; i++) {
        KaAction *other =
            g_hash_table_lookup(by_object, g_ptr_array_index(action->object->needs, i));
        if (!other)
            continue;
        if (waits_for(action, other))
            g_ptr_array_add(action->after, other);
        else if (waits_for(other, action))
            g_ptr_array_add(other->after, action);
    }
}

/* What is made on demand goes where its user's other needs are: into a new disk's pool. */
static void
link_on_demand(KaAction *action, GHashTable *by_object)
{
    const GPtrArray *needs_of = action->object ? action->object->needs : NULL;

    for (guint i = 0; needs_of && !removes(action) && i < needs_of->len * needs_of->len; i++) {
        KaObject *made = g_ptr_array_index(needs_of, i / needs_of->len);
        KaObject *first = g_ptr_array_index(needs_of, i % needs_of->len);
        KaAction *making = g_hash_table_lookup(by_object, made);
        KaAction *before = g_hash_table_lookup(by_object, first);

        if (made->kind->on_demand && making && before && !removes(before) &&
            ka_kind_index(first->kind) < ka_kind_index(made->kind))
            g_ptr_array_add(making->after, before);
    }
}

/* Actions that keep or make what needs an object of another kind, by that object. */
static GHashTable *
users_of_objects(const GPtrArray *actions)
{
    GHashTable *users = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);

    for (guint i = 0; i < actions->len; i++) {
        KaAction *action = g_ptr_array_index(actions, i);
        for (guint j = 0; action->object && !removes(action) && j < action->object->needs->len;
             j++) {
            KaObject *need = g_ptr_array_index(action->object->needs, j);
            GPtrArray *list = g_hash_table_lookup(users, need);
            if (need->kind == action->kind)
                continue;
            if (!list)
                g_hash_table_insert(users, need, list = g_ptr_array_new());
            g_ptr_array_add(list, action);
        }
    }
    return users;
}

/* A copy is made before anybody starts to write to what it is made of. */
static void
link_copy(KaAction *action, GHashTable *users)
{
    for (guint i = 0; action->object && action->verb == KA_CREATE && i < action->object->needs->len;
         i++) {
        const KaObject *source = g_ptr_array_index(action->object->needs, i);
        const GPtrArray *list =
            source->kind == action->kind ? g_hash_table_lookup(users, source) : NULL;
        for (guint j = 0; list && j < list->len; j++)
            g_ptr_array_add(((KaAction *)g_ptr_array_index(list, j))->after, action);
    }
}

/* Removals that meet an object that isn't declared, or one that stays. */
static void
link_removal(KaAction *action, const GPtrArray *actions)
{
    for (guint i = 0; i < actions->len; i++) {
        KaAction *other = g_ptr_array_index(actions, i);
        if (other != action && !(action->object && other->object && needs(other, action)) &&
            waits_for(action, other))
            g_ptr_array_add(action->after, other);
    }
}

gboolean
ka_graph_order(GPtrArray *actions, GError **error)
{
    g_autoptr(GHashTable) by_object = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) state = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) users = users_of_objects(actions);
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();

    for (guint i = 0; i < actions->len; i++) {
        KaAction *action = g_ptr_array_index(actions, i);
        if (action->object)
            g_hash_table_insert(by_object, ka_borrow(action->object), action);
    }
    for (guint i = 0; i < actions->len; i++) {
        KaAction *action = g_ptr_array_index(actions, i);
        link_declared(action, by_object);
        link_copy(action, users);
        link_on_demand(action, by_object);
        if (removes(action) && !action->left_over)
            link_removal(action, actions);
    }
    for (guint i = 0; i < actions->len; i++) {
        if (!visit(g_ptr_array_index(actions, i), state, sorted, error))
            return FALSE;
    }
    for (guint i = 0; i < actions->len; i++)
        actions->pdata[i] = sorted->pdata[i];
    return TRUE;
}
