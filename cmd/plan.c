#include "cmd/outline.h"
#include "cmd/plan_options.h"
#include "cmd/render.h"
#include "drivers/link.h"

static struct {
    char *format;
    gboolean detailed_exitcode, remove;
} given;

static const GOptionEntry options[] = {
    {.long_name = "format",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.format,
     .description = "text, json or markdown",
     .arg_description = "FORMAT"},
    {.long_name = "detailed-exitcode",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.detailed_exitcode,
     .description = "Exit with 2 where there is something to do"},
    {.long_name = "delete",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.remove,
     .description = "What delete would do"},
    {.long_name = NULL},
};

typedef enum { FORMAT_TEXT, FORMAT_JSON, FORMAT_MARKDOWN } Format;

static const char *const format_names[] = {"text", "json", "markdown"};

static char *
render(const KaContext *context, const KaPlan *plan, Format format)
{
    switch (format) {
    case FORMAT_TEXT:
        return ka_render_text(plan, &context->out, context->verbose > 0);
    case FORMAT_JSON:
        return ka_render_json(plan);
    case FORMAT_MARKDOWN:
        return ka_render_markdown(plan);
    }
    g_assert_not_reached();
}

static KaExit
show(const KaContext *context, const char *const *arguments, Format format)
{
    g_autoptr(GError) error = NULL;
    g_auto(KaPlanOptions) plan_options = {0};
    if (!ka_plan_options_read(context, &plan_options, &error))
        return ka_complain_error(context, error);
    plan_options.remove = given.remove;
    g_autoptr(KaManifest) manifest = ka_context_load(context, arguments);
    if (!manifest)
        return KA_EXIT_ERROR;
    g_autoptr(KaPlan) plan = ka_plan_new(manifest, &ka_drivers, &plan_options, &error);
    if (!plan)
        return ka_complain_error(context, error);
    g_autofree char *text = render(context, plan, format);
    if (format == FORMAT_TEXT || plan->diagnostics->n_errors == 0 || format == FORMAT_JSON)
        ka_terminal_write(&context->out, text);
    ka_complain_diagnostics(context, plan->diagnostics);
    if (plan->failed || plan->diagnostics->n_errors)
        return KA_EXIT_ERROR;
    return given.detailed_exitcode && !ka_plan_is_empty(plan) ? KA_EXIT_CHANGES : KA_EXIT_DONE;
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    Format format = FORMAT_TEXT;
    while (given.format && format <= FORMAT_MARKDOWN &&
           !g_str_equal(format_names[format], given.format))
        format++;
    if (format > FORMAT_MARKDOWN) {
        ka_complain(context, "--format: expected text, json or markdown, got '%s'", given.format);
        return KA_EXIT_ERROR;
    }
    return show(context, arguments, format);
}

const KaCommand ka_command_plan = {
    .name = "plan",
    .arguments = "[PATH…]",
    .brief = "Print what apply would do",
    .about = "Looks at every host and prints what differs from the manifests, how each change\n"
             "takes effect (live, at next boot, by a restart), the words it needs and its\n"
             "digest. Changes nothing.\n"
             "\n"
             "  +  comes      ~  changes     -  goes         ±  is replaced\n"
             "  =  waits or needs nothing    ?  can't be told",
    .examples = "  kvmapply plan\n"
                "  kvmapply plan --target guest/web shop.yaml\n"
                "  kvmapply plan --format markdown >> comment.md\n"
                "  kvmapply plan --detailed-exitcode; [ $? = 2 ] && echo drift",
    .options = {options, ka_plan_option_entries},
    .run = run,
};
