#include "drivers/document.h"
#include "drivers/document_part.h"
#include "drivers/element.h"
#include "drivers/record.h"

/* What an exported manifest must say in XML because no row does: a document minus what its own
 * fields build. */
typedef struct {
    GHashTable
        *pairs; /* owned; element of the document → the built document's element of the same item */
    GHashTable *items; /* owned set; the built document's elements that are items */
    KaTree *tree;
    KaNode *map;
    const KaField *row; /* of the fragments */
} Residual;

static gboolean
is_record(const xmlNode *node)
{
    return node->ns && xmlStrEqual(node->ns->href, (const xmlChar *)KA_RECORD_NAMESPACE);
}

static gboolean
is_value(const xmlNode *node)
{
    return (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) &&
           !xmlIsBlankNode(node);
}

static gboolean
attribute_equal(const xmlNode *a, const xmlNode *b, const xmlChar *name)
{
    xmlChar *x = xmlGetProp(a, name), *y = xmlGetProp(b, name);
    gboolean equal = xmlStrEqual(x, y);

    xmlFree(x);
    xmlFree(y);
    return equal;
}

/* The built document's element for one of the document: the same item, or the first free one that
 * merging would choose. */
static xmlNode *
find_pair(const Residual *residual, const xmlNode *element, const xmlNode *built, GHashTable *taken)
{
    xmlNode *pair = g_hash_table_lookup(residual->pairs, element);

    for (xmlNode *node = pair || !built ? NULL : built->children; node && !pair;
         node = node->next) {
        if (node->type == XML_ELEMENT_NODE && !g_hash_table_contains(taken, node) &&
            !g_hash_table_contains(residual->items, node) && ka_fragment_could_be(node, element))
            pair = node;
    }
    if (pair)
        g_hash_table_add(taken, pair);
    return pair;
}

static gboolean
is_secret(const xmlAttr *attribute)
{
    return xmlStrEqual(attribute->name, KA_XML("passwd")) ||
           xmlStrEqual(attribute->name, KA_XML("password"));
}

/* Of the normal form alone: what libvirt says stands beside it. */
static gboolean
is_normal(const xmlAttr *attribute)
{
    return g_str_has_prefix((const char *)attribute->name, "ka-");
}

/* No manifest gets to see what nobody may read, nor the record. */
static void
drop_unspeakable(xmlNode *element)
{
    for (xmlAttr *attribute = element->properties, *next; attribute; attribute = next) {
        next = attribute->next;
        if (is_secret(attribute) || is_normal(attribute))
            xmlRemoveProp(attribute);
    }
    for (xmlNode *child = element->children, *next; child; child = next) {
        next = child->next;
        if (is_record(child))
            ka_place_prune(child, element);
        else if (child->type == XML_ELEMENT_NODE)
            drop_unspeakable(child);
    }
}

/* Marked as new, not a part of what is built already; also for merging, where it would be taken for
 * what built has. */
static xmlNode *
copy_whole(const xmlNode *element, const xmlNode *built)
{
    xmlNode *copy = xmlDocCopyNode(ka_borrow(element), element->doc, 1);
    g_autoptr(GHashTable) none = g_hash_table_new(NULL, NULL);

    copy->_private = copy;
    drop_unspeakable(copy);
    if (ka_fragment_target(built, copy, none))
        xmlSetProp(copy, KA_XML("ka-add"), KA_XML("yes"));
    return copy;
}

static gboolean
copy_differing_attributes(const xmlNode *element, const xmlNode *built, xmlNode *part)
{
    gboolean any = FALSE;

    for (const xmlAttr *attribute = element->properties; attribute; attribute = attribute->next) {
        if (is_normal(attribute) || is_secret(attribute) ||
            attribute_equal(element, built, attribute->name))
            continue;
        xmlChar *value = xmlGetProp(element, attribute->name);
        xmlNewProp(part, attribute->name, value);
        xmlFree(value);
        any = TRUE;
    }
    return any;
}

/* Without the attributes that tell siblings apart a part would merge into the wrong one. */
static void
copy_identity(const xmlNode *element, xmlNode *part)
{
    for (gsize i = 0; i < KA_FRAGMENT_N_IDENTITY; i++) {
        const xmlChar *name = (const xmlChar *)ka_fragment_identity[i];
        xmlChar *value = xmlHasProp(part, name) ? NULL : xmlGetProp(element, name);
        if (value)
            xmlNewProp(part, name, value);
        xmlFree(value);
    }
}

static gboolean
copy_differing_text(const xmlNode *element, const xmlNode *built, xmlNode *part)
{
    const xmlNode *text = element->children;

    while (text && !is_value(text))
        text = text->next;
    if (!text)
        return FALSE;
    xmlChar *here = xmlNodeGetContent(text), *there = xmlNodeGetContent(built);
    gboolean differs = !xmlStrEqual(here, there);
    if (differs)
        xmlAddChild(part, xmlNewText(here));
    xmlFree(here);
    xmlFree(there);
    return differs;
}

/* The part of an element that built lacks, as an element of the same name; NULL: nothing. Items of
 * rows have places of their own and are left out. */
static xmlNode *
subtract(const Residual *residual, const xmlNode *element, const xmlNode *built)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
    xmlNode *part = xmlNewDocNode(element->doc, NULL, element->name, NULL);
    gboolean any = copy_differing_attributes(element, built, part);

    any |= copy_differing_text(element, built, part);
    for (const xmlNode *child = element->children; child; child = child->next) {
        if (child->type != XML_ELEMENT_NODE || is_record(child))
            continue;
        xmlNode *pair = find_pair(residual, child, built, taken);
        if (pair && g_hash_table_contains(residual->pairs, child))
            continue;
        xmlNode *below = pair ? subtract(residual, child, pair) : copy_whole(child, built);
        if (!below)
            continue;
        if (pair)
            copy_identity(child, below);
        xmlAddChild(part, below);
        any = TRUE;
    }
    if (!any)
        g_clear_pointer(&part, xmlFreeNode);
    return part;
}

static void
dump(GString *text, const xmlNode *node)
{
    g_autofree char *part = ka_element_text(node, TRUE);

    g_string_append_printf(text, "%s%s", text->len ? "\n" : "", part);
}

static gboolean
has_own(const xmlNode *part)
{
    if (part->properties)
        return TRUE;
    for (const xmlNode *child = part->children; child; child = child->next) {
        if (is_value(child))
            return TRUE;
    }
    return FALSE;
}

/* A place's fragment: the children, or the element itself where it has something of its own or a
 * child by its own name could be taken for it. */
static void
add_fragment(const Residual *residual, const char *place, xmlNode *part)
{
    g_autoptr(GString) text = g_string_new(NULL);
    gboolean whole = has_own(part) || !part->children ||
                     (!part->children->next && xmlStrEqual(part->children->name, part->name));

    if (whole)
        dump(text, part);
    for (xmlNode *child = whole ? NULL : part->children; child; child = child->next)
        dump(text, child);
    KaNode *node = ka_node_get(residual->map, place);
    if (node) { /* twins that nothing tells apart */
        g_string_prepend_c(text, '\n');
        g_string_prepend(text, node->text);
        node->text = ka_tree_strdup(residual->tree, text->str);
        return;
    }
    node = ka_node_new_scalar(residual->tree, text->str);
    node->row = residual->row;
    ka_node_append(residual->tree, residual->map, place, node);
}

static guint
count_named(const xmlNode *parent, const xmlChar *name)
{
    guint count = 0;

    for (const xmlNode *node = parent->children; node; node = node->next)
        count += node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, name);
    return count;
}

/* "devices/input", with what tells it from its twins where it has any. */
static char *
device_place(const xmlNode *part, const xmlNode *devices)
{
    GString *place = g_string_new("devices/");

    g_string_append(place, (const char *)part->name);
    for (gsize i = 0; count_named(devices, part->name) > 1 && i < KA_FRAGMENT_N_IDENTITY; i++) {
        xmlChar *value = xmlGetProp(part, (const xmlChar *)ka_fragment_identity[i]);
        if (value)
            g_string_append_printf(place, "[@%s='%s']", ka_fragment_identity[i],
                                   (const char *)value);
        xmlFree(value);
    }
    return g_string_free(place, FALSE);
}

static gboolean
is_whole(const xmlNode *part)
{
    return part->type != XML_ELEMENT_NODE || part->_private != NULL;
}

/* Devices are added, not merged, so a part of one needs a place of its own. */
static void
place_devices(const Residual *residual, xmlNode *devices, const xmlNode *document_devices)
{
    xmlNode *next;

    for (xmlNode *part = devices->children; part; part = next) {
        next = part->next;
        if (is_whole(part))
            continue;
        g_autofree char *place = device_place(part, document_devices);
        xmlUnlinkNode(part);
        add_fragment(residual, place, part);
        xmlFreeNode(part);
    }
    if (devices->children || devices->properties)
        add_fragment(residual, "devices", devices);
}

/* Parts of the root's children get a place each; what is new as a whole goes below the root. */
static void
place_parts(const Residual *residual, xmlNode *root, const xmlNode *document_root)
{
    xmlNode *next;

    for (xmlNode *part = root->children; part; part = next) {
        next = part->next;
        if (is_whole(part))
            continue;
        xmlUnlinkNode(part);
        if (xmlStrEqual(part->name, (const xmlChar *)"devices")) {
            const xmlNode *devices = document_root->children;
            while (!xmlStrEqual(devices->name, part->name))
                devices = devices->next;
            place_devices(residual, part, devices);
        } else {
            add_fragment(residual, (const char *)part->name, part);
        }
        xmlFreeNode(part);
    }
    if (root->children || root->properties)
        add_fragment(residual, (const char *)document_root->name, root);
}

/* An item's element, found beside its siblings: twins are told apart by their order. */
static xmlNode *
item(const KaDocument *document, const char *path, const KaNode *fields)
{
    KaSpot spot = {0};

    return ka_document_find(document, path, fields, NULL, FALSE, &spot, NULL) ? spot.element : NULL;
}

/* Pairs of elements that are the same item of a '*' row, at any depth, in the document's order. */
static void
pair_items(Residual *residual,
           const KaDocument *document,
           const KaDocument *built,
           const KaNode *fields,
           const KaNode *node,
           const char *path,
           GPtrArray *paths)
{
    for (const KaNode *child = node->type == KA_NODE_MAP ? node->first : NULL; child;
         child = child->next) {
        g_autofree char *below = ka_path_append(path, child->key);
        if (child->type != KA_NODE_MAP)
            continue;
        if (child->row && g_str_has_suffix(child->row->key, ".*")) {
            xmlNode *here = item(document, below, fields);
            xmlNode *there = item(built, below, fields);
            if (here && there && g_hash_table_add(residual->items, there) &&
                g_hash_table_insert(residual->pairs, here, there))
                g_ptr_array_add(paths, g_strdup(below));
        }
        pair_items(residual, document, built, fields, child, below, paths);
    }
}

void
ka_document_residual(const KaDocument *document, const KaDocument *built, KaTree *tree, KaNode *map)
{
    const KaRows *fragments = ka_rows_find(document->rows, "xml.x");
    g_autoptr(GHashTable) pairs = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) items = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(KaTree) fields = ka_document_read(document, NULL, NULL, NULL);
    Residual residual = {pairs, items, tree, map, fragments ? fragments->row : NULL};
    xmlNode *root = xmlDocGetRootElement(document->xml),
            *built_root = xmlDocGetRootElement(built->xml);

    if (fields && fields->root)
        pair_items(&residual, document, built, fields->root, fields->root, "", paths);
    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        xmlNode *here = item(document, path, fields->root);
        xmlNode *part = here ? subtract(&residual, here, g_hash_table_lookup(pairs, here)) : NULL;
        if (part)
            add_fragment(&residual, path, part);
        g_clear_pointer(&part, xmlFreeNode);
    }
    xmlNode *part = subtract(&residual, root, built_root);
    if (part)
        place_parts(&residual, part, root);
    g_clear_pointer(&part, xmlFreeNode);
}
