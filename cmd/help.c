#include "cmd/command.h"
#include <string.h>

#define COLUMN 30 /* where descriptions begin */

static void
append_option(GString *out, const GOptionEntry *entry)
{
    g_autoptr(GString) left = g_string_new("  ");
    if (entry->short_name)
        g_string_append_printf(left, "-%c, ", entry->short_name);
    g_string_append_printf(left, "--%s", entry->long_name);
    if (entry->arg_description)
        g_string_append_printf(left, "=%s", entry->arg_description);
    g_string_append(out, left->str);
    if (ka_text_width(left->str) >= COLUMN) {
        g_string_append_c(out, '\n');
        g_string_truncate(left, 0);
    }
    ka_text_pad(out, ka_text_width(left->str), COLUMN);
    g_string_append_printf(out, "%s\n", entry->description);
}

static void
append_options(GString *out, const char *title, const GOptionEntry *entries)
{
    g_string_append(out, title);
    for (; entries->long_name; entries++)
        append_option(out, entries);
}

static void
append_commands(GString *out, const KaCommand *const *commands)
{
    g_string_append(out, "\nCommands:\n");
    for (const KaCommand *const *command = commands; *command; command++) {
        const char *part = strchr((*command)->name, ' ');
        g_string_append_printf(out, "  %-10s %s\n", part ? part + 1 : (*command)->name,
                               (*command)->brief);
    }
}

char *
ka_help(const KaCommand *command)
{
    g_autoptr(GString) out = g_string_new("Usage: kvmapply ");
    if (command) {
        gboolean has_options = command->options[0] != NULL;
        g_string_append_printf(out, "%s [OPTION…]%s%s\n", command->name,
                               *command->arguments ? " " : "", command->arguments);
        g_string_append_printf(out, "\n%s.\n\n%s\n", command->brief, command->about);
        if (command->parts)
            append_commands(out, command->parts);
        for (gsize i = 0; has_options && command->options[i]; i++)
            append_options(out, i == 0 ? "\nOptions:\n" : "", command->options[i]);
    } else {
        g_string_append(out, "[OPTION…] COMMAND [OPTION…] [ARGUMENT…]\n");
        g_string_append(out, "\nMakes KVM hosts match YAML manifests.\n");
        append_commands(out, ka_commands);
    }
    append_options(out, "\nOptions everywhere:\n", ka_global_options);
    if (command)
        g_string_append_printf(out, "\nExamples:\n%s\n", command->examples);
    else
        g_string_append(out,
                        "\nPATH is a file, a folder or - (standard input); unsaid, the current "
                        "folder.\nkvmapply COMMAND --help tells more, with examples.\n");
    return g_string_free(g_steal_pointer(&out), FALSE);
}
