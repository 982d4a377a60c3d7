#include "drivers/unpack.h"
#include "drivers/cache.h"

#include <bzlib.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <lzma.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define IN_BYTES (256 * 1024)
#define OUT_BYTES (1024 * 1024)
#define HOLE_BYTES 4096
/* What a stream may make us set aside: xz -9 needs 65 MiB, zstd --ultra -22 128 MiB. */
#define MEMORY_BYTES ((guint64)512 << 20)
#define WINDOW_LOG 29
#define MAGIC_BYTES 6

/* What a decoder takes from and gives to. */
typedef struct {
    guint8 *in, *out; /* borrowed; moved on by what was taken and given */
    gsize n_in, n_out;
    gboolean is_last; /* there is no more behind `in` */
    gboolean is_end;  /* set: a stream is complete; it may be followed by another */
} Step;

typedef struct {
    const char *suffix, *name;
    const char *magic;
    gsize n_magic;
    gpointer (*begin)(void);
    /* NULL, or what is wrong. Taking and giving nothing is no error by itself. */
    const char *(*step)(gpointer decoder, Step *step);
    void (*end)(gpointer decoder);
} Format;

static const char damaged[] = "it is damaged";
static const char greedy[] = "it needs too much memory";

static gpointer
xz_begin(void)
{
    lzma_stream *stream = g_new0(lzma_stream, 1);

    if (lzma_stream_decoder(stream, MEMORY_BYTES, LZMA_CONCATENATED) != LZMA_OK)
        g_error("liblzma has no memory");
    return stream;
}

static const char *
xz_step(gpointer decoder, Step *step)
{
    lzma_stream *stream = decoder;

    stream->next_in = step->in;
    stream->avail_in = step->n_in;
    stream->next_out = step->out;
    stream->avail_out = step->n_out;
    lzma_ret code = lzma_code(stream, step->is_last ? LZMA_FINISH : LZMA_RUN);
    step->in += step->n_in - stream->avail_in;
    step->n_in = stream->avail_in;
    step->out += step->n_out - stream->avail_out;
    step->n_out = stream->avail_out;
    step->is_end = code == LZMA_STREAM_END;
    if (code == LZMA_MEMLIMIT_ERROR || code == LZMA_MEM_ERROR)
        return greedy;
    return code == LZMA_OK || code == LZMA_STREAM_END || code == LZMA_BUF_ERROR ? NULL : damaged;
}

static void
xz_end(gpointer decoder)
{
    lzma_end(decoder);
    g_free(decoder);
}

static gpointer
gz_begin(void)
{
    z_stream *stream = g_new0(z_stream, 1);

    if (inflateInit2(stream, 15 + 16) != Z_OK) /* the largest window; gzip's header, no other */
        g_error("zlib has no memory");
    return stream;
}

static const char *
gz_step(gpointer decoder, Step *step)
{
    z_stream *stream = decoder;

    if (step->is_end)
        inflateReset(stream);
    stream->next_in = step->in;
    stream->avail_in = (uInt)step->n_in;
    stream->next_out = step->out;
    stream->avail_out = (uInt)step->n_out;
    int code = inflate(stream, Z_NO_FLUSH);
    step->in = stream->next_in;
    step->n_in = stream->avail_in;
    step->out = stream->next_out;
    step->n_out = stream->avail_out;
    step->is_end = code == Z_STREAM_END;
    return code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR ? NULL : damaged;
}

static void
gz_end(gpointer decoder)
{
    inflateEnd(decoder);
    g_free(decoder);
}

static gpointer
zst_begin(void)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();

    if (context == NULL ||
        ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG)))
        g_error("libzstd has no memory");
    return context;
}

static const char *
zst_step(gpointer decoder, Step *step)
{
    ZSTD_inBuffer in = {step->in, step->n_in, 0};
    ZSTD_outBuffer out = {step->out, step->n_out, 0};
    gsize code = ZSTD_decompressStream(decoder, &out, &in);

    step->in += in.pos;
    step->n_in -= in.pos;
    step->out += out.pos;
    step->n_out -= out.pos;
    step->is_end = code == 0;
    return ZSTD_isError(code) ? ZSTD_getErrorName(code) : NULL;
}

static void
zst_end(gpointer decoder)
{
    ZSTD_freeDCtx(decoder);
}

static gpointer
bz2_begin(void)
{
    bz_stream *stream = g_new0(bz_stream, 1);

    if (BZ2_bzDecompressInit(stream, 0, 0) != BZ_OK)
        g_error("libbz2 has no memory");
    return stream;
}

static const char *
bz2_step(gpointer decoder, Step *step)
{
    bz_stream *stream = decoder;

    if (step->is_end) {
        BZ2_bzDecompressEnd(stream);
        memset(stream, 0, sizeof *stream);
        BZ2_bzDecompressInit(stream, 0, 0);
    }
    stream->next_in = (char *)step->in;
    stream->avail_in = (unsigned)step->n_in;
    stream->next_out = (char *)step->out;
    stream->avail_out = (unsigned)step->n_out;
    int code = BZ2_bzDecompress(stream);
    step->in = (guint8 *)stream->next_in;
    step->n_in = stream->avail_in;
    step->out = (guint8 *)stream->next_out;
    step->n_out = stream->avail_out;
    step->is_end = code == BZ_STREAM_END;
    return code == BZ_OK || code == BZ_STREAM_END ? NULL : damaged;
}

static void
bz2_end(gpointer decoder)
{
    BZ2_bzDecompressEnd(decoder);
    g_free(decoder);
}

static const Format formats[] = {
    [KA_PACKING_XZ] = {".xz",  "xz",
                       "\xfd"
                       "7zXZ\0",                            6, xz_begin,  xz_step,  xz_end },
    [KA_PACKING_GZ] = {".gz",  "gzip",  "\x1f\x8b\x08",     3, gz_begin,  gz_step,  gz_end },
    [KA_PACKING_ZST] = {".zst", "zstd",  "\x28\xb5\x2f\xfd", 4, zst_begin, zst_step, zst_end},
    [KA_PACKING_BZ2] = {".bz2", "bzip2", "BZh",              3, bz2_begin, bz2_step, bz2_end},
};

static gboolean
has_magic(const Format *format, const char *bytes, gsize n)
{
    return n >= format->n_magic && memcmp(bytes, format->magic, format->n_magic) == 0;
}

static gboolean
read_head(const char *path, char *ret_bytes, gsize *ret_n, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    gssize n = fd < 0 ? -1 : pread(fd, ret_bytes, MAGIC_BYTES, 0);

    if (n < 0)
        ka_file_error(error, "read", path);
    if (fd >= 0)
        g_close(fd, NULL);
    *ret_n = (gsize)MAX(n, 0);
    return n >= 0;
}

gboolean
ka_packing_find(const char *path, const char *name, KaPacking *ret_packing, GError **error)
{
    char bytes[MAGIC_BYTES];
    gsize n = 0;
    g_autofree char *low = name ? g_ascii_strdown(name, -1) : NULL;

    if (!read_head(path, bytes, &n, error))
        return FALSE;
    for (guint i = KA_PACKING_XZ; low && i < G_N_ELEMENTS(formats); i++) {
        if (!g_str_has_suffix(low, formats[i].suffix))
            continue;
        if (has_magic(&formats[i], bytes, n)) {
            *ret_packing = (KaPacking)i;
            return TRUE;
        }
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "'%s' is no %s file, though its name says so", name, formats[i].name);
        return FALSE;
    }
    *ret_packing = KA_PACKING_NONE;
    for (guint i = KA_PACKING_XZ; i < G_N_ELEMENTS(formats); i++)
        if (has_magic(&formats[i], bytes, n))
            *ret_packing = (KaPacking)i;
    return TRUE;
}

typedef struct {
    const char *path; /* borrowed; of the input */
    const Format *format;
    int from_fd, to_fd;
    guint64 read_bytes, total_bytes; /* of the input */
    guint64 written_bytes, limit_bytes;
    const KaAction *action;
    const KaProgress *progress;
} Unpacking;

static gboolean
fail(const Unpacking *unpacking, const char *why, GError **error)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't unpack '%s' (%s): %s",
                unpacking->path, unpacking->format->name, why);
    return FALSE;
}

static gboolean
is_zero(const guint8 *data, gsize n)
{
    return n == 0 || (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0);
}

/* Runs of blocks that hold something; what is between them stays a hole. */
static gboolean
write_sparse(Unpacking *unpacking, const guint8 *data, gsize n, GError **error)
{
    if (unpacking->written_bytes + n > unpacking->limit_bytes) {
        g_autofree char *limit =
            g_format_size_full(unpacking->limit_bytes, G_FORMAT_SIZE_IEC_UNITS);
        g_autofree char *why = g_strdup_printf("it unpacks to more than the limit of %s", limit);
        return fail(unpacking, why, error);
    }
    for (gsize at = 0; at < n;) {
        gsize end = at;

        while (end < n && !is_zero(data + end, MIN(n - end, (gsize)HOLE_BYTES)))
            end = MIN(end + HOLE_BYTES, n);
        if (end > at && !ka_write_at(unpacking->to_fd, data + at, end - at,
                                     unpacking->written_bytes + at, "what is unpacked", error))
            return FALSE;
        at = end + HOLE_BYTES;
    }
    unpacking->written_bytes += n;
    ka_progress_step(unpacking->progress, unpacking->action, "unpacks", unpacking->read_bytes,
                     unpacking->total_bytes, "B");
    return ka_may_go_on(unpacking->progress, "the unpacking", error);
}

static gboolean
fill(Unpacking *unpacking, guint8 *buffer, Step *step, GError **error)
{
    gssize n = 0;

    if (step->n_in > 0 || step->is_last)
        return TRUE;
    do
        n = read(unpacking->from_fd, buffer, IN_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ka_file_error(error, "read", unpacking->path);
    step->in = buffer;
    step->n_in = (gsize)n;
    step->is_last = n == 0;
    unpacking->read_bytes += (guint64)n;
    return TRUE;
}

static gboolean
decode(Unpacking *unpacking, gpointer decoder, GError **error)
{
    g_autofree guint8 *in = g_malloc(IN_BYTES), *out = g_malloc(OUT_BYTES);
    Step step = {.out = out, .n_out = OUT_BYTES};

    for (;;) {
        if (!fill(unpacking, in, &step, error))
            return FALSE;
        if (step.is_last && step.n_in == 0 && step.is_end)
            return write_sparse(unpacking, out, (gsize)(step.out - out), error);
        gsize room = step.n_out;
        gboolean is_drained = step.is_last && step.n_in == 0;
        const char *why = unpacking->format->step(decoder, &step);
        if (why == NULL && is_drained && !step.is_end && step.n_out == room)
            why = "it is cut off";
        if (why)
            return fail(unpacking, why, error);
        if (step.n_out > 0)
            continue;
        if (!write_sparse(unpacking, out, OUT_BYTES, error))
            return FALSE;
        step.out = out;
        step.n_out = OUT_BYTES;
    }
}

static gboolean
unpack_all(Unpacking *unpacking, GError **error)
{
    struct stat status;

    if (fstat(unpacking->from_fd, &status) < 0)
        return ka_file_error(error, "read", unpacking->path);
    if (ftruncate(unpacking->to_fd, 0) < 0)
        return ka_file_error(error, "empty", "what is unpacked");
    unpacking->total_bytes = (guint64)status.st_size;
    gpointer decoder = unpacking->format->begin();
    gboolean is_done = decode(unpacking, decoder, error);
    unpacking->format->end(decoder);
    if (!is_done)
        return FALSE;
    return ftruncate(unpacking->to_fd, (off_t)unpacking->written_bytes) == 0 ||
           ka_file_error(error, "write", "what is unpacked");
}

gboolean
ka_unpack(const char *path,
          KaPacking packing,
          int to_fd,
          guint64 limit_bytes,
          const KaAction *action,
          const KaProgress *progress,
          GError **error)
{
    g_return_val_if_fail(packing != KA_PACKING_NONE, FALSE);
    Unpacking unpacking = {.path = path,
                           .format = &formats[packing],
                           .from_fd = open(path, O_RDONLY | O_CLOEXEC),
                           .to_fd = to_fd,
                           .limit_bytes = limit_bytes ? limit_bytes : KA_UNPACK_LIMIT_BYTES,
                           .action = action,
                           .progress = progress};

    if (unpacking.from_fd < 0)
        return ka_file_error(error, "open", path);
    gboolean is_done = unpack_all(&unpacking, error);
    g_close(unpacking.from_fd, NULL);
    return is_done;
}
