#include "cmd/outline.h"
#include "cmd/render.h"

#define GAP 2
#define REMARK_INDENT 6
#define LEAST_VALUE 12
#define MOST_VALUE 56 /* one long value shouldn't move all effects out of sight */

static const guint indents[] = {
    [KA_LINE_HOST] = 0,
    [KA_LINE_OBJECT] = 2,
    [KA_LINE_FIELD] = 4,
};

/* Where values and effects begin. */
typedef struct {
    guint value, effect;
} Columns;

static guint
label_end(const KaLine *line)
{
    return indents[line->level] + 2 + ka_text_width(line->label);
}

/* An effect that is longer than a way's words doesn't move everybody's column. */
static Columns
measure(const KaTerminal *terminal, const GPtrArray *lines)
{
    guint label = 0, value = 0, effect = 0;
    for (guint i = 0; i < lines->len; i++) {
        const KaLine *line = g_ptr_array_index(lines, i);
        if (line->level != KA_LINE_OBJECT && line->level != KA_LINE_FIELD)
            continue;
        if (*line->value || *line->effect)
            label = MAX(label, label_end(line));
        if (*line->effect)
            value = MAX(value, MIN(ka_text_width(line->value), MOST_VALUE));
        if (line->level == KA_LINE_FIELD)
            effect = MAX(effect, ka_text_width(line->effect));
    }
    label = MIN(label, terminal->width * 2 / 5);
    guint used = label + GAP + GAP + MAX(effect, LEAST_VALUE);
    value = MIN(value, terminal->width > used + LEAST_VALUE ? terminal->width - used : LEAST_VALUE);
    return (Columns){label + GAP, label + GAP + value + GAP};
}

static void
lay_out(const KaTerminal *terminal, GString *out, const KaLine *line, Columns columns)
{
    guint at = label_end(line);
    guint effect_width = ka_text_width(line->effect);
    guint effect = MIN(columns.effect, terminal->width - MIN(terminal->width, effect_width));

    g_string_append_printf(out, "%*s", (int)indents[line->level], "");
    ka_terminal_paint(terminal, out, line->tone, line->sign);
    g_string_append_c(out, ' ');
    ka_terminal_paint(terminal, out, line->level == KA_LINE_OBJECT ? KA_TONE_BOLD : KA_TONE_PLAIN,
                      line->label);
    if (*line->value) {
        guint start = MAX(columns.value, at + GAP);
        guint end = *line->effect ? effect - MIN(effect, GAP) : terminal->width;
        g_autofree char *value =
            ka_terminal_cut(terminal, line->value, MAX(end, start + LEAST_VALUE) - start);
        ka_text_pad(out, at, start);
        ka_terminal_paint(terminal, out, line->value_tone, value);
        at = start + ka_text_width(value);
    }
    if (*line->effect) {
        ka_text_pad(out, at, MAX(effect, at + GAP));
        ka_terminal_paint(terminal, out, line->level == KA_LINE_OBJECT ? KA_TONE_DIM : line->tone,
                          line->effect);
    }
    g_string_append_c(out, '\n');
}

static void
lay_out_host(const KaTerminal *terminal, GString *out, const KaLine *line)
{
    ka_terminal_paint(terminal, out, KA_TONE_BOLD, line->label);
    g_string_append_printf(out, "  %s%s", line->value, *line->effect ? "  " : "");
    ka_terminal_paint(terminal, out, line->tone, line->effect);
    g_string_append_c(out, '\n');
}

static void
replace_clean(const KaTerminal *terminal, char **text)
{
    char *clean = ka_terminal_clean(terminal, *text);
    g_free(*text);
    *text = clean;
}

static void
append_footer(const KaPlan *plan, const KaTerminal *terminal, GString *out)
{
    g_autofree char *summary = ka_outline_summary(plan);
    g_autofree char *allow = ka_outline_allow(plan, FALSE);
    ka_terminal_wrap(terminal, out, KA_TONE_PLAIN, 0, summary);
    if (allow) {
        g_autofree char *text = g_strdup_printf("it needs your word: %s", allow);
        ka_terminal_paint(terminal, out, KA_TONE_BAD, text);
        g_string_append_c(out, '\n');
    }
    g_string_append_printf(out, "plan %s\n", plan->digest);
}

char *
ka_render_text(const KaPlan *plan, const KaTerminal *terminal, gboolean verbose)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GPtrArray) lines = ka_outline(plan, verbose);
    for (guint i = 0; i < lines->len; i++) {
        KaLine *line = g_ptr_array_index(lines, i);
        if (line->level != KA_LINE_REMARK)
            replace_clean(terminal, &line->label);
        replace_clean(terminal, &line->value);
        replace_clean(terminal, &line->effect);
        if (!terminal->is_utf8 && g_str_equal(line->sign, "±"))
            line->sign = "*";
    }
    Columns columns = measure(terminal, lines);
    for (guint i = 0; i < lines->len; i++) {
        const KaLine *line = g_ptr_array_index(lines, i);
        if (line->level == KA_LINE_HOST)
            lay_out_host(terminal, out, line);
        else if (line->level == KA_LINE_REMARK)
            ka_terminal_wrap(terminal, out, line->tone, REMARK_INDENT, line->label);
        else
            lay_out(terminal, out, line, columns);
    }
    append_footer(plan, terminal, out);
    return g_string_free(g_steal_pointer(&out), FALSE);
}
