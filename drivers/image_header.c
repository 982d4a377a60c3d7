#include "drivers/storage.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Enough for every header here; a descriptor within a vmdk is read on its own. */
#define HEAD_BYTES 65536
#define VMDK_SECTOR 512
#define VMDK_DESCRIPTOR_MAX (1 << 20)

/* An image file under examination. */
typedef struct {
    int fd;
    guint64 length;
    gsize n;            /* bytes of head that are there */
    const guint8 *head; /* HEAD_BYTES, zero beyond n */
    const char *path;
} Image;

typedef struct {
    const char *name;
    gboolean (*is)(const Image *image);
    /* Refuses what names other files; says the size that a guest sees. */
    gboolean (*check)(const Image *image, guint64 *ret_size, GError **error);
} Format;

static guint64
number(const Image *image, gsize at, gsize bytes, gboolean big_endian)
{
    guint64 value = 0;

    for (gsize i = 0; i < bytes; i++)
        value |= (guint64)image->head[at + i] << (8 * (big_endian ? bytes - 1 - i : i));
    return value;
}

#define BE32(at) number(image, at, 4, TRUE)
#define BE64(at) number(image, at, 8, TRUE)
#define LE32(at) number(image, at, 4, FALSE)
#define LE64(at) number(image, at, 8, FALSE)

static gboolean
refuse(const Image *image, GError **error, const char *what)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "'%s' %s: its reader would follow that to any file of the host; make it whole with "
                "'qemu-img convert' first",
                image->path, what);
    return FALSE;
}

static gboolean
begins(const Image *image, gsize at, const char *magic, gsize length)
{
    return memcmp(image->head + at, magic, length) == 0;
}

static gboolean
is_qcow2(const Image *image)
{
    return begins(image, 0, "QFI\xfb", 4) && BE32(4) >= 2;
}

/* QEMU's docs/interop/qcow2.txt. */
static gboolean
check_qcow2(const Image *image, guint64 *ret_size, GError **error)
{
    gsize at = BE32(4) >= 3 ? BE32(100) : 72;
    gsize end = BE32(20) <= 16 ? (gsize)1 << BE32(20) : HEAD_BYTES; /* of the first cluster */

    if (BE64(8) != 0)
        return refuse(image, error, "has a backing file");
    if (BE32(4) >= 3 && (BE64(72) & 4))
        return refuse(image, error, "keeps its data in another file");
    for (; at + 8 <= end && BE32(at) != 0; at += 8 + ((BE32(at + 4) + 7) & ~7UL)) {
        if (BE32(at) == 0x44415441)
            return refuse(image, error, "names a data file");
    }
    if (at + 8 > HEAD_BYTES)
        return refuse(image, error, "has a header that is too long to trust");
    *ret_size = BE64(24);
    return TRUE;
}

static gboolean
is_qcow(const Image *image)
{
    return begins(image, 0, "QFI\xfb", 4) && BE32(4) == 1;
}

static gboolean
check_qcow(const Image *image, guint64 *ret_size, GError **error)
{
    *ret_size = BE64(24);
    return BE64(8) == 0 || refuse(image, error, "has a backing file");
}

static gboolean
is_qed(const Image *image)
{
    return begins(image, 0, "QED\0", 4);
}

static gboolean
check_qed(const Image *image, guint64 *ret_size, GError **error)
{
    *ret_size = LE64(48);
    return !(LE64(16) & 1) || refuse(image, error, "has a backing file");
}

static gboolean
is_vmdk(const Image *image)
{
    return begins(image, 0, "KDMV", 4) || begins(image, 0, "COWD", 4) ||
           begins(image, 0, "# Disk DescriptorFile", 21);
}

static gboolean
names_parent(const Image *image, guint64 at, gsize length)
{
    g_autofree char *text = g_malloc0(length + 1);
    gssize n = pread(image->fd, text, length, (off_t)at);

    for (gssize i = 0; i < n; i++)
        text[i] = text[i] ? g_ascii_tolower(text[i]) : ' ';
    return strstr(text, "parentfilenamehint") != NULL;
}

/* QEMU looks for a parent in the text at 0x200, whatever the header says of its place. */
static gboolean
check_vmdk(const Image *image, guint64 *ret_size, GError **error)
{
    guint64 at = LE64(28) * VMDK_SECTOR, length = LE64(36) * VMDK_SECTOR;

    if (!begins(image, 0, "KDMV", 4))
        return refuse(image, error, "is a descriptor that names other files");
    *ret_size = LE64(12) * VMDK_SECTOR;
    if (*ret_size == 0)
        return refuse(image, error, "has extents in other files");
    if (length > VMDK_DESCRIPTOR_MAX)
        return refuse(image, error, "has a descriptor that is too long to trust");
    if (names_parent(image, 0, HEAD_BYTES) || names_parent(image, at, (gsize)length))
        return refuse(image, error, "has a parent");
    return TRUE;
}

static gboolean
is_vdi(const Image *image)
{
    return LE32(64) == 0xbeda107f;
}

static gboolean
check_vdi(const Image *image, guint64 *ret_size, GError **error)
{
    *ret_size = LE64(368);
    return LE32(76) == 1 || LE32(76) == 2 || refuse(image, error, "is a difference to a parent");
}

/* A fixed one has its header at the end alone: QEMU and libvirt take that for raw, and so does
 * this. */
static gboolean
is_vpc(const Image *image)
{
    return begins(image, 0, "conectix", 8);
}

static gboolean
check_vpc(const Image *image, guint64 *ret_size, GError **error)
{
    *ret_size = BE64(48);
    return BE32(60) == 2 || BE32(60) == 3 || refuse(image, error, "is a difference to a parent");
}

/* libvirt takes what has this mark for iso, whatever it was made as. */
static gboolean
is_iso(const Image *image)
{
    return begins(image, 32769, "CD001", 5);
}

static gboolean
check_raw(const Image *image, guint64 *ret_size, GError **error)
{
    (void)error;
    *ret_size = image->length;
    return TRUE;
}

static const Format formats[] = {
    {"qcow2", is_qcow2, check_qcow2},
    {"qcow",  is_qcow,  check_qcow },
    {"qed",   is_qed,   check_qed  },
    {"vmdk",  is_vmdk,  check_vmdk },
    {"vdi",   is_vdi,   check_vdi  },
    {"vpc",   is_vpc,   check_vpc  },
    {"raw",   NULL,     check_raw  },
    {"iso",   is_iso,   check_raw  },
};

static const Format *
find_format(const Image *image)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].is && formats[i].is(image))
            return &formats[i];
    }
    return NULL;
}

/* A raw volume that looks like another format is taken for that by libvirt when it next looks. */
static gboolean
check_format(const Image *image, const char *format, guint64 *ret_size, GError **error)
{
    const Format *found = find_format(image);
    const char *seen = found ? found->name : "raw";

    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        const Format *said = &formats[i];

        if (!g_str_equal(said->name, format))
            continue;
        if (said == found || (found == NULL && said->is == NULL))
            return said->check(image, ret_size, error);
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                    "'%s' is not of format %s: it looks like %s", image->path, format, seen);
        return FALSE;
    }
    g_set_error(
        error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
        "'%s': files of format %s are not uploaded; expected raw, iso, qcow2, qcow, qed, vmdk, "
        "vdi or vpc",
        image->path, format);
    return FALSE;
}

gboolean
ka_image_check(
    int fd, const char *format, const char *path, guint64 *ret_size_bytes, GError **error)
{
    /* Header lengths within are 32 bits of a stranger's: reads go at most 8 bytes past HEAD_BYTES.
     */
    g_autofree guint8 *head = g_malloc0(HEAD_BYTES + 16);
    struct stat status;
    gssize n = -1;

    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        n = pread(fd, head, HEAD_BYTES, 0);
    if (n < 0) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't read '%s': %s", path,
                    S_ISREG(status.st_mode) ? g_strerror(errno) : "it is not a regular file");
        return FALSE;
    }
    Image image = {fd, (guint64)status.st_size, (gsize)n, head, path};
    return check_format(&image, format, ret_size_bytes, error);
}
