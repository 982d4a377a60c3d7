#pragma once
#include "planner/driver.h"

/* Is a host fit for KVM: each finding is one row of a table in host_check.c. */

typedef enum { KA_FIT_PASS, KA_FIT_WARN, KA_FIT_FAIL } KaFit;

typedef struct {
    const char *name; /* static; "kvm-device" */
    KaFit fit;
    char *found;        /* owned; what is there, in words */
    const char *advice; /* static; what to do; NULL where it passes */
} KaFinding;

void ka_finding_free(KaFinding *finding);

/* Connects where it isn't yet. Always says something: a host that can't be reached is a finding.
 * Owned KaFinding, in the table's order. */
GPtrArray *ka_host_check(KaHost *host, guint timeout_seconds);

/* What a host has and what its guests and volumes may come to take, all of them, anybody's. */
typedef struct {
    char *name;                /* owned; "cpus", "memory", "2MiB pages", "pool default" */
    uint64_t present, current; /* there is; in use now */
    uint64_t promised;         /* at most, when all take what they may */
    gboolean is_bytes;         /* else a number */
} KaCapacity;

void ka_capacity_free(KaCapacity *capacity);

/* Owned KaCapacity; NULL with host->error or an error. */
GPtrArray *ka_host_capacity(KaHost *host, guint timeout_seconds, GError **error);
