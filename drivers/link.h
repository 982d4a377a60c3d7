#pragma once
#include "planner/driver.h"
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virNetwork, virNetworkFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStoragePool, virStoragePoolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageVol, virStorageVolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStream, virStreamFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virSecret, virSecretFree)

typedef struct {
    char *name; /* the volume's */
    char *pool;
    char
        *path; /* what a disk's source says of it: a path, a device, or the network volume's name */
    virStorageVolPtr handle; /* owned; NULL: this apply made the volume */
} KaVolume;

typedef struct {
    char *guest;
    char *path;       /* a source or one of its backing chain as the guest's XML names it */
    gboolean running; /* the guest is active */
} KaUse;

/* What an observation left for the kinds that come after it on the same host; guarded by lock. The
 * order of observing is network, pool, guest, disk: pools fill the volumes, so that guests can name
 * theirs; guests fill uses and volume_owners, by which disks know whose they are. During an apply,
 * new pools and volumes are added: look them up by ka_link_volume. */
typedef struct {
    virConnectPtr conn; /* owned */
    GMutex lock;
    GHashTable *volumes_by_path; /* owned; path → borrowed KaVolume: of every active pool */
    GHashTable *volumes_by_name; /* owned; "POOL/NAME" → owned KaVolume */
    GHashTable *volume_names;    /* owned; NAME → how many pools have a volume of it */
    GHashTable *seeds; /* owned; guest → GPtrArray of borrowed KaVolume with seeds of its */
    GHashTable
        *volume_owners; /* owned; "POOL/NAME" → owned project, of every guest's record that lists
                           it; filled by the guest driver's observe, read by the disk's */
    GHashTable
        *volumes_protected; /* owned; set of "POOL/NAME" that a guest's record protects; likewise */
    GHashTable *volume_claims; /* owned; "POOL/NAME" → GPtrArray of owned names of the guests whose
                                  records list it; likewise */
    GHashTable *volumes_going; /* owned; set of "POOL/NAME" that the plan removes and that are
                                  still there */
    GHashTable *volumes_half; /* owned; set of "POOL/NAME" that have a mark (half.h); filled with
                                 the volumes */
    GHashTable *guests_going; /* owned; set of names; stopped by this apply, undefined once their
                                 volumes are gone */
    GMutex record_lock;       /* held while a guest's record is read and written again */
    GMutex network_lock;      /* held while a network is defined: libvirt gives two that come at
                                 once the same bridge name and then refuses both */
    GHashTable *pools;        /* owned; name → type; active ones */
    GHashTable *pools_inactive; /* owned; set of names */
    GHashTable *networks;       /* owned; name → "active" or "inactive" */
    GPtrArray *uses;            /* owned KaUse: disks of every guest, anybody's */
    GHashTable *network_users;  /* owned; network → GPtrArray of owned running guest names */
    GHashTable *image_keys;     /* owned; interned image → interned key, "": not known yet */
    GHashTable *image_pools;    /* owned; image → GPtrArray of owned names of the pools that want a
                                   base of it */
    gpointer users;             /* owned; use.c: who needs which volume, as last read */
    char *capabilities;         /* owned; XML, read on demand (ka_link_capabilities) */
} KaLink;

/* connection.c: connects with keep-alive (a dead host ends calls with an error after about 15 s)
 * and a time-out of its own; starts libvirt's event loop thread once; silences libvirt's own
 * printing. */
void ka_link_connect(KaHost *host, guint timeout_seconds);
void ka_link_disconnect(KaHost *host);

static inline KaLink *
ka_link(const KaHost *host)
{
    return host->link;
}

/* The host's capabilities (virConnectGetCapabilities), cached; NULL with an error. Borrowed. */
const char *ka_link_capabilities(KaHost *host, GError **error);
/* "kvm" where the host's capabilities have it for this arch (NULL: the host's own), else the first
 * type that they have ("qemu"; "test" of the test driver), "qemu" when they can't be read. Static.
 */
const char *ka_link_domain_type(KaHost *host, const char *arch);
/* The machine types that the host's capabilities list for the arch: none where they can't be read or
 * list none (the test driver's). Owned char *; caller unrefs. */
GPtrArray *ka_link_machines(KaHost *host, const char *arch);
/* An ordinary user's daemon (…/session): no NAT, no system bridges. */
gboolean ka_link_is_session(const KaHost *host);

/* A copy of what is known of a volume, also of one that this apply made; NULL: there is none. */
KaVolume *ka_link_volume(KaHost *host, const char *pool, const char *name);
/* The same by its path ("what a disk's source says of it"). */
KaVolume *ka_link_volume_at(KaHost *host, const char *path);
/* Of an active pool ("dir", "logical", "rbd", …), also of one that this apply started; interned;
 * NULL: none. */
const char *ka_link_pool_type(KaHost *host, const char *pool);
/* What `export` calls the disk of a volume: the volume's name, POOL-NAME where several pools have
 * one of that name. Caller frees. */
char *ka_link_disk_name(KaHost *host, const KaVolume *volume);
/* The volume's and the pool's name of a declared disk. Borrowed. */
const char *ka_disk_volume(const KaObject *disk);
const char *ka_disk_pool(const KaObject *disk);

/* guest_record.c: no record of the project's guests lists the volume ("POOL/NAME") any longer: a
 * later one of that name is not the project's. */
gboolean ka_guests_disclaim(KaHost *host, const char *project, const char *volume, GError **error);

/* UUIDv5 of project/kind/name: the ownership mark of kinds without metadata (pools, filters).
 * Caller frees. */
char *ka_mark_uuid(const char *project, const char *kind, const char *name);

/* Turns libvirt's last error of this thread into a GError of KA_HOST_ERROR (DENIED, UNREACHABLE,
 * TIMEOUT or LIBVIRT by its number): "what: libvirt's message (libvirt error NUMBER)", and what to
 * do where that is known (a socket without permission: the libvirt group or qemu:///session; …).
 * Always FALSE. */
#define ka_libvirt_error(...) (ka_libvirt_keep(), ka_libvirt_error_kept(__VA_ARGS__))
/* Arguments that ask libvirt for an object's name reset its last error: it is kept before they are
 * evaluated. */
void ka_libvirt_keep(void);
gboolean ka_libvirt_error_kept(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Number of libvirt's last error in this thread (VIR_ERR_…), 0: none. */
int ka_libvirt_code(void);

/* Runs work(items[i], data) on up to five threads, all of them; stops handing out at the first
 * FALSE, whose error is returned. */
gboolean ka_link_parallel(GPtrArray *items,
                          gboolean (*work)(gpointer item, gpointer data, GError **error),
                          gpointer data,
                          GError **error);

/* One driver a kind, each in the file of its name. */
extern const KaDriver ka_tuning_driver, ka_network_driver, ka_pool_driver, ka_image_driver,
    ka_disk_driver, ka_guest_driver;

/* Every driver, in the order of creation; the only list of kinds in this layer (drivers.c). */
extern const KaDrivers ka_drivers;

/* An empty link; ka_link_free closes the connection too. */
KaLink *ka_link_new(virConnectPtr conn /* taken; NULL: none */);
void ka_link_free(KaLink *link);
void ka_volume_free(KaVolume *volume);
/* NULL of NULL. */
KaVolume *ka_volume_copy(const KaVolume *volume);
void ka_use_free(KaUse *use);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaVolume, ka_volume_free)
