#include "drivers/fetch_part.h"

#include <curl/curl.h>
#include <string.h>
#include <sys/statvfs.h>

#define PATIENCE_SECONDS 30
#define MAX_REDIRECTS 10
#define STALL_BYTES_PER_SECOND 100
#define TELL_US (100 * G_TIME_SPAN_MILLISECOND)
/* A body that nobody wants, so that the connection stays usable. */
#define SWALLOW_BYTES (64 * 1024)
#define RANGE_OFFSET_NONE ((guint64)-1)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CURL, curl_easy_cleanup)
typedef struct curl_slist Headers;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Headers, curl_slist_free_all)

/* One request and its answer. */
typedef struct {
    KaTransfer *of;
    CURL *curl;           /* borrowed */
    const char *url;      /* borrowed; of this hop */
    guint64 asked_offset; /* RANGE_OFFSET_NONE: no range was asked for */
    gboolean is_ftp;
    gboolean is_conditional;
    gboolean is_judged; /* the answer's head was looked at */
    gboolean is_wanted; /* the body goes into the partial */
    guint64 swallowed_bytes;
    gint64 told_at_us;
    GError *failure; /* owned; why it was ended from within a callback */
} Exchange;

/* What curl's own errors mean to the caller; all others: unreachable. */
static const struct {
    CURLcode code;
    KaHostError meaning;
    const char *advice;
} meanings[] = {
    {CURLE_PEER_FAILED_VERIFICATION, KA_HOST_ERROR_INVALID,
     "; its certificate must be of an authority that this system trusts"                     },
    {CURLE_SSL_CACERT_BADFILE,       KA_HOST_ERROR_INVALID, "; is ca-certificates installed?"},
    {CURLE_URL_MALFORMAT,            KA_HOST_ERROR_INVALID, ""                               },
    {CURLE_UNSUPPORTED_PROTOCOL,     KA_HOST_ERROR_INVALID, ""                               },
    {CURLE_REMOTE_FILE_NOT_FOUND,    KA_HOST_ERROR_INVALID, ""                               },
    {CURLE_FTP_COULDNT_RETR_FILE,    KA_HOST_ERROR_INVALID, ""                               },
    {CURLE_FILESIZE_EXCEEDED,        KA_HOST_ERROR_INVALID, ""                               },
    {CURLE_REMOTE_ACCESS_DENIED,     KA_HOST_ERROR_DENIED,  ""                               },
    {CURLE_LOGIN_DENIED,             KA_HOST_ERROR_DENIED,  ""                               },
    {CURLE_OPERATION_TIMEDOUT,       KA_HOST_ERROR_TIMEOUT, ""                               },
};

static const struct {
    long status;
    KaHostError meaning;
    const char *text;
} statuses[] = {
    {401, KA_HOST_ERROR_DENIED,      "it wants a user and a password"                    },
    {403, KA_HOST_ERROR_DENIED,      "it forbids this"                                   },
    {404, KA_HOST_ERROR_INVALID,     "there is no such file"                             },
    {408, KA_HOST_ERROR_TIMEOUT,     "it waited too long"                                },
    {410, KA_HOST_ERROR_INVALID,     "the file was removed for good"                     },
    {416, KA_HOST_ERROR_UNREACHABLE, "it has no such range: it will be fetched from zero"},
    {425, KA_HOST_ERROR_UNREACHABLE, "it is too early"                                   },
    {429, KA_HOST_ERROR_UNREACHABLE, "it was asked too often"                            },
    {500, KA_HOST_ERROR_UNREACHABLE, "it failed"                                         },
    {502, KA_HOST_ERROR_UNREACHABLE, "the server behind it failed"                       },
    {503, KA_HOST_ERROR_UNREACHABLE, "it is overloaded"                                  },
    {504, KA_HOST_ERROR_UNREACHABLE, "the server behind it doesn't answer"               },
};

const char *
ka_url_scheme(const char *url)
{
    const char *scheme = g_uri_peek_scheme(url);

    return scheme ? scheme : "";
}

gboolean
ka_fetch_has_digest(const KaFetchRequest *request)
{
    return request->sha256 || request->sha512;
}

static gboolean fail(GError **error, KaHostError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
fail(GError **error, KaHostError code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, KA_HOST_ERROR, (gint)code, text);
    return FALSE;
}

static guint64
limit_of(const KaTransfer *transfer)
{
    return transfer->request->limit_bytes ? transfer->request->limit_bytes : KA_FETCH_LIMIT_BYTES;
}

static gboolean
too_large(const KaTransfer *transfer, guint64 bytes, GError **error)
{
    return fail(error, KA_HOST_ERROR_INVALID,
                "it is larger than the limit: at least %" G_GUINT64_FORMAT
                " bytes, the limit is %" G_GUINT64_FORMAT,
                bytes, limit_of(transfer));
}

gboolean
ka_transfer_fits(const KaTransfer *transfer, guint64 total_bytes, GError **error)
{
    struct statvfs room;
    guint64 there = transfer->partial->size_bytes;

    if (total_bytes > limit_of(transfer))
        return too_large(transfer, total_bytes, error);
    if (statvfs(transfer->partial->path, &room) < 0 || total_bytes <= there ||
        (total_bytes - there) / room.f_frsize < room.f_bavail)
        return TRUE;
    g_autofree char *needed = g_format_size_full(total_bytes - there, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *free_room =
        g_format_size_full((guint64)room.f_bavail * room.f_frsize, G_FORMAT_SIZE_IEC_UNITS);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                "the download needs %s, the cache's disk has %s left ('%s'): make room, or set "
                "XDG_CACHE_HOME to another one",
                needed, free_room, transfer->partial->path);
    return FALSE;
}

gboolean
ka_transfer_add(KaTransfer *transfer, const void *data, gsize n_bytes, GError **error)
{
    if (transfer->partial->size_bytes + n_bytes > limit_of(transfer))
        return too_large(transfer, transfer->partial->size_bytes + n_bytes, error);
    return ka_partial_add(transfer->partial, data, n_bytes, error);
}

/* Of the last answer; NULL: it isn't there. Borrowed until the next request. */
static const char *
header(const Exchange *exchange, const char *name)
{
    struct curl_header *found = NULL;

    return curl_easy_header(exchange->curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK
               ? found->value
               : NULL;
}

/* Bytes that the body will have; 0: isn't said. */
static guint64
content_length(const Exchange *exchange)
{
    curl_off_t length = -1;

    curl_easy_getinfo(exchange->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length > 0 ? (guint64)length : 0;
}

/* A connection that just closes looks like the end where neither length nor digest is known. */
static gboolean
has_an_end(const Exchange *exchange)
{
    long version = 0;
    const char *coding = header(exchange, "Transfer-Encoding");

    curl_easy_getinfo(exchange->curl, CURLINFO_HTTP_VERSION, &version);
    return header(exchange, "Content-Length") || version >= CURL_HTTP_VERSION_2_0 ||
           (coding && g_ascii_strcasecmp(coding, "chunked") == 0) ||
           ka_fetch_has_digest(exchange->of->request);
}

/* Last-Modified, where the file can't have changed again in the same second (RFC 9110, 8.8.2.2). */
static const char *
proven_date(const Exchange *exchange)
{
    const char *date = header(exchange, "Date"), *modified = header(exchange, "Last-Modified");

    return date && modified && curl_getdate(modified, NULL) < curl_getdate(date, NULL) ? modified
                                                                                       : NULL;
}

static gboolean
begin_at_zero(Exchange *exchange, GError **error)
{
    KaTransfer *transfer = exchange->of;
    const char *etag = exchange->is_ftp ? NULL : header(exchange, "ETag");
    const char *modified = exchange->is_ftp ? NULL : proven_date(exchange);
    guint64 total = content_length(exchange);

    if (!exchange->is_ftp && !has_an_end(exchange))
        return fail(error, KA_HOST_ERROR_INVALID,
                    "the server doesn't say how long the file is, so a cut wouldn't be seen: give "
                    "its sha256 or sha512");
    g_autofree char *etag_kept = g_strdup(etag), *modified_kept = g_strdup(modified);
    KaValidator validator = {etag_kept, modified_kept};
    if (!ka_partial_restart(transfer->partial, transfer->url, &validator, total, error))
        return FALSE;
    exchange->is_wanted = TRUE;
    return ka_transfer_fits(transfer, total, error);
}

static gboolean
read_number(const char **at, guint64 *ret)
{
    char *end = NULL;

    if (!g_ascii_isdigit(**at))
        return FALSE;
    *ret = g_ascii_strtoull(*at, &end, 10);
    *at = end;
    return TRUE;
}

/* "bytes FIRST-LAST/TOTAL" (RFC 9110, 14.4) that goes on where we are. */
static gboolean
range_fits(const Exchange *exchange)
{
    const KaPartial *partial = exchange->of->partial;
    const char *at = header(exchange, "Content-Range");
    const char *etag = header(exchange, "ETag");
    guint64 first = 0, last = 0, total = 0, length = content_length(exchange);

    if (at == NULL || g_ascii_strncasecmp(at, "bytes ", 6) != 0)
        return FALSE;
    at += 6;
    if (!read_number(&at, &first) || *at++ != '-' || !read_number(&at, &last) || *at++ != '/' ||
        !read_number(&at, &total) || *at != '\0')
        return FALSE;
    if (etag && partial->validator.etag && !g_str_equal(etag, partial->validator.etag))
        return FALSE;
    return first == exchange->asked_offset && first <= last && last < total &&
           (partial->total_bytes == 0 || partial->total_bytes == total) &&
           (length == 0 || length == last - first + 1);
}

static gboolean
go_on(Exchange *exchange, GError **error)
{
    KaPartial *partial = exchange->of->partial;

    if (exchange->asked_offset == RANGE_OFFSET_NONE)
        return fail(error, KA_HOST_ERROR_INVALID, "it sent a part of the file, unasked");
    if (!range_fits(exchange)) {
        const char *range = header(exchange, "Content-Range");
        g_autofree char *sent = g_strdup(range ? range : "none");

        if (!ka_partial_restart(partial, exchange->of->url, NULL, 0, error))
            return FALSE;
        return fail(error, KA_HOST_ERROR_UNREACHABLE,
                    "it sent another range than the one asked for (%s): the file is fetched from "
                    "zero",
                    sent);
    }
    exchange->is_wanted = TRUE;
    partial->resumed = TRUE;
    return ka_transfer_fits(exchange->of, partial->total_bytes, error);
}

static gboolean
judge_status(Exchange *exchange, long status, GError **error)
{
    if (status == 416 &&
        !ka_partial_restart(exchange->of->partial, exchange->of->url, NULL, 0, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (statuses[i].status == status)
            return fail(error, statuses[i].meaning, "the server says %ld: %s", status,
                        statuses[i].text);
    }
    return fail(error, KA_HOST_ERROR_INVALID, "the server says %ld", status);
}

/* Looks at the head of an answer, before its first byte is taken. */
static gboolean
judge(Exchange *exchange, GError **error)
{
    long status = 0;

    if (exchange->is_judged)
        return TRUE;
    exchange->is_judged = TRUE;
    if (exchange->is_ftp) {
        if (exchange->asked_offset == RANGE_OFFSET_NONE)
            return begin_at_zero(exchange, error);
        exchange->is_wanted = exchange->of->partial->resumed = TRUE;
        return TRUE;
    }
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
        return begin_at_zero(exchange, error);
    if (status == 206)
        return go_on(exchange, error);
    if (status == 304 && exchange->is_conditional) {
        exchange->of->is_same = TRUE;
        return TRUE;
    }
    /* Redirects are followed by hand, so that each hop can be looked at. */
    return status / 100 == 3 ? TRUE : judge_status(exchange, status, error);
}

static size_t
on_data(char *data, size_t size, size_t n, void *user)
{
    Exchange *exchange = user;
    gsize n_bytes = size * n;

    if (!judge(exchange, &exchange->failure))
        return 0;
    if (!exchange->is_wanted) {
        exchange->swallowed_bytes += n_bytes;
        return exchange->swallowed_bytes > SWALLOW_BYTES ? 0 : n_bytes;
    }
    return ka_transfer_add(exchange->of, data, n_bytes, &exchange->failure) ? n_bytes : 0;
}

static int
on_progress(void *user, curl_off_t total, curl_off_t done, curl_off_t up_total, curl_off_t up_done)
{
    Exchange *exchange = user;
    const KaTransfer *transfer = exchange->of;
    gint64 now = g_get_monotonic_time();

    (void)total, (void)done, (void)up_total, (void)up_done;
    if (g_cancellable_is_cancelled(transfer->progress->cancel))
        return 1;
    if (now - exchange->told_at_us < TELL_US)
        return 0;
    exchange->told_at_us = now;
    ka_progress_step(transfer->progress, transfer->action, "downloads",
                     transfer->partial->size_bytes, transfer->partial->total_bytes, "B");
    return 0;
}

static gboolean
is_strong_date(const KaTransfer *transfer)
{
    const KaValidator *validator = &transfer->partial->validator;

    /* A weak tag says that equal dates may have unlike bytes: only a digest would show it. */
    return validator->modified &&
           (validator->etag == NULL || ka_fetch_has_digest(transfer->request));
}

/* What If-Range says; NULL: what is there can't be gone on with. Borrowed. */
static const char *
resumable(const KaTransfer *transfer)
{
    const KaPartial *partial = transfer->partial;
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, transfer->url, -1);

    if (partial->size_bytes == 0 || g_strcmp0(partial->url_digest, digest) != 0)
        return NULL;
    if (partial->validator.etag && partial->validator.etag[0] == '"')
        return partial->validator.etag;
    return is_strong_date(transfer) ? partial->validator.modified : NULL;
}

static void
ask_for_rest(Exchange *exchange, Headers **headers)
{
    const KaTransfer *transfer = exchange->of;
    const char *validator = resumable(transfer);
    /* FTP has no validators; the digest tells at the end. */
    gboolean resumes = exchange->is_ftp ? transfer->partial->size_bytes > 0 &&
                                              ka_fetch_has_digest(transfer->request)
                                        : validator != NULL;

    if (!resumes)
        return;
    exchange->asked_offset = transfer->partial->size_bytes;
    if (exchange->is_ftp) {
        curl_easy_setopt(exchange->curl, CURLOPT_RESUME_FROM_LARGE,
                         (curl_off_t)exchange->asked_offset);
        return;
    }
    g_autofree char *range = g_strdup_printf("%" G_GUINT64_FORMAT "-", exchange->asked_offset);
    g_autofree char *if_range = g_strdup_printf("If-Range: %s", validator);
    curl_easy_setopt(exchange->curl, CURLOPT_RANGE, range);
    *headers = curl_slist_append(*headers, if_range);
}

static void
ask_for_change(Exchange *exchange, Headers **headers)
{
    const KaValidator *known = exchange->of->known;

    if (known == NULL || exchange->asked_offset != RANGE_OFFSET_NONE)
        return;
    exchange->is_conditional = known->etag || known->modified;
    g_autofree char *condition = known->etag ? g_strdup_printf("If-None-Match: %s", known->etag)
                                 : known->modified
                                     ? g_strdup_printf("If-Modified-Since: %s", known->modified)
                                     : NULL;
    if (condition)
        *headers = curl_slist_append(*headers, condition);
}

static void
set_up(Exchange *exchange, char *message)
{
    CURL *curl = exchange->curl;
    const KaFetchRequest *request = exchange->of->request;
    long patience = request->patience_seconds ? (long)request->patience_seconds : PATIENCE_SECONDS;
    const char *authorities = g_getenv("CURL_CA_BUNDLE");

    if (authorities == NULL)
        authorities = g_getenv("SSL_CERT_FILE");
    if (authorities && *authorities)
        curl_easy_setopt(curl, CURLOPT_CAINFO, authorities);
    curl_easy_setopt(curl, CURLOPT_URL, exchange->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https,ftp");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kvmapply/" KA_VERSION);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)KA_FETCH_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, patience);
    curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, patience);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, patience);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
}

static gboolean
explain(const Exchange *exchange, CURLcode code, const char *message, GError **error)
{
    const char *text = *message ? message : curl_easy_strerror(code);

    if (code == CURLE_ABORTED_BY_CALLBACK)
        return ka_may_go_on(exchange->of->progress, "the download", error);
    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++) {
        if (meanings[i].code == code)
            return fail(error, meanings[i].meaning, "%s%s", text, meanings[i].advice);
    }
    return fail(error, KA_HOST_ERROR_UNREACHABLE, "%s", text);
}

/* After the last byte. */
static gboolean
check_end(Exchange *exchange, CURLcode code, const char *message, GError **error)
{
    const KaPartial *partial = exchange->of->partial;

    if (exchange->failure) {
        g_propagate_error(error, g_steal_pointer(&exchange->failure));
        return FALSE;
    }
    /* A server that won't go on from there: from zero, then. */
    if (exchange->is_ftp &&
        (code == CURLE_BAD_DOWNLOAD_RESUME || code == CURLE_FTP_COULDNT_USE_REST) &&
        !ka_partial_restart(exchange->of->partial, exchange->of->url, NULL, 0, error))
        return FALSE;
    if (code == CURLE_WRITE_ERROR && !exchange->is_wanted)
        return fail(error, KA_HOST_ERROR_INVALID, "its answer is no file");
    if (code != CURLE_OK)
        return explain(exchange, code, message, error);
    if (!judge(exchange, error)) /* an answer without a body */
        return FALSE;
    if (exchange->is_wanted && partial->total_bytes && partial->size_bytes != partial->total_bytes)
        return fail(error, KA_HOST_ERROR_UNREACHABLE,
                    "it sent %" G_GUINT64_FORMAT " bytes of %" G_GUINT64_FORMAT,
                    partial->size_bytes, partial->total_bytes);
    return TRUE;
}

/* Where a redirect leads; NULL: it is none, or (with an error) none to follow. Caller frees. */
static char *
next_hop(Exchange *exchange, guint n_hops, GError **error)
{
    const char *next = NULL;
    long status = 0;

    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (exchange->is_ftp || exchange->of->is_same || status / 100 != 3)
        return NULL;
    curl_easy_getinfo(exchange->curl, CURLINFO_REDIRECT_URL, &next);
    if (next == NULL) {
        judge_status(exchange, status, error);
        return NULL;
    }
    const char *from = ka_url_scheme(exchange->url), *to = ka_url_scheme(next);
    gboolean is_safe =
        g_str_equal(to, "https") || (g_str_equal(from, "http") && g_str_equal(to, "http"));
    g_autofree char *shown = ka_url_shown(next);
    if (is_safe && n_hops < MAX_REDIRECTS)
        return g_strdup(next);
    if (is_safe)
        fail(error, KA_HOST_ERROR_INVALID, "it redirects in circles, at last to %s", shown);
    else
        fail(error, KA_HOST_ERROR_INVALID, "it redirects from %s to %s, which is less safe", from,
             shown);
    return NULL;
}

static gboolean
exchange_once(KaTransfer *transfer, CURL *curl, char **url, guint n_hops, GError **error)
{
    Exchange exchange = {.of = transfer, .curl = curl, .url = *url};
    g_autoptr(Headers) headers = curl_slist_append(NULL, "Accept-Encoding: identity");
    char message[CURL_ERROR_SIZE] = "";
    curl_off_t wait_seconds = 0;

    exchange.asked_offset = RANGE_OFFSET_NONE;
    exchange.is_ftp = g_str_equal(ka_url_scheme(*url), "ftp");
    curl_easy_reset(curl);
    set_up(&exchange, message);
    ask_for_rest(&exchange, &headers);
    ask_for_change(&exchange, &headers);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait_seconds) == CURLE_OK)
        transfer->retry_after_seconds = (guint)CLAMP(wait_seconds, 0, 3600);
    g_autoptr(GError) failure = NULL;
    char *next = check_end(&exchange, code, message, &failure)
                     ? next_hop(&exchange, n_hops, &failure)
                     : NULL;
    /* curl keeps the pointers for its clean-up. */
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    g_free(*url);
    *url = next;
    if (failure == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

gboolean
ka_transfer(KaTransfer *transfer, GError **error)
{
    static gsize is_ready = 0;

    if (g_once_init_enter(&is_ready)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&is_ready, 1);
    }
    g_autoptr(CURL) curl = curl_easy_init();
    g_autofree char *url = g_strdup(transfer->url);
    transfer->retry_after_seconds = 0;
    for (guint n_hops = 0; url; n_hops++)
        if (!exchange_once(transfer, curl, &url, n_hops, error))
            return FALSE;
    return TRUE;
}
