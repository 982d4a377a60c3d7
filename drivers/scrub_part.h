#pragma once
#include "drivers/scrub.h"

/* What the files of scrubbing share among themselves. */

#define KA_SCRUB_TEXT_MAX (1 << 20) /* larger files are not edited */

/* One look at a system. */
struct KaScrub {
    KaInside *inside;                  /* borrowed */
    const KaSystem *system;            /* borrowed */
    const KaScrubOperation *operation; /* borrowed; at work */
    const KaScrubStep *step;           /* borrowed; likewise */
    gboolean deep;
    GPtrArray *items;  /* owned KaScrubItem */
    GHashTable *going; /* owned; set of paths that are removed */
    GPtrArray *homes;  /* owned char *: of every user */
    char *hostname;    /* owned; NULL: it has none of its own */
};

/* Adds an item of the operation at work. evidence is taken. Borrowed. */
KaScrubItem *
ka_scrub_add(KaScrub *scrub, KaScrubAct act, const char *path, char *evidence /* taken */);
/* Is it, or a folder above it, removed? */
gboolean ka_scrub_is_going(const KaScrub *scrub, const char *path);
/* A file's text as the edits so far leave it; NULL without an error: there is none, or it can't be
 * edited (said so). Caller frees. */
char *ka_scrub_text(KaScrub *scrub, const char *path, GError **error);
/* The file gets another text, if it is another. */
void ka_scrub_put(KaScrub *scrub,
                  const char *path,
                  const char *before,
                  const char *after,
                  char *evidence /* taken */);
/* The first line of a small text file, if a reader may see it; else its size. Caller frees. */
char *ka_scrub_first_line(KaScrub *scrub, const char *path);

/* Ways (scrub_way.c). */
gboolean ka_scrub_remove(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* …, and its first line is the evidence. */
gboolean ka_scrub_remove_id(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* …, and the fingerprint of the SSH key is. */
gboolean ka_scrub_remove_key(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* Only where a line says something: comments alone identify nothing. */
gboolean ka_scrub_remove_rules(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* Regular files, also below; folders stay. argument: a name that stays. */
gboolean ka_scrub_remove_files(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* Regular files below whose name is one of the globs in argument, by blanks. */
gboolean ka_scrub_remove_found(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* The file stays, with no bytes. argument: a first line that may stand. */
gboolean ka_scrub_empty(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* The file's text becomes the argument. */
gboolean ka_scrub_set(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
/* Lines whose key is one of the argument's, by blanks, go. */
gboolean ka_scrub_drop_lines(KaScrub *scrub, const KaInsideEntry *entry, GError **error);

/* Loads the text that an edit works on; FALSE: an error. *ret_text NULL: nothing to edit. */
gboolean ka_scrub_load(KaScrub *scrub, const KaInsideEntry *entry, char **ret_text, GError **error);

/* Edits that know their file (scrub_edit.c, scrub_net.c, scrub_boot.c, scrub_user.c). */
gboolean ka_scrub_hostname(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_hosts(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_initiator(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_snapd(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_host_keys_unit(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_unconfigured(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_networkd(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_netplan(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_boot_entries(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_users(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_lvm_uuids(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
gboolean ka_scrub_fs_uuids(KaScrub *scrub, const KaInsideEntry *entry, GError **error);
