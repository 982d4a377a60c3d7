#include "cmd/command.h"
#include <libvirt/libvirt.h>

static KaExit
run(KaContext *context, const char *const *arguments G_GNUC_UNUSED)
{
    unsigned long libvirt = 0;
    g_autoptr(GString) out = g_string_new("kvmapply " KA_VERSION "\n");
    if (!context->quiet && virGetVersion(&libvirt, NULL, NULL) == 0)
        g_string_append_printf(out, "libvirt %lu.%lu.%lu\n", libvirt / 1000000,
                               libvirt / 1000 % 1000, libvirt % 1000);
    ka_terminal_write(&context->out, out->str);
    return KA_EXIT_DONE;
}

const KaCommand ka_command_version = {
    .name = "version",
    .arguments = "",
    .brief = "Print the versions of kvmapply and libvirt",
    .about = "Useful in a report of a bug.",
    .examples = "  kvmapply version\n"
                "  kvmapply --version -q",
    .run = run,
};
