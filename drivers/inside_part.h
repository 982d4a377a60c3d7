#pragma once
#include "drivers/inside.h"

/* What inside.c (looking) and inside_change.c (changing) share. */

struct KaInside {
    const KaSystem *system; /* borrowed */
    guestfs_h *handle;      /* borrowed */
    GHashTable *folders; /* owned; real path → GHashTable of name → type letter; never stale */
};

/* A real folder's names and their types ('d', 'r', 'l', …). Borrowed. */
GHashTable *ka_inside_names(KaInside *inside, const char *folder, GError **error);
char *ka_inside_join(const char *folder, const char *name);
/* The real folder of a path, or NULL: with an error where none is there. */
char *ka_inside_real_folder(KaInside *inside, const char *path, GError **error);
/* "what 'path' in the image: libguestfs' reason"; always FALSE. */
gboolean ka_inside_fail(const KaInside *inside, GError **error, const char *what, const char *path);
/* "'path' in the image why"; always FALSE. */
gboolean ka_inside_refuse(GError **error, const char *path, const char *why);
