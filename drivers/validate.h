#pragma once
#include "manifest/manifest.h"

/* Defines every network, pool and guest of the manifest in libvirt's in-process test driver (no
 * daemon, nothing printed, nothing left behind) as it would be defined on its host. What libvirt
 * rejects is an error at the object's place with libvirt's own words; what only this machine's
 * libvirt may not know (a newer model, another architecture) is a warning, as are a fragment that
 * it doesn't keep and a libvirt without the test driver. FALSE if an error was added. */
gboolean ka_validate_xml(const KaManifest *manifest, KaDiagnostics *diagnostics);
