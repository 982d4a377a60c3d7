#pragma once
#include <glib.h>

/* The MAC of a guest's NIC that declares none: the first octet 52 (locally administered, not QEMU's
 * own 52:54:00), then 40 bits of a hash of "project/guest/nic" (FNV-1a of 64 bits, mixed by
 * MurmurHash3's last step). The same on every machine and at every run. Caller frees. */
char *ka_guest_mac(const char *project, const char *guest, const char *nic);
