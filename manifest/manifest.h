#pragma once
#include "manifest/field.h"

/* The words by which a user lets something happen that hurts. */
typedef enum {
    KA_WORD_RESTART = 1 << 0, /* a running guest goes down */
    KA_WORD_DISRUPT = 1 << 1, /* others lose connectivity */
    KA_WORD_DELETE = 1 << 2,  /* an object or data is lost */
    KA_WORD_ADOPT = 1 << 3,   /* what others made is changed */
} KaWord;
#define KA_N_WORDS 4
typedef guint KaWords;
/* An object's rows of the words that it needs not be given again. */
#define KA_ALLOW_ROWS                                                                              \
    {.key = "allow",                                                                               \
     .codec = &ka_list,                                                                            \
     .way = KA_NONE,                                                                               \
     .doc = "words that this object needs not be given again on the command line"},                \
    {                                                                                              \
        .key = "allow[]", .codec = &ka_allowed, .way = KA_NONE,                                    \
        .doc = "restart, disrupt, delete or adopt"                                                 \
    }

/* "restart" and so on, for one bit. */
const char *ka_word_name(KaWord word);
/* The bit of a name; 0: none. */
KaWords ka_word_parse(const char *name);

typedef struct KaManifest KaManifest;
typedef struct KaObject KaObject;

/* A kind as the manifest layer knows it: its table and what follows from other values. */
typedef struct {
    const KaTable *table;
    /* Adds what follows from other values (fresh nodes: a MAC, a bus) and reports what no row can
     * see alone. NULL: nothing. */
    void (*complete)(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics);
    gboolean on_demand; /* nothing of its own: made where something is to be made of it */
} KaKind;

/* Each in its table's file. A new kind is such a file, a line here and one in kinds.c. */
extern const KaKind ka_kind_host, ka_kind_tuning, ka_kind_network, ka_kind_pool, ka_kind_image,
    ka_kind_disk, ka_kind_guest;
/* In the order in which they are created: host, network, pool, image, disk, guest. */
extern const KaKind *const ka_kinds[];
extern const gsize ka_n_kinds;
/* By singular ("guest") or plural ("guests"); NULL: no such kind. */
const KaKind *ka_kind_find(const char *name);
gsize ka_kind_index(const KaKind *kind);
/* The kind's rows as a tree: made once, for the life of the process. */
const KaRows *ka_kind_rows(const KaKind *kind);

struct KaObject {
    const KaKind *kind;
    const char *name;      /* owned by the manifest's tree */
    KaNode *node;          /* checked: rows set, scalars canonical; owned by the manifest's tree */
    GPtrArray *hosts;      /* shared; borrowed KaObject of kind host, where it is to be; may be empty */
    GPtrArray *needs;      /* shared; borrowed KaObject that it names, each once */
    gboolean has_own_host; /* it says itself where it is to be */
    gboolean is_used;      /* a disk: a guest names it */
    gboolean protect;
    KaWords allow;
    gboolean broken;       /* its check found errors: nothing that follows from its values is looked at */
};

struct KaManifest {
    KaTree *tree;         /* owned; all nodes */
    GPtrArray *sources;   /* owned KaSource */
    const char *project;  /* in the tree; never NULL once loaded: "default" where none is said */
    GPtrArray **objects;  /* owned; ka_n_kinds arrays of owned KaObject, in the order written */
    GPtrArray *none;      /* shared; the empty list of all objects that need nothing */
    GHashTable **by_name; /* owned; ka_n_kinds tables name → borrowed KaObject */
};

void ka_manifest_free(KaManifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaManifest, ka_manifest_free)

/* Top-level keys are `project`, each kind's plural, and x-… for anything (anchors, say). Reads files, folders (every *.yaml and *.yml in them, sorted, hidden ones left out, subfolders
 * included) and "-" (standard input), checks and resolves all. Always says all that is wrong; NULL if
 * and only if an error was added. default_uri: of the host `local` that stands where none is declared. */
KaManifest *ka_manifest_load(const char *const *paths,
                             const char *default_uri,
                             KaDiagnostics *diagnostics);

/* Adds the object that node declares under its key; the caller has seen that the name is free. */
KaObject *ka_manifest_add(KaManifest *manifest, const KaKind *kind, KaNode *node);
/* For `complete` of what guests need: declares `state: active` where nothing is said of it. Unlike a
 * guest it is not left off. */
void ka_object_keep_active(KaManifest *manifest, KaObject *object);
/* NULL: not declared. */
KaObject *ka_manifest_find(const KaManifest *manifest, const KaKind *kind, const char *name);

/* --- the parts, each in its own file, for tests --- */

/* paths.c: the texts of files, folders and "-", each once; what can't be read is an error. Adds owned
 * KaSource to sources. */
void ka_paths_read(const char *const *paths, GPtrArray *sources, KaDiagnostics *diagnostics);

/* load.c: one text to a node tree: a root for each YAML document that isn't empty. Merge keys and
 * aliases are resolved here. Bounded: depth 64, text 64 MiB, aliases (copied) at most
 * 100,000 + 20 × the nodes written. Duplicate keys of one map are errors that name both places.
 * FALSE if an error was added; roots: borrowed KaNode of tree, none of a text that isn't YAML. */
gboolean ka_load(KaTree *tree, const KaSource *source, GPtrArray *roots, KaDiagnostics *diagnostics);

/* check.c: sets rows, turns scalars canonical, expands briefs to maps, reads {file:} and {env:} of
 * secret rows, anywhere in data (files relative to the manifest's own folder), reports unknown keys with the nearest known one,
 * wrong types and values, and unions declared twice (rows of one item whose predicates on the same
 * place contradict). */
void ka_check(KaTree *tree, KaNode *node, const KaRows *rows, KaDiagnostics *diagnostics);

/* resolve.c: the objects' references, hosts and completions. */
void ka_resolve(KaManifest *manifest, const char *default_uri, KaDiagnostics *diagnostics);

/* emit.c: a node tree as YAML text; scalars that YAML 1.1 or 1.2 would read as something else are
 * quoted, multi-line text in literal style. canonical text is formatted by the rows. load(emit(x)) == x,
 * but for secrets: {env: KEY} stands for them.
 * Comments: a node's `comment` is not kept. Caller frees. */
char *ka_emit(const KaNode *node);
/* Data of a ka_data row for who reads it in the guest: as YAML, in which a scalar is a text if it was
 * quoted and whatever that reader takes it for if it wasn't; and as JSON, in which an unquoted one is
 * what YAML 1.2 takes it for (and 0644 an octal number). Secrets are in it. Caller frees. */
char *ka_emit_data(const KaNode *node);
char *ka_emit_json(const KaNode *node);

/* schema.c: JSON Schema (draft 2020-12) of a manifest, from the tables. Caller frees. */
char *ka_schema(void);
/* What a path such as "guests.memory.current", "guests.disks" or "guests" means: its documentation, or NULL with
 * an error that names the nearest. Caller frees. */
char *ka_explain(const char *path, GError **error);
