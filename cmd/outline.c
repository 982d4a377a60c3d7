#include "cmd/outline.h"
#include "cmd/value.h"
#include <string.h>

static const struct {
    const char *sign;
    KaTone tone;
    const char *effect; /* where no manifest's line is to be named */
} verbs[] = {
    [KA_CREATE] = {"+",  KA_TONE_GOOD,   "created" },
    [KA_CHANGE] = {"~",  KA_TONE_CHANGE, "changed" },
    [KA_REMOVE] = {"-",  KA_TONE_BAD,    "deleted" },
    [KA_REPLACE] = {"±", KA_TONE_BAD,    "replaced"},
};

static const struct {
    const char *now, *pending;
} ways[] = {
    [KA_LIVE] = {"live",               "not in effect"      },
    [KA_GUEST] = {"live, by the guest", "waits for the guest"},
    [KA_BOOT] = {"at next boot",       "waits for next boot"},
    [KA_RESTART] = {"restart",            "waits for a restart"},
    [KA_ONCE] = {"fixed at creation",  "fixed at creation"  },
    [KA_NONE] = {"",                   ""                   },
};

/* By bit: what a word lets happen. */
static const char *const reasons[KA_N_WORDS] = {
    "it goes down and comes up again",
    "others lose their connection",
    "something is lost",
    "others made it",
};

static void
line_free(KaLine *line)
{
    g_free(line->label);
    g_free(line->value);
    g_free(line->effect);
    g_free(line);
}

static KaLine *
add(GPtrArray *lines, KaLineLevel level, const char *sign, KaTone tone, char *label /* taken */)
{
    KaLine *line = g_new0(KaLine, 1);
    *line = (KaLine){level, sign, tone, KA_TONE_PLAIN, label, g_strdup(""), g_strdup("")};
    g_ptr_array_add(lines, line);
    return line;
}

static void
put(char **place, char *text /* taken */)
{
    g_free(*place);
    *place = text;
}

static void
add_remark(GPtrArray *lines, KaTone tone, char *text /* taken */)
{
    add(lines, KA_LINE_REMARK, " ", tone, text);
}

gboolean
ka_plan_is_empty(const KaPlan *plan)
{
    return plan->n_create + plan->n_change + plan->n_remove + plan->n_replace == 0;
}

static char *
effect_of(const KaAction *action, const KaChange *change)
{
    const char *way = change->pending ? ways[change->way].pending : ways[change->way].now;
    gboolean is_guest = g_str_equal(action->kind->table->kind, "guest");
    if (!is_guest && change->way == KA_BOOT)
        way = change->pending ? "waits for next start" : "at next start";
    if (action->restart && change->way == KA_BOOT)
        way = "with the restart";
    return g_strdup_printf("%s%s", way, change->released ? ", released" : "");
}

static void
add_change(GPtrArray *lines, const KaAction *action, const KaChange *change)
{
    gboolean comes = !change->from || change->from->type == KA_NODE_NULL;
    gboolean goes = !change->to || change->to->type == KA_NODE_NULL;
    g_autofree char *from = ka_value_text(change->from);
    g_autofree char *to = ka_value_text(change->to);
    gboolean fixed = change->way == KA_ONCE;
    gboolean quiet = change->pending || fixed || change->from == change->to;
    const char *sign = comes == goes || quiet ? " " : comes ? "+" : "-";
    KaTone tone = quiet ? KA_TONE_DIM : comes ? KA_TONE_GOOD : goes ? KA_TONE_BAD : KA_TONE_CHANGE;

    if (change->way == KA_RESTART && (action->lacking & KA_WORD_RESTART))
        tone = KA_TONE_BAD;
    KaLine *line = add(lines, KA_LINE_FIELD, sign, tone, g_strdup(change->path));
    if (comes || goes || change->from == change->to)
        put(&line->value, g_strdup(comes ? to : from));
    else if (g_str_equal(from, to)) /* secrets, fragments, long maps: the difference isn't seen */
        put(&line->value, g_strdup_printf("%s, changed", to));
    else
        put(&line->value, g_strdup_printf("%s → %s", from, to));
    put(&line->effect, effect_of(action, change));
}

/* That something is lost goes without saying where it is deleted: see put_removal. */
static KaWords
words_to_explain(const KaAction *action)
{
    gboolean removes = action->verb == KA_REMOVE || action->verb == KA_REPLACE;
    return removes ? action->words & ~(KaWords)KA_WORD_DELETE : action->words;
}

static void
add_words(GPtrArray *lines, const KaAction *action)
{
    for (guint i = 0; i < KA_N_WORDS; i++) {
        const char *name = ka_word_name((KaWord)(1u << i));
        gboolean stays_down = (1u << i) == KA_WORD_RESTART && !action->restart &&
                              g_str_equal(action->kind->table->kind, "guest");
        const char *reason = stays_down ? "it goes down" : reasons[i];
        if (!(words_to_explain(action) & (1u << i)))
            continue;
        if (action->lacking & (1u << i))
            add_remark(lines, KA_TONE_BAD, g_strdup_printf("wants the word %s: %s", name, reason));
        else
            add_remark(lines, KA_TONE_DIM, g_strdup_printf("%s allowed: %s", name, reason));
    }
}

static void
put_removal(KaLine *line, const KaAction *action)
{
    gboolean lacks = (action->lacking & KA_WORD_DELETE) != 0;
    line->value_tone = lacks ? KA_TONE_BAD : KA_TONE_PLAIN;
    put(&line->value, g_strdup_printf("%s%s", verbs[action->verb].effect,
                                      lacks ? "; wants the word delete" : ""));
}

static void
add_details(GPtrArray *lines, const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++)
        add_change(lines, action, g_ptr_array_index(action->changes, i));
    for (guint i = 0; i < action->notes->len; i++)
        add_change(lines, action, g_ptr_array_index(action->notes, i));
    if (action->notes->len && action->verb != KA_REPLACE) {
        g_autofree char *address = ka_action_address(action, FALSE);
        add_remark(lines, KA_TONE_DIM,
                   g_strdup_printf("note: --replace %s would make it anew", address));
    }
    for (guint i = 0; i < action->remarks->len; i++)
        add_remark(lines, KA_TONE_DIM,
                   g_strdup_printf("note: %s", (char *)g_ptr_array_index(action->remarks, i)));
    add_words(lines, action);
}

/* What a new object is declared to have, one line a value. */
static void
add_declared(GPtrArray *lines, const KaNode *node, const char *path)
{
    for (const KaNode *child = node->first; child; child = child->next) {
        g_autofree char *below = ka_path_append(path, child->key);
        if (child->fresh || child->type == KA_NODE_NULL)
            continue;
        if (child->type == KA_NODE_MAP) {
            add_declared(lines, child, below);
            continue;
        }
        KaLine *line = add(lines, KA_LINE_FIELD, "+", KA_TONE_GOOD, g_steal_pointer(&below));
        put(&line->value, ka_value_text(child));
    }
}

static char *
place_of(const KaAction *action)
{
    KaMark mark = action->object ? ka_node_mark(action->object->node) : KA_NOWHERE;
    return mark.source && mark.line ? g_strdup_printf("%s:%u", mark.source->name, mark.line)
                                    : g_strdup("");
}

static void
add_action(GPtrArray *lines, const KaAction *action, gboolean verbose)
{
    gboolean makes = action->verb == KA_CREATE || action->verb == KA_REPLACE;
    gboolean idle = ka_action_is_idle(action);
    KaLine *line = add(lines, KA_LINE_OBJECT,
                       action->left_over ? "-"
                       : idle            ? "="
                                         : verbs[action->verb].sign,
                       idle ? KA_TONE_DIM : verbs[action->verb].tone,
                       g_strdup_printf("%s %s", action->kind->table->kind, action->name));

    put(&line->effect, place_of(action));
    if (makes && action->object)
        put(&line->value, action->doing ? g_strdup(action->doing) : ka_value_object(action->object));
    if (action->left_over)
        put(&line->effect, g_strdup("left over; --prune and the word delete"));
    else if (action->verb == KA_REMOVE || action->verb == KA_REPLACE)
        put_removal(line, action);
    add_details(lines, action);
    if (makes && verbose && action->object)
        add_declared(lines, action->object->node, NULL);
}

static void
add_host(GPtrArray *lines, const KaHostPlan *plan, gboolean verbose)
{
    const KaHost *host = plan->host;
    const char *uri = host->real_uri ? host->real_uri : host->uri;
    KaLine *line = add(lines, KA_LINE_HOST, " ", KA_TONE_BAD, g_strdup(host->name));

    put(&line->value, g_strdup(uri ? uri : "libvirt's default"));
    if (host->offline)
        put(&line->effect, g_strdup("offline"));
    else if (host->error)
        put(&line->effect, g_strdup(host->real_uri ? "unknown" : "unreachable"));
    if (host->error)
        add_remark(lines, KA_TONE_BAD, g_strdup(host->error->message));
    for (guint i = 0; i < host->warnings->len; i++)
        add_remark(lines, KA_TONE_CHANGE,
                   g_strdup_printf("warning: %s", (char *)g_ptr_array_index(host->warnings, i)));
    for (guint i = 0; i < plan->actions->len; i++)
        add_action(lines, g_ptr_array_index(plan->actions, i), verbose);
    for (guint i = 0; i < plan->unknown->len; i++) {
        const KaAction *action = g_ptr_array_index(plan->unknown, i);
        KaLine *unknown = add(lines, KA_LINE_OBJECT, "?", KA_TONE_CHANGE,
                              g_strdup_printf("%s %s", action->kind->table->kind, action->name));
        put(&unknown->value, g_strdup("unknown"));
        put(&unknown->effect, place_of(action));
        /* The host's own error says it once for all. */
        if (action->actual && action->actual->unknown && !host->error)
            add_remark(lines, KA_TONE_CHANGE, g_strdup(action->actual->unknown));
    }
}

GPtrArray *
ka_outline(const KaPlan *plan, gboolean verbose)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func((GDestroyNotify)line_free);
    for (guint i = 0; i < plan->hosts->len; i++)
        add_host(lines, g_ptr_array_index(plan->hosts, i), verbose);
    return lines;
}

static void
append_count(GString *out, guint count, const char *what)
{
    if (count)
        g_string_append_printf(out, "%s%u %s", out->len ? ", " : "", count, what);
}

typedef struct {
    guint boot, guest, other, unknown, unchanged;
} Tally;

/* Each action once, by what it waits for first of all: a boot brings all the rest. */
static void
tally_action(Tally *tally, const KaAction *action)
{
    gboolean boot = FALSE, guest = FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        gboolean restart = change->way == KA_RESTART && change->pending;
        boot |= change->way == KA_BOOT || restart;
        guest |= change->pending && !restart && change->way != KA_BOOT;
    }
    if (action->verb != KA_CHANGE || action->restart || action->left_over)
        return;
    if (!g_str_equal(action->kind->table->kind, "guest")) {
        tally->other += boot;
        return;
    }
    tally->boot += boot;
    tally->guest += guest && !boot;
}

static Tally
tally_plan(const KaPlan *plan)
{
    Tally tally = {0};
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++)
            tally_action(&tally, g_ptr_array_index(host->actions, j));
        tally.unknown += host->unknown->len;
        tally.unchanged += host->n_unchanged;
    }
    return tally;
}

char *
ka_outline_summary(const KaPlan *plan)
{
    g_autoptr(GString) out = g_string_new(NULL);
    Tally tally = tally_plan(plan);

    append_count(out, plan->n_create, "to create");
    append_count(out, plan->n_change, "to change");
    append_count(out, plan->n_replace, "to replace");
    append_count(out, plan->n_remove, "to delete");
    if (!out->len)
        g_string_append(out, plan->failed ? "nothing to do that is known" : "nothing to do");
    append_count(out, tally.unchanged, tally.unchanged == 1 ? "as declared" : "as declared");
    append_count(out, plan->n_left_over, "left over");
    append_count(out, tally.unknown, "unknown");
    if (tally.boot)
        g_string_append_printf(out, "; %u guest%s next boot", tally.boot,
                               tally.boot == 1 ? " waits for its" : "s wait for their");
    if (tally.other)
        g_string_append_printf(out, "; %u other%s next start", tally.other,
                               tally.other == 1 ? " waits for its" : "s wait for their");
    if (tally.guest)
        g_string_append_printf(out, "; %u guest%s not followed yet", tally.guest,
                               tally.guest == 1 ? " has" : "s have");
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* A word for everything doesn't do where it was given and still lacks, nor to delete what others
 * made. */
static gboolean
needs_scope(const KaPlan *plan, const KaAction *action, KaWords word)
{
    return (plan->options.allow & word) || (plan->options.remove && action->adopt);
}

/* said: the words that are there for everything. */
static void
collect_allow(
    const KaPlan *plan, const KaAction *action, gboolean scoped, GPtrArray *pieces, KaWords *said)
{
    g_autofree char *address = ka_action_address(action, plan->hosts->len > 1);
    for (guint i = 0; i < KA_N_WORDS; i++) {
        KaWords word = 1u << i;
        const char *name = ka_word_name((KaWord)word);
        if (!(action->lacking & word & ~*said))
            continue;
        if (scoped || needs_scope(plan, action, word)) {
            g_ptr_array_add(pieces, g_strdup_printf("%s=%s", name, address));
            continue;
        }
        g_ptr_array_add(pieces, g_strdup(name));
        *said |= word;
    }
}

char *
ka_outline_allow(const KaPlan *plan, gboolean scoped)
{
    g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func(g_free);
    KaWords said = 0;
    for (guint i = 0; i < plan->hosts->len; i++) {
        const KaHostPlan *host = g_ptr_array_index(plan->hosts, i);
        for (guint j = 0; j < host->actions->len; j++)
            collect_allow(plan, g_ptr_array_index(host->actions, j), scoped, pieces, &said);
    }
    if (pieces->len == 0)
        return NULL;
    g_ptr_array_add(pieces, NULL);
    g_autofree char *list = g_strjoinv(",", (char **)pieces->pdata);
    if (strpbrk(list, " $`\\*?;&|()#!"))
        return g_strdup_printf("--allow '%s'", list);
    return g_strdup_printf("--allow %s", list);
}
