#include "manifest/field.h"
#include "manifest/node.h"

#include <string.h>

#define N_LISTS 64

static void
claim_free(gpointer data)
{
    KaClaim *claim = data;
    g_free(claim->place);
    g_free(claim->value);
    g_free(claim);
}

/* Every key of a manifest is looked up: what is read of it here tells nearly all of a map apart. */
static KaRows **
list_of(const KaRows *rows, const char *segment)
{
    gsize length = strlen(segment);
    const guchar *bytes = (const guchar *)segment;
    return &rows->by_segment[(length + bytes[0] * 5u + bytes[length / 2] * 3u) % N_LISTS];
}

KaRows *
ka_rows_named(const KaRows *rows, const char *segment)
{
    KaRows *child = rows->by_segment ? *list_of(rows, segment) : NULL;
    while (child && strcmp(child->segment, segment) != 0)
        child = child->same;
    return child;
}

static KaRows *
rows_append(KaRows *parent, const char *segment)
{
    KaRows *rows = g_new0(KaRows, 1);
    rows->table = parent->table;
    rows->segment = g_intern_string(segment);
    rows->parent = parent;

    KaRows **end = &parent->first;
    while (*end)
        end = &(*end)->next;
    *end = rows;
    if (!parent->by_segment)
        parent->by_segment = g_new0(KaRows *, N_LISTS);
    KaRows **list = list_of(parent, segment);
    rows->same = *list;
    *list = rows;
    if (strcmp(segment, "*") == 0 || strcmp(segment, "[]") == 0)
        parent->any = rows;
    return rows;
}

/* "dns.hosts[].name" is dns, hosts, [], name. */
static char **
key_segments(const char *key)
{
    g_auto(GStrv) dotted = g_strsplit(key, ".", -1);
    g_autoptr(GStrvBuilder) segments = g_strv_builder_new();
    for (char **part = dotted; *part; part++) {
        gboolean is_list = g_str_has_suffix(*part, "[]");
        if (is_list)
            (*part)[strlen(*part) - 2] = '\0';
        g_strv_builder_add(segments, *part);
        if (is_list)
            g_strv_builder_add(segments, "[]");
    }
    return g_strv_builder_end(segments);
}

static void
add_row(KaRows *top, const KaField *row)
{
    g_auto(GStrv) segments = key_segments(row->key);
    KaRows *rows = top;
    for (char **segment = segments; *segment; segment++) {
        KaRows *child = ka_rows_named(rows, *segment);
        gboolean is_last = !segment[1];
        if (!child && !is_last)
            g_error("table '%s': row '%s' stands before its parent's", top->table->kind, row->key);
        if (child && is_last)
            g_error("table '%s': row '%s' stands twice", top->table->kind, row->key);
        rows = child ? child : rows_append(rows, *segment);
    }
    rows->row = row;
    gboolean is_alias = row->id && strstr(row->id, "=ua-*");
    rows->name = row->name ? row->name : is_alias ? &ka_device : &ka_line;
}

/* Behind the "self" (or ".") that a place may begin with; NULL: it begins with another step. */
static const char *
behind_self(const char *place)
{
    if (g_str_has_prefix(place, "self") && strchr("[/", place[4]))
        return place + 4;
    return place[0] == '.' && strchr("[/", place[1]) ? place + 1 : NULL;
}

static void
rows_claim(KaRows *rows, char *place, char *value)
{
    if (!rows->claims)
        rows->claims = g_ptr_array_new_with_free_func(claim_free);
    KaClaim *claim = g_new0(KaClaim, 1);
    claim->place = place;
    claim->value = value;
    g_ptr_array_add(rows->claims, claim);
}

/* Predicates on other elements than the item itself select among several of a name, so they can't
 * contradict. */
static void
claim_predicates(KaRows *rows)
{
    const char *at = rows->row && rows->row->at ? behind_self(rows->row->at) : NULL;
    while (at && *at == '[') {
        const char *path = at + 1;
        gsize path_length = strcspn(path, "=]");
        const char *behind = path + path_length;
        if (*behind == ']') {
            at = behind + 1;
            continue;
        }
        const char *value = behind + strlen("='");
        gsize value_length = strcspn(value, "'");
        rows_claim(rows, g_strndup(path, path_length), g_strndup(value, value_length));
        at = value + value_length + strlen("']");
    }
}

static gboolean
is_item(const KaRows *rows)
{
    return !rows->parent || strcmp(rows->segment, "*") == 0 || strcmp(rows->segment, "[]") == 0;
}

static gboolean
place_is_claimed(const KaRows *rows, const char *place)
{
    for (guint i = 0; rows->claims && i < rows->claims->len; i++) {
        const KaClaim *claim = g_ptr_array_index(rows->claims, i);
        if (claim->value && strcmp(claim->place, place) == 0)
            return TRUE;
    }
    for (const KaRows *child = rows->first; child; child = child->next)
        if (!is_item(child) && place_is_claimed(child, place))
            return TRUE;
    return FALSE;
}

/* A row that holds what others' predicates ask for ("@type") speaks for one of them. */
static void
claim_own(KaRows *rows, const KaRows *item)
{
    const char *at = rows->row ? rows->row->at : NULL;
    const char *behind = at ? behind_self(at) : NULL;
    if (behind && *behind == '/')
        at = behind + 1;
    if (at && *at == '@' && place_is_claimed(item, at))
        rows_claim(rows, g_strdup(at), NULL);
    for (KaRows *child = rows->first; child; child = child->next)
        claim_own(child, is_item(child) ? child : item);
}

static void
claim_all(KaRows *rows)
{
    claim_predicates(rows);
    for (KaRows *child = rows->first; child; child = child->next)
        claim_all(child);
}

KaRows *
ka_rows_new(const KaTable *table)
{
    KaRows *top = g_new0(KaRows, 1);
    top->table = table;
    top->segment = "";
    for (gsize i = 0; i < table->n_fields; i++)
        add_row(top, &table->fields[i]);
    claim_all(top);
    claim_own(top, top);
    return top;
}

void
ka_rows_free(KaRows *top)
{
    if (!top)
        return;
    for (KaRows *child = top->first; child;) {
        KaRows *next = child->next;
        ka_rows_free(child);
        child = next;
    }
    g_free(top->by_segment);
    g_clear_pointer(&top->claims, g_ptr_array_unref);
    g_free(top);
}

const KaRows *
ka_rows_child(const KaRows *rows, const char *key)
{
    /* Most keys are names that the user gave: no need to look among the rows'. */
    gboolean has_names = rows->first && (rows->first != rows->any || rows->first->next);
    const KaRows *child = has_names ? ka_rows_named(rows, key) : NULL;
    if (child)
        return child;
    return rows->any && rows->any->segment[0] == '*' ? rows->any : NULL;
}

const KaRows *
ka_rows_item(const KaRows *rows)
{
    return rows->any && rows->any->segment[0] == '[' ? rows->any : NULL;
}

const KaRows *
ka_rows_find(const KaRows *top, const char *path)
{
    g_auto(GStrv) keys = ka_path_split(path);
    const KaRows *rows = top;
    for (char **key = keys; rows && *key; key++) {
        gsize length = strlen(*key);
        gboolean is_item_path = length > 2 && g_str_has_suffix(*key, "[]");
        if (is_item_path)
            (*key)[length - 2] = '\0';
        rows = ka_rows_child(rows, *key);
        if (rows && is_item_path)
            rows = ka_rows_item(rows);
    }
    return rows;
}
