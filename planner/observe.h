#pragma once
#include "planner/plan.h"

/* Connects to every host of the plan at once, observes every kind that is wanted there and turns
 * what is found into actions (changes, creations, left-overs), each assessed by its driver. What
 * can't be told goes to `unknown`. No side effects. */
void ka_observe(KaPlan *plan);

/* Refuses the guests of ours that are on a host which --host leaves out, and declared on another;
 * where such a host can't be reached, its error is set. */
void ka_observe_others(KaPlan *plan);

/* Is the object asked for by --target (itself, or what a target needs)? */
gboolean ka_plan_targets(const KaPlan *plan, const KaObject *object);
