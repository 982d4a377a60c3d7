#include "manifest/manifest.h"

#include <string.h>

#define MAX_SECRET_BYTES 65536
#define MAX_DATA_BYTES (16 << 20)
/* So many known keys are listed where none is near. */
#define MAX_LISTED 12

/* The way from the object's node down to the one that is looked at. */
typedef struct Frame Frame;
struct Frame {
    const Frame *up; /* NULL: of the object itself */
    const KaNode *node;
    const KaRows *rows;
    guint index; /* of a list's item, from 0 */
};

/* What a declared row says of its item. */
typedef struct {
    const KaClaim *claim;
    const KaRows *rows;
    const KaNode *node;
} Claimed;

typedef struct {
    KaTree *tree;
    KaDiagnostics *diagnostics;
    GArray *claimed; /* Claimed of all items on the way; each begins where its item began */
} Check;

/* --- messages --- */

static void
append_path(GString *out, const Frame *frame)
{
    if (!frame->up)
        return;
    append_path(out, frame->up);
    if (!frame->node->key) {
        g_string_append_printf(out, "[%u]", frame->index);
        return;
    }
    g_autofree char *path = ka_path_append(out->str, frame->node->key);
    g_string_assign(out, path);
}

static const Frame *
frame_top(const Frame *frame)
{
    while (frame->up)
        frame = frame->up;
    return frame;
}

/* "guest 'web': memory.current: …" */
static void
add_message(Check *check, const Frame *frame, KaSeverity severity, KaMark mark, const char *message)
{
    const Frame *top = frame_top(frame);
    g_autoptr(GString) path = g_string_new(NULL);
    append_path(path, frame);
    if (path->len > 0)
        g_string_append(path, ": ");
    const char *name = top->node->key;
    ka_diagnostics_add(check->diagnostics, severity, mark, "%s%s%s%s: %s%s", top->rows->table->kind,
                       name ? " '" : "", name ? name : "", name ? "'" : "", path->str, message);
    const KaField *row = frame->rows->row;
    if (row && row->codec->secret) {
        const GPtrArray *items = check->diagnostics->items;
        ((KaDiagnostic *)g_ptr_array_index(items, items->len - 1))->secret = TRUE;
    }
}

static void report(Check *check, const Frame *frame, KaMark mark, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void
report(Check *check, const Frame *frame, KaMark mark, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    add_message(check, frame, KA_ERROR, mark, message);
}

static void
report_type(Check *check, const Frame *frame, const char *expected)
{
    static const char *const types[] = {
        [KA_NODE_NULL] = "nothing", [KA_NODE_MAP] = "a map", [KA_NODE_LIST] = "a list"};
    const KaNode *node = frame->node;
    g_autofree char *text = NULL;
    if (node->type == KA_NODE_SCALAR)
        text = frame->rows->row && frame->rows->row->codec->secret
                   ? g_strdup("a text")
                   : g_strdup_printf("'%.60s'", node->text);
    report(check, frame, ka_node_mark(node), "expected %s, got %s", expected,
           text ? text : types[node->type]);
}

/* Where all known keys are listed: "'kvmapply explain guests.disks.*' lists the known ones". */
static void
append_explain(GString *hint, const Frame *frame)
{
    g_autoptr(GString) path = g_string_new(NULL);
    for (const KaRows *rows = frame->rows; rows->parent; rows = rows->parent)
        if (strcmp(rows->segment, "[]") != 0) {
            g_string_prepend(path, rows->segment);
            g_string_prepend_c(path, '.');
        }
    g_string_append_printf(hint, "'kvmapply explain %s%s' lists the known ones",
                           frame->rows->table->plural, path->str);
}

static void
report_unknown(Check *check, const Frame *frame, const KaNode *child)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (const KaRows *rows = frame->rows->first; rows; rows = rows->next)
        g_ptr_array_add(known, ka_borrow(rows->segment));
    const char *nearest = ka_nearest(child->key, (const char *const *)known->pdata, known->len);
    g_autoptr(GString) hint = g_string_new(NULL);
    if (nearest)
        g_string_printf(hint, "did you mean '%s'?", nearest);
    for (guint i = 0; !nearest && known->len <= MAX_LISTED && i < known->len; i++)
        g_string_append_printf(hint, "%s%s", i > 0 ? ", " : "known are ",
                               (const char *)g_ptr_array_index(known, i));
    if (hint->len == 0)
        append_explain(hint, frame);
    report(check, frame, ka_node_key_mark(child), "unknown key '%s', %s", child->key, hint->str);
}

/* --- unions --- */

static gboolean
is_item(const KaRows *rows)
{
    return !rows->parent || rows == rows->parent->any;
}

/* The row's key below its item: "source.host". */
static char *
key_in_item(const KaRows *rows)
{
    if (is_item(rows->parent))
        return g_strdup(rows->segment);
    g_autofree char *parent = key_in_item(rows->parent);
    return g_strconcat(parent, ".", rows->segment, NULL);
}

static const char *
claimed_value(const Claimed *claimed)
{
    return claimed->claim->value ? claimed->claim->value : claimed->node->text;
}

static void
report_union(Check *check, const Frame *frame, const Claimed *first, const Claimed *second)
{
    const Claimed *own = !first->claim->value ? first : !second->claim->value ? second : NULL;
    g_autofree char *key = key_in_item(second->rows);
    g_autofree char *other = key_in_item(first->rows);
    g_autofree char *place = ka_mark_format(ka_node_key_mark(first->node));
    KaMark mark = ka_node_key_mark(second->node);
    if (!own)
        report(check, frame, mark, "'%s' and '%s' (%s) exclude each other: keep one", key, other,
               place);
    else if (own == first)
        report(check, frame, mark, "'%s' does not go with '%s: %s' (%s)", key, other,
               first->node->text, place);
    else
        report(check, frame, mark, "'%s: %s' does not go with '%s' (%s)", key, second->node->text,
               other, place);
}

/* Adds what the declared row claims of its item, unless another row claimed otherwise. */
static void
claim(Check *check, const Frame *frame, guint item_start)
{
    if (frame->node->type == KA_NODE_NULL)
        return;
    for (guint i = 0; i < frame->rows->claims->len; i++) {
        Claimed mine = {g_ptr_array_index(frame->rows->claims, i), frame->rows, frame->node};
        if (!mine.claim->value && frame->node->type != KA_NODE_SCALAR)
            continue;
        for (guint j = item_start; j < check->claimed->len; j++) {
            const Claimed *other = &g_array_index(check->claimed, Claimed, j);
            if (strcmp(other->claim->place, mine.claim->place) == 0 &&
                strcmp(claimed_value(other), claimed_value(&mine)) != 0) {
                report_union(check, frame->up, other, &mine);
                return;
            }
        }
        g_array_append_val(check->claimed, mine);
    }
}

/* --- secrets --- */

/* What a file is read for: how much of it is meant. */
typedef enum {
    SECRET, /* a line, without its end */
    PART,   /* within data: without its end if it is one line, else all of it */
    WHOLE,
} Reading;

static void
drop_line_end(char *text, gsize length)
{
    if (length && text[length - 1] == '\n')
        text[--length] = '\0';
    if (length && text[length - 1] == '\r')
        text[--length] = '\0';
}

static char *
secret_file(const KaNode *node, Reading reading, GError **error)
{
    g_autofree char *path = ka_node_local_path(node);
    g_autofree char *text = NULL;
    gsize length = 0;
    g_autoptr(GError) failure = NULL;
    if (!g_file_get_contents(path, &text, &length, &failure)) {
        const char *reason = strrchr(failure->message, ':');
        g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "can't read '%s'%s", path,
                    reason ? reason : "");
        return NULL;
    }
    if (length > (reading == SECRET ? MAX_SECRET_BYTES : MAX_DATA_BYTES) ||
        strlen(text) != length || !g_utf8_validate(text, (gssize)length, NULL)) {
        g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "'%s' holds no %sUTF-8 text", path,
                    reading == SECRET ? "line of " : "");
        return NULL;
    }
    const char *line_end = strchr(text, '\n');
    if (reading == SECRET || (reading == PART && line_end && !line_end[1]))
        drop_line_end(text, length);
    return g_steal_pointer(&text);
}

static char *
secret_environment(const KaNode *node, GError **error)
{
    const char *text = g_getenv(node->text);
    if (!text)
        g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE,
                    "environment variable '%s' is not set", node->text);
    return g_strdup(text);
}

static gboolean
is_secret_place(const KaNode *node)
{
    const KaNode *child = node->first;
    return node->type == KA_NODE_MAP && node->n_children == 1 && child->type == KA_NODE_SCALAR &&
           (g_str_equal(child->key, "file") || g_str_equal(child->key, "env"));
}

/* {file: …} and {env: …} become the text that they name. FALSE with an error reported. */
static gboolean
read_secret(Check *check, const Frame *frame, KaNode *node, Reading reading)
{
    if (!is_secret_place(node)) {
        report_type(check, frame, frame->rows->row->codec->expected);
        return FALSE;
    }
    const KaNode *child = node->first;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_str_equal(child->key, "file") ? secret_file(child, reading, &error)
                                                            : secret_environment(child, &error);
    if (!text) {
        gboolean elsewhere = check->diagnostics->secrets_elsewhere;
        add_message(check, frame, elsewhere ? KA_WARNING : KA_ERROR, ka_node_mark(child),
                    error->message);
        if (!elsewhere)
            return FALSE;
        text = g_strdup("elsewhere");
    }
    node->type = KA_NODE_SCALAR;
    node->text = ka_tree_strdup(check->tree, text);
    node->quoted = 1;
    node->first = node->last = NULL;
    node->n_children = 0;
    return TRUE;
}

/* --- values --- */

static void
check_scalar(Check *check, const Frame *frame, KaNode *node)
{
    const KaCodec *codec = frame->rows->row->codec;
    node->secret = codec->secret ? 1 : 0;
    if (node->type == KA_NODE_NULL)
        return;
    if (codec->secret && node->type == KA_NODE_MAP && !read_secret(check, frame, node, SECRET))
        return;
    if (node->type != KA_NODE_SCALAR) {
        g_autofree char *expected = ka_codec_expected(codec);
        report_type(check, frame, expected);
        return;
    }
    const char *canonical = ka_codec_canonical(codec, node->text);
    if (canonical) {
        node->text = canonical;
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *parsed = ka_codec_parse(codec, node->text, &error);
    if (parsed)
        node->text = ka_tree_strdup(check->tree, parsed);
    else
        report(check, frame, ka_node_mark(node), "%s", error->message);
}

/* No rows say what is in it. */
static void
check_data(Check *check, const Frame *frame, KaNode *node, Reading reading)
{
    guint index = 0;
    node->secret = 1;
    if (is_secret_place(node)) {
        read_secret(check, frame, node, reading);
        return;
    }
    for (KaNode *child = node->first; child; child = child->next, index++) {
        Frame below = {frame, child, frame->rows, index};
        check_data(check, &below, child, PART);
    }
}

static void check_node(Check *check, const Frame *frame, KaNode *node, guint item_start);

static void
check_key(Check *check, const Frame *frame, KaNode *node)
{
    const KaCodec *codec = frame->rows->name;
    if (node->key[0] == '\0') {
        report(check, frame->up, ka_node_key_mark(node), "expected a name, got nothing");
        return;
    }
    if (ka_codec_canonical(codec, node->key))
        return;
    g_autoptr(GError) error = NULL;
    g_autofree char *parsed = ka_codec_parse(codec, node->key, &error);
    if (parsed)
        node->key = ka_tree_strdup(check->tree, parsed);
    else
        report(check, frame->up, ka_node_key_mark(node), "key '%s': %s", node->key, error->message);
}

static void
check_map(Check *check, const Frame *frame, KaNode *node, guint item_start)
{
    for (KaNode *child = node->first; child; child = child->next) {
        const KaRows *rows = ka_rows_child(frame->rows, child->key);
        if (!rows) {
            report_unknown(check, frame, child);
            continue;
        }
        Frame below = {frame, child, rows, 0};
        child->row = rows->row;
        if (rows != frame->rows->any) {
            check_node(check, &below, child, item_start);
            continue;
        }
        guint start = check->claimed->len;
        check_key(check, &below, child);
        check_node(check, &below, child, start);
        g_array_set_size(check->claimed, start);
    }
}

static void
check_list(Check *check, const Frame *frame, KaNode *node)
{
    const KaRows *rows = ka_rows_item(frame->rows);
    guint index = 0;
    for (KaNode *child = node->first; child; child = child->next, index++) {
        Frame below = {frame, child, rows, index};
        guint start = check->claimed->len;
        child->row = rows->row;
        if (child->type == KA_NODE_NULL) {
            g_autofree char *expected = ka_codec_expected(rows->row->codec);
            report_type(check, &below, expected);
            continue;
        }
        check_node(check, &below, child, start);
        g_array_set_size(check->claimed, start);
    }
}

/* The node becomes a map or list whose only child is what it was. */
static void
wrap(Check *check, KaNode *node, KaNodeType type, const char *key)
{
    KaNode *child = ka_node_new(check->tree, node->type);
    *child = *node;
    child->next = NULL;
    node->type = type;
    node->text = NULL;
    node->first = node->last = NULL;
    node->n_children = 0;
    ka_node_link(node, key, child);
}

/* A bare value where a map is meant stands for the key that the row names, where a list is meant
 * for its only item. */
static void
expand_brief(Check *check, const Frame *frame, KaNode *node)
{
    const KaField *row = frame->rows->row;
    if (row->codec == &ka_list && node->type == KA_NODE_SCALAR)
        wrap(check, node, KA_NODE_LIST, NULL);
    if (row->codec != &ka_map || !row->brief ||
        (node->type != KA_NODE_SCALAR && node->type != KA_NODE_LIST))
        return;
    const KaRows *rows = ka_rows_child(frame->rows, row->brief);
    if (node->type == KA_NODE_SCALAR || rows->row->codec == &ka_list)
        wrap(check, node, KA_NODE_MAP, row->brief);
}

static void
check_node(Check *check, const Frame *frame, KaNode *node, guint item_start)
{
    const KaCodec *codec = frame->rows->row ? frame->rows->row->codec : &ka_map;
    if (frame->up)
        expand_brief(check, frame, node);
    if (codec == &ka_map && node->type == KA_NODE_MAP)
        check_map(check, frame, node, item_start);
    else if (codec == &ka_list && node->type == KA_NODE_LIST)
        check_list(check, frame, node);
    else if (codec == &ka_data)
        check_data(check, frame, node, WHOLE);
    else if (codec != &ka_map && codec != &ka_list)
        check_scalar(check, frame, node);
    else if (node->type != KA_NODE_NULL || !frame->up)
        report_type(check, frame, frame->up || node->type ? codec->expected : "a map, {} at least");
    if (frame->rows->claims)
        claim(check, frame, item_start);
}

void
ka_check(KaTree *tree, KaNode *node, const KaRows *rows, KaDiagnostics *diagnostics)
{
    g_autoptr(GArray) claimed = g_array_new(FALSE, FALSE, sizeof(Claimed));
    Check check = {tree, diagnostics, claimed};
    Frame frame = {NULL, node, rows, 0};
    check_node(&check, &frame, node, 0);
}
