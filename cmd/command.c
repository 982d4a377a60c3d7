#include "cmd/command.h"
#include <locale.h>
#include <signal.h>
#include <string.h>

#define DEFAULT_TIMEOUT_SECONDS 20

const KaCommand *const ka_commands[] = {
    &ka_command_validate,
    &ka_command_plan,
    &ka_command_apply,
    &ka_command_delete,
    &ka_command_export,
    &ka_command_image,
    &ka_command_schema,
    &ka_command_explain,
    &ka_command_host,
    &ka_command_version,
    NULL,
};

static struct {
    char *connect;
    char *color;
    gboolean quiet, help, version;
    int verbose, timeout;
} global = {.timeout = DEFAULT_TIMEOUT_SECONDS};

static gboolean
count_verbose(const char *name G_GNUC_UNUSED,
              const char *value G_GNUC_UNUSED,
              gpointer data G_GNUC_UNUSED,
              GError **error G_GNUC_UNUSED)
{
    global.verbose++;
    return TRUE;
}

const GOptionEntry ka_global_options[] = {
    {.long_name = "connect",
     .short_name = 'c',
     .arg = G_OPTION_ARG_FILENAME,
     .arg_data = &global.connect,
     .description = "libvirt to use where no host is declared",
     .arg_description = "URI"},
    {.long_name = "quiet",
     .short_name = 'q',
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &global.quiet,
     .description = "Only results and errors"},
    {.long_name = "verbose",
     .short_name = 'v',
     .flags = G_OPTION_FLAG_NO_ARG,
     .arg = G_OPTION_ARG_CALLBACK,
     .arg_data = (gpointer)count_verbose,
     .description = "Say more; twice: even more"},
    {.long_name = "color",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &global.color,
     .description = "Colours: auto, always, never",
     .arg_description = "WHEN"},
    {.long_name = "timeout",
     .arg = G_OPTION_ARG_INT,
     .arg_data = &global.timeout,
     .description = "How long to try to connect (20)",
     .arg_description = "SECONDS"},
    {.long_name = "help",
     .short_name = 'h',
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &global.help,
     .description = "Show this help"},
    {.long_name = "version",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &global.version,
     .description = "Show the version"},
    {.long_name = NULL                                        },
};

void
ka_complain(const KaContext *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_auto(GStrv) parts = g_strsplit(message, "\n", -1);
    for (char **part = parts; *part; part++) {
        char *clean = ka_terminal_clean(&context->err, *part);
        g_free(*part);
        *part = clean;
    }
    g_autofree char *text = g_strjoinv("\n", parts);
    g_autoptr(GString) line = g_string_new(NULL);
    ka_terminal_paint(&context->err, line, KA_TONE_BAD, "kvmapply:");
    g_string_append_printf(line, " %s\n", text);
    ka_terminal_write(&context->err, line->str);
}

KaExit
ka_complain_error(const KaContext *context, const GError *error)
{
    ka_complain(context, "%s", error->message);
    return KA_EXIT_ERROR;
}

void
ka_complain_diagnostics(const KaContext *context, KaDiagnostics *diagnostics)
{
    ka_diagnostics_sort(diagnostics);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, i);
        if (diagnostic->severity == KA_WARNING && context->quiet)
            continue;
        g_autofree char *text = ka_diagnostic_format(diagnostic);
        const char *word = diagnostic->severity == KA_ERROR ? "error:" : "warning:";
        const char *found = strstr(text, word);
        g_autoptr(GString) line = g_string_new(NULL);
        if (found) {
            g_string_append_len(line, text, found - text);
            ka_terminal_paint(&context->err, line,
                              diagnostic->severity == KA_ERROR ? KA_TONE_BAD : KA_TONE_CHANGE,
                              word);
            g_string_append(line, found + strlen(word));
        } else {
            g_string_append(line, text);
        }
        ka_terminal_write(&context->err, line->str);
    }
}

KaManifest *
ka_context_load(const KaContext *context, const char *const *paths)
{
    static const char *const here[] = {".", NULL};
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(KaManifest) manifest =
        ka_manifest_load(*paths ? paths : here, context->connect, diagnostics);
    ka_complain_diagnostics(context, diagnostics);
    return diagnostics->n_errors ? NULL : g_steal_pointer(&manifest);
}

static GOptionContext *
option_context_new(const KaCommand *command)
{
    GOptionContext *context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_strict_posix(context, command == NULL);
    for (gsize i = 0; command && command->options[i]; i++)
        g_option_context_add_main_entries(context, command->options[i], NULL);
    GOptionGroup *group = g_option_group_new("global", "", "", NULL, NULL);
    g_option_group_add_entries(group, ka_global_options);
    g_option_context_add_group(context, group);
    return context;
}

static KaExit
show_help(const KaContext *context, const KaCommand *command)
{
    g_autofree char *help = ka_help(command);
    ka_terminal_write(&context->out, help);
    return KA_EXIT_DONE;
}

static void
collect_options(GPtrArray *names, const GOptionEntry *entries)
{
    for (; entries->long_name; entries++)
        g_ptr_array_add(names, g_strdup(entries->long_name));
}

/* GOption's own message names the option but suggests nothing. */
static KaExit
complain_option(const KaContext *context,
                const KaCommand *command,
                const char *const *arguments,
                const GError *error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *help = command ? command->name : "";
    for (gsize i = 0; command && command->options[i]; i++)
        collect_options(names, command->options[i]);
    collect_options(names, ka_global_options);
    for (; *arguments && g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION);
         arguments++) {
        g_auto(GStrv) parts = g_strsplit(*arguments, "=", 2);
        if (!g_str_has_prefix(parts[0], "--") || parts[0][2] == '\0' ||
            strstr(error->message, parts[0]) == NULL)
            continue;
        const char *nearest =
            ka_nearest(parts[0] + 2, (const char *const *)names->pdata, names->len);
        if (nearest)
            ka_complain(context, "unknown option '%s'; did you mean '--%s'?", parts[0], nearest);
        else
            ka_complain(context, "unknown option '%s'; see kvmapply %s%s--help", parts[0], help,
                        command ? " " : "");
        return KA_EXIT_ERROR;
    }
    ka_complain(context, "%s; see kvmapply %s%s--help", error->message, help, command ? " " : "");
    return KA_EXIT_ERROR;
}

/* Of the program, or of a group. */
static const KaCommand *
find_command(const KaContext *context, const KaCommand *group, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    gsize skip = group ? strlen(group->name) + 1 : 0;
    const char *prefix = group ? group->name : "", *space = group ? " " : "";
    for (const KaCommand *const *command = group ? group->parts : ka_commands; *command;
         command++) {
        if (g_str_equal((*command)->name + skip, name))
            return *command;
        g_ptr_array_add(names, g_strdup((*command)->name + skip));
    }
    const char *nearest = ka_nearest(name, (const char *const *)names->pdata, names->len);
    if (nearest)
        ka_complain(context, "unknown command '%s%s%s'; did you mean '%s'?", prefix, space, name,
                    nearest);
    else
        ka_complain(context, "unknown command '%s%s%s'; see kvmapply %s%s--help", prefix, space,
                    name, prefix, space);
    return NULL;
}

static GLogWriterOutput
write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
    const KaContext *context = data;
    if ((level & G_LOG_LEVEL_DEBUG) && context->verbose < 2)
        return G_LOG_WRITER_HANDLED;
    for (gsize i = 0; i < n_fields; i++)
        if (g_str_equal(fields[i].key, "MESSAGE"))
            ka_complain(context, "%s", (const char *)fields[i].value);
    return G_LOG_WRITER_HANDLED;
}

static gboolean
take_globals(KaContext *context)
{
    static const char *const whens[] = {"auto", "always", "never"};
    KaColor color = KA_COLOR_AUTO;
    if (global.color) {
        for (; color <= KA_COLOR_NEVER && !g_str_equal(whens[color], global.color); color++) {
        }
        if (color > KA_COLOR_NEVER) {
            ka_complain(context, "--color: expected auto, always or never, got '%s'", global.color);
            return FALSE;
        }
    }
    if (global.timeout <= 0) {
        ka_complain(context, "--timeout: expected a positive number of seconds");
        return FALSE;
    }
    context->connect = global.connect;
    context->quiet = global.quiet;
    context->verbose = (guint)global.verbose;
    context->timeout_seconds = (guint)global.timeout;
    context->out = ka_terminal_new(stdout, color);
    context->err = ka_terminal_new(stderr, color);
    return TRUE;
}

static KaExit
run_command(KaContext *context, const KaCommand *command, char **arguments)
{
    g_autoptr(GOptionContext) options = option_context_new(command);
    g_auto(GStrv) rest = g_strdupv(arguments);
    g_autoptr(GError) error = NULL;
    if (!g_option_context_parse_strv(options, &rest, &error))
        return complain_option(context, command, (const char *const *)arguments + 1, error);
    if (!take_globals(context))
        return KA_EXIT_ERROR;
    if (global.help)
        return show_help(context, command);
    if (global.version)
        command = &ka_command_version;
    if (command->run)
        return command->run(context, (const char *const *)rest + 1);
    ka_complain(context, "expected what to do; see kvmapply %s --help", command->name);
    return KA_EXIT_ERROR;
}

static KaExit
run(KaContext *context, char **arguments)
{
    g_autoptr(GOptionContext) options = option_context_new(NULL);
    g_auto(GStrv) rest = g_strdupv(arguments);
    g_autoptr(GError) error = NULL;
    if (!g_option_context_parse_strv(options, &rest, &error))
        return complain_option(context, NULL, (const char *const *)arguments + 1, error);
    if (!take_globals(context))
        return KA_EXIT_ERROR;
    if (global.version)
        return ka_command_version.run(context, (const char *const[]){NULL});
    gboolean is_help = rest[1] && g_str_equal(rest[1], "help");
    const char *name = is_help ? rest[2] : rest[1];
    if (name == NULL && (global.help || is_help))
        return show_help(context, NULL);
    if (name == NULL) {
        ka_complain(context, "expected a command; see kvmapply --help");
        return KA_EXIT_ERROR;
    }
    const KaCommand *command = find_command(context, NULL, name);
    char **words = rest + (is_help ? 2 : 1); /* begins with the command's name */
    if (command && command->parts && words[1] && words[1][0] != '-')
        command = find_command(context, command, *++words);
    if (command == NULL)
        return KA_EXIT_ERROR;
    if (global.help || is_help)
        return show_help(context, command);
    return run_command(context, command, words);
}

int
ka_command_main(int argc G_GNUC_UNUSED, char **argv)
{
    setlocale(LC_CTYPE, "");
    /* A reader that went away is a write error like any other. */
    signal(SIGPIPE, SIG_IGN);
    KaContext context = {.out = ka_terminal_new(stdout, KA_COLOR_AUTO),
                         .err = ka_terminal_new(stderr, KA_COLOR_AUTO)};
    g_log_set_writer_func(write_log, &context, NULL);
    KaExit status = run(&context, argv);
    g_autoptr(GError) error = NULL;
    if (!ka_terminal_flush(&context.out, &error))
        status = ka_complain_error(&context, error);
    return status;
}
