#pragma once
#include "planner/host.h"
#include "planner/record.h"

/* One object as a host has it. */
typedef struct {
    char *name;
    char *uuid;         /* NULL: the kind has none */
    KaRecord *record;   /* NULL: nobody's */
    KaTree *config;     /* as defined: the fields that are declared or owned (or all, for export) */
    KaTree *live;       /* the same as it runs; NULL: it doesn't run or can't differ */
    char *base;         /* the object of its kind that can go only after it; NULL: none */
    char *digest;       /* of what it was read from: "changed since the plan" */
    char *text;         /* what the digest is of, where a driver leaves it to ka_actual_keep */
    gboolean active;    /* runs, or is started */
    gboolean transient; /* has no definition: can't be staged */
    char *unknown;      /* why it can't be told whether or how it exists; NULL: it is known */
    GPtrArray *notes;   /* char *: what a plan should say (overlay, managed save, snapshots) */
} KaActual;

KaActual *ka_actual_new(const char *name);
void ka_actual_free(KaActual *actual);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaActual, ka_actual_free)
/* Makes the digest of the text: most objects are as declared, and theirs is never asked for. */
void ka_actual_keep(KaActual *actual);
/* A digest (hex) of texts, NULL-terminated list: to see a change, not to withstand a forger, and so
 * a cheap one. Caller frees. */
char *ka_digest(const char *text, ...) G_GNUC_NULL_TERMINATED;

/* What differs in one field, or a whole item of a map that comes or goes. */
typedef struct {
    char *path;         /* "memory.current", "nics.backup" */
    const KaField *row; /* borrowed */
    const KaNode *from; /* borrowed of the actual; NULL: absent */
    const KaNode *to;   /* borrowed of the manifest or of the action's tree; NULL: it goes */
    KaWay way;          /* how it takes effect here and now */
    gboolean pending;   /* already defined; waits for the guest or its next boot */
    gboolean released;  /* the manifest no longer names it */
} KaChange;

typedef enum { KA_CREATE, KA_CHANGE, KA_REMOVE, KA_REPLACE } KaVerb;

typedef enum { KA_WAITING, KA_RUNNING, KA_DONE, KA_FAILED, KA_SKIPPED } KaOutcome;

/* One step of a plan: one object on one host. */
typedef struct KaAction KaAction;
struct KaAction {
    KaVerb verb;
    const KaKind *kind;
    char *name;             /* owned */
    KaHost *host;           /* borrowed */
    const KaObject *object; /* borrowed; NULL: no manifest declares it */
    const KaNode *blame;    /* borrowed; what assess's error is about; NULL: the object */
    KaActual *actual;       /* owned; NULL: it doesn't exist */
    KaTree *tree;           /* owned; nodes that changes made of released fields point to */
    GPtrArray *changes;     /* owned KaChange; what is to be done (pending ones too) */
    GPtrArray *notes;   /* owned KaChange whose difference can't be acted on (fixed at creation) */
    GPtrArray *remarks; /* owned char *; what else a reader should know */
    char *doing;        /* owned; what it comes to, where its object doesn't say; NULL: it does */
    KaWords words;      /* what the user must have said */
    KaWords allowed;    /* what the user has said of this object; set before assess */
    KaWords lacking;    /* … and hasn't */
    gboolean restart;   /* a running guest goes down for it (and comes up again) */
    gboolean adopt;     /* the object was not made by this project */
    gboolean left_over; /* owned, not declared, and not asked to be pruned: nothing is done */
    GPtrArray *after;   /* owned array of borrowed KaAction that must be done before */
    KaOutcome outcome;
    GError *error; /* why it failed or was skipped */
    gint64 duration_us;
    const char *project; /* borrowed; the manifest's, for the record */
};

void ka_change_free(KaChange *change);
KaAction *ka_action_new(KaVerb verb, const KaKind *kind, const char *name, KaHost *host);
void ka_action_free(KaAction *action);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaAction, ka_action_free)

/* "guest/web", or "guest/web@kvm1" where several hosts are declared. Caller frees. */
char *ka_action_address(const KaAction *action, gboolean with_host);

/* Will the action do nothing (a left-over, or only what waits)? */
gboolean ka_action_is_idle(const KaAction *action);
