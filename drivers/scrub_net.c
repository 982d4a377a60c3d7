#include "drivers/scrub_part.h"

#include <string.h>
#include <yaml.h>

/* What is cut out of a text, in its order. */
typedef struct {
    gsize from, to;   /* bytes */
    const char *with; /* what comes instead */
} Cut;

/* One YAML document under the knife. */
typedef struct {
    yaml_document_t *document;
    const char *text;
    GArray *cuts; /* owned Cut */
    GString *gone;
    gboolean odd; /* written in a way that can't be edited */
} Yaml;

static gsize
offset(const Yaml *yaml, yaml_mark_t mark)
{
    return (gsize)(g_utf8_offset_to_pointer(yaml->text, (glong)mark.index) - yaml->text);
}

/* Where the last scalar of a node ends: a block's own end is where the next one begins. */
static gsize
end_of(const Yaml *yaml, const yaml_node_t *node)
{
    gsize end = 0;
    if (node->type == YAML_SCALAR_NODE)
        return offset(yaml, node->end_mark);
    if ((node->type == YAML_MAPPING_NODE && node->data.mapping.style == YAML_FLOW_MAPPING_STYLE) ||
        (node->type == YAML_SEQUENCE_NODE && node->data.sequence.style == YAML_FLOW_SEQUENCE_STYLE))
        return offset(yaml, node->end_mark);
    if (node->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++)
            end = MAX(end, end_of(yaml, yaml_document_get_node(yaml->document, pair->value)));
    } else {
        for (yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++)
            end = MAX(end, end_of(yaml, yaml_document_get_node(yaml->document, *item)));
    }
    return MAX(end, offset(yaml, node->start_mark));
}

static void
cut(Yaml *yaml, gsize from, gsize to, const char *with)
{
    Cut one = {from, to, with};
    g_array_append_val(yaml->cuts, one);
}

/* A pair of a block mapping: its lines. One of a flow mapping: up to the next, with its comma. */
static void
cut_pair(Yaml *yaml, const yaml_node_t *map, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(yaml->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(yaml->document, pair->value);
    gsize from = offset(yaml, key->start_mark), to = end_of(yaml, value);
    const char *text = yaml->text;
    if (map->data.mapping.style == YAML_FLOW_MAPPING_STYLE) {
        gsize next = to + strspn(text + to, " \t\r\n");
        if (text[next] == ',')
            to = next + 1 + strspn(text + next + 1, " ");
        cut(yaml, from, to, "");
        return;
    }
    while (from > 0 && (text[from - 1] == ' ' || text[from - 1] == '\t'))
        from--;
    yaml->odd = yaml->odd || (from > 0 && text[from - 1] != '\n');
    to += strcspn(text + to, "\n");
    cut(yaml, from, text[to] ? to + 1 : to, "");
}

static const char *
scalar(const Yaml *yaml, int index)
{
    const yaml_node_t *node = yaml_document_get_node(yaml->document, index);
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

static const yaml_node_pair_t *
find_pair(const Yaml *yaml, const yaml_node_t *map, const char *name)
{
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         pair < map->data.mapping.pairs.top; pair++)
        if (g_str_equal(scalar(yaml, pair->key), name))
            return pair;
    return NULL;
}

static gsize
n_pairs(const yaml_node_t *map)
{
    return (gsize)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);
}

/* The pairs of one device that identify a machine: its MAC, and a match by nothing else together
 * with the name that only a match may set. */
static gsize
find_own(const Yaml *yaml, const yaml_node_t *map, const yaml_node_pair_t *found[3])
{
    const yaml_node_pair_t *match = find_pair(yaml, map, "match");
    const yaml_node_t *inner = match ? yaml_document_get_node(yaml->document, match->value) : NULL;
    const yaml_node_pair_t *mac = find_pair(yaml, map, "macaddress");
    const yaml_node_pair_t *name = find_pair(yaml, map, "set-name");
    gsize n = 0;
    if (mac && *scalar(yaml, mac->value))
        found[n++] = mac;
    if (inner && inner->type == YAML_MAPPING_NODE && n_pairs(inner) == 1 &&
        find_pair(yaml, inner, "macaddress")) {
        found[n++] = match;
        if (name)
            found[n++] = name;
    }
    return n;
}

static void
cut_map(Yaml *yaml, const yaml_node_t *map, gsize key_end)
{
    const yaml_node_pair_t *found[3] = {NULL};
    gsize n = find_own(yaml, map, found);
    for (gsize i = 0; i < n; i++) {
        const yaml_node_t *value = yaml_document_get_node(yaml->document, found[i]->value);
        const yaml_node_pair_t *mac =
            value->type == YAML_MAPPING_NODE ? find_pair(yaml, value, "macaddress") : NULL;
        g_string_append_printf(yaml->gone, "%s%s", yaml->gone->len ? ", " : "",
                               scalar(yaml, mac ? mac->value : found[i]->value));
        cut_pair(yaml, map, found[i]);
    }
    if (n && n == n_pairs(map) && map->data.mapping.style != YAML_FLOW_MAPPING_STYLE)
        cut(yaml, key_end, key_end, " {}");
}

static void
cut_below(Yaml *yaml, const yaml_node_t *node, gsize key_end, guint depth)
{
    if (node->type != YAML_MAPPING_NODE || depth > 16)
        return;
    const yaml_node_pair_t *found[3] = {NULL};
    gsize n = find_own(yaml, node, found);
    cut_map(yaml, node, key_end);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        if (pair == found[0] || (n > 1 && pair == found[1]) || (n > 2 && pair == found[2]))
            continue;
        const yaml_node_t *key = yaml_document_get_node(yaml->document, pair->key);
        gsize end = offset(yaml, key->end_mark);
        end += strcspn(yaml->text + end, ":\n");
        cut_below(yaml, yaml_document_get_node(yaml->document, pair->value), end + 1, depth + 1);
    }
}

static int
compare_cuts(gconstpointer a, gconstpointer b)
{
    const Cut *one = a, *other = b;
    return one->from < other->from ? -1 : one->from > other->from;
}

static char *
apply_cuts(const Yaml *yaml)
{
    g_autoptr(GString) out = g_string_new(NULL);
    gsize at = 0;
    g_array_sort(yaml->cuts, compare_cuts);
    for (guint i = 0; i < yaml->cuts->len; i++) {
        const Cut *one = &g_array_index(yaml->cuts, Cut, i);
        g_string_append_len(out, yaml->text + at, (gssize)(MAX(one->from, at) - at));
        g_string_append(out, one->with);
        at = MAX(at, one->to);
    }
    g_string_append(out, yaml->text + at);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static gboolean
parse(const char *text, yaml_document_t *document)
{
    yaml_parser_t parser;
    if (!g_utf8_validate(text, -1, NULL) || !yaml_parser_initialize(&parser))
        return FALSE;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    gboolean parsed = yaml_parser_load(&parser, document) != 0;
    yaml_parser_delete(&parser);
    return parsed;
}

/* What can't be parsed after the edit is not written. */
static gboolean
is_yaml(const char *text)
{
    yaml_document_t document;
    if (!parse(text, &document))
        return FALSE;
    yaml_document_delete(&document);
    return TRUE;
}

gboolean
ka_scrub_netplan(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    g_autofree char *text = NULL;
    yaml_document_t document;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    if (!text || !parse(text, &document))
        return TRUE;
    Yaml yaml = {&document, text, g_array_new(FALSE, FALSE, sizeof(Cut)), g_string_new(NULL),
                 FALSE};
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root)
        cut_below(&yaml, root, 0, 0);
    g_autofree char *after = apply_cuts(&yaml);
    if (yaml.cuts->len && (yaml.odd || !is_yaml(after)))
        ka_scrub_add(scrub, KA_SCRUB_ODD, entry->path,
                     g_strdup_printf("%s, written in a way that isn't edited", yaml.gone->str));
    else if (yaml.cuts->len)
        ka_scrub_put(scrub, entry->path, text, after, g_strdup(yaml.gone->str));
    g_array_unref(yaml.cuts);
    g_string_free(yaml.gone, TRUE);
    yaml_document_delete(&document);
    return TRUE;
}

static gboolean
has_assignment(const char *line, const char *key)
{
    line += strspn(line, " \t");
    gsize length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length + strspn(line + length, " \t")] == '=';
}

/* systemd.network(5): a [Match] that only knew a MAC would now match nothing (or, of old, all). */
gboolean
ka_scrub_networkd(KaScrub *scrub, const KaInsideEntry *entry, GError **error)
{
    static const char *const own[] = {"MACAddress", "PermanentMACAddress", "DUIDRawData", "IAID",
                                      "Hostname"};
    g_autofree char *text = NULL;
    if (!ka_scrub_load(scrub, entry, &text, error))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL), gone = g_string_new(NULL);
    gboolean in_match = FALSE, matched = FALSE, matches = FALSE;
    gssize match_at = -1;
    for (char **line = lines; *line; line++) {
        const char *start = *line + strspn(*line, " \t");
        gboolean is_own = FALSE;
        if (*start == '[')
            in_match = g_str_has_prefix(start, "[Match]");
        for (gsize i = 0; i < G_N_ELEMENTS(own); i++)
            is_own = is_own || has_assignment(start, own[i]);
        if (is_own) {
            g_string_append_printf(gone, "%s%s", gone->len ? ", " : "", start);
            matched = matched || in_match;
            continue;
        }
        matches = matches || (in_match && g_ascii_isalpha(*start));
        g_string_append_printf(rest, "%s%s", *line, line[1] ? "\n" : "");
        if (in_match && *start == '[')
            match_at = (gssize)rest->len;
    }
    if (!gone->len)
        return TRUE;
    if (matched && !matches && g_str_has_suffix(entry->path, ".link")) {
        ka_scrub_add(scrub, KA_SCRUB_REMOVE, entry->path, g_strdup(gone->str));
        return TRUE;
    }
    if (matched && !matches)
        g_string_insert(rest, match_at, "Name=en* eth*\n");
    ka_scrub_put(scrub, entry->path, text, rest->str, g_strdup(gone->str));
    return TRUE;
}
