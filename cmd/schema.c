#include "cmd/command.h"

static KaExit
run(KaContext *context, const char *const *arguments)
{
    if (*arguments) {
        ka_complain(context, "schema takes no argument, got '%s'", *arguments);
        return KA_EXIT_ERROR;
    }
    g_autofree char *schema = ka_schema();
    ka_terminal_write(&context->out, schema);
    if (!g_str_has_suffix(schema, "\n"))
        ka_terminal_write(&context->out, "\n");
    return KA_EXIT_DONE;
}

const KaCommand ka_command_schema = {
    .name = "schema",
    .arguments = "",
    .brief = "Print the JSON Schema of a manifest",
    .about = "For editors that complete and check as you type.",
    .examples = "  kvmapply schema > kvmapply.schema.json\n"
                "  # first line of a manifest, for editors with yaml-language-server:\n"
                "  # yaml-language-server: $schema=kvmapply.schema.json",
    .run = run,
};
