#pragma once
#include <glib.h>

/* A text as it was read, and places in it. Every node and every message points into one. */

typedef struct KaPlaceSeen KaPlaceSeen;

typedef struct {
    char *name; /* owned; as the user gave it: "web.yaml", "<stdin>" */
    char *text; /* owned; NUL-terminated UTF-8 */
    gsize length;
    KaPlaceSeen *seen; /* owned; where an excerpt was last looked for: the next is mostly near */
} KaSource;

/* Places count from 1, columns in characters (not bytes). line 0: no place is known. */
typedef struct {
    const KaSource *source; /* borrowed from the manifest; NULL: no place */
    guint32 line;
    guint32 column;
} KaMark;

#define KA_NOWHERE ((KaMark){NULL, 0, 0})

typedef enum { KA_ERROR, KA_WARNING } KaSeverity;

typedef struct {
    KaSeverity severity;
    KaMark mark;
    gboolean secret; /* the source line must not be shown */
    char *message;   /* owned; lower case, no full stop */
} KaDiagnostic;

/* All that was found wrong, in the order it was found. */
typedef struct {
    GPtrArray *items; /* owned KaDiagnostic */
    guint n_errors;
    /* What {env:} and {file:} name may be elsewhere only: a warning where it isn't here, and some
     * text in its place. Set before a manifest is loaded. */
    gboolean secrets_elsewhere;
    GPtrArray
        *sources; /* owned KaSource of manifests that couldn't be loaded: the marks point there */
} KaDiagnostics;

/* Of a character that isn't seen itself but changes what is (control, direction of writing): a
 * terminal would show something else than what is there. */
gboolean ka_is_control(gunichar c);

KaSource *ka_source_new(const char *name, char *text /* taken */, gsize length);
/* The place of a byte of its text. */
KaMark ka_source_mark(const KaSource *source, gsize offset);
void ka_source_free(KaSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaSource, ka_source_free)

KaDiagnostics *ka_diagnostics_new(void);
void ka_diagnostics_free(KaDiagnostics *diagnostics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaDiagnostics, ka_diagnostics_free)

void ka_diagnostics_add(KaDiagnostics *diagnostics,
                        KaSeverity severity,
                        KaMark mark,
                        const char *format,
                        ...) G_GNUC_PRINTF(4, 5);

/* Stable: by source in order of first appearance, then line, then column; those without a place
 * last. */
void ka_diagnostics_sort(KaDiagnostics *diagnostics);

/* "web.yaml:14:5: error: message", then the source line and a caret below it (tabs kept, long lines
 * cut around the caret, nothing shown when secret). Ends in a newline. Caller frees. */
char *ka_diagnostic_format(const KaDiagnostic *diagnostic);

/* "web.yaml:14:5", or "" without a place. Caller frees. */
char *ka_mark_format(KaMark mark);

/* The candidate nearest to word (Damerau-Levenshtein, at most a third of its length, at least 1),
 * or NULL. */
const char *ka_nearest(const char *word, const char *const *candidates, gsize n_candidates);
