#include "drivers/record.h"
#include "drivers/storage.h"

#define FRESH_US (2 * G_TIME_SPAN_SECOND)

/* All uses of anything, as read at one time. */
typedef struct {
    GMutex lock;
    gint64 read_at;
    GHashTable *by_path; /* owned; path → owned GPtrArray of owned KaUser; NULL: never read */
} Users;

void
ka_user_free(KaUser *user)
{
    if (user == NULL)
        return;
    g_free(user->by);
    g_free(user->guest);
    g_free(user->device);
    g_free(user->project);
    g_free(user);
}

void
ka_users_free(gpointer data)
{
    Users *users = data;

    if (users == NULL)
        return;
    if (users->by_path)
        g_hash_table_unref(users->by_path);
    g_mutex_clear(&users->lock);
    g_free(users);
}

/* One reading, by several threads. */
typedef struct {
    KaHost *host;
    gboolean local;
    GMutex lock;
    GHashTable *by_path;
} Reading;

/* One document of a guest. */
typedef struct {
    const char *name;
    char *project; /* owned; of its record; NULL: none */
    gboolean running;
    const char *snapshot; /* whose document it is; NULL: the guest's own */
} Guest;

/* Is this machine's file tree the host's? By its URI: no server is named. */
static gboolean
is_local(virConnectPtr conn)
{
    g_autofree char *uri = virConnectGetURI(conn);
    const char *rest = uri ? strstr(uri, "://") : NULL;

    return rest && rest[3] == '/';
}

/* One name for what has several. Equal paths stay equal whatever is found here; links of other
 * hosts can't be followed. */
static char *
clean_path(const char *path, gboolean local)
{
    char *resolved = local && *path == '/' ? realpath(path, NULL) : NULL;
    char *clean = resolved       ? g_strdup(resolved)
                  : *path == '/' ? g_canonicalize_filename(path, "/")
                                 : g_strdup(path);

    free(resolved);
    return clean;
}

static void
add_user(Reading *reading, const char *path, KaUser *user)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&reading->lock);
    g_autofree char *clean = clean_path(path, reading->local);
    GPtrArray *list = g_hash_table_lookup(reading->by_path, clean);

    if (list == NULL) {
        list = g_ptr_array_new_with_free_func((GDestroyNotify)ka_user_free);
        g_hash_table_insert(reading->by_path, g_steal_pointer(&clean), list);
    }
    g_ptr_array_add(list, user);
}

static void
add_guest(Reading *reading, const char *path, const Guest *guest, char *device)
{
    KaUser *user = g_new0(KaUser, 1);

    user->by = guest->snapshot
                   ? g_strdup_printf("snapshot '%s' of guest '%s'", guest->snapshot, guest->name)
                   : g_strdup_printf("guest '%s'", guest->name);
    user->guest = g_strdup(guest->name);
    user->project = g_strdup(guest->project);
    user->device = device;
    user->running = guest->running;
    add_user(reading, path, user);
}

/* What a <source> (of a disk, a backing, a mirror, a file system) names; NULL: nothing on storage.
 */
static char *
source_path(KaHost *host, const xmlNode *source)
{
    static const char *const names[] = {"file", "dev", "dir", "name"};
    g_autofree char *pool = g_strdup(ka_attribute(source, "pool"));
    g_autofree char *name = g_strdup(ka_attribute(source, "volume"));

    if (pool && name) {
        g_autoptr(KaVolume) volume = ka_link_volume(host, pool, name);
        return volume ? g_strdup(volume->path) : NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = g_strdup(ka_attribute(source, names[i]));
        if (path)
            return path;
    }
    return NULL;
}

static void
read_element(Reading *reading, const xmlNode *node, const Guest *guest)
{
    static const char *const texts[] = {"kernel", "initrd", "dtb", "loader", "nvram", NULL};
    g_autofree char *path = NULL;

    if (xmlStrEqual(node->name, (const xmlChar *)"source"))
        path = source_path(reading->host, node);
    else if (g_strv_contains(texts, (const char *)node->name))
        path = ka_xml_text(node);
    else if (ka_element_is(node, "entry")) /* of fw_cfg */
        path = g_strdup(ka_attribute(node, "file"));
    if (path && *path) {
        gboolean own = !guest->snapshot && xmlStrEqual(node->parent->name, (const xmlChar *)"disk");
        char *device =
            own ? g_strdup(ka_attribute(ka_element_child(node->parent, "target"), "dev")) : NULL;
        add_guest(reading, path, guest, device);
    }
    for (const xmlNode *child = node->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE)
            read_element(reading, child, guest);
    }
}

/* Whose guest it is by its record, if that was written for it. */
static char *
project_of(xmlDoc *document)
{
    const KaDocument of = {.xml = document};
    g_autofree char *uuid = ka_xml_text(ka_element_child(xmlDocGetRootElement(document), "uuid"));
    g_autoptr(KaRecord) record = ka_record_read(&of, uuid);

    return record ? g_strdup(record->project) : NULL;
}

/* FALSE where libvirt gave nothing: the guest may just have gone. */
static gboolean
read_text(Reading *reading, char *text, Guest *guest)
{
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;

    free(text);
    if (document == NULL)
        return FALSE;
    if (!guest->project)
        guest->project = project_of(document);
    read_element(reading, xmlDocGetRootElement(document), guest);
    return TRUE;
}

/* An overlay may lie outside every pool: then only the snapshot tells of its base. */
static void
read_snapshots(Reading *reading, virDomainPtr domain, Guest *guest)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int n = virDomainListAllSnapshots(domain, &snapshots, 0);

    guest->running = FALSE;
    for (int i = 0; i < n; i++) {
        guest->snapshot = virDomainSnapshotGetName(snapshots[i]);
        read_text(reading, virDomainSnapshotGetXMLDesc(snapshots[i], 0), guest);
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
}

static gboolean
read_guest(gpointer item, gpointer data, GError **error)
{
    Reading *reading = data;
    Guest guest = {.name = virDomainGetName(item)};

    if (!read_text(reading, virDomainGetXMLDesc(item, VIR_DOMAIN_XML_INACTIVE), &guest)) {
        if (ka_libvirt_code() == VIR_ERR_NO_DOMAIN)
            return TRUE;
        return ka_libvirt_error(error, "can't read guest '%s'", guest.name);
    }
    guest.running = virDomainIsActive(item) == 1;
    if (guest.running)
        read_text(reading, virDomainGetXMLDesc(item, 0), &guest);
    read_snapshots(reading, item, &guest);
    g_free(guest.project);
    return TRUE;
}

static gboolean
read_volume(gpointer item, gpointer data, GError **error)
{
    Reading *reading = data;
    char *text = virStorageVolGetXMLDesc(item, 0);
    g_autoptr(xmlDoc) document = text ? ka_xml_parse(text) : NULL;
    g_autofree char *backing = NULL;
    KaUser *user = NULL;

    (void)error; /* a volume that has gone, or can't be read, names nothing */
    free(text);
    if (document)
        backing = ka_xml_text(ka_element_child(
            ka_element_child(xmlDocGetRootElement(document), "backingStore"), "path"));
    if (backing == NULL)
        return TRUE;
    user = g_new0(KaUser, 1);
    user->by = g_strdup_printf("volume '%s'", virStorageVolGetName(item));
    add_user(reading, backing, user);
    return TRUE;
}

static void
free_domain(gpointer domain)
{
    virDomainFree(domain);
}

static void
free_volume(gpointer volume)
{
    virStorageVolFree(volume);
}

static gboolean
read_guests(Reading *reading, virConnectPtr conn, GError **error)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(free_domain);
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);

    if (n < 0)
        return ka_libvirt_error(error, "can't list guests");
    for (int i = 0; i < n; i++)
        g_ptr_array_add(items, domains[i]);
    free(domains);
    return ka_link_parallel(items, read_guest, reading, error);
}

static gboolean
read_volumes(Reading *reading, virConnectPtr conn, GError **error)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(free_volume);
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);

    if (n < 0)
        return ka_libvirt_error(error, "can't list pools");
    for (int i = 0; i < n; i++) {
        virStorageVolPtr *volumes = NULL;
        int n_volumes = virStoragePoolListAllVolumes(pools[i], &volumes, 0);

        for (int j = 0; j < n_volumes; j++)
            g_ptr_array_add(items, volumes[j]);
        free(volumes);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return ka_link_parallel(items, read_volume, reading, error);
}

/* Locked by the caller, so that several removals share one reading. */
static gboolean
read_all(KaHost *host, Users *users, GError **error)
{
    virConnectPtr conn = ka_link(host)->conn;
    Reading reading = {.host = host, .local = is_local(conn)};
    gint64 begun = g_get_monotonic_time();
    gboolean done = FALSE;

    g_mutex_init(&reading.lock);
    reading.by_path =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    done = read_guests(&reading, conn, error) && read_volumes(&reading, conn, error);
    g_mutex_clear(&reading.lock);
    if (!done) {
        g_hash_table_unref(reading.by_path);
        return FALSE;
    }
    if (users->by_path)
        g_hash_table_unref(users->by_path);
    users->by_path = reading.by_path;
    users->read_at = begun;
    return TRUE;
}

static Users *
users_of_link(KaLink *link)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    Users *users = link->users;

    if (users == NULL) {
        users = link->users = g_new0(Users, 1);
        g_mutex_init(&users->lock);
    }
    return users;
}

/* This apply has stopped it, and keeps it only to know whose its volumes are. */
static gboolean
is_going(KaHost *host, const KaUser *user)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return user->guest && !user->running && g_hash_table_contains(link->guests_going, user->guest);
}

static GPtrArray *
copy_users(KaHost *host, const GPtrArray *list)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func((GDestroyNotify)ka_user_free);

    for (guint i = 0; list && i < list->len; i++) {
        const KaUser *user = g_ptr_array_index(list, i);
        KaUser *same = NULL;

        if (is_going(host, user))
            continue;
        same = g_new0(KaUser, 1);
        same->by = g_strdup(user->by);
        same->guest = g_strdup(user->guest);
        same->device = g_strdup(user->device);
        same->project = g_strdup(user->project);
        same->running = user->running;
        g_ptr_array_add(copy, same);
    }
    return copy;
}

GPtrArray *
ka_users_of(KaHost *host, const char *path, GError **error)
{
    Users *users = users_of_link(ka_link(host));
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&users->lock);
    g_autofree char *clean = clean_path(path, is_local(ka_link(host)->conn));
    gboolean recent = users->by_path && g_get_monotonic_time() - users->read_at < FRESH_US;

    /* What was read a moment ago may spare a reading, but must not refuse: this very run may just
     * have removed the guest. */
    if ((!recent || g_hash_table_contains(users->by_path, clean)) && !read_all(host, users, error))
        return NULL;
    return copy_users(host, g_hash_table_lookup(users->by_path, clean));
}

static gboolean
refuse(const char *what, const KaUser *user, GError **error)
{
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE, "%s: %s %s%s%s%s", what, user->by,
                user->device ? "has it as '" : "needs it as a base",
                user->device ? user->device : "", user->device ? "'" : "",
                user->running ? " and is running" : "");
    return FALSE;
}

gboolean
ka_users_none(KaHost *host, const char *what, const char *path, const char *project, GError **error)
{
    g_autoptr(GPtrArray) users = ka_users_of(host, path, error);

    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);

        if (!project || !user->device || user->running || g_strcmp0(user->project, project) != 0)
            return refuse(what, user, error);
    }
    return users != NULL;
}

gboolean
ka_users_none_foreign(
    KaHost *host, const char *what, const char *path, const char *project, GError **error)
{
    g_autoptr(GPtrArray) users = ka_users_of(host, path, error);

    for (guint i = 0; users && i < users->len; i++) {
        const KaUser *user = g_ptr_array_index(users, i);

        if (user->guest && g_strcmp0(user->project, project) != 0)
            return refuse(what, user, error);
    }
    return users != NULL;
}
