#include "manifest/codec.h"
#include "manifest/source.h"

#include <stdlib.h>
#include <string.h>

/* Longer texts are cut in messages. */
#define SHOWN_CHARACTERS 60
#define LONGEST_NAME 200

G_DEFINE_QUARK(ka - codec - error - quark, ka_codec_error)

/* JSON's types differ in their first letter, and this is asked for every value. */
static gboolean
is_boolean(const KaCodec *codec)
{
    return codec->json_type && codec->json_type[0] == 'b';
}

static gboolean
is_integer(const KaCodec *codec)
{
    return codec->json_type && codec->json_type[0] == 'i';
}

char *
ka_codec_expected(const KaCodec *codec)
{
    if (codec->expected)
        return g_strdup(codec->expected);
    if (codec->n_values > 0) {
        GString *list = g_string_new(codec->n_values > 1 ? "one of " : "");
        for (gsize i = 0; i < codec->n_values; i++)
            g_string_append_printf(list, "%s%s", i > 0 ? ", " : "", codec->values[i]);
        return g_string_free(list, FALSE);
    }
    if (is_integer(codec) && (codec->minimum || codec->maximum))
        return g_strdup_printf("a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                               codec->minimum, codec->maximum);
    return g_strdup(is_integer(codec) ? "a whole number" : "a line of text");
}

/* The first characters of text, whole. */
static char *
shorten(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    if (g_utf8_strlen(valid, -1) <= SHOWN_CHARACTERS)
        return g_steal_pointer(&valid);
    g_autofree char *start = g_utf8_substring(valid, 0, SHOWN_CHARACTERS);
    return g_strconcat(start, "…", NULL);
}

char *
ka_codec_refuse(const KaCodec *codec, const char *text, const char *hint, GError **error)
{
    g_autofree char *expected = ka_codec_expected(codec);
    g_autofree char *shown = shorten(text);
    g_autofree char *found =
        codec->secret ? g_strdup("another text") : g_strdup_printf("'%s'", shown);
    g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "expected %s, got %s%s%s", expected,
                found, hint ? ": " : "", hint ? hint : "");
    return NULL;
}

/* --- text --- */

/* XML can't hold other control characters, nor U+FFFE and U+FFFF. */
static gboolean
is_clean(const char *text, const char *controls)
{
    for (const char *at = text; *at; at++) {
        guchar byte = (guchar)*at;
        if (byte == 0x7f || (byte < 0x20 && !strchr(controls, byte)))
            return FALSE;
        if (byte == 0xef && (guchar)at[1] == 0xbf && (guchar)at[2] >= 0xbe)
            return FALSE;
    }
    return TRUE;
}

static gboolean
is_text(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    return is_clean(text, "\n\t");
}

static gboolean
is_line(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    return is_clean(text, "");
}

/* Letters, digits and others; not empty. */
static gboolean
is_made_of(const char *text, const char *others)
{
    const char *at = text;
    while (g_ascii_isalnum(*at) || (*at && strchr(others, *at)))
        at++;
    return *at == '\0' && at > text;
}

gboolean
ka_codec_is_word(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    return is_made_of(text, "_.:+-");
}

static gboolean
is_device(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    return is_made_of(text, "_-");
}

static void
refuse_text(G_GNUC_UNUSED GMarkupParseContext *context,
            const char *text,
            gsize length,
            G_GNUC_UNUSED gpointer data,
            GError **error)
{
    gsize space = 0;
    while (space < length && g_ascii_isspace(text[space]))
        space++;
    /* Below the wrapping element stand elements only; deeper, text is theirs. */
    if (space < length && !g_markup_parse_context_get_element_stack(context)->next)
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT,
                    "text stands outside of an element");
}

/* A fragment may not end what it is wrapped in: GLib would take the rest for another document. */
static void
refuse_end(GMarkupParseContext *context,
           G_GNUC_UNUSED const char *name,
           gpointer data,
           GError **error)
{
    const gboolean *is_over = data;
    if (!*is_over && !g_markup_parse_context_get_element_stack(context)->next)
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT,
                    "it ends an element that it didn't begin");
}

/* Well-formed as far as GLib can tell, which knows no entities but XML's own five. What else is
 * wrong with it, libvirt says. */
static char *
fragment_parse(const KaCodec *codec, const char *text, GError **error)
{
    static const GMarkupParser parser = {.text = refuse_text, .end_element = refuse_end};
    gboolean is_over = FALSE;
    if (text[strspn(text, " \t\n")] != '<' || !is_clean(text, "\n\t"))
        return ka_codec_refuse(codec, text, NULL, error);
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &is_over, NULL);
    g_autoptr(GError) malformed = NULL;
    if (g_markup_parse_context_parse(context, "<xml>", -1, &malformed) &&
        g_markup_parse_context_parse(context, text, -1, &malformed) && (is_over = TRUE) &&
        g_markup_parse_context_parse(context, "</xml>", -1, &malformed) &&
        g_markup_parse_context_end_parse(context, &malformed))
        return g_strdup(text);
    /* Its places count the wrapping element. */
    const char *reason = strstr(malformed->message, ": ");
    g_auto(GStrv) parts = g_strsplit(reason ? reason + 2 : malformed->message, "\u201c", -1);
    g_autofree char *opened = g_strjoinv("'", parts);
    g_auto(GStrv) halves = g_strsplit(opened, "\u201d", -1);
    g_autofree char *quoted = g_strjoinv("'", halves);
    g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "expected a fragment of XML: %s",
                quoted);
    return NULL;
}

/* Plain names, which most are, without more ado. */
static gboolean
is_name(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    const char *at = text;
    if (!g_ascii_isalnum(*at))
        return FALSE;
    while (g_ascii_isalnum(*at) || *at == '-' || *at == '_' || *at == '.')
        at++;
    return *at == '\0' && at - text <= LONGEST_NAME;
}

static char *
name_parse(G_GNUC_UNUSED const KaCodec *codec, const char *text, GError **error)
{
    return ka_name_check(text, error) ? g_strdup(text) : NULL;
}

static gboolean
is_uri(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    return strstr(text, "://") && !strchr(text, ' ') &&
           g_uri_is_valid(text, G_URI_FLAGS_NONE, NULL);
}

static gboolean
refuse_name(GError **error, const char *what)
{
    g_set_error(error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE, "%s", what);
    return FALSE;
}

static gboolean
is_visible(const char *name)
{
    if (!g_utf8_validate(name, -1, NULL))
        return FALSE;
    for (const char *at = name; *at; at = g_utf8_next_char(at))
        if (ka_is_control(g_utf8_get_char(at)))
            return FALSE;
    return TRUE;
}

gboolean
ka_name_check(const char *name, GError **error)
{
    if (is_name(NULL, name))
        return TRUE;
    if (!*name)
        return refuse_name(error, "expected a name, got nothing");
    if (strlen(name) > LONGEST_NAME)
        return refuse_name(error, "expected a name of at most 200 bytes");
    if (strpbrk(name, "/\\'\"`<>&") || !is_clean(name, "") || !is_visible(name)) {
        g_autofree char *shown = shorten(name);
        g_set_error(
            error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE,
            "expected a name without /, \\, <, >, &, quotes and control characters, got '%s'",
            shown);
        return FALSE;
    }
    gsize length = strlen(name);
    if (strchr(".- ", name[0]) || name[length - 1] == ' ') {
        g_autofree char *shown = shorten(name);
        g_set_error(
            error, KA_CODEC_ERROR, KA_CODEC_ERROR_VALUE,
            "expected a name that begins with no '.', '-' or space and ends with none, got '%s'",
            shown);
        return FALSE;
    }
    return TRUE;
}

/* --- paths --- */

static gboolean
is_path(G_GNUC_UNUSED const KaCodec *codec, const char *text)
{
    gsize length = strlen(text);
    return text[0] == '/' && !strstr(text, "//") && (length == 1 || text[length - 1] != '/') &&
           is_clean(text, "");
}

static char *
path_parse(const KaCodec *codec, const char *text, GError **error)
{
    if (text[0] != '/' || !is_clean(text, ""))
        return ka_codec_refuse(codec, text, NULL, error);
    GString *path = g_string_new(NULL);
    for (const char *at = text; *at; at++)
        if (*at != '/' || (at[1] != '/' && at[1] != '\0'))
            g_string_append_c(path, *at);
    if (path->len == 0)
        g_string_append_c(path, '/');
    return g_string_free(path, FALSE);
}

/* --- numbers --- */

static gboolean
number_parse(const char *text, gint64 *ret_number)
{
    gboolean is_negative = text[0] == '-';
    const char *digits = text + is_negative;
    if (!g_ascii_isdigit(*digits))
        return FALSE;
    guint64 number = 0;
    for (; g_ascii_isdigit(*digits); digits++)
        if (!g_uint64_checked_mul(&number, number, 10) ||
            !g_uint64_checked_add(&number, number, (guint64)(*digits - '0')))
            return FALSE;
    if (*digits != '\0' || number > G_MAXINT64)
        return FALSE;
    *ret_number = is_negative ? -(gint64)number : (gint64)number;
    return TRUE;
}

static gboolean
number_is_allowed(const KaCodec *codec, const char *text, gint64 *ret_number)
{
    if (!number_parse(text, ret_number))
        return FALSE;
    gboolean is_bounded = codec->minimum || codec->maximum;
    return !is_bounded || (*ret_number >= codec->minimum && *ret_number <= codec->maximum);
}

static gboolean
number_is_canonical(const KaCodec *codec, const char *text)
{
    gint64 number = 0;
    gboolean has_spare_zero = text[0] == '0' && text[1] != '\0';
    return !has_spare_zero && text[0] != '-' && number_is_allowed(codec, text, &number);
}

static char *
integer_parse(const KaCodec *codec, const char *text, GError **error)
{
    gint64 number = 0;
    if (!number_is_allowed(codec, text, &number))
        return ka_codec_refuse(codec, text, NULL, error);
    return g_strdup_printf("%" G_GINT64_FORMAT, number);
}

/* Hosts' documents may hold hexadecimal numbers. */
static gboolean
integer_equal(const char *a, const char *b)
{
    gboolean is_hexadecimal = g_str_has_prefix(a, "0x") || g_str_has_prefix(b, "0x");
    gint64 left = 0, right = 0;
    if (!is_hexadecimal)
        return number_parse(a, &left) && number_parse(b, &right) && left == right;
    return strtoull(a, NULL, g_str_has_prefix(a, "0x") ? 16 : 10) ==
           strtoull(b, NULL, g_str_has_prefix(b, "0x") ? 16 : 10);
}

/* --- booleans and enumerations --- */

static const char *
boolean_value(const KaCodec *codec, const char *text)
{
    static const char *const words[2][3] = {
        {"true",  "yes", "on" },
        {"false", "no",  "off"}
    };
    for (gsize i = 0; i < 2; i++)
        for (gsize j = 0; j < 3; j++)
            if (g_ascii_strcasecmp(text, words[i][j]) == 0)
                return codec->values[i];
    return NULL;
}

static const char *
enum_value(const KaCodec *codec, const char *text)
{
    for (gsize i = 0; i < codec->n_values; i++)
        if (strcmp(text, codec->values[i]) == 0)
            return codec->values[i];
    return NULL;
}

static char *
enum_refuse(const KaCodec *codec, const char *text, GError **error)
{
    const char *nearest = ka_nearest(text, codec->values, codec->n_values);
    g_autofree char *hint = nearest ? g_strdup_printf("did you mean '%s'?", nearest) : NULL;
    return ka_codec_refuse(codec, text, hint, error);
}

static const char *const yes_no_values[] = {"yes", "no"};
static const char *const on_off_values[] = {"on", "off"};

static char *
boolean_format(const KaCodec *codec, const char *canonical)
{
    const char *value = boolean_value(codec, canonical);
    return g_strdup(!value ? canonical : value == codec->values[0] ? "true" : "false");
}

/* --- any codec --- */

const char *
ka_codec_canonical(const KaCodec *codec, const char *text)
{
    if (is_boolean(codec))
        return boolean_value(codec, text);
    if (codec->n_values > 0)
        return enum_value(codec, text);
    if (codec->is_canonical)
        return codec->is_canonical(codec, text) ? text : NULL;
    if (codec->parse)
        return NULL;
    if (is_integer(codec))
        return number_is_canonical(codec, text) ? text : NULL;
    /* A name's pattern says no more than this, and names are most of what a manifest holds. */
    if (codec->refers)
        return ka_name_check(text, NULL) ? text : NULL;
    if (codec->pattern && !g_regex_match_simple(codec->pattern, text, 0, 0))
        return NULL;
    return is_line(codec, text) ? text : NULL;
}

char *
ka_codec_parse(const KaCodec *codec, const char *text, GError **error)
{
    const char *canonical = ka_codec_canonical(codec, text);
    if (canonical)
        return g_strdup(canonical);
    if (codec->parse)
        return codec->parse(codec, text, error);
    if (is_integer(codec))
        return integer_parse(codec, text, error);
    if (codec->n_values > 0 && !is_boolean(codec))
        return enum_refuse(codec, text, error);
    return ka_codec_refuse(codec, text, NULL, error);
}

char *
ka_codec_format(const KaCodec *codec, const char *canonical)
{
    if (codec->format)
        return codec->format(codec, canonical);
    return is_boolean(codec) ? boolean_format(codec, canonical) : g_strdup(canonical);
}

gboolean
ka_codec_equal(const KaCodec *codec, const char *a, const char *b)
{
    if (codec->is_presence) {
        a = a ? a : "no";
        b = b ? b : "no";
    }
    if (!a || !b)
        return a == b;
    if (strcmp(a, b) == 0)
        return TRUE;
    if (codec->equal)
        return codec->equal(codec, a, b);
    return is_integer(codec) && codec->unit == 0 && integer_equal(a, b);
}

/* A host's document may hold what parse would turn into the canonical text. */
static gboolean
equal_parsed(const KaCodec *codec, const char *a, const char *b)
{
    g_autofree char *left = ka_codec_parse(codec, a, NULL);
    g_autofree char *right = ka_codec_parse(codec, b, NULL);
    return left && right && strcmp(left, right) == 0;
}

#define NAME_PATTERN                                                                               \
    "^(?=[^.\\- ])[^/\\\\'\"`<>&\\x00-\\x1f\\x7f]{0,199}"                                          \
    "[^ /\\\\'\"`<>&\\x00-\\x1f\\x7f]$"
const KaCodec ka_map = {.name = "map", .expected = "a map", .json_type = "object"};
const KaCodec ka_list = {.name = "list", .expected = "a list", .json_type = "array"};
const KaCodec ka_string = {.name = "text",
                           .expected = "text without control characters",
                           .is_canonical = is_text,
                           .json_type = "string"};
const KaCodec ka_line = {.name = "line",
                         .expected = "one line of text",
                         .is_canonical = is_line,
                         .json_type = "string",
                         .pattern = "^[^\\x00-\\x1f\\x7f]*$"};
const KaCodec ka_name = {.name = "name",
                         .expected = "a name",
                         .is_canonical = is_name,
                         .parse = name_parse,
                         .json_type = "string",
                         .pattern = NAME_PATTERN};
#define NAME_OF(ident, what)                                                                       \
    const KaCodec ident = {.name = what "-name",                                                   \
                           .expected = "the name of a " what,                                      \
                           .is_canonical = is_name,                                                \
                           .parse = name_parse,                                                    \
                           .json_type = "string",                                                  \
                           .pattern = NAME_PATTERN,                                                \
                           .refers = what}
NAME_OF(ka_host_name, "host");
NAME_OF(ka_network_name, "network");
NAME_OF(ka_pool_name, "pool");
NAME_OF(ka_image_name, "image");
NAME_OF(ka_disk_name, "disk");
const KaCodec ka_word = {.name = "word",
                         .expected = "a word of letters, digits and _ . : + -",
                         .is_canonical = ka_codec_is_word,
                         .json_type = "string",
                         .pattern = "^[A-Za-z0-9_.:+-]+$"};
const KaCodec ka_device = {.name = "device-name",
                           .expected = "a name of letters, digits, _ and -",
                           .is_canonical = is_device,
                           .json_type = "string",
                           .pattern = "^[A-Za-z0-9_-]+$"};
const KaCodec ka_path = {.name = "path",
                         .expected = "an absolute path such as /srv/vm",
                         .is_canonical = is_path,
                         .parse = path_parse,
                         .equal = equal_parsed,
                         .json_type = "string",
                         .pattern = "^/"};
const KaCodec ka_local_file = {.name = "local-file",
                               .expected = "a local file, relative to the manifest",
                               .is_canonical = is_line,
                               .json_type = "string"};
const KaCodec ka_secret = {.name = "secret",
                           .expected = "one line of text, {file: PATH} or {env: NAME}",
                           .is_canonical = is_line,
                           .json_type = "string",
                           .secret = TRUE};
const KaCodec ka_data = {.name = "data",
                         .expected = "YAML or text, with {file: PATH} and {env: NAME} for texts",
                         .json_type = "string",
                         .secret = TRUE};
const KaCodec ka_uint = {.name = "number", .maximum = G_MAXINT32, .json_type = "integer"};
const KaCodec ka_positive = {
    .name = "positive", .minimum = 1, .maximum = G_MAXINT32, .json_type = "integer"};
const KaCodec ka_port = {.name = "port", .maximum = 65535, .json_type = "integer"};
const KaCodec ka_presence = {.name = "presence",
                             .expected = "true or false",
                             .values = yes_no_values,
                             .n_values = G_N_ELEMENTS(yes_no_values),
                             .json_type = "boolean",
                             .is_presence = TRUE};
const KaCodec ka_yes_no = {.name = "yes-no",
                           .expected = "true or false",
                           .values = yes_no_values,
                           .n_values = G_N_ELEMENTS(yes_no_values),
                           .json_type = "boolean"};
const KaCodec ka_on_off = {.name = "on-off",
                           .expected = "true or false",
                           .values = on_off_values,
                           .n_values = G_N_ELEMENTS(on_off_values),
                           .json_type = "boolean"};
const KaCodec ka_fragment = {.name = "fragment",
                             .expected =
                                 "a fragment of libvirt XML such as <watchdog model='itco'/>",
                             .parse = fragment_parse,
                             .json_type = "string",
                             .pattern = "^\\s*<"};
const KaCodec ka_uri = {.name = "uri",
                        .expected = "a libvirt URI such as qemu+ssh://root@kvm1.example.com/system",
                        .is_canonical = is_uri,
                        .json_type = "string",
                        .pattern = "^[A-Za-z][A-Za-z0-9+.-]*://"};
