#pragma once
#include "drivers/document.h"
#include "drivers/link.h"

/* What the files of the guest driver share. */

/* A guest's facts that libvirt keeps outside its XML; NULL: not said. */
typedef struct {
    const char *state;     /* "running", "paused", "off" */
    const char *autostart; /* "yes", "no" */
    const char *protect;   /* "yes": from the record */
} KaGuestFacts;

/* The number at a place below; 0: none. */
static inline guint64
ka_element_number(const xmlNode *self, const char *place)
{
    g_autofree char *text = ka_place_get(self, place, FALSE);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* What the normal form is relative to. */
typedef struct {
    KaHost *host;
    GHashTable *
        disks; /* borrowed; name → KaObject of declared disks; NULL: every known volume is a disk */
    const KaNode *want;  /* the guest's declared node; NULL: none */
    GPtrArray *notes;    /* borrowed; char *: overlays found on declared disks; NULL: nobody asks */
    virDomainPtr domain; /* borrowed; asked for its snapshots where a disk isn't the declared one;
                            NULL: no */
    gboolean placeholders; /* volumes that don't exist get a path all the same (validation) */
} KaGuestForm;

/* Everything is asked for and everything derived is left out. */
static inline gboolean
ka_guest_form_is_export(const KaGuestForm *form)
{
    return !form->disks;
}

/* --- guest_observe.c --- */

gboolean ka_guest_observe(
    KaHost *host, const KaWanted *wanted, KaFound found, gpointer data, GError **error);

/* --- guest_normal.c --- */

/* What libvirt shows to what the rows speak of: derived and default content is dropped, names that
 * libvirt can't hold and facts that it keeps elsewhere become attributes that start with "ka-". */
void ka_guest_normalise(KaDocument *document, const KaGuestForm *form, const KaGuestFacts *facts);
/* A running guest's document beside its definition (both in normal form): what the start expanded
 * goes back to what was defined, and NICs get the names that the definition gave them. */
void ka_guest_normalise_live(KaDocument *live, const KaDocument *config);
/* Back to what libvirt takes. What follows from a changed value follows here. */
gboolean ka_guest_denormalise(KaDocument *document, const KaGuestForm *form, GError **error);
/* What a new guest gets beside its rows' fresh values, by its architecture, where desired doesn't
 * speak of it: CPU, timers, spare ports, a better SCSI controller. Before ka_guest_denormalise. */
void ka_guest_defaults(KaDocument *document, KaHost *host, const KaNode *desired);
/* Is the declared machine type one that the host's libvirt lists? An error says the nearest. */
gboolean ka_guest_check_machine(KaHost *host, KaAction *action, GError **error);
/* Nodes of null in an export for what ka_guest_defaults would add to the rebuilt guest and this one
 * lacks. */
void ka_guest_deny_defaults(KaTree *tree);
/* What every guest's document has and no row says: hypervisor and OS type. */
void ka_guest_essentials(KaDocument *document, KaHost *host);

/* --- guest_derived.c --- */

/* Takes out of a normal form what libvirt would derive once more: for exports. */
void ka_guest_drop_derived(xmlNode *root, xmlNode *devices, const KaGuestForm *form);

/* --- guest_disk.c --- */

/* Sources that are declared disks become type='ka-disk' with the disk's name, also below an
 * overlay; and back. */
void ka_guest_disks_normalise(xmlNode *devices, const KaGuestForm *form);
gboolean ka_guest_disks_denormalise(xmlNode *devices, const KaGuestForm *form, GError **error);
/* Adds every source and backing source of the document to link->uses. */
void
ka_guest_disks_uses(KaHost *host, const KaDocument *document, const char *guest, gboolean running);

/* --- guest_file.c --- */

/* Files of fw-cfg that are declared as volumes get "ka-volume" for their path; and back. */
void ka_guest_files_normalise(xmlNode *root, const KaGuestForm *form);
gboolean ka_guest_files_denormalise(xmlNode *root, const KaGuestForm *form, GError **error);

/* --- guest_live.c --- */

/* A running guest being changed. */
typedef struct {
    virDomainPtr domain;        /* borrowed */
    KaAction *action;           /* borrowed */
    const KaProgress *progress; /* borrowed */
    const KaGuestForm *form;    /* borrowed */
    KaDocument *live;           /* borrowed; in normal form */
    KaDocument *staged;         /* borrowed; patched, as libvirt takes it */
    GHashTable *elements;       /* borrowed; item path → its xmlNode in staged */
    GHashTable *waiting;        /* borrowed; owned paths of items that the guest hasn't let go of */
    GPtrArray *requests;        /* borrowed; what the guest is asked to do by itself */
} KaGuestLive;

/* Makes the live changes true in the running guest; attached devices' addresses go into staged. */
gboolean ka_guest_change_live(KaGuestLive *change, GError **error);

/* --- guest_power.c --- */

/* "running", "paused" or "off"; NULL with an error. A crashed guest is off. */
const char *ka_guest_state(virDomainPtr domain, GError **error);
/* Brings the guest to the state: starts, resumes, pauses, or shuts it down gracefully: the agent
 * where it is connected, else ACPI; a guest that doesn't follow within the time-out is an error, it
 * is never cut off. */
gboolean ka_guest_set_state(virDomainPtr domain,
                            const char *state,
                            KaAction *action,
                            const KaProgress *progress,
                            GError **error);
gboolean
ka_guest_restart(virDomainPtr domain, KaAction *action, const KaProgress *progress, GError **error);
/* What has paused or ended the guest other than somebody's wish, in words; NULL: nothing. */
const char *ka_guest_trouble(virDomainPtr domain);
/* Off, and as far as libvirt remembers it was never anything else. */
gboolean ka_guest_never_ran(virDomainPtr domain);
/* Cuts it off: for removal alone. */
gboolean ka_guest_destroy(virDomainPtr domain, GError **error);

/* --- guest_wait.c --- */

/* Until the guest, which was started, is as far as the action's object says with `wait`; at once
 * where that says nothing. The error says what was last seen. */
gboolean ka_guest_wait(virDomainPtr domain,
                       const KaAction *action,
                       const KaProgress *progress,
                       GError **error);

/* --- guest_change.c --- */

gboolean ka_guest_assess(KaHost *host, KaAction *action, GError **error);
gboolean
ka_guest_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error);

/* --- guest.c --- */

/* The XML that create would define, without the record. Volumes that don't exist yet are named by a
 * path below /nonexistent when `placeholders` (validation). Caller frees with g_free. */
char *ka_guest_xml(KaHost *host, const KaObject *object, gboolean placeholders, GError **error);
/* Declared disks that the object names: borrowed name → KaObject. Caller unrefs. */
GHashTable *ka_guest_declared_disks(const KaObject *object);
/* An owned path of no row: the guest was defined and is yet to be started for the first time. */
#define KA_GUEST_UNSTARTED "ka-start"

/* --- guest_record.c --- */

/* Takes that path out of the guest's record. */
gboolean ka_guest_started(KaHost *host, virDomainPtr domain, GError **error);
