#include "drivers/host_files.h"

#include <string.h>

/* Patterns on standard input; for each file: its path, a NUL, its length, a NUL, its text. */
#define READ_SCRIPT                                                                                \
    "export LC_ALL=C; xargs -0 sh -c \"IFS=; for g; do for f in \\$g; do "                         \
    "[ -f \\\"\\$f\\\" ] || continue; "                                                            \
    "v=\\$(cat \\\"\\$f\\\" 2>/dev/null && echo x) || continue; v=\\${v%x}; "                      \
    "printf \\\"%s\\0%d\\0%s\\\" \\\"\\$f\\\" \\${#v} \\\"\\$v\\\"; done; done\" sh"

/* Way, path and text on standard input; for each: the length of what went wrong, a NUL, and that.
 */
#define WRITE_SCRIPT                                                                               \
    "export LC_ALL=C; xargs -0 -r -n 3 sh -c \"e=; case \\$1 in "                                  \
    "v) IFS=; for f in \\$2; do m=\\$(printf %s \\\"\\$3\\\" | tee \\\"\\$f\\\" 2>&1 >/dev/null) " \
    "|| e=\\${m:-failed}; done;; "                                                                 \
    "f) n=\\$2.kvmapply-new; m=\\$({ mkdir -p \\\"\\${2%/*}\\\" && printf %s \\\"\\$3\\\" "        \
    ">\\\"\\$n\\\" && chmod 644 \\\"\\$n\\\" && sync \\\"\\$n\\\" && "                             \
    "mv -f \\\"\\$n\\\" \\\"\\$2\\\"; } 2>&1) || e=\\${m:-failed};; "                              \
    "r) m=\\$(rm -f \\\"\\$2\\\" 2>&1) || e=\\${m:-failed};; esac; "                               \
    "printf \\\"%d\\0%s\\\" \\${#e} \\\"\\$e\\\"\" sh"

void
ka_host_file_free(KaHostFile *file)
{
    g_free(file->path);
    g_free(file->text);
    g_free(file);
}

void
ka_host_write_free(KaHostWrite *write)
{
    g_free(write->path);
    g_free(write->text);
    g_free(write->failure);
    g_free(write);
}

KaHostWrite *
ka_host_write_new(KaWriteWay way, const char *path, const char *text)
{
    KaHostWrite *write = g_new0(KaHostWrite, 1);

    write->way = way;
    write->path = g_strdup(path);
    write->text = g_strdup(text);
    return write;
}

/* What is left of an answer. */
typedef struct {
    const char *at, *end;
} Answer;

/* Text up to a NUL byte; NULL: there is none. */
static const char *
take_text(Answer *answer)
{
    const char *text = answer->at;
    const char *nul = memchr(text, '\0', (gsize)(answer->end - text));

    if (!nul)
        return NULL;
    answer->at = nul + 1;
    return text;
}

/* A length, a NUL, and so many bytes; NULL: they aren't all there. Caller frees. */
static char *
take_counted(Answer *answer)
{
    const char *text = take_text(answer);
    guint64 length = 0;

    if (!text || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32, &length, NULL) ||
        length > (gsize)(answer->end - answer->at))
        return NULL;
    text = answer->at;
    answer->at += length;
    return g_strndup(text, length);
}

static void
set_garbled(const KaHost *host, GError **error)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID,
                "host '%s' answered something else than was asked: does its login shell print "
                "something when it starts?",
                host->name);
}

GPtrArray *
ka_host_read(const KaHost *host, const GPtrArray *patterns, GError **error)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)ka_host_file_free);

    for (guint i = 0; i < patterns->len; i++)
        ka_channel_put(input, g_ptr_array_index(patterns, i));
    g_autoptr(GByteArray) output = ka_channel_run(host, 0, READ_SCRIPT, input, 0, NULL, error);
    if (!output)
        return NULL;
    Answer answer = {(const char *)output->data, (const char *)output->data + output->len};
    while (answer.at < answer.end) {
        const char *path = take_text(&answer);
        char *text = path ? take_counted(&answer) : NULL;
        if (!text) {
            set_garbled(host, error);
            return NULL;
        }
        KaHostFile *file = g_new0(KaHostFile, 1);
        *file = (KaHostFile){g_strdup(path), text};
        g_ptr_array_add(files, file);
    }
    return g_steal_pointer(&files);
}

gboolean
ka_host_write(const KaHost *host, GPtrArray *writes, GCancellable *cancel, GError **error)
{
    g_autoptr(GByteArray) input = g_byte_array_new();

    for (guint i = 0; i < writes->len; i++) {
        const KaHostWrite *write = g_ptr_array_index(writes, i);
        const char way[] = {(char)write->way, '\0'};
        ka_channel_put(input, way);
        ka_channel_put(input, write->path);
        ka_channel_put(input, write->text ? write->text : "");
    }
    g_autoptr(GByteArray) output = ka_channel_run(host, 0, WRITE_SCRIPT, input, 0, cancel, error);
    if (!output)
        return FALSE;
    Answer answer = {(const char *)output->data, (const char *)output->data + output->len};
    for (guint i = 0; i < writes->len; i++) {
        KaHostWrite *write = g_ptr_array_index(writes, i);
        g_autofree char *failure = take_counted(&answer);
        if (!failure) {
            set_garbled(host, error);
            return FALSE;
        }
        write->failure = *failure ? g_strdup(g_strstrip(failure)) : NULL;
    }
    return TRUE;
}
