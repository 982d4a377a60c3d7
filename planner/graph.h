#pragma once
#include "planner/action.h"

/* Sets action->after from what the objects need of each other (a pool before its disk before its
 * guest; removals the other way round) and sorts the actions so that each stands after those it
 * waits for; otherwise by kind, then in the manifest's order, left-overs by name. An error on a
 * cycle, which names its objects. actions: KaAction of one host. */
gboolean ka_graph_order(GPtrArray *actions, GError **error);
