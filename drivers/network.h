#pragma once
#include "drivers/document.h"
#include "drivers/link.h"

/* The parts of the network driver. */

/* network_form.c: what the table's rows read, beside what libvirt says: attributes that begin with
 * ka- (an address with its prefix, a lease in seconds, …) and <forward mode='none'/>. */
void ka_network_normalise(xmlDoc *xml);
/* Makes libvirt's own attributes say what the ka- ones say, where they don't yet, and takes those
 * away: what libvirt wrote and nobody changed stays as it was written. */
void ka_network_denormalise(xmlDoc *xml);

/* network_read.c: a network as libvirt defines it. */
typedef struct {
    KaDocument *config; /* owned */
    char *text;         /* owned; as libvirt gave it */
    char uuid[VIR_UUID_STRING_BUFLEN];
    gboolean active;
    gboolean autostart;
} KaNetwork;
void ka_network_free(KaNetwork *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaNetwork, ka_network_free)

const KaRows *ka_network_rows(void);
/* In libvirt's own form; flags as of virNetworkGetXMLDesc; ret_text, if not NULL, caller frees. */
KaDocument *ka_network_half(virNetworkPtr handle, guint flags, char **ret_text, GError **error);
/* As it is now, config in libvirt's own form. */
KaNetwork *ka_network_read_again(virNetworkPtr handle, GError **error);
/* The document in normal form, with what libvirt keeps beside it. */
void ka_network_present(KaDocument *document, const KaNetwork *network, gboolean protect);
/* Of all that a plan rests on. Caller frees. */
char *ka_network_digest(const KaNetwork *network);
/* The mark in <metadata> that a new network isn't all there; NULL: none. */
xmlNode *ka_network_unfinished(const KaDocument *document);
void ka_network_mark(KaDocument *document, gboolean unfinished);
/* See KaDriver. */
gboolean ka_network_observe(
    KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error);

/* network_update.c: makes the sections that virNetworkUpdate knows of the running network what `to`
 * says; both in libvirt's own form. */
gboolean ka_network_update(virNetworkPtr network, xmlDoc *from, xmlDoc *to, GError **error);

/* network_live.c: one NIC of a running guest that stands on a network. */
typedef struct {
    char *guest;
    char *project;    /* whose guest it is by its record; NULL: nobody's */
    char *interface;  /* as libvirt plugs it in */
    char *away;       /* the same on the network where it waits */
    char *port;       /* UUID of its port; NULL: it has none (it names the bridge itself) */
    gboolean waiting; /* is away */
    gboolean movable; /* a tap in a bridge */
} KaPlug;

/* NICs of running guests, anybody's, on the network, on its bridge (NULL: it makes none) or away on
 * its behalf. Array of owned KaPlug; NULL with an error. */
GPtrArray *ka_network_plugs(virNetworkPtr network, const char *bridge, GError **error);

/* Names of the plugs' guests, each once, comma-separated. Caller frees. */
char *ka_network_guests(const GPtrArray *plugs);

/* The network where NICs wait while theirs restarts. As long as it is there, a restart isn't over.
 */
#define KA_NETWORK_WAITING "kvmapply-wait-"
/* Caller frees. */
char *ka_network_waiting_name(virNetworkPtr network);
gboolean ka_network_waits(virNetworkPtr network);
/* Makes it before a restart, where guests are on the network. */
gboolean ka_network_wait(virNetworkPtr network, const char *bridge, GError **error);

/* Plugs back in what a restart of the network left outside; bridge: as before the restart. */
gboolean ka_network_plug_back(virNetworkPtr network,
                              const char *bridge,
                              const KaAction *action,
                              const KaProgress *progress,
                              GError **error);

/* network.c: the XML that create would define, without the record. Caller frees with g_free. */
char *ka_network_xml(const KaObject *object, GError **error);
