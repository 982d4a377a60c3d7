#pragma once
#include <glib.h>

/* The XML text without the root's grandchildren of this name, so that what nobody asks about isn't
 * parsed. Of a well-formed text the rest stays well-formed, to the letter. Caller frees. */
char *ka_xml_cut(const char *text, const char *name);
