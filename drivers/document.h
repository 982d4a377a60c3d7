#pragma once
#include "drivers/fragment.h"
#include "drivers/place.h"
#include "planner/action.h"

/* The XML store: one libvirt document, read and written by a table's places. */
typedef struct {
    xmlDoc *xml;        /* owned */
    const KaRows *rows; /* borrowed; the top of the kind's rows */
} KaDocument;

/* No network, no external entities, no DTD. */
KaDocument *ka_document_parse(const KaRows *rows, const char *text, GError **error);
void ka_document_free(KaDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaDocument, ka_document_free)

/* A new object's document: <root><name>…</name></root>, every row's fresh value that desired
 * doesn't speak of (rows below '*' for each item of desired), then desired (fresh nodes included;
 * NULL nodes mean absent), then xml: fragments. */
KaDocument *ka_document_build(const KaTable *table,
                              const KaRows *rows,
                              const char *name,
                              const KaNode *desired,
                              GError **error);

/* Indented text without an XML declaration. Caller frees with g_free. */
char *ka_document_format(const KaDocument *document);

/* The fields of the document as a tree of the same shape as a manifest's: those that want (an
 * object's checked node) or owned (paths) speak of, or all when want is NULL. Items of '*' rows are
 * bound to elements by the row's ids, each element to one item at most; for a wanted item that no
 * id finds, one unclaimed element of equal source (a leaf child whose row's predicates and value
 * equal) is bound, else it is absent. */
KaTree *
ka_document_read(const KaDocument *document, const KaNode *want, GHashTable *owned, GError **error);

/* Makes the changes true in the document: leaves set or removed, items added or removed, fragments
 * merged or taken out. want: the object's declared node, by which items are found as
 * ka_document_read finds them (NULL: by their names alone); an item found otherwise than by its
 * first id gets that one too. Pending changes are skipped unless `pending_too`. */
gboolean ka_document_patch(KaDocument *document,
                           const KaNode *want,
                           const GPtrArray *changes,
                           gboolean pending_too,
                           GError **error);

/* One value by its row path ("memory.current", "disks.vda.bus"); NULL: absent. Caller frees. */
char *ka_document_get(const KaDocument *document, const char *path);
gboolean
ka_document_set(KaDocument *document, const char *path, const char *canonical, GError **error);
/* The element of a '*' item ("disks.vda", "nics.lan"); want: the item's desired node, for "=place"
 * ids; NULL: none. */
xmlNode *ka_document_item(const KaDocument *document, const char *path, const KaNode *want);

/* Export: what document says and built (made of the exported fields) doesn't, as nodes of the `xml`
 * map: place → fragment. Attributes and elements alike; whatever needs nothing is left out.
 * Appended to map. */
void ka_document_residual(const KaDocument *document,
                          const KaDocument *built,
                          KaTree *tree,
                          KaNode *map);
