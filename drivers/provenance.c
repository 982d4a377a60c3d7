#include "drivers/provenance.h"
#include <json-glib/json-glib.h>

#include <string.h>

void
ka_provenance_clear(KaProvenance *provenance)
{
    g_free(provenance->system);
    g_free(provenance->system_id);
    g_free(provenance->packages);
    g_clear_pointer(&provenance->scrubbed, g_ptr_array_unref);
    g_clear_pointer(&provenance->warnings, g_ptr_array_unref);
}

static void
add_text(JsonBuilder *json, const char *member, const char *text)
{
    if (text == NULL)
        return;
    json_builder_set_member_name(json, member);
    json_builder_add_string_value(json, text);
}

static void
add_list(JsonBuilder *json, const char *member, const GPtrArray *list)
{
    if (list == NULL)
        return;
    json_builder_set_member_name(json, member);
    json_builder_begin_array(json);
    for (guint i = 0; i < list->len; i++)
        json_builder_add_string_value(json, g_ptr_array_index(list, i));
    json_builder_end_array(json);
}

/* A local file by its digest, a secret by nothing but that there is one. */
static void
add_scalar(JsonBuilder *json, const KaNode *node)
{
    g_autofree char *path = NULL, *digest = NULL, *text = NULL;

    if (node->row && node->row->codec == &ka_local_file) {
        path = ka_node_local_path(node);
        digest = ka_recipe_file_digest(path, NULL);
        text = g_strdup_printf("%s sha256:%s", node->text, digest ? digest : "?");
    } else if (node->secret) {
        text = g_strdup("(secret)");
    } else {
        text = node->row ? ka_codec_format(node->row->codec, node->text) : g_strdup(node->text);
    }
    json_builder_add_string_value(json, text);
}

static void
add_node(JsonBuilder *json, const KaNode *node)
{
    if (node->type == KA_NODE_SCALAR) {
        add_scalar(json, node);
        return;
    }
    if (node->type == KA_NODE_LIST)
        json_builder_begin_array(json);
    else
        json_builder_begin_object(json);
    for (const KaNode *child = node->first; child; child = child->next) {
        if (child->type == KA_NODE_NULL || (child->key && g_str_equal(child->key, "source")))
            continue;
        if (child->key)
            json_builder_set_member_name(json, child->key);
        add_node(json, child);
    }
    if (node->type == KA_NODE_LIST)
        json_builder_end_array(json);
    else
        json_builder_end_object(json);
}

static char *
to_text(JsonBuilder *json)
{
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *text = json_to_string(root, TRUE);

    return g_strconcat(text, "\n", NULL);
}

static char *
now(void)
{
    g_autoptr(GDateTime) time = g_date_time_new_now_utc();

    return g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
}

char *
ka_provenance_format(const KaProvenance *provenance)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autofree char *time = now();
    g_autofree char *recipe = ka_recipe_digest(provenance->image, NULL);

    json_builder_begin_object(json);
    json_builder_set_member_name(json, "version");
    json_builder_add_int_value(json, 1);
    add_text(json, "name", provenance->image->name);
    add_text(json, "key", provenance->key);
    add_text(json, "format", ka_node_text(provenance->image->node, "format"));
    add_text(json, "built", time);
    add_text(json, "builder", "kvmapply " KA_VERSION);
    json_builder_set_member_name(json, "source");
    json_builder_begin_object(json);
    add_text(json, "place", provenance->source->place);
    add_text(json, "identity", provenance->source->identity);
    add_text(json, "sha256", provenance->source->sha256);
    json_builder_end_object(json);
    add_text(json, "recipe-sha256", recipe);
    json_builder_set_member_name(json, "recipe");
    add_node(json, provenance->image->node);
    add_text(json, "system", provenance->system);
    add_list(json, "scrubbed", provenance->scrubbed);
    add_list(json, "warnings", provenance->warnings);
    json_builder_end_object(json);
    return to_text(json);
}

/* --- SPDX --- */

static void
add_package(JsonBuilder *json, const KaProvenance *provenance, char **fields, guint number)
{
    g_autofree char *id = g_strdup_printf("SPDXRef-Package-%u", number);
    g_autofree char *name = g_uri_escape_string(fields[0], NULL, FALSE);
    g_autofree char *version = g_uri_escape_string(fields[1], NULL, FALSE);
    g_autofree char *purl = g_strdup_printf(
        "pkg:%s/%s/%s@%s%s%s", provenance->purl, provenance->system_id, name, version,
        fields[2] && *fields[2] ? "?arch=" : "", fields[2] ? fields[2] : "");

    json_builder_begin_object(json);
    add_text(json, "SPDXID", id);
    add_text(json, "name", fields[0]);
    add_text(json, "versionInfo", fields[1]);
    add_text(json, "downloadLocation", "NOASSERTION");
    json_builder_set_member_name(json, "filesAnalyzed");
    json_builder_add_boolean_value(json, FALSE);
    json_builder_set_member_name(json, "externalRefs");
    json_builder_begin_array(json);
    json_builder_begin_object(json);
    add_text(json, "referenceCategory", "PACKAGE-MANAGER");
    add_text(json, "referenceType", "purl");
    add_text(json, "referenceLocator", purl);
    json_builder_end_object(json);
    json_builder_end_array(json);
    json_builder_end_object(json);
}

static void
add_packages(JsonBuilder *json, const KaProvenance *provenance)
{
    g_auto(GStrv) lines = g_strsplit(provenance->packages ? provenance->packages : "", "\n", -1);
    guint number = 0;

    json_builder_set_member_name(json, "packages");
    json_builder_begin_array(json);
    json_builder_begin_object(json);
    add_text(json, "SPDXID", "SPDXRef-Image");
    add_text(json, "name", provenance->image->name);
    add_text(json, "versionInfo", provenance->key);
    add_text(json, "downloadLocation", "NOASSERTION");
    add_text(json, "primaryPackagePurpose", "OPERATING-SYSTEM");
    json_builder_set_member_name(json, "filesAnalyzed");
    json_builder_add_boolean_value(json, FALSE);
    json_builder_end_object(json);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, "\t", 3);
        if (fields[0] && fields[1])
            add_package(json, provenance, fields, ++number);
    }
    json_builder_end_array(json);
    json_builder_set_member_name(json, "relationships");
    json_builder_begin_array(json);
    for (guint i = 0; i <= number; i++) {
        g_autofree char *package = g_strdup_printf("SPDXRef-Package-%u", i);
        json_builder_begin_object(json);
        add_text(json, "spdxElementId", i ? "SPDXRef-Image" : "SPDXRef-DOCUMENT");
        add_text(json, "relationshipType", i ? "CONTAINS" : "DESCRIBES");
        add_text(json, "relatedSpdxElement", i ? package : "SPDXRef-Image");
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

char *
ka_provenance_spdx(const KaProvenance *provenance)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autofree char *time = now();
    g_autofree char *space = g_strconcat("urn:kvmapply:image:", provenance->key, NULL);

    json_builder_begin_object(json);
    add_text(json, "spdxVersion", "SPDX-2.3");
    add_text(json, "dataLicense", "CC0-1.0");
    add_text(json, "SPDXID", "SPDXRef-DOCUMENT");
    add_text(json, "name", provenance->image->name);
    add_text(json, "documentNamespace", space);
    json_builder_set_member_name(json, "creationInfo");
    json_builder_begin_object(json);
    add_text(json, "created", time);
    json_builder_set_member_name(json, "creators");
    json_builder_begin_array(json);
    json_builder_add_string_value(json, "Tool: kvmapply-" KA_VERSION);
    json_builder_end_array(json);
    json_builder_end_object(json);
    add_packages(json, provenance);
    json_builder_end_object(json);
    return to_text(json);
}
