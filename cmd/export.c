#include "planner/export.h"
#include "cmd/command.h"
#include "drivers/link.h"
#include <errno.h>
#include <gio/gio.h>

static struct {
    char *output;
} given;

static const GOptionEntry options[] = {
    {.long_name = "output",
     .short_name = 'o',
     .arg = G_OPTION_ARG_FILENAME,
     .arg_data = &given.output,
     .description = "Write to this file",
     .arg_description = "FILE"},
    {.long_name = NULL},
};

/* A file is written whole or not at all; what is no plain file (a device, a link, a pipe) is never
 * replaced by one. */
static gboolean
write_file(const char *path, const char *text, GError **error)
{
    if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK) &&
        (g_file_test(path, G_FILE_TEST_IS_REGULAR) || !g_file_test(path, G_FILE_TEST_EXISTS))) {
        return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
                                        error);
    }
    FILE *file = fopen(path, "we");
    if (file && fputs(text, file) >= 0 && fclose(file) == 0)
        return TRUE;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "%s", g_strerror(errno));
    return FALSE;
}

static gboolean
write_result(const KaContext *context, const char *text, GError **error)
{
    if (!given.output || g_str_equal(given.output, "-")) {
        ka_terminal_write(&context->out, text);
        return TRUE;
    }
    if (write_file(given.output, text, error))
        return TRUE;
    g_prefix_error(error, "can't write '%s': ", given.output);
    return FALSE;
}

static void
warn(const KaContext *context, const KaHost *host)
{
    for (guint i = 0; !context->quiet && i < host->warnings->len; i++)
        ka_complain(context, "warning: %s", (char *)g_ptr_array_index(host->warnings, i));
}

static KaExit
run(KaContext *context, const char *const *arguments)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    KaHost host = {.name = "local", .uri = context->connect, .warnings = warnings};
    g_autoptr(KaTree) tree = NULL;
    ka_drivers.connect(&host, context->timeout_seconds);
    if (host.error)
        error = g_steal_pointer(&host.error);
    else
        tree = ka_export(&ka_drivers, &host, *arguments ? arguments : NULL, &error);
    g_autofree char *text = tree ? ka_emit(tree->root) : NULL;
    warn(context, &host);
    ka_drivers.disconnect(&host);
    g_free(host.real_uri);
    if (!text || !write_result(context, text, &error))
        return ka_complain_error(context, error);
    return KA_EXIT_DONE;
}

const KaCommand ka_command_export = {
    .name = "export",
    .arguments = "[KIND/NAME…]",
    .brief = "Write the manifest of what exists",
    .about = "Writes everything that libvirt has, or the named objects and what they need, as a\n"
             "manifest that plans empty on the same host. What has no field of its own is under\n"
             "xml:. Secrets are left out: placeholders say where they belong.",
    .examples = "  kvmapply export > all.yaml\n"
                "  kvmapply -c qemu+ssh://root@kvm1/system export -o kvm1.yaml\n"
                "  kvmapply export guest/web network/lan",
    .options = {options},
    .run = run,
};
