#include "drivers/half.h"

#define SUFFIX ".kvmapply-partial"
#define PREFIX "kvmapply-partial:"
/* Of a marker's first bytes: less than any marker's capacity. */
#define TEXT_BYTES 1024

struct KaHalf {
    virStorageVolPtr volume; /* owned; NULL: it is a secret */
    virSecretPtr secret;     /* owned; NULL: it is a volume */
    char *project;           /* owned; of a secret: kept, as each beat writes it again */
};

static gboolean
is_secret(const char *pool_type)
{
    static const char *const types[] = {"logical", "disk", "zfs", NULL};

    return g_strv_contains(types, pool_type);
}

static KaHalf *
half_new(virStorageVolPtr volume, virSecretPtr secret, const char *project)
{
    KaHalf *mark = NULL;

    if (volume == NULL && secret == NULL)
        return NULL;
    mark = g_new0(KaHalf, 1);
    mark->volume = volume;
    mark->secret = secret;
    mark->project = g_strdup(project);
    return mark;
}

void
ka_half_free(KaHalf *mark)
{
    if (mark == NULL)
        return;
    if (mark->volume)
        virStorageVolFree(mark->volume);
    if (mark->secret)
        virSecretFree(mark->secret);
    g_free(mark->project);
    g_free(mark);
}

static char *
name_of(const char *volume)
{
    return g_strdup_printf(".%s" SUFFIX, volume);
}

char *
ka_half_volume(const char *name)
{
    return *name == '.' && g_str_has_suffix(name, SUFFIX)
               ? g_strndup(name + 1, strlen(name) - 1 - strlen(SUFFIX))
               : NULL;
}

/* --- a volume: its capacity is the beat, and sparse --- */

static virStorageVolPtr
make_volume(virStoragePoolPtr pool, const char *volume, guint64 beat)
{
    g_autofree char *name = name_of(volume);
    g_autofree char *text = g_markup_printf_escaped(
        "<volume><name>%s</name><capacity unit='bytes'>%" G_GUINT64_FORMAT
        "</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>",
        name, beat);

    return virStorageVolCreateXML(pool, text, 0);
}

static guint64
read_volume(virStorageVolPtr volume)
{
    virStorageVolInfo info;

    return virStorageVolGetInfo(volume, &info) < 0 ? 0 : info.capacity;
}

/* What a pool can't take up stays unsigned. */
static void
sign_volume(virStorageVolPtr volume, const char *project)
{
    g_autoptr(virStream) stream = virStreamNew(virStorageVolGetConnect(volume), 0);
    g_autofree char *text = g_strdup_printf(PREFIX "%s\n", project);
    gsize length = strlen(text), sent = 0;

    if (stream == NULL || virStorageVolUpload(volume, stream, 0, length, 0) < 0)
        return;
    while (sent < length) {
        int once = virStreamSend(stream, text + sent, length - sent);

        if (once < 0) {
            virStreamAbort(stream);
            return;
        }
        sent += (gsize)once;
    }
    virStreamFinish(stream);
}

static char *
signature_of(virStorageVolPtr volume)
{
    g_autoptr(virStream) stream = virStreamNew(virStorageVolGetConnect(volume), 0);
    char text[TEXT_BYTES + 1] = "";
    gsize length = 0;
    int once = 1;

    if (stream == NULL || virStorageVolDownload(volume, stream, 0, TEXT_BYTES, 0) < 0)
        return NULL;
    while (once > 0 && length < TEXT_BYTES) {
        once = virStreamRecv(stream, text + length, TEXT_BYTES - length);
        length += once > 0 ? (gsize)once : 0;
    }
    if (once < 0 || virStreamFinish(stream) < 0)
        virStreamAbort(stream);
    char *end = strchr(text, '\n');
    return end && g_str_has_prefix(text, PREFIX)
               ? g_strndup(text + strlen(PREFIX), (gsize)(end - text) - strlen(PREFIX))
               : NULL;
}

/* --- a secret without a value: its description holds the beat and the project --- */

static char *
usage_of(virStoragePoolPtr pool, const char *volume)
{
    return g_strdup_printf(PREFIX "%s/%s", virStoragePoolGetName(pool), volume);
}

static virSecretPtr
find_secret(virStoragePoolPtr pool, const char *volume)
{
    g_autofree char *usage = usage_of(pool, volume);

    return virSecretLookupByUsage(virStoragePoolGetConnect(pool), VIR_SECRET_USAGE_TYPE_VOLUME,
                                  usage);
}

/* uuid NULL: a new one, which libvirt refuses where the usage is taken. */
static virSecretPtr
write_secret(
    virConnectPtr conn, const char *usage, const char *uuid, const char *project, guint64 beat)
{
    g_autofree char *element = uuid ? g_strdup_printf("<uuid>%s</uuid>", uuid) : g_strdup("");
    g_autofree char *rest =
        g_markup_printf_escaped("<description>%" G_GUINT64_FORMAT
                                " %s</description><usage type='volume'><volume>%s</volume>"
                                "</usage>",
                                beat, project, usage);
    g_autofree char *text =
        g_strdup_printf("<secret ephemeral='no' private='no'>%s%s</secret>", element, rest);

    return virSecretDefineXML(conn, text, 0);
}

/* "BEAT PROJECT"; NULL: it is gone. */
static char *
read_secret(virSecretPtr secret)
{
    char *text = virSecretGetXMLDesc(secret, 0);
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;

    free(text);
    return document ? ka_xml_text(ka_element_child(xmlDocGetRootElement(document), "description"))
                    : NULL;
}

static char *
project_in(const char *description)
{
    const char *space = description ? strchr(description, ' ') : NULL;

    return space ? g_strdup(space + 1) : NULL;
}

char **
ka_halves_beside(virStoragePoolPtr pool, const char *pool_type)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_autofree char *begin = usage_of(pool, "");
    virSecretPtr *secrets = NULL;
    int n = is_secret(pool_type)
                ? virConnectListAllSecrets(virStoragePoolGetConnect(pool), &secrets, 0)
                : 0;

    for (int i = 0; i < n; i++) {
        const char *usage = virSecretGetUsageID(secrets[i]);

        if (usage && g_str_has_prefix(usage, begin))
            g_strv_builder_add(names, usage + strlen(begin));
        virSecretFree(secrets[i]);
    }
    free(secrets);
    return g_strv_builder_end(names);
}

/* --- either --- */

KaHalf *
ka_half_make(virStoragePoolPtr pool,
             const char *pool_type,
             const char *volume,
             const char *project,
             guint64 beat,
             GError **error)
{
    g_autofree char *usage = usage_of(pool, volume);
    gboolean secret = is_secret(pool_type);
    KaHalf *mark =
        secret ? half_new(NULL,
                          write_secret(virStoragePoolGetConnect(pool), usage, NULL, project, beat),
                          project)
               : half_new(make_volume(pool, volume, beat), NULL, project);

    if (mark)
        return mark;
    ka_libvirt_keep();
    if (!secret && ka_libvirt_code() == VIR_ERR_STORAGE_VOL_EXIST)
        return NULL;
    /* libvirt has no number of its own for a usage that is taken. */
    g_autoptr(KaHalf) other = secret ? ka_half_find(pool, pool_type, volume) : NULL;
    if (other == NULL)
        ka_libvirt_error_kept(error, "can't mark volume '%s' as unfinished", volume);
    return NULL;
}

KaHalf *
ka_half_find(virStoragePoolPtr pool, const char *pool_type, const char *volume)
{
    g_autofree char *name = name_of(volume);
    virSecretPtr secret = NULL;
    KaHalf *mark = NULL;

    if (!is_secret(pool_type))
        return half_new(virStorageVolLookupByName(pool, name), NULL, NULL);
    secret = find_secret(pool, volume);
    mark = half_new(NULL, secret, NULL);
    if (mark)
        mark->project = ka_half_project(mark);
    return mark;
}

guint64
ka_half_read(const KaHalf *mark)
{
    g_autofree char *description = mark->secret ? read_secret(mark->secret) : NULL;

    if (mark->volume)
        return read_volume(mark->volume);
    return description ? g_ascii_strtoull(description, NULL, 10) : 0;
}

gboolean
ka_half_write(KaHalf *mark, guint64 beat)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    g_autoptr(virSecret) written = NULL;

    if (mark->volume)
        return virStorageVolResize(mark->volume, beat, 0) == 0;
    virSecretGetUUIDString(mark->secret, uuid);
    written = write_secret(virSecretGetConnect(mark->secret), virSecretGetUsageID(mark->secret),
                           uuid, mark->project ? mark->project : "", beat);
    return written != NULL;
}

void
ka_half_sign(KaHalf *mark, const char *project)
{
    g_free(mark->project);
    mark->project = g_strdup(project);
    if (mark->volume)
        sign_volume(mark->volume, project);
    else
        ka_half_write(mark, ka_half_read(mark));
}

char *
ka_half_project(const KaHalf *mark)
{
    g_autofree char *description = mark->secret ? read_secret(mark->secret) : NULL;

    return mark->volume ? signature_of(mark->volume) : project_in(description);
}

void
ka_half_remove(KaHalf *mark)
{
    if (mark->volume)
        virStorageVolDelete(mark->volume, 0);
    else
        virSecretUndefine(mark->secret);
}
