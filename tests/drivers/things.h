#pragma once
/* A kind of the tests' own with every sort of row, manifests and documents of it. */
#include "tests/manifest/loading.h"

#include "drivers/document.h"

static const KaField thing_fields[] = {
    {.key = "size",                            .codec = &ka_kib,             .at = "memory[@unit='KiB']",                                                      .way = KA_LIVE,                                                                                                                                 .doc = "size"},
    {.key = "title",                                        .codec = &ka_line,                                                       .at = "title",                                                                               .way = KA_LIVE,                                                                                                                                                          .doc = "title"},
    {.key = "host",                          .codec = &ka_line,                                                      .way = KA_NONE,                                                                                                                          .doc = "of the manifest alone"                                                                    },
    {.key = "acpi",
     .codec = &ka_presence,
     .at = "features/acpi",
     .fresh = "yes",
     .way = KA_BOOT,
     .doc = "presence"},
    {.key = "hap",                           .codec = &ka_presence,                                                         .at = "features/hap",                                                                                                                                        .way = KA_BOOT,                                                                                                                                                                                                                                                                                      .doc = "presence"},
    {.key = "crash",
     .codec = &ka_word,
     .at = "on_crash",
     .fresh = "destroy",
     .way = KA_BOOT,
     .doc = "with a fresh value"},
    {.key = "rng",                           .codec = &ka_map,                                                      .at = "devices/rng",                                                                                                                                         .way = KA_LIVE,                                                                                                                                                                                                                                                                                       .doc = "a branch"},
    {.key = "rng.model",
     .codec = &ka_word,
     .at = "devices/rng/@model",
     .fresh = "virtio",
     .way = KA_BOOT,
     .doc = "below it"},
    {.key = "boot",                          .codec = &ka_list,                                     .way = KA_BOOT,.doc = "a list of attributes"},
    {.key = "boot[]",               .codec = &ka_word,                                                      .at = "os/boot/@dev",                                                                                                                                           .way = KA_BOOT,                                                                                                                                                                                                                                                                                        .doc = "one"},
    {.key = "ranges",                            .codec = &ka_list,              .way = KA_BOOT,                                            .doc = "a list of templates"                                                                                                                                                                                },
    {.key = "ranges[]",
     .codec = &ka_range,
     .at = "ip/range => @start '-' @end",
     .way = KA_BOOT,
     .doc = "one"},
    {.key = "pin",                                        .codec = &ka_map,                                                      .way = KA_LIVE,                                                                                          .doc = "a map of scalars"                                                                                                                                                                                                            },
    {.key = "pin.*",
     .codec = &ka_cpuset,
     .at = "cputune/vcpupin/@cpuset",
     .id = "@vcpu",
     .way = KA_LIVE,
     .doc = "one"},
    {.key = "names",                             .codec = &ka_map,                                                         .way = KA_LIVE,                                                                                                                              .doc = "a map of maps with lists"                                                                                                                                                                                                                    },
    {.key = "names.*",
     .codec = &ka_map,
     .at = "dns/host",
     .id = "@ip",
     .way = KA_LIVE,
     .doc = "one"},
    {.key = "names.*.of",                            .codec = &ka_list,                                                         .way = KA_LIVE,                                                                                                                                             .doc = "a list of texts"                                                                                                                                                                                                                                                                                          },
    {.key = "names.*.of[]",.codec = &ka_line,.at = "hostname",.way = KA_LIVE,.doc = "one"},
    {.key = "disks",                         .codec = &ka_map,                                                       .way = KA_LIVE,                                                                                                                                              .doc = "devices by a name of their own"                                                                                                                                                                                                                                                                                          },
    {.key = "disks.*",
     .codec = &ka_map,
     .at = "devices/disk",
     .id = "target/@dev",
     .way = KA_LIVE,
     .doc = "one"},
    {.key = "disks.*.path",
     .codec = &ka_path,
     .at = "self[@type='file']/source/@file",
     .way = KA_BOOT,
     .doc = "of a union"},
    {.key = "disks.*.device",
     .codec = &ka_path,
     .at = "self[@type='block']/source/@dev",
     .way = KA_BOOT,
     .doc = "of a union"},
    {.key = "disks.*.protocol",
     .codec = &ka_word,
     .at = "self[@type='network']/source/@protocol",
     .way = KA_BOOT,
     .doc = "of a union"},
    {.key = "disks.*.volume",
     .codec = &ka_line,
     .at = "self[@type='network']/source/@name",
     .way = KA_BOOT,
     .doc = "of a union"},
    {.key = "disks.*.namespace",
     .codec = &ka_line,
     .at = "self[@type='nvme']/source/@name",
     .way = KA_BOOT,
     .doc = "of a union, at another's place"},
    {.key = "disks.*.startup",
     .codec = &ka_word,
     .at = "source/@startupPolicy",
     .way = KA_BOOT,
     .doc = "shared by the union"},
    {.key = "disks.*.bus",
     .codec = &ka_word,
     .at = "target/@bus",
     .fresh = "virtio",
     .way = KA_BOOT,
     .doc = "of an item, with a fresh value"},
    {.key = "disks.*.read-only",
     .codec = &ka_presence,
     .at = "readonly",
     .way = KA_BOOT,
     .doc = "presence in an item"},
    {.key = "nics",                           .codec = &ka_map,                                                    .way = KA_LIVE,                                                                                                                                    .doc = "devices by a name of the user's"                                                                                                                                                                                                                                                        },
    {.key = "nics.*",
     .codec = &ka_map,
     .at = "devices/interface",
     .id = "alias/@name=ua-*|=mac/@address",
     .way = KA_LIVE,
     .doc = "one"},
    {.key = "nics.*.network",
     .codec = &ka_line,
     .at = "self[@type='network']/source/@network",
     .way = KA_LIVE,
     .doc = "of a union"},
    {.key = "nics.*.bridge",
     .codec = &ka_line,
     .at = "self[@type='bridge']/source/@bridge",
     .way = KA_LIVE,
     .doc = "of a union"},
    {.key = "nics.*.mac",  .codec = &ka_mac,                              .at = "mac/@address",                                                                                     .way = KA_ONCE,                                                                                                                                                                                                                                                                                    .doc = "pairs"},
    {.key = "nics.*.model",                           .codec = &ka_word,                                           .at = "model/@type",                                                                                                                           .way = KA_ONCE,                                                                                                                                                                                                                                                             .doc = "model"},
    {.key = "inputs",                          .codec = &ka_map,.way = KA_BOOT,.doc = "devices by number"},
    {.key = "inputs.*",
     .codec = &ka_map,
     .at = "devices/input",
     .id = "#",
     .way = KA_BOOT,
     .doc = "one",
     .name = &ka_uint},
    {.key = "inputs.*.type",                  .codec = &ka_word,                                                      .at = "@type",                                                                                                            .way = KA_BOOT,                                                                                                                                                                                                                                                                                           .doc = "type"},
    {.key = "password",
     .codec = &ka_secret,
     .at = "devices/graphics/@passwd",
     .way = KA_LIVE,
     .doc = "secret"},
    {.key = "xml",                      .codec = &ka_map,                                                  .way = KA_BOOT,                                                                                                                .doc = "fragments"                                                                                                                                                                                                                                            },
    {.key = "xml.*",                          .codec = &ka_fragment,                                        .way = KA_BOOT,                                    .doc = "one"},
};

static const KaTable thing_table = {.kind = "thing",
                                    .plural = "things",
                                    .root = "domain",
                                    .doc = "a thing",
                                    .fields = thing_fields,
                                    .n_fields = G_N_ELEMENTS(thing_fields)};

/* A manifest's node, checked; made by one group's setup, as the rows that it points to. */
static inline Text *
thing_load(const KaRows *rows, const char *yaml)
{
    Text *text = text_load(yaml);

    assert_true(text->loaded);
    ka_check(text->tree, text->roots->pdata[0], rows, text->diagnostics);
    g_autofree char *wrong = diagnostics_text(text->diagnostics);
    assert_string_equal(wrong, "");
    return text;
}

static inline KaDocument *
thing_parse(const KaRows *rows, const char *xml)
{
    g_autoptr(GError) error = NULL;
    KaDocument *document = ka_document_parse(rows, xml, &error);

    if (error)
        fail_msg("%s", error->message);
    return document;
}

/* The document without its indentation. */
static inline char *
thing_text(const KaDocument *document)
{
    g_autofree char *formatted = ka_document_format(document);
    g_auto(GStrv) lines = g_strsplit(formatted, "\n", -1);

    for (char **line = lines; *line; line++)
        g_strstrip(*line);
    return g_strjoinv("", lines);
}

static inline void
assert_document(const KaDocument *document, const char *expected)
{
    g_autofree char *text = thing_text(document);

    assert_string_equal(text, expected);
}

/* The tree as a manifest would say it. */
static inline void
assert_tree(const KaTree *tree, const char *expected)
{
    g_autofree char *text = ka_emit(tree->root);

    assert_string_equal(text, expected);
}
