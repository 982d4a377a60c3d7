#include "cmd/outline.h"
#include "cmd/render.h"

static guint
longest_fence(const char *text)
{
    guint longest = 0, run = 0;
    for (; *text; text++) {
        run = *text == '`' ? run + 1 : 0;
        longest = MAX(longest, run);
    }
    return longest + 1;
}

/* A code span: nothing in it can end a table's cell, mention anybody or become markup. */
static void
append_code(GString *out, const char *text)
{
    if (*text == '\0')
        return;
    guint fence = longest_fence(text);
    const char *pad = fence > 1 ? " " : "";
    for (guint i = 0; i < fence; i++)
        g_string_append_c(out, '`');
    g_string_append(out, pad);
    for (; *text; text++) {
        if (*text == '|')
            g_string_append_c(out, '\\');
        g_string_append_c(out, g_ascii_iscntrl(*text) ? ' ' : *text);
    }
    g_string_append(out, pad);
    for (guint i = 0; i < fence; i++)
        g_string_append_c(out, '`');
}

static void
append_row(GString *out, const KaLine *line)
{
    gboolean is_object = line->level == KA_LINE_OBJECT;
    gboolean is_remark = line->level == KA_LINE_REMARK;
    g_string_append_printf(out, "| %s | ", *line->sign == ' ' ? "" : line->sign);
    g_string_append(out, is_object ? "**" : "");
    append_code(out, is_remark ? "" : line->label);
    g_string_append(out, is_object ? "** | " : " | ");
    append_code(out, is_remark ? line->label : line->value);
    g_string_append(out, " | ");
    append_code(out, line->effect);
    g_string_append(out, " |\n");
}

static void
append_host(GString *out, const KaLine *line, gboolean has_rows)
{
    g_string_append(out, "\n#### ");
    append_code(out, line->label);
    g_string_append(out, " ");
    append_code(out, line->value);
    g_string_append_printf(out, "%s%s\n", *line->effect ? " — " : "", line->effect);
    if (has_rows)
        g_string_append(out, "\n| | what | value | takes effect |\n|---|---|---|---|\n");
}

char *
ka_render_markdown(const KaPlan *plan)
{
    g_autoptr(GPtrArray) lines = ka_outline(plan, FALSE);
    g_autofree char *summary = ka_outline_summary(plan);
    g_autofree char *allow = ka_outline_allow(plan, FALSE);
    g_autoptr(GString) out = g_string_new("### kvmapply plan ");
    append_code(out, plan->digest);
    g_string_append_printf(out, "\n\n**%s**\n", summary);
    if (allow) {
        g_string_append(out, "\nIt needs your word: ");
        append_code(out, allow);
        g_string_append_c(out, '\n');
    }
    for (guint i = 0; i < lines->len; i++) {
        const KaLine *line = g_ptr_array_index(lines, i);
        const KaLine *next = i + 1 < lines->len ? g_ptr_array_index(lines, i + 1) : NULL;
        if (line->level == KA_LINE_HOST)
            append_host(out, line, next && next->level != KA_LINE_HOST);
        else
            append_row(out, line);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
