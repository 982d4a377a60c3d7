#pragma once
#include "planner/driver.h"

/* One way to run something on a host: directly, or by the user's own ssh (its configuration, agent
 * and known_hosts) where the host's libvirt URI or its `ssh` key says so. What runs is a fixed
 * script; all values travel on its standard input, so that no shell ever reads what a user or a
 * host says. Scripts are one line without single quotes and double backslashes: the login shell
 * that ssh passes them through may be any. */

typedef enum {
    KA_CHANNEL_FRESH =
        1 << 0, /* a connection of its own, never one that is shared (ControlMaster) */
} KaChannelFlags;

/* NULL: the host can be reached; else why not ("its URI is qemu+tls: …, say 'ssh'"). Caller frees.
 */
char *ka_channel_lacks(const KaHost *host);

/* Runs script by the host's sh, as root where the host says `become`. input may be NULL. A status
 * other than 0 is an error with what it said; 255 of ssh is UNREACHABLE, no answer within
 * timeout_seconds (0: 60) is TIMEOUT. What it printed, NULL with an error; NUL bytes are kept, and
 * one follows the end. */
GByteArray *ka_channel_run(const KaHost *host,
                           KaChannelFlags flags,
                           const char *script,
                           const GByteArray *input,
                           guint timeout_seconds,
                           GCancellable *cancel,
                           GError **error);

/* A value with the NUL byte that ends it. */
void ka_channel_put(GByteArray *input, const char *value);
