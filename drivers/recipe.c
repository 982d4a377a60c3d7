#include "drivers/recipe.h"
#include "drivers/cache.h"
#include "drivers/hash.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of what a recipe comes to: another number where the same recipe makes another image. */
#define EDITION "kvmapply image 1"
#define BUFFER_BYTES (1 << 20)
/* Smaller files are read sooner than remembered. */
#define MEMO_BYTES (1 << 20)
/* A file that was just written may be written again within the same tick of its times. */
#define SETTLED_SECONDS 3
/* The key is no secret: who tries passwords against it must pay for each. */
#define SLOW_HASH "$6$rounds=5000$kvmapply$"

/* What says where to find the source, and how to open it, isn't what the image is. */
static const char *const left_out[] = {"source", "luks-key"};

/* --- digests of files --- */

static char *
stamp_of(const struct stat *status)
{
    return g_strdup_printf("%ju %ju %jd %jd.%09ld %jd.%09ld", (uintmax_t)status->st_dev,
                           (uintmax_t)status->st_ino, (intmax_t)status->st_size,
                           (intmax_t)status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
                           (intmax_t)status->st_ctim.tv_sec, status->st_ctim.tv_nsec);
}

static char *
memo_path(const char *path)
{
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, absolute, -1);
    g_autofree char *name = g_strconcat("file-", sum, NULL);

    return ka_cache_path(KA_CACHE_URLS, name);
}

/* NULL: not known, or the file has changed. */
static char *
recall(const char *memo, const char *stamp)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(memo, &text, NULL, NULL))
        return NULL;
    lines = g_strsplit(text, "\n", 3);
    return lines[0] && lines[1] && g_str_equal(lines[0], stamp) &&
                   strlen(lines[1]) == KA_SHA256_HEX
               ? g_strdup(lines[1])
               : NULL;
}

/* Only saves time: what fails here costs nothing else. */
static void
remember(const char *memo, const char *stamp, const char *digest)
{
    g_autofree char *text = g_strdup_printf("%s\n%s\n", stamp, digest);

    if (ka_cache_make(KA_CACHE_URLS, NULL))
        (void)g_file_set_contents_full(memo, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
}

/* By the processor's own instructions where it has them; GLib's sums are slow. */
static char *
read_digest(int fd)
{
    g_autofree guint8 *buffer = g_malloc(BUFFER_BYTES);
    guint8 digest[KA_SHA256_HEX / 2];
    char hex[KA_SHA256_HEX + 1];
    gsize hex_bytes = sizeof hex;
    gnutls_hash_hd_t hash = NULL;
    gssize n = 0;

    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return NULL;
    while ((n = read(fd, buffer, BUFFER_BYTES)) > 0)
        gnutls_hash(hash, buffer, (gsize)n);
    gnutls_hash_deinit(hash, digest);
    return n == 0 && gnutls_hex_encode(&(gnutls_datum_t){digest, sizeof digest}, hex,
                                       &hex_bytes) == 0
               ? g_strdup(hex)
               : NULL;
}

static gboolean
is_settled(const struct stat *status)
{
    return g_get_real_time() / G_USEC_PER_SEC - MAX(status->st_mtime, status->st_ctime) >
           SETTLED_SECONDS;
}

static char *
digest_of(int fd, const char *path, const struct stat *before)
{
    g_autofree char *stamp = stamp_of(before);
    g_autofree char *memo = S_ISREG(before->st_mode) && before->st_size >= MEMO_BYTES
                                ? memo_path(path)
                                : NULL;
    g_autofree char *digest = memo ? recall(memo, stamp) : NULL;
    struct stat after;

    if (digest)
        return g_steal_pointer(&digest);
    digest = read_digest(fd);
    if (digest && memo && is_settled(before) && fstat(fd, &after) == 0) {
        g_autofree char *again = stamp_of(&after);
        if (g_str_equal(stamp, again))
            remember(memo, stamp, digest);
    }
    return g_steal_pointer(&digest);
}

char *
ka_recipe_file_digest(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status = {0};
    char *digest = NULL;

    if (fd >= 0 && fstat(fd, &status) == 0) {
        errno = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ? 0 : EINVAL;
        digest = errno ? NULL : digest_of(fd, path, &status);
    }
    if (digest == NULL)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "can't read '%s': %s", path,
                    g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return digest;
}

/* --- the recipe --- */

static void
add_text(GChecksum *sum, char kind, const char *text)
{
    g_checksum_update(sum, (const guchar *)&kind, 1);
    g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text) + 1);
}

static gboolean
add_scalar(GChecksum *sum, const KaNode *node, GError **error)
{
    if (node->row && node->row->codec == &ka_local_file) {
        g_autofree char *path = ka_node_local_path(node);
        g_autofree char *digest = ka_recipe_file_digest(path, error);
        /* Its name counts, too: a package manager goes by it. */
        g_autofree char *name = g_path_get_basename(path);

        if (digest == NULL)
            return FALSE;
        add_text(sum, 'f', name);
        add_text(sum, 'd', digest);
    } else if (node->secret) {
        struct crypt_data data = {0};
        const char *hashed = crypt_r(node->text, SLOW_HASH, &data);

        add_text(sum, 's', hashed ? hashed : "*");
    } else {
        add_text(sum, 't', node->text);
    }
    return TRUE;
}

static gint
compare_keys(gconstpointer a, gconstpointer b)
{
    const KaNode *x = *(const KaNode *const *)a, *y = *(const KaNode *const *)b;

    return x->key && y->key ? strcmp(x->key, y->key) : 0;
}

static gboolean
is_left_out(const KaNode *node)
{
    for (gsize i = 0; node->key && i < G_N_ELEMENTS(left_out); i++) {
        if (g_str_equal(node->key, left_out[i]))
            return TRUE;
    }
    return FALSE;
}

static gboolean add_node(GChecksum *sum, const KaNode *node, GError **error);

/* Keys of a map in any order say the same. */
static gboolean
add_children(GChecksum *sum, const KaNode *node, gboolean is_top, GError **error)
{
    g_autoptr(GPtrArray) children = g_ptr_array_new();

    for (const KaNode *child = node->first; child; child = child->next) {
        if (child->type != KA_NODE_NULL && !(is_top && is_left_out(child)))
            g_ptr_array_add(children, ka_borrow(child));
    }
    if (node->type == KA_NODE_MAP)
        g_ptr_array_sort(children, compare_keys);
    add_text(sum, node->type == KA_NODE_MAP ? '{' : '[', "");
    for (guint i = 0; i < children->len; i++) {
        const KaNode *child = g_ptr_array_index(children, i);
        add_text(sum, 'k', child->key ? child->key : "");
        if (!add_node(sum, child, error))
            return FALSE;
    }
    add_text(sum, '}', "");
    return TRUE;
}

static gboolean
add_node(GChecksum *sum, const KaNode *node, GError **error)
{
    return node->type == KA_NODE_SCALAR ? add_scalar(sum, node, error)
                                        : add_children(sum, node, FALSE, error);
}

char *
ka_recipe_digest(const KaObject *image, GError **error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    return add_children(sum, image->node, TRUE, error) ? g_strdup(g_checksum_get_string(sum))
                                                       : NULL;
}

char *
ka_recipe_key(const KaObject *image, const char *identity, GError **error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *recipe = ka_recipe_digest(image, error);

    if (recipe == NULL)
        return NULL;
    add_text(sum, 'e', EDITION);
    add_text(sum, 'i', identity);
    add_text(sum, 'r', recipe);
    return g_strdup(g_checksum_get_string(sum));
}
