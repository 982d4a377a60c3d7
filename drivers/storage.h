#pragma once
#include "drivers/document.h"
#include "drivers/link.h"

/* What the files about pools and volumes share. */

#define KA_MARKER_SUFFIX ".kvmapply-partial"

/* xml.c: libxml2 with GLib's strings. */
xmlNode *ka_xml_child(const xmlNode *parent, const char *name);
/* Every child of that name. */
void ka_xml_drop(xmlNode *parent, const char *name);
/* NULL: node is NULL or has none. Caller frees. */
char *ka_xml_attribute(const xmlNode *node, const char *name);
char *ka_xml_text(const xmlNode *node);
/* What libvirt sent; no network, no entities. NULL: not XML. Freed with xmlFreeDoc. */
xmlDoc *ka_xml_parse(const char *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* volume.c: the host's volumes as they are known (KaLink). */
/* Reads one active pool's volumes into the index, in one call where its keys are paths. */
gboolean
ka_volumes_index(KaHost *host, virStoragePoolPtr pool, const char *pool_type, GError **error);
void ka_volume_note(KaHost *host, const char *pool, const char *name, const char *path);
void ka_volume_forget(KaHost *host, const char *pool, const char *name);

/* use.c: who needs a volume. Reads every guest (both its halves and its snapshots) and every
 * volume's backing; a reading younger than two seconds is taken again, but a hit is never old. */
typedef struct {
    char *by;     /* "guest 'web'" or "volume 'default/clone'" */
    char *guest;  /* NULL: it is a volume */
    char *device; /* the guest's target whose own source it is ("vda"); NULL: it is below an overlay
                   */
    gboolean running; /* the guest is active */
} KaUser;
void ka_user_free(KaUser *user);
void ka_users_free(gpointer users);
/* Of the volume at path; owned KaUser; empty: nobody. NULL with an error. */
GPtrArray *ka_users_of(KaHost *host, const char *path, GError **error);
/* A refusal that names the first user, where there is one and it isn't `except` (a guest's name, or
 * NULL). */
gboolean
ka_users_none(KaHost *host, const char *what, const char *path, const char *except, GError **error);

/* pool.c */
/* "pool has asynchronous jobs running" is a reason to wait: call again until FALSE. */
gboolean ka_pool_is_busy(const KaProgress *progress, guint *tries);
