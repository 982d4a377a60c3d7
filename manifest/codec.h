#pragma once
#include <glib.h>
#include <stdint.h>

/* How a value is written in a manifest, held canonically in a node and stored on a host, what is
 * allowed, and when two are the same. canonical is what the host's document holds ("2097152" for
 * 2GiB in KiB, "yes" for true), so reading and writing places needs no conversion. */
typedef struct KaCodec KaCodec;
struct KaCodec {
    const char *name;     /* the JSON Schema definition's name and explain's: "size", "yes-no" */
    const char *expected; /* in errors: "a size with a unit such as 2GiB" */
    /* Manifest text to canonical; NULL: as it is. */
    char *(*parse)(const KaCodec *codec, const char *text, GError **error);
    /* Is the text canonical as it stands? NULL: every text is where there is no parse, none where
     * there is one. */
    gboolean (*is_canonical)(const KaCodec *codec, const char *text);
    /* Canonical to manifest text; NULL: as it is. Never fails; odd text comes back as it is. */
    char *(*format)(const KaCodec *codec, const char *canonical);
    /* Are two canonical values the same to the host; NULL: equal text. */
    gboolean (*equal)(const KaCodec *codec, const char *a, const char *b);
    const char *const
        *values; /* the canonical values of an enumeration; of "boolean": true's, false's */
    gsize n_values;
    int64_t minimum, maximum; /* of numbers, in the codec's unit; both 0: unbounded */
    uint64_t unit;            /* of sizes: bytes in one canonical unit; of times: microseconds */
    const char *json_type; /* "string", "boolean", "integer": what is asked of a text where parse is
                              NULL */
    const char *pattern; /* JSON Schema pattern of the manifest text, or NULL; asked of a text where
                            parse and is_canonical are NULL */
    const char *refers;  /* the kind whose objects it names ("disk"), or NULL */
    gboolean secret;     /* {file:} and {env:} are allowed; never shown */
    gboolean is_presence; /* the place is an element: there for true, not there for false */
};

typedef enum { KA_CODEC_ERROR_VALUE } KaCodecError;
#define KA_CODEC_ERROR (ka_codec_error_quark())
GQuark ka_codec_error_quark(void);

/* The error says codec->expected and what was found. */
char *ka_codec_parse(const KaCodec *codec, const char *text, GError **error);
/* The canonical text where that needs no memory: text itself, or one of the codec's own values;
 * NULL: ask ka_codec_parse. */
const char *ka_codec_canonical(const KaCodec *codec, const char *text);
char *ka_codec_format(const KaCodec *codec, const char *canonical);
/* NULL is absent, which equals only absent, and "no" where presence is the value. */
gboolean ka_codec_equal(const KaCodec *codec, const char *a, const char *b);
/* ka_word's is_canonical, for codecs of the same characters. */
gboolean ka_codec_is_word(const KaCodec *codec, const char *text);
/* For parse functions: sets the error that says what was expected and what was found (not of
 * secrets), and hint where it isn't NULL ("add a unit"). Always NULL. */
char *ka_codec_refuse(const KaCodec *codec, const char *text, const char *hint, GError **error);
/* What is expected of a text, as in "expected …": of any codec. Caller frees. */
char *ka_codec_expected(const KaCodec *codec);

extern const KaCodec ka_map;    /* no scalar: a map of rows below */
extern const KaCodec ka_list;   /* no scalar: a list ("[]" row gives the items') */
extern const KaCodec ka_string; /* any text without control characters but newline and tab */
extern const KaCodec ka_line;   /* one line of text */
extern const KaCodec ka_name;   /* an object's name: see ka_name_check */
/* Names of objects of a kind, declared or (where the resolver allows it) on the host. */
extern const KaCodec ka_host_name, ka_network_name, ka_pool_name, ka_image_name, ka_disk_name;
extern const KaCodec ka_word;     /* [A-Za-z0-9_.:+-]+ : device names, models */
extern const KaCodec ka_device;   /* [A-Za-z0-9_-]+ : what libvirt keeps in a ua- alias */
extern const KaCodec ka_path;     /* absolute path; /a//b/ equals /a/b */
extern const KaCodec ka_local_file; /* where kvmapply runs, relative to the manifest */
extern const KaCodec ka_secret;   /* as ka_line, secret */
/* Any YAML or text, for a reader in the guest: stays a tree (of no rows, all secret) when checked;
 * {file:} and {env:} anywhere in it are the texts they name. */
extern const KaCodec ka_data;
extern const KaCodec ka_uuid;     /* RFC 4122 text, case folded */
extern const KaCodec ka_mac;      /* 52:54:00:12:34:56, case folded */
extern const KaCodec ka_kib;      /* size; canonical whole KiB, rounded up */
extern const KaCodec ka_bytes;    /* size; canonical bytes */
extern const KaCodec ka_capacity; /* the same, not 0 */
extern const KaCodec ka_uint;     /* 0 … 2^31-1 */
extern const KaCodec ka_positive; /* 1 … 2^31-1 */
extern const KaCodec ka_port;     /* 0 … 65535 */
extern const KaCodec ka_ms;       /* time with unit (20ms, 2s); canonical milliseconds */
extern const KaCodec ka_seconds;  /* time with unit (10s, 5min); canonical seconds */
extern const KaCodec ka_presence; /* true/false; an element is there or not; canonical "yes"/"no" */
extern const KaCodec ka_yes_no;   /* true/false; canonical "yes"/"no" */
extern const KaCodec ka_on_off;   /* true/false; canonical "on"/"off" */
extern const KaCodec ka_address;  /* IPv4 or IPv6, canonical as inet_ntop prints it */
extern const KaCodec ka_cidr;     /* address/prefix */
#define KA_CIDR_DEFAULT "default" /* a prefix: the one that libvirt takes where none is said */
extern const KaCodec ka_range;    /* address-address, one family, first <= last */
extern const KaCodec ka_cpuset;   /* 0-3,^2,7; equal as sets */
extern const KaCodec ka_octal;    /* file mode, 0755; canonical four digits */
extern const KaCodec ka_pci; /* 0000:04:00.0; canonical 0x0000:0x04:0x00.0x0 as libvirt holds it */
extern const KaCodec ka_fragment; /* a fragment of libvirt XML; equal handled by the XML store */
extern const KaCodec ka_uri;      /* libvirt connection URI */
extern const KaCodec ka_allowed;  /* a word that lets something happen: see KaWord */

/* Enumerations are declared where they are used:
 * KA_ENUM(cache_mode, "none", "writeback", …) makes `static const KaCodec cache_mode`. */
#define KA_ENUM(ident, ...)                                                                        \
    static const char *const ident##_values[] = {__VA_ARGS__};                                     \
    static const KaCodec ident = {.name = #ident,                                                  \
                                  .values = ident##_values,                                        \
                                  .n_values = G_N_ELEMENTS(ident##_values),                        \
                                  .json_type = "string"}

/* Whole numbers within a range: KA_NUMBER(weight, 100, 1000). */
#define KA_NUMBER(ident, min, max)                                                                 \
    static const KaCodec ident = {                                                                 \
        .name = #ident, .minimum = (min), .maximum = (max), .json_type = "integer"}

/* Names of objects: 1 to 200 bytes of UTF-8, no '/', quotes, '<', '>', '&' or control characters,
 * no leading '.' or '-', no leading or trailing space. */
gboolean ka_name_check(const char *name, GError **error);
