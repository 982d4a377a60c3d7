#pragma once
#include "drivers/document.h"
#include "drivers/element.h"
#include "drivers/link.h"

/* What the files about pools and volumes share. */

/* xml.c */
/* Every child of that name. */
void ka_xml_drop(xmlNode *parent, const char *name);
/* An element's text; NULL: node is NULL. Caller frees. */
char *ka_xml_text(const xmlNode *node);
/* libvirt writes modes below 0100 with fewer digits than others: four, whatever they are. */
void ka_xml_settle_mode(const xmlNode *target);
/* What libvirt sent; no network, no entities. NULL: not XML. Freed with xmlFreeDoc. */
xmlDoc *ka_xml_parse(const char *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* volume.c: the host's volumes as they are known (KaLink). */
/* Reads one active pool's volumes into the index, in one call where its keys are paths. */
gboolean
ka_volumes_index(KaHost *host, virStoragePoolPtr pool, const char *pool_type, GError **error);
void ka_volume_note(KaHost *host, const char *pool, const char *name, const char *path);
void ka_volume_forget(KaHost *host, const char *pool, const char *name);
/* A run that was cut left it half-made, or one that is at work hasn't done it yet. */
gboolean ka_volume_is_half(KaHost *host, const char *pool, const char *name);

/* use.c: who needs a volume. Reads every guest (both its halves and its snapshots) and every
 * volume's backing; a reading younger than two seconds is taken again, but a hit is never old. */
typedef struct {
    char *by;      /* "guest 'web'" or "volume 'default/clone'" */
    char *guest;   /* NULL: it is a volume */
    char *project; /* of the guest's record; NULL: none */
    char *device; /* the guest's target whose own source it is ("vda"); NULL: it is below an overlay
                   */
    gboolean running; /* the guest is active */
} KaUser;
void ka_user_free(KaUser *user);
void ka_users_free(gpointer users);
/* Of the volume at path, without the guests that go; owned KaUser; empty: nobody. NULL with an
 * error. */
GPtrArray *ka_users_of(KaHost *host, const char *path, GError **error);
/* A refusal that names the first user, where there is one that isn't the own device of a guest of
 * `project` (NULL: of none) that is off: a disk that is replaced comes back under its path. */
gboolean ka_users_none(
    KaHost *host, const char *what, const char *path, const char *project, GError **error);

/* The first guest of another project than this, or of none, that has it; FALSE with an error that
 * names it. */
gboolean ka_users_none_foreign(
    KaHost *host, const char *what, const char *path, const char *project, GError **error);

/* pool.c */
/* The XML that create would define, without the project's UUID. Caller frees with g_free. */
char *ka_pool_xml(const KaObject *object, GError **error);
/* A pool as it was read: its definition in normal form, and what stands beside it. */
typedef struct {
    KaDocument *document; /* owned */
    char *type;           /* owned; "dir" */
    gboolean active;
} KaPool;
void ka_pool_free(KaPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaPool, ka_pool_free)
KaPool *ka_pool_read(virStoragePoolPtr handle, gboolean active, gboolean autostart, GError **error);
char *ka_pool_digest(const KaPool *pool);
void ka_pool_normalise(KaDocument *document, const char *type, gboolean active, gboolean autostart);
/* A document in normal form as the text that libvirt gets. */
char *ka_pool_text(const KaDocument *document);
/* Tells the link of a pool that is there; type NULL: gone. */
void ka_pool_note(KaHost *host, const char *name, const char *type, gboolean active);

/* pool_change.c */
gboolean ka_pool_assess(KaHost *host, KaAction *action, GError **error);
gboolean ka_pool_create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
gboolean ka_pool_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
gboolean ka_pool_remove(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
/* "pool has asynchronous jobs running" is a reason to wait: call again until FALSE. */
gboolean ka_pool_is_busy(const KaProgress *progress, guint *tries);

/* marker.c: a mark (half.h) that says "not whole yet" of a volume and is a lock among clients.
 * It beats while its owner lives; one that stands still is taken over. */
typedef struct KaMarker KaMarker;
/* Waits for another's, saying so. sign: what it marks takes long to make: it shall tell whose it
 * is. NULL on an error or when cancelled. */
KaMarker *ka_marker_take(virStoragePoolPtr pool,
                         const char *pool_type,
                         const KaAction *action,
                         const char *volume,
                         gboolean sign,
                         const KaProgress *progress,
                         GError **error);
/* A run that ended before it was done left it: what stands beside it is half-made. */
gboolean ka_marker_is_stale(const KaMarker *marker);
/* Somebody else took it over (this run stood still too long): what is under way must end. */
gboolean ka_marker_is_lost(KaMarker *marker);
/* Frees marker; whole: removes the volume too; otherwise the next run makes the other one anew. */
void ka_marker_end(KaMarker *marker, gboolean whole);

/* image_header.c: refuses an image file that isn't of the format, or that names other files
 * (backing, data file, parent, extents). Reads the file by itself, follows nothing. path: for the
 * message. ret_size_bytes: what a guest sees. */
gboolean ka_image_check(
    int fd, const char *format, const char *path, guint64 *ret_size_bytes, GError **error);

/* upload.c: the file's data into the volume, holes skipped. Ends when cancelled or marker is lost.
 */
gboolean ka_upload(virStorageVolPtr volume,
                   int fd,
                   const KaAction *action,
                   KaMarker *marker,
                   const KaProgress *progress,
                   GError **error);

/* Waits until libvirt takes the volume for what was uploaded to it. */
gboolean ka_disk_wait_for_format(virStoragePoolPtr pool,
                                 const char *pool_type,
                                 virStorageVolPtr volume,
                                 const char *wanted,
                                 const KaAction *action,
                                 const KaProgress *progress,
                                 GError **error);
/* Opens the local file of `content` and checks it; -1 with an error. Caller closes. */
int ka_disk_open_content(const KaObject *disk, guint64 *ret_size_bytes, GError **error);

/* disk_create.c */
/* Removes what a run that was cut left beside its marker, which is the caller's; anything else
 * under the name was made by others since the plan. */
gboolean ka_disk_clear_half(KaHost *host,
                            const KaAction *action,
                            virStoragePoolPtr pool,
                            const char *name,
                            const KaMarker *marker,
                            const KaProgress *progress,
                            GError **error);
/* After a failure: TRUE where nothing half-made is left. What another has taken over is not ours to
 * discard. */
gboolean ka_disk_discard(virStoragePoolPtr pool, const char *name, KaMarker *marker);
gboolean ka_disk_create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);

/* disk.c */
/* The volume's definition in normal form: nothing that moves by itself, names of disks for paths.
 */
KaDocument *ka_disk_read(virStorageVolPtr volume, const char *pool_type, GError **error);
/* The format that the manifest says or, in a pool that it doesn't declare, the one that follows. */
const char *ka_disk_format(const KaObject *disk, const char *pool_type);
gboolean ka_pool_keeps_files(const char *pool_type);
char *ka_disk_digest(const KaDocument *document);

/* disk_change.c */
gboolean ka_disk_assess(KaHost *host, KaAction *action, GError **error);
gboolean ka_disk_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
gboolean ka_disk_remove(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);

/* disk_grow.c */
/* An error where something has it as a base. */
gboolean ka_disk_can_grow(KaHost *host, virStorageVolPtr volume, const char *name, GError **error);
/* Grows it to the size, through the guests that run on it where there are any. */
gboolean ka_disk_grow(
    KaHost *host, virStorageVolPtr volume, const char *name, guint64 size_bytes, GError **error);
