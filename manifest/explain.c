#include "manifest/manifest.h"

#include <string.h>

/* Width of the column of keys. */
#define KEY_WIDTH 24

static gboolean
explain_refuse(GPtrArray *candidates, const char *before, const char *key, GError **error)
{
    const char *nearest = ka_nearest(key, (const char *const *)candidates->pdata, candidates->len);
    g_autoptr(GString) hint = g_string_new(NULL);
    if (nearest)
        g_string_printf(hint, "did you mean '%s%s%s'?", before, *before ? "." : "", nearest);
    for (guint i = 0; !nearest && i < candidates->len; i++)
        g_string_append_printf(hint, "%s%s", i > 0 ? ", " : "known are ",
                               (const char *)g_ptr_array_index(candidates, i));
    g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "unknown field '%s%s%s'%s%s", before,
                *before ? "." : "", key, hint->len > 0 ? ": " : "", hint->str);
    return FALSE;
}

/* The row whose keys a user may write after this one's: an item's, where items have names or are a
 * list. */
static const KaRows *
rows_of_item(const KaRows *rows)
{
    while (rows->any && rows->first == rows->any && !rows->any->next)
        rows = rows->any;
    return rows;
}

/* Descends by one key; the items' names may be left out. NULL with an error. */
static const KaRows *
descend(const KaRows *rows, const char *before, const char *key, GError **error)
{
    if (g_str_has_suffix(key, "[]")) {
        g_autofree char *list = g_strndup(key, strlen(key) - 2);
        const KaRows *found = descend(rows, before, list, error);
        return found && found->any ? found->any : found;
    }
    const KaRows *item = rows_of_item(rows);
    const KaRows *found = ka_rows_named(rows, key);
    if (!found)
        found = ka_rows_named(item, key);
    /* What is no key may be the name of an item; a typo of a key can't be told from it further on.
     */
    if (found)
        return found;
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (const KaRows *child = item->first; child; child = child->next)
        g_ptr_array_add(known, ka_borrow(child->segment));
    gboolean is_near = ka_nearest(key, (const char *const *)known->pdata, known->len) != NULL;
    if (rows->any && (!is_near || known->len == 0))
        return rows->any;
    explain_refuse(known, before, key, error);
    return NULL;
}

/* --- what is printed --- */

static void
add_line(GString *out, const char *name, const char *text)
{
    g_string_append_printf(out, "  %-11s%s\n", name, text);
}

/* The names of keys after the row's own: items are shown as NAME. */
static char *
title_of(const KaRows *rows)
{
    if (!rows->parent)
        return g_strdup(rows->table->plural);
    g_autofree char *parent = title_of(rows->parent);
    if (strcmp(rows->segment, "[]") == 0)
        return g_strconcat(parent, "[]", NULL);
    return g_strconcat(parent, ".", strcmp(rows->segment, "*") == 0 ? "NAME" : rows->segment, NULL);
}

/* The document's place, from its root. */
static char *
place_of(const KaRows *rows, const char *at)
{
    const KaRows *item = rows->parent;
    while (item->parent && item != item->parent->any)
        item = item->parent;
    g_autofree char *base =
        item->parent && item->row->at ? place_of(item, item->row->at) : g_strdup(rows->table->root);
    if (g_str_has_prefix(at, "self"))
        return g_strconcat(base, at + strlen("self"), NULL);
    return at[0] == '.' ? g_strconcat(base, at + 1, NULL) : g_strconcat(base, "/", at, NULL);
}

static void
add_place(GString *out, const KaRows *rows)
{
    /* Pseudo-attributes and elements are kvmapply's own names of what libvirt keeps elsewhere. */
    if (!rows->row->at || strstr(rows->row->at, "@ka-") || !rows->table->root)
        return;
    g_autofree char *place = place_of(rows, rows->row->at);
    if (!strstr(place, "/ka-"))
        add_line(out, "libvirt", place);
}

static void
add_way(GString *out, const KaRows *rows)
{
    static const char *const ways[] = {
        [KA_LIVE] = "at once",
        [KA_GUEST] = "at once, as far as the guest's own system follows",
        [KA_BOOT] = "at the next boot or start",
        [KA_RESTART] = "by stopping and starting it, which needs a word (--allow)",
        [KA_ONCE] = "never: fixed at creation; --replace makes the object anew",
        [KA_NONE] = "nothing on the host: it is of the manifest alone",
    };
    add_line(out, "changes", ways[rows->row->way]);
}

static void
add_expected(GString *out, const KaRows *rows)
{
    const KaField *row = rows->row;
    const KaRows *item = ka_rows_item(rows);
    g_autofree char *expected = ka_codec_expected(item ? item->row->codec : row->codec);
    g_autoptr(GString) text = g_string_new(NULL);
    if (item)
        g_string_printf(text, "a list; items: %s", expected);
    else if (rows->any && !rows->any->next && rows->first == rows->any) {
        g_autofree char *key = ka_codec_expected(rows->any->name);
        g_string_printf(text, "a map; keys: %s", key);
    } else
        g_string_assign(text, expected);
    if (row->brief)
        g_string_append_printf(text, ", or the bare value of '%s'", row->brief);
    if (row->codec->refers)
        g_string_append_printf(text, " (a %s of the manifest)", row->codec->refers);
    add_line(out, "expected", text->str);
}

static void
add_row(GString *out, const KaRows *rows)
{
    const KaField *row = rows->row;
    g_string_append_printf(out, "  %s\n\n", row->doc);
    add_expected(out, rows);
    if (row->fresh) {
        g_autofree char *value = ka_codec_format(row->codec, row->fresh);
        add_line(out, "default", value);
    }
    add_way(out, rows);
    add_place(out, rows);
}

static void
add_keys(GString *out, const KaRows *rows)
{
    const KaRows *item = rows_of_item(rows);
    gboolean has_more = FALSE;
    if (item->first) {
        g_autofree char *title = title_of(item);
        g_string_append_printf(out, "\nkeys of %s:\n", title);
    }
    for (const KaRows *child = item->first; child; child = child->next) {
        g_autofree char *key =
            g_strdup_printf("%s%s", strcmp(child->segment, "*") == 0 ? "NAME" : child->segment,
                            child->first ? " …" : "");
        glong width = g_utf8_strlen(key, -1);
        g_string_append_printf(out, "  %s%*s %s\n", key, (int)MAX(0, KEY_WIDTH - width), "",
                               child->row->doc);
        has_more = has_more || child->first;
    }
    if (has_more)
        g_string_append(out, "…: has keys of its own\n");
}

static const KaRows *
find_kind(const char *name, GError **error)
{
    const KaKind *kind = ka_kind_find(name);
    if (kind)
        return ka_kind_rows(kind);
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    g_ptr_array_add(known, ka_borrow("project"));
    for (gsize i = 0; i < ka_n_kinds; i++)
        g_ptr_array_add(known, ka_borrow(ka_kinds[i]->table->plural));
    explain_refuse(known, "", name, error);
    return NULL;
}

char *
ka_explain(const char *path, GError **error)
{
    g_auto(GStrv) keys = ka_path_split(path);
    if (g_strcmp0(keys[0], "project") == 0 && !keys[1])
        return g_strdup("project\n  whose objects these are: one name for all of a run\n\n"
                        "  expected   a name\n  default    default\n");
    const KaRows *rows = find_kind(keys[0] ? keys[0] : "", error);
    for (char **key = keys + 1; rows && keys[0] && *key; key++) {
        g_autofree char *before = title_of(rows);
        rows = descend(rows, before, *key, error);
    }
    if (!rows)
        return NULL;

    g_autofree char *title = title_of(rows);
    GString *out = g_string_new(title);
    g_string_append_c(out, '\n');
    if (rows->row)
        add_row(out, rows);
    else
        g_string_append_printf(out, "  %s\n", rows->table->doc);
    add_keys(out, rows);
    return g_string_free(out, FALSE);
}
