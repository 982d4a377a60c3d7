#include "drivers/fetch_part.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define N_TRIES 4
#define FIRST_WAIT_MS 1000
#define MAX_WAIT_SECONDS 60
#define CHECKSUMS_LIMIT_BYTES (4 << 20)
#define GROUP "fetched"

/* What is known of a URL, or of a SHA-512: a file of urls/. */
typedef struct {
    char *sha256; /* owned; of the file in downloads/ */
    KaValidator validator;
} Known;

typedef struct {
    const KaFetchRequest *request;
    KaPartial *partial; /* borrowed */
    const KaAction *action;
    const KaProgress *progress;
    guint64 most_bytes;        /* that were ever there */
    guint retry_after_seconds; /* as the servers want it */
} Fetch;

void
ka_fetched_free(KaFetched *fetched)
{
    if (fetched == NULL)
        return;
    g_free(fetched->path);
    g_free(fetched->sha256);
    g_free(fetched->name);
    g_free(fetched);
}

static void
known_free(Known *known)
{
    if (known == NULL)
        return;
    g_free(known->sha256);
    ka_validator_clear(&known->validator);
    g_free(known);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Known, known_free)

char *
ka_url_shown(const char *url)
{
    const char *host = strstr(url, "://");

    if (host == NULL)
        return g_strdup(url);
    host += 3;
    gsize n_authority = strcspn(host, "/?#");
    g_autofree char *authority = g_strndup(host, n_authority);
    const char *user_end = strrchr(authority, '@');
    return g_strdup_printf("%.*s%s%.*s", (int)(host - url), url,
                           user_end ? user_end + 1 : authority,
                           (int)strcspn(host + n_authority, "?#"), host + n_authority);
}

/* The last part of the path, as it is written on disks. Caller frees. */
static char *
file_name(const char *url)
{
    g_autofree char *shown = ka_url_shown(url);
    const char *slash = strrchr(shown, '/');
    char *name = g_uri_unescape_string(slash ? slash + 1 : shown, NULL);

    return name ? name : g_strdup("");
}

static gboolean
refuse(GError **error, const char *url, const char *why)
{
    g_autofree char *shown = url ? ka_url_shown(url) : g_strdup("a download");

    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s: %s", shown, why);
    return FALSE;
}

static gboolean
check_url(const KaFetchRequest *request, const char *url, GError **error)
{
    static const char *const schemes[] = {"http", "https", "ftp", "file", NULL};
    const char *scheme = ka_url_scheme(url);
    gboolean is_plain = g_str_equal(scheme, "http") || g_str_equal(scheme, "ftp");

    if (!g_strv_contains(schemes, scheme))
        return refuse(error, url, "expected a URL of http, https, ftp or file");
    if (is_plain && !ka_fetch_has_digest(request) && request->checksums == NULL)
        return refuse(error, url,
                      "nothing protects it on its way: give its sha256 or sha512, a checksums URL, "
                      "or an https URL");
    return TRUE;
}

gboolean
ka_fetch_check(const KaFetchRequest *request, GError **error)
{
    if (request->urls == NULL || request->urls[0] == NULL)
        return refuse(error, NULL, "no URL is given");
    if (request->sha256 && !ka_is_hex(request->sha256, KA_SHA256_HEX))
        return refuse(error, request->urls[0], "a sha256 has 64 hexadecimal digits");
    if (request->sha512 && !ka_is_hex(request->sha512, KA_SHA512_HEX))
        return refuse(error, request->urls[0], "a sha512 has 128 hexadecimal digits");
    for (guint i = 0; request->urls[i]; i++)
        if (!check_url(request, request->urls[i], error))
            return FALSE;
    if (request->checksums == NULL)
        return TRUE;
    const char *scheme = ka_url_scheme(request->checksums);
    return g_str_equal(scheme, "https") || g_str_equal(scheme, "file") ||
           refuse(error, request->checksums,
                  "checksums must come by https or file: who can change the file on its way can "
                  "change them, too");
}

static char *
key_of(const char *kind, const char *text)
{
    g_autofree char *low = g_str_equal(kind, "url") ? NULL : g_ascii_strdown(text, -1);

    return low ? g_strdup_printf("%s-%s", kind, low)
               : g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

/* NULL: nothing is known, or the file is gone. */
static Known *
known_load(const char *kind, const char *text)
{
    g_autofree char *key = key_of(kind, text);
    g_autofree char *path = ka_cache_path(KA_CACHE_URLS, key);
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(Known) known = g_new0(Known, 1);

    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL))
        return NULL;
    known->sha256 = g_key_file_get_string(file, GROUP, "sha256", NULL);
    known->validator.etag = g_key_file_get_string(file, GROUP, "etag", NULL);
    known->validator.modified = g_key_file_get_string(file, GROUP, "last-modified", NULL);
    if (known->sha256 == NULL || !ka_is_hex(known->sha256, KA_SHA256_HEX))
        return NULL;
    g_autofree char *download = ka_cache_path(KA_CACHE_DOWNLOADS, known->sha256);
    return g_file_test(download, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer(&known) : NULL;
}

static gboolean
known_save(const char *kind,
           const char *text,
           const char *sha256,
           const KaValidator *validator,
           GError **error)
{
    g_autofree char *key = key_of(kind, text);
    g_autofree char *path = ka_cache_path(KA_CACHE_URLS, key);
    g_autoptr(GKeyFile) file = g_key_file_new();

    if (!ka_cache_make(KA_CACHE_URLS, error))
        return FALSE;
    g_key_file_set_string(file, GROUP, "sha256", sha256);
    if (validator && validator->etag)
        g_key_file_set_string(file, GROUP, "etag", validator->etag);
    if (validator && validator->modified)
        g_key_file_set_string(file, GROUP, "last-modified", validator->modified);
    g_autofree char *content = g_key_file_to_data(file, NULL, NULL);
    return g_file_set_contents_full(path, content, -1,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    0600, error);
}

static KaFetched *
fetched_new(const KaFetchRequest *request, const char *sha256, gboolean is_cached)
{
    KaFetched *fetched = g_new0(KaFetched, 1);

    fetched->sha256 = g_ascii_strdown(sha256, -1);
    fetched->path = ka_cache_path(KA_CACHE_DOWNLOADS, fetched->sha256);
    fetched->name = file_name(request->urls[0]);
    fetched->cached = is_cached;
    return fetched;
}

/* By digest; NULL: it isn't in the cache. Both digests, where both are said, must be one file's. */
static KaFetched *
find_by_digest(const KaFetchRequest *request)
{
    g_autoptr(Known) known = request->sha512 ? known_load("sha512", request->sha512) : NULL;

    if (request->sha512 == NULL) {
        g_autofree char *sha256 = g_ascii_strdown(request->sha256, -1);
        g_autofree char *path = ka_cache_path(KA_CACHE_DOWNLOADS, sha256);
        return g_file_test(path, G_FILE_TEST_IS_REGULAR) ? fetched_new(request, sha256, TRUE)
                                                         : NULL;
    }
    if (known == NULL ||
        (request->sha256 && g_ascii_strcasecmp(known->sha256, request->sha256) != 0))
        return NULL;
    return fetched_new(request, known->sha256, TRUE);
}

static KaFetched *
find_by_url(const KaFetchRequest *request)
{
    for (guint i = 0; request->urls[i]; i++) {
        g_autoptr(Known) known = known_load("url", request->urls[i]);

        if (known)
            return fetched_new(request, known->sha256, TRUE);
    }
    return NULL;
}

static gboolean
is_met(const char *wanted, const char *found, const char *what, GError **error)
{
    if (wanted == NULL || g_ascii_strcasecmp(wanted, found) == 0)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "its %s is %s, expected was %s: it changed at its source, or on its way; if the "
                "change is right, give the new digest",
                what, found, wanted);
    return FALSE;
}

/* Of the whole partial: a final name where its digests are those that are wanted. */
static KaFetched *
finish(Fetch *fetch, const char *url, GError **error)
{
    KaPartial *partial = fetch->partial;
    const KaFetchRequest *request = fetch->request;
    g_autofree char *sha256 = NULL, *sha512 = NULL;

    ka_hash_reach(partial->hash, partial->size_bytes);
    if (!ka_hash_end(partial->hash, fetch->action, fetch->progress, &sha256, &sha512, error) ||
        !is_met(request->sha256, sha256, "sha256", error) ||
        !is_met(request->sha512, sha512, "sha512", error))
        return NULL;
    g_autoptr(KaFetched) fetched = fetched_new(request, sha256, FALSE);
    ka_progress_step(fetch->progress, fetch->action, "writes it to the disk", 0, 0, "");
    if (!ka_cache_make(KA_CACHE_DOWNLOADS, error) ||
        !ka_publish(partial->fd, partial->path, fetched->path, error))
        return NULL;
    g_unlink(partial->from_path);
    if (sha512 && !known_save("sha512", sha512, sha256, NULL, error))
        return NULL;
    if (!ka_fetch_has_digest(request) &&
        !known_save("url", url, sha256, &partial->validator, error))
        return NULL;
    return g_steal_pointer(&fetched);
}

/* All bytes are there, and a run was ended before it could say so. */
static gboolean
is_complete(const Fetch *fetch)
{
    return ka_fetch_has_digest(fetch->request) && fetch->partial->total_bytes > 0 &&
           fetch->partial->size_bytes == fetch->partial->total_bytes;
}

static gboolean
transfer(Fetch *fetch, const char *url, const Known *known, gboolean *ret_is_same, GError **error)
{
    KaTransfer one = {.request = fetch->request,
                      .url = url,
                      .partial = fetch->partial,
                      .known = known ? &known->validator : NULL,
                      .action = fetch->action,
                      .progress = fetch->progress};

    if (is_complete(fetch))
        return TRUE;
    gboolean is_done = g_str_equal(ka_url_scheme(url), "file") ? ka_transfer_file(&one, error)
                                                               : ka_transfer(&one, error);
    fetch->retry_after_seconds = MAX(fetch->retry_after_seconds, one.retry_after_seconds);
    *ret_is_same = one.is_same;
    return is_done;
}

static KaFetched *
fetch_from(Fetch *fetch, const char *url, GError **error)
{
    g_autoptr(Known) known = ka_fetch_has_digest(fetch->request) ? NULL : known_load("url", url);

    for (;;) {
        gboolean is_same = FALSE, was_there = is_complete(fetch);
        g_autoptr(GError) failure = NULL;

        if (!transfer(fetch, url, known, &is_same, error))
            return NULL;
        if (is_same)
            return fetched_new(fetch->request, known->sha256, TRUE);
        KaFetched *fetched = finish(fetch, url, &failure);
        if (fetched)
            return fetched;
        gboolean is_mixed = (fetch->partial->resumed || was_there) &&
                            g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_INVALID);
        if (!ka_partial_restart(fetch->partial, url, NULL, 0, error))
            return NULL;
        if (!is_mixed) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
        /* What was there may be of another file: once more, from zero. */
    }
}

static gboolean
is_passing(const GError *failure)
{
    return g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_UNREACHABLE) ||
           g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_TIMEOUT);
}

static gboolean
is_of_mirror(const GError *failure)
{
    return is_passing(failure) || g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_INVALID) ||
           g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_DENIED);
}

static guint
first_wait_ms(const Fetch *fetch)
{
    return fetch->request->first_wait_ms ? fetch->request->first_wait_ms : FIRST_WAIT_MS;
}

/* As long as each attempt brings something new, there is no reason to go elsewhere. */
static KaFetched *
fetch_while_growing(Fetch *fetch, const char *url, GError **error)
{
    for (;;) {
        g_autoptr(GError) failure = NULL;
        KaFetched *fetched = fetch_from(fetch, url, &failure);

        if (fetched)
            return fetched;
        if (!is_passing(failure) || fetch->partial->size_bytes <= fetch->most_bytes) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
        fetch->most_bytes = fetch->partial->size_bytes;
        if (!ka_wait_ms(fetch->progress, first_wait_ms(fetch) / 5, "the download", error))
            return NULL;
    }
}

static gboolean
back_off(Fetch *fetch, guint try, const char *why, GError **error)
{
    guint wanted_ms = MIN(fetch->retry_after_seconds, (guint)MAX_WAIT_SECONDS) * 1000;
    guint ms = MAX(first_wait_ms(fetch) << try, wanted_ms);
    g_autofree char *what = g_strdup_printf("tries again in %.0f s (%s)", ms / 1000.0, why);

    fetch->retry_after_seconds = 0;
    ka_progress_step(fetch->progress, fetch->action, what, 0, 0, "");
    return ka_wait_ms(fetch->progress, ms, "the download", error);
}

/* One round over the mirrors that aren't hopeless; NULL with an error only where all is over. */
static KaFetched *
try_each(Fetch *fetch, GError **failures, GError **error)
{
    for (guint i = 0; fetch->request->urls[i]; i++) {
        GError *failure = NULL;

        if (failures[i] && !is_passing(failures[i]))
            continue;
        KaFetched *fetched = fetch_while_growing(fetch, fetch->request->urls[i], &failure);
        if (fetched)
            return fetched;
        if (!is_of_mirror(failure)) {
            g_propagate_error(error, failure);
            return NULL;
        }
        g_clear_error(&failures[i]);
        failures[i] = failure;
    }
    return NULL;
}

/* The last passing failure's, else INVALID; every mirror's reason. */
static void
report(const KaFetchRequest *request, GError *const *failures, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    gint code = KA_HOST_ERROR_INVALID;

    for (guint i = 0; request->urls[i]; i++) {
        g_autofree char *shown = ka_url_shown(request->urls[i]);

        g_string_append_printf(text, "%s%s: %s", i ? "; " : "", shown, failures[i]->message);
        if (is_passing(failures[i]))
            code = failures[i]->code;
    }
    g_set_error_literal(error, KA_HOST_ERROR, code, text->str);
}

static const GError *
first_passing(GError *const *failures, guint n)
{
    for (guint i = 0; i < n; i++)
        if (is_passing(failures[i]))
            return failures[i];
    return NULL;
}

static KaFetched *
try_all(Fetch *fetch, GError **error)
{
    guint n = 0;
    while (fetch->request->urls[n])
        n++;
    g_autofree GError **failures = g_new0(GError *, n);
    KaFetched *fetched = NULL;
    g_autoptr(GError) over = NULL;

    for (guint try = 0; try < N_TRIES; try++) {
        fetched = try_each(fetch, failures, &over);
        if (fetched || over)
            break;
        const GError *passing = first_passing(failures, n);
        if (passing == NULL || try + 1 == N_TRIES) {
            report(fetch->request, failures, &over);
            break;
        }
        if (!back_off(fetch, try, passing->message, &over))
            break;
    }
    for (guint i = 0; i < n; i++)
        g_clear_error(&failures[i]);
    if (over)
        g_propagate_error(error, g_steal_pointer(&over));
    return fetched;
}

/* What of a partial is of use to a later run: nothing where it is wrong, or fills the disk. */
static gboolean
is_worth_keeping(const GError *failure)
{
    return is_passing(failure) || g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED);
}

static KaFetched *
fetch_locked(const KaFetchRequest *request,
             const char *name,
             const KaAction *action,
             const KaProgress *progress,
             GError **error)
{
    g_autoptr(KaPartial) partial =
        ka_partial_open(name, request->sha512 != NULL, ka_fetch_has_digest(request), error);
    g_autoptr(GError) failure = NULL;

    if (partial == NULL)
        return NULL;
    Fetch fetch = {.request = request,
                   .partial = partial,
                   .action = action,
                   .progress = progress,
                   .most_bytes = partial->size_bytes};
    KaFetched *fetched = try_all(&fetch, &failure);
    if (fetched ? fetched->cached : !is_worth_keeping(failure))
        ka_partial_drop(partial);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return fetched;
}

static KaFetched *
fetch_into_cache(const KaFetchRequest *request,
                 const KaAction *action,
                 const KaProgress *progress,
                 GError **error)
{
    const char *digest = request->sha256 ? request->sha256 : request->sha512;
    g_autofree char *key = digest ? key_of(request->sha256 ? "sha256" : "sha512", digest)
                                  : key_of("url", request->urls[0]);
    g_autoptr(KaCacheLock) lock = ka_cache_lock(
        key, "waits for another kvmapply that fetches the same", action, progress, error);

    if (lock == NULL)
        return NULL;
    KaFetched *fetched = digest ? find_by_digest(request) : NULL;
    return fetched ? fetched : fetch_locked(request, key, action, progress, error);
}

/* A request whose digests are of a text. */
typedef struct {
    KaFetchRequest request;
    char *sha256, *sha512; /* owned */
} Resolved;

static void
resolved_clear(Resolved *resolved)
{
    g_free(resolved->sha256);
    g_free(resolved->sha512);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Resolved, resolved_clear)

static gboolean
needs_list(const KaFetchRequest *request)
{
    return request->checksums && !ka_fetch_has_digest(request);
}

/* list: the text, as it was fetched; NULL: there is none, or none is needed. */
static gboolean
resolve(Resolved *resolved, const KaFetched *list, GError **error)
{
    KaFetchRequest *request = &resolved->request;
    g_autofree char *name = file_name(request->urls[0]), *text = NULL;
    g_autoptr(GError) failure = NULL;

    if (list == NULL)
        return TRUE;
    if (!g_file_get_contents(list->path, &text, NULL, error))
        return FALSE;
    if (!ka_checksums_find(text, name, &resolved->sha256, &resolved->sha512, &failure))
        return refuse(error, request->checksums, failure->message);
    request->sha256 = resolved->sha256;
    request->sha512 = resolved->sha512;
    return TRUE;
}

static KaFetchRequest
list_request(const KaFetchRequest *request, const char *const *urls)
{
    return (KaFetchRequest){.urls = urls,
                            .limit_bytes = CHECKSUMS_LIMIT_BYTES,
                            .patience_seconds = request->patience_seconds,
                            .first_wait_ms = request->first_wait_ms};
}

KaFetched *
ka_fetch(const KaFetchRequest *request,
         const KaAction *action,
         const KaProgress *progress,
         GError **error)
{
    g_auto(Resolved) resolved = {.request = *request};
    const char *const list_urls[] = {request->checksums, NULL};
    g_autoptr(KaFetched) list = NULL;
    KaFetched *fetched = NULL;

    if (!ka_fetch_check(request, error))
        return NULL;
    if (needs_list(request)) {
        KaFetchRequest of_list = list_request(request, list_urls);

        list = fetch_into_cache(&of_list, action, progress, error);
        if (list == NULL)
            return NULL;
    }
    if (!resolve(&resolved, list, error))
        return NULL;
    if (ka_fetch_has_digest(&resolved.request))
        fetched = find_by_digest(&resolved.request);
    if (fetched == NULL)
        fetched = fetch_into_cache(&resolved.request, action, progress, error);
    if (fetched) /* pruning goes by the time of the last use */
        utimensat(AT_FDCWD, fetched->path, NULL, 0);
    return fetched;
}

KaFetched *
ka_fetch_cached(const KaFetchRequest *request, GError **error)
{
    g_auto(Resolved) resolved = {.request = *request};
    const char *const list_urls[] = {request->checksums, NULL};
    g_autoptr(KaFetched) list = NULL;

    if (!ka_fetch_check(request, error))
        return NULL;
    if (needs_list(request)) {
        KaFetchRequest of_list = list_request(request, list_urls);

        list = find_by_url(&of_list);
        if (list == NULL)
            return NULL;
    }
    if (!resolve(&resolved, list, error))
        return NULL;
    return ka_fetch_has_digest(&resolved.request) ? find_by_digest(&resolved.request)
                                                  : find_by_url(&resolved.request);
}
