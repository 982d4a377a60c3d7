#pragma once
#include "drivers/place.h"

/* See the manual on `xml:`. A fragment's single element that has the name of the element at the
 * place is that element itself, in part; else its elements are children. Merging: below <devices>
 * they are added; elsewhere an element merges into the sibling of the same name whose identifying
 * attributes (id, name, vcpu, vcpus, iothread, cellid, dev, type, model, index, key) don't differ,
 * or is added where it has the attribute ka-add='yes' (which export writes for twins that nothing
 * tells apart). */
gboolean ka_fragment_check(const char *text, GError **error);
gboolean ka_fragment_is_in(const xmlNode *element, const char *text);
gboolean ka_fragment_merge(xmlNode *element, const char *text, GError **error);
void ka_fragment_take_out(xmlNode *element, const char *text);

/* The attributes by which elements of one name are told apart. */
#define KA_FRAGMENT_N_IDENTITY 11
extern const char *const ka_fragment_identity[KA_FRAGMENT_N_IDENTITY];
/* Of one name, and no identifying attribute differs. */
gboolean ka_fragment_could_be(const xmlNode *element, const xmlNode *part);
/* The child of element, none of taken (a set), that a part would be merged into; NULL: it would be
 * added. */
xmlNode *ka_fragment_target(const xmlNode *element, xmlNode *part, GHashTable *taken);
