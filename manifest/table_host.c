#include "manifest/manifest.h"

static const KaField fields[] = {
    {.key = "uri",
     .codec = &ka_uri,
     .way = KA_NONE,
     .doc = "libvirt connection URI, such as qemu+ssh://root@kvm1.example.com/system; default: "
            "libvirt's own"                                                                  },
    {.key = "ssh",
     .codec = &ka_line,
     .way = KA_NONE,
     .doc = "USER@HOST or USER@HOST:PORT by which the host's own files are reached; default: that of "
            "a +ssh URI, or this machine"},
    {.key = "become",
     .codec = &ka_yes_no,
     .way = KA_NONE,
     .doc = "use 'sudo -n' for the host's own files; default: false"},
    {.key = "offline",
     .codec = &ka_yes_no,
     .way = KA_NONE,
     .doc = "the host is known to be down and fenced: nothing is asked of it; default: false"},
    {.key = "reserve-memory",
     .codec = &ka_kib,
     .way = KA_NONE,
     .doc = "memory kept for the host itself, as a size such as 4GiB; default: none"         },
};

static const KaTable table = {
    .kind = "host",
    .plural = "hosts",
    .doc = "hypervisors by name; without any there is one, local: libvirt's default connection",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

const KaKind ka_kind_host = {.table = &table};
