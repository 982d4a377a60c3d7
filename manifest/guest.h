#pragma once
#include "manifest/manifest.h"

/* What follows from a guest's other values, as fresh nodes: MACs, buses by target, formats by disk
 * or suffix, maxima, a serial port, what a display needs. Reports what no row can see alone. */
void ka_guest_complete(KaManifest *manifest, KaObject *guest, KaDiagnostics *diagnostics);
