#include "cmd/plan_options.h"
#include <gio/gio.h>

static struct {
    char **allow, **targets, **hosts, **replace;
    gboolean prune;
} given;

const GOptionEntry ka_plan_option_entries[] = {
    {.long_name = "allow",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.allow,
     .description = "What may hurt: restart, disrupt, delete, adopt",
     .arg_description = "WORD[=KIND/NAME],…"},
    {.long_name = "target",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.targets,
     .description = "Only this and what it needs; repeatable",
     .arg_description = "KIND/NAME"},
    {.long_name = "host",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.hosts,
     .description = "Only this host; repeatable",
     .arg_description = "NAME"},
    {.long_name = "replace",
     .arg = G_OPTION_ARG_FILENAME_ARRAY,
     .arg_data = &given.replace,
     .description = "Remove this and make it anew; repeatable",
     .arg_description = "KIND/NAME"},
    {.long_name = "prune",
     .arg = G_OPTION_ARG_NONE,
     .arg_data = &given.prune,
     .description = "Also remove what is left over: owned, but not declared"},
    {.long_name = NULL           },
};

static gboolean
read_word(KaPlanOptions *options, const char *piece, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(piece, "=", 2);
    g_autofree char *name = ka_codec_parse(&ka_allowed, parts[0] ? parts[0] : "", error);
    if (!name) {
        g_prefix_error(error, "--allow: ");
        return FALSE;
    }
    KaWords word = ka_word_parse(name);
    if (!parts[1]) {
        options->allow |= word;
        return TRUE;
    }
    const char *slash = strchr(parts[1], '/');
    g_autofree char *kind = slash ? g_strndup(parts[1], (gsize)(slash - parts[1])) : NULL;
    if (!kind || !ka_kind_find(kind) || slash[1] == '\0') {
        g_set_error(error, KA_PLAN_ERROR, KA_PLAN_ERROR_ARGUMENT,
                    "--allow '%s': expected KIND/NAME such as guest/web after the '='", piece);
        return FALSE;
    }
    gpointer before = g_hash_table_lookup(options->allow_scoped, parts[1]);
    g_hash_table_insert(options->allow_scoped, g_strdup(parts[1]),
                        GUINT_TO_POINTER(GPOINTER_TO_UINT(before) | word));
    return TRUE;
}

gboolean
ka_plan_options_read(const KaContext *context, KaPlanOptions *ret_options, GError **error)
{
    g_auto(KaPlanOptions) options = {
        .allow_scoped = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .targets = given.targets,
        .hosts = given.hosts,
        .replace = given.replace,
        .prune = given.prune,
        .timeout_seconds = context->timeout_seconds,
    };
    for (char **allow = given.allow; allow && *allow; allow++) {
        g_auto(GStrv) pieces = g_strsplit(*allow, ",", -1);
        for (char **piece = pieces; *piece; piece++)
            if (!read_word(&options, *piece, error))
                return FALSE;
    }
    *ret_options = options;
    options.allow_scoped = NULL;
    return TRUE;
}

void
ka_plan_options_clear(KaPlanOptions *options)
{
    g_clear_pointer(&options->allow_scoped, g_hash_table_unref);
}
