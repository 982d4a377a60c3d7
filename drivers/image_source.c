#include "drivers/cache.h"
#include "drivers/fetch.h"
#include "drivers/image_part.h"
#include "drivers/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void
ka_image_source_free(KaImageSource *source)
{
    if (source == NULL)
        return;
    if (source->temporary && source->path)
        unlink(source->path);
    g_free(source->path);
    g_free(source->format);
    g_free(source->identity);
    g_free(source->place);
    g_free(source->sha256);
    g_free(source);
}

/* --- a URL --- */

/* urls: room for the URL and its mirrors. */
static KaFetchRequest
request_of(const KaObject *image, GPtrArray *urls)
{
    const KaNode *source = ka_node_get(image->node, "source");
    const KaNode *mirrors = ka_node_get(source, "mirrors");
    const char *limit = ka_source_said(image, "limit");

    g_ptr_array_add(urls, ka_borrow(ka_source_said(image, "url")));
    for (const KaNode *mirror = mirrors ? mirrors->first : NULL; mirror; mirror = mirror->next)
        g_ptr_array_add(urls, ka_borrow(mirror->text));
    g_ptr_array_add(urls, NULL);
    return (KaFetchRequest){
        .urls = (const char *const *)urls->pdata,
        .sha256 = ka_source_said(image, "sha256"),
        .sha512 = ka_source_said(image, "sha512"),
        .checksums = ka_source_said(image, "checksums"),
        .limit_bytes = limit ? g_ascii_strtoull(limit, NULL, 10) : 0,
    };
}

static char *
digest_identity(const char *kind, const char *digest)
{
    g_autofree char *lower = g_ascii_strdown(digest, -1);

    return g_strconcat(kind, ":", lower, NULL);
}

static char *
url_identity(KaHost *host, const KaObject *image, GError **error)
{
    g_autoptr(GPtrArray) urls = g_ptr_array_new();
    KaFetchRequest request = request_of(image, urls);
    g_autoptr(KaFetched) fetched = NULL;

    (void)host;
    if (request.sha256)
        return digest_identity("sha256", request.sha256);
    if (request.sha512)
        return digest_identity("sha512", request.sha512);
    fetched = ka_fetch_cached(&request, error);
    return fetched ? digest_identity("sha256", fetched->sha256) : NULL;
}

static gboolean
url_assess(KaHost *host, KaAction *action, GError **error)
{
    g_autoptr(GPtrArray) urls = g_ptr_array_new();
    KaFetchRequest request = request_of(action->object, urls);

    (void)host;
    return ka_fetch_check(&request, error);
}

int
ka_image_source_create(KaImageSource *source, GError **error)
{
    int fd = open(source->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        ka_invalid(error, "can't write '%s': %s", source->path, g_strerror(errno));
    else
        source->temporary = TRUE;
    return fd;
}

/* source->path is where something may be written: what lies packed in a file is unpacked there. */
static gboolean
unpack(const char *path,
       const char *name,
       const KaObject *image,
       KaAction *action,
       const KaProgress *progress,
       KaImageSource *source,
       GError **error)
{
    const char *limit = ka_source_said(image, "limit");
    KaPacking packing = KA_PACKING_NONE;
    gboolean done = FALSE;
    int fd = -1;

    if (!ka_packing_find(path, name, &packing, error))
        return FALSE;
    if (packing == KA_PACKING_NONE) {
        g_free(source->path);
        source->path = g_strdup(path);
        return TRUE;
    }
    fd = ka_image_source_create(source, error);
    if (fd < 0)
        return FALSE;
    done = ka_unpack(path, packing, fd, limit ? g_ascii_strtoull(limit, NULL, 10) : 0, action,
                     progress, error);
    close(fd);
    return done;
}

static gboolean
url_open(KaHost *host,
         const KaObject *image,
         KaAction *action,
         const KaProgress *progress,
         KaImageSource *source,
         GError **error)
{
    g_autoptr(GPtrArray) urls = g_ptr_array_new();
    KaFetchRequest request = request_of(image, urls);
    g_autoptr(KaFetched) fetched = ka_fetch(&request, action, progress, error);

    (void)host;
    if (fetched == NULL)
        return FALSE;
    source->place = ka_url_shown(request.urls[0]);
    source->sha256 = g_strdup(fetched->sha256);
    source->identity = request.sha256 || request.sha512
                           ? url_identity(NULL, image, NULL)
                           : digest_identity("sha256", fetched->sha256);
    return unpack(fetched->path, fetched->name, image, action, progress, source, error);
}

gboolean
ka_image_source_fetch(const KaObject *image,
                      KaAction *action,
                      const KaProgress *progress,
                      GError **error)
{
    g_autoptr(GPtrArray) urls = g_ptr_array_new();
    g_autoptr(KaFetched) fetched = NULL;

    if (ka_source_said(image, "url") == NULL)
        return TRUE;
    KaFetchRequest request = request_of(image, urls);
    fetched = ka_fetch(&request, action, progress, error);
    return fetched != NULL;
}

char *
ka_image_source_cached(const KaObject *image)
{
    g_autoptr(GPtrArray) urls = g_ptr_array_new();
    g_autoptr(KaFetched) fetched = NULL;

    if (ka_source_said(image, "url") == NULL)
        return NULL;
    KaFetchRequest request = request_of(image, urls);
    fetched = ka_fetch_cached(&request, NULL);
    return fetched ? g_strdup(fetched->sha256) : NULL;
}

gboolean
ka_image_source_is_here(const KaObject *image)
{
    g_autofree char *cached = ka_image_source_cached(image);

    return cached || ka_source_said(image, "path");
}

/* --- a local file --- */

static char *
local_path(const KaObject *image)
{
    return ka_node_local_path(ka_node_find(image->node, "source.path"));
}

static char *
path_identity(KaHost *host, const KaObject *image, GError **error)
{
    g_autofree char *path = local_path(image);
    g_autofree char *digest = ka_recipe_file_digest(path, error);
    const char *wanted = ka_source_said(image, "sha256");

    (void)host;
    if (digest && wanted && g_ascii_strcasecmp(digest, wanted) != 0) {
        ka_invalid(error, "'%s' has the SHA-256 %s, not %s as the manifest says", path, digest,
                wanted);
        return NULL;
    }
    return digest ? digest_identity("sha256", digest) : NULL;
}

static gboolean
path_assess(KaHost *host, KaAction *action, GError **error)
{
    g_autofree char *identity = path_identity(host, action->object, error);

    return identity != NULL;
}

static gboolean
path_open(KaHost *host,
          const KaObject *image,
          KaAction *action,
          const KaProgress *progress,
          KaImageSource *source,
          GError **error)
{
    g_autofree char *path = local_path(image);

    source->place = g_strdup(path);
    source->identity = path_identity(host, image, error);
    if (source->identity == NULL)
        return FALSE;
    source->sha256 = g_strdup(strchr(source->identity, ':') + 1);
    return unpack(path, path, image, action, progress, source, error);
}

/* --- all sorts --- */

static const KaSourceSort url_sort = {"url", url_identity, url_assess, url_open};
static const KaSourceSort path_sort = {"path", path_identity, path_assess, path_open};
static const KaSourceSort *const sorts[] = {
    &url_sort,
    &path_sort,
    &ka_source_volume,
    &ka_source_guest,
};

static const KaSourceSort *
sort_of(const KaObject *image)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sorts); i++) {
        if (ka_source_said(image, sorts[i]->key))
            return sorts[i];
    }
    g_assert_not_reached();
}

char *
ka_image_source_identity(KaHost *host, const KaObject *image, GError **error)
{
    return sort_of(image)->identity(host, image, error);
}

gboolean
ka_image_source_assess(KaHost *host, KaAction *action, GError **error)
{
    return sort_of(action->object)->assess(host, action, error);
}

static gboolean
check_file(const KaImageSource *source, GError **error)
{
    int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    guint64 size_bytes = 0;
    struct stat status;
    gboolean fine = FALSE;

    if (fd < 0 || fstat(fd, &status) < 0)
        ka_invalid(error, "can't open '%s': %s", source->path, g_strerror(errno));
    else
        fine = S_ISBLK(status.st_mode)
                   ? g_str_equal(source->format, "raw") ||
                         ka_invalid(error, "device '%s' is read as raw only", source->path)
                   : ka_image_check(fd, source->format, source->place, &size_bytes, error);
    if (fd >= 0)
        close(fd);
    return fine;
}

KaImageSource *
ka_image_source_open(KaHost *host,
                     const KaObject *image,
                     const char *scratch,
                     KaAction *action,
                     const KaProgress *progress,
                     GError **error)
{
    g_autoptr(KaImageSource) source = g_new0(KaImageSource, 1);

    source->path = g_strdup(scratch);
    source->format = g_strdup(ka_source_said(image, "format"));
    return sort_of(image)->open(host, image, action, progress, source, error) &&
                   check_file(source, error)
               ? g_steal_pointer(&source)
               : NULL;
}
