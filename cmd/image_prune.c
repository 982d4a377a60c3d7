#include "cmd/image.h"
#include "cmd/progress.h"
#include "drivers/image_cache.h"

static struct {
    gboolean pool, dry_run;
} given;

static const GOptionEntry options[] = {
    {.long_name = "pool",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.pool,
     .description = "Also bases that nothing uses, in all pools of the hosts"},
    {.long_name = "dry-run",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.dry_run,
     .description = "Only say what would go"},
    {.long_name = NULL},
};

static void
say(const KaContext *context, const char *what, const char *of)
{
    g_autofree char *clean = ka_terminal_clean(&context->out, of);
    g_autofree char *line = g_strdup_printf("%s  %s\n", what, clean);

    ka_terminal_write(&context->out, line);
}

/* --- the cache --- */

static gboolean
is_wanted(const KaManifest *manifest, const KaCached *cached)
{
    const GPtrArray *images = manifest->objects[ka_kind_index(ka_kind_find("image"))];

    for (guint i = 0; i < images->len; i++) {
        if (ka_image_cache_belongs(cached, NULL, g_ptr_array_index(images, i)))
            return TRUE;
    }
    return FALSE;
}

static gboolean
prune_cache(const KaContext *context, const KaManifest *manifest)
{
    g_autoptr(GPtrArray) list = ka_image_cache_list();
    gboolean done = TRUE;

    for (guint i = 0; i < list->len; i++) {
        const KaCached *cached = g_ptr_array_index(list, i);
        g_autofree char *line = ka_cached_line(&context->out, cached);
        g_autoptr(GError) error = NULL;

        if (is_wanted(manifest, cached))
            continue;
        if (given.dry_run || ka_image_cache_remove(cached, &error)) {
            say(context, given.dry_run ? "would go" : "removed", line);
        } else if (g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE)) {
            say(context, "in use", line);
        } else {
            ka_complain_error(context, error);
            done = FALSE;
        }
    }
    return done;
}

/* --- pools --- */

static gboolean
prune_base(const KaContext *context,
           KaHost *host,
           const KaBasePlace *place,
           const KaAction *action,
           const KaProgress *progress)
{
    g_autofree char *label =
        g_strdup_printf("base  %s  in pool %s of host %s", place->name, place->pool, host->name);
    g_autofree char *why = NULL, *kept = NULL;
    g_autoptr(GError) error = NULL;
    gboolean removed = FALSE;

    if (!ka_base_prune(host, action, place, given.dry_run, progress, &removed, &why, &error)) {
        ka_complain(context, "%s: %s", label, error->message);
        return FALSE;
    }
    kept = g_strdup_printf("%s, by %s", label, why ? why : "");
    say(context, !removed ? "in use" : given.dry_run ? "would go" : "removed",
        removed ? label : kept);
    return TRUE;
}

static gboolean
prune_host(const KaContext *context,
           const KaManifest *manifest,
           const KaObject *object,
           const KaProgress *progress)
{
    KaHost host = {.object = object,
                   .name = object->name,
                   .uri = ka_node_text(object->node, "uri"),
                   .warnings = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(KaAction) action =
        ka_action_new(KA_REMOVE, ka_kind_find("image"), object->name, &host);
    g_autoptr(GPtrArray) places = NULL;
    g_autoptr(GError) error = NULL;
    gboolean done = FALSE;

    action->project = manifest->project;
    ka_drivers.connect(&host, context->timeout_seconds);
    if (host.error)
        error = g_steal_pointer(&host.error);
    else
        places = ka_base_list(&host, &error);
    done = places != NULL;
    for (guint i = 0; places && i < places->len; i++)
        done &= prune_base(context, &host, g_ptr_array_index(places, i), action, progress);
    if (error)
        ka_complain(context, "host '%s': %s", host.name, error->message);
    ka_drivers.disconnect(&host);
    g_free(host.real_uri);
    g_ptr_array_unref(host.warnings);
    return done;
}

static gboolean
prune_pools(const KaContext *context, const KaManifest *manifest)
{
    const GPtrArray *hosts = manifest->objects[ka_kind_index(ka_kind_find("host"))];
    g_autoptr(KaDisplay) display = ka_display_new(&context->err, 0, KA_DISPLAY_QUIET);
    gboolean done = TRUE;

    for (guint i = 0; i < hosts->len; i++) {
        const KaObject *host = g_ptr_array_index(hosts, i);
        if (g_strcmp0(ka_node_text(host->node, "offline"), "yes") != 0)
            done &= prune_host(context, manifest, host, ka_display_progress(display));
    }
    return done;
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    g_autoptr(KaManifest) manifest = ka_context_load(context, arguments);
    gboolean done = FALSE;

    if (manifest == NULL)
        return KA_EXIT_ERROR;
    done = prune_cache(context, manifest);
    if (given.pool)
        done &= prune_pools(context, manifest);
    return done ? KA_EXIT_DONE : KA_EXIT_ERROR;
}

const KaCommand ka_command_image_prune = {
    .name = "image prune",
    .arguments = "[PATH…]",
    .brief = "Remove built and fetched images that nothing needs",
    .about = "Removes from the cache what the manifests' images aren't made from or built to as\n"
             "they are declared now, and what was begun and left. With --pool also the bases\n"
             "(kvmapply-image-…) on their hosts that no guest and no volume uses: a base of a\n"
             "clone is never removed.",
    .examples = "  kvmapply image prune --dry-run\n"
                "  kvmapply image prune --pool images.yaml",
    .options = {options},
    .run = run,
};
