#include "cmd/command.h"

static void
list_kinds(const KaContext *context)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (gsize i = 0; i < ka_n_kinds; i++)
        g_string_append_printf(out, "%-10s %s\n", ka_kinds[i]->table->plural,
                               ka_kinds[i]->table->doc);
    ka_terminal_write(&context->out, out->str);
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
        ka_terminal_write(&context->out, text);
        if (!g_str_has_suffix(text, "\n"))
            ka_terminal_write(&context->out, "\n");
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
