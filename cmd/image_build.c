#include "cmd/image.h"
#include "cmd/progress.h"
#include "drivers/appliance.h"
#include "drivers/image_cache.h"

static struct {
    char **images, **allow;
    char *output;
} given;

static const GOptionEntry options[] = {
    {.long_name = "image",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.images,
     .description = "Only this image; repeatable",
     .arg_description = "NAME"},
    {.long_name = "output",
     .short_name = 'o',
     .arg = G_OPTION_ARG_FILENAME,
     .arg_data = &given.output,
     .description = "Also copy the image to this file",
     .arg_description = "FILE"},
    {.long_name = "allow",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.allow,
     .description = "restart: a guest that is captured is stopped meanwhile",
     .arg_description = "WORD"},
    {.long_name = NULL},
};

typedef struct {
    KaAction *action;
    KaBuilt *built; /* NULL: it failed, as action->error says */
} Job;

typedef struct {
    const KaProgress *progress;
    const char *output; /* NULL: into the cache alone */
} Builder;

static void
job_free(gpointer data)
{
    Job *job = data;

    ka_action_free(job->action);
    ka_built_free(job->built);
    g_free(job);
}

/* Tells the display that the action began or ended. */
static void
report(const KaProgress *progress, KaAction *action, KaOutcome outcome)
{
    g_mutex_lock(progress->lock);
    action->outcome = outcome;
    progress->action(progress->data, action);
    g_mutex_unlock(progress->lock);
}

static void
build_one(gpointer data, gpointer user_data)
{
    Job *job = data;
    const Builder *builder = user_data;
    KaAction *action = job->action;

    report(builder->progress, action, KA_RUNNING);
    job->built = ka_image_build(NULL, action->object, action, builder->progress, &action->error);
    if (job->built && builder->output &&
        !ka_image_cache_export(job->built, builder->output, action, builder->progress,
                               &action->error))
        g_clear_pointer(&job->built, ka_built_free);
    report(builder->progress, action, job->built ? KA_DONE : KA_FAILED);
}

/* Of the images that are asked for; NULL after saying what is wrong. */
static GPtrArray *
collect(const KaContext *context, const KaManifest *manifest, KaWords allowed)
{
    const KaKind *kind = ka_kind_find("image");
    const GPtrArray *all = manifest->objects[ka_kind_index(kind)];
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func(job_free);

    for (char **name = given.images; name && *name; name++) {
        if (!ka_manifest_find(manifest, kind, *name)) {
            ka_complain(context, "--image '%s': no manifest declares it", *name);
            return NULL;
        }
    }
    for (guint i = 0; i < all->len; i++) {
        const KaObject *image = g_ptr_array_index(all, i);
        if (given.images && !g_strv_contains((const char *const *)given.images, image->name))
            continue;
        Job *job = g_new0(Job, 1);
        job->action = ka_action_new(KA_CREATE, kind, image->name, NULL);
        job->action->object = image;
        job->action->project = manifest->project;
        job->action->allowed = allowed;
        g_ptr_array_add(jobs, job);
    }
    if (jobs->len == 0)
        ka_complain(context, "no image is declared: nothing to build");
    else if (given.output && jobs->len > 1)
        ka_complain(context, "--output takes one image: say which with --image");
    else
        return g_steal_pointer(&jobs);
    return NULL;
}

static KaExit
show(const KaContext *context, const GPtrArray *jobs)
{
    KaExit status = KA_EXIT_DONE;

    for (guint i = 0; i < jobs->len; i++) {
        const Job *job = g_ptr_array_index(jobs, i);
        const KaAction *action = job->action;

        for (guint j = 0; !context->quiet && j < action->remarks->len; j++)
            ka_complain(context, "image '%s': %s", action->name,
                        (char *)g_ptr_array_index(action->remarks, j));
        if (job->built == NULL) {
            ka_complain(context, "image '%s': %s", action->name, action->error->message);
            status = KA_EXIT_ERROR;
            continue;
        }
        g_autofree char *name = ka_terminal_clean(&context->out, action->name);
        g_autofree char *line = g_strdup_printf("%s  %.*s  %s  %s\n", name, KA_KEY_SHORT,
                                                job->built->key,
                                                job->built->cached ? "unchanged" : "built",
                                                given.output ? given.output : job->built->path);
        ka_terminal_write(&context->out, line);
    }
    return status;
}

static gboolean
read_allow(const KaContext *context, KaWords *ret_words)
{
    for (char **word = given.allow; word && *word; word++) {
        if (ka_word_parse(*word) != KA_WORD_RESTART) {
            ka_complain(context, "--allow '%s': expected restart", *word);
            return FALSE;
        }
        *ret_words |= KA_WORD_RESTART;
    }
    return TRUE;
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    KaWords allowed = 0;

    if (!read_allow(context, &allowed))
        return KA_EXIT_ERROR;
    g_autoptr(KaManifest) manifest = ka_context_load(context, arguments);
    g_autoptr(GPtrArray) jobs = manifest ? collect(context, manifest, allowed) : NULL;
    if (jobs == NULL)
        return KA_EXIT_ERROR;
    g_autoptr(KaDisplay) display =
        ka_display_new(&context->err, jobs->len, context->quiet ? KA_DISPLAY_QUIET : 0);
    KaProgress *progress = ka_display_progress(display);
    progress->timeout_seconds = 180;
    Builder builder = {progress, given.output};
    GThreadPool *pool = g_thread_pool_new(build_one, &builder, (gint)jobs->len, FALSE, NULL);
    for (guint i = 0; i < jobs->len; i++)
        g_thread_pool_push(pool, g_ptr_array_index(jobs, i), NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    g_clear_pointer(&display, ka_display_free);
    return show(context, jobs);
}

const KaCommand ka_command_image_build = {
    .name = "image build",
    .arguments = "[PATH…]",
    .brief = "Build the images of the manifests",
    .about = "Fetches, customises and scrubs what isn't built yet, into the cache; an image is\n"
             "known by a digest of its source and its whole recipe, so what hasn't changed is\n"
             "not built again. Beside each lie a record of what it was made of (KEY.json) and\n"
             "its packages (KEY.spdx.json).",
    .examples = "  kvmapply image build\n"
                "  kvmapply image build --image debian12 --output debian12.qcow2 images.yaml",
    .options = {options},
    .run = run,
};
