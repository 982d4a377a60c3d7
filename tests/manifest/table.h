#pragma once
/* A table that has one of everything, for the tests of what walks tables. */
#include "manifest/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

KA_ENUM(test_cache, "none", "writeback", "on");
KA_NUMBER(test_weight, 100, 1000);

static const KaField test_fields[] = {
    {.key = "title",           .codec = &ka_line,   .at = "title",            .doc = "a title"                                },
    {.key = "memory",          .codec = &ka_map,    .brief = "current",       .doc = "memory"                                 },
    {.key = "memory.current",  .codec = &ka_kib,    .at = "memory",           .fresh = "1024",                                  .doc = "now"},
    {.key = "memory.locked",                        .codec = &ka_presence,                      .at = "locked",  .doc = "locked"              },
    {.key = "weight",                        .codec = &test_weight,                             .at = "@weight",         .doc = "a weight"},
    {.key = "words",                        .codec = &ka_list,                              .doc = "words"             },
    {.key = "words[]",         .codec = &ka_word,   .at = "word",             .doc = "a word"                   },
    {.key = "disks",           .codec = &ka_map,    .doc = "disks by target"},
    {.key = "disks.*",
     .codec = &ka_map,
     .at = "devices/disk",
     .id = "alias/@name=ua-*",
     .brief = "path",
     .doc = "a disk"},
    {.key = "disks.*.path",                        .codec = &ka_path,                       .at = "self[@type='file']/@file",       .doc = "a file"                                                },
    {.key = "disks.*.device",
     .codec = &ka_path,
     .at = "self[@type='block']/@dev",
     .doc = "a device"                                                                                                          },
    {.key = "disks.*.type",                        .codec = &ka_word,                       .at = "@type",       .doc = "a type"},
    {.key = "disks.*.cache",                        .codec = &test_cache,                      .at = "driver/@cache",   .doc = "a cache"                                                                                         },
    {.key = "hosts",                        .codec = &ka_list,                              .doc = "hosts"             },
    {.key = "hosts[]",         .codec = &ka_map,    .at = "host",             .brief = "names",.doc = "a host"},
    {.key = "hosts[].names",                        .codec = &ka_list,                      .doc = "its names"     },
    {.key = "hosts[].names[]", .codec = &ka_word,   .at = "name",             .doc = "a name"        },
    {.key = "password",        .codec = &ka_secret, .at = "@password",        .doc = "a password"},
};

static const KaTable test_table = {
    .kind = "thing",
    .plural = "things",
    .root = "thing",
    .doc = "things for tests",
    .fields = test_fields,
    .n_fields = G_N_ELEMENTS(test_fields),
};
