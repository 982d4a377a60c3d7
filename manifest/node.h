#pragma once
#include "manifest/source.h"
#include <stdint.h>

/* The one data structure of all stages: what a user wrote, what a host has, read by the same rows. */

typedef struct KaField KaField;

typedef enum {
    KA_NODE_NULL, /* "~": declared absent */
    KA_NODE_SCALAR,
    KA_NODE_MAP,
    KA_NODE_LIST,
} KaNodeType;

typedef struct KaNode KaNode;
struct KaNode {
    KaNodeType type;
    guint32 line, column;   /* of the value; of a map or list with a key: of the key */
    guint32 key_line;       /* 0: no key, or not from a text */
    const KaSource *source; /* borrowed; NULL: not from a text */
    const char *key;        /* within a map, else NULL; in the tree's memory */
    const char *text;       /* of a scalar: as written until checked, canonical (see KaCodec) after */
    const KaField *row;     /* borrowed; NULL until checked or where no row applies */
    KaNode *first;          /* children, in the order written */
    KaNode *last;
    KaNode *next;
    guint32 n_children;
    unsigned key_column : 24;
    unsigned quoted : 1;  /* a scalar in quotes: never null */
    unsigned fresh : 1;   /* not declared: the value that a new object or item gets */
    unsigned secret : 1;  /* never shown */
};

/* Owns its nodes and their strings in one arena: freed together, never one by one. */
typedef struct KaTree KaTree;
struct KaTree {
    KaNode *root; /* NULL while empty */
    gpointer arena;
};

KaTree *ka_tree_new(void);
void ka_tree_free(KaTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaTree, ka_tree_free)

/* Memory that lives as long as the tree; zeroed, 8-byte aligned. */
gpointer ka_tree_alloc(KaTree *tree, gsize size);
char *ka_tree_strdup(KaTree *tree, const char *text);
char *ka_tree_strndup(KaTree *tree, const char *text, gsize length);

/* Bytes that nodes and texts take. */
gsize ka_tree_size(const KaTree *tree);

KaNode *ka_node_new(KaTree *tree, KaNodeType type);
KaNode *ka_node_new_scalar(KaTree *tree, const char *text);
/* Deep copy, marks and rows kept. key is not copied. */
KaNode *ka_node_copy(KaTree *tree, const KaNode *node);
/* key NULL for a list's item; copied. No check for duplicates. Returns child. */
KaNode *ka_node_append(KaTree *tree, KaNode *parent, const char *key, KaNode *child);
/* The same with a key that lives as long as the tree (in its memory, static, or NULL). */
KaNode *ka_node_link(KaNode *parent, const char *key, KaNode *child);
/* Takes child out of parent; the memory stays with the tree. */
void ka_node_remove(KaNode *parent, KaNode *child);

/* A map's value by key; NULL where node is NULL, no map, or has no such key. */
KaNode *ka_node_get(const KaNode *node, const char *key);
/* The same along a path (see ka_path_append), e.g. "memory.current". */
KaNode *ka_node_find(const KaNode *node, const char *path);
/* Text of a scalar at a path, else NULL. */
const char *ka_node_text(const KaNode *node, const char *path);
/* The scalar at a path, with the maps on the way made where they are missing. */
KaNode *ka_node_put(KaTree *tree, KaNode *root, const char *path, const char *text);

/* The local file that a scalar names, relative to the folder of its manifest. Caller frees. */
char *ka_node_local_path(const KaNode *node);

/* For GLib's containers, which take what they only borrow as plain pointers. */
static inline gpointer
ka_borrow(gconstpointer borrowed)
{
    return (union {
        gconstpointer from;
        gpointer to;
    }){borrowed}.to;
}

static inline KaMark
ka_node_mark(const KaNode *node)
{
    return node ? (KaMark){node->source, node->line, node->column} : KA_NOWHERE;
}

/* Paths are keys joined by dots; a key with other characters than [A-Za-z0-9_-] stands in double
 * quotes: dhcp.hosts."a.example".ip. A list's item has no path of its own. */
char *ka_path_append(const char *path /* NULL or "": the top */, const char *key);
/* Its keys, unquoted. NULL-terminated, caller frees. */
char **ka_path_split(const char *path);

/* Where its key stands; where it has none, the value. */
static inline KaMark
ka_node_key_mark(const KaNode *node)
{
    return node && node->key_line ? (KaMark){node->source, node->key_line, node->key_column}
                                  : ka_node_mark(node);
}
