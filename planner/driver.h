#pragma once
#include "planner/progress.h"

typedef enum {
    KA_HOST_ERROR_UNREACHABLE,
    KA_HOST_ERROR_DENIED,
    KA_HOST_ERROR_TIMEOUT,
    KA_HOST_ERROR_LIBVIRT, /* libvirt refused; its own words are in the message */
    KA_HOST_ERROR_CHANGED, /* the object is not as it was planned */
    KA_HOST_ERROR_IN_USE,  /* something else needs it */
    KA_HOST_ERROR_INVALID, /* what was asked can't be on this host */
    KA_HOST_ERROR_CANCELLED,
} KaHostError;
#define KA_HOST_ERROR (ka_host_error_quark())
GQuark ka_host_error_quark(void);

/* Takes what was observed; may be called from several threads at once. */
typedef void (*KaFound)(KaActual *actual /* taken */, gpointer data);

typedef struct {
    const KaKind *kind;
    const char *project;
    GHashTable *objects; /* borrowed name → KaObject that are to be on this host; NULL: export, read
                            every field of everything that exists */
    GHashTable *disks;   /* borrowed name → KaObject of all declared disks */
    gboolean remove;     /* they are to go: what is half-made counts, too */
    GPtrArray *makers;   /* of kinds on demand: borrowed KaAction that make something of them */
} KaWanted;

/* What one kind can do on a host. All calls may block; none prints. */
typedef struct {
    const char *kind; /* "guest" */
    gboolean late;    /* observed after all that aren't: it needs what they left (disks: the guests'
                         records) */
    /* Of a kind on demand: what nothing more is to be done for. Of others:
     * Reports every object of the kind that is wanted, every other one that has a record (with its
     * name and record only, config NULL), and nothing else; for export every one with all its
     * fields. */
    gboolean (*observe)(
        KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error);
    /* Looks at a planned action before anybody sees it: sets ways, words, remarks, restart. Reads
     * only. An error is a refusal of this action. NULL: nothing to add. */
    gboolean (*assess)(KaHost *host, KaAction *action, GError **error);
    gboolean (*create)(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
    gboolean (*change)(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
    gboolean (*remove)(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);
    /* What of a removal must come last, when all else of the plan was done or tried: a guest tells
     * whose its disks are until they are gone. NULL: nothing. */
    gboolean (*finish)(KaHost *host, KaAction *action, GError **error);
} KaDriver;

/* All that the planner needs of the world; cmd wires the real ones, tests their own. */
typedef struct {
    const KaDriver *const *drivers; /* in the order of creation */
    gsize n_drivers;
    /* Connects; on failure host->error is set. Never hangs: see timeout. */
    void (*connect)(KaHost *host, guint timeout_seconds);
    void (*disconnect)(KaHost *host);
} KaDrivers;

const KaDriver *ka_drivers_find(const KaDrivers *drivers, const KaKind *kind);
