#include "drivers/xml_cut.h"

#include <string.h>

#define DEPTH 2 /* of the root's grandchildren */

/* Behind the mark; NULL: there is none. */
static const char *
behind(const char *text, const char *mark)
{
    const char *found = strstr(text, mark);

    return found ? found + strlen(mark) : NULL;
}

/* Behind the tag; a '>' may stand in a quoted value. */
static const char *
behind_tag(const char *at)
{
    while ((at = strpbrk(at, ">\"'")) && *at != '>' && (at = strchr(at + 1, *at)))
        at++;
    return at ? at + 1 : NULL;
}

/* Behind the tag, comment, section or instruction that begins here; NULL: it doesn't end. */
static const char *
behind_markup(const char *at)
{
    if (g_str_has_prefix(at, "<!--"))
        return behind(at + strlen("<!--"), "-->");
    if (g_str_has_prefix(at, "<![CDATA["))
        return behind(at, "]]>");
    return at[1] == '?' ? behind(at, "?>") : behind_tag(at);
}

static gboolean
is_named(const char *at, const char *name)
{
    gsize length = strlen(name);

    return strncmp(at, name, length) == 0 && strchr("/> \t\r\n", at[length]);
}

char *
ka_xml_cut(const char *text, const char *name)
{
    GString *kept = g_string_sized_new(strlen(text));
    const char *from = text; /* of what is kept next */
    const char *end;
    int depth = 0;

    for (const char *at = strchr(text, '<'); at && (end = behind_markup(at));
         at = strchr(end, '<')) {
        if (at[1] == '!' || at[1] == '?')
            continue;
        gboolean closes = at[1] == '/', is_empty = !closes && end[-2] == '/';
        depth -= closes;
        if (depth == DEPTH && is_named(at + 1 + closes, name)) {
            if (!closes)
                g_string_append_len(kept, from, at - from);
            if (closes || is_empty)
                from = end;
        }
        depth += !closes && !is_empty;
    }
    g_string_append(kept, from);
    return g_string_free(kept, FALSE);
}
