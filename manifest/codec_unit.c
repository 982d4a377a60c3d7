/* Values with a unit: sizes and times. */
#include "manifest/codec.h"

#include <string.h>

/* Reads digits; moves text behind them and the spaces after. FALSE: no digits, or too many. */
static gboolean
take_number(const char **text, guint64 *ret_number)
{
    const char *at = *text;
    guint64 number = 0;
    if (!g_ascii_isdigit(*at))
        return FALSE;
    for (; g_ascii_isdigit(*at); at++)
        if (!g_uint64_checked_mul(&number, number, 10) ||
            !g_uint64_checked_add(&number, number, (guint64)(*at - '0')))
            return FALSE;
    *text = at + strspn(at, " ");
    *ret_number = number;
    return TRUE;
}

/* As take_number, for a canonical text, which is digits only. */
static gboolean
whole_number(const char *text, guint64 *ret_number)
{
    return take_number(&text, ret_number) && *text == '\0';
}

/* Bytes in a unit as libvirt's virScaleInteger reads it: case doesn't matter, K and KiB are 1024,
 * KB is 1000. 0: no unit. */
static guint64
size_scale(const char *suffix)
{
    static const char letters[] = "kmgtpe";
    if (g_ascii_strcasecmp(suffix, "b") == 0 || g_ascii_strcasecmp(suffix, "byte") == 0 ||
        g_ascii_strcasecmp(suffix, "bytes") == 0)
        return 1;
    const char *letter = *suffix ? strchr(letters, g_ascii_tolower(*suffix)) : NULL;
    if (!letter)
        return 0;
    guint64 base = 0;
    if (suffix[1] == '\0' || g_ascii_strcasecmp(suffix + 1, "ib") == 0)
        base = 1024;
    else if (g_ascii_strcasecmp(suffix + 1, "b") == 0)
        base = 1000;
    guint64 scale = base;
    for (const char *at = letters; at < letter; at++)
        scale *= base;
    return scale;
}

static char *
refuse_bare(const KaCodec *codec, const char *text, const char *unit, GError **error)
{
    g_autofree char *hint =
        g_strdup_printf("add a unit, e.g. %.*s%s", (int)strspn(text, "0123456789"), text, unit);
    return ka_codec_refuse(codec, text, hint, error);
}

static char *
refuse_range(const KaCodec *codec, const char *text, GError **error)
{
    g_autofree char *lowest = g_strdup_printf("%" G_GINT64_FORMAT, codec->minimum);
    g_autofree char *highest = g_strdup_printf("%" G_GINT64_FORMAT, codec->maximum);
    g_autofree char *from = ka_codec_format(codec, lowest);
    g_autofree char *to = ka_codec_format(codec, highest);
    g_autofree char *hint = codec->maximum == G_MAXINT64
                                ? g_strdup_printf("must be at least %s", from)
                                : g_strdup_printf("must be from %s to %s", from, to);
    return ka_codec_refuse(codec, text, hint, error);
}

static char *
canonical_number(const KaCodec *codec, const char *text, guint64 number, GError **error)
{
    gboolean is_bounded = codec->minimum || codec->maximum;
    if (is_bounded &&
        (number < (guint64)MAX(codec->minimum, 0) || number > (guint64)codec->maximum))
        return refuse_range(codec, text, error);
    /* Large manifests have many sizes, and printf is slow. */
    char digits[21] = "";
    char *at = digits + sizeof digits - 1;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return g_strdup(at);
}

static char *
size_parse(const KaCodec *codec, const char *text, GError **error)
{
    const char *suffix = text;
    guint64 number = 0;
    if (!take_number(&suffix, &number))
        return ka_codec_refuse(codec, text, NULL, error);
    if (*suffix == '\0')
        return refuse_bare(codec, text, "MiB", error);
    guint64 scale = size_scale(suffix);
    if (scale == 0)
        return ka_codec_refuse(codec, text, "units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB",
                               error);
    if (number > (guint64)G_MAXINT64 / scale)
        return ka_codec_refuse(codec, text, "the largest is below 8EiB", error);
    guint64 bytes = number * scale;
    guint64 rounded = bytes / codec->unit + (bytes % codec->unit != 0);
    return canonical_number(codec, text, rounded, error);
}

static char *
size_format(const KaCodec *codec, const char *canonical)
{
    static const char letters[] = "EPTGMK";
    guint64 number = 0, bytes = 0;
    if (!whole_number(canonical, &number) || !g_uint64_checked_mul(&bytes, number, codec->unit))
        return g_strdup(canonical);
    guint64 scale = G_GUINT64_CONSTANT(1) << 60;
    for (const char *letter = letters; *letter && bytes > 0; letter++, scale >>= 10)
        if (bytes % scale == 0)
            return g_strdup_printf("%" G_GUINT64_FORMAT "%ciB", bytes / scale, *letter);
    return g_strdup_printf("%" G_GUINT64_FORMAT "B", bytes);
}

static const struct {
    const char *name;
    guint64 microseconds;
} times[] = {
    {"h",   G_GUINT64_CONSTANT(3600000000)},
    {"min", 60000000                      },
    {"s",   1000000                       },
    {"ms",  1000                          },
    {"us",  1                             },
};

static guint64
time_scale(const char *suffix)
{
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++)
        if (strcmp(suffix, times[i].name) == 0)
            return times[i].microseconds;
    return 0;
}

static const char *
time_unit(guint64 microseconds)
{
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++)
        if (times[i].microseconds == microseconds)
            return times[i].name;
    return "us";
}

static char *
time_parse(const KaCodec *codec, const char *text, GError **error)
{
    const char *suffix = text;
    guint64 number = 0, microseconds = 0;
    if (!take_number(&suffix, &number))
        return ka_codec_refuse(codec, text, NULL, error);
    if (*suffix == '\0')
        return refuse_bare(codec, text, time_unit(codec->unit), error);
    guint64 scale = time_scale(suffix);
    if (scale == 0)
        return ka_codec_refuse(codec, text, "units are us, ms, s, min, h", error);
    if (!g_uint64_checked_mul(&microseconds, number, scale) || microseconds > G_MAXINT64)
        return ka_codec_refuse(codec, text, "that is too long", error);
    if (microseconds % codec->unit != 0) {
        g_autofree char *hint = g_strdup_printf("must be whole %s", time_unit(codec->unit));
        return ka_codec_refuse(codec, text, hint, error);
    }
    return canonical_number(codec, text, microseconds / codec->unit, error);
}

static char *
time_format(const KaCodec *codec, const char *canonical)
{
    guint64 number = 0, microseconds = 0;
    if (!whole_number(canonical, &number) ||
        !g_uint64_checked_mul(&microseconds, number, codec->unit))
        return g_strdup(canonical);
    if (number == 0)
        return g_strdup_printf("0%s", time_unit(codec->unit));
    gsize i = 0;
    while (microseconds % times[i].microseconds != 0)
        i++;
    return g_strdup_printf("%" G_GUINT64_FORMAT "%s", microseconds / times[i].microseconds,
                           times[i].name);
}

static gboolean
number_equal(G_GNUC_UNUSED const KaCodec *codec, const char *a, const char *b)
{
    guint64 left = 0, right = 0;
    return whole_number(a, &left) && whole_number(b, &right) && left == right;
}

#define SIZE_UNIT "([KMGTPEkmgtpe]([iI]?[bB])?|[bB]([yY][tT][eE][sS]?)?)$"
#define SIZE_PATTERN "^[0-9]+ *" SIZE_UNIT
#define CAPACITY_PATTERN "^0*[1-9][0-9]* *" SIZE_UNIT
#define TIME_PATTERN "^[0-9]+ *(us|ms|s|min|h)$"

/* A row's own size or time codec (another unit, bounds) takes these functions from here. */
#define SIZE(ident, title, bytes, ...)                                                             \
    const KaCodec ident = {.name = title,                                                          \
                           .expected = "a size with a unit such as 2GiB",                          \
                           .parse = size_parse,                                                    \
                           .format = size_format,                                                  \
                           .equal = number_equal,                                                  \
                           .unit = bytes,                                                          \
                           .json_type = "string",                                                  \
                           __VA_ARGS__}
#define TIME(ident, title, example, microseconds)                                                  \
    const KaCodec ident = {.name = title,                                                          \
                           .expected = "a time with a unit such as " example,                      \
                           .parse = time_parse,                                                    \
                           .format = time_format,                                                  \
                           .equal = number_equal,                                                  \
                           .unit = microseconds,                                                   \
                           .json_type = "string",                                                  \
                           .pattern = TIME_PATTERN}

SIZE(ka_kib, "size", 1024, .pattern = SIZE_PATTERN);
SIZE(ka_bytes, "size-in-bytes", 1, .pattern = SIZE_PATTERN);
SIZE(ka_capacity, "capacity", 1, .minimum = 1, .maximum = G_MAXINT64, .pattern = CAPACITY_PATTERN);
TIME(ka_ms, "milliseconds", "20ms", 1000);
TIME(ka_seconds, "seconds", "10s", 1000000);
