#include "drivers/guest.h"
#include "drivers/image_part.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CONNECT_SECONDS 20

/* A volume as a source, and a guest's disk, which is one. */

/* A connection of its own where the source is on another host than the one at work. */
typedef struct {
    KaHost *host;
    gboolean own;
} Place;

static void
place_clear(Place *place)
{
    if (!place->own)
        return;
    ka_link_disconnect(place->host);
    g_free(place->host->real_uri);
    g_clear_error(&place->host->error);
    g_ptr_array_unref(place->host->warnings);
    g_free(place->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static const KaObject *
host_object(const KaObject *image)
{
    const char *name = ka_source_said(image, "host");
    const KaObject *only = image->hosts->len == 1 ? g_ptr_array_index(image->hosts, 0) : NULL;

    for (guint i = 0; name && i < image->hosts->len; i++) {
        const KaObject *host = g_ptr_array_index(image->hosts, i);
        if (g_str_equal(host->name, name))
            return host;
    }
    return only;
}

static gboolean
connect_to(KaHost *host, const KaObject *image, Place *ret_place, GError **error)
{
    const KaObject *object = host_object(image);

    if (object == NULL)
        return ka_invalid(error, "image '%s': on which host is its source? Say source.host",
                       image->name);
    if (host && host->object == object) {
        ret_place->host = host;
        return TRUE;
    }
    ret_place->own = TRUE;
    ret_place->host = g_new0(KaHost, 1);
    ret_place->host->object = object;
    ret_place->host->name = object->name;
    ret_place->host->uri = ka_node_text(object->node, "uri");
    ret_place->host->warnings = g_ptr_array_new_with_free_func(g_free);
    ka_link_connect(ret_place->host, CONNECT_SECONDS);
    if (ret_place->host->error)
        g_propagate_error(error, g_error_copy(ret_place->host->error));
    return ret_place->host->error == NULL;
}

/* The path of the guest's disk, by what is defined. */
static char *
disk_path(virDomainPtr domain, const KaObject *image, GError **error)
{
    char *text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;
    g_autoptr(GPtrArray) disks =
        document ? ka_place_select(xmlDocGetRootElement(document), "domain/devices/disk") : NULL;
    const char *wanted = ka_source_said(image, "disk");
    g_autofree char *path = NULL;
    guint n = 0;

    free(text);
    for (guint i = 0; disks && i < disks->len; i++) {
        const xmlNode *disk = g_ptr_array_index(disks, i);
        const char *device = ka_attribute(disk, "device");
        const xmlNode *source = ka_element_child(disk, "source");
        const char *at = ka_attribute(source, "file") ? ka_attribute(source, "file")
                                                      : ka_attribute(source, "dev");
        const char *target = ka_attribute(ka_element_child(disk, "target"), "dev");

        if ((device && !g_str_equal(device, "disk")) || (wanted && g_strcmp0(wanted, target) != 0))
            continue;
        n++;
        g_free(path);
        path = g_strdup(at);
    }
    if (n == 1 && path)
        return g_steal_pointer(&path);
    ka_invalid(error, "guest '%s' has %s: say which with source.disk", virDomainGetName(domain),
            n > 1 ? "several disks" : "no such disk in a file or device");
    return NULL;
}

static virDomainPtr
find_guest(const Place *place, const KaObject *image, GError **error)
{
    virDomainPtr domain =
        virDomainLookupByName(ka_link(place->host)->conn, ka_source_said(image, "guest"));

    if (domain == NULL)
        ka_libvirt_error(error, "can't find guest '%s' on host '%s'", ka_source_said(image, "guest"),
                         place->host->name);
    return domain;
}

static virStorageVolPtr
find_volume(const Place *place, const KaObject *image, GError **error)
{
    virConnectPtr conn = ka_link(place->host)->conn;
    const char *pool_name = ka_source_said(image, "pool") ? ka_source_said(image, "pool") : "default";
    virStorageVolPtr volume = NULL;

    if (ka_source_said(image, "guest")) {
        g_autoptr(virDomain) domain = find_guest(place, image, error);
        g_autofree char *path = domain ? disk_path(domain, image, error) : NULL;

        if (path == NULL)
            return NULL;
        volume = virStorageVolLookupByPath(conn, path);
        if (volume == NULL)
            ka_libvirt_error(error, "'%s' lies in no active pool of host '%s'", path,
                             place->host->name);
        return volume;
    }
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(conn, pool_name);
    volume = pool ? virStorageVolLookupByName(pool, ka_source_said(image, "volume")) : NULL;
    if (volume == NULL)
        ka_libvirt_error(error, "can't find volume '%s' in pool '%s' of host '%s'",
                         ka_source_said(image, "volume"), pool_name, place->host->name);
    return volume;
}

/* By where it lies and when it was last written: to tell it from itself, later. */
static char *
volume_identity_of(virStorageVolPtr volume, const Place *place, GError **error)
{
    char *text = virStorageVolGetXMLDesc(volume, 0);
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    const xmlNode *times = ka_element_child(ka_element_child(root, "target"), "timestamps");
    g_autofree char *key = ka_xml_text(ka_element_child(root, "key"));
    g_autofree char *capacity = ka_xml_text(ka_element_child(root, "capacity"));
    g_autofree char *allocation = ka_xml_text(ka_element_child(root, "allocation"));
    g_autofree char *written = ka_xml_text(ka_element_child(times, "mtime"));
    g_autofree char *all = g_strjoin("\n", place->host->name, key ? key : "",
                                     capacity ? capacity : "", allocation ? allocation : "",
                                     written ? written : "", NULL);

    free(text);
    if (document == NULL) {
        ka_libvirt_error(error, "can't read volume '%s'", virStorageVolGetName(volume));
        return NULL;
    }
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, all, -1);
    return g_strconcat("volume:", sum, NULL);
}

static char *
volume_identity(KaHost *host, const KaObject *image, GError **error)
{
    g_auto(Place) place = {0};
    g_autoptr(virStorageVol) volume = NULL;

    if (!connect_to(host, image, &place, error))
        return NULL;
    volume = find_volume(&place, image, error);
    return volume ? volume_identity_of(volume, &place, error) : NULL;
}

/* Whoever writes to it while it is copied. NULL: nobody. Caller frees. */
static char *
running_user(const Place *place, virStorageVolPtr volume, GError **error)
{
    char *path = virStorageVolGetPath(volume);
    g_autoptr(GPtrArray) users = path ? ka_users_of(place->host, path, error) : NULL;

    free(path);
    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);
        if (user->running && user->guest)
            return g_strdup(user->guest);
    }
    return NULL;
}

static gboolean
volume_assess(KaHost *host, KaAction *action, GError **error)
{
    g_auto(Place) place = {0};
    g_autoptr(virStorageVol) volume = NULL;
    g_autofree char *user = NULL;
    const char *guest = ka_source_said(action->object, "guest");

    if (!connect_to(host, action->object, &place, error))
        return FALSE;
    volume = find_volume(&place, action->object, error);
    user = volume ? running_user(&place, volume, error) : NULL;
    if (volume == NULL)
        return FALSE;
    if (user && g_strcmp0(user, guest) == 0) {
        action->words |= KA_WORD_RESTART;
        g_ptr_array_add(action->remarks,
                        g_strdup_printf("guest '%s' is stopped while it is captured", guest));
    } else if (user) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "its source, volume '%s', is written by guest '%s', which runs: stop it first",
                    virStorageVolGetName(volume), user);
        return FALSE;
    }
    return TRUE;
}

typedef struct {
    int fd;
    guint64 total, done;
    KaAction *action;
    const KaProgress *progress;
} Download;

static int
take_data(virStreamPtr stream, const char *data, size_t length, void *opaque)
{
    Download *download = opaque;
    gssize n = g_cancellable_is_cancelled(download->progress->cancel)
                   ? -1
                   : write(download->fd, data, length);

    (void)stream;
    if (n > 0)
        download->done += (guint64)n;
    ka_progress_step(download->progress, download->action, "downloads the volume", download->done,
                     download->total, "B");
    return (int)n;
}

static int
take_hole(virStreamPtr stream, long long length, void *opaque)
{
    Download *download = opaque;

    (void)stream;
    download->done += (guint64)length;
    return lseek(download->fd, length, SEEK_CUR) < 0 ? -1 : 0;
}

static gboolean
download_to(virStorageVolPtr volume,
            int fd,
            KaAction *action,
            const KaProgress *progress,
            GError **error)
{
    const char *name = virStorageVolGetName(volume);
    g_autoptr(virStream) stream = virStreamNew(virStorageVolGetConnect(volume), 0);
    virStorageVolInfo info = {.capacity = 0};
    off_t end = 0;

    virStorageVolGetInfoFlags(volume, &info, VIR_STORAGE_VOL_GET_PHYSICAL);
    Download download = {fd, info.allocation, 0, action, progress};
    if (stream == NULL || virStorageVolDownload(volume, stream, 0, 0,
                                                VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM) < 0)
        return ka_libvirt_error(error, "can't download volume '%s'", name);
    if (virStreamSparseRecvAll(stream, take_data, take_hole, &download) < 0) {
        gboolean cancelled = g_cancellable_is_cancelled(progress->cancel);

        ka_libvirt_error(cancelled ? NULL : error, "download of volume '%s' failed", name);
        if (cancelled)
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED,
                        "download of volume '%s' was interrupted", name);
        virStreamAbort(stream);
        return FALSE;
    }
    if (virStreamFinish(stream) < 0)
        return ka_libvirt_error(error, "download of volume '%s' failed", name);
    end = lseek(fd, 0, SEEK_CUR); /* a hole at the end was only stepped over */
    return (end >= 0 && ftruncate(fd, end) == 0) ||
           ka_invalid(error, "can't write the volume: %s", g_strerror(errno));
}

/* Off while its disk is copied: the user's word was asked for by the plan. */
static gboolean
stop_guest(const Place *place,
           const KaObject *image,
           KaAction *action,
           const KaProgress *progress,
           gboolean *ret_stopped,
           GError **error)
{
    g_autoptr(virDomain) domain = NULL;

    if (ka_source_said(image, "guest") == NULL)
        return TRUE;
    domain = find_guest(place, image, error);
    if (domain == NULL)
        return FALSE;
    if (virDomainIsActive(domain) != 1)
        return TRUE;
    if (!(action->allowed & KA_WORD_RESTART)) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                    "guest '%s' runs: stop it first, or give the word restart (it is stopped, "
                    "copied and started again)",
                    ka_source_said(image, "guest"));
        return FALSE;
    }
    *ret_stopped = ka_guest_set_state(domain, "off", action, progress, error);
    return *ret_stopped;
}

static gboolean
start_guest(const Place *place, const KaObject *image, GError **error)
{
    g_autoptr(virDomain) domain = find_guest(place, image, error);

    if (domain && virDomainCreate(domain) < 0)
        return ka_libvirt_error(error, "guest '%s' was stopped, and can't be started again",
                                ka_source_said(image, "guest"));
    return domain != NULL;
}

static gboolean
copy_volume(const Place *place,
            const KaObject *image,
            KaAction *action,
            const KaProgress *progress,
            KaImageSource *source,
            GError **error)
{
    g_autoptr(virStorageVol) volume = find_volume(place, image, error);
    g_autofree char *user = volume ? running_user(place, volume, error) : NULL;
    g_autoptr(KaDocument) document = NULL;
    gboolean done = FALSE;
    int fd = -1;

    if (volume == NULL)
        return FALSE;
    if (user) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE, "guest '%s' runs on volume '%s'",
                    user, virStorageVolGetName(volume));
        return FALSE;
    }
    source->identity = volume_identity_of(volume, place, error);
    document = source->identity ? ka_disk_read(volume, "dir", error) : NULL;
    if (document == NULL)
        return FALSE;
    source->format = ka_document_get(document, "format");
    fd = ka_image_source_create(source, error);
    if (fd < 0)
        return FALSE;
    done = download_to(volume, fd, action, progress, error);
    close(fd);
    return done;
}

static gboolean
volume_open(KaHost *host,
            const KaObject *image,
            KaAction *action,
            const KaProgress *progress,
            KaImageSource *source,
            GError **error)
{
    g_auto(Place) place = {0};
    gboolean stopped = FALSE, done = FALSE;

    if (!connect_to(host, image, &place, error))
        return FALSE;
    source->place = g_strdup_printf("%s %s on host %s",
                                    ka_source_said(image, "guest") ? "a disk of guest" : "volume",
                                    ka_source_said(image, "guest") ? ka_source_said(image, "guest")
                                                         : ka_source_said(image, "volume"),
                                    place.host->name);
    done = stop_guest(&place, image, action, progress, &stopped, error) &&
           copy_volume(&place, image, action, progress, source, error);
    if (stopped && !start_guest(&place, image, done ? error : NULL))
        done = FALSE;
    return done;
}

const KaSourceSort ka_source_volume = {"volume", volume_identity, volume_assess, volume_open};
const KaSourceSort ka_source_guest = {"guest", volume_identity, volume_assess, volume_open};
