#include "manifest/manifest.h"

#include <string.h>

#define INDENT 2

typedef struct {
    GString *text;
    gboolean as_written; /* data of no rows, for another reader of YAML: secrets, too, are said */
} Emit;

/* What a reader of YAML 1.1 or 1.2 takes for something else than text. */
static const GRegex *
other_than_text(void)
{
    static gsize regex;
    if (g_once_init_enter(&regex))
        g_once_init_leave(
            &regex,
            (gsize)g_regex_new("^(~|null|true|false|yes|no|on|off|y|n|<<|="
                               "|[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?0x[0-9a-f_]+"
                               "|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])*(\\.[0-9_]*)?(e[-+]?[0-9]+)?"
                               "|[-+]?\\.[0-9_]+(e[-+]?[0-9]+)?|[-+]?\\.inf|\\.nan"
                               "|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)$",
                               G_REGEX_CASELESS | G_REGEX_OPTIMIZE, 0, NULL));
    return (const GRegex *)regex;
}

/* Can it stand without quotes, in a map's block as in a list's, and stay one text? */
static gboolean
is_plain(const char *text)
{
    gsize length = strlen(text);
    if (length == 0 || !(g_ascii_isalnum(*text) || strchr("/_.+(", *text) ||
                         (*text == '-' && g_ascii_isalnum(text[1]))))
        return FALSE;
    for (const char *at = text; *at; at++)
        if (!g_ascii_isalnum(*at) && !strchr("/_.+()-:=@,;^* ", *at))
            return FALSE;
    return !strstr(text, ": ") && text[length - 1] != ':' && text[length - 1] != ' ' &&
           !g_str_has_prefix(text, "...");
}

static gboolean
reads_as_text(const char *text)
{
    return !g_regex_match(other_than_text(), text, 0, NULL);
}

/* YAML has more line breaks than one would think, and a byte order mark is none in the middle. */
static gboolean
is_shown(gunichar c)
{
    return g_unichar_isprint(c) && c != 0x2028 && c != 0x2029 && c != 0xfeff;
}

/* Can it be a literal block, in which nothing is escaped? */
static gboolean
is_literal(const char *text)
{
    if (strchr(" \t\n", *text) || !strchr(text, '\n') || !g_utf8_validate(text, -1, NULL))
        return FALSE;
    for (const char *at = text; *at; at += g_utf8_skip[(guchar)*at]) {
        gunichar c = g_utf8_get_char(at);
        if (c != '\n' && c != '\t' && !is_shown(c))
            return FALSE;
    }
    return TRUE;
}

static void
append_quoted(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(out, '"');
    for (const char *at = valid; *at; at += g_utf8_skip[(guchar)*at]) {
        gunichar c = g_utf8_get_char(at);
        if (c == '"' || c == '\\')
            g_string_append_printf(out, "\\%c", (char)c);
        else if (c == '\n')
            g_string_append(out, "\\n");
        else if (c == '\t')
            g_string_append(out, "\\t");
        else if (is_shown(c))
            g_string_append_unichar(out, c);
        else
            g_string_append_printf(out, c > 0xffff ? "\\U%08X" : "\\u%04X", c);
    }
    g_string_append_c(out, '"');
}

static void
append_literal(GString *out, const char *text, guint indent)
{
    gsize length = strlen(text);
    gboolean ends = text[length - 1] == '\n';
    gboolean ends_twice = ends && text[length - 2] == '\n';
    g_string_append(out, ends_twice ? "|+" : ends ? "|" : "|-");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] && (lines[i + 1] || !ends); i++)
        g_string_append_printf(out, "\n%*s%s", *lines[i] ? (int)indent : 0, "", lines[i]);
}

/* A secret is never written: who loads the text gives it by the environment. */
static void
append_placeholder(GString *out, const KaNode *node)
{
    g_autofree char *name = g_ascii_strup(node->key ? node->key : "secret", -1);
    g_strcanon(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", '_');
    g_string_append_printf(out, "{env: %s}", name);
}

static void
append_scalar(const Emit *emit, const KaNode *node, guint indent)
{
    GString *out = emit->text;
    const KaCodec *codec = node->row && !emit->as_written ? node->row->codec : NULL;
    if (!emit->as_written && (node->secret || (codec && codec->secret))) {
        append_placeholder(out, node);
        return;
    }
    g_autofree char *text = codec ? ka_codec_format(codec, node->text) : g_strdup(node->text);
    const char *type = codec ? codec->json_type : NULL;
    gboolean is_string = emit->as_written ? node->quoted : !type || g_str_equal(type, "string");
    if (indent > 0 && is_literal(text))
        append_literal(out, text, indent);
    else if (is_plain(text) && (!is_string || reads_as_text(text)))
        g_string_append(out, text);
    else
        append_quoted(out, text);
}

static void
append_key(GString *out, const char *key)
{
    if (is_plain(key) && reads_as_text(key))
        g_string_append(out, key);
    else
        append_quoted(out, key);
    g_string_append_c(out, ':');
}

static void append_block(const Emit *emit, const KaNode *node, guint indent);

/* The value behind "key:" or "-", and the end of its line. */
static void
append_value(const Emit *emit, const KaNode *node, guint indent)
{
    GString *out = emit->text;
    switch (node->type) {
    case KA_NODE_NULL:
        g_string_append(out, " ~\n");
        return;
    case KA_NODE_SCALAR:
        g_string_append_c(out, ' ');
        append_scalar(emit, node, indent);
        g_string_append_c(out, '\n');
        return;
    case KA_NODE_MAP:
    case KA_NODE_LIST:
        if (!node->first) {
            g_string_append(out, node->type == KA_NODE_MAP ? " {}\n" : " []\n");
            return;
        }
        g_string_append_c(out, '\n');
        append_block(emit, node, indent);
        return;
    }
}

static void
append_block(const Emit *emit, const KaNode *node, guint indent)
{
    GString *out = emit->text;
    for (const KaNode *child = node->first; child; child = child->next) {
        g_string_append_printf(out, "%*s", (int)indent, "");
        if (node->type == KA_NODE_MAP) {
            append_key(out, child->key);
            append_value(emit, child, indent + INDENT);
        } else if (child->first) {
            /* An item's first line stands behind its dash. */
            gsize dash = out->len;
            append_block(emit, child, indent + INDENT);
            out->str[dash + indent] = '-';
            g_string_erase(out, (gssize)dash, indent);
        } else {
            g_string_append_c(out, '-');
            append_value(emit, child, indent + INDENT);
        }
    }
}

static char *
emit_node(const KaNode *node, gboolean as_written)
{
    Emit emit = {g_string_new(NULL), as_written};
    if (node->first)
        append_block(&emit, node, 0);
    else
        append_value(&emit, node, 0);
    /* A text alone has no key before it. */
    if (emit.text->len > 0 && emit.text->str[0] == ' ')
        g_string_erase(emit.text, 0, 1);
    return g_string_free(emit.text, FALSE);
}

char *
ka_emit(const KaNode *node)
{
    return emit_node(node, FALSE);
}

char *
ka_emit_data(const KaNode *node)
{
    return emit_node(node, TRUE);
}
