#pragma once
#include "planner/action.h"
#include <libxml/tree.h>

/* The XML store: one libvirt document, read and written by a table's places. */
typedef struct {
    xmlDoc *xml;        /* owned */
    const KaRows *rows; /* borrowed; the top of the kind's rows */
} KaDocument;

typedef enum { KA_DOCUMENT_ERROR_XML, KA_DOCUMENT_ERROR_PLACE, KA_DOCUMENT_ERROR_AMBIGUOUS } KaDocumentError;
#define KA_DOCUMENT_ERROR (ka_document_error_quark())
GQuark ka_document_error_quark(void);

/* No network, no external entities, no DTD. */
KaDocument *ka_document_parse(const KaRows *rows, const char *text, GError **error);
void ka_document_free(KaDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaDocument, ka_document_free)

/* A new object's document: <root><name>…</name></root>, every row's fresh value that desired doesn't
 * speak of (rows below '*' for each item of desired), then desired (fresh nodes included; NULL nodes mean absent), then
 * xml: fragments. */
KaDocument *ka_document_build(const KaTable *table,
                              const KaRows *rows,
                              const char *name,
                              const KaNode *desired,
                              GError **error);

/* Indented text without an XML declaration. Caller frees with g_free. */
char *ka_document_format(const KaDocument *document);

/* The fields of the document as a tree of the same shape as a manifest's: those that want (an
 * object's checked node) or owned (paths) speak of, or all when want is NULL. Items of '*' rows are bound to elements by
 * the row's ids, each element to one item at most; for a wanted item that no id finds, one unclaimed element of
 * equal source (a leaf child whose row's predicates and value equal) is bound, else it is absent. */
KaTree *ka_document_read(const KaDocument *document, const KaNode *want, GHashTable *owned, GError **error);

/* Makes the changes true in the document: leaves set or removed, items added or removed, fragments
 * merged or taken out. Pending changes are skipped unless `pending_too`. */
gboolean ka_document_patch(KaDocument *document,
                           const GPtrArray *changes,
                           gboolean pending_too,
                           GError **error);

/* One value by its row path ("memory.current", "disks.vda.bus"); NULL: absent. Caller frees. */
char *ka_document_get(const KaDocument *document, const char *path);
gboolean ka_document_set(KaDocument *document, const char *path, const char *canonical, GError **error);
/* The element of a '*' item ("disks.vda", "nics.lan"); want: the item's desired node, for "=place" ids; NULL: none. */
xmlNode *ka_document_item(const KaDocument *document, const char *path, const KaNode *want);

/* Export: what document says and built (made of the exported fields) doesn't, as nodes of the `xml`
 * map: place → fragment. Attributes and elements alike; whatever needs nothing is left out. Appended to map. */
void ka_document_residual(const KaDocument *document, const KaDocument *built, KaTree *tree, KaNode *map);

/* place.c: a place relative to an element. */
char *ka_place_get(const xmlNode *self, const char *place, gboolean is_presence);
gboolean ka_place_set(xmlNode *self, const char *place, const char *value, gboolean is_presence, GError **error);
/* Removes the value, and elements that are left without anything. */
void ka_place_clear(xmlNode *self, const char *place);
/* Elements that a step path selects, in document order. Array of borrowed xmlNode; caller frees the array. */
GPtrArray *ka_place_select(const xmlNode *self, const char *place);
/* Do the predicates of the two places contradict (same path, different value)? */
gboolean ka_place_contradicts(const char *a, const char *b);

/* fragment.c: see the manual on `xml:`. A fragment's single element that has the name of the element at the place
 * is that element itself, in part; else its elements are children. Merging: below <devices> they are added; elsewhere
 * an element merges into the sibling of the same name whose identifying attributes (id, name, vcpu,
 * vcpus, iothread, cellid, dev, type, model, index, key) don't differ. */
gboolean ka_fragment_check(const char *text, GError **error);
gboolean ka_fragment_is_in(const xmlNode *element, const char *text);
gboolean ka_fragment_merge(xmlNode *element, const char *text, GError **error);
void ka_fragment_take_out(xmlNode *element, const char *text);
