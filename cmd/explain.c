#include "cmd/command.h"
#include <string.h>

/* Broken between words on a terminal, what follows a column of keys below itself. */
static void
write_wrapped(const KaTerminal *terminal, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line && (line[0][0] || line[1]); line++) {
        const char *start = *line + strspn(*line, " ");
        const char *gap = strstr(start, "  ");
        const char *body = gap ? gap + strspn(gap, " ") : start;
        g_autofree char *before = g_strndup(*line, (gsize)(body - *line));
        guint indent = ka_text_width(before);
        g_autoptr(GString) out = g_string_new(NULL);
        if (terminal->is_terminal && *body) {
            ka_terminal_wrap(terminal, out, KA_TONE_PLAIN, indent, body);
            g_string_erase(out, 0, indent);
            g_string_prepend(out, before);
        } else {
            g_string_printf(out, "%s\n", *line);
        }
        ka_terminal_write(terminal, out->str);
    }
}

static void
list_kinds(const KaContext *context)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (gsize i = 0; i < ka_n_kinds; i++)
        g_string_append_printf(out, "%-10s %s\n", ka_kinds[i]->table->plural,
                               ka_kinds[i]->table->doc);
    write_wrapped(&context->out, out->str);
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    if (!*arguments)
        list_kinds(context);
    for (; *arguments; arguments++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = ka_explain(*arguments, &error);
        if (!text)
            return ka_complain_error(context, error);
        write_wrapped(&context->out, text);
    }
    return KA_EXIT_DONE;
}

const KaCommand ka_command_explain = {
    .name = "explain",
    .arguments = "[FIELD…]",
    .brief = "Say what a field means",
    .about = "A field is named by its path in a manifest, without the objects' names.",
    .examples = "  kvmapply explain\n"
                "  kvmapply explain guests\n"
                "  kvmapply explain guests.memory.current guests.disks.cache",
    .run = run,
};
