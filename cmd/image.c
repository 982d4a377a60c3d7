#include "cmd/image.h"

static const KaCommand *const parts[] = {
    &ka_command_image_build,
    &ka_command_image_scrub,
    &ka_command_image_audit,
    &ka_command_image_list,
    &ka_command_image_prune,
    NULL,
};

const KaCommand ka_command_image = {
    .name = "image",
    .arguments = "COMMAND",
    .brief = "Make golden images, clean them, look into them",
    .about = "Works on files of this machine; what is in them is opened in a small virtual\n"
             "machine, never by this machine's own kernel. kvmapply image COMMAND --help tells\n"
             "more.",
    .examples = "  kvmapply image scrub template.qcow2\n"
                "  kvmapply image audit template.qcow2",
    .parts = parts,
};
