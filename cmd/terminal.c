#include "cmd/terminal.h"
#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MINIMUM_WIDTH 40
#define DEFAULT_WIDTH 100 /* of a file or a pipe: a log's reader has room */

static const struct {
    const char *utf8, *ascii;
} spellings[] = {
    {"→", "->" },
    {"…", "..."},
    {"±",  "*"  },
    {"✓", "+"  },
    {"✗", "x"  },
    {"█", "#"  },
    {"░", "-"  },
    {"·",  "-"  },
};

static const char *const tones[] = {
    [KA_TONE_PLAIN] = "",  [KA_TONE_BOLD] = "1",    [KA_TONE_DIM] = "2",
    [KA_TONE_GOOD] = "32", [KA_TONE_CHANGE] = "33", [KA_TONE_BAD] = "31",
};

void
ka_terminal_measure(KaTerminal *terminal)
{
    struct winsize size = {0};
    const char *columns = g_getenv("COLUMNS");
    guint width = columns ? (guint)g_ascii_strtoull(columns, NULL, 10) : 0;
    if (ioctl(fileno(terminal->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    terminal->width = CLAMP(width ? width : DEFAULT_WIDTH, MINIMUM_WIDTH, 1000);
    terminal->height = size.ws_row ? size.ws_row : 24;
}

KaTerminal
ka_terminal_new(FILE *stream, KaColor color)
{
    const char *term = g_getenv("TERM");
    const char *no_color = g_getenv("NO_COLOR");
    KaTerminal terminal = {
        .stream = stream,
        .is_terminal = isatty(fileno(stream)) && term && *term && !g_str_equal(term, "dumb"),
        .is_utf8 = g_get_charset(NULL),
    };
    terminal.color = color == KA_COLOR_ALWAYS || (color == KA_COLOR_AUTO && terminal.is_terminal &&
                                                  (no_color == NULL || *no_color == '\0'));
    ka_terminal_measure(&terminal);
    return terminal;
}

static char *
spell(const KaTerminal *terminal, const char *text)
{
    if (terminal->is_utf8 || g_str_is_ascii(text))
        return g_strdup(text);
    g_autoptr(GString) out = g_string_new(text);
    for (gsize i = 0; i < G_N_ELEMENTS(spellings); i++)
        g_string_replace(out, spellings[i].utf8, spellings[i].ascii, 0);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

void
ka_terminal_write(const KaTerminal *terminal, const char *text)
{
    g_autofree char *spelt = spell(terminal, text);
    fputs(spelt, terminal->stream);
}

gboolean
ka_terminal_flush(const KaTerminal *terminal, GError **error)
{
    errno = 0;
    if (fflush(terminal->stream) == 0 && !ferror(terminal->stream))
        return TRUE;
    int code = errno ? errno : EIO;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(code), "can't write the output: %s",
                g_strerror(code));
    return FALSE;
}

void
ka_terminal_paint(const KaTerminal *terminal, GString *line, KaTone tone, const char *text)
{
    if (!terminal->color || tone == KA_TONE_PLAIN || text[strspn(text, " ")] == '\0') {
        g_string_append(line, text);
        return;
    }
    g_string_append_printf(line, "\033[%sm%s\033[0m", tones[tone], text);
}

char *
ka_terminal_clean(const KaTerminal *terminal, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autoptr(GString) out = g_string_new(NULL);
    for (char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (g_unichar_isspace(c))
            g_string_append_c(out, ' ');
        else
            g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    return spell(terminal, out->str);
}

static guint
character_width(gunichar c)
{
    if (g_unichar_iszerowidth(c))
        return 0;
    return g_unichar_iswide(c) ? 2 : 1;
}

guint
ka_text_width(const char *text)
{
    guint width = 0;
    for (; *text; text += g_utf8_skip[(guchar)*text])
        width += character_width(g_utf8_get_char(text));
    return width;
}

char *
ka_terminal_cut(const KaTerminal *terminal, const char *text, guint width)
{
    if (ka_text_width(text) <= width)
        return g_strdup(text);
    const char *ellipsis = terminal->is_utf8 ? "…" : "...";
    guint room = width - MIN(width, ka_text_width(ellipsis));
    const char *end = text;
    guint used = 0;
    while (used + character_width(g_utf8_get_char(end)) <= room) {
        used += character_width(g_utf8_get_char(end));
        end += g_utf8_skip[(guchar)*end];
    }
    return g_strdup_printf("%.*s%s", (int)(end - text), text, ellipsis);
}

static void
wrap_line(const KaTerminal *terminal, GString *out, KaTone tone, guint indent, const char *text)
{
    g_autofree char *clean = ka_terminal_clean(terminal, text);
    g_auto(GStrv) words = g_strsplit(clean, " ", -1);
    g_autoptr(GString) line = g_string_new(NULL);
    guint used = 0;
    for (char **word = words; *word; word++) {
        guint width = ka_text_width(*word);
        if (line->len && indent + used + 1 + width > terminal->width) {
            g_string_append_printf(out, "%*s", (int)indent, "");
            ka_terminal_paint(terminal, out, tone, line->str);
            g_string_append_c(out, '\n');
            g_string_truncate(line, 0);
            used = 0;
        }
        g_string_append_printf(line, "%s%s", line->len ? " " : "", *word);
        used += width + (used ? 1 : 0);
    }
    g_string_append_printf(out, "%*s", line->len ? (int)indent : 0, "");
    ka_terminal_paint(terminal, out, tone, line->str);
    g_string_append_c(out, '\n');
}

void
ka_terminal_wrap(
    const KaTerminal *terminal, GString *out, KaTone tone, guint indent, const char *text)
{
    g_autofree char *trimmed = g_strchomp(g_strdup(text));
    g_auto(GStrv) lines = g_strsplit(trimmed, "\n", -1);
    for (char **line = lines; *line; line++)
        wrap_line(terminal, out, tone, indent, *line);
}

void
ka_text_pad(GString *line, guint from, guint to)
{
    g_string_append_printf(line, "%*s", (int)(to > from ? to - from : 1), "");
}
