#pragma once
#include "planner/driver.h"
#include <guestfs.h>

/* One small virtual machine of libguestfs, in which images are opened: their file systems are never
 * mounted by this machine's own kernel. About 0.9 GiB of memory and, under emulation, 10 to 20 s
 * until it runs. */
typedef struct KaAppliance KaAppliance;

/* What all appliances of one run have in common. */
typedef struct {
    gint emulate; /* atomic; a launch under KVM failed: the next ones don't try */
    gint told;    /* atomic; that was said */
} KaApplianceRun;

typedef struct {
    const char *path;   /* borrowed */
    const char *format; /* borrowed; "raw", "qcow2"; never probed */
    gboolean read_only; /* what is written lands in an overlay that is thrown away */
} KaDrive;

typedef struct {
    gboolean alone; /* its drives are those of one machine, so that LVM, RAID, LUKS and btrfs may be
                       put together. Else images of strangers lie side by side and whatever could
                       mix them up stays off where the kernel lets it */
    gboolean network;
    guint memory_mib;           /* 0: libguestfs' own */
    KaApplianceRun *run;        /* borrowed; NULL: none */
    GPtrArray *warnings;        /* borrowed; owned char * are added: what a user should hear */
    const KaAction *action;     /* borrowed; whose progress it is */
    const KaProgress *progress; /* borrowed; its cancel ends the appliance at any time */
} KaApplianceOptions;

/* Launches it with all drives (none can be added later), once more with emulation where it doesn't
 * come up with KVM. Not for images that weren't checked (ka_image_check): it would open what they
 * refer to. Used by the calling thread alone. NULL with an error. */
KaAppliance *ka_appliance_launch(const KaDrive *drives,
                                 gsize n_drives,
                                 const KaApplianceOptions *options,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Ends it; FALSE: what was written may not have arrived. Frees appliance in any case. */
gboolean ka_appliance_shutdown(KaAppliance *appliance, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Ends it without asking whether all was written; takes NULL. */
void ka_appliance_free(KaAppliance *appliance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaAppliance, ka_appliance_free)

/* libguestfs' handle, for calls that inside.h doesn't have. Borrowed. */
guestfs_h *ka_appliance_handle(const KaAppliance *appliance);
const KaApplianceOptions *ka_appliance_options(const KaAppliance *appliance);
/* It died (of an image that crashed its kernel, or cancelled): no call succeeds any longer. */
gboolean ka_appliance_is_dead(const KaAppliance *appliance);
/* FALSE with an error (CANCELLED) once the run is cancelled; to be asked between steps. */
gboolean ka_appliance_may_go_on(const KaAppliance *appliance, GError **error);
/* How many can run at once, by CPUs and available memory; at least 1, at most `wanted`. */
guint ka_appliance_at_once(guint wanted);

/* libguestfs' last error as one of KA_HOST_ERROR: "what: its message", CANCELLED where that is why.
 * Always FALSE. */
gboolean ka_appliance_error(const KaAppliance *appliance, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
