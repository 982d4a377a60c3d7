#pragma once
#include "drivers/place.h"

/* See the manual on `xml:`. A fragment's single element that has the name of the element at the
 * place is that element itself, in part; else its elements are children. Merging: below <devices>
 * they are added; elsewhere an element merges into the sibling of the same name whose identifying
 * attributes (id, name, vcpu, vcpus, iothread, cellid, dev, type, model, index, key) don't differ.
 */
gboolean ka_fragment_check(const char *text, GError **error);
gboolean ka_fragment_is_in(const xmlNode *element, const char *text);
gboolean ka_fragment_merge(xmlNode *element, const char *text, GError **error);
void ka_fragment_take_out(xmlNode *element, const char *text);
