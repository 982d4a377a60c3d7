#include "cmd/outline.h"
#include "cmd/render.h"

typedef struct {
    guint done, failed, skipped, waiting;
} Counts;

static const struct {
    const char *sign, *word;
    KaTone tone;
} outcomes[] = {
    [KA_WAITING] = {"·",  "not begun", KA_TONE_DIM   },
      [KA_RUNNING] = {"·",  "cut off",   KA_TONE_CHANGE},
    [KA_DONE] = {"✓", "done",      KA_TONE_GOOD  },
      [KA_FAILED] = {"✗", "failed",    KA_TONE_BAD   },
    [KA_SKIPPED] = {"·",  "skipped",   KA_TONE_DIM   },
};

static const char *const done_words[] = {
    [KA_CREATE] = "created",
    [KA_CHANGE] = "changed",
    [KA_REMOVE] = "deleted",
    [KA_REPLACE] = "replaced",
};

static guint
longest_address(const KaPlan *plan)
{
    guint longest = 0;
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++) {
            g_autofree char *address =
                ka_action_address(g_ptr_array_index(host->actions, j), plan->hosts->len > 1);
            longest = MAX(longest, ka_text_width(address));
        }
    }
    return longest;
}

static void
append_outcome(
    const KaTerminal *terminal, GString *out, const KaAction *action, gboolean hosts, guint column)
{
    g_autofree char *address = ka_action_address(action, hosts);
    g_autofree char *sign = ka_terminal_clean(terminal, outcomes[action->outcome].sign);
    gboolean done = action->outcome == KA_DONE;
    gboolean ended = action->outcome == KA_FAILED &&
                     g_error_matches(action->error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED);
    const char *word = done    ? done_words[action->verb]
                       : ended ? "interrupted"
                               : outcomes[action->outcome].word;
    g_autofree char *timed =
        g_strdup_printf("%s in %.1f s", word, (double)action->duration_us / G_USEC_PER_SEC);

    g_string_append(out, "  ");
    ka_terminal_paint(terminal, out, outcomes[action->outcome].tone, sign);
    g_string_append_printf(out, " %s", address);
    ka_text_pad(out, ka_text_width(address), column + 2);
    ka_terminal_paint(terminal, out, outcomes[action->outcome].tone, done ? timed : word);
    g_string_append_c(out, '\n');
    if (action->error)
        ka_terminal_wrap(terminal, out, action->outcome == KA_FAILED ? KA_TONE_BAD : KA_TONE_DIM, 6,
                         action->error->message);
}

static void
append_counts(GString *out, Counts counts)
{
    g_string_append_printf(out, "%u done", counts.done);
    if (counts.failed)
        g_string_append_printf(out, ", %u failed", counts.failed);
    if (counts.skipped)
        g_string_append_printf(out, ", %u skipped", counts.skipped);
    if (counts.waiting)
        g_string_append_printf(out, ", %u not begun", counts.waiting);
    g_string_append_c(out, '\n');
}

char *
ka_render_outcome(const KaPlan *plan, const KaTerminal *terminal)
{
    g_autoptr(GString) out = g_string_new(NULL);
    Counts counts = {0};
    guint *const by_outcome[] = {
        &counts.waiting, &counts.failed, &counts.done, &counts.failed, &counts.skipped,
    };
    guint column = MIN(longest_address(plan), terminal->width / 2);
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++) {
            const KaAction *action = g_ptr_array_index(host->actions, j);
            if (ka_action_is_idle(action) && !action->error)
                continue;
            append_outcome(terminal, out, action, plan->hosts->len > 1, column);
            (*by_outcome[action->outcome])++;
        }
    }
    append_counts(out, counts);
    return g_string_free(g_steal_pointer(&out), FALSE);
}
