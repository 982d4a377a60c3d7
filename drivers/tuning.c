#include "drivers/tuning_state.h"

#include <string.h>

/* The driver of tuning: what the files say is what is defined, what the kernel has is what runs. */

/* What stands above a field is there, whether or not it has a value: a pattern is no object that
 * comes and goes. */
static void
put(KaTree *tree, const KaTuningField *field, const char *text)
{
    g_auto(GStrv) keys = ka_path_split(field->name);
    KaNode *at = tree->root;

    for (char **key = keys; key[1]; key++) {
        KaNode *below = ka_node_get(at, *key);
        at = below ? below : ka_node_append(tree, at, *key, ka_node_new(tree, KA_NODE_MAP));
    }
    if (text)
        ka_node_put(tree, tree->root, field->name, text)->row = field->row;
}

/* A value that the kernel rounds is as it should be: a remark, not a difference for ever. */
static char *
settled(KaActual *actual,
        const KaTuningField *field,
        const KaTuned *tuned,
        char *running /* taken */)
{
    if (!field->node)
        return running;
    if (!running) {
        g_ptr_array_add(actual->notes, g_strdup_printf("%s: nothing on the host is named %s",
                                                       field->name, field->path));
        return g_strdup(field->node->text);
    }
    if (tuned && tuned->value && tuned->got && g_str_equal(tuned->got, running)) {
        g_ptr_array_add(actual->notes, g_strdup_printf("%s: the kernel makes %s of %s", field->name,
                                                       running, field->node->text));
        g_free(running);
        return g_strdup(field->node->text);
    }
    return running;
}

static void
put_field(KaActual *actual, const KaTuningState *state, const KaTuningField *field)
{
    const KaTuned *tuned = g_hash_table_lookup(state->tunings->by_field, field->name);
    g_autofree char *running = settled(actual, field, tuned, ka_tuning_running(state, field));
    g_autofree char *defined =
        tuned && tuned->value ? ka_tuning_from_kernel(field->row, tuned->value) : NULL;

    put(actual->config, field, defined);
    /* What was only recorded is given back by the record alone. */
    put(actual->live, field, running ? running : defined);
    if (tuned)
        g_hash_table_insert(actual->record->owned, g_strdup(field->name), NULL);
}

static char *
digest_of(const KaTuningState *state)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (guint i = 0; i < state->files->len; i++) {
        const KaHostFile *file = g_ptr_array_index(state->files, i);
        g_string_append_printf(all, "%s\n%s\n", file->path, file->text);
    }
    return ka_digest(all->str, NULL);
}

static KaActual *
actual_of(const KaObject *object, const char *project, const KaTuningState *state)
{
    KaActual *actual = ka_actual_new(object->name);

    actual->record =
        ka_record_new(state->tunings->project ? state->tunings->project : project, NULL);
    actual->config = ka_tree_new();
    actual->config->root = ka_node_new(actual->config, KA_NODE_MAP);
    actual->live = ka_tree_new();
    actual->live->root = ka_node_new(actual->live, KA_NODE_MAP);
    actual->active = TRUE;
    for (guint i = 0; i < state->fields->len; i++)
        put_field(actual, state, g_ptr_array_index(state->fields, i));
    actual->digest = digest_of(state);
    return actual;
}

static gboolean
observe(KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error)
{
    const KaObject *object =
        wanted->objects ? g_hash_table_lookup(wanted->objects, host->name) : NULL;
    g_autoptr(GError) failure = NULL;
    KaActual *actual = NULL;

    (void)error;
    if (!object)
        return TRUE;
    g_autoptr(KaTuningState) state = ka_tuning_state_read(host, object, &failure);
    if (state && wanted->remove && !state->tunings->project)
        return TRUE;
    if (state) {
        actual = actual_of(object, wanted->project, state);
    } else {
        actual = ka_actual_new(object->name);
        actual->unknown = g_strdup(failure->message);
    }
    found(actual, data);
    return TRUE;
}

/* --- before: what can't be --- */

/* The names between the brackets' neighbours: "none [mq-deadline] kyber". */
static gboolean
offers(const char *text, const char *value)
{
    g_auto(GStrv) words = g_strsplit_set(text, " []\n", -1);

    return !strchr(text, '[') || g_strv_contains((const char *const *)words, value);
}

static gboolean
check_choice(const KaTuningState *state, const KaTuningField *field, GError **error)
{
    for (guint i = 0; field->node && i < state->files->len; i++) {
        const KaHostFile *file = g_ptr_array_index(state->files, i);
        if (!ka_tuning_matches(field, file->path) || offers(file->text, field->node->text))
            continue;
        g_auto(GStrv) parts = g_strsplit_set(file->text, "[]", -1);
        g_autofree char *choice = g_strjoinv("", parts);
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s: %s has no '%s', but: %s",
                    field->name, file->path, field->node->text, g_strstrip(choice));
        return FALSE;
    }
    return TRUE;
}

static uint64_t
pages_kib(const KaTuningField *field)
{
    const char *size = strstr(field->path, "hugepages-");

    return field->node && size && strstr(field->path, "/nr_hugepages")
               ? g_ascii_strtoull(size + strlen("hugepages-"), NULL, 10) *
                     g_ascii_strtoull(field->node->text, NULL, 10)
               : 0;
}

/* The kernel takes any number and what it finds. */
static gboolean
check_pages(const KaHost *host, const KaTuningState *state, GError **error)
{
    const char *text = ka_node_text(host->object->node, "reserve-memory");
    uint64_t reserve_kib = text ? g_ascii_strtoull(text, NULL, 10) : 0, wanted_kib = 0;

    for (guint i = 0; i < state->fields->len; i++)
        wanted_kib += pages_kib(g_ptr_array_index(state->fields, i));
    if (!wanted_kib || !host->memory_kib || wanted_kib + reserve_kib <= host->memory_kib)
        return TRUE;
    g_autofree char *wanted = g_format_size_full(wanted_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *reserve = g_format_size_full(reserve_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *has = g_format_size_full(host->memory_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "its huge pages take %s, and %s are reserved for the host, which has %s", wanted,
                reserve, has);
    return FALSE;
}

/* A reader wants to know what runs, not that no file says so yet. */
static void
show_running(KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        KaChange *change = g_ptr_array_index(action->changes, i);
        const KaNode *live = ka_node_find(action->actual->live->root, change->path);
        if (!change->from && change->to && live &&
            !ka_codec_equal(change->row->codec, live->text, change->to->text))
            change->from = live;
    }
}

static gboolean
assess(KaHost *host, KaAction *action, GError **error)
{
    if (!action->object || action->verb != KA_CHANGE)
        return TRUE;
    show_running(action);
    g_autoptr(KaTuningState) state = ka_tuning_state_read(host, action->object, error);
    if (!state)
        return FALSE;
    for (guint i = 0; i < state->fields->len; i++) {
        if (!check_choice(state, g_ptr_array_index(state->fields, i), error))
            return FALSE;
    }
    return check_pages(host, state, error);
}

/* --- doing --- */

/* A change names a field, or what stands above several. */
static gboolean
concerns(const KaChange *change, const KaTuningField *field)
{
    gsize length = strlen(change->path);

    return strncmp(field->name, change->path, length) == 0 &&
           (field->name[length] == '\0' || field->name[length] == '.');
}

/* One field's write to the kernel; NULL: there is nothing to write. */
static KaHostWrite *
write_for(const KaTuningState *state,
          const KaTuningField *field,
          const KaTuned *tuned,
          gboolean gives_back)
{
    g_autofree char *running = gives_back ? NULL : ka_tuning_running(state, field);
    g_autofree char *text = gives_back ? g_strdup(tuned ? tuned->was : NULL)
                            : running  ? ka_tuning_to_kernel(field->row, field->node->text)
                                       : NULL;

    /* Options of modules are read-only while they are loaded. */
    return text && field->row->way == KA_LIVE ? ka_host_write_new(KA_WRITE_VALUE, field->path, text)
                                              : NULL;
}

static void
record(KaTuningState *state, const KaTuningField *field)
{
    const KaTuned *before = g_hash_table_lookup(state->tunings->by_field, field->name);
    g_autofree char *running = ka_tuning_running(state, field);
    KaTuned *tuned = g_new0(KaTuned, 1);

    tuned->field = g_strdup(field->name);
    tuned->path = g_strdup(field->path);
    tuned->value = ka_tuning_to_kernel(field->row, field->node->text);
    if (before) {
        tuned->was = g_strdup(before->was);
        tuned->older = g_strdup(before->value);
    } else if (running && !strstr(running, ", ")) {
        tuned->was = ka_tuning_to_kernel(field->row, running);
    }
    g_hash_table_replace(state->tunings->by_field, tuned->field, tuned);
}

/* What the kernel made of it. */
static void
note_got(KaTuningState *state, const KaTuningState *after)
{
    for (guint i = 0; i < after->fields->len; i++) {
        const KaTuningField *field = g_ptr_array_index(after->fields, i);
        KaTuned *tuned = g_hash_table_lookup(state->tunings->by_field, field->name);
        g_autofree char *got = ka_tuning_running(after, field);
        if (!tuned || !field->node || !got || field->row->way != KA_LIVE)
            continue;
        g_free(tuned->got);
        tuned->got = ka_codec_equal(field->row->codec, got, field->node->text)
                         ? NULL
                         : g_steal_pointer(&got);
    }
}

/* Huge pages that weren't found are no rounding. */
static void
check_shortfall(const KaTuningState *state, const KaAction *action, GString *failures)
{
    for (guint i = 0; i < state->fields->len; i++) {
        const KaTuningField *field = g_ptr_array_index(state->fields, i);
        KaTuned *tuned = g_hash_table_lookup(state->tunings->by_field, field->name);
        if (!tuned || !tuned->got || !pages_kib(field))
            continue;
        g_string_append_printf(failures, "%s%s: only %s of %s pages were found in %s's memory",
                               failures->len ? "; " : "", field->name, tuned->got,
                               field->node->text, action->host->name);
        g_clear_pointer(&tuned->got, g_free);
    }
}

static void
append_failure(GString *failures, const KaTuningField *field, const char *failure)
{
    g_autofree char *place =
        field->node && field->node->source ? ka_mark_format(ka_node_mark(field->node)) : NULL;

    g_string_append_printf(failures, "%s%s%s%s: %s", failures->len ? "; " : "", place ? place : "",
                           place ? ": " : "", field->name, failure);
}

/* Without a write there is nothing that could fail: what is given back is forgotten at once. */
static void
set_field(KaTuningState *state,
          const KaTuningField *field,
          gboolean gives_back,
          GPtrArray *writes,
          GPtrArray *written)
{
    const KaTuned *tuned = g_hash_table_lookup(state->tunings->by_field, field->name);
    KaHostWrite *write = write_for(state, field, tuned, gives_back);

    if (!gives_back)
        record(state, field);
    else if (!write)
        g_hash_table_remove(state->tunings->by_field, field->name);
    if (write) {
        g_ptr_array_add(writes, write);
        g_ptr_array_add(written, ka_borrow(field));
    }
}

/* What was there before goes on being remembered. */
static void
forget_failed(KaTuningState *state, const KaTuningField *field)
{
    KaTuned *tuned = g_hash_table_lookup(state->tunings->by_field, field->name);

    if (tuned && tuned->older) {
        g_free(tuned->value);
        tuned->value = g_steal_pointer(&tuned->older);
    } else {
        g_hash_table_remove(state->tunings->by_field, field->name);
    }
}

/* The kernel first, field by field; what it refused is not made to last, what it didn't take back
 * stays recorded. gives_back: all, also what is declared. */
static gboolean
set_running(KaTuningState *state,
            KaAction *action,
            const GPtrArray *fields,
            gboolean gives_back,
            const KaProgress *progress,
            GString *failures,
            GError **error)
{
    g_autoptr(GPtrArray) writes =
        g_ptr_array_new_with_free_func((GDestroyNotify)ka_host_write_free);
    g_autoptr(GPtrArray) written = g_ptr_array_new();

    for (guint i = 0; i < fields->len; i++) {
        const KaTuningField *field = g_ptr_array_index(fields, i);
        set_field(state, field, gives_back || !field->node, writes, written);
    }
    if (writes->len && !ka_host_write(action->host, writes, progress->cancel, error))
        return FALSE;
    for (guint i = 0; i < writes->len; i++) {
        const KaHostWrite *write = g_ptr_array_index(writes, i);
        const KaTuningField *field = g_ptr_array_index(written, i);
        gboolean back = gives_back || !field->node;
        if (write->failure)
            append_failure(failures, field, write->failure);
        if (write->failure && !back)
            forget_failed(state, field);
        else if (!write->failure && back)
            g_hash_table_remove(state->tunings->by_field, field->name);
    }
    return TRUE;
}

static gboolean
make_last(KaTuningState *state, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(GPtrArray) writes = NULL;

    g_free(state->tunings->project);
    state->tunings->project = g_strdup(action->project);
    writes = ka_tunings_write(state->tunings);
    if (!ka_host_write(action->host, writes, progress->cancel, error))
        return FALSE;
    for (guint i = 0; i < writes->len; i++) {
        const KaHostWrite *write = g_ptr_array_index(writes, i);
        if (!write->failure)
            continue;
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "it isn't kept over a reboot: %s",
                    write->failure);
        return FALSE;
    }
    return TRUE;
}

/* What is to last, and then what went wrong. */
static gboolean
finish(KaTuningState *state,
       KaAction *action,
       const KaProgress *progress,
       const GString *failures,
       GError **error)
{
    if (!make_last(state, action, progress, error))
        return FALSE;
    if (!failures->len)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s", failures->str);
    return FALSE;
}

static gboolean
change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(KaTuningState) state = ka_tuning_state_read(host, action->object, error);
    g_autofree char *digest = state ? digest_of(state) : NULL;
    g_autoptr(GPtrArray) fields = g_ptr_array_new();
    g_autoptr(GString) failures = g_string_new(NULL);

    if (!state)
        return FALSE;
    if (g_strcmp0(digest, action->actual->digest) != 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "tuning of host '%s' changed since the plan", host->name);
        return FALSE;
    }
    for (guint i = 0; i < action->changes->len; i++) {
        for (guint j = 0; j < state->fields->len; j++) {
            KaTuningField *field = g_ptr_array_index(state->fields, j);
            if (concerns(g_ptr_array_index(action->changes, i), field))
                g_ptr_array_add(fields, field);
        }
    }
    if (!set_running(state, action, fields, FALSE, progress, failures, error))
        return FALSE;
    g_autoptr(KaTuningState) after = ka_tuning_state_read(host, action->object, error);
    if (!after)
        return FALSE;
    note_got(state, after);
    check_shortfall(state, action, failures);
    return finish(state, action, progress, failures, error);
}

/* What its fields were before; then its files go. */
static gboolean
give_back(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(KaTuningState) state = ka_tuning_state_read(host, action->object, error);
    g_autoptr(GString) failures = g_string_new(NULL);

    return state && set_running(state, action, state->fields, TRUE, progress, failures, error) &&
           finish(state, action, progress, failures, error);
}

const KaDriver ka_tuning_driver = {
    .kind = "tuning",
    .observe = observe,
    .assess = assess,
    .change = change,
    .remove = give_back,
};
