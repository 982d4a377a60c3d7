#include "cmd/image.h"
#include "drivers/image_cache.h"

static const char *const kinds[] = {
    [KA_CACHED_IMAGE] = "image",
    [KA_CACHED_DOWNLOAD] = "download",
    [KA_CACHED_PARTIAL] = "partial",
};

char *
ka_cached_line(const KaTerminal *terminal, const KaCached *cached)
{
    g_autofree char *size = g_format_size_full(cached->size_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *used = g_format_size_full(cached->used_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *name = ka_terminal_clean(terminal, cached->name ? cached->name : "");
    g_autofree char *id = ka_terminal_clean(terminal, cached->id);
    int width = cached->kind == KA_CACHED_PARTIAL ? 40 : KA_KEY_SHORT;

    return g_strdup_printf("%-8s  %.*s  %s%s%s of %s%s%s", kinds[cached->kind], width, id, name,
                           *name ? "  " : "", used, size, cached->built ? "  built " : "",
                           cached->built ? cached->built : "");
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    g_autoptr(GPtrArray) list = ka_image_cache_list();

    if (*arguments) {
        ka_complain(context, "image list takes no arguments, got '%s'", *arguments);
        return KA_EXIT_ERROR;
    }
    for (guint i = 0; i < list->len; i++) {
        g_autofree char *line = ka_cached_line(&context->out, g_ptr_array_index(list, i));
        ka_terminal_write(&context->out, line);
        ka_terminal_write(&context->out, "\n");
    }
    return KA_EXIT_DONE;
}

const KaCommand ka_command_image_list = {
    .name = "image list",
    .arguments = "",
    .brief = "List what was built and fetched",
    .about = "Lists the cache: built images by their key, fetched files by their SHA-256, and\n"
             "what was begun; each with the room that it takes and its size.",
    .examples = "  kvmapply image list",
    .run = run,
};
