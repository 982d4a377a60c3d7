#include "drivers/fetch_part.h"

#include <string.h>

typedef struct {
    const char *name; /* borrowed; what is looked for */
    char *sha256, *sha512;
    gboolean is_exact;        /* they are of a line with this very name, not of one in a folder */
    gboolean is_contradicted; /* two lines */
    gboolean has_weaker;      /* MD5 or SHA-1 */
} Search;

gboolean
ka_is_hex(const char *text, gsize n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdefABCDEF") == n;
}

static void
take(Search *search, const char *digest, gboolean is_exact)
{
    gsize n = strlen(digest);

    if (!ka_is_hex(digest, n) || (search->is_exact && !is_exact))
        return;
    if (is_exact && !search->is_exact) {
        g_clear_pointer(&search->sha256, g_free);
        g_clear_pointer(&search->sha512, g_free);
        search->is_contradicted = FALSE;
        search->is_exact = TRUE;
    }
    char **place = n == KA_SHA256_HEX   ? &search->sha256
                   : n == KA_SHA512_HEX ? &search->sha512
                                        : NULL;
    if (place == NULL) {
        search->has_weaker = TRUE;
        return;
    }
    if (*place && g_ascii_strcasecmp(*place, digest) != 0)
        search->is_contradicted = TRUE;
    g_free(*place);
    *place = g_ascii_strdown(digest, -1);
}

static void
take_named(Search *search, const char *digest, const char *name)
{
    const char *slash = strrchr(name, '/');

    if (g_str_has_prefix(name, "./"))
        name += 2;
    if (g_str_equal(name, search->name))
        take(search, digest, TRUE);
    else if (slash && g_str_equal(slash + 1, search->name))
        take(search, digest, FALSE);
}

/* "SHA256 (name) = digest" */
static gboolean
read_bsd(Search *search, const char *line)
{
    const char *open = strstr(line, " ("), *close = g_strrstr(line, ") = ");

    if (open == NULL || close == NULL || close < open || strcspn(line, " ") != (gsize)(open - line))
        return FALSE;
    g_autofree char *name = g_strndup(open + 2, (gsize)(close - open - 2));
    /* SHA512/256 and the like are as long as others, and others. */
    if (g_str_has_prefix(line, "SHA256 (") || g_str_has_prefix(line, "SHA512 (") ||
        g_str_has_prefix(line, "SHA1 (") || g_str_has_prefix(line, "MD5 ("))
        take_named(search, close + 4, name);
    return TRUE;
}

/* "digest  name" or "digest *name" */
static void
read_coreutils(Search *search, const char *line)
{
    gsize n = strcspn(line, " \t");
    const char *name = line + n + strspn(line + n, " \t");

    if (*name == '\0')
        return;
    g_autofree char *digest = g_strndup(line, n);
    take_named(search, digest, *name == '*' ? name + 1 : name);
}

/* Where there is no name at all: as some publish NAME.sha512. */
static void
read_alone(Search *search, const char *text)
{
    g_autofree char *digest = g_strstrip(g_strdup(text));

    if (digest[0] && strpbrk(digest, " \t\r\n") == NULL)
        take(search, digest, TRUE);
}

gboolean
ka_checksums_find(
    const char *text, const char *name, char **ret_sha256, char **ret_sha512, GError **error)
{
    Search search = {.name = name};
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] && !g_str_has_prefix(lines[i], "-----BEGIN PGP SIGNATURE-----");
         i++) {
        char *line = g_strchomp(lines[i]);

        if (g_str_has_prefix(line, "- ")) /* PGP's escape of lines that begin with a dash */
            line += 2;
        if (!read_bsd(&search, line))
            read_coreutils(&search, line);
    }
    read_alone(&search, text);
    if ((search.sha256 || search.sha512) && !search.is_contradicted) {
        *ret_sha256 = search.sha256;
        *ret_sha512 = search.sha512;
        return TRUE;
    }
    g_free(search.sha256);
    g_free(search.sha512);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID, "%s for '%s'",
                search.is_contradicted ? "two lines say different digests"
                : search.has_weaker    ? "only MD5 or SHA-1, which protect nothing, is said"
                                       : "no line says a SHA-256 or SHA-512",
                name);
    return FALSE;
}
