#pragma once
#include "drivers/document.h"

/* What the files of the XML store share among themselves. */

typedef struct {
    const KaRows *rows; /* of the path's last key */
    xmlNode *self;      /* the element that its place is relative to */
    xmlNode *element;   /* of a '*' item: its own; NULL: absent */
    gboolean is_item;
} KaSpot;

/* Follows a row path. want: the declared node at the top, by which items are found. item: what is
 * known of the last key's item where want has none. names: items on the way whose alias is missing
 * get it. */
gboolean ka_document_find(const KaDocument *document,
                          const char *path,
                          const KaNode *want,
                          const KaNode *item,
                          gboolean names,
                          KaSpot *ret_spot,
                          GError **error);

/* document_write.c: all below self. A new element's fields: the rows' fresh values, then what is
 * declared. */
gboolean
ka_document_write_new(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error);
/* One scalar; what its union excludes is cleared. */
gboolean
ka_document_write_value(xmlNode *self, const KaRows *rows, const char *canonical, GError **error);

/* Any declared node of a row that is no item. */
gboolean
ka_document_write_node(xmlNode *self, const KaRows *rows, const KaNode *node, GError **error);
/* A new item of a '*' row. */
gboolean ka_document_write_item(
    xmlNode *self, const KaRows *rows, const char *key, const KaNode *node, GError **error);
/* What is declared of an item that is there. */
gboolean ka_document_write_item_value(xmlNode *element,
                                      const KaRows *rows,
                                      const KaNode *node,
                                      GError **error);
/* Removes a field and all below it. */
void ka_document_clear(xmlNode *self, const KaRows *rows);

/* The element of an `xml` place; want: the declared node at the top. create: made where it is an
 * element path. NULL: none. */
xmlNode *ka_document_fragment_element(const KaDocument *document,
                                      const char *place,
                                      const KaNode *want,
                                      gboolean create);
/* Merges a fragment at an `xml` place. */
gboolean ka_document_merge(
    KaDocument *document, const char *place, const KaNode *want, const char *text, GError **error);
