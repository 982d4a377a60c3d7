#include "cmd/image.h"
#include "cmd/image_options.h"

#include <string.h>

static struct {
    gboolean dry_run, list;
    char *allow;
} given;

static const GOptionEntry entries[] = {
    {.long_name = "dry-run",
     .short_name = 'n',
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.dry_run,
     .description = "List every path that would go; change nothing"},
    {.long_name = "allow",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.allow,
     .description = "delete: in place, where there can be no copy",
     .arg_description = "WORD"},
    {.long_name = "list-operations",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.list,
     .description = "List the operations; * marks the defaults"},
    {.long_name = NULL                                          },
};

static KaExit
list_operations(const KaContext *context)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (gsize i = 0; i < ka_n_scrub_operations; i++) {
        const KaScrubOperation *operation = &ka_scrub_operations[i];
        g_string_append_printf(out, "%c %-24s %s\n", operation->by_default ? '*' : ' ',
                               operation->name, operation->doc);
    }
    ka_terminal_write(&context->out, out->str);
    return KA_EXIT_DONE;
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    KaImagesOptions options = {.task = given.dry_run ? KA_IMAGES_DRY_RUN : KA_IMAGES_SCRUB,
                               .in_place = g_strcmp0(given.allow, "delete") == 0};
    if (given.list)
        return list_operations(context);
    if (given.allow && !options.in_place) {
        ka_complain(context, "--allow: expected delete, got '%s'", given.allow);
        return KA_EXIT_ERROR;
    }
    if (!ka_image_options(context, &options))
        return KA_EXIT_ERROR;
    g_autoptr(GPtrArray) jobs = ka_image_jobs(context, arguments);
    return jobs ? ka_image_run(context, jobs, &options) : KA_EXIT_ERROR;
}

const KaCommand ka_command_image_scrub = {
    .name = "image scrub",
    .arguments = "FILE…",
    .brief = "Take out of images what makes them one machine",
    .about =
        "Removes or edits what identifies a machine (ids, host keys, MACs, leases, histories,\n"
        "logs, …), so that each clone gets its own. Works on a copy that takes the image's\n"
        "place when it is whole; a device, or a file that others back onto, is changed in\n"
        "place and needs the word delete. Many images are scrubbed at once.",
    .examples = "  kvmapply image scrub template.qcow2\n"
                "  kvmapply image scrub --dry-run template.qcow2\n"
                "  kvmapply image scrub --keep=ssh-userdir,hostname --path='/srv/cache/*' *.img\n"
                "  kvmapply image scrub --guest web\n"
                "  kvmapply image scrub --list-operations",
    .options = {entries, ka_image_option_entries},
    .run = run,
};
