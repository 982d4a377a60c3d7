#include "cmd/apply.h"
#include "cmd/plan_options.h"

static KaExit
run(KaContext *context, const char *const *arguments)
{
    return ka_apply(context, arguments, TRUE);
}

const KaCommand ka_command_delete = {
    .name = "delete",
    .arguments = "[PATH…]",
    .brief = "Remove what the manifests declare and the project owns",
    .about = "Prints what goes, asks and removes it; it needs the word delete. Where one\n"
             "of them has 'protect: true', nothing is removed: --target names the others. What\n"
             "others made and kvmapply only adopted goes only when it is named: --allow\n"
             "delete=KIND/NAME.",
    .examples = "  kvmapply delete --allow delete\n"
                "  kvmapply delete --target guest/web --allow delete=guest/web\n"
                "  kvmapply plan --delete                     # only look",
    .options = {ka_apply_option_entries, ka_plan_option_entries},
    .run = run,
};
