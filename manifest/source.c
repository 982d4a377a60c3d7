#include "manifest/source.h"

#include <stdarg.h>
#include <string.h>

/* Characters of a source line that are shown before and after a caret. */
#define SHOWN_BEFORE 60
#define SHOWN_AFTER 40
/* So many bytes before what is shown, the name of a secret that is shown may stand. */
#define SECRET_NEAR 512

/* A line and a character of it that are known: excerpts of many errors are found in one pass. */
struct KaPlaceSeen {
    guint32 line, column; /* from 1; 0: nothing is known */
    gsize line_start, at; /* offsets in the text */
};

KaSource *
ka_source_new(const char *name, char *text, gsize length)
{
    KaSource *source = g_new0(KaSource, 1);
    source->name = g_strdup(name);
    /* A byte order mark would count as a column. */
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        length -= 3;
        memmove(text, text + 3, length);
        text[length] = '\0';
    }
    source->text = text;
    source->length = length;
    source->seen = g_new0(KaPlaceSeen, 1);
    return source;
}

void
ka_source_free(KaSource *source)
{
    if (!source)
        return;
    g_free(source->name);
    g_free(source->text);
    g_free(source->seen);
    g_free(source);
}

static void
diagnostic_free(gpointer data)
{
    KaDiagnostic *diagnostic = data;
    g_free(diagnostic->message);
    g_free(diagnostic);
}

KaDiagnostics *
ka_diagnostics_new(void)
{
    KaDiagnostics *diagnostics = g_new0(KaDiagnostics, 1);
    diagnostics->items = g_ptr_array_new_with_free_func(diagnostic_free);
    diagnostics->sources = g_ptr_array_new_with_free_func((GDestroyNotify)ka_source_free);
    return diagnostics;
}

void
ka_diagnostics_free(KaDiagnostics *diagnostics)
{
    if (!diagnostics)
        return;
    g_ptr_array_unref(diagnostics->items);
    g_ptr_array_unref(diagnostics->sources);
    g_free(diagnostics);
}

gboolean
ka_is_control(gunichar c)
{
    GUnicodeType type = g_unichar_type(c);
    return type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT ||
           type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* Manifest text in a message must not reach a terminal as an escape sequence. */
static char *
printable(const char *text)
{
    GString *out = g_string_new(NULL);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    for (char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == '\n')
            g_string_append(out, "\\n");
        else if (c == '\t')
            g_string_append(out, "\\t");
        else if (ka_is_control(c))
            g_string_append_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        else
            g_string_append_unichar(out, c);
    }
    return g_string_free(out, FALSE);
}

void
ka_diagnostics_add(
    KaDiagnostics *diagnostics, KaSeverity severity, KaMark mark, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    KaDiagnostic *diagnostic = g_new0(KaDiagnostic, 1);
    diagnostic->severity = severity;
    diagnostic->mark = mark;
    diagnostic->message = printable(message);
    g_ptr_array_add(diagnostics->items, diagnostic);
    if (severity == KA_ERROR)
        diagnostics->n_errors++;
}

static gint
compare_places(gconstpointer a, gconstpointer b, gpointer data)
{
    const KaMark *left = &(*(const KaDiagnostic *const *)a)->mark;
    const KaMark *right = &(*(const KaDiagnostic *const *)b)->mark;
    GHashTable *order = data;
    guint left_order = GPOINTER_TO_UINT(g_hash_table_lookup(order, left->source));
    guint right_order = GPOINTER_TO_UINT(g_hash_table_lookup(order, right->source));
    if (left_order != right_order)
        return left_order < right_order ? -1 : 1;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->column == right->column ? 0 : left->column < right->column ? -1 : 1;
}

void
ka_diagnostics_sort(KaDiagnostics *diagnostics)
{
    g_autoptr(GHashTable) order = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, i);
        gsize source = (gsize)diagnostic->mark.source;
        if (!g_hash_table_contains(order, GSIZE_TO_POINTER(source)))
            g_hash_table_insert(order, GSIZE_TO_POINTER(source),
                                GUINT_TO_POINTER(source ? i : G_MAXUINT));
    }
    g_ptr_array_sort_with_data(diagnostics->items, compare_places, order);
}

/* The length of a line break as libyaml counts them; 0: none here. */
static gsize
line_break(const char *at)
{
    if (*at == '\r')
        return at[1] == '\n' ? 2 : 1;
    if (*at == '\n')
        return 1;
    if ((guchar)*at < 0x80)
        return 0;
    if (strncmp(at, "\xc2\x85", 2) == 0)
        return 2;
    return strncmp(at, "\xe2\x80\xa8", 3) == 0 || strncmp(at, "\xe2\x80\xa9", 3) == 0 ? 3 : 0;
}

KaMark
ka_source_mark(const KaSource *source, gsize offset)
{
    KaMark mark = {source, 1, 1};
    const char *stop = source->text + MIN(offset, source->length);
    for (const char *at = source->text; at < stop;) {
        gsize length = line_break(at);
        if (length > 0) {
            mark.line++;
            mark.column = 1;
            at += length;
        } else {
            /* Bytes that continue a character are no columns of their own. */
            mark.column += ((guchar)*at & 0xc0) != 0x80;
            at++;
        }
    }
    return mark;
}

/* FALSE: there is no such line. */
static gboolean
seek_line(const KaSource *source, guint32 line)
{
    KaPlaceSeen *seen = source->seen;
    if (seen->line == 0 || seen->line > line)
        *seen = (KaPlaceSeen){1, 1, 0, 0};
    while (seen->line < line) {
        gsize length = 0;
        while (seen->at < source->length && (length = line_break(source->text + seen->at)) == 0)
            seen->at++;
        if (seen->at >= source->length)
            return FALSE;
        seen->at += length;
        *seen = (KaPlaceSeen){seen->line + 1, 1, seen->at, seen->at};
    }
    return TRUE;
}

static gboolean
ends_line(const KaSource *source, gsize at)
{
    return at >= source->length || source->text[at] == '\0' || line_break(source->text + at) > 0;
}

/* The next character's offset; a byte that is no UTF-8 is a character of its own. */
static gsize
next_character(const KaSource *source, gsize at)
{
    do
        at++;
    while (at < source->length && ((guchar)source->text[at] & 0xc0) == 0x80);
    return at;
}

/* The column's offset in the line that was sought, or the line's end before it. */
static gsize
seek_column(const KaSource *source, guint32 column)
{
    KaPlaceSeen *seen = source->seen;
    if (seen->column > column) {
        seen->column = 1;
        seen->at = seen->line_start;
    }
    while (seen->column < column && !ends_line(source, seen->at)) {
        seen->at = next_character(source, seen->at);
        seen->column++;
    }
    return seen->at;
}

/* Whoever writes a secret into a manifest doesn't mean it for the log of a run that failed beside
 * it: the line may hold one though no row was found for it (misspelt, or no YAML at all). */
static gboolean
seems_secret(const char *text, gsize length)
{
    static const char *const signs[] = {"passw", "pasw", "passphrase", "secret"};
    g_autofree char *line = g_ascii_strdown(text, (gssize)length);
    for (gsize i = 0; i < G_N_ELEMENTS(signs); i++)
        if (g_strstr_len(line, (gssize)length, signs[i]))
            return TRUE;
    return FALSE;
}

/* The line with its caret. Of a long line only the part around it: what many errors show of one
 * line must not cost the line each time. */
static void
append_excerpt(GString *out, const KaSource *source, guint32 column)
{
    const gsize start = source->seen->line_start;
    gsize caret = seek_column(source, column), from = caret, to = caret;
    guint before = 0;
    for (; before < SHOWN_BEFORE && from > start; before++)
        do
            from--;
        while (from > start && ((guchar)source->text[from] & 0xc0) == 0x80);
    for (guint i = 0; i < SHOWN_AFTER && !ends_line(source, to); i++)
        to = next_character(source, to);
    gsize before_from = MIN(from - start, SECRET_NEAR);
    if (seems_secret(source->text + from - before_from, to - from + before_from))
        return;

    gboolean cut_before = from > start;
    g_autofree char *line = g_utf8_make_valid(source->text + from, (gssize)(to - from));
    g_autoptr(GString) below = g_string_new(cut_before ? "   " : "  ");
    g_string_append(out, cut_before ? "  …" : "  ");
    for (char *at = line; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        g_string_append_unichar(out, ka_is_control(c) && c != '\t' ? 0xfffd : c);
        if (before > 0) {
            before--;
            g_string_append_c(below, c == '\t' ? '\t' : ' ');
        }
    }
    g_string_append_printf(out, "%s\n%s^\n", ends_line(source, to) ? "" : "…", below->str);
}

char *
ka_diagnostic_format(const KaDiagnostic *diagnostic)
{
    KaMark mark = diagnostic->mark;
    GString *out = g_string_new(NULL);
    if (mark.source) {
        g_autofree char *place = ka_mark_format(mark);
        g_string_append_printf(out, "%s: ", place);
    }
    g_string_append_printf(out, "%s: %s\n", diagnostic->severity == KA_ERROR ? "error" : "warning",
                           diagnostic->message);
    if (mark.source && mark.line > 0 && !diagnostic->secret && seek_line(mark.source, mark.line))
        append_excerpt(out, mark.source, mark.column);
    return g_string_free(out, FALSE);
}

char *
ka_mark_format(KaMark mark)
{
    if (!mark.source)
        return g_strdup("");
    if (mark.line == 0)
        return g_strdup(mark.source->name);
    return g_strdup_printf("%s:%u:%u", mark.source->name, mark.line, mark.column);
}

/* Optimal string alignment distance (swaps of neighbours count once), or more than limit. */
static guint
distance(const char *a, gsize a_length, const char *b, gsize b_length, guint limit)
{
    if ((a_length > b_length ? a_length - b_length : b_length - a_length) > limit)
        return limit + 1;
    guint rows[3][256];
    if (b_length >= G_N_ELEMENTS(rows[0]))
        return limit + 1;
    for (guint j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (guint i = 1; i <= a_length; i++) {
        guint *row = rows[i % 3];
        const guint *above = rows[(i + 2) % 3];
        const guint *two_above = rows[(i + 1) % 3];
        guint best = row[0] = i;
        for (guint j = 1; j <= b_length; j++) {
            row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], two_above[j - 2] + 1);
            best = MIN(best, row[j]);
        }
        if (best > limit)
            return limit + 1;
    }
    return rows[a_length % 3][b_length];
}

static gsize
common_prefix(const char *a, const char *b)
{
    gsize length = 0;
    while (a[length] && a[length] == b[length])
        length++;
    return length;
}

const char *
ka_nearest(const char *word, const char *const *candidates, gsize n_candidates)
{
    gsize length = strlen(word);
    guint limit = MAX(1, (guint)MIN(length, 255) / 3);
    const char *nearest = NULL;
    for (gsize i = 0; i < n_candidates; i++) {
        guint found = distance(word, length, candidates[i], strlen(candidates[i]), limit);
        if (found <= limit && (!nearest || found < limit ||
                               common_prefix(word, candidates[i]) > common_prefix(word, nearest))) {
            nearest = candidates[i];
            limit = found;
        }
        if (found == 0)
            break;
    }
    return nearest;
}
