#pragma once
#include "drivers/inside.h"

/* Takes out of a system what makes it this one machine. The operations are rows of one table
 * (scrub_table.c); looking and acting are two steps, so that an audit, a dry run and a scrub see
 * the same. */
typedef struct KaScrub KaScrub;

/* What is done with what matches: adds items. */
typedef gboolean (*KaScrubWay)(KaScrub *scrub, const KaInsideEntry *entry, GError **error);

typedef struct {
    KaScrubWay way;
    const char *glob;     /* "~/" begins one of every user's home; "/" alone: called once */
    const char *argument; /* what the way wants to know more; NULL: nothing */
} KaScrubStep;

/* One row. */
typedef struct {
    const char *name;
    gboolean by_default;
    guint families;            /* KaFamily whose systems have it; 0: any */
    const KaScrubStep *steps;  /* ended by one without way */
    const char *const *except; /* globs that none of its steps takes; NULL: none */
    const char *doc;           /* what goes and why; one line */
} KaScrubOperation;

/* scrub_table.c; in the order in which they are done. */
extern const KaScrubOperation ka_scrub_operations[];
extern const gsize ka_n_scrub_operations;

/* Which operations: the defaults, or `only` these; and `also` those; but `keep` those. All are
 * borrowed names, NULL-terminated; NULL: none. */
typedef struct {
    const char *const *only, *const *also, *const *keep;
    const char *const *paths; /* globs of the user's own to remove */
} KaScrubChoice;
/* Unknown names (the nearest is suggested), names that are both kept and asked for, paths that
 * aren't absolute or name all of the system. */
gboolean ka_scrub_choice_check(const KaScrubChoice *choice, GError **error);

typedef enum {
    KA_SCRUB_REMOVE,
    KA_SCRUB_WRITE, /* a file is edited, emptied or made */
    KA_SCRUB_LINK,
    KA_SCRUB_RENAME,
    KA_SCRUB_RENEW, /* UUIDs: made anew at each scrub, nothing that an audit could tell */
    KA_SCRUB_ODD,   /* a link where none should be: told, nothing is done */
} KaScrubAct;

/* One thing that identifies the machine, and what becomes of it. */
typedef struct {
    const char *operation; /* its name; static, or "paths" */
    KaScrubAct act;
    char *path;
    char *to;      /* of renames and links */
    char *content; /* of writes */
    gsize length;
    guint mode;     /* of files that are made */
    char *evidence; /* "MAC 52:54:00:12:34:56"; never a secret; NULL: the path says it */
    gboolean inner; /* lies in a folder that goes: for a dry run's list */
    gboolean quiet; /* nothing that identifies: what scrub adds so that clones get their own */
} KaScrubItem;
void ka_scrub_item_free(KaScrubItem *item);

/* What is there to be done, in order: removals come before edits. deep: list all that is in folders
 * that go, too. Owned KaScrubItem. NULL with an error. */
GPtrArray *ka_scrub_look(KaInside *inside,
                         const KaScrubChoice *choice,
                         gboolean deep,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Does it; what must happen to unmounted file systems (UUIDs) is left to ka_scrub_devices. */
gboolean
ka_scrub_act(KaInside *inside, const GPtrArray *items, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* After ka_system_unmount. */
gboolean ka_scrub_devices(const KaSystem *system,
                          const GPtrArray *items,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
