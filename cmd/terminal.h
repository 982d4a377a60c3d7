#pragma once
#include <glib.h>
#include <stdio.h>

/* What a stream can show: columns, colours, and whether it knows more than ASCII. */

typedef enum {
    KA_TONE_PLAIN,
    KA_TONE_BOLD,
    KA_TONE_DIM,
    KA_TONE_GOOD,
    KA_TONE_CHANGE,
    KA_TONE_BAD,
} KaTone;

typedef enum { KA_COLOR_AUTO, KA_COLOR_ALWAYS, KA_COLOR_NEVER } KaColor;

typedef struct {
    FILE *stream; /* borrowed */
    gboolean is_terminal;
    gboolean is_utf8;
    gboolean color;
    guint width; /* columns */
    guint height;
} KaTerminal;

/* KA_COLOR_AUTO: on a terminal that isn't dumb, unless NO_COLOR is set (no-color.org). */
KaTerminal ka_terminal_new(FILE *stream, KaColor color);
/* Asks for the size again: a window can be resized. */
void ka_terminal_measure(KaTerminal *terminal);
/* Writes text as it is, signs that ASCII lacks spelt out where the locale isn't UTF-8. */
void ka_terminal_write(const KaTerminal *terminal, const char *text);
/* Says whether all that was written so far has arrived (full disk, closed pipe). */
gboolean ka_terminal_flush(const KaTerminal *terminal, GError **error);
/* Appends text in a tone. */
void ka_terminal_paint(const KaTerminal *terminal, GString *line, KaTone tone, const char *text);

/* One line that can't harm a terminal: control and invisible characters become '?', line breaks
 * and tabs a space; signs that ASCII lacks are spelt out where the locale isn't UTF-8. Caller
 * frees. */
char *ka_terminal_clean(const KaTerminal *terminal, const char *text);
/* Clean text in at most width columns, with an ellipsis where it was cut. Caller frees. */
char *ka_terminal_cut(const KaTerminal *terminal, const char *text, guint width);
/* Appends text broken between words so that no line is wider than the terminal, each line begun
 * with indent spaces and ended with a newline. Line breaks in text are kept. */
void ka_terminal_wrap(
    const KaTerminal *terminal, GString *out, KaTone tone, guint indent, const char *text);

/* Columns that clean text takes. */
guint ka_text_width(const char *text);
/* Appends spaces until a line that is `from` columns wide is `to` wide; at least one. */
void ka_text_pad(GString *line, guint from, guint to);
