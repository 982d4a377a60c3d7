#include "manifest/node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Nodes grow from a chunk's front, strings from its back, so that strings need no padding. */
typedef struct Chunk Chunk;
struct Chunk {
    Chunk *previous;
    gsize size;
    gsize front, back; /* the free bytes, counted from the chunk's own address */
};

#define FIRST_CHUNK 4096
/* A whole huge page and no more: what of a chunk is touched is cleared as a whole. */
#define LARGEST_CHUNK HUGE_PAGE
#define HUGE_PAGE (2 * 1024 * 1024)

KaTree *
ka_tree_new(void)
{
    return g_new0(KaTree, 1);
}

void
ka_tree_free(KaTree *tree)
{
    if (!tree)
        return;
    for (Chunk *chunk = tree->arena; chunk;) {
        Chunk *previous = chunk->previous;
        free(chunk);
        chunk = previous;
    }
    g_free(tree);
}

static Chunk *
chunk_new(gsize size)
{
    gboolean large = size >= HUGE_PAGE;
    gsize unit = large ? HUGE_PAGE : 16;
    size = (size + unit - 1) / unit * unit;
    Chunk *chunk = aligned_alloc(unit, size);
    if (!chunk)
        g_error("out of memory: %zu bytes", size);
    /* A page fault for every 4 KiB costs half as much as reading the YAML that fills them. */
    if (large)
        madvise(chunk, size, MADV_HUGEPAGE);
    *chunk = (Chunk){NULL, size, sizeof(Chunk), size};
    return chunk;
}

static Chunk *
chunk_with_room(KaTree *tree, gsize size)
{
    Chunk *current = tree->arena;
    if (current && current->back - current->front >= size)
        return current;

    gsize usual = current ? MIN(current->size * 2, LARGEST_CHUNK) : FIRST_CHUNK;
    gboolean apart = size > usual / 4;
    Chunk *chunk = chunk_new(apart ? sizeof(Chunk) + size : usual);
    /* A large piece must not waste what is left of the current chunk. */
    if (apart && current) {
        chunk->previous = current->previous;
        current->previous = chunk;
    } else {
        chunk->previous = current;
        tree->arena = chunk;
    }
    return chunk;
}

gpointer
ka_tree_alloc(KaTree *tree, gsize size)
{
    gsize rounded = (size + 7) & ~(gsize)7;
    Chunk *chunk = chunk_with_room(tree, rounded);
    gpointer memory = (char *)chunk + chunk->front;
    chunk->front += rounded;
    return memset(memory, 0, rounded);
}

char *
ka_tree_strndup(KaTree *tree, const char *text, gsize length)
{
    Chunk *chunk = chunk_with_room(tree, length + 1);
    chunk->back -= length + 1;
    char *copy = (char *)chunk + chunk->back;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *
ka_tree_strdup(KaTree *tree, const char *text)
{
    return text ? ka_tree_strndup(tree, text, strlen(text)) : NULL;
}

gsize
ka_tree_size(const KaTree *tree)
{
    gsize size = 0;
    for (const Chunk *chunk = tree->arena; chunk; chunk = chunk->previous)
        size += chunk->front + (chunk->size - chunk->back);
    return size;
}

KaNode *
ka_node_new(KaTree *tree, KaNodeType type)
{
    KaNode *node = ka_tree_alloc(tree, sizeof *node);
    node->type = type;
    return node;
}

KaNode *
ka_node_new_scalar(KaTree *tree, const char *text)
{
    KaNode *node = ka_node_new(tree, KA_NODE_SCALAR);
    node->text = ka_tree_strdup(tree, text);
    return node;
}

KaNode *
ka_node_link(KaNode *parent, const char *key, KaNode *child)
{
    child->key = key;
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n_children++;
    return child;
}

KaNode *
ka_node_copy(KaTree *tree, const KaNode *node)
{
    KaNode *copy = ka_node_new(tree, node->type);
    *copy = *node;
    copy->key = NULL;
    copy->text = ka_tree_strdup(tree, node->text);
    copy->first = copy->last = copy->next = NULL;
    copy->n_children = 0;
    for (const KaNode *child = node->first; child; child = child->next) {
        KaNode *child_copy = ka_node_copy(tree, child);
        ka_node_link(copy, ka_tree_strdup(tree, child->key), child_copy);
    }
    return copy;
}

KaNode *
ka_node_append(KaTree *tree, KaNode *parent, const char *key, KaNode *child)
{
    return ka_node_link(parent, ka_tree_strdup(tree, key), child);
}

void
ka_node_remove(KaNode *parent, KaNode *child)
{
    KaNode *before = NULL;
    for (KaNode *node = parent->first; node; before = node, node = node->next) {
        if (node != child)
            continue;
        if (before)
            before->next = child->next;
        else
            parent->first = child->next;
        if (parent->last == child)
            parent->last = before;
        child->next = NULL;
        parent->n_children--;
        return;
    }
}

static KaNode *
get_sized(const KaNode *node, const char *key, gsize length)
{
    if (!node || node->type != KA_NODE_MAP)
        return NULL;
    for (KaNode *child = node->first; child; child = child->next)
        if (*child->key == *key && strncmp(child->key, key, length) == 0 &&
            child->key[length] == '\0')
            return child;
    return NULL;
}

KaNode *
ka_node_get(const KaNode *node, const char *key)
{
    if (!node || node->type != KA_NODE_MAP)
        return NULL;
    for (KaNode *child = node->first; child; child = child->next)
        if (*child->key == *key && strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

/* The path's first key without quotes and escapes (to be freed where they made a copy necessary);
 * moves path behind it and its dot. NULL at the end. */
static const char *
next_key(const char **path, gsize *ret_length, char **ret_copy)
{
    const char *at = *path;
    if (*at == '\0')
        return NULL;
    if (*at != '"') {
        *ret_length = (gsize)(strchrnul(at, '.') - at);
        *path = at + *ret_length + (at[*ret_length] == '.');
        return at;
    }
    GString *key = g_string_new(NULL);
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1])
            at++;
        g_string_append_c(key, *at);
    }
    at += *at == '"';
    *path = at + (*at == '.');
    *ret_length = key->len;
    return *ret_copy = g_string_free(key, FALSE);
}

KaNode *
ka_node_find(const KaNode *node, const char *path)
{
    KaNode *found = (KaNode *)(guintptr)node;
    while (found && *path) {
        g_autofree char *copy = NULL;
        gsize length = 0;
        const char *key = next_key(&path, &length, &copy);
        found = get_sized(found, key, length);
    }
    return found;
}

const char *
ka_node_text(const KaNode *node, const char *path)
{
    const KaNode *found = ka_node_find(node, path);
    return found && found->type == KA_NODE_SCALAR ? found->text : NULL;
}

KaNode *
ka_node_put(KaTree *tree, KaNode *root, const char *path, const char *text)
{
    KaNode *node = root;
    while (*path) {
        g_autofree char *copy = NULL;
        gsize length = 0;
        const char *key = next_key(&path, &length, &copy);
        KaNode *child = get_sized(node, key, length);
        if (!child) {
            node->type = KA_NODE_MAP;
            child = ka_node_new(tree, KA_NODE_MAP);
            ka_node_link(node, ka_tree_strndup(tree, key, length), child);
        }
        node = child;
    }
    node->type = text ? KA_NODE_SCALAR : KA_NODE_NULL;
    node->text = ka_tree_strdup(tree, text);
    return node;
}

char *
ka_path_append(const char *path, const char *key)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    GString *out = g_string_new(path);
    if (out->len > 0)
        g_string_append_c(out, '.');
    if (*key && key[strspn(key, plain)] == '\0') {
        g_string_append(out, key);
        return g_string_free(out, FALSE);
    }
    g_string_append_c(out, '"');
    for (; *key; key++) {
        if (*key == '"' || *key == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *key);
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}

char **
ka_path_split(const char *path)
{
    g_autoptr(GStrvBuilder) keys = g_strv_builder_new();
    while (*path) {
        g_autofree char *copy = NULL;
        gsize length = 0;
        const char *key = next_key(&path, &length, &copy);
        g_autofree char *exact = g_strndup(key, length);
        g_strv_builder_add(keys, exact);
    }
    return g_strv_builder_end(keys);
}

char *
ka_node_local_path(const KaNode *node)
{
    if (g_path_is_absolute(node->text) || !node->source || node->source->name[0] == '<')
        return g_strdup(node->text);
    g_autofree char *folder = g_path_get_dirname(node->source->name);
    return g_str_equal(folder, ".") ? g_strdup(node->text)
                                    : g_build_filename(folder, node->text, NULL);
}
