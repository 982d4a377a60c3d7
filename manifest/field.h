#pragma once
#include "manifest/codec.h"
#include "manifest/node.h"

/* One row answers for one field: what a user writes, what it may be, where the host holds it, how
 * it may change, what it means. See README of this folder's tables: adding a feature is adding
 * rows. */

typedef enum {
    KA_LIVE,    /* takes effect at once, also while the object is active */
    KA_GUEST,   /* at once, if the guest's own system follows (balloon, vcpu unplug) */
    KA_BOOT,    /* staged; takes effect at the next boot or start */
    KA_RESTART, /* takes effect only by stopping and starting the object: wants a word */
    KA_ONCE,    /* fixed at creation: a difference is a note; --replace acts on it */
    KA_NONE,    /* of the manifest alone: nothing on a host to change */
} KaWay;

/* A place (`at`) names where a document holds the value.
 *   place   = path, or several joined by quoted literals: "@address '/' @prefix"
 *   path    = step ("/" step)*; the last may be "@attribute"; an element's value is its text
 *   step    = ("self" | "." | element) predicate*
 *   predicate = "[" relative-path "='" value "']" | "[" relative-path "]" (exists)
 *   prefix:element is allowed for namespaced elements.
 * Reading selects the first match that satisfies its predicates; writing creates what is missing
 * and makes the predicates true. "self" is the element of the nearest '*' or '[]' row above, or the
 * root. Predicates of "self" make a union: writing one row clears the places of the item's other
 * rows whose predicates of "self" contradict it. Predicates of other steps choose among elements,
 * so two rows may stand side by side ("devices/graphics[@type='vnc']/@port"); for a union over one
 * element below, let "self" say it: "self[source/auth/@type='chap']/source/auth/@username". A '*'
 * or '[]' row's place selects all its elements. One that is a scalar says where its value stands:
 * in the last "@attribute" ("cputune/vcpupin/@cpuset", with id "@vcpu"), in the elements' text
 * ("dns/host/hostname"), or after " => " ("ip/dhcp/range => @start '-' @end").
 * A map row with a place is there as long as that element is. */
struct KaField {
    const char *key;      /* "disks.*.cache"; '*' a map's key, '[]' a list's item */
    const KaCodec *codec; /* ka_map and ka_list for branches */
    const char *at; /* place; NULL: not held by the document (branches, manifest-only fields) */
    const char
        *id; /* of '*' rows: where the name stands, by preference, "|" between:
                "place=prefix-*" (the name with a prefix), "place" (the name itself),
                "=place" (paired by the item's own value held at that place), "#" (ordinal) */
    const char
        *fresh; /* canonical value of a new object or item and of a released field; NULL: absent */
    const char *brief; /* of map rows: the key below (or an item's name) that a bare value stands
                          for, or NULL */
    KaWay way;
    const char *doc; /* one line: meaning, unit, default */
    const KaCodec
        *name; /* of '*' rows: what a key may be; NULL: ka_device where an id makes an alias
                  ("=ua-*"), else ka_line */
};

typedef struct {
    const char *kind;   /* "guest" */
    const char *plural; /* "guests": the key in a manifest */
    const char *root;   /* the document's root element, "domain"; NULL: no document */
    const char *doc;
    const KaField *fields;
    gsize n_fields;
} KaTable;

/* Rows as a tree of segments, made once from a table; all stages walk this. */
typedef struct KaRows KaRows;
typedef struct {
    char *place; /* owned; relative to the item: "@type" */
    char *value; /* owned; NULL: the row's own value */
} KaClaim;

struct KaRows {
    const KaTable *table; /* borrowed; the same in all rows of a tree */
    const char *segment;  /* "disks", "*", "[]"; "" at the top */
    const KaField *row;   /* NULL only at the top: every branch has its row */
    KaRows *parent;
    KaRows *first, *next; /* children in the table's order; siblings */
    KaRows *any;          /* the child '*' or '[]', or NULL */
    KaRows **by_segment;  /* owned; children in short lists, NULL when there are none */
    KaRows *same;         /* the next one in the list */
    const KaCodec *name;  /* of the keys of a '*' row */
    GPtrArray *claims; /* owned KaClaim: the predicates of the row's place on its item ("self"); two
                          of one item that contradict are a union declared twice. NULL: none */
};

/* Freed with ka_rows_free(top). Aborts (programming error) on a row without its parent's row. */
KaRows *ka_rows_new(const KaTable *table);
void ka_rows_free(KaRows *top);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaRows, ka_rows_free)
/* The child for a key: by name, else '*'; NULL: unknown. */
const KaRows *ka_rows_child(const KaRows *rows, const char *key);
/* The rows of a list's items; NULL: none. */
const KaRows *ka_rows_item(const KaRows *rows);
/* The child of exactly this segment; NULL: none. */
KaRows *ka_rows_named(const KaRows *rows, const char *segment);
/* The rows at a path as in ka_path_append ("disks.vda.cache" and "disks.*.cache",
 * "dns.forwarders[]" alike). */
const KaRows *ka_rows_find(const KaRows *top, const char *path);
