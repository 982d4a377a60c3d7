#include "drivers/image.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOOK_US (200 * 1000)

/* What the making of one disk goes by. */
typedef struct {
    KaHost *host;
    KaAction *action;
    const KaProgress *progress;
    const char *pool_name, *name, *pool_type, *format;
    virStoragePoolPtr pool; /* owned by ka_disk_create */
    KaMarker *marker;       /* likewise */
    gint64 size_bytes;      /* declared; -1: it isn't */
} Making;

/* --- a call that takes long, on a thread of its own, so that it can be watched and left --- */

typedef struct {
    gint references;
    GMutex lock;
    GCond done_cond;
    gboolean done;
    virStoragePoolPtr pool;  /* owned */
    virStorageVolPtr source; /* owned; NULL: not a copy */
    char *text;
    unsigned int flags;
    char *name;
    virStorageVolPtr volume; /* owned; NULL: it failed */
    GError *error;
} Job;

static void
job_unref(Job *job)
{
    if (!g_atomic_int_dec_and_test(&job->references))
        return;
    if (job->volume)
        virStorageVolFree(job->volume);
    if (job->source)
        virStorageVolFree(job->source);
    virStoragePoolFree(job->pool);
    g_clear_error(&job->error);
    g_free(job->text);
    g_free(job->name);
    g_cond_clear(&job->done_cond);
    g_mutex_clear(&job->lock);
    g_free(job);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_unref)

static gpointer
job_run(gpointer data)
{
    g_autoptr(Job) job = data;
    g_autoptr(GError) error = NULL;
    virStorageVolPtr volume =
        job->source ? virStorageVolCreateXMLFrom(job->pool, job->text, job->source, job->flags)
                    : virStorageVolCreateXML(job->pool, job->text, job->flags);

    if (volume == NULL)
        ka_libvirt_error(&error, "can't make volume '%s'", job->name);
    g_mutex_lock(&job->lock);
    job->volume = volume;
    job->error = g_steal_pointer(&error);
    job->done = TRUE;
    g_cond_signal(&job->done_cond);
    g_mutex_unlock(&job->lock);
    return NULL;
}

static void
tell_copy(const Making *making, guint64 total)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(making->pool, making->name);
    virStorageVolInfo info;

    if (volume && virStorageVolGetInfo(volume, &info) == 0)
        ka_progress_step(making->progress, making->action, "copies", MIN(info.allocation, total),
                         total, "B");
}

/* total_bytes: of a copy, for the display. NULL: failed or left; what is half-made then stays
 * marked. */
static virStorageVolPtr
make_volume(const Making *making,
            const char *text,
            virStorageVolPtr source,
            guint64 total_bytes,
            unsigned int flags,
            GError **error)
{
    g_autoptr(Job) job = g_new0(Job, 1);
    gboolean cancelled = FALSE;

    job->references = 2;
    g_mutex_init(&job->lock);
    g_cond_init(&job->done_cond);
    virStoragePoolRef(making->pool);
    job->pool = making->pool;
    if (source && virStorageVolRef(source) == 0)
        job->source = source;
    job->text = g_strdup(text);
    job->name = g_strdup(making->name);
    job->flags = flags;
    g_thread_unref(g_thread_new("make-volume", job_run, job));
    g_mutex_lock(&job->lock);
    while (!job->done && !cancelled) {
        gint64 until = g_get_monotonic_time() + LOOK_US;

        if (g_cond_wait_until(&job->done_cond, &job->lock, until))
            continue;
        g_mutex_unlock(&job->lock);
        if (source)
            tell_copy(making, total_bytes);
        cancelled = g_cancellable_is_cancelled(making->progress->cancel);
        g_mutex_lock(&job->lock);
    }
    virStorageVolPtr volume = g_steal_pointer(&job->volume);
    if (job->error)
        g_propagate_error(error, g_steal_pointer(&job->error));
    else if (volume == NULL)
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED,
                    "making disk '%s' was interrupted", making->action->name);
    g_mutex_unlock(&job->lock);
    return volume;
}

/* --- the volume's XML --- */

static void
put_element(xmlNode *parent, const char *name, const char *text)
{
    ka_xml_drop(parent, name);
    xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text);
}

static void
put_size(xmlNode *root, const char *name, guint64 bytes)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, bytes);

    put_element(root, name, text);
}

static gboolean
wants_full(const Making *making)
{
    const char *allocation = ka_node_text(making->action->object->node, "allocation");

    return allocation ? g_str_equal(allocation, "full") : !ka_pool_keeps_files(making->pool_type);
}

/* Without a word libvirt makes qcow2 in its old version; and of raw room for an image's bytes it
 * wants to hear nothing that the image says itself. */
static gboolean
settle_format(const Making *making, KaDocument *document, const char *format, GError **error)
{
    xmlNode *target = ka_element_child(xmlDocGetRootElement(document->xml), "target");
    g_autofree char *compat = ka_document_get(document, "compat");

    if (!g_str_equal(format, making->format)) {
        ka_xml_drop(target, "compat");
        ka_xml_drop(target, "clusterSize");
        ka_xml_drop(target, "features");
    } else if (g_str_equal(format, "qcow2") && compat == NULL &&
               !ka_document_set(document, "compat", "1.1", error)) {
        return FALSE;
    }
    if (g_str_equal(format, "raw") && g_str_equal(making->pool_type, "disk"))
        format = "none"; /* a partition's type */
    return ka_document_set(document, "format", format, error);
}

/* format: as it is to be made; capacity -1: the backing's. */
static KaDocument *
build(const Making *making, const char *format, gint64 capacity, GError **error)
{
    const KaKind *kind = ka_kind_find("disk");
    KaDocument *document = ka_document_build(kind->table, ka_kind_rows(kind), making->name,
                                             making->action->object->node, error);
    xmlNode *root = document ? xmlDocGetRootElement(document->xml) : NULL;

    if (document == NULL)
        return NULL;
    xmlUnsetProp(root, (const xmlChar *)"ka-allocation");
    ka_xml_drop(root, "capacity");
    if (capacity >= 0)
        put_size(root, "capacity", (guint64)capacity);
    if (!wants_full(making))
        put_size(root, "allocation", 0);
    if (!settle_format(making, document, format, error))
        g_clear_pointer(&document, ka_document_free);
    return document;
}

static unsigned int
creation_flags(const Making *making)
{
    return wants_full(making) && g_str_equal(making->format, "qcow2")
               ? VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA
               : 0;
}

/* --- disks that others are made from --- */

static const KaObject *
needed_disk(const Making *making, const char *name)
{
    const GPtrArray *needs = making->action->object->needs;

    for (guint i = 0; i < needs->len; i++) {
        const KaObject *object = g_ptr_array_index(needs, i);
        if (object->kind == making->action->kind && g_str_equal(object->name, name))
            return object;
    }
    return NULL;
}

/* A guest can write another format's header into its raw disk, and libvirt would believe it: what
 * is opened to be copied or backed must be what its manifest says. */
static gboolean
check_source(const Making *making,
             const KaObject *disk,
             const KaDocument *document,
             const char *path,
             GError **error)
{
    const char *type = ka_link_pool_type(making->host, ka_disk_pool(disk));
    const char *said = ka_disk_format(disk, type);
    g_autofree char *format = ka_document_get(document, "format");
    g_autofree char *backing = ka_document_get(document, "backing-path");
    g_autoptr(GPtrArray) users = NULL;

    if (g_strcmp0(format, said) != 0)
        return ka_invalid(
            error,
            "disk '%s' is %s by its manifest, but its volume looks like %s: it is not opened",
            disk->name, said, format ? format : "nothing known");
    if (backing && !ka_node_text(disk->node, "backing") &&
        !ka_node_text(disk->node, "backing-path"))
        return ka_invalid(
            error,
            "disk '%s' has no backing by its manifest, but its volume names '%s': it is not "
            "opened",
            disk->name, backing);
    users = ka_users_of(making->host, path, error);
    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);
        if (user->running && user->device) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE,
                        "disk '%s' can't be made from '%s' while %s runs on that",
                        making->action->name, disk->name, user->by);
            return FALSE;
        }
    }
    return users != NULL;
}

/* The volume of the disk that this one is made from, checked. NULL with an error. */
static virStorageVolPtr
open_source(const Making *making, const KaObject *disk, KaDocument **ret_document, GError **error)
{
    const char *pool_name = ka_disk_pool(disk), *name = ka_disk_volume(disk);
    g_autoptr(virStoragePool) pool =
        virStoragePoolLookupByName(ka_link(making->host)->conn, pool_name);
    g_autoptr(virStorageVol) volume = pool ? virStorageVolLookupByName(pool, name) : NULL;
    g_autoptr(KaDocument) document = NULL;
    g_autoptr(KaVolume) known = ka_link_volume(making->host, pool_name, name);

    if (volume == NULL || known == NULL) {
        ka_libvirt_error(error, "can't find volume '%s' in pool '%s'", name, pool_name);
        return NULL;
    }
    document = ka_disk_read(volume, ka_link_pool_type(making->host, pool_name), error);
    if (document == NULL || !check_source(making, disk, document, known->path, error))
        return NULL;
    *ret_document = g_steal_pointer(&document);
    return g_steal_pointer(&volume);
}

static guint64
capacity_of(const KaDocument *document)
{
    g_autofree char *size = ka_document_get(document, "size");

    return size ? g_ascii_strtoull(size, NULL, 10) : 0;
}

static void
put_backing(xmlNode *backing, const char *path, const char *format)
{
    xmlNode *element = NULL;

    put_element(backing, "path", path);
    element = xmlNewChild(backing, NULL, (const xmlChar *)"format", NULL);
    xmlSetProp(element, (const xmlChar *)"type", (const xmlChar *)format);
}

/* Puts the backing disk's path and format where its name stands. */
static gboolean
resolve_backing(const Making *making, KaDocument *document, GError **error)
{
    const char *name = ka_node_text(making->action->object->node, "backing");
    const KaObject *disk = name ? needed_disk(making, name) : NULL;
    xmlNode *backing = ka_element_child(xmlDocGetRootElement(document->xml), "backingStore");
    g_autoptr(KaDocument) source = NULL;
    g_autoptr(virStorageVol) volume = NULL;
    g_autoptr(KaVolume) known = NULL;

    if (disk == NULL)
        return TRUE;
    volume = open_source(making, disk, &source, error);
    if (volume == NULL)
        return FALSE;
    known = ka_link_volume(making->host, ka_disk_pool(disk), ka_disk_volume(disk));
    g_autofree char *format = ka_document_get(source, "format");
    xmlUnsetProp(backing, (const xmlChar *)"ka-disk");
    put_backing(backing, known->path, format);
    return TRUE;
}

/* --- the ways to make a disk; each returns the volume, whole but for its size --- */

static virStorageVolPtr
make_plain(const Making *making, GError **error)
{
    g_autoptr(KaDocument) document = build(making, making->format, making->size_bytes, error);
    g_autofree char *text = NULL;

    if (document == NULL || !resolve_backing(making, document, error))
        return NULL;
    text = ka_document_format(document);
    return make_volume(making, text, NULL, 0, creation_flags(making), error);
}

static virStorageVolPtr
make_copy(const Making *making, GError **error)
{
    const KaObject *disk = needed_disk(making, ka_node_text(making->action->object->node, "from"));
    g_autoptr(KaDocument) source = NULL;
    g_autoptr(virStorageVol) volume = open_source(making, disk, &source, error);
    g_autoptr(KaDocument) document =
        volume ? build(making, making->format, (gint64)capacity_of(source), error) : NULL;
    g_autofree char *text = document ? ka_document_format(document) : NULL;
    virStorageVolInfo info = {.allocation = 0};

    if (text == NULL)
        return NULL;
    virStorageVolGetInfo(volume, &info);
    return make_volume(making, text, volume, info.allocation, creation_flags(making), error);
}

/* A thin clone of its image, or a copy of it. */
static virStorageVolPtr
make_of_image(const Making *making, GError **error)
{
    gboolean linked = ka_disk_is_linked(making->action->object, making->pool_type);
    g_autoptr(KaBase) base =
        ka_base_open(making->host, making->action, making->pool_name,
                     ka_disk_image(making->action->object), making->progress, error);
    g_autoptr(KaDocument) document = NULL;
    g_autofree char *text = NULL;

    if (base && making->size_bytes > 0 && (guint64)making->size_bytes < base->capacity_bytes)
        ka_invalid(error, "disk '%s' is smaller than its image, which has %" G_GUINT64_FORMAT " bytes",
                making->action->name, base->capacity_bytes);
    else if (base)
        document = build(making, making->format,
                         linked && making->size_bytes > 0 ? making->size_bytes
                                                          : (gint64)base->capacity_bytes,
                         error);
    if (document == NULL)
        return NULL;
    if (linked) {
        xmlNode *root = xmlDocGetRootElement(document->xml);
        put_backing(xmlNewChild(root, NULL, (const xmlChar *)"backingStore", NULL), base->path,
                    base->format);
    }
    text = ka_document_format(document);
    return make_volume(making, text, linked ? NULL : base->volume, base->capacity_bytes,
                       linked ? 0 : creation_flags(making), error);
}

static virStorageVolPtr
make_uploaded(const Making *making, GError **error)
{
    gboolean raw = g_str_equal(making->format, "raw");
    gint64 capacity = 0;
    guint64 size_bytes = 0;
    int fd = ka_disk_open_content(making->action->object, &size_bytes, error);
    g_autoptr(KaDocument) document = NULL;
    g_autoptr(virStorageVol) volume = NULL;
    gboolean done = FALSE;

    if (fd < 0)
        return NULL;
    capacity = lseek(fd, 0, SEEK_END);
    /* The bytes of an image file are uploaded as they are: the volume begins as raw room for them.
     */
    document = build(making, "raw", raw ? MAX(capacity, making->size_bytes) : capacity, error);
    if (document) {
        g_autofree char *text = ka_document_format(document);
        volume = make_volume(making, text, NULL, 0, 0, error);
    }
    done = volume &&
           ka_upload(volume, fd, making->action, making->marker, making->progress, error) &&
           (raw || ka_disk_wait_for_format(making->pool, making->pool_type, volume, making->format,
                                           making->action, making->progress, error));
    close(fd);
    return done ? g_steal_pointer(&volume) : NULL;
}

/* --- all together --- */

/* libvirt ends a copy that it has begun, whoever asked for it: only then it lets go of the volume.
 */
static gboolean
delete_stale(const KaAction *action,
             virStorageVolPtr old,
             const KaProgress *progress,
             GError **error)
{
    gint64 begun = g_get_monotonic_time();

    while (virStorageVolDelete(old, 0) < 0) {
        const char *why = virGetLastErrorMessage();

        if (g_cancellable_is_cancelled(progress->cancel) ||
            (!strstr(why, "being allocated") && !strstr(why, "asynchronous jobs running")))
            return ka_libvirt_error(error, "half-made disk '%s' can't be removed", action->name);
        ka_progress_step(progress, action, "waits for libvirt to end what a cut run began",
                         (guint64)((g_get_monotonic_time() - begun) / G_TIME_SPAN_SECOND), 0, "s");
        g_usleep(LOOK_US);
    }
    return TRUE;
}

gboolean
ka_disk_clear_half(KaHost *host,
                   const KaAction *action,
                   virStoragePoolPtr pool,
                   const char *name,
                   const KaMarker *marker,
                   const KaProgress *progress,
                   GError **error)
{
    g_autoptr(virStorageVol) old = virStorageVolLookupByName(pool, name);
    g_autofree char *what = g_strdup_printf("half-made disk '%s' can't be removed", action->name);

    if (old == NULL)
        return ka_libvirt_code() == VIR_ERR_NO_STORAGE_VOL || ka_libvirt_error(error, "%s", what);
    if (!ka_marker_is_stale(marker)) {
        g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                    "disk '%s' was made by somebody else since the plan: plan again", action->name);
        return FALSE;
    }
    char *path = virStorageVolGetPath(old);
    gboolean unused = path && ka_users_none(host, what, path, NULL, error);
    free(path);
    return unused && delete_stale(action, old, progress, error);
}

static gboolean
reach_size(const Making *making, virStorageVolPtr volume, GError **error)
{
    virStorageVolInfo info;

    if (making->size_bytes <= 0)
        return TRUE;
    if (virStorageVolGetInfo(volume, &info) < 0 ||
        (info.capacity < (guint64)making->size_bytes &&
         virStorageVolResize(volume, (guint64)making->size_bytes, 0) < 0))
        return ka_libvirt_error(error, "can't grow disk '%s'", making->action->name);
    return TRUE;
}

static virStorageVolPtr
make_any(const Making *making, GError **error)
{
    const KaNode *node = making->action->object->node;

    if (ka_node_text(node, "content"))
        return make_uploaded(making, error);
    if (ka_node_text(node, "image"))
        return make_of_image(making, error);
    if (ka_node_text(node, "from"))
        return make_copy(making, error);
    return make_plain(making, error);
}

gboolean
ka_disk_discard(virStoragePoolPtr pool, const char *name, KaMarker *marker)
{
    g_autoptr(virStorageVol) volume = NULL;

    if (ka_marker_is_lost(marker))
        return FALSE;
    volume = virStorageVolLookupByName(pool, name);
    return volume ? virStorageVolDelete(volume, 0) == 0
                  : ka_libvirt_code() == VIR_ERR_NO_STORAGE_VOL;
}

/* To sign a mark costs libvirt a look at the whole pool: not for what is made at once. */
static gboolean
takes_long(const Making *making)
{
    const KaNode *node = making->action->object->node;

    return ka_node_text(node, "content") || ka_node_text(node, "from") || wants_full(making);
}

static gboolean
make_disk(Making *making, GError **error)
{
    g_autoptr(virStorageVol) volume = NULL;
    gboolean done = FALSE, cleared = FALSE;

    making->marker = ka_marker_take(making->pool, making->pool_type, making->action, making->name,
                                    takes_long(making), making->progress, error);
    if (making->marker == NULL)
        return FALSE;
    cleared = ka_disk_clear_half(making->host, making->action, making->pool, making->name,
                                 making->marker, making->progress, error);
    volume = cleared ? make_any(making, error) : NULL;
    done = volume && reach_size(making, volume, error);
    if (done) {
        char *path = virStorageVolGetPath(volume);
        ka_volume_note(making->host, making->pool_name, making->name, path ? path : "");
        free(path);
    }
    ka_marker_end(making->marker,
                  done || (cleared ? ka_disk_discard(making->pool, making->name, making->marker)
                                   : !ka_marker_is_stale(making->marker)));
    return done;
}

gboolean
ka_disk_create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const char *size = ka_node_text(action->object->node, "size");
    const char *pool_name = ka_disk_pool(action->object);
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ka_link(host)->conn, pool_name);
    Making making = {
        .host = host,
        .action = action,
        .progress = progress,
        .pool = pool,
        .pool_name = pool_name,
        .name = ka_disk_volume(action->object),
        .pool_type = ka_link_pool_type(host, pool_name),
        .size_bytes = size ? g_ascii_strtoll(size, NULL, 10) : -1,
    };

    if (pool == NULL)
        return ka_libvirt_error(error, "can't find pool '%s'", pool_name);
    if (making.pool_type == NULL)
        return ka_invalid(error, "pool '%s' is inactive: start it first", pool_name);
    making.format = ka_disk_format(action->object, making.pool_type);
    return make_disk(&making, error);
}
