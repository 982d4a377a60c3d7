#include "drivers/qcow2.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define MAGIC "QFI\xfb"
#define HEADER_BYTES 104
#define L1_MAX_BYTES (32u << 20)
#define OFFSET_MASK 0x00fffffffffffe00ULL
#define COMPRESSED (1ULL << 62)
#define ZERO 1ULL
#define DIRTY (1ULL << 0)
#define COMPRESSION (1ULL << 3)

typedef struct {
    int from, to;
    const char *name;
    const KaAction *action;
    const KaProgress *progress;
    guint64 length, size; /* of the file; of what a guest sees */
    guint cluster_bits;
    guint64 cluster, per_table; /* bytes of a cluster; entries of a table of the second level */
    gboolean zstd;
    guint64 *l1, *l2; /* owned; big-endian as they lie in the file */
    gsize n_l1;
    guint8 *data, *packed; /* owned; a cluster each; packed has room for one and a sector */
} Reader;

static void
reader_clear(Reader *reader)
{
    g_free(reader->l1);
    g_free(reader->l2);
    g_free(reader->data);
    g_free(reader->packed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reader, reader_clear)

static gboolean
refuse(const Reader *reader, GError **error, const char *what)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "'%s' %s", reader->name, what);
    return FALSE;
}

/* Exactly so many bytes. */
static gboolean
read_at(const Reader *reader, void *buffer, guint64 length, guint64 at, GError **error)
{
    for (guint64 done = 0; done < length;) {
        gssize n = at + length > reader->length ? 0
                                                : pread(reader->from, (guint8 *)buffer + done,
                                                        length - done, (off_t)(at + done));
        if (n <= 0)
            return refuse(reader, error, "is cut or damaged: it refers to what isn't in it");
        done += (guint64)n;
    }
    return TRUE;
}

static guint64
big(const void *at, gsize bytes)
{
    guint64 value = 0;

    for (gsize i = 0; i < bytes; i++)
        value = value << 8 | ((const guint8 *)at)[i];
    return value;
}

static gboolean
read_features(Reader *reader, const guint8 *header, GError **error)
{
    guint64 features = big(header + 4, 4) >= 3 ? big(header + 72, 8) : 0;
    guint8 kind = 0;

    if (features & ~(DIRTY | COMPRESSION))
        return refuse(reader, error,
                      "has features that are not known, or is marked as damaged: make it plain "
                      "with 'qemu-img convert' first");
    if (big(header + 32, 4) != 0)
        return refuse(reader, error, "is encrypted");
    if ((features & COMPRESSION) && !read_at(reader, &kind, 1, HEADER_BYTES, error))
        return FALSE;
    reader->zstd = kind == 1;
    return kind <= 1 || refuse(reader, error, "is compressed in a way that is not known");
}

static gboolean
read_header(Reader *reader, GError **error)
{
    guint8 header[HEADER_BYTES] = {0};
    guint64 reach = 0;

    if (!read_at(reader, header, 72, 0, error) ||
        (big(header + 4, 4) >= 3 && !read_at(reader, header, HEADER_BYTES, 0, error)))
        return FALSE;
    if (memcmp(header, MAGIC, 4) != 0 || big(header + 8, 8) != 0)
        return refuse(reader, error, "is no whole qcow2 image");
    reader->cluster_bits = (guint)big(header + 20, 4);
    reader->size = big(header + 24, 8);
    reader->n_l1 = (gsize)big(header + 36, 4);
    if (reader->cluster_bits < 9 || reader->cluster_bits > 21 || reader->size > G_MAXINT64 / 2 ||
        reader->n_l1 * 8 > L1_MAX_BYTES)
        return refuse(reader, error, "has a header that can't be");
    reader->cluster = (guint64)1 << reader->cluster_bits;
    reader->per_table = reader->cluster / 8;
    reach = reader->cluster * reader->per_table;
    if (reader->size / reach + (reader->size % reach != 0) > reader->n_l1)
        return refuse(reader, error, "is larger than its own table says");
    reader->l1 = g_malloc0(reader->n_l1 * 8 + 8);
    reader->l2 = g_malloc(reader->cluster);
    reader->data = g_malloc(reader->cluster);
    reader->packed = g_malloc(reader->cluster * 2 + 512);
    return read_features(reader, header, error) &&
           read_at(reader, reader->l1, reader->n_l1 * 8, big(header + 40, 8), error);
}

static gboolean
inflate_cluster(Reader *reader, gsize length)
{
    z_stream stream = {.next_in = reader->packed,
                       .avail_in = (uInt)length,
                       .next_out = reader->data,
                       .avail_out = (uInt)reader->cluster};
    gboolean whole = FALSE;

    if (inflateInit2(&stream, -15) != Z_OK)
        return FALSE;
    (void)inflate(&stream, Z_FINISH);
    whole = stream.avail_out == 0;
    inflateEnd(&stream);
    return whole;
}

static gboolean
unpack_zstd(Reader *reader, gsize length)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {reader->packed, length, 0};
    ZSTD_outBuffer out = {reader->data, reader->cluster, 0};
    gsize before = 1;

    /* What follows the frame within the last sector belongs to another cluster. */
    while (context && out.pos < out.size && before != out.pos + in.pos) {
        before = out.pos + in.pos;
        if (ZSTD_isError(ZSTD_decompressStream(context, &out, &in)))
            break;
    }
    ZSTD_freeDCtx(context);
    return out.pos == out.size;
}

static gboolean
read_compressed(Reader *reader, guint64 entry, GError **error)
{
    guint shift = 62 - (reader->cluster_bits - 8);
    guint64 at = entry & (((guint64)1 << shift) - 1);
    guint64 sectors = ((entry & ~COMPRESSED & ~(1ULL << 63)) >> shift) + 1;
    guint64 length = sectors * 512 - (at & 511);

    /* The last one in the file may end before its sector does. */
    length = at < reader->length ? MIN(length, reader->length - at) : 0;
    if (length == 0 || length > reader->cluster * 2 + 512 ||
        !read_at(reader, reader->packed, length, at, NULL) ||
        !(reader->zstd ? unpack_zstd(reader, length) : inflate_cluster(reader, length)))
        return refuse(reader, error, "is damaged: a compressed part can't be unpacked");
    return TRUE;
}

static gboolean
is_zero(const guint8 *data, gsize length)
{
    return data[0] == 0 && memcmp(data, data + 1, length - 1) == 0;
}

static gboolean
copy_cluster(Reader *reader, guint64 entry, guint64 at, GError **error)
{
    guint64 length = MIN(reader->cluster, reader->size - at);
    guint64 offset = entry & OFFSET_MASK;

    if (entry & COMPRESSED) {
        if (!read_compressed(reader, entry, error))
            return FALSE;
    } else if (offset == 0 || (entry & ZERO)) {
        return TRUE;
    } else if (!read_at(reader, reader->data, MIN(length, reader->length - MIN(offset, reader->length)),
                        offset, error)) {
        return FALSE;
    }
    if (is_zero(reader->data, length))
        return TRUE;
    for (guint64 done = 0; done < length;) {
        gssize n =
            pwrite(reader->to, reader->data + done, length - done, (off_t)(at + done));
        if (n <= 0) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't write the image: %s",
                        g_strerror(errno));
            return FALSE;
        }
        done += (guint64)n;
    }
    return TRUE;
}

static gboolean
copy_table(Reader *reader, gsize index, GError **error)
{
    guint64 at = (guint64)index * reader->cluster * reader->per_table;
    guint64 table = big(&reader->l1[index], 8) & OFFSET_MASK;

    if (table == 0 || at >= reader->size)
        return TRUE;
    if (!read_at(reader, reader->l2, reader->cluster, table, error))
        return FALSE;
    for (guint64 i = 0; i < reader->per_table && at < reader->size; i++, at += reader->cluster) {
        if (!copy_cluster(reader, big(&reader->l2[i], 8), at, error))
            return FALSE;
        if (i % 256 != 0)
            continue;
        ka_progress_step(reader->progress, reader->action, "converts", at, reader->size, "B");
        if (g_cancellable_is_cancelled(reader->progress->cancel)) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
ka_qcow2_read(int from_fd,
              int to_fd,
              const char *name,
              const KaAction *action,
              const KaProgress *progress,
              GError **error)
{
    g_auto(Reader) reader = {
        .from = from_fd, .to = to_fd, .name = name, .action = action, .progress = progress};
    struct stat status;

    if (fstat(from_fd, &status) == 0)
        reader.length = (guint64)status.st_size;
    if (!read_header(&reader, error))
        return FALSE;
    if (ftruncate(to_fd, (off_t)reader.size) < 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't write the image: %s",
                    g_strerror(errno));
        return FALSE;
    }
    for (gsize i = 0; i < reader.n_l1; i++) {
        if (!copy_table(&reader, i, error))
            return FALSE;
    }
    return TRUE;
}
