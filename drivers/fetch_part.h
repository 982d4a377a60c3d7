#pragma once
#include "drivers/cache.h"
#include "drivers/fetch.h"
#include "drivers/hash.h"

/* What the files about fetching share. An error's code says what is next: UNREACHABLE and TIMEOUT:
 * again; INVALID and DENIED: another mirror; all else (the disk, the user): the end. */

#define KA_FETCH_BUFFER_BYTES (256 * 1024)

/* How a server tells one content of a URL from another. */
typedef struct {
    char *etag, *modified; /* owned; header values as sent; NULL: none */
} KaValidator;
void ka_validator_clear(KaValidator *validator);

/* partial.c: a file that isn't whole yet, and beside it (PATH.from) what its bytes are of. Its user
 * has the lock of its name. */
typedef struct {
    char *path, *from_path; /* owned */
    int fd;
    guint64 size_bytes;    /* what is there */
    guint64 flushed_bytes; /* what is on its way to the disk */
    KaHash *hash;          /* owned; of the file, from its beginning; NULL: a failed restart */
    gboolean with_sha512;
    gboolean resumed;      /* some of it is of an earlier answer */
    char *url_digest;      /* owned; SHA-256 of the URL that it is of; NULL: nothing is there */
    KaValidator validator; /* of what is there */
    guint64 total_bytes;   /* of the whole file; 0: not known */
} KaPartial;
/* is_checked: its digest will be verified. Otherwise what was there before the machine's last start
 * isn't believed: its size may have reached the disk before its data. */
KaPartial *
ka_partial_open(const char *name, gboolean with_sha512, gboolean is_checked, GError **error);
void ka_partial_free(KaPartial *partial);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaPartial, ka_partial_free)
/* Begins at zero with what follows being of the URL; validator NULL: it can't be resumed. */
gboolean ka_partial_restart(KaPartial *partial,
                            const char *url,
                            const KaValidator *validator,
                            guint64 total_bytes,
                            GError **error);
gboolean ka_partial_add(KaPartial *partial, const void *data, gsize n_bytes, GError **error);
/* Removes it from the disk. */
void ka_partial_drop(KaPartial *partial);

/* transfer.c: one attempt to get (the rest of) a URL. */
typedef struct {
    const KaFetchRequest *request;
    const char *url;
    KaPartial *partial;
    const KaValidator *known; /* what is in the cache; NULL: nothing */
    const KaAction *action;
    const KaProgress *progress;
    guint retry_after_seconds; /* set: as the server wants it; 0: it said nothing */
    gboolean is_same;          /* set: what is known is still so, nothing was fetched */
} KaTransfer;
gboolean ka_transfer(KaTransfer *transfer, GError **error);
/* The same of a file:// URL (file.c's own way: no network, no resuming). */
gboolean ka_transfer_file(KaTransfer *transfer, GError **error);
/* Whether the size, where it is known, is within the limit and the disk has room for it. */
gboolean ka_transfer_fits(const KaTransfer *transfer, guint64 total_bytes, GError **error);
gboolean ka_transfer_add(KaTransfer *transfer, const void *data, gsize n_bytes, GError **error);
gboolean ka_fetch_has_digest(const KaFetchRequest *request);
/* Borrowed of GLib's; "https". */
const char *ka_url_scheme(const char *url);

/* checksums.c: the digests of a file's name in a text: coreutils' or BSD's lines, or one that is
 * nothing but a digest; PGP's signature around them is no matter. Either may come back NULL. */
gboolean ka_checksums_find(
    const char *text, const char *name, char **ret_sha256, char **ret_sha512, GError **error);
gboolean ka_is_hex(const char *text, gsize n);
