#include "cmd/value.h"
#include <string.h>

#define MAXIMUM_PARTS 4

/* What is said of an object of a kind, in this order, as far as it is declared. */
static const struct {
    const char *kind, *path, *before, *after;
} phrases[] = {
    {"network", "forward.mode",   " ",             ""      },
    {"network", "address",        " ",             ""      },
    {"network", "bridge",         " on ",          ""      },
    {"pool",    "type",           " ",             ""      },
    {"pool",    "path",           " ",             ""      },
    {"disk",    "size",           " ",             ""      },
    {"disk",    "format",         " ",             ""      },
    {"disk",    "pool",           " in pool ",     ""      },
    {"disk",    "backing",        " on ",          ""      },
    {"disk",    "image",          " from image ",  ""      },
    {"disk",    "from",           " copied from ", ""      },
    {"disk",    "content",        " filled from ", ""      },
    {"guest",   "vcpus.current",  " ",             " vCPU,"},
    {"guest",   "memory.current", " ",             ""      },
};

gboolean
ka_value_is_secret(const KaNode *node)
{
    return node->secret || (node->row && node->row->codec->secret);
}

static gboolean
is_fragment(const KaNode *node)
{
    return node->row && node->row->codec == &ka_fragment;
}

/* A fragment can hold anything, also a password: only its element's name is said. */
static char *
fragment_text(const char *xml)
{
    const char *start = strchr(xml, '<');
    gsize length = start ? strcspn(start + 1, " \t\r\n/>") : 0;
    return length ? g_strdup_printf("<%.*s…>", (int)length, start + 1) : g_strdup("XML");
}

static char *
scalar_text(const KaNode *node)
{
    if (ka_value_is_secret(node))
        return g_strdup(KA_SECRET_TEXT);
    if (is_fragment(node))
        return fragment_text(node->text);
    return node->row ? ka_codec_format(node->row->codec, node->text) : g_strdup(node->text);
}

static void
append_list(GString *out, const KaNode *node)
{
    const char *before = "";
    for (const KaNode *item = node->first; item; item = item->next) {
        g_autofree char *text = ka_value_text(item);
        g_string_append_printf(out, "%s%s", before, text);
        before = ", ";
    }
}

/* The child that a bare value stands for, where nothing else is declared; not a name of another
 * object, whose key says of what kind it is. */
static const KaNode *
only_brief(const KaNode *node)
{
    const char *brief = node->row ? node->row->brief : NULL;
    const KaNode *only = NULL;
    for (const KaNode *child = node->first; child && brief; child = child->next) {
        if (child->fresh)
            continue;
        if (only || child->type != KA_NODE_SCALAR || !g_str_equal(child->key, brief) ||
            (child->row && child->row->codec->refers))
            return NULL;
        only = child;
    }
    return only;
}

static void
append_part(GString *out, const KaNode *node)
{
    gboolean nested = node->type == KA_NODE_MAP && !only_brief(node);
    g_autofree char *text = ka_value_text(node);
    g_string_append_printf(out, "%s%s", out->len ? ", " : "", node->key);
    if (*text)
        g_string_append_printf(out, nested ? " (%s)" : " %s", text);
}

/* What is declared; what a new item gets by itself says little. */
static void
append_parts(GString *out, const KaNode *node)
{
    guint said = 0;
    for (const KaNode *child = node->first; child; child = child->next) {
        if (child->fresh || child->type == KA_NODE_NULL)
            continue;
        if (said++ == MAXIMUM_PARTS) {
            g_string_append(out, ", …");
            return;
        }
        append_part(out, child);
    }
}

char *
ka_value_text(const KaNode *node)
{
    if (!node || node->type == KA_NODE_NULL)
        return g_strdup("");
    if (node->type == KA_NODE_SCALAR)
        return scalar_text(node);
    const KaNode *only = only_brief(node);
    if (only)
        return scalar_text(only);
    g_autoptr(GString) out = g_string_new(NULL);
    if (node->type == KA_NODE_LIST)
        append_list(out, node);
    else
        append_parts(out, node);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

char *
ka_value_object(const KaObject *object)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(phrases); i++) {
        const KaNode *node = ka_node_find(object->node, phrases[i].path);
        if (!g_str_equal(phrases[i].kind, object->kind->table->kind) || !node ||
            node->type == KA_NODE_NULL)
            continue;
        g_autofree char *text = ka_value_text(node);
        g_string_append_printf(out, "%s%s%s", phrases[i].before, text, phrases[i].after);
    }
    if (out->len && out->str[out->len - 1] == ',')
        g_string_truncate(out, out->len - 1);
    return g_strchug(g_string_free(g_steal_pointer(&out), FALSE));
}
