#pragma once
#include "drivers/place.h"
#include "manifest/field.h"

/* How '*' and '[]' rows select elements, and which element is which item of a '*' row. */

typedef struct {
    const char *path;  /* selects the elements */
    const char *value; /* where a scalar's value stands, relative to an element; NULL: no scalar */
    char *own;         /* owned; what path points to where it is a part of the row's place */
} KaItemPlace;

KaItemPlace ka_item_place(const KaField *row);
static inline void
ka_item_place_clear(KaItemPlace *place)
{
    g_free(place->own);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(KaItemPlace, ka_item_place_clear)

typedef struct {
    char *key;          /* owned */
    const KaNode *want; /* borrowed; NULL: nothing is known of it but its key */
    xmlNode *element;   /* borrowed; NULL: absent */
} KaItem;

/* The items of a '*' row below self. items: a map whose keys that belong to the row are wanted, and
 * one more key (both may be NULL): each is bound to at most one element, by the row's ids in their
 * order, then, where an id makes an alias, to the one element without an alias that has the item's
 * source (the values of its union rows). Several such: KA_DOCUMENT_ERROR_AMBIGUOUS.
 * Array of owned KaItem in the order wanted. */
GPtrArray *ka_items_bind(xmlNode *self,
                         const KaRows *rows,
                         const KaNode *items,
                         const char *key,
                         const KaNode *want,
                         GError **error);
/* Every element that can be given a key, in document order. Array of owned KaItem. */
GPtrArray *ka_items_all(xmlNode *self, const KaRows *rows);
/* The element of one item, bound as ka_items_bind does; NULL without an error: there is none. */
xmlNode *ka_item_find(xmlNode *self,
                      const KaRows *rows,
                      const KaNode *items,
                      const char *key,
                      const KaNode *want,
                      GError **error);
/* Writes the key where the row's first id has it; not where the key is one that export makes for an
 * element without a name ("nic0" with a declared MAC, "0"). want: what is declared of the item.
 * only_alias: not unless that is an alias, and missing. */
void ka_item_name(
    xmlNode *element, const KaRows *rows, const char *key, const KaNode *want, gboolean only_alias);
/* Is the value at the place one that items of the '*' row are found by ("=place")? */
gboolean ka_item_is_paired_by(const KaField *row, const char *place);
