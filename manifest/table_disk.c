#include "manifest/manifest.h"

KA_ENUM(disk_format,
        "raw",
        "qcow2",
        "qcow",
        "qed",
        "vmdk",
        "vdi",
        "vpc",
        "iso",
        "dmg",
        "bochs",
        "cloop",
        "dir",
        "fat",
        "vhd",
        "ploop",
        "unknown",
        "none",
        "linux",
        "fat16",
        "fat32",
        "linux-swap",
        "linux-lvm",
        "linux-raid",
        "extended");
KA_ENUM(disk_allocation, "sparse", "full");
KA_ENUM(disk_clone, "linked", "full");
KA_ENUM(disk_encryption, "luks", "qcow", "default");
KA_NUMBER(disk_owner, -1, G_MAXINT32);

static const KaCodec volume_name = {.name = "volume-name",
                                    .expected =
                                        "a volume's name: one line without '/', not '.' or '..'",
                                    .json_type = "string",
                                    .pattern = "^([^/.\\n][^/\\n]*|[.][^/.\\n][^/\\n]*)$"};

static const KaField fields[] = {
    {.key = "host",
     .codec = &ka_host_name,
     .way = KA_NONE,
     .doc = "the host it is on; default: the host of the guest that uses it"                                },
    KA_ALLOW_ROWS,
    {.key = "protect",
     .codec = &ka_yes_no,
     .way = KA_NONE,
     .doc = "never removed or replaced, whatever is allowed; default: false"                                },
    {.key = "pool",
     .codec = &ka_pool_name,
     .way = KA_NONE,
     .doc = "the pool it is in, declared or there already; default: 'default'"                              },
    {.key = "volume",
     .codec = &volume_name,
     .way = KA_NONE,
     .doc = "the volume's name in the pool; default: the disk's"                                            },
    {.key = "size",
     .codec = &ka_capacity,
     .at = "capacity[@unit='bytes']",
     .way = KA_LIVE,
     .doc =
         "capacity, such as 20GiB; grows in place, never shrinks; default: that of content, from "
         "or backing"},
    {.key = "allocation",
     .codec = &disk_allocation,
     .at = "@ka-allocation",
     .way = KA_NONE,
     .doc = "when it is made: sparse, or full to reserve all its space; default: sparse in file "
            "pools, "
            "full elsewhere"},
    {.key = "format",
     .codec = &disk_format,
     .at = "target/format/@type",
     .way = KA_ONCE,
     .doc = "raw, qcow2, …, never probed; fixed at creation; default: qcow2 in file pools, raw "
            "elsewhere; in disk pools the partition's type"},
    {.key = "backing",
     .codec = &ka_disk_name,
     .at = "backingStore/@ka-disk",
     .way = KA_ONCE,
     .doc = "a disk that this one is a thin clone of; fixed at creation"},
    {.key = "backing-path",
     .codec = &ka_path,
     .at = "backingStore/path",
     .way = KA_ONCE,
     .doc = "an image on the host that this one is a thin clone of, where no disk is; with "
            "backing-format"},
    {.key = "backing-format",
     .codec = &disk_format,
     .at = "backingStore/format/@type",
     .way = KA_ONCE,
     .doc = "format of backing-path"},
    {.key = "from",
     .codec = &ka_disk_name,
     .way = KA_NONE,
     .doc = "a disk to copy in full when this one is made"                                                                                         },
    {.key = "content",
     .codec = &ka_line,
     .way = KA_NONE,
     .doc = "a local image file to upload when it is made, relative to the manifest; wants format"                                                                                         },
    {.key = "image",
     .codec = &ka_image_name,
     .way = KA_NONE,
     .doc = "an image that it is made from; a newer build changes no disk that is there"},
    {.key = "clone",
     .codec = &disk_clone,
     .way = KA_NONE,
     .doc = "of image: linked (a thin clone) or full (a copy); default: linked where the pool can"},
    {.key = "compat",
     .codec = &ka_word,
     .at = "target/compat",
     .way = KA_ONCE,
     .doc = "qcow2 version: 0.10 or 1.1; fixed at creation; default: 1.1"},
    {.key = "cluster-size",
     .codec = &ka_bytes,
     .at = "target/clusterSize[@unit='B']",
     .way = KA_ONCE,
     .doc = "qcow2 cluster size, such as 64KiB; fixed at creation; default: 64KiB"},
    {.key = "lazy-refcounts",
     .codec = &ka_presence,
     .at = "target/features/lazy_refcounts",
     .way = KA_ONCE,
     .doc = "qcow2: delayed reference counts; fixed at creation; default: false"},
    {.key = "extended-l2",
     .codec = &ka_presence,
     .at = "target/features/extended_l2",
     .way = KA_ONCE,
     .doc = "qcow2: subclusters; fixed at creation; default: false"},
    {.key = "no-copy-on-write",
     .codec = &ka_presence,
     .at = "target/nocow",
     .way = KA_NONE,
     .doc = "on btrfs: made without copy-on-write; default: false"},
    {.key = "permissions",
     .codec = &ka_map,
     .at = "target/permissions",
     .way = KA_ONCE,
     .doc = "of the volume's file; fixed at creation (libvirt lends it to a running guest)"},
    {.key = "permissions.mode",
     .codec = &ka_octal,
     .at = "target/permissions/mode",
     .way = KA_ONCE,
     .doc = "octal mode; default: 0600"},
    {.key = "permissions.owner",
     .codec = &disk_owner,
     .at = "target/permissions/owner",
     .way = KA_ONCE,
     .doc = "numeric user; default: libvirt's own"},
    {.key = "permissions.group",
     .codec = &disk_owner,
     .at = "target/permissions/group",
     .way = KA_ONCE,
     .doc = "numeric group; default: libvirt's own"},
    {.key = "permissions.label",
     .codec = &ka_line,
     .at = "target/permissions/label",
     .way = KA_ONCE,
     .doc = "security label, such as SELinux's; default: the folder's"},
    {.key = "encryption",
     .codec = &ka_map,
     .at = "target/encryption",
     .way = KA_ONCE,
     .doc = "the volume is made encrypted; the passphrase is a libvirt secret"},
    {.key = "encryption.format",
     .codec = &disk_encryption,
     .at = "target/encryption/@format",
     .way = KA_ONCE,
     .doc = "luks; fixed at creation"},
    {.key = "encryption.secret",
     .codec = &ka_uuid,
     .at = "target/encryption/secret[@type='passphrase']/@uuid",
     .way = KA_NONE,
     .doc = "UUID of the libvirt secret"},
    {.key = "encryption.usage",
     .codec = &ka_line,
     .at = "target/encryption/secret[@type='passphrase']/@usage",
     .way = KA_NONE,
     .doc = "usage of the libvirt secret, instead of its UUID"},
    {.key = "encryption.cipher",
     .codec = &ka_word,
     .at = "target/encryption/cipher/@name",
     .way = KA_NONE,
     .doc = "cipher's name, such as aes; default: libvirt's"},
    {.key = "encryption.cipher-size",
     .codec = &ka_positive,
     .at = "target/encryption/cipher/@size",
     .way = KA_NONE,
     .doc = "key's size in bits, such as 256"},
    {.key = "encryption.cipher-mode",
     .codec = &ka_word,
     .at = "target/encryption/cipher/@mode",
     .way = KA_NONE,
     .doc = "such as xts or cbc"},
    {.key = "encryption.cipher-hash",
     .codec = &ka_word,
     .at = "target/encryption/cipher/@hash",
     .way = KA_NONE,
     .doc = "such as sha256"},
    {.key = "encryption.ivgen",
     .codec = &ka_word,
     .at = "target/encryption/ivgen/@name",
     .way = KA_NONE,
     .doc = "initialisation vectors, such as plain64 or essiv"},
    {.key = "encryption.ivgen-hash",
     .codec = &ka_word,
     .at = "target/encryption/ivgen/@hash",
     .way = KA_NONE,
     .doc = "such as sha256"},
    {.key = "xml",
     .codec = &ka_map,
     .way = KA_ONCE,
     .doc = "libvirt XML by place, for what has no key of its own; only when it is made"                                                                                      },
    {.key = "xml.*",                                                                         .codec = &ka_fragment,                                                              .way = KA_ONCE,                                                                                      .doc = "a fragment of libvirt XML"                                          },
};

static const KaTable table = {
    .kind = "disk",
    .plural = "disks",
    .root = "volume",
    .doc = "disks by name: volumes in pools; they are made where the guest is that uses them",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

/* Of two ways to fill a disk only one can be meant. */
static const char *const fillings[] = {"backing", "backing-path", "from", "content", "image"};

static gboolean
has(const KaNode *node, const char *key)
{
    const KaNode *value = ka_node_get(node, key);

    return value && value->type != KA_NODE_NULL;
}

static void
check_fillings(const KaObject *object, KaDiagnostics *diagnostics)
{
    const char *first = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(fillings); i++) {
        if (!has(object->node, fillings[i]))
            continue;
        if (first)
            ka_diagnostics_add(
                diagnostics, KA_ERROR, ka_node_mark(ka_node_get(object->node, fillings[i])),
                "disk '%s': '%s' and '%s' exclude each other", object->name, first, fillings[i]);
        else
            first = fillings[i];
    }
    if (first == NULL && !has(object->node, "size"))
        ka_diagnostics_add(diagnostics, KA_ERROR, ka_node_mark(object->node),
                           "disk '%s': 'size' is missing; expected a size such as 20GiB",
                           object->name);
}

static void
check_pairs(const KaObject *object, KaDiagnostics *diagnostics)
{
    static const char *const pairs[][2] = {
        {"content",      "format"        },
        {"backing-path", "backing-format"},
    };
    const KaNode *clone = ka_node_get(object->node, "clone");

    if (clone && !has(object->node, "image"))
        ka_diagnostics_add(diagnostics, KA_ERROR, ka_node_mark(clone),
                           "disk '%s': 'clone' goes with 'image' alone", object->name);

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (has(object->node, pairs[i][0]) && !has(object->node, pairs[i][1]))
            ka_diagnostics_add(diagnostics, KA_ERROR,
                               ka_node_mark(ka_node_get(object->node, pairs[i][0])),
                               "disk '%s': '%s' wants '%s': a format is said, never probed",
                               object->name, pairs[i][0], pairs[i][1]);
    }
}

static void
put_fresh(KaManifest *manifest, KaObject *object, const char *key, const char *text)
{
    KaNode *node = NULL;

    if (ka_node_get(object->node, key))
        return;
    node = ka_node_put(manifest->tree, object->node, key, text);
    node->row = ka_rows_find(ka_kind_rows(object->kind), key)->row;
    node->fresh = TRUE;
}

static gboolean
keeps_files(const char *pool_type)
{
    static const char *const types[] = {"dir", "fs", "netfs", "vstorage", "gluster", NULL};

    return g_strv_contains(types, pool_type);
}

/* Where the pool isn't declared, its kind is known only on the host; the driver decides there. */
static void
complete(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    const KaObject *pool = NULL;
    const char *type = NULL;

    check_fillings(object, diagnostics);
    check_pairs(object, diagnostics);
    put_fresh(manifest, object, "pool", "default");
    pool = ka_manifest_find(manifest, &ka_kind_pool, ka_node_text(object->node, "pool"));
    type = pool ? ka_node_text(pool->node, "type") : NULL;
    if (type)
        put_fresh(manifest, object, "format", keeps_files(type) ? "qcow2" : "raw");
}

const KaKind ka_kind_disk = {.table = &table, .complete = complete};
