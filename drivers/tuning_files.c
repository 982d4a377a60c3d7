#include "drivers/tuning_files.h"

#include <string.h>

#define MARK "# kvmapply: project="
#define RECORD "#: "

/* How one tool is told a setting: a line of its file. */
typedef struct {
    const char *prefix; /* of the kernel's files that it sets */
    const char *file;
    char *(*line)(const KaTuned *tuned);
} Tool;

static char *
sysctl_line(const KaTuned *tuned)
{
    return g_strdup_printf("%s = %s", tuned->path + strlen("/proc/sys/"), tuned->value);
}

/* KERNEL=="sd*", ATTR{queue/scheduler}="none" */
static char *
udev_line(const KaTuned *tuned)
{
    g_auto(GStrv) parts = g_strsplit(tuned->path + strlen("/sys/block/"), "/", 2);

    return g_strdup_printf("ACTION==\"add|change\", SUBSYSTEM==\"block\", ENV{DEVTYPE}==\"disk\", "
                           "KERNEL==\"%s\", ATTR{%s}=\"%s\"",
                           parts[0], parts[1], tuned->value);
}

/* /sys/module/MODULE/parameters/OPTION */
static char *
modprobe_line(const KaTuned *tuned)
{
    g_auto(GStrv) parts = g_strsplit(tuned->path, "/", -1);

    return g_strdup_printf("options %s %s=%s", parts[3], parts[5], tuned->value);
}

static char *
tmpfiles_line(const KaTuned *tuned)
{
    g_auto(GStrv) parts = g_strsplit(tuned->value, "%", -1);
    g_autofree char *value = g_strjoinv("%%", parts);

    return g_strdup_printf("w %s - - - - %s", tuned->path, value);
}

static const Tool tools[] = {
    {"/proc/sys/",   "/etc/sysctl.d/90-kvmapply.conf",      sysctl_line  },
    {"/sys/block/",  "/etc/udev/rules.d/90-kvmapply.rules", udev_line    },
    {"/sys/module/", "/etc/modprobe.d/kvmapply.conf",       modprobe_line},
    {"/sys/",        "/etc/tmpfiles.d/kvmapply.conf",       tmpfiles_line},
};

static const Tool *
tool_for(const char *path)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++) {
        if (g_str_has_prefix(path, tools[i].prefix))
            return &tools[i];
    }
    g_assert_not_reached();
}

void
ka_tuned_free(KaTuned *tuned)
{
    g_free(tuned->field);
    g_free(tuned->path);
    g_free(tuned->value);
    g_free(tuned->was);
    g_free(tuned->got);
    g_free(tuned->older);
    g_free(tuned);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaTuned, ka_tuned_free)

KaTunings *
ka_tunings_new(void)
{
    KaTunings *tunings = g_new0(KaTunings, 1);

    tunings->by_field =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)ka_tuned_free);
    return tunings;
}

void
ka_tunings_free(KaTunings *tunings)
{
    if (!tunings)
        return;
    g_free(tunings->project);
    g_hash_table_unref(tunings->by_field);
    g_free(tunings);
}

void
ka_tunings_patterns(GPtrArray *patterns)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++)
        g_ptr_array_add(patterns, g_strdup(tools[i].file));
}

static void
take_word(KaTuned *tuned, const char *word)
{
    const struct {
        const char *name;
        char **place;
    } words[] = {
        {"field=", &tuned->field},
        {"path=",  &tuned->path },
        {"was=",   &tuned->was  },
        {"got=",   &tuned->got  },
        {"value=", &tuned->value}
    };

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(word, words[i].name) && !*words[i].place)
            *words[i].place = g_uri_unescape_string(word + strlen(words[i].name), NULL);
    }
}

static KaTuned *
parse_record(const char *text)
{
    g_autoptr(KaTuned) tuned = g_new0(KaTuned, 1);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);

    for (char **word = words; *word; word++)
        take_word(tuned, *word);
    return tuned->field && tuned->path && tuned->value ? g_steal_pointer(&tuned) : NULL;
}

void
ka_tunings_read(KaTunings *tunings, const KaHostFile *file)
{
    g_auto(GStrv) lines = g_strsplit(file->text, "\n", -1);
    const Tool *tool = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++) {
        if (g_str_equal(file->path, tools[i].file))
            tool = &tools[i];
    }
    if (!tool || !lines[0] || !g_str_has_prefix(lines[0], MARK))
        return;
    if (!tunings->project)
        tunings->project = g_strdup(lines[0] + strlen(MARK));
    for (char **line = lines + 1; *line; line++) {
        if (!g_str_has_prefix(*line, RECORD) || !line[1])
            continue;
        g_autoptr(KaTuned) tuned = parse_record(*line + strlen(RECORD));
        if (!tuned || tool_for(tuned->path) != tool)
            continue;
        g_autofree char *expected = tool->line(tuned);
        if (!g_str_equal(expected, line[1]))
            g_clear_pointer(&tuned->value, g_free);
        g_hash_table_replace(tunings->by_field, tuned->field, tuned);
        g_steal_pointer(&tuned);
    }
}

static void
append_word(GString *text, const char *name, const char *value)
{
    g_autofree char *escaped =
        value ? g_uri_escape_string(value, G_URI_RESERVED_CHARS_ALLOWED_IN_PATH, FALSE) : NULL;

    if (escaped)
        g_string_append_printf(text, "%s%s=%s", text->len ? " " : "", name, escaped);
}

static void
append_tuned(GString *text, const Tool *tool, const KaTuned *tuned)
{
    g_autoptr(GString) record = g_string_new(NULL);
    g_autofree char *line = tool->line(tuned);

    append_word(record, "field", tuned->field);
    append_word(record, "path", tuned->path);
    append_word(record, "was", tuned->was);
    append_word(record, "got", tuned->got);
    append_word(record, "value", tuned->value);
    g_string_append_printf(text, RECORD "%s\n%s\n", record->str, line);
}

static gint
compare_fields(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

GPtrArray *
ka_tunings_write(const KaTunings *tunings)
{
    GPtrArray *writes = g_ptr_array_new_with_free_func((GDestroyNotify)ka_host_write_free);
    g_autoptr(GList) fields = g_list_sort(g_hash_table_get_keys(tunings->by_field), compare_fields);

    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (const GList *field = fields; field; field = field->next) {
            const KaTuned *tuned = g_hash_table_lookup(tunings->by_field, field->data);
            if (tuned->value && tool_for(tuned->path) == &tools[i])
                append_tuned(text, &tools[i], tuned);
        }
        if (text->len) {
            g_autofree char *head = g_strdup_printf(
                MARK "%s\n# Its own: written anew by each apply, removed with its last setting.\n",
                tunings->project);
            g_string_prepend(text, head);
        }
        g_ptr_array_add(writes, ka_host_write_new(text->len ? KA_WRITE_FILE : KA_WRITE_REMOVE,
                                                  tools[i].file, text->str));
    }
    return writes;
}
