#include "manifest/manifest.h"

#include <string.h>

#define LOCAL_HOST "local"
/* Looking for near names costs the number of declared ones each time. */
#define MAX_SUGGESTIONS 100
/* QEMU follows no longer ones. */
#define MAX_CHAIN 200

typedef struct {
    KaManifest *manifest;
    KaDiagnostics *diagnostics;
    guint n_suggested;
    GHashTable *macs;      /* borrowed; MAC address → Nic in the manifest's tree */
    gboolean shares_disks; /* some disk is named more than once by guests */
    GHashTable *uses;      /* borrowed; KaObject of kind disk → DiskUse in the manifest's tree */
    GHashTable *visited;   /* borrowed; KaObject → how far the search for cycles is */
    GPtrArray *chain;      /* borrowed; borrowed KaObject, the one being followed */
    GPtrArray *waiting;    /* borrowed; borrowed KaObject whose needs are to get its hosts */
} Resolver;

typedef void (*Visitor)(Resolver *resolver, KaObject *object);

static void
for_each_object(Resolver *resolver, const KaKind *kind, Visitor visit)
{
    for (gsize i = 0; i < ka_n_kinds; i++)
        for (guint j = 0; (!kind || kind == ka_kinds[i]) && j < resolver->manifest->objects[i]->len;
             j++)
            visit(resolver, g_ptr_array_index(resolver->manifest->objects[i], j));
}

static const GPtrArray *
hosts_of(const KaManifest *manifest)
{
    return manifest->objects[ka_kind_index(&ka_kind_host)];
}

static void
add_local_host(Resolver *resolver, const char *uri)
{
    KaManifest *manifest = resolver->manifest;
    const KaKind *kind = &ka_kind_host;
    if (hosts_of(manifest)->len > 0)
        return;
    KaNode *node = ka_node_new(manifest->tree, KA_NODE_MAP);
    node->key = LOCAL_HOST;
    if (uri)
        ka_node_put(manifest->tree, node, "uri", uri);
    ka_check(manifest->tree, node, ka_kind_rows(kind), resolver->diagnostics);
    ka_manifest_add(manifest, kind, node);
}

/* Two names for one libvirt: each object would be seen twice. */
static void
check_uris(Resolver *resolver)
{
    g_autoptr(GHashTable) first_of = g_hash_table_new(g_str_hash, g_str_equal);
    const GPtrArray *hosts = hosts_of(resolver->manifest);
    for (guint i = 0; i < hosts->len; i++) {
        const KaObject *host = g_ptr_array_index(hosts, i);
        const char *uri = ka_node_text(host->node, "uri");
        const KaObject *first = g_hash_table_lookup(first_of, uri ? uri : "");
        if (!first) {
            g_hash_table_insert(first_of, ka_borrow(uri ? uri : ""), ka_borrow(host));
            continue;
        }
        g_autofree char *place = ka_mark_format(ka_node_key_mark(first->node));
        ka_diagnostics_add(resolver->diagnostics, KA_ERROR, ka_node_key_mark(host->node),
                           "host '%s': its URI is that of host '%s' at %s: keep one of them",
                           host->name, first->name, place);
    }
}

/* --- lists, which are shared until one is added to --- */

static void
add_to(const Resolver *resolver, GPtrArray **list, KaObject *object)
{
    if (*list == resolver->manifest->none) {
        g_ptr_array_unref(*list);
        *list = g_ptr_array_new();
    }
    g_ptr_array_add(*list, object);
}

static void
add_host(const Resolver *resolver, KaObject *object, KaObject *host)
{
    GPtrArray *all = resolver->manifest->objects[ka_kind_index(host->kind)];
    if (all->len > 1) {
        add_to(resolver, &object->hosts, host);
    } else if (object->hosts != all) {
        g_ptr_array_unref(object->hosts);
        object->hosts = g_ptr_array_ref(all);
    }
}

/* --- references --- */

/* What a host may have without a manifest that declares it, such as libvirt's own network
 * `default`. */
static gboolean
may_be_undeclared(const KaKind *kind)
{
    return g_str_equal(kind->table->kind, "network") || g_str_equal(kind->table->kind, "pool");
}

static const char *
nearest_name(Resolver *resolver, const KaKind *kind, const char *name)
{
    const GPtrArray *objects = resolver->manifest->objects[ka_kind_index(kind)];
    if (objects->len == 0 || resolver->n_suggested++ >= MAX_SUGGESTIONS)
        return NULL;
    g_autofree const char **names = g_new(const char *, objects->len);
    for (guint i = 0; i < objects->len; i++)
        names[i] = ((const KaObject *)g_ptr_array_index(objects, i))->name;
    return ka_nearest(name, names, objects->len);
}

static void
add_undeclared(Resolver *resolver, const KaObject *object, const KaNode *node, const KaKind *kind)
{
    const char *nearest = node->fresh ? NULL : nearest_name(resolver, kind, node->text);
    gboolean allowed = may_be_undeclared(kind);
    if (allowed && !nearest)
        return;
    g_autofree char *hint =
        nearest ? g_strdup_printf("; did you mean '%s'?", nearest) : g_strdup("");
    ka_diagnostics_add(resolver->diagnostics, allowed ? KA_WARNING : KA_ERROR, ka_node_mark(node),
                       "%s '%s': %s '%s' is not declared%s", object->kind->table->kind,
                       object->name, kind->table->kind, node->text, hint);
}

/* The kind whose object a scalar names; NULL: none. */
static const KaKind *
kind_named_by(const KaNode *node)
{
    const char *refers = node->row ? node->row->codec->refers : NULL;
    return refers && node->type == KA_NODE_SCALAR ? ka_kind_find(refers) : NULL;
}

static void
follow_reference(Resolver *resolver, KaObject *object, const KaNode *node, const KaKind *kind)
{
    KaObject *named = ka_manifest_find(resolver->manifest, kind, node->text);
    if (!named)
        add_undeclared(resolver, object, node, kind);
    else if (named->kind == &ka_kind_host)
        add_host(resolver, object, named);
    else if (!g_ptr_array_find(object->needs, named, NULL))
        add_to(resolver, &object->needs, named);
    if (named && kind == &ka_kind_disk && object->kind == &ka_kind_guest) {
        resolver->shares_disks |= named->is_used;
        named->is_used = TRUE;
    }
}

static void
follow_references(Resolver *resolver, KaObject *object, const KaNode *node)
{
    for (const KaNode *child = node->first; child; child = child->next) {
        const KaKind *kind = kind_named_by(child);
        if (kind)
            follow_reference(resolver, object, child, kind);
        else if (child->first)
            follow_references(resolver, object, child);
    }
}

/* Where the object names the other one. */
static const KaNode *
find_reference(const KaNode *node, const KaObject *named)
{
    if (kind_named_by(node) == named->kind && g_str_equal(node->text, named->name))
        return node;
    const KaNode *found = NULL;
    for (const KaNode *child = node->first; child && !found; child = child->next)
        found = find_reference(child, named);
    return found;
}

/* --- cycles --- */

static void
add_cycle(Resolver *resolver, const KaObject *first)
{
    guint start = resolver->chain->len - 1;
    while (g_ptr_array_index(resolver->chain, start) != first)
        start--;
    const KaNode *node = NULL;
    GString *way = g_string_new(NULL);
    for (guint i = start; i < resolver->chain->len; i++) {
        const KaObject *object = g_ptr_array_index(resolver->chain, i);
        const KaObject *next =
            i + 1 < resolver->chain->len ? g_ptr_array_index(resolver->chain, i + 1) : first;
        const KaNode *reference = find_reference(object->node, next);
        g_autofree char *place = ka_mark_format(ka_node_mark(reference));
        g_string_append_printf(way, "'%s' (%s) → ", object->name, place);
        if (i == start)
            node = reference;
    }
    ka_diagnostics_add(resolver->diagnostics, KA_ERROR, ka_node_mark(node),
                       "%s '%s' is made of itself: %s'%s'", first->kind->table->kind, first->name,
                       way->str, first->name);
    g_string_free(way, TRUE);
}

static gboolean
needs_its_kind(const KaObject *object)
{
    gboolean found = FALSE;
    for (guint i = 0; i < object->needs->len && !found; i++)
        found = ((const KaObject *)g_ptr_array_index(object->needs, i))->kind == object->kind;
    return found;
}

/* Only objects of one kind can need each other in a circle: kinds themselves stand in an order. */
static void
find_cycle(Resolver *resolver, KaObject *object)
{
    enum { UNSEEN, UNDER_WAY, DONE };
    if (!needs_its_kind(object) || g_hash_table_lookup(resolver->visited, object))
        return;
    g_hash_table_insert(resolver->visited, object, GINT_TO_POINTER(UNDER_WAY));
    g_ptr_array_add(resolver->chain, object);
    for (guint i = 0; i < object->needs->len; i++) {
        KaObject *need = g_ptr_array_index(object->needs, i);
        if (need->kind != object->kind)
            continue;
        if (GPOINTER_TO_INT(g_hash_table_lookup(resolver->visited, need)) == UNDER_WAY)
            add_cycle(resolver, need);
        else if (resolver->chain->len < MAX_CHAIN)
            find_cycle(resolver, need);
        else
            ka_diagnostics_add(resolver->diagnostics, KA_ERROR,
                               ka_node_mark(find_reference(object->node, need)),
                               "%s '%s': a chain of more than %d", object->kind->table->kind,
                               object->name, MAX_CHAIN);
    }
    g_ptr_array_set_size(resolver->chain, (gint)resolver->chain->len - 1);
    g_hash_table_insert(resolver->visited, object, GINT_TO_POINTER(DONE));
}

/* --- placement --- */

static void
add_contradiction(Resolver *resolver,
                  const KaObject *object,
                  const KaObject *need,
                  const KaObject *host)
{
    g_autofree char *place = ka_mark_format(ka_node_mark(ka_node_get(need->node, "host")));
    ka_diagnostics_add(resolver->diagnostics, KA_ERROR,
                       ka_node_mark(find_reference(object->node, need)),
                       "%s '%s' is on host '%s', but %s '%s' is declared on '%s' at %s",
                       object->kind->table->kind, object->name, host->name, need->kind->table->kind,
                       need->name, ka_node_text(need->node, "host"), place);
}

/* What the object needs, and what that needs, is to be on its hosts too. */
static void
spread_hosts(Resolver *resolver, KaObject *first)
{
    GPtrArray *waiting = resolver->waiting;
    g_ptr_array_add(waiting, first);
    while (waiting->len > 0) {
        KaObject *object = g_ptr_array_steal_index(waiting, waiting->len - 1);
        for (guint i = 0; i < object->needs->len * object->hosts->len; i++) {
            KaObject *need = g_ptr_array_index(object->needs, i / object->hosts->len);
            KaObject *host = g_ptr_array_index(object->hosts, i % object->hosts->len);
            if (g_ptr_array_find(need->hosts, host, NULL))
                continue;
            if (!need->has_own_host) {
                add_host(resolver, need, host);
                g_ptr_array_add(waiting, need);
            } else if (!may_be_undeclared(need->kind) && need->hosts->len > 0) {
                add_contradiction(resolver, object, need, host);
            }
        }
    }
}

static void
place(Resolver *resolver, KaObject *object)
{
    const GPtrArray *hosts = hosts_of(resolver->manifest);
    if (object->kind == &ka_kind_host)
        return;
    if (hosts->len == 1 && object->hosts->len == 0 && !object->has_own_host)
        add_host(resolver, object, g_ptr_array_index(hosts, 0));
    if (object->hosts->len > 0)
        spread_hosts(resolver, object);
}

static void
place_other(Resolver *resolver, KaObject *object)
{
    if (object->kind != &ka_kind_guest)
        place(resolver, object);
}

static void
check_placed(Resolver *resolver, KaObject *object)
{
    if (object->hosts->len > 0 || object->has_own_host || object->kind->on_demand ||
        object->kind == &ka_kind_host)
        return;
    gboolean optional = may_be_undeclared(object->kind);
    ka_diagnostics_add(
        resolver->diagnostics, optional ? KA_WARNING : KA_ERROR, ka_node_key_mark(object->node),
        "%s '%s': %s%u hosts are declared: %s", object->kind->table->kind, object->name,
        object->kind == &ka_kind_guest ? "" : "no guest needs it and ",
        hosts_of(resolver->manifest)->len,
        optional ? "it is on none of them unless 'host' says which" : "say which one with 'host'");
}

/* --- one object by itself --- */

typedef struct {
    const KaObject *guest;
    const KaNode *nic, *mac;
} Nic;

static void
add_mac_twice(Resolver *resolver, const Nic *nic, const Nic *first)
{
    g_autofree char *place = ka_mark_format(ka_node_key_mark(first->nic));
    /* Whoever wrote both may mean it (copies on networks apart); a derived one can't be meant. */
    gboolean both_written = !nic->mac->fresh && !first->mac->fresh;
    ka_diagnostics_add(resolver->diagnostics, both_written ? KA_WARNING : KA_ERROR,
                       nic->mac->line ? ka_node_mark(nic->mac) : ka_node_key_mark(nic->nic),
                       "guest '%s': nics.%s: MAC address %s is that of guest '%s', nics.%s at %s%s",
                       nic->guest->name, nic->nic->key, nic->mac->text, first->guest->name,
                       first->nic->key, place,
                       nic->mac->fresh ? ": give one of them a 'mac' of its own" : "");
}

static void
check_macs(Resolver *resolver, const KaObject *guest)
{
    const KaNode *nics = ka_node_get(guest->node, "nics");
    for (const KaNode *nic = nics ? nics->first : NULL; nic; nic = nic->next) {
        const KaNode *mac = ka_node_get(nic, "mac");
        if (!mac || mac->type != KA_NODE_SCALAR)
            continue;
        const Nic *first = g_hash_table_lookup(resolver->macs, mac->text);
        Nic *seen = ka_tree_alloc(resolver->manifest->tree, sizeof *seen);
        *seen = (Nic){guest, nic, mac};
        if (first)
            add_mac_twice(resolver, seen, first);
        else
            g_hash_table_insert(resolver->macs, (gpointer)(guintptr)mac->text, seen);
    }
}

typedef struct {
    const KaObject *guest;
    const KaNode *item; /* of the guest's disks */
} DiskUse;

/* Whoever wrote the item means others to have the disk too. */
static gboolean
is_shared(const KaNode *item)
{
    const char *shareable = ka_node_text(item, "shareable");
    const char *read_only = ka_node_text(item, "read-only");
    return g_strcmp0(shareable, "yes") == 0 || g_strcmp0(read_only, "yes") == 0;
}

static gboolean
are_together(const KaObject *a, const KaObject *b)
{
    gboolean found = FALSE;
    for (guint i = 0; i < a->hosts->len && !found; i++)
        found = g_ptr_array_find(b->hosts, g_ptr_array_index(a->hosts, i), NULL);
    return found;
}

/* A disk that two have is destroyed when both write. Guests that never run at once may take turns;
 * one guest can't. */
static void
check_disk_uses(Resolver *resolver, KaObject *guest)
{
    const KaNode *disks = ka_node_get(guest->node, "disks");
    for (const KaNode *item = disks ? disks->first : NULL; item; item = item->next) {
        const char *name = ka_node_text(item, "disk");
        const KaObject *disk =
            name ? ka_manifest_find(resolver->manifest, &ka_kind_disk, name) : NULL;
        if (!disk)
            continue;
        const DiskUse *first = g_hash_table_lookup(resolver->uses, disk);
        DiskUse *use = ka_tree_alloc(resolver->manifest->tree, sizeof *use);
        *use = (DiskUse){guest, item};
        g_hash_table_insert(resolver->uses, ka_borrow(disk), use);
        if (first && !(is_shared(item) && is_shared(first->item)) &&
            are_together(guest, first->guest)) {
            g_autofree char *place = ka_mark_format(ka_node_key_mark(first->item));
            gboolean twice = first->guest == guest;
            ka_diagnostics_add(resolver->diagnostics, twice ? KA_ERROR : KA_WARNING,
                               ka_node_mark(ka_node_get(item, "disk")),
                               "guest '%s': disks.%s: guest '%s' has the disk '%s' %s at %s: two "
                               "writers destroy it; 'read-only' or 'shareable' on both says that "
                               "it is meant",
                               guest->name, item->key, first->guest->name, name,
                               twice ? "already," : "too,", place);
        }
    }
}

/* All that looks into the object's nodes, at once: with many objects, fetching them into the cache
 * is what costs. Disks come before guests, and completion before references: what is added may name
 * something too. */
static void
settle(Resolver *resolver, KaObject *object)
{
    if (object->kind->complete && !object->broken)
        object->kind->complete(resolver->manifest, object, resolver->diagnostics);
    const KaNode *allow = ka_node_get(object->node, "allow");
    for (const KaNode *word = allow ? allow->first : NULL; word; word = word->next)
        object->allow |= word->text ? ka_word_parse(word->text) : 0;
    object->has_own_host = ka_node_text(object->node, "host") != NULL;
    object->protect = g_strcmp0(ka_node_text(object->node, "protect"), "yes") == 0;
    follow_references(resolver, object, object->node);
    if (object->kind == &ka_kind_guest)
        check_macs(resolver, object);
}

void
ka_resolve(KaManifest *manifest, const char *default_uri, KaDiagnostics *diagnostics)
{
    g_autoptr(GHashTable) visited = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) macs = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) uses = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) chain = g_ptr_array_new();
    g_autoptr(GPtrArray) waiting = g_ptr_array_new();
    Resolver resolver = {.manifest = manifest,
                         .diagnostics = diagnostics,
                         .macs = macs,
                         .uses = uses,
                         .visited = visited,
                         .chain = chain,
                         .waiting = waiting};
    add_local_host(&resolver, default_uri);
    check_uris(&resolver);
    for_each_object(&resolver, NULL, settle);
    for_each_object(&resolver, NULL, find_cycle);
    /* Guests first: with several hosts, disks follow them. */
    for_each_object(&resolver, &ka_kind_guest, place);
    for_each_object(&resolver, NULL, place_other);
    for_each_object(&resolver, NULL, check_placed);
    if (resolver.shares_disks)
        for_each_object(&resolver, &ka_kind_guest, check_disk_uses);
}
