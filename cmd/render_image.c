#include "cmd/render_image.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define NAME_WIDTH 26

static const char *const acts[] = {
    [KA_SCRUB_REMOVE] = "remove", [KA_SCRUB_WRITE] = "edit",  [KA_SCRUB_RENAME] = "rename",
    [KA_SCRUB_LINK] = "link",     [KA_SCRUB_RENEW] = "renew", [KA_SCRUB_ODD] = "odd",
};

static gboolean
is_finding(const KaScrubItem *item)
{
    return !item->quiet && !item->inner && item->act != KA_SCRUB_RENEW;
}

guint
ka_images_n_findings(const KaImagesJob *job)
{
    guint n = 0;
    for (guint i = 0; job->items && i < job->items->len; i++)
        n += is_finding(g_ptr_array_index(job->items, i));
    return n;
}

/* Is the item of the list that is shown? */
static gboolean
is_shown(const KaScrubItem *item, KaImagesTask task, gboolean verbose)
{
    switch (task) {
    case KA_IMAGES_AUDIT:
        return is_finding(item);
    case KA_IMAGES_DRY_RUN:
        return TRUE;
    case KA_IMAGES_SCRUB:
        return verbose || item->act == KA_SCRUB_ODD;
    }
    return TRUE;
}

static void
append_item(GString *out, const KaScrubItem *item, const char *last, const KaTerminal *terminal)
{
    g_autofree char *path = ka_terminal_clean(terminal, item->path);
    g_autofree char *to = item->to ? ka_terminal_clean(terminal, item->to) : NULL;
    g_autofree char *evidence = item->evidence ? ka_terminal_clean(terminal, item->evidence) : NULL;
    const char *name = g_strcmp0(last, item->operation) == 0 ? "" : item->operation;
    g_string_append_printf(out, "  %-*s %-6s %s%s%s%s%s\n", NAME_WIDTH, name, acts[item->act], path,
                           to ? " → " : "", to ? to : "", evidence ? "  " : "",
                           evidence ? evidence : "");
}

static guint
n_acts(const KaImagesJob *job, KaScrubAct act)
{
    guint n = 0;
    for (guint i = 0; i < job->items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(job->items, i);
        n += item->act == act && !item->inner;
    }
    return n;
}

static void
append_summary(GString *out, const KaImagesJob *job, KaImagesTask task)
{
    static const char *const words[] = {"would be ", "would be ", ""};
    guint findings = ka_images_n_findings(job), odd = n_acts(job, KA_SCRUB_ODD);
    if (task == KA_IMAGES_AUDIT && findings)
        g_string_append_printf(out, "  %u finding%s\n", findings, findings == 1 ? "" : "s");
    else if (task == KA_IMAGES_AUDIT)
        g_string_append(out, "  clean: nothing identifies the machine\n");
    else
        g_string_append_printf(out, "  %s%s%u removed, %u edited, %u renamed", words[task], "",
                               n_acts(job, KA_SCRUB_REMOVE), n_acts(job, KA_SCRUB_WRITE),
                               n_acts(job, KA_SCRUB_RENAME));
    if (task != KA_IMAGES_AUDIT && odd)
        g_string_append_printf(out, "; %u left alone: look at %s", odd, odd == 1 ? "it" : "them");
    if (task != KA_IMAGES_AUDIT)
        g_string_append_c(out, '\n');
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const KaScrubItem *one = *(const KaScrubItem *const *)a;
    const KaScrubItem *other = *(const KaScrubItem *const *)b;
    return g_strcmp0(one->operation, other->operation);
}

/* Borrowed items that are shown, by operation. */
static GPtrArray *
shown_items(const KaImagesJob *job, KaImagesTask task, gboolean verbose)
{
    GPtrArray *items = g_ptr_array_new();
    for (guint i = 0; i < job->items->len; i++)
        if (is_shown(g_ptr_array_index(job->items, i), task, verbose))
            g_ptr_array_add(items, g_ptr_array_index(job->items, i));
    g_ptr_array_sort(items, compare_names);
    return items;
}

char *
ka_render_image_text(const GPtrArray *jobs,
                     KaImagesTask task,
                     const KaTerminal *terminal,
                     gboolean verbose)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint i = 0; i < jobs->len; i++) {
        const KaImagesJob *job = g_ptr_array_index(jobs, i);
        if (!job->items || job->action->error)
            continue;
        g_autofree char *name = ka_terminal_clean(terminal, job->action->name);
        g_autofree char *system = ka_terminal_clean(terminal, job->system);
        g_autoptr(GPtrArray) items = shown_items(job, task, verbose);
        ka_terminal_paint(terminal, out, KA_TONE_BOLD, name);
        g_string_append_printf(out, "  %s\n", system);
        const char *last = NULL;
        for (guint j = 0; j < items->len; j++) {
            const KaScrubItem *item = g_ptr_array_index(items, j);
            append_item(out, item, last, terminal);
            last = item->operation;
        }
        append_summary(out, job, task);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void
add_text(JsonBuilder *builder, const char *key, const char *value)
{
    g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;
    json_builder_set_member_name(builder, key);
    if (valid)
        json_builder_add_string_value(builder, valid);
    else
        json_builder_add_null_value(builder);
}

static void
add_items(JsonBuilder *builder, const KaImagesJob *job, KaImagesTask task)
{
    g_autoptr(GPtrArray) items = job->items ? shown_items(job, task, TRUE) : g_ptr_array_new();
    json_builder_set_member_name(builder, task == KA_IMAGES_AUDIT ? "findings" : "changes");
    json_builder_begin_array(builder);
    for (guint i = 0; i < items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(items, i);
        json_builder_begin_object(builder);
        add_text(builder, "operation", item->operation);
        add_text(builder, "act", acts[item->act]);
        add_text(builder, "path", item->path);
        add_text(builder, "to", item->to);
        add_text(builder, "evidence", item->evidence);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

char *
ka_render_image_json(const GPtrArray *jobs, KaImagesTask task)
{
    static const char *const tasks[] = {"audit", "dry-run", "scrub"};
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "kvmapply");
    json_builder_add_int_value(builder, FORMAT_VERSION);
    add_text(builder, "task", tasks[task]);
    json_builder_set_member_name(builder, "images");
    json_builder_begin_array(builder);
    for (guint i = 0; i < jobs->len; i++) {
        const KaImagesJob *job = g_ptr_array_index(jobs, i);
        json_builder_begin_object(builder);
        add_text(builder, "image", job->action->name);
        add_text(builder, "system", job->system);
        add_text(builder, "error", job->action->error ? job->action->error->message : NULL);
        json_builder_set_member_name(builder, "clean");
        json_builder_add_boolean_value(builder, job->items && !job->action->error &&
                                                    ka_images_n_findings(job) == 0);
        add_items(builder, job, task);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(root, TRUE);
    return g_strconcat(text, "\n", NULL);
}
