#include "drivers/record.h"
#include "drivers/element.h"
#include "drivers/item.h"
#include "drivers/link.h"

#define NAMESPACE (const xmlChar *)KA_RECORD_NAMESPACE

static xmlNode *
child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, (const xmlChar *)name))
            return node;
    }
    return NULL;
}

static xmlNode *
find_record(const KaDocument *document)
{
    const xmlNode *metadata = child(xmlDocGetRootElement(document->xml), "metadata");

    for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && node->ns && xmlStrEqual(node->ns->href, NAMESPACE))
            return node;
    }
    return NULL;
}

static char *
attribute(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
    char *copy = g_strdup((const char *)value);
    xmlFree(value);
    return copy;
}

static char *
content(xmlNode *node)
{
    xmlChar *value = xmlNodeGetContent(node);
    char *copy = g_strdup((const char *)value);
    xmlFree(value);
    return copy;
}

static void
read_entry(KaRecord *record, xmlNode *node)
{
    g_autofree char *text = content(node);

    if (xmlStrEqual(node->name, (const xmlChar *)"owned")) {
        char *path = attribute(node, "path");
        if (path)
            g_hash_table_insert(record->owned, path, *text ? g_steal_pointer(&text) : NULL);
    } else if (xmlStrEqual(node->name, (const xmlChar *)"volume")) {
        g_autofree char *protect = attribute(node, "protect");
        if (g_strcmp0(protect, "yes") == 0)
            g_hash_table_add(record->protected_volumes, g_strdup(text));
        g_ptr_array_add(record->volumes, g_steal_pointer(&text));
    }
}

KaRecord *
ka_record_read(const KaDocument *document, const char *uuid)
{
    xmlNode *node = find_record(document);
    if (!node)
        return NULL;
    g_autofree char *project = attribute(node, "project");
    g_autofree char *of = attribute(node, "uuid");
    g_autofree char *protect = attribute(node, "protect");
    if (!project || g_strcmp0(of, uuid) != 0)
        return NULL;

    KaRecord *record = ka_record_new(project, of);
    record->protect = g_strcmp0(protect, "yes") == 0;
    for (xmlNode *entry = node->children; entry; entry = entry->next) {
        if (entry->type == XML_ELEMENT_NODE)
            read_entry(record, entry);
    }
    return record;
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

/* The record as an element. */
static xmlNode *
build(const KaRecord *record, gboolean with_namespace)
{
    xmlNode *node = xmlNewNode(NULL, (const xmlChar *)"record");
    xmlNs *ns =
        with_namespace ? xmlNewNs(node, NAMESPACE, (const xmlChar *)KA_RECORD_PREFIX) : NULL;
    g_autoptr(GList) owned = g_list_sort(g_hash_table_get_keys(record->owned), compare);

    xmlSetNs(node, ns);
    xmlNewProp(node, (const xmlChar *)"project", (const xmlChar *)record->project);
    xmlNewProp(node, (const xmlChar *)"uuid", (const xmlChar *)record->uuid);
    if (record->protect)
        xmlNewProp(node, (const xmlChar *)"protect", (const xmlChar *)"yes");
    for (const GList *path = owned; path; path = path->next) {
        const char *text = g_hash_table_lookup(record->owned, path->data);
        xmlNode *entry = xmlNewTextChild(node, ns, (const xmlChar *)"owned", (const xmlChar *)text);
        xmlNewProp(entry, (const xmlChar *)"path", (const xmlChar *)path->data);
    }
    for (guint i = 0; i < record->volumes->len; i++) {
        const char *volume = g_ptr_array_index(record->volumes, i);
        xmlNode *entry =
            xmlNewTextChild(node, ns, (const xmlChar *)"volume", (const xmlChar *)volume);
        if (g_hash_table_contains(record->protected_volumes, volume))
            xmlNewProp(entry, (const xmlChar *)"protect", (const xmlChar *)"yes");
    }
    return node;
}

void
ka_record_write(KaDocument *document, const KaRecord *record)
{
    xmlNode *root = xmlDocGetRootElement(document->xml);
    xmlNode *metadata = child(root, "metadata");
    xmlNode *old = find_record(document);

    if (old) {
        xmlUnlinkNode(old);
        xmlFreeNode(old);
    }
    if (!metadata)
        metadata = xmlNewChild(root, NULL, (const xmlChar *)"metadata", NULL);
    xmlAddChild(metadata, build(record, TRUE));
}

char *
ka_record_format(const KaRecord *record)
{
    xmlNode *node = build(record, FALSE); /* libvirt puts it there itself, and only if it isn't */
    char *text = ka_element_text(node, FALSE);

    xmlFreeNode(node);
    return text;
}

/* The text of a fragment by which it can be found again, without what nobody may read. */
static char *
without_secrets(const char *fragment)
{
    static GRegex *passwords;
    if (g_once_init_enter(&passwords))
        g_once_init_leave(
            &passwords,
            g_regex_new("\\s(passwd|password)\\s*=\\s*(\"[^\"]*\"|'[^']*')", 0, 0, NULL));
    return g_regex_replace_literal(passwords, fragment, -1, 0, "", 0, NULL);
}

/* What must be known of a field to find it once no manifest declares it any more: a fragment, the
 * value by which an item is found. */
static char *
owned_text(const KaNode *parent, const KaNode *node)
{
    if (node->type != KA_NODE_SCALAR)
        return NULL;
    if (node->row->codec == &ka_fragment)
        return without_secrets(node->text);
    gboolean is_key = parent->row && parent->row->id && node->row->at &&
                      ka_item_is_paired_by(parent->row, node->row->at);
    return is_key && !node->row->codec->secret ? g_strdup(node->text) : NULL;
}

static void
own_below(KaRecord *record, const KaNode *node, const char *path)
{
    for (const KaNode *item = node->type == KA_NODE_MAP ? node->first : NULL; item;
         item = item->next) {
        if (item->fresh || !item->row || (item->row->way == KA_NONE && item->type != KA_NODE_MAP))
            continue;
        g_autofree char *below = ka_path_append(path, item->key);
        if (item->type != KA_NODE_MAP || g_str_has_suffix(item->row->key, ".*")) {
            g_hash_table_insert(record->owned, g_strdup(below), owned_text(node, item));
        }
        own_below(record, item, below);
    }
}

static void
add_volume(KaRecord *record, const char *volume, gboolean protect)
{
    if (!g_ptr_array_find_with_equal_func(record->volumes, volume, g_str_equal, NULL))
        g_ptr_array_add(record->volumes, g_strdup(volume));
    if (protect)
        g_hash_table_add(record->protected_volumes, g_strdup(volume));
    else
        g_hash_table_remove(record->protected_volumes, volume);
}

/* The disks it names, and those they are clones or copies of. */
static void
add_disks(KaRecord *record, const GPtrArray *needs)
{
    for (guint i = 0; i < needs->len; i++) {
        const KaObject *needed = g_ptr_array_index(needs, i);
        if (!g_str_equal(needed->kind->table->kind, "disk"))
            continue;
        g_autofree char *volume =
            g_strdup_printf("%s/%s", ka_disk_pool(needed), ka_disk_volume(needed));
        add_volume(record, volume, needed->protect);
        add_disks(record, needed->needs);
    }
}

/* A volume that somebody removed: a later one of its name would not be the project's. */
static gboolean
is_gone(const KaAction *action, const char *address)
{
    g_auto(GStrv) parts = g_strsplit(address, "/", 2);

    if (!action->host || !action->host->link || !ka_link_pool_type(action->host, parts[0]))
        return FALSE;
    g_autoptr(KaVolume) volume = ka_link_volume(action->host, parts[0], parts[1]);
    return volume == NULL;
}

/* Volumes stay this project's until they are removed: a disk that is only no longer declared is a
 * left-over, not nobody's. */
static void
own_volumes(KaRecord *record, const KaAction *action)
{
    const KaRecord *before = action->actual ? action->actual->record : NULL;

    for (guint i = 0; before && i < before->volumes->len; i++) {
        const char *volume = g_ptr_array_index(before->volumes, i);
        if (!is_gone(action, volume))
            add_volume(record, volume, g_hash_table_contains(before->protected_volumes, volume));
    }
    add_disks(record, action->object->needs);
}

KaRecord *
ka_record_for(const KaAction *action, const char *uuid)
{
    KaRecord *record = ka_record_new(action->project, uuid);

    record->protect = action->object->protect;
    own_below(record, action->object->node, "");
    own_volumes(record, action);
    return record;
}
