#include "drivers/qcow2.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CLUSTER_BITS 16
#define CLUSTER ((guint64)1 << CLUSTER_BITS)
#define PER_TABLE (CLUSTER / 8)
#define PER_BLOCK (CLUSTER / 2) /* references of 16 bits */
#define REACH (CLUSTER * PER_TABLE)
#define COPIED (1ULL << 63)
#define COMPRESSED (1ULL << 62)
#define SIZE_SHIFT (62 - (CLUSTER_BITS - 8))
/* QEMU inflates with a window of 4 KiB at least. */
#define WINDOW_BITS (-12)

typedef struct {
    int from, to;
    gboolean compress;
    const KaAction *action;
    const KaProgress *progress;
    guint64 size, next;  /* what a guest sees; where the file ends so far */
    GArray *references;  /* owned guint16, by cluster of the file */
    guint8 *data, *packed, *l1, *l2; /* owned */
    gsize n_l1;
} Writer;

static void
writer_clear(Writer *writer)
{
    g_array_unref(writer->references);
    g_free(writer->data);
    g_free(writer->packed);
    g_free(writer->l1);
    g_free(writer->l2);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Writer, writer_clear)

static void
put_big(void *at, gsize bytes, guint64 value)
{
    for (gsize i = 0; i < bytes; i++)
        ((guint8 *)at)[i] = (guint8)(value >> (8 * (bytes - 1 - i)));
}

static gboolean
write_at(const Writer *writer, const void *data, guint64 length, guint64 at, GError **error)
{
    for (guint64 done = 0; done < length;) {
        gssize n =
            pwrite(writer->to, (const guint8 *)data + done, length - done, (off_t)(at + done));
        if (n <= 0) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't write the image: %s",
                        g_strerror(errno));
            return FALSE;
        }
        done += (guint64)n;
    }
    return TRUE;
}

static void
count(Writer *writer, guint64 at, guint64 length)
{
    for (guint64 i = at / CLUSTER; i <= (at + length - 1) / CLUSTER; i++) {
        if (i >= writer->references->len)
            g_array_set_size(writer->references, (guint)i + 1);
        g_array_index(writer->references, guint16, i)++;
    }
}

static guint64
take_clusters(Writer *writer, guint64 length)
{
    guint64 at = (writer->next + CLUSTER - 1) / CLUSTER * CLUSTER;

    length = (length + CLUSTER - 1) / CLUSTER * CLUSTER;
    writer->next = at + length;
    count(writer, at, length);
    return at;
}

/* Bytes of the packed cluster; 0: it doesn't get smaller. */
static gsize
deflate_cluster(Writer *writer)
{
    z_stream stream = {.next_in = writer->data,
                       .avail_in = (uInt)CLUSTER,
                       .next_out = writer->packed,
                       .avail_out = (uInt)CLUSTER - 1024};
    gsize length = 0;

    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 9,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
        length = CLUSTER - 1024 - stream.avail_out;
    deflateEnd(&stream);
    return length;
}

/* The entry of the cluster in data. */
static gboolean
write_cluster(Writer *writer, guint64 *ret_entry, GError **error)
{
    gsize packed = writer->compress ? deflate_cluster(writer) : 0;
    guint64 at = writer->next, sectors = 0;

    if (packed == 0) {
        at = take_clusters(writer, CLUSTER);
        *ret_entry = at | COPIED;
        return write_at(writer, writer->data, CLUSTER, at, error);
    }
    sectors = (at + packed - 1) / 512 - at / 512;
    writer->next = at + packed;
    count(writer, at, packed);
    *ret_entry = at | COMPRESSED | sectors << SIZE_SHIFT;
    return write_at(writer, writer->packed, packed, at, error);
}

static gboolean
read_cluster(const Writer *writer, guint64 at, GError **error)
{
    guint64 wanted = MIN(CLUSTER, writer->size - at);

    memset(writer->data, 0, CLUSTER);
    for (guint64 done = 0; done < wanted;) {
        gssize n = pread(writer->from, writer->data + done, wanted - done, (off_t)(at + done));
        if (n <= 0) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't read the image: %s",
                        n < 0 ? g_strerror(errno) : "it became shorter");
            return FALSE;
        }
        done += (guint64)n;
    }
    return TRUE;
}

static gboolean
is_zero(const guint8 *data)
{
    return data[0] == 0 && memcmp(data, data + 1, CLUSTER - 1) == 0;
}

/* Where data begins at or behind `at`, down to its cluster. */
static guint64
next_data(const Writer *writer, guint64 at)
{
    off_t data = lseek(writer->from, (off_t)at, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? writer->size : at;
    return MAX(at, (guint64)data / CLUSTER * CLUSTER);
}

/* All that one table of the second level reaches. */
static gboolean
write_part(Writer *writer, gsize index, GError **error)
{
    guint64 begin = index * REACH, end = MIN(writer->size, begin + REACH), entry = 0;
    gboolean used = FALSE;

    memset(writer->l2, 0, CLUSTER);
    for (guint64 at = next_data(writer, begin); at < end; at = next_data(writer, at + CLUSTER)) {
        if (!read_cluster(writer, at, error))
            return FALSE;
        if (is_zero(writer->data))
            continue;
        if (!write_cluster(writer, &entry, error))
            return FALSE;
        put_big(writer->l2 + (at - begin) / CLUSTER * 8, 8, entry);
        used = TRUE;
        ka_progress_step(writer->progress, writer->action,
                         writer->compress ? "compresses" : "converts", at, writer->size, "B");
        if (g_cancellable_is_cancelled(writer->progress->cancel)) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
    }
    if (!used)
        return TRUE;
    entry = take_clusters(writer, CLUSTER);
    put_big(writer->l1 + index * 8, 8, entry | COPIED);
    return write_at(writer, writer->l2, CLUSTER, entry, error);
}

/* The references count their own blocks and table, too. */
static gboolean
write_references(Writer *writer, guint64 *ret_table, guint64 *ret_clusters, GError **error)
{
    guint64 begin = (writer->next + CLUSTER - 1) / CLUSTER, blocks = 0, table = 0, needed = 1;

    while (needed > blocks) {
        blocks = needed;
        table = (blocks * 8 + CLUSTER - 1) / CLUSTER;
        needed = (begin + blocks + table + PER_BLOCK - 1) / PER_BLOCK;
    }
    *ret_table = take_clusters(writer, table * CLUSTER);
    *ret_clusters = table;
    guint64 first = take_clusters(writer, blocks * CLUSTER);
    g_autofree guint8 *offsets = g_malloc0(table * CLUSTER);
    g_autofree guint8 *counts = g_malloc0(blocks * CLUSTER);
    for (guint64 i = 0; i < blocks; i++)
        put_big(offsets + i * 8, 8, first + i * CLUSTER);
    for (guint i = 0; i < writer->references->len; i++)
        put_big(counts + (gsize)i * 2, 2, g_array_index(writer->references, guint16, i));
    return write_at(writer, offsets, table * CLUSTER, *ret_table, error) &&
           write_at(writer, counts, blocks * CLUSTER, first, error);
}

static gboolean
write_header(Writer *writer, guint64 l1, guint64 table, guint64 table_clusters, GError **error)
{
    guint8 header[112] = "QFI\xfb";

    put_big(header + 4, 4, 3);
    put_big(header + 20, 4, CLUSTER_BITS);
    put_big(header + 24, 8, writer->size);
    put_big(header + 36, 4, writer->n_l1);
    put_big(header + 40, 8, l1);
    put_big(header + 48, 8, table);
    put_big(header + 56, 4, table_clusters);
    put_big(header + 96, 4, 4); /* references of 2^4 bits */
    put_big(header + 100, 4, 104);
    return write_at(writer, header, sizeof header, 0, error);
}

gboolean
ka_qcow2_write(int from_fd,
               int to_fd,
               gboolean compress,
               const KaAction *action,
               const KaProgress *progress,
               GError **error)
{
    g_auto(Writer) writer = {.from = from_fd,
                             .to = to_fd,
                             .compress = compress,
                             .action = action,
                             .progress = progress,
                             .references = g_array_new(FALSE, TRUE, sizeof(guint16)),
                             .data = g_malloc(CLUSTER),
                             .packed = g_malloc(CLUSTER),
                             .l2 = g_malloc(CLUSTER)};
    guint64 l1 = 0, table = 0, table_clusters = 0;
    struct stat status = {0};

    if (fstat(from_fd, &status) == 0)
        writer.size = ((guint64)status.st_size + 511) / 512 * 512;
    writer.n_l1 = (gsize)((writer.size + REACH - 1) / REACH);
    writer.l1 = g_malloc0(writer.n_l1 * 8 + 8);
    take_clusters(&writer, CLUSTER);
    l1 = take_clusters(&writer, MAX(writer.n_l1, 1) * 8);
    for (gsize i = 0; i < writer.n_l1; i++) {
        if (!write_part(&writer, i, error))
            return FALSE;
    }
    writer.next = (writer.next + CLUSTER - 1) / CLUSTER * CLUSTER;
    if (ftruncate(to_fd, (off_t)writer.next) < 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't write the image: %s",
                    g_strerror(errno));
        return FALSE;
    }
    return write_at(&writer, writer.l1, writer.n_l1 * 8, l1, error) &&
           write_references(&writer, &table, &table_clusters, error) &&
           write_header(&writer, l1, table, table_clusters, error);
}
