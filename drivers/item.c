#include "drivers/item.h"

#include <string.h>

typedef struct {
    char *place;      /* owned; NULL: the element's ordinal among its like */
    char *prefix;     /* owned; NULL: the name stands as it is */
    gboolean is_pair; /* the place holds a value of the item, not its name */
} Id;

static void
id_clear(gpointer data)
{
    Id *id = data;

    g_free(id->place);
    g_free(id->prefix);
}

static GArray *
ids_read(const KaField *row)
{
    GArray *ids = g_array_new(FALSE, TRUE, sizeof(Id));
    g_auto(GStrv) alternatives = g_strsplit(row->id ? row->id : "#", "|", -1);

    g_array_set_clear_func(ids, id_clear);
    for (char **at = alternatives; *at; at++) {
        Id id = {.is_pair = **at == '='};
        gboolean has_prefix = g_str_has_suffix(*at, "*");
        char *equals = has_prefix ? strrchr(*at, '=') : NULL;
        if (equals) {
            id.prefix = g_strndup(equals + 1, strlen(equals + 1) - 1);
            *equals = '\0';
        }
        if (!g_str_equal(*at, "#"))
            id.place = g_strdup(*at + (id.is_pair ? 1 : 0));
        g_array_append_val(ids, id);
    }
    return ids;
}

KaItemPlace
ka_item_place(const KaField *row)
{
    KaItemPlace place = {.path = row->at};
    const char *arrow = strstr(row->at, " => ");
    const char *attribute = g_strrstr(row->at, "/@");

    if (row->codec == &ka_map || row->codec == &ka_list)
        return place;
    if (arrow) {
        place.path = place.own = g_strndup(row->at, (gsize)(arrow - row->at));
        place.value = arrow + strlen(" => ");
    } else if (attribute && !strchr(attribute, ']')) {
        place.path = place.own = g_strndup(row->at, (gsize)(attribute - row->at));
        place.value = attribute + 1;
    } else {
        place.value = ".";
    }
    return place;
}

static void
item_free(gpointer data)
{
    KaItem *item = data;

    g_free(item->key);
    g_free(item);
}

static void
item_add(GPtrArray *items, const char *key, const KaNode *want, xmlNode *element)
{
    KaItem *item = g_new0(KaItem, 1);

    item->key = g_strdup(key);
    item->want = want;
    item->element = element;
    g_ptr_array_add(items, item);
}

/* The row of an item's value that stands at the place. */
static const KaRows *
row_at(const KaRows *rows, const char *place)
{
    for (const KaRows *child = rows->first; child; child = child->next)
        if (g_strcmp0(child->row->at, place) == 0)
            return child;
    return NULL;
}

/* What the id says of an element, in the form that keys and values are compared in; NULL: nothing.
 */
static char *
id_read(const Id *id, const KaRows *rows, const KaField *paired, xmlNode *element, guint ordinal)
{
    if (!id->place)
        return g_strdup_printf("%u", ordinal);
    g_autofree char *text = ka_place_get(element, id->place, FALSE);
    if (!text)
        return NULL;
    if (id->prefix)
        return g_str_has_prefix(text, id->prefix) ? g_strdup(text + strlen(id->prefix)) : NULL;
    char *canonical =
        ka_codec_parse(id->is_pair ? paired->codec : rows->name, text, NULL);
    return canonical ? canonical : g_steal_pointer(&text);
}

/* Are the values equal that say what the item is, those of the row's union? FALSE where it has
 * none.
 */
static gboolean
same_source(const KaRows *rows, const KaNode *want, xmlNode *element)
{
    gboolean any = FALSE;

    for (const KaNode *node = want ? want->first : NULL; node; node = node->next) {
        const KaRows *child = ka_rows_child(rows, node->key);
        if (!child || !child->claims || !node->text || !g_str_has_prefix(child->row->at, "self["))
            continue;
        g_autofree char *text = ka_place_get(element, child->row->at, FALSE);
        if (!ka_codec_equal(child->row->codec, node->text, text))
            return FALSE;
        any = TRUE;
    }
    return any;
}

typedef struct {
    const KaRows *rows;
    GArray *ids;
    GPtrArray *elements; /* borrowed xmlNode; NULL once claimed */
    GPtrArray *items;    /* owned KaItem */
} Binding;

/* Has the element the alias of an item, whichever? */
static gboolean
has_alias(const GArray *ids, xmlNode *element)
{
    const Id *first = &g_array_index(ids, Id, 0);
    g_autofree char *name = first->prefix ? ka_place_get(element, first->place, FALSE) : NULL;

    return name && g_str_has_prefix(name, first->prefix);
}

/* Of twins that are paired by the same value, the next that nobody claims yet; 0: none. */
static guint
next_twin(const Binding *binding, const Id *id, const KaField *paired, const char *text, guint e)
{
    for (; e < binding->elements->len; e++) {
        xmlNode *element = binding->elements->pdata[e];
        g_autofree char *value = element && !has_alias(binding->ids, element)
                                     ? id_read(id, binding->rows, paired, element, e)
                                     : NULL;
        if (value && g_str_equal(value, text))
            return e + 1;
    }
    return 0;
}

/* By a table, as a network may have thousands of leases. */
static void
bind_by_id(Binding *binding, const Id *id)
{
    const KaRows *paired = id->is_pair ? row_at(binding->rows, id->place) : NULL;
    g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (id->is_pair && !paired)
        return;
    for (guint e = binding->elements->len; e-- > 0;) {
        xmlNode *element = binding->elements->pdata[e];
        if (!element || (!id->prefix && has_alias(binding->ids, element)))
            continue;
        char *text = id_read(id, binding->rows, paired ? paired->row : NULL, element, e);
        if (text)
            g_hash_table_replace(found, text, GUINT_TO_POINTER(e + 1));
    }
    for (guint i = 0; i < binding->items->len; i++) {
        KaItem *item = binding->items->pdata[i];
        const KaNode *value = paired ? ka_node_get(item->want, paired->segment) : NULL;
        const char *text = paired ? (value ? value->text : NULL) : item->key;
        guint e = text ? GPOINTER_TO_UINT(g_hash_table_lookup(found, text)) : 0;
        if (e && paired && !item->element && !binding->elements->pdata[e - 1])
            e = next_twin(binding, id, paired->row, text, e);
        if (item->element || !e || !binding->elements->pdata[e - 1])
            continue;
        item->element = binding->elements->pdata[e - 1];
        binding->elements->pdata[e - 1] = NULL;
    }
}

/* What tells the candidates apart, for the user to name one. */
static char *
describe(const Binding *binding, const GArray *candidates)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < candidates->len; i++) {
        guint at = g_array_index(candidates, guint, i);
        g_autofree char *value = NULL;
        for (guint k = 0; k < binding->ids->len && !value; k++) {
            const Id *id = &g_array_index(binding->ids, Id, k);
            if (id->is_pair)
                value = ka_place_get(binding->elements->pdata[at], id->place, FALSE);
        }
        g_string_append(text, i ? ", " : "");
        if (value)
            g_string_append(text, value);
        else
            g_string_append_printf(text, "number %u", at);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Binds an item to what others made: the one device of the same source. */
static gboolean
bind_by_source(Binding *binding, KaItem *item, GError **error)
{
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint e = 0; e < binding->elements->len; e++) {
        xmlNode *element = binding->elements->pdata[e];
        if (element && !has_alias(binding->ids, element) &&
            same_source(binding->rows, item->want, element))
            g_array_append_val(candidates, e);
    }
    if (candidates->len > 1) {
        g_autofree char *list = describe(binding, candidates);
        g_set_error(error, KA_DOCUMENT_ERROR, KA_DOCUMENT_ERROR_AMBIGUOUS,
                    "'%s' can be each of %u devices (%s): say more of the one that it is",
                    item->key, candidates->len, list);
        return FALSE;
    }
    if (candidates->len == 1) {
        guint e = g_array_index(candidates, guint, 0);
        item->element = binding->elements->pdata[e];
        binding->elements->pdata[e] = NULL;
    }
    return TRUE;
}

GPtrArray *
ka_items_bind(xmlNode *self,
              const KaRows *rows,
              const KaNode *items,
              const char *key,
              const KaNode *want,
              GError **error)
{
    g_auto(KaItemPlace) place = ka_item_place(rows->row);
    g_autoptr(GArray) ids = ids_read(rows->row);
    g_autoptr(GPtrArray) elements = ka_place_select(self, place.path);
    g_autoptr(GPtrArray) bound = g_ptr_array_new_with_free_func(item_free);
    Binding binding = {rows, ids, elements, bound};

    for (const KaNode *node = items ? items->first : NULL; node; node = node->next) {
        if (!node->key || ka_rows_child(rows->parent, node->key) != rows)
            continue;
        item_add(bound, node->key, node, NULL);
        if (key && g_str_equal(key, node->key))
            key = NULL;
    }
    if (key)
        item_add(bound, key, want, NULL);
    for (guint k = 0; k < ids->len; k++)
        bind_by_id(&binding, &g_array_index(ids, Id, k));
    const Id *first = &g_array_index(ids, Id, 0);
    for (guint i = 0; i < bound->len && first->prefix; i++) {
        KaItem *item = bound->pdata[i];
        if (!item->element && !bind_by_source(&binding, item, error))
            return NULL;
    }
    return g_steal_pointer(&bound);
}

/* "nic0": of the map's key, for devices that have no name of their own. */
static char *
made_name(const KaRows *rows, guint ordinal)
{
    const char *map = rows->parent->segment;
    int length = (int)strlen(map) - (g_str_has_suffix(map, "s") ? 1 : 0);

    return g_strdup_printf("%.*s%u", length, map, ordinal);
}

/* The key that the id gives an element; NULL: none that a manifest can say. */
static char *
id_key(const Id *id, const KaRows *rows, xmlNode *element, guint ordinal)
{
    const KaRows *paired = id->is_pair ? row_at(rows, id->place) : NULL;

    if (id->is_pair && !paired)
        return NULL;
    g_autofree char *text = id_read(id, rows, paired ? paired->row : NULL, element, ordinal);
    g_autofree char *name = text && id->is_pair ? made_name(rows, ordinal) : NULL;
    if (!text)
        return NULL;
    return ka_codec_parse(rows->name, name ? name : text, NULL);
}

GPtrArray *
ka_items_all(xmlNode *self, const KaRows *rows)
{
    g_auto(KaItemPlace) place = ka_item_place(rows->row);
    g_autoptr(GArray) ids = ids_read(rows->row);
    g_autoptr(GPtrArray) elements = ka_place_select(self, place.path);
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GPtrArray *items = g_ptr_array_new_with_free_func(item_free);

    for (guint e = 0; e < elements->len; e++) {
        for (guint k = 0; k < ids->len; k++) {
            g_autofree char *key = id_key(&g_array_index(ids, Id, k), rows, elements->pdata[e], e);
            if (!key || g_hash_table_contains(taken, key))
                continue;
            item_add(items, key, NULL, elements->pdata[e]);
            g_hash_table_add(taken, g_steal_pointer(&key));
            break;
        }
    }
    return items;
}

xmlNode *
ka_item_find(xmlNode *self,
             const KaRows *rows,
             const KaNode *items,
             const char *key,
             const KaNode *want,
             GError **error)
{
    g_autoptr(GPtrArray) bound = ka_items_bind(self, rows, items, key, want, error);

    for (guint i = 0; bound && i < bound->len; i++) {
        const KaItem *item = bound->pdata[i];
        if (g_str_equal(item->key, key))
            return item->element;
    }
    return NULL;
}

gboolean
ka_item_is_paired_by(const KaField *row, const char *place)
{
    g_autoptr(GArray) ids = ids_read(row);

    for (guint k = 0; k < ids->len; k++) {
        const Id *id = &g_array_index(ids, Id, k);
        if (id->is_pair && g_strcmp0(id->place, place) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Does the key look like one that an element without a name gets (and no user gives): it stays
 * without one where it is found by a declared value of its own, or as a number. */
static gboolean
is_made_name(const GArray *ids, const KaRows *rows, const char *key, const KaNode *want)
{
    g_autofree char *made = made_name(rows, 0);
    gsize length = strlen(made) - 1;
    gboolean is_made = strncmp(key, made, length) == 0 && key[length];

    for (guint k = 1; k < ids->len; k++) {
        const Id *id = &g_array_index(ids, Id, k);
        const KaRows *paired = id->is_pair ? row_at(rows, id->place) : NULL;
        const KaNode *value = paired ? ka_node_get(want, paired->segment) : NULL;
        const char *number = !id->place ? key : is_made && value ? key + length : "x";
        if (!(value && value->fresh) && strspn(number, "0123456789") == strlen(number))
            return TRUE;
    }
    return FALSE;
}

void
ka_item_name(
    xmlNode *element, const KaRows *rows, const char *key, const KaNode *want, gboolean only_alias)
{
    g_autoptr(GArray) ids = ids_read(rows->row);
    const Id *id = &g_array_index(ids, Id, 0);

    if (!id->place || id->is_pair || is_made_name(ids, rows, key, want))
        return;
    g_autofree char *old = ka_place_get(element, id->place, FALSE);
    if (only_alias && (!id->prefix || old))
        return;
    g_autofree char *name = g_strconcat(id->prefix ? id->prefix : "", key, NULL);
    ka_place_set(element, id->place, name, FALSE, NULL);
}
