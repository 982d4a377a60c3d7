#include "drivers/tuning_state.h"

#include <string.h>

static void
field_free(KaTuningField *field)
{
    g_free(field->name);
    g_free(field->path);
    g_free(field);
}

void
ka_tuning_state_free(KaTuningState *state)
{
    if (!state)
        return;
    ka_tunings_free(state->tunings);
    if (state->files)
        g_ptr_array_unref(state->files);
    g_ptr_array_unref(state->fields);
    g_free(state);
}

/* --- places --- */

/* How a key stands in a path of the kernel's. */
static char *
key_in_path(const char *star, const char *key)
{
    char *text = g_str_has_prefix(star, "*kB/") ? ka_codec_parse(&ka_kib, key, NULL) : NULL;

    return text ? text : g_strdup(key);
}

/* The row's place with the path's keys in it. */
static char *
place_of(const KaRows *rows, const char *name)
{
    g_auto(GStrv) keys = ka_path_split(name);
    g_autoptr(GString) place = g_string_new(rows->row->at);
    g_autoptr(GPtrArray) above = g_ptr_array_new();
    char *star = place->str;

    for (const KaRows *at = rows; at->row; at = at->parent)
        g_ptr_array_insert(above, 0, ka_borrow(at));
    for (guint i = 0; i < above->len; i++) {
        const KaRows *at = g_ptr_array_index(above, i);
        if (!g_str_equal(at->segment, "*"))
            continue;
        star = strchr(star, '*');
        gsize offset = (gsize)(star - place->str);
        g_autofree char *key = key_in_path(star, keys[i]);
        if (g_str_has_prefix(rows->row->at, "/proc/sys/"))
            g_strdelimit(key, ".", '/');
        g_string_erase(place, (gssize)offset, 1);
        g_string_insert(place, (gssize)offset, key);
        star = place->str + offset + strlen(key);
    }
    return g_string_free(g_steal_pointer(&place), FALSE);
}

static void
add_field(KaTuningState *state, const KaRows *rows, const char *name, const KaNode *node)
{
    KaTuningField *field = g_new0(KaTuningField, 1);

    *field = (KaTuningField){g_strdup(name), place_of(rows, name), rows->row, node};
    g_ptr_array_add(state->fields, field);
}

static void
add_declared(KaTuningState *state, const KaRows *rows, const char *path, const KaNode *node)
{
    for (const KaNode *child = node->first; child; child = child->next) {
        const KaRows *below = ka_rows_child(rows, child->key);
        g_autofree char *name = ka_path_append(path, child->key);
        if (child->type == KA_NODE_MAP)
            add_declared(state, below, name, child);
        else if (below && below->row->at && child->type == KA_NODE_SCALAR)
            add_field(state, below, name, child);
    }
}

/* --- values: the kernel's text and the codec's --- */

static gboolean
is_switch(const KaField *row)
{
    return row->codec == &ka_yes_no;
}

/* Caller frees. */
char *
ka_tuning_to_kernel(const KaField *row, const char *canonical)
{
    return g_strdup(!is_switch(row) ? canonical : g_str_equal(canonical, "yes") ? "1" : "0");
}

/* "always [madvise] never" is madvise; blanks between numbers are one. Caller frees. */
char *
ka_tuning_from_kernel(const KaField *row, const char *text)
{
    const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;
    g_autofree char *chosen = close ? g_strndup(open + 1, (gsize)(close - open - 1)) : NULL;
    g_auto(GStrv) words = g_strsplit_set(chosen ? chosen : text, " \t\n", -1);
    GString *value = g_string_new(NULL);

    for (char **word = words; *word; word++) {
        if (**word)
            g_string_append_printf(value, "%s%s", value->len ? " " : "", *word);
    }
    if (is_switch(row))
        g_string_assign(value, strchr("1Yy", *value->str) && value->len ? "yes" : "no");
    return g_string_free(value, FALSE);
}

/* As the shell would match: a '*' doesn't reach over a '/'. */
gboolean
ka_tuning_matches(const KaTuningField *field, const char *path)
{
    guint slashes = 0;

    for (const char *c = field->path; *c; c++)
        slashes += *c == '/';
    for (const char *c = path; *c; c++)
        slashes -= *c == '/';
    return slashes == 0 && g_pattern_match_simple(field->path, path);
}

/* What the files that the pattern names have, one value where they agree; NULL: there are none. */
char *
ka_tuning_running(const KaTuningState *state, const KaTuningField *field)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < state->files->len; i++) {
        const KaHostFile *file = g_ptr_array_index(state->files, i);
        if (!ka_tuning_matches(field, file->path))
            continue;
        g_autofree char *value = ka_tuning_from_kernel(field->row, file->text);
        if (!g_ptr_array_find_with_equal_func(values, value, g_str_equal, NULL))
            g_ptr_array_add(values, g_steal_pointer(&value));
    }
    if (!values->len)
        return NULL;
    g_ptr_array_add(values, NULL);
    return g_strjoinv(", ", (char **)values->pdata);
}

/* --- reading --- */

static gboolean
read_files(KaHost *host, KaTuningState *state, GError **error)
{
    g_autoptr(GPtrArray) patterns = g_ptr_array_new_with_free_func(g_free);

    ka_tunings_patterns(patterns);
    for (guint i = 0; i < state->fields->len; i++) {
        const KaTuningField *field = g_ptr_array_index(state->fields, i);
        g_ptr_array_add(patterns, g_strdup(field->path));
    }
    state->files = ka_host_read(host, patterns, error);
    for (guint i = 0; state->files && i < state->files->len; i++)
        ka_tunings_read(state->tunings, g_ptr_array_index(state->files, i));
    return state->files != NULL;
}

/* Fields that only the record names: what was declared once. */
static void
add_recorded(KaTuningState *state, const KaRows *rows)
{
    GHashTableIter iter;
    gpointer name = NULL;

    g_hash_table_iter_init(&iter, state->tunings->by_field);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        const KaRows *row = ka_rows_find(rows, name);
        gboolean known = !row || !row->row->at;
        for (guint i = 0; i < state->fields->len && !known; i++)
            known = g_str_equal(((KaTuningField *)g_ptr_array_index(state->fields, i))->name, name);
        if (!known)
            add_field(state, row, name, NULL);
    }
}

KaTuningState *
ka_tuning_state_read(KaHost *host, const KaObject *object, GError **error)
{
    g_autoptr(KaTuningState) state = g_new0(KaTuningState, 1);
    const KaRows *rows = ka_kind_rows(object->kind);

    state->tunings = ka_tunings_new();
    state->fields = g_ptr_array_new_with_free_func((GDestroyNotify)field_free);
    add_declared(state, rows, "", object->node);
    if (!read_files(host, state, error))
        return NULL;
    add_recorded(state, rows);
    return g_steal_pointer(&state);
}
