#pragma once
#include "drivers/system.h"

/* The only file whose calls touch paths inside an image. It walks every path by itself, name by
 * name, and follows no link but those that systems have by themselves (/var/run to /run, /bin to
 * /usr/bin, …): a link that somebody planted is told, never followed. Paths are absolute. */
typedef struct KaInside KaInside;

typedef enum {
    KA_INSIDE_NONE, /* there is nothing */
    KA_INSIDE_FILE,
    KA_INSIDE_FOLDER,
    KA_INSIDE_LINK,  /* where a link may stand: it points to what is dealt with by its own name */
    KA_INSIDE_ODD,   /* a link in the way or in its place: nothing may be done */
    KA_INSIDE_OTHER, /* device, socket, pipe */
} KaInsideType;

/* What stands at a path. */
typedef struct {
    char *path; /* real one; where odd: that of the link */
    KaInsideType type;
    char *target;        /* of links; else NULL */
    gboolean in_the_way; /* of odd ones: it stands where a folder of the path should be */
} KaInsideEntry;
void ka_inside_entry_free(KaInsideEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaInsideEntry, ka_inside_entry_free)

KaInside *ka_inside_new(const KaSystem *system);
void ka_inside_free(KaInside *inside);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaInside, ka_inside_free)
const KaSystem *ka_inside_system(const KaInside *inside);

/* One path. NULL with an error (of the appliance alone). */
KaInsideEntry *
ka_inside_look(KaInside *inside, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What matches a glob: '*' also takes names that begin with a dot, and no '/'. Sorted; owned
 * KaInsideEntry, odd ones too, none of type NONE. */
GPtrArray *
ka_inside_glob(KaInside *inside, const char *pattern, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What lies in a folder (its real path), sorted. A folder that isn't there has nothing. */
GPtrArray *
ka_inside_list(KaInside *inside, const char *folder, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Real paths of all regular files below a folder whose names match one of the globs. */
GPtrArray *ka_inside_find(KaInside *inside,
                          const char *folder,
                          const char *const *names,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean ka_inside_is(KaInside *inside, const char *path, KaInsideType type);
/* At most limit bytes of a regular file, NUL-terminated. NULL without an error: there is none. */
char *
ka_inside_read(KaInside *inside, const char *path, gsize limit, gsize *ret_length, GError **error);
gboolean ka_inside_size(KaInside *inside, const char *path, guint64 *ret_bytes, GError **error);

/* Removes what is at a path, a folder with all that is in it; links in it go, what they point to
 * stays. Nothing there: done. Odd: an error. */
gboolean
ka_inside_remove(KaInside *inside, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Writes a file by a temporary one beside it and a rename: whole or not at all. One that is there
 * keeps its mode, owner and attributes; a new one gets mode, root and its folder's label. */
gboolean ka_inside_write(KaInside *inside,
                         const char *path,
                         const char *data,
                         gsize length,
                         guint mode,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes a folder and those above it that are missing. */
gboolean ka_inside_make_folder(KaInside *inside, const char *path, guint mode, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean ka_inside_link(KaInside *inside, const char *target, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Within one folder or from one to another; what is at `to` must not be. */
gboolean ka_inside_rename(KaInside *inside, const char *from, const char *to, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
