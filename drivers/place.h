#pragma once
#include <glib.h>
#include <libxml/tree.h>

/* Places (`at` of a row, see manifest/field.h) relative to an element. */

typedef enum {
    KA_DOCUMENT_ERROR_XML,
    KA_DOCUMENT_ERROR_PLACE,
    KA_DOCUMENT_ERROR_AMBIGUOUS
} KaDocumentError;
#define KA_DOCUMENT_ERROR (ka_document_error_quark())
GQuark ka_document_error_quark(void);

/* Text for libxml2, which counts it in unsigned bytes. */
#define KA_XML(text) ((const xmlChar *)(text))

/* The value of the first match that has one; a template's only if all its parts have. NULL: absent.
 * "yes" or "no" where presence is the value. Caller frees. */
char *ka_place_get(const xmlNode *self, const char *place, gboolean is_presence);
/* Writes where ka_place_get reads; else makes the way: each step takes the first element that
 * satisfies its predicates, else the first that has no other value where they look, else a new one,
 * and makes them true. Predicates of "self" are always made true. A template's value is cut at its
 * literals, the last part takes the rest.
 */
gboolean ka_place_set(
    xmlNode *self, const char *place, const char *value, gboolean is_presence, GError **error);
/* Removes every value, and the elements that are left with nothing but what predicates (or a unit)
 * say. */
void ka_place_clear(xmlNode *self, const char *place);
/* Elements that a path selects (with "@attribute" last: those that have it), in document order.
 * Array of borrowed xmlNode; caller frees the array. */
GPtrArray *ka_place_select(const xmlNode *self, const char *place);
/* A new element for the path's last step, its predicates made true, after the others of its kind;
 * the way to it is made where it is missing. */
xmlNode *ka_place_create(xmlNode *self, const char *path);
/* Removes the element, then its parents as far as they are left without anything, stop excluded. */
void ka_place_prune(xmlNode *element, const xmlNode *stop);
/* The place without the predicates of "self" and without literals: where its values stand. Caller
 * frees. */
char *ka_place_bare(const char *place);
/* Do the predicates of "self" of the two places contradict (same path, different value)? Those of
 * other steps choose among elements and contradict nothing. */
gboolean ka_place_contradicts(const char *a, const char *b);

/* libvirt's namespace of a usual prefix such as "qemu"; NULL: unknown. */
const char *ka_place_namespace(const char *prefix);
/* A new last child; prefix NULL: none. */
xmlNode *ka_place_new_child(xmlNode *element, const char *prefix, const char *name);
