#include "planner/action.h"

KaActual *
ka_actual_new(const char *name)
{
    KaActual *actual = g_new0(KaActual, 1);
    actual->name = g_strdup(name);
    actual->notes = g_ptr_array_new_with_free_func(g_free);
    return actual;
}

void
ka_actual_free(KaActual *actual)
{
    if (!actual)
        return;
    g_free(actual->name);
    g_free(actual->uuid);
    ka_record_free(actual->record);
    ka_tree_free(actual->config);
    ka_tree_free(actual->live);
    g_free(actual->base);
    g_free(actual->digest);
    g_free(actual->text);
    g_free(actual->unknown);
    g_ptr_array_unref(actual->notes);
    g_free(actual);
}

char *
ka_digest(const char *text, ...)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_MD5);
    va_list arguments;

    va_start(arguments, text);
    for (const char *part = text; part; part = va_arg(arguments, const char *))
        /* With its NUL: "ab", "c" is not "a", "bc". */
        g_checksum_update(checksum, (const guchar *)part, (gssize)strlen(part) + 1);
    va_end(arguments);
    return g_strdup(g_checksum_get_string(checksum));
}

void
ka_actual_keep(KaActual *actual)
{
    if (!actual->text)
        return;
    actual->digest = ka_digest(actual->text, NULL);
    g_clear_pointer(&actual->text, g_free);
}

void
ka_change_free(KaChange *change)
{
    if (!change)
        return;
    g_free(change->path);
    g_free(change);
}

KaAction *
ka_action_new(KaVerb verb, const KaKind *kind, const char *name, KaHost *host)
{
    KaAction *action = g_new0(KaAction, 1);
    action->verb = verb;
    action->kind = kind;
    action->name = g_strdup(name);
    action->host = host;
    action->tree = ka_tree_new();
    action->changes = g_ptr_array_new_with_free_func((GDestroyNotify)ka_change_free);
    action->notes = g_ptr_array_new_with_free_func((GDestroyNotify)ka_change_free);
    action->remarks = g_ptr_array_new_with_free_func(g_free);
    action->after = g_ptr_array_new();
    return action;
}

void
ka_action_free(KaAction *action)
{
    if (!action)
        return;
    g_ptr_array_unref(action->changes);
    g_ptr_array_unref(action->notes);
    g_ptr_array_unref(action->remarks);
    g_ptr_array_unref(action->after);
    ka_actual_free(action->actual);
    ka_tree_free(action->tree);
    g_clear_error(&action->error);
    g_free(action->doing);
    g_free(action->name);
    g_free(action);
}

char *
ka_action_address(const KaAction *action, gboolean with_host)
{
    if (with_host)
        return g_strdup_printf("%s/%s@%s", action->kind->table->kind, action->name,
                               action->host->name);
    return g_strdup_printf("%s/%s", action->kind->table->kind, action->name);
}

gboolean
ka_action_is_idle(const KaAction *action)
{
    if (action->left_over)
        return TRUE;
    if (action->verb != KA_CHANGE || action->restart)
        return FALSE;
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);
        if (!change->pending)
            return FALSE;
    }
    return TRUE;
}
