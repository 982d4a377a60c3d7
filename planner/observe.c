#include "planner/observe.h"

/* One host's observation; several of the driver's threads report into it. */
typedef struct {
    KaPlan *plan;
    KaHostPlan *host;
    const KaKind *kind;
    KaWanted wanted;
    GHashTable *seen; /* names that exist or are unknown */
} Observation;

/* What the user has said of this object alone: for its address, or in the manifest. */
static KaWords
allowed_here(const KaPlan *plan, const KaAction *action)
{
    KaWords words = action->object ? action->object->allow : 0;

    for (int with_host = 0; with_host < 2 && plan->options.allow_scoped; with_host++) {
        g_autofree char *address = ka_action_address(action, with_host);
        words |= GPOINTER_TO_UINT(g_hash_table_lookup(plan->options.allow_scoped, address));
    }
    return words;
}

static gboolean
address_matches(const char *address, const KaObject *object)
{
    const char *kind = object->kind->table->kind;
    gsize length = strlen(kind), name = strlen(object->name);

    return strncmp(address, kind, length) == 0 && address[length] == '/' &&
           strncmp(address + length + 1, object->name, name) == 0 &&
           (address[length + 1 + name] == '\0' || address[length + 1 + name] == '@');
}

static gboolean
named(char **addresses, const KaObject *object)
{
    for (char **address = addresses; address && *address; address++) {
        if (address_matches(*address, object))
            return TRUE;
    }
    return FALSE;
}

static gboolean
needed_by_target(const KaPlan *plan, const KaObject *object)
{
    for (char **target = plan->options.targets; *target; target++) {
        g_autoptr(GPtrArray) open = g_ptr_array_new();
        const char *slash = strchr(*target, '/');
        g_autofree char *kind = g_strndup(*target, slash ? (gsize)(slash - *target) : 0);
        g_auto(GStrv) name = g_strsplit(slash ? slash + 1 : "", "@", 2);
        const KaKind *of = ka_kind_find(kind);
        KaObject *start = of ? ka_manifest_find(plan->manifest, of, name[0]) : NULL;
        if (start)
            g_ptr_array_add(open, start);
        while (open->len) {
            const KaObject *next = g_ptr_array_steal_index_fast(open, open->len - 1);
            if (next == object)
                return TRUE;
            g_ptr_array_extend(open, next->needs, NULL, NULL);
        }
    }
    return FALSE;
}

gboolean
ka_plan_targets(const KaPlan *plan, const KaObject *object)
{
    if (!plan->options.targets)
        return TRUE;
    /* What a target needs is made for it, but never removed with it. */
    return plan->options.remove ? named(plan->options.targets, object)
                                : needed_by_target(plan, object);
}

/* What is to be made of objects of the kind. */
static GPtrArray *
makers_of(const KaHostPlan *host, const KaKind *kind)
{
    GPtrArray *makers = g_ptr_array_new();

    for (guint i = 0; i < host->actions->len; i++) {
        KaAction *action = g_ptr_array_index(host->actions, i);
        for (guint j = 0; action->object && j < action->object->needs->len &&
                          (action->verb == KA_CREATE || action->verb == KA_REPLACE);
             j++) {
            const KaObject *need = g_ptr_array_index(action->object->needs, j);
            if (need->kind == kind)
                g_ptr_array_add(makers, action);
        }
    }
    return makers;
}

static GHashTable *
wanted_by(const GPtrArray *makers, const KaKind *kind)
{
    GHashTable *wanted = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < makers->len; i++) {
        const KaAction *action = g_ptr_array_index(makers, i);
        for (guint j = 0; j < action->object->needs->len; j++) {
            KaObject *need = g_ptr_array_index(action->object->needs, j);
            if (need->kind == kind)
                g_hash_table_insert(wanted, ka_borrow(need->name), need);
        }
    }
    return wanted;
}

static GHashTable *
wanted_on(const KaPlan *plan, const KaHost *host, const KaKind *kind)
{
    const GPtrArray *objects = plan->manifest->objects[ka_kind_index(kind)];
    GHashTable *wanted = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < objects->len; i++) {
        KaObject *object = g_ptr_array_index(objects, i);
        if (g_ptr_array_find(object->hosts, host->object, NULL))
            g_hash_table_insert(wanted, ka_borrow(object->name), object);
    }
    return wanted;
}

static gboolean
ours(const KaPlan *plan, const KaActual *actual)
{
    return actual->record && g_str_equal(actual->record->project, plan->manifest->project);
}

static void
refuse(Observation *observation, const KaObject *object, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&observation->plan->lock);
    ka_diagnostics_add(observation->plan->diagnostics, KA_ERROR,
                       object ? ka_node_mark(object->node) : KA_NOWHERE, "%s", message);
    g_mutex_unlock(&observation->plan->lock);
}

static gboolean
is_protected(const KaAction *action)
{
    return (action->object && action->object->protect) ||
           (action->actual && action->actual->record && action->actual->record->protect);
}

/* Which verb an existing declared object gets. */
static void
decide(Observation *observation, KaAction *action)
{
    const KaPlan *plan = observation->plan;
    gboolean replace = named(plan->options.replace, action->object);
    const char *kind = action->kind->table->kind;

    if (action->actual->record && !ours(plan, action->actual)) {
        refuse(
            observation, action->object,
            "%s '%s' belongs to project '%s' on host '%s': remove it there, or choose another name",
            kind, action->name, action->actual->record->project, action->host->name);
        return;
    }
    if ((replace || plan->options.remove) && is_protected(action)) {
        refuse(observation, action->object,
               "%s '%s' is protected and is never removed or replaced: apply it without 'protect' "
               "first",
               kind, action->name);
        return;
    }
    action->adopt = !action->actual->record;
    if (plan->options.remove || replace) {
        action->verb = replace ? KA_REPLACE : KA_REMOVE;
        action->words |= KA_WORD_DELETE;
        /* What others made goes only when it is named: a word for everything may not have meant it.
         */
        if (action->adopt) {
            action->words |= KA_WORD_ADOPT;
            action->allowed &= ~(KaWords)KA_WORD_ADOPT | allowed_here(plan, action);
        }
        return;
    }
    ka_diff(action, ka_kind_rows(action->kind));
}

/* A word for all restarts lets staged changes take effect now. */
static void
use_restart(KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (action->actual->active && change->way == KA_BOOT &&
            (action->allowed & KA_WORD_RESTART)) {
            action->restart = TRUE;
            action->words |= KA_WORD_RESTART;
        }
    }
}

static void
keep(Observation *observation, KaAction *action)
{
    ka_actual_keep(action->actual);
    g_mutex_lock(&observation->plan->lock);
    g_ptr_array_add(observation->host->actions, action);
    g_mutex_unlock(&observation->plan->lock);
}

static void
note_all(KaAction *action, const KaActual *actual)
{
    for (guint i = 0; i < actual->notes->len; i++)
        g_ptr_array_add(action->remarks, g_strdup(g_ptr_array_index(actual->notes, i)));
}

static void
found_declared(Observation *observation, KaActual *actual, const KaObject *object)
{
    KaAction *action =
        ka_action_new(KA_CHANGE, observation->kind, object->name, observation->host->host);

    action->object = object;
    action->actual = actual;
    action->project = observation->plan->manifest->project;
    if (actual->unknown) {
        g_mutex_lock(&observation->plan->lock);
        g_ptr_array_add(observation->host->unknown, action);
        g_mutex_unlock(&observation->plan->lock);
        return;
    }
    action->allowed = observation->plan->options.allow | allowed_here(observation->plan, action);
    decide(observation, action);
    note_all(action, actual);
    if (action->verb == KA_CHANGE) {
        if (action->adopt && !ka_action_is_idle(action))
            action->words |= KA_WORD_ADOPT;
        use_restart(action);
    }
    if (action->verb == KA_CHANGE && !action->changes->len && !action->notes->len &&
        !action->remarks->len) {
        g_mutex_lock(&observation->plan->lock);
        observation->host->n_unchanged++;
        g_mutex_unlock(&observation->plan->lock);
        ka_action_free(action);
        return;
    }
    keep(observation, action);
}

/* Of a guest of ours that is on this host. */
static void
refuse_second(Observation *observation, const KaObject *guest)
{
    const KaHost *here = observation->host->host;

    if (!guest || !guest->hosts->len || !g_str_equal(observation->kind->table->kind, "guest") ||
        g_ptr_array_find(guest->hosts, here->object, NULL))
        return;
    const KaObject *there = g_ptr_array_index(guest->hosts, 0);
    refuse(observation, guest,
           "guest '%s' is declared on host '%s' but exists on host '%s': it is not made a second "
           "time",
           guest->name, there->name, here->name);
}

static void
found_undeclared(Observation *observation, KaActual *actual)
{
    KaPlan *plan = observation->plan;

    if (!ours(plan, actual)) {
        ka_actual_free(actual);
        return;
    }
    const KaObject *elsewhere = ka_manifest_find(plan->manifest, observation->kind, actual->name);
    refuse_second(observation, elsewhere);
    if (plan->options.remove || elsewhere) {
        ka_actual_free(actual);
        return;
    }
    KaAction *action =
        ka_action_new(KA_REMOVE, observation->kind, actual->name, observation->host->host);
    action->actual = actual;
    action->project = plan->manifest->project;
    action->allowed = plan->options.allow | allowed_here(plan, action);
    note_all(action, actual);
    action->words = KA_WORD_DELETE;
    action->left_over = !plan->options.prune || is_protected(action);
    if (is_protected(action))
        g_ptr_array_add(action->remarks, g_strdup("protected: never removed"));
    keep(observation, action);
}

static void
found(KaActual *actual, gpointer data)
{
    Observation *observation = data;
    const KaObject *object = g_hash_table_lookup(observation->wanted.objects, actual->name);

    if (!object) {
        found_undeclared(observation, actual);
        return;
    }
    g_mutex_lock(&observation->plan->lock);
    g_hash_table_add(observation->seen, ka_borrow(object->name));
    g_mutex_unlock(&observation->plan->lock);
    if (ka_plan_targets(observation->plan, object))
        found_declared(observation, actual, object);
    else
        ka_actual_free(actual);
}

/* What is declared and wasn't found is to be created. */
static void
create_missing(Observation *observation)
{
    const GPtrArray *objects =
        observation->plan->manifest->objects[ka_kind_index(observation->kind)];

    for (guint i = 0; i < objects->len && !observation->plan->options.remove; i++) {
        KaObject *object = g_ptr_array_index(objects, i);
        if (!g_hash_table_contains(observation->wanted.objects, object->name) ||
            g_hash_table_contains(observation->seen, object->name) ||
            !ka_plan_targets(observation->plan, object))
            continue;
        KaAction *action =
            ka_action_new(KA_CREATE, observation->kind, object->name, observation->host->host);
        action->object = object;
        action->project = observation->plan->manifest->project;
        action->allowed =
            observation->plan->options.allow | allowed_here(observation->plan, action);
        g_ptr_array_add(observation->host->actions, action);
    }
}

static gboolean
observe_kind(KaPlan *plan, KaHostPlan *host, const KaDriver *driver, GError **error)
{
    const KaKind *kind = ka_kind_find(driver->kind);
    const KaKind *disk = ka_kind_find("disk");
    g_autoptr(GPtrArray) makers = kind->on_demand ? makers_of(host, kind) : NULL;
    g_autoptr(GHashTable) wanted =
        makers ? wanted_by(makers, kind) : wanted_on(plan, host->host, kind);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    Observation observation = {.plan = plan, .host = host, .kind = kind, .seen = seen};

    observation.wanted = (KaWanted){.kind = kind,
                                    .project = plan->manifest->project,
                                    .objects = wanted,
                                    .makers = makers,
                                    .remove = plan->options.remove};
    if (disk)
        observation.wanted.disks = plan->manifest->by_name[ka_kind_index(disk)];
    if (!driver->observe(host->host, &observation.wanted, found, &observation, error))
        return FALSE;
    create_missing(&observation);
    return TRUE;
}

static void
assess_all(KaPlan *plan, KaHostPlan *host)
{
    for (guint i = 0; i < host->actions->len; i++) {
        KaAction *action = g_ptr_array_index(host->actions, i);
        const KaDriver *driver = ka_drivers_find(plan->drivers, action->kind);
        g_autoptr(GError) error = NULL;
        if (!driver->assess || driver->assess(host->host, action, &error))
            continue;
        g_mutex_lock(&plan->lock);
        ka_diagnostics_add(plan->diagnostics, KA_ERROR,
                           ka_node_mark(action->blame    ? action->blame
                                        : action->object ? action->object->node
                                                         : NULL),
                           "%s '%s': %s", action->kind->table->kind, action->name, error->message);
        g_mutex_unlock(&plan->lock);
    }
}

typedef struct {
    KaPlan *plan;
    KaHostPlan *host;
} Task;

/* What is wanted on demand follows from all else. */
#define N_TURNS 3
static guint
turn_of(const KaDriver *driver)
{
    return ka_kind_find(driver->kind)->on_demand ? N_TURNS - 1 : driver->late;
}

static gpointer
observe_host(gpointer data)
{
    Task *task = data;
    KaHost *host = task->host->host;

    task->plan->drivers->connect(host, task->plan->options.timeout_seconds);
    for (guint turn = 0; turn < N_TURNS; turn++) {
        for (gsize i = 0; !host->error && i < task->plan->drivers->n_drivers; i++) {
            const KaDriver *driver = task->plan->drivers->drivers[i];
            if (turn_of(driver) == turn)
                observe_kind(task->plan, task->host, driver, &host->error);
        }
    }
    if (!host->error)
        assess_all(task->plan, task->host);
    return NULL;
}

static void
found_elsewhere(KaActual *actual, gpointer data)
{
    Observation *observation = data;

    if (ours(observation->plan, actual))
        refuse_second(observation, ka_manifest_find(observation->plan->manifest, observation->kind,
                                                    actual->name));
    ka_actual_free(actual);
}

static gpointer
observe_other(gpointer data)
{
    Task *task = data;
    KaHost *host = task->host->host;
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    const KaKind *kind = ka_kind_find("guest");
    const KaDriver *driver = ka_drivers_find(task->plan->drivers, kind);
    Observation observation = {.plan = task->plan, .host = task->host, .kind = kind, .seen = none};

    observation.wanted = (KaWanted){
        .kind = kind, .project = task->plan->manifest->project, .objects = none, .disks = none};
    task->plan->drivers->connect(host, task->plan->options.timeout_seconds);
    if (!host->error)
        driver->observe(host, &observation.wanted, found_elsewhere, &observation, &host->error);
    return NULL;
}

static void
on_all(KaPlan *plan, const GPtrArray *hosts, GThreadFunc work)
{
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    g_autofree Task *tasks = g_new0(Task, hosts->len);

    for (guint i = 0; i < hosts->len; i++) {
        KaHostPlan *host = g_ptr_array_index(hosts, i);
        tasks[i] = (Task){plan, host};
        if (!host->host->offline)
            g_ptr_array_add(threads, g_thread_new("observe", work, &tasks[i]));
    }
    for (guint i = 0; i < threads->len; i++)
        g_thread_join(g_ptr_array_index(threads, i));
}

void
ka_observe(KaPlan *plan)
{
    on_all(plan, plan->hosts, observe_host);
}

void
ka_observe_others(KaPlan *plan)
{
    on_all(plan, plan->others, observe_other);
}
