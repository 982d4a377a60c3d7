#pragma once
#include "planner/driver.h"

#define KA_FETCH_LIMIT_BYTES ((guint64)64 << 30)

/* What to fetch; all borrowed. */
typedef struct {
    const char *const *urls;     /* http, https, ftp or file; mirrors of one file, by preference;
                                    NULL-terminated */
    const char *sha256, *sha512; /* what its digest must be, in hex; NULL: not said */
    const char *checksums;       /* URL (https or file) of a text with the digest of the first URL's
                                    file name, where neither digest is said; NULL: none */
    guint64 limit_bytes;         /* more is an error; 0: KA_FETCH_LIMIT_BYTES */
    guint patience_seconds;      /* without an answer or data; 0: 30 */
    guint first_wait_ms;         /* before the second try, then doubled; 0: 1000 */
} KaFetchRequest;

typedef struct {
    char *path;      /* in the cache: verified, whole; to be read only */
    char *sha256;    /* of the file as served, in hex */
    char *name;      /* the file's name as the first URL says it: its ending tells the packing */
    gboolean cached; /* nothing was fetched */
} KaFetched;
void ka_fetched_free(KaFetched *fetched);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaFetched, ka_fetched_free)

/* What can be refused without any network: no URL, another scheme, a digest that is none, plain
 * http or ftp without a digest. */
gboolean ka_fetch_check(const KaFetchRequest *request, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Fetches into the cache what isn't there. With a digest the cache alone may answer; without one
 * the server is asked whether the file is still the same. A digest that isn't met, a file that is
 * too large, a certificate that isn't trusted, 404: the next mirror, then INVALID with every
 * mirror's reason. A cut, a time-out, 5xx: tried again with back-off, and what is there already
 * isn't fetched twice; then UNREACHABLE. Safe from several threads and processes. */
KaFetched *ka_fetch(const KaFetchRequest *request,
                    const KaAction *action,
                    const KaProgress *progress,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What is in the cache already, without any network and without a trace: for a plan. Without a
 * digest: as the server had it last. NULL without an error: would have to be fetched. */
KaFetched *ka_fetch_cached(const KaFetchRequest *request, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A URL as it may be shown: without user, password and query. Caller frees. */
char *ka_url_shown(const char *url) G_GNUC_WARN_UNUSED_RESULT;
