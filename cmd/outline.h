#pragma once
#include "cmd/terminal.h"
#include "planner/plan.h"

/* A plan as lines to be laid out: what text and markdown have in common. */

typedef enum { KA_LINE_HOST, KA_LINE_OBJECT, KA_LINE_FIELD, KA_LINE_REMARK } KaLineLevel;

typedef struct {
    KaLineLevel level;
    const char *sign; /* static; "+", "-", "~", "±", "=", "?", " " */
    KaTone tone;      /* of sign and effect */
    KaTone value_tone;
    char *label;  /* "guest web", "memory.current", a remark's text; owned, as are the others */
    char *value;  /* "2GiB → 4GiB"; never NULL */
    char *effect; /* "at next boot", "web.yaml:31"; never NULL */
} KaLine;

/* The lines of all hosts. verbose: also what is declared of new objects. Array of owned KaLine. */
GPtrArray *ka_outline(const KaPlan *plan, gboolean verbose);
/* "1 to create, 1 to change, 1 left over; 1 guest waits for its next boot", or that there is
 * nothing to do. Caller frees. */
char *ka_outline_summary(const KaPlan *plan);
/* The options that are missing: "--allow restart,delete". For everything, as far as that is enough
 * (what others made is only deleted by its name), or scoped to each object. NULL: none lacks.
 * Caller frees. */
char *ka_outline_allow(const KaPlan *plan, gboolean scoped);
/* Is there anything to do? */
gboolean ka_plan_is_empty(const KaPlan *plan);
