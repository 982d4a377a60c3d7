#pragma once
#include "planner/driver.h"

/* The user's cache, $XDG_CACHE_HOME/kvmapply: what was fetched and built, shared by all processes
 * of the user. A file is under its final name only when it is whole and on the disk. */

#define KA_CACHE_DOWNLOADS "downloads" /* by the SHA-256 of the file as served; verified */
#define KA_CACHE_PARTIAL "partial"     /* what isn't whole yet, and the locks of its writers */
#define KA_CACHE_URLS "urls"           /* what is known of a URL, and other names of digests */
#define KA_CACHE_IMAGES "images"       /* built images, by their key */

/* The folder, or (name not NULL) a path in it; makes nothing. Caller frees. */
char *ka_cache_path(const char *folder, const char *name) G_GNUC_WARN_UNUSED_RESULT;
/* Makes the folder and those above it, the user's alone. */
gboolean ka_cache_make(const char *folder, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A lock among threads and processes, which ends with its process. */
typedef struct KaCacheLock KaCacheLock;
/* Takes the lock for partial/NAME; while another one has it, waits and says `what` ("waits for
 * another kvmapply that fetches it"). NULL with an error (CANCELLED, too). */
KaCacheLock *ka_cache_lock(const char *name,
                           const char *what,
                           const KaAction *action,
                           const KaProgress *progress,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* NULL with an error, IN_USE at once while another one has it: for pruning. */
KaCacheLock *ka_cache_try_lock(const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void ka_cache_unlock(KaCacheLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaCacheLock, ka_cache_unlock)

/* Gives a whole file its final name, in any folder: what fd wrote goes to the disk, then it is
 * renamed (over what has the name), then the folder goes to the disk. */
gboolean ka_publish(int fd, const char *temporary, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Sleeps, and wakes up when cancelled: then FALSE with CANCELLED. what: for the message. */
gboolean ka_wait_ms(const KaProgress *progress, guint ms, const char *what, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* CANCELLED where the user wants no more of `what`. */
gboolean ka_may_go_on(const KaProgress *progress,
                      const char *what,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "can't write 'PATH': No space left on device", of G_FILE_ERROR, from errno. Always FALSE. */
gboolean ka_file_error(GError **error, const char *doing, const char *path);
/* All of it at its place, whatever the system takes at once. */
gboolean ka_write_at(int fd,
                     const void *data,
                     gsize n_bytes,
                     guint64 offset,
                     const char *path,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
