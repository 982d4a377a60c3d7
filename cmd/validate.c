#include "drivers/validate.h"
#include "cmd/command.h"

static void
report(const KaContext *context, const KaManifest *manifest, guint n_warnings)
{
    guint n_objects = 0, n_sources = manifest->sources->len;
    for (gsize i = 0; i < ka_n_kinds; i++) {
        const GPtrArray *objects = manifest->objects[i];
        for (guint j = 0; j < objects->len; j++) {
            const KaObject *object = g_ptr_array_index(objects, j);
            n_objects += object->node->line > 0; /* not the host that nobody wrote */
        }
    }
    g_autofree char *text =
        g_strdup_printf("%u object%s in %u file%s: no errors", n_objects, n_objects == 1 ? "" : "s",
                        n_sources, n_sources == 1 ? "" : "s");
    ka_terminal_write(&context->out, text);
    g_autofree char *warnings =
        n_warnings ? g_strdup_printf(", %u warning%s", n_warnings, n_warnings == 1 ? "" : "s")
                   : g_strdup("");
    ka_terminal_write(&context->out, warnings);
    ka_terminal_write(&context->out, "\n");
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    static const char *const here[] = {".", NULL};
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    diagnostics->secrets_elsewhere = TRUE;
    g_autoptr(KaManifest) manifest =
        ka_manifest_load(*arguments ? arguments : here, context->connect, diagnostics);
    if (manifest)
        ka_validate_xml(manifest, diagnostics);
    ka_complain_diagnostics(context, diagnostics);
    guint n_errors = diagnostics->n_errors, n_warnings = diagnostics->items->len - n_errors;
    if (n_errors) {
        ka_complain(context, "%u error%s", n_errors, n_errors == 1 ? "" : "s");
        return KA_EXIT_ERROR;
    }
    if (!context->quiet)
        report(context, manifest, n_warnings);
    return KA_EXIT_DONE;
}

const KaCommand ka_command_validate = {
    .name = "validate",
    .arguments = "[PATH…]",
    .brief = "Check manifests without any host",
    .about = "Reads the manifests, says everything that is wrong with its place, and lets\n"
             "libvirt's own parser look at each object. Connects to nothing. A secret that isn't\n"
             "here ({env: NAME}, {file: PATH}) is a warning: plan and apply want it.",
    .examples = "  kvmapply validate\n"
                "  kvmapply validate shop.yaml hosts/\n"
                "  generate | kvmapply validate -",
    .run = run,
};
