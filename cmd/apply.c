#include "cmd/apply.h"
#include "cmd/outline.h"
#include "cmd/plan_options.h"
#include "cmd/progress.h"
#include "cmd/render.h"
#include "drivers/link.h"
#include <string.h>
#include <unistd.h>

#define GRACE_SECONDS 180

static struct {
    gboolean yes;
    char *expect;
    int parallel_restarts, grace_seconds;
} given = {.parallel_restarts = 1, .grace_seconds = GRACE_SECONDS};

const GOptionEntry ka_apply_option_entries[] = {
    {.long_name = "yes",
     .short_name = 'y',
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.yes,
     .description = "Don't ask"},
    {.long_name = "expect",
     .arg = G_OPTION_ARG_STRING,
     .arg_data = &given.expect,
     .description = "Do the plan of this digest or nothing",
     .arg_description = "DIGEST"},
    {.long_name = "parallel-restarts",
     .arg = G_OPTION_ARG_INT,
     .arg_data = &given.parallel_restarts,
     .description = "Restart so many guests at once (1)",
     .arg_description = "N"},
    {.long_name = "shutdown-timeout",
     .arg = G_OPTION_ARG_INT,
     .arg_data = &given.grace_seconds,
     .description = "Wait so long for a guest to follow (180)",
     .arg_description = "SECONDS"},
    {.long_name = NULL },
};

/* What the command line and the manifests come to. */
typedef struct {
    KaContext *context;
    const KaManifest *manifest;
    KaPlanOptions options;
    gboolean from_stdin; /* a manifest came from there: nobody can answer */
} Job;

static gboolean
ask(const Job *job)
{
    const KaTerminal *err = &job->context->err;
    char answer[16] = "";
    ka_terminal_write(err, "Go on? [y/N] ");
    fflush(err->stream);
    if (!fgets(answer, sizeof answer, stdin)) {
        ka_terminal_write(err, "\n");
        return FALSE;
    }
    g_strstrip(answer);
    return g_ascii_strcasecmp(answer, "y") == 0 || g_ascii_strcasecmp(answer, "yes") == 0;
}

static KaExit
refuse(const Job *job, const KaPlan *plan)
{
    g_autofree char *allow = ka_outline_allow(plan, FALSE);
    g_autofree char *scoped = ka_outline_allow(plan, TRUE);
    ka_complain(job->context, "refused, nothing was done: %u action%s your word; add %s",
                plan->n_lacking, plan->n_lacking == 1 ? " needs" : "s need", allow);
    if (!g_str_equal(allow, scoped) && strlen(scoped) < 200)
        ka_complain(job->context, "or for exactly these: %s", scoped);
    return KA_EXIT_REFUSED;
}

/* TRUE: the plan may be done; else ret_status is the program's. */
static gboolean
may_go_on(const Job *job, const KaPlan *plan, KaExit *ret_status)
{
    const KaContext *context = job->context;
    *ret_status = KA_EXIT_ERROR;
    if (plan->diagnostics->n_errors) {
        ka_complain(context, "nothing was done");
        return FALSE;
    }
    if (given.expect && g_ascii_strcasecmp(given.expect, plan->digest) != 0) {
        ka_complain(context, "nothing was done: expected plan %s, but now it is %s", given.expect,
                    plan->digest);
        return FALSE;
    }
    if (ka_plan_is_empty(plan) && !(given.yes && plan->n_pending)) {
        *ret_status = plan->failed ? KA_EXIT_ERROR : KA_EXIT_DONE;
        return FALSE;
    }
    if (plan->n_lacking) {
        *ret_status = refuse(job, plan);
        return FALSE;
    }
    if (given.yes)
        return TRUE;
    if (job->from_stdin || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        ka_complain(context, "nothing was done: there is no terminal to ask on; add --yes");
        return FALSE;
    }
    if (ask(job))
        return TRUE;
    ka_complain(context, "nothing was done");
    return FALSE;
}

/* Shows the plan; FALSE if it couldn't be shown: what nobody has seen isn't done. */
static gboolean
show(const KaContext *context, const KaPlan *plan, GError **error)
{
    g_autofree char *text = ka_render_text(plan, &context->out, context->verbose > 0);
    ka_terminal_write(&context->out, text);
    ka_complain_diagnostics(context, plan->diagnostics);
    return ka_terminal_flush(&context->out, error);
}

/* After it all: is what should be? */
static KaExit
verify(const Job *job, gboolean done)
{
    const KaContext *context = job->context;
    g_autoptr(GError) error = NULL;
    KaPlanOptions options = job->options;
    options.replace = NULL; /* that was done */
    g_autoptr(KaPlan) plan = ka_plan_new(job->manifest, &ka_drivers, &options, &error);
    if (!plan)
        return ka_complain_error(context, error);
    if (done && !ka_plan_is_empty(plan)) {
        ka_complain(context, "what was done isn't what is there now; this is left:");
        show(context, plan, NULL);
        return KA_EXIT_ERROR;
    }
    g_autofree char *summary = ka_outline_summary(plan);
    ka_terminal_write(&context->out, "now: ");
    ka_terminal_write(&context->out, summary);
    ka_terminal_write(&context->out, "\n");
    return done && !plan->failed && !plan->diagnostics->n_errors ? KA_EXIT_DONE : KA_EXIT_ERROR;
}

static KaDisplayFlags
display_flags(const Job *job, const KaPlan *plan)
{
    KaDisplayFlags flags = 0;
    if (plan->hosts->len > 1)
        flags |= KA_DISPLAY_HOSTS;
    if (job->context->quiet)
        flags |= KA_DISPLAY_QUIET;
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        if (host->host->real_uri && strstr(host->host->real_uri, "+ssh:"))
            flags |= KA_DISPLAY_ALONE;
    }
    return flags;
}

static gboolean
execute(const Job *job, KaPlan *plan, gboolean *ret_interrupted)
{
    const KaContext *context = job->context;
    guint total = plan->n_create + plan->n_change + plan->n_remove + plan->n_replace;
    g_autoptr(KaDisplay) display = ka_display_new(&context->err, total, display_flags(job, plan));
    KaProgress *progress = ka_display_progress(display);
    progress->timeout_seconds = (guint)given.grace_seconds;
    gboolean done = ka_plan_execute(plan, progress, (guint)given.parallel_restarts);
    *ret_interrupted = ka_display_interrupted(display);
    return done;
}

static KaExit
run_job(const Job *job)
{
    const KaContext *context = job->context;
    g_autoptr(GError) error = NULL;
    KaExit status = KA_EXIT_ERROR;
    gboolean interrupted = FALSE;
    g_autoptr(KaPlan) plan = ka_plan_new(job->manifest, &ka_drivers, &job->options, &error);
    if (!plan || !show(context, plan, &error))
        return ka_complain_error(context, error);
    if (!may_go_on(job, plan, &status))
        return status;
    gboolean failed = plan->failed;
    gboolean done = execute(job, plan, &interrupted);
    g_autofree char *outcome = ka_render_outcome(plan, &context->out);
    ka_terminal_write(&context->out, outcome);
    ka_terminal_flush(&context->out, NULL); /* main says so in the end */
    if (interrupted) {
        ka_complain(context, "interrupted; run it again to finish");
        return KA_EXIT_ERROR;
    }
    g_clear_pointer(&plan, ka_plan_free);
    status = verify(job, done);
    return failed ? KA_EXIT_ERROR : status;
}

KaExit
ka_apply(KaContext *context, const char *const *paths, gboolean remove)
{
    g_autoptr(GError) error = NULL;
    if (given.parallel_restarts < 1 || given.grace_seconds < 1) {
        ka_complain(context, "--parallel-restarts and --shutdown-timeout want a positive number");
        return KA_EXIT_ERROR;
    }
    g_auto(KaPlanOptions) options = {0};
    if (!ka_plan_options_read(context, &options, &error))
        return ka_complain_error(context, error);
    options.remove = remove;
    g_autoptr(KaManifest) manifest = ka_context_load(context, paths);
    if (!manifest)
        return KA_EXIT_ERROR;
    Job job = {context, manifest, options, g_strv_contains(paths, "-")};
    return run_job(&job);
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    return ka_apply(context, arguments, FALSE);
}

const KaCommand ka_command_apply = {
    .name = "apply",
    .arguments = "[PATH…]",
    .brief = "Make the hosts match the manifests",
    .about = "Prints the plan, asks, does it and looks again. What hurts needs a word:\n"
             "  restart   a running guest goes down and comes up again\n"
             "  disrupt   others lose their connection\n"
             "  delete    an object or its data is lost\n"
             "  adopt     what others made is changed\n"
             "Without its word nothing at all is done and the exit status is 3. An apply that\n"
             "was cut is finished by running it again.",
    .examples = "  kvmapply apply\n"
                "  kvmapply apply --yes --allow restart shop.yaml\n"
                "  kvmapply apply --allow restart=guest/web,delete=disk/tmp\n"
                "  kvmapply apply --yes --expect 5f0c9a1e    # what was approved, or nothing\n"
                "  kvmapply apply --prune --allow delete     # also remove what is left over",
    .options = {ka_apply_option_entries, ka_plan_option_entries},
    .run = run,
};
