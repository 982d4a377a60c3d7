#include "drivers/scrub_images.h"

#include <string.h>

#define DRIVES_MAX 24 /* in one appliance */

/* All the work, handed out to threads in groups. */
typedef struct {
    const KaImagesOptions *options;
    GAsyncQueue *groups; /* owned GPtrArray of borrowed KaImagesJob */
    gint open;           /* atomic; groups that are not done */
    KaApplianceRun run;
} Work;

/* One appliance's images. */
typedef struct {
    Work *work;
    GPtrArray *jobs;  /* borrowed KaImagesJob */
    GPtrArray *files; /* owned; for each job a GPtrArray of KaImageFile; an empty one: it failed */
    GPtrArray *again; /* owned; borrowed KaImagesJob that want an appliance of their own */
} Group;

static const KaTable table = {.kind = "image", .plural = "images", .doc = "an image file"};
const KaKind ka_images_kind = {.table = &table};

KaImagesJob *
ka_images_job_new(const char *name)
{
    KaImagesJob *job = g_new0(KaImagesJob, 1);
    job->action = ka_action_new(KA_CHANGE, &ka_images_kind, name, NULL);
    job->drives = g_ptr_array_new();
    job->warnings = g_ptr_array_new_with_free_func(g_free);
    return job;
}

void
ka_images_job_add(KaImagesJob *job, const char *path, const char *format)
{
    KaImagesDrive *drive = g_new0(KaImagesDrive, 1);
    drive->path = g_strdup(path);
    drive->format = g_strdup(format);
    g_ptr_array_add(job->drives, drive);
}

void
ka_images_job_free(KaImagesJob *job)
{
    if (!job)
        return;
    for (guint i = 0; i < job->drives->len; i++) {
        KaImagesDrive *drive = g_ptr_array_index(job->drives, i);
        g_free(drive->path);
        g_free(drive->format);
        g_free(drive);
    }
    ka_action_free(job->action);
    g_ptr_array_unref(job->drives);
    g_clear_pointer(&job->items, g_ptr_array_unref);
    g_ptr_array_unref(job->warnings);
    g_free(job->system);
    g_free(job);
}

static void
report(const Work *work, KaImagesJob *job, KaOutcome outcome)
{
    const KaProgress *progress = work->options->progress;
    job->action->outcome = outcome;
    if (!progress->action)
        return;
    g_mutex_lock(progress->lock);
    progress->action(progress->data, job->action);
    g_mutex_unlock(progress->lock);
}

static void
fail(const Work *work, KaImagesJob *job, GError *error /* taken */)
{
    g_clear_error(&job->action->error);
    job->action->error = error;
    report(work, job, KA_FAILED);
}

static gboolean
is_failed(const KaImagesJob *job)
{
    return job->action->outcome == KA_FAILED;
}

static void
say(const Work *work, const KaImagesJob *job, const char *what)
{
    ka_progress_step(work->options->progress, job->action, what, 0, 0, "");
}

static gboolean
open_drives(const Work *work, const KaImagesJob *job, GPtrArray *files, GError **error)
{
    const KaImagesOptions *options = work->options;
    KaImageUse use = options->task != KA_IMAGES_SCRUB ? KA_IMAGE_READ
                     : options->in_place              ? KA_IMAGE_IN_PLACE
                                                      : KA_IMAGE_COPY;
    for (guint i = 0; i < job->drives->len; i++) {
        const KaImagesDrive *drive = g_ptr_array_index(job->drives, i);
        /* The word lets it happen in place; what can be copied is copied all the same. */
        g_autoptr(GError) refused = NULL;
        KaImageFile *file = ka_image_file_open(
            drive->path, drive->format, use == KA_IMAGE_IN_PLACE ? KA_IMAGE_COPY : use, &refused);
        if (!file && use == KA_IMAGE_IN_PLACE &&
            g_error_matches(refused, KA_HOST_ERROR, KA_HOST_ERROR_DENIED)) {
            g_clear_error(&refused);
            file = ka_image_file_open(drive->path, drive->format, use, &refused);
        }
        if (!file) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        g_ptr_array_add(files, file);
        if (!ka_image_file_copy(file, job->action, options->progress, error))
            return FALSE;
    }
    return TRUE;
}

static void
open_all(Group *group)
{
    for (guint i = 0; i < group->jobs->len; i++) {
        KaImagesJob *job = g_ptr_array_index(group->jobs, i);
        g_autoptr(GPtrArray) files =
            g_ptr_array_new_with_free_func((GDestroyNotify)ka_image_file_free);
        GError *error = NULL;
        if (job->action->outcome != KA_RUNNING)
            report(group->work, job, KA_RUNNING);
        if (!open_drives(group->work, job, files, &error)) {
            fail(group->work, job, error);
            g_ptr_array_set_size(files, 0);
        }
        g_ptr_array_add(group->files, g_steal_pointer(&files));
    }
}

static guint
n_alive(const Group *group)
{
    guint n = 0;
    for (guint i = 0; i < group->jobs->len; i++)
        n += !is_failed(g_ptr_array_index(group->jobs, i));
    return n;
}

/* It goes alone, or has failed where it was alone already. */
static void
try_again(Group *group, KaImagesJob *job, GError *error /* taken */)
{
    gboolean alone = group->jobs->len == 1;
    if ((alone && !g_error_matches(error, KA_SYSTEM_ERROR, KA_SYSTEM_ERROR_ALONE)) ||
        g_cancellable_is_cancelled(group->work->options->progress->cancel)) {
        fail(group->work, job, error);
        return;
    }
    g_error_free(error);
    g_ptr_array_set_size(job->warnings, 0);
    g_clear_pointer(&job->items, g_ptr_array_unref);
    g_ptr_array_add(group->again, job);
}

static gboolean
is_going_again(const Group *group, const KaImagesJob *job)
{
    return g_ptr_array_find(group->again, job, NULL);
}

static KaAppliance *
launch(Group *group, gboolean alone, GError **error)
{
    const KaImagesOptions *options = group->work->options;
    KaImagesJob *first = NULL;
    g_autoptr(GArray) drives = g_array_new(FALSE, TRUE, sizeof(KaDrive));
    g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < group->jobs->len; i++) {
        const GPtrArray *files = g_ptr_array_index(group->files, i);
        KaImagesJob *job = g_ptr_array_index(group->jobs, i);
        for (guint j = 0; j < files->len; j++) {
            const KaImageFile *file = g_ptr_array_index(files, j);
            char *handle = ka_image_file_handle(file);
            KaDrive drive = {handle, file->format, options->task != KA_IMAGES_SCRUB};
            g_ptr_array_add(handles, handle);
            g_array_append_val(drives, drive);
        }
        if (!is_failed(job)) {
            say(group->work, job, "starts the appliance");
            first = first ? first : job;
        }
    }
    KaApplianceOptions how = {.alone = alone,
                              .run = &group->work->run,
                              .warnings = first->warnings,
                              .action = first->action,
                              .progress = options->progress};
    return ka_appliance_launch((const KaDrive *)(gpointer)drives->data, drives->len, &how, error);
}

static gboolean
work_inside(const Work *work, KaImagesJob *job, KaSystem *system, GError **error)
{
    const KaImagesOptions *options = work->options;
    g_autoptr(KaInside) inside = ka_inside_new(system);
    say(work, job, "looks");
    job->items = ka_scrub_look(inside, options->choice, options->task == KA_IMAGES_DRY_RUN, error);
    if (!job->items || options->task != KA_IMAGES_SCRUB)
        return job->items != NULL;
    say(work, job, "scrubs");
    return ka_scrub_act(inside, job->items, error) && ka_system_trim(system, error) &&
           ka_system_unmount(system, error) && ka_scrub_devices(system, job->items, error);
}

static gboolean
work_on(Group *group, KaAppliance *appliance, KaImagesJob *job, guint first, GError **error)
{
    const KaImagesOptions *options = group->work->options;
    say(group->work, job, "finds the system");
    g_autoptr(KaSystem) system = ka_system_mount(appliance, first, job->drives->len,
                                                 job->action->name, options->keys, error);
    if (!system)
        return FALSE;
    g_free(job->system);
    job->system = g_strdup(system->name);
    if (system->replayed)
        g_ptr_array_add(job->warnings,
                        g_strdup_printf("%s wasn't cleanly unmounted: its journal was replayed %s",
                                        job->action->name,
                                        options->task == KA_IMAGES_SCRUB
                                            ? "before it was scrubbed"
                                            : "for this look, and not in the image"));
    return work_inside(group->work, job, system, error);
}

static void
work_on_all(Group *group, KaAppliance *appliance)
{
    guint first = 0;
    for (guint i = 0; i < group->jobs->len; i++) {
        KaImagesJob *job = g_ptr_array_index(group->jobs, i);
        GError *error = NULL;
        if (is_failed(job))
            continue;
        if (!work_on(group, appliance, job, first, &error)) {
            gboolean alone = g_error_matches(error, KA_SYSTEM_ERROR, KA_SYSTEM_ERROR_ALONE);
            if (alone || ka_appliance_is_dead(appliance))
                try_again(group, job, error);
            else
                fail(group->work, job, error);
        }
        if (!ka_appliance_is_dead(appliance))
            guestfs_umount_all(ka_appliance_handle(appliance));
        first += job->drives->len;
    }
}

static void
publish(Group *group, guint index)
{
    KaImagesJob *job = g_ptr_array_index(group->jobs, index);
    GPtrArray *files = g_ptr_array_index(group->files, index);
    GError *error = NULL;
    say(group->work, job, "puts it in its place");
    for (guint i = 0; i < files->len && !error; i++)
        if (group->work->options->task == KA_IMAGES_SCRUB)
            (void)!ka_image_file_publish(g_ptr_array_index(files, i), &error);
    if (error)
        fail(group->work, job, error);
    else
        report(group->work, job, KA_DONE);
}

static void
finish(Group *group, GError *error /* taken; NULL: all was written */)
{
    for (guint i = 0; i < group->jobs->len; i++) {
        KaImagesJob *job = g_ptr_array_index(group->jobs, i);
        if (is_failed(job) || is_going_again(group, job))
            continue;
        if (error)
            try_again(group, job, g_error_copy(error));
        else
            publish(group, i);
    }
    g_clear_error(&error);
}

static void
run_group(Group *group, gboolean alone)
{
    GError *error = NULL;
    open_all(group);
    if (n_alive(group) == 0)
        return;
    KaAppliance *appliance = launch(group, alone, &error);
    if (!appliance) {
        finish(group, error);
        return;
    }
    work_on_all(group, appliance);
    (void)!ka_appliance_shutdown(appliance, &error);
    if (group->work->options->task != KA_IMAGES_SCRUB && !alone)
        g_clear_error(&error); /* nothing was to be written */
    finish(group, error);
}

static void
push(Work *work, GPtrArray *jobs /* taken */)
{
    g_atomic_int_inc(&work->open);
    g_async_queue_push(work->groups, jobs);
}

static gpointer
work_thread(gpointer data)
{
    Work *work = data;
    while (g_atomic_int_get(&work->open) > 0) {
        GPtrArray *jobs = g_async_queue_timeout_pop(work->groups, G_USEC_PER_SEC / 5);
        if (!jobs)
            continue;
        Group group = {work, jobs,
                       g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref),
                       g_ptr_array_new()};
        gboolean alone = jobs->len == 1;
        run_group(&group, alone);
        g_ptr_array_unref(group.files);
        for (guint i = 0; i < group.again->len; i++) {
            GPtrArray *single = g_ptr_array_new();
            g_ptr_array_add(single, g_ptr_array_index(group.again, i));
            push(work, single);
        }
        g_ptr_array_unref(group.again);
        g_ptr_array_unref(jobs);
        g_atomic_int_add(&work->open, -1);
    }
    return NULL;
}

/* Images go round in turn; a machine with several drives has a group of its own. */
static guint
share_out(Work *work, GPtrArray *jobs)
{
    guint n = ka_appliance_at_once(jobs->len), singles = 0;
    for (guint i = 0; i < jobs->len; i++)
        singles += ((KaImagesJob *)g_ptr_array_index(jobs, i))->drives->len == 1;
    guint n_groups = MAX(MIN(n, singles), (singles + DRIVES_MAX - 1) / DRIVES_MAX);
    g_autoptr(GPtrArray) groups = g_ptr_array_new();
    for (guint i = 0; i < n_groups; i++)
        g_ptr_array_add(groups, g_ptr_array_new());
    for (guint i = 0, next = 0; i < jobs->len; i++) {
        KaImagesJob *job = g_ptr_array_index(jobs, i);
        if (job->drives->len == 1) {
            g_ptr_array_add(g_ptr_array_index(groups, next++ % n_groups), job);
        } else {
            GPtrArray *own = g_ptr_array_new();
            g_ptr_array_add(own, job);
            push(work, own);
        }
    }
    for (guint i = 0; i < n_groups; i++)
        push(work, g_ptr_array_index(groups, i));
    return n;
}

gboolean
ka_images_run(GPtrArray *jobs, const KaImagesOptions *options)
{
    Work work = {.options = options, .groups = g_async_queue_new()};
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    gboolean done = TRUE;
    guint n = share_out(&work, jobs);
    for (guint i = 0; i < n; i++)
        g_ptr_array_add(threads, g_thread_new("appliance", work_thread, &work));
    for (guint i = 0; i < n; i++)
        g_thread_join(g_ptr_array_index(threads, i));
    g_async_queue_unref(work.groups);
    for (guint i = 0; i < jobs->len; i++)
        done = done && !is_failed(g_ptr_array_index(jobs, i));
    return done;
}
