#include "manifest/manifest.h"

#include <string.h>

KA_ENUM(image_format, "raw", "qcow2");

static const KaCodec image_url = {.name = "url",
                                  .expected = "a URL: https, http, ftp or file",
                                  .json_type = "string",
                                  .pattern = "^(https?|ftp|file)://[^ ]+$"};
static const KaCodec image_sha256 = {.name = "sha256",
                                     .expected = "64 hexadecimal digits",
                                     .json_type = "string",
                                     .pattern = "^[0-9A-Fa-f]{64}$"};
static const KaCodec image_sha512 = {.name = "sha512",
                                     .expected = "128 hexadecimal digits",
                                     .json_type = "string",
                                     .pattern = "^[0-9A-Fa-f]{128}$"};
static const KaCodec image_package = {.name = "package",
                                      .expected = "a package's name, such as vim",
                                      .json_type = "string",
                                      .pattern = "^[A-Za-z0-9@][A-Za-z0-9+._:=~^@/*-]*$"};
static const KaCodec image_owner = {.name = "owner",
                                    .expected = "an owner such as root or www-data:adm",
                                    .json_type = "string",
                                    .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$"};
static const KaCodec image_user = {.name = "user",
                                   .expected = "a user's name",
                                   .json_type = "string",
                                   .pattern = "^[A-Za-z_][A-Za-z0-9_.-]*$"};
static const KaCodec image_hostname = {.name = "hostname",
                                       .expected = "a host's name such as web.example.com",
                                       .json_type = "string",
                                       .pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"};
static const KaCodec image_timezone = {.name = "timezone",
                                       .expected = "a time zone such as Europe/Berlin",
                                       .json_type = "string",
                                       .pattern = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"};
static const KaCodec image_locale = {.name = "locale",
                                     .expected = "a locale such as de_DE.UTF-8",
                                     .json_type = "string",
                                     .pattern = "^[A-Za-z0-9_.@-]+$"};
static const KaCodec image_service = {.name = "service",
                                      .expected = "a service's name such as ssh",
                                      .json_type = "string",
                                      .pattern = "^[A-Za-z0-9_@][A-Za-z0-9_.@:-]*$"};
static const KaCodec image_argument = {.name = "kernel-argument",
                                       .expected = "one argument such as console=ttyS0",
                                       .json_type = "string",
                                       .pattern = "^[A-Za-z0-9_.,:=/@+%-]+$"};
static const KaCodec image_password = {.name = "password",
                                       .expected = "'locked', a hash as in shadow(5), {file: PATH} "
                                                   "or {env: NAME}",
                                       .json_type = "string",
                                       .pattern = "^[^:\\n]+$",
                                       .secret = TRUE};

#define ROW(key_, codec_, doc_)                                                                    \
    {                                                                                              \
        .key = (key_), .codec = &(codec_), .way = KA_NONE, .doc = (doc_)                           \
    }
#define BRIEF(key_, brief_, doc_)                                                                  \
    {                                                                                              \
        .key = (key_), .codec = &ka_map, .way = KA_NONE, .brief = (brief_), .doc = (doc_)          \
    }
#define NAMED(key_, codec_, name_, brief_, doc_)                                                   \
    {                                                                                              \
        .key = (key_), .codec = &(codec_), .way = KA_NONE, .name = &(name_), .brief = (brief_),    \
        .doc = (doc_)                                                                              \
    }

static const KaField fields[] = {
    BRIEF("source", "url", "what the image is made from: url, path, volume or guest"),
    ROW("source.url", image_url, "https, http, ftp or file; packed as .xz, .gz, .zst or .bz2, or not"),
    ROW("source.path", ka_local_file, "a local file or device, relative to the manifest"),
    ROW("source.volume", ka_line, "a volume on a host"),
    ROW("source.pool", ka_name, "the pool of volume; default: 'default'"),
    ROW("source.guest", ka_name, "a guest whose disk is captured; it must be off"),
    ROW("source.disk", ka_device, "which disk of guest, such as vda; default: its only one"),
    ROW("source.host", ka_host_name, "where volume or guest is; default: the only host"),
    ROW("source.mirrors", ka_list, "other URLs of the same file, by preference"),
    ROW("source.mirrors[]", image_url, "a URL"),
    ROW("source.sha256", image_sha256, "digest of the file as it is served"),
    ROW("source.sha512", image_sha512, "digest of the file as it is served"),
    ROW("source.checksums", image_url, "URL of a list of digests with a line for the file"),
    ROW("source.format",
        image_format,
        "the source's format, never probed; default: as its name ends (.qcow2, .raw)"),
    ROW("source.limit", ka_bytes, "the most that is fetched or unpacked; default: 64GiB, 256GiB"),
    ROW("luks-key", ka_local_file, "file with the key that opens the source's encryption"),
    ROW("format", image_format, "format of the built image; default: raw, qcow2 with compress"),
    ROW("size", ka_bytes, "the last partition and its file system grow to it; default: the source's"),
    ROW("hostname", image_hostname, "the host's name"),
    ROW("timezone", image_timezone, "the time zone, such as Europe/Berlin"),
    ROW("locale", image_locale, "the system's locale, such as de_DE.UTF-8"),
    ROW("update", ka_yes_no, "all packages are brought up to date; default: false"),
    ROW("install", ka_list, "packages, by the image's own package manager"),
    ROW("install[]", image_package, "a package"),
    ROW("install-files", ka_list, "local package files (.deb, .rpm, …), relative to the manifest"),
    ROW("install-files[]", ka_local_file, "a package file"),
    ROW("users", ka_map, "users that are made, or changed where they are there"),
    NAMED("users.*", ka_map, image_user, NULL, "a user"),
    ROW("users.*.password", image_password, "locked, a hash, or {file:}; default: locked"),
    ROW("users.*.uid", ka_uint, "numeric user; default: the next free one"),
    ROW("users.*.groups", ka_list, "groups it is added to; made where they are missing"),
    ROW("users.*.groups[]", image_user, "a group"),
    ROW("users.*.shell", ka_path, "login shell; default: /bin/bash or the image's own"),
    ROW("users.*.home", ka_path, "home folder; default: /home/NAME"),
    ROW("users.*.system", ka_yes_no, "a system user; default: false"),
    ROW("users.*.sudo", ka_yes_no, "may do all by sudo without a password; default: false"),
    ROW("root-password", image_password, "locked, a hash, or {file:}; default: as it is"),
    ROW("ssh-keys", ka_map, "public keys by the user that they log in"),
    NAMED("ssh-keys.*", ka_list, image_user, NULL, "a user"),
    ROW("ssh-keys.*[]", ka_line, "a public key: the line of its .pub file"),
    ROW("files", ka_map, "files by path; folders on the way are made"),
    NAMED("files.*", ka_map, ka_path, "content", "a file"),
    ROW("files.*.content", ka_string, "its text"),
    ROW("files.*.file", ka_local_file, "a local file that it is a copy of"),
    ROW("files.*.mode", ka_octal, "octal mode; default: 0644"),
    ROW("files.*.owner", image_owner, "user, or user:group; default: root:root"),
    ROW("run", ka_list, "scripts run in the image, in this order"),
    BRIEF("run[]", "script", "a script"),
    ROW("run[].script", ka_local_file, "a local script, relative to the manifest"),
    ROW("run[].command", ka_string, "commands for the image's sh"),
    ROW("network", ka_yes_no, "network while it is built; default: where something is installed or run"),
    ROW("services", ka_map, "services by name: true is started at boot, false isn't"),
    NAMED("services.*", ka_yes_no, image_service, NULL, "on or off"),
    ROW("kernel-args", ka_list, "arguments added to the kernel's command line"),
    ROW("kernel-args[]", image_argument, "an argument"),
    BRIEF("scrub", "enabled", "what identifies a machine is removed: true, or which operations"),
    ROW("scrub.enabled", ka_yes_no, "the default operations; default: false, true with other keys"),
    ROW("scrub.only", ka_list, "only these operations"),
    ROW("scrub.only[]", ka_device, "an operation"),
    ROW("scrub.also", ka_list, "besides the default ones"),
    ROW("scrub.also[]", ka_device, "an operation"),
    ROW("scrub.keep", ka_list, "default operations that are left out"),
    ROW("scrub.keep[]", ka_device, "an operation"),
    ROW("scrub.paths", ka_list, "own paths and globs that are removed, too"),
    ROW("scrub.paths[]", ka_path, "a path"),
    ROW("first-boot", ka_list, "scripts that each guest runs once, when it first boots"),
    BRIEF("first-boot[]", "script", "a script"),
    ROW("first-boot[].script", ka_local_file, "a local script, relative to the manifest"),
    ROW("first-boot[].command", ka_string, "commands for sh"),
    ROW("selinux-relabel", ka_yes_no, "files get SELinux's labels anew when a guest first boots; default: false"),
    ROW("compress", ka_yes_no, "data is compressed (qcow2); default: false"),
};

static const KaTable table = {
    .kind = "image",
    .plural = "images",
    .doc = "golden images by name: fetched or captured, customised, scrubbed, and used by disks",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

static void complain(const KaObject *object,
                     const KaNode *node,
                     KaDiagnostics *diagnostics,
                     const char *format,
                     ...) G_GNUC_PRINTF(4, 5);

static void
complain(const KaObject *object,
         const KaNode *node,
         KaDiagnostics *diagnostics,
         const char *format,
         ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    ka_diagnostics_add(diagnostics, KA_ERROR, ka_node_mark(node), "image '%s': %s", object->name,
                       message);
}

static gboolean
has(const KaNode *node, const char *key)
{
    const KaNode *value = ka_node_get(node, key);

    return value && value->type != KA_NODE_NULL;
}

/* Of a map exactly one of the keys. path: of the map, for the message. */
static const char *
check_one_of(const KaObject *object,
             const KaNode *node,
             const char *path,
             const char *const *keys,
             KaDiagnostics *diagnostics)
{
    const char *first = NULL;

    for (const char *const *key = keys; *key; key++) {
        if (!has(node, *key))
            continue;
        if (first)
            complain(object, ka_node_get(node, *key), diagnostics,
                     "%s: '%s' and '%s' exclude each other", path, first, *key);
        first = first ? first : *key;
    }
    if (first == NULL) {
        g_autofree char *all = g_strjoinv("' or '", (char **)ka_borrow(keys));
        complain(object, node, diagnostics, "%s: '%s' is missing", path, all);
    }
    return first;
}

/* What belongs to one sort of source alone. */
static void
check_belonging(const KaObject *object,
                const KaNode *source,
                const char *sort,
                KaDiagnostics *diagnostics)
{
    static const struct {
        const char *key;
        const char *of[3];
    } belongs[] = {
        {"mirrors",   {"url"}            },
        {"sha256",    {"url", "path"}    },
        {"sha512",    {"url"}            },
        {"checksums", {"url"}            },
        {"limit",     {"url", "path"}    },
        {"format",    {"url", "path"}    },
        {"pool",      {"volume"}         },
        {"disk",      {"guest"}          },
        {"host",      {"volume", "guest"}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(belongs); i++) {
        if (has(source, belongs[i].key) && !g_strv_contains(belongs[i].of, sort))
            complain(object, ka_node_get(source, belongs[i].key), diagnostics,
                     "source: '%s' goes with '%s' alone", belongs[i].key, belongs[i].of[0]);
    }
}

static gboolean
is_plain(const char *url)
{
    return g_str_has_prefix(url, "http:") || g_str_has_prefix(url, "ftp:");
}

/* What comes over a line that anybody may change must be known beforehand. */
static void
check_trust(const KaObject *object, const KaNode *source, KaDiagnostics *diagnostics)
{
    static const char *const digests[] = {"sha256", "sha512", "checksums", NULL};
    const KaNode *mirrors = ka_node_get(source, "mirrors");
    const KaNode *list = ka_node_get(source, "checksums");
    const KaNode *plain = NULL;
    gboolean verified = FALSE;

    for (const char *const *digest = digests; *digest; digest++)
        verified = verified || has(source, *digest);
    if (list && list->text && is_plain(list->text))
        complain(object, list, diagnostics,
                 "source: 'checksums' wants https or file: over plain http anybody could change it");
    if (list && (has(source, "sha256") || has(source, "sha512")))
        complain(object, list, diagnostics,
                 "source: 'checksums' and a digest of its own exclude each other");
    if (is_plain(ka_node_text(source, "url")))
        plain = ka_node_get(source, "url");
    for (const KaNode *mirror = mirrors ? mirrors->first : NULL; mirror; mirror = mirror->next)
        plain = !plain && is_plain(mirror->text) ? mirror : plain;
    if (plain && !verified)
        complain(object, plain, diagnostics,
                 "source: '%.*s' without a checksum is not trusted: add 'sha256', 'sha512' or "
                 "'checksums', or use https",
                 (int)strcspn(plain->text, ":"), plain->text);
}

static void
put_fresh(KaManifest *manifest, KaObject *object, const char *path, const char *text)
{
    KaNode *node = ka_node_put(manifest->tree, object->node, path, text);

    node->row = ka_rows_find(ka_kind_rows(object->kind), path)->row;
    node->fresh = TRUE;
}

/* As the name ends, without what it is packed in; NULL: it doesn't say. ".img" is anything. */
static const char *
format_of_name(const char *location)
{
    static const char *const packed[] = {".xz", ".gz", ".zst", ".bz2"};
    static const char *const endings[][2] = {
        {".qcow2", "qcow2"},
        {".raw",   "raw"  },
        {".iso",   "raw"  },
    };
    gsize end = strcspn(location, "?#");
    g_autofree char *name = g_ascii_strdown(location, (gssize)end);

    if (g_str_has_prefix(name, "/dev/"))
        return "raw";
    for (gsize i = 0; i < G_N_ELEMENTS(packed); i++) {
        if (g_str_has_suffix(name, packed[i])) {
            name[strlen(name) - strlen(packed[i])] = '\0';
            break;
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(endings); i++) {
        if (g_str_has_suffix(name, endings[i][0]))
            return endings[i][1];
    }
    return NULL;
}

static void
settle_source(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    static const char *const sorts[] = {"url", "path", "volume", "guest", NULL};
    const KaNode *source = ka_node_get(object->node, "source");
    const char *sort = NULL, *format = NULL;

    if (source == NULL || source->type != KA_NODE_MAP) {
        complain(object, object->node, diagnostics,
                 "'source' is missing; expected url, path, volume or guest");
        return;
    }
    sort = check_one_of(object, source, "source", sorts, diagnostics);
    if (sort == NULL)
        return;
    check_belonging(object, source, sort, diagnostics);
    if (g_str_equal(sort, "url"))
        check_trust(object, source, diagnostics);
    if (has(source, "format") || g_str_equal(sort, "volume") || g_str_equal(sort, "guest"))
        return;
    format = format_of_name(ka_node_text(source, sort));
    if (format)
        put_fresh(manifest, object, "source.format", format);
    else
        complain(object, ka_node_get(source, sort), diagnostics,
                 "source: '%s' doesn't end as a format does: say 'format' (raw or qcow2), which "
                 "is never probed",
                 ka_node_text(source, sort));
}

static void
check_items(const KaObject *object,
            const char *key,
            const char *const *kinds,
            KaDiagnostics *diagnostics)
{
    const KaNode *list = ka_node_get(object->node, key);
    guint i = 0;

    for (const KaNode *item = list ? list->first : NULL; item; item = item->next, i++) {
        g_autofree char *path =
            item->key ? ka_path_append(key, item->key) : g_strdup_printf("%s[%u]", key, i);
        if (item->type == KA_NODE_MAP)
            check_one_of(object, item, path, kinds, diagnostics);
    }
}

static void
settle_format(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    gboolean compress = g_strcmp0(ka_node_text(object->node, "compress"), "yes") == 0;
    const KaNode *format = ka_node_get(object->node, "format");

    if (format == NULL)
        put_fresh(manifest, object, "format", compress ? "qcow2" : "raw");
    else if (compress && g_strcmp0(format->text, "raw") == 0)
        complain(object, format, diagnostics, "a raw image can't be compressed: 'compress' wants "
                                              "'format: qcow2'");
}

static void
complete(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    static const char *const contents[] = {"content", "file", NULL};
    static const char *const scripts[] = {"script", "command", NULL};

    settle_source(manifest, object, diagnostics);
    settle_format(manifest, object, diagnostics);
    check_items(object, "files", contents, diagnostics);
    check_items(object, "run", scripts, diagnostics);
    check_items(object, "first-boot", scripts, diagnostics);
}

const KaKind ka_kind_image = {.table = &table, .complete = complete, .on_demand = TRUE};
