#pragma once
#include "planner/action.h"

/* Values as a reader of a plan sees them: formatted by their rows, never a secret. */

#define KA_SECRET_TEXT "(secret)"

/* May this value not be shown? */
gboolean ka_value_is_secret(const KaNode *node);
/* A scalar's text, a map's or list's parts in a few words, "" for NULL. May hold line breaks and
 * odd characters. Caller frees. */
char *ka_value_text(const KaNode *node);
/* What an object is, in a few words ("100GiB qcow2 in pool fast"). Caller frees. */
char *ka_value_object(const KaObject *object);
