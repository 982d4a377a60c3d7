#include "cmd/image_options.h"
#include "cmd/progress.h"
#include "cmd/render_image.h"

#include <string.h>

static struct {
    char *format, *guest, *output;
    char **only, **also, **keep, **paths, **keys;
} given;

const GOptionEntry ka_image_option_entries[] = {
    {.long_name = "guest",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.guest,
     .description = "The disks of this guest, which must be off",
     .arg_description = "NAME"},
    {.long_name = "image-format",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.format,
     .description = "Of the files: raw, qcow2, … (by the name's end)",
     .arg_description = "FORMAT"},
    {.long_name = "only",
     .arg = G_OPTION_ARG_STRING_ARRAY,
     .arg_data = &given.only,
     .description = "Only these operations, not the defaults",
     .arg_description = "NAME,…"},
    {.long_name = "also",
     .arg = G_OPTION_ARG_STRING_ARRAY,
     .arg_data = &given.also,
     .description = "These operations, too",
     .arg_description = "NAME,…"},
    {.long_name = "keep",
     .arg = G_OPTION_ARG_STRING_ARRAY,
     .arg_data = &given.keep,
     .description = "Not these operations",
     .arg_description = "NAME,…"},
    {.long_name = "path",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.paths,
     .description = "A path of your own to remove; may be a glob",
     .arg_description = "PATH"},
    {.long_name = "key",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.keys,
     .description = "A file with the key of encrypted partitions",
     .arg_description = "FILE"},
    {.long_name = "format",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.output,
     .description = "How it is shown: text, json",
     .arg_description = "FORMAT"},
    {.long_name = NULL},
};

GPtrArray *
ka_image_jobs(KaContext *context, const char *const *files)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)ka_images_job_free);
    g_autoptr(GError) error = NULL;
    if (!*files == !given.guest) {
        ka_complain(context, "expected image files, or a guest's name (--guest NAME)");
        return NULL;
    }
    for (; *files; files++) {
        KaImagesJob *job = ka_images_job_new(*files);
        ka_images_job_add(job, *files, given.format);
        g_ptr_array_add(jobs, job);
    }
    if (!given.guest)
        return g_steal_pointer(&jobs);
    KaImagesJob *job = ka_images_job_new(given.guest);
    g_ptr_array_add(jobs, job);
    if (ka_images_job_add_guest(job, context->connect, given.guest, context->timeout_seconds,
                                &error))
        return g_steal_pointer(&jobs);
    ka_complain_error(context, error);
    return NULL;
}

/* "--keep a,b --keep c" is a list of three. Kept for the program's life, as options are. */
static const char *const *
split_names(char **values)
{
    if (!values)
        return NULL;
    g_autofree char *all = g_strjoinv(",", values);
    return (const char *const *)g_strsplit(all, ",", -1);
}

static GPtrArray *
read_keys(GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func((GDestroyNotify)ka_key_free);
    for (char **file = given.keys; file && *file; file++) {
        KaKey *key = g_new0(KaKey, 1);
        g_ptr_array_add(keys, key);
        if (!g_file_get_contents(*file, &key->secret, NULL, error))
            return NULL;
        key->secret[strcspn(key->secret, "\n")] = '\0';
    }
    return g_steal_pointer(&keys);
}

gboolean
ka_image_options(const KaContext *context, KaImagesOptions *ret_options)
{
    static KaScrubChoice choice;
    g_autoptr(GError) error = NULL;
    if (given.output && !g_str_equal(given.output, "text") && !g_str_equal(given.output, "json")) {
        ka_complain(context, "--format: expected text or json, got '%s'", given.output);
        return FALSE;
    }
    choice = (KaScrubChoice){split_names(given.only), split_names(given.also),
                             split_names(given.keep), (const char *const *)given.paths};
    ret_options->choice = &choice;
    ret_options->keys = ka_scrub_choice_check(&choice, &error) ? read_keys(&error) : NULL;
    if (ret_options->keys)
        return TRUE;
    ka_complain_error(context, error);
    return FALSE;
}

/* Which exit status a whole run has: refused only where nothing else went wrong. */
static KaExit
status_of(const GPtrArray *jobs, KaImagesTask task)
{
    KaExit status = KA_EXIT_DONE;
    for (guint i = 0; i < jobs->len; i++) {
        const KaImagesJob *job = g_ptr_array_index(jobs, i);
        const GError *error = job->action->error;
        if (error && !g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_DENIED))
            return KA_EXIT_ERROR;
        if (error)
            status = KA_EXIT_REFUSED;
        else if (status == KA_EXIT_DONE && task == KA_IMAGES_AUDIT && ka_images_n_findings(job) > 0)
            status = KA_EXIT_CHANGES;
    }
    return status;
}

KaExit
ka_image_run(KaContext *context, GPtrArray *jobs, KaImagesOptions *options)
{
    KaDisplayFlags flags = context->quiet ? KA_DISPLAY_QUIET : 0;
    KaDisplay *display = ka_display_new(&context->err, jobs->len, flags);
    options->progress = ka_display_progress(display);
    ka_images_run(jobs, options);
    gboolean interrupted = ka_display_interrupted(display);
    ka_display_free(display);
    for (guint i = 0; i < jobs->len; i++) {
        const KaImagesJob *job = g_ptr_array_index(jobs, i);
        for (guint j = 0; j < job->warnings->len && !context->quiet; j++)
            ka_complain(context, "%s", (const char *)g_ptr_array_index(job->warnings, j));
        if (job->action->error)
            ka_complain_error(context, job->action->error);
    }
    gboolean json = given.output && g_str_equal(given.output, "json");
    g_autofree char *text =
        json ? ka_render_image_json(jobs, options->task)
             : ka_render_image_text(jobs, options->task, &context->out, context->verbose > 0);
    ka_terminal_write(&context->out, text);
    if (interrupted)
        ka_complain(context, "interrupted: images that weren't done are as they were");
    return interrupted ? KA_EXIT_ERROR : status_of(jobs, options->task);
}
