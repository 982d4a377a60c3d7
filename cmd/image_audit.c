#include "cmd/image.h"
#include "cmd/image_options.h"

static KaExit
run(KaContext *context, const char *const *arguments)
{
    KaImagesOptions options = {.task = KA_IMAGES_AUDIT};
    if (!ka_image_options(context, &options))
        return KA_EXIT_ERROR;
    g_autoptr(GPtrArray) jobs = ka_image_jobs(context, arguments);
    return jobs ? ka_image_run(context, jobs, &options) : KA_EXIT_ERROR;
}

const KaCommand ka_command_image_audit = {
    .name = "image audit",
    .arguments = "FILE…",
    .brief = "List what in images still identifies a machine",
    .about = "Reads only. Lists by operation what scrub would take away or edit, with the\n"
             "evidence (the MAC, the key's fingerprint, the id), and what is odd: symbolic links\n"
             "where none should be, which scrub leaves alone. Exit status: 0 clean, 2 findings,\n"
             "1 an error.",
    .examples = "  kvmapply image audit template.qcow2\n"
                "  kvmapply image audit --format=json *.img\n"
                "  kvmapply image audit --guest web --keep ssh-userdir",
    .options = {ka_image_option_entries},
    .run = run,
};
