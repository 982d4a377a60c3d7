#pragma once
#include "drivers/link.h"
#include "manifest/seed.h"

/* seed_iso.c: the seed's files as an ISO 9660 image with Rock Ridge and Joliet. The same files make
 * the same bytes. */
GBytes *ka_seed_iso(const KaSeed *seed, GError **error);

/* Is there a pool for the guest's seed? Says so of one that isn't. TRUE: or there is no seed. */
gboolean ka_seed_assess(KaHost *host, const KaAction *action, GError **error);

/* Makes the volume of the guest's seed, if it has one and that isn't there already, whole. */
gboolean
ka_seed_make(KaHost *host, const KaAction *action, const KaProgress *progress, GError **error);

/* What of a guest's seeds isn't as it should be though the guest itself may be: a volume of an
 * earlier one that the guest no longer has, or the present one's that somebody removed. Its name;
 * NULL: all is well. Caller frees. */
char *ka_seed_unsettled(KaHost *host,
                        const KaObject *object,
                        const KaActual *actual,
                        gboolean *ret_missing);

/* Removes the volumes of seeds that the guest had, as far as nobody uses them: all of them, or all
 * but that of the seed that the action's object has. */
gboolean ka_seed_sweep(KaHost *host, const KaAction *action, gboolean all, GError **error);
