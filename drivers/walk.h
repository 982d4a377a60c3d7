#pragma once
#include "drivers/place.h"

/* The reading half of places. Places are read where they stand: a path is a view into the row's
 * text, so nothing is compiled, copied or cached, and any thread may use any place. */

typedef struct {
    const char *at, *end;
} KaSpan;

typedef struct {
    KaSpan prefix, name; /* prefix empty: none */
    KaSpan predicates;   /* "[…][…]", may be empty */
    KaSpan rest;         /* the path below */
    gboolean is_self;
} KaStep;

static inline gboolean
ka_span_is_empty(KaSpan span)
{
    return span.at >= span.end;
}

gboolean ka_span_equal(KaSpan span, const char *text);
char *ka_span_dup(KaSpan span);
/* The first of the stops outside of quotes and brackets, or the end. */
const char *ka_span_skip(const char *at, const char *end, const char *stops);

/* The path's first step; the path is not empty. */
KaStep ka_step_read(KaSpan path);
/* Is the node an element of the step's name? */
gboolean ka_step_matches(const xmlNode *node, const KaStep *step);
/* Takes the first predicate off; value's at is NULL for one of mere existence. FALSE: there is
 * none. */
gboolean ka_predicate_next(KaSpan *predicates, KaSpan *ret_path, KaSpan *ret_value);
gboolean ka_predicates_hold(xmlNode *element, KaSpan predicates);

/* What a walk calls at the end of a path; attribute is empty where the path ends in an element.
 * TRUE ends the walk. */
typedef gboolean (*KaVisit)(xmlNode *element, KaSpan attribute, gpointer data);
/* Visits every match in document order until a visit returns TRUE; whether one did. */
gboolean ka_walk(xmlNode *element, KaSpan path, KaVisit visit, gpointer data);
/* The element's attribute of a path such as "@dev"; NULL: none. */
xmlAttr *ka_walk_attribute(const xmlNode *element, KaSpan attribute);
gboolean ka_walk_is_text(const xmlNode *node);

/* data: const KaSpan *, the value that ends the walk. */
gboolean ka_visit_equal(xmlNode *element, KaSpan attribute, gpointer data);
/* data: unused. */
gboolean ka_visit_exists(xmlNode *element, KaSpan attribute, gpointer data);
/* data: char **, the first value, for the caller to free. */
gboolean ka_visit_copy(xmlNode *element, KaSpan attribute, gpointer data);
/* data: GPtrArray *, gets every element. */
gboolean ka_visit_collect(xmlNode *element, KaSpan attribute, gpointer data);
/* data: xmlNode **, the first element. */
gboolean ka_visit_first(xmlNode *element, KaSpan attribute, gpointer data);
