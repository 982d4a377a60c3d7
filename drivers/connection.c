#include "drivers/event_loop.h"
#include "drivers/storage.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>

#define PARALLEL 5 /* what a libvirt daemon serves of one client at once by default */
#define KEEP_ALIVE_SECONDS 5
#define KEEP_ALIVE_COUNT 3
#define DEFAULT_TIMEOUT_SECONDS 30

void
ka_volume_free(KaVolume *volume)
{
    if (volume == NULL)
        return;
    g_free(volume->name);
    g_free(volume->pool);
    g_free(volume->path);
    if (volume->handle)
        virStorageVolFree(volume->handle);
    g_free(volume);
}

void
ka_use_free(KaUse *use)
{
    if (use == NULL)
        return;
    g_free(use->guest);
    g_free(use->path);
    g_free(use);
}

KaLink *
ka_link_new(virConnectPtr conn)
{
    KaLink *link = g_new0(KaLink, 1);

    link->conn = conn;
    g_mutex_init(&link->lock);
    link->volumes_by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->volumes_by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)ka_volume_free);
    link->volume_names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->seeds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                        (GDestroyNotify)g_ptr_array_unref);
    link->volume_owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    link->volumes_protected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->volume_claims =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    link->volumes_going = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->volumes_half = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->guests_going = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&link->record_lock);
    g_mutex_init(&link->network_lock);
    link->pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    link->pools_inactive = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->image_keys = g_hash_table_new(g_str_hash, g_str_equal);
    link->image_pools =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    link->networks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    link->uses = g_ptr_array_new_with_free_func((GDestroyNotify)ka_use_free);
    link->network_users =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    return link;
}

void
ka_link_free(KaLink *link)
{
    if (link == NULL)
        return;
    g_hash_table_unref(link->volumes_by_path);
    g_hash_table_unref(link->volumes_by_name);
    g_hash_table_unref(link->volume_names);
    g_hash_table_unref(link->seeds);
    g_hash_table_unref(link->volume_owners);
    g_hash_table_unref(link->volumes_protected);
    g_hash_table_unref(link->volume_claims);
    g_hash_table_unref(link->volumes_going);
    g_hash_table_unref(link->volumes_half);
    g_hash_table_unref(link->guests_going);
    g_mutex_clear(&link->record_lock);
    g_mutex_clear(&link->network_lock);
    g_hash_table_unref(link->pools);
    g_hash_table_unref(link->pools_inactive);
    g_hash_table_unref(link->image_keys);
    g_hash_table_unref(link->image_pools);
    g_hash_table_unref(link->networks);
    g_ptr_array_unref(link->uses);
    g_hash_table_unref(link->network_users);
    ka_users_free(link->users);
    g_free(link->capabilities);
    if (link->conn)
        virConnectClose(link->conn);
    g_mutex_clear(&link->lock);
    g_free(link);
}

static void
stay_silent(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

/* Keep-alive answers and guests' events arrive only while an event loop runs. */
static gpointer
start_library(gpointer data)
{
    (void)data;
    xmlInitParser(); /* two threads that were the first at once would both do it */
    virSetErrorFunc(NULL, stay_silent);
    if (!ka_event_loop_start() || virInitialize() < 0)
        g_debug("libvirt can't be started: connections will fail");
    return NULL;
}

/* One attempt to connect, shared by the thread that makes it and the one that waits; whoever is
 * last frees it, since an attempt that hangs is left behind. */
typedef struct {
    GMutex lock;
    GCond done_cond;
    gint references;
    gboolean done;
    char *uri;
    virConnectPtr conn;
    char *real_uri;
    GError *error;
} Attempt;

static void
attempt_unref(Attempt *attempt)
{
    if (!g_atomic_int_dec_and_test(&attempt->references))
        return;
    if (attempt->conn)
        virConnectClose(attempt->conn);
    g_clear_error(&attempt->error);
    g_free(attempt->uri);
    g_free(attempt->real_uri);
    g_cond_clear(&attempt->done_cond);
    g_mutex_clear(&attempt->lock);
    g_free(attempt);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Attempt, attempt_unref)

static virConnectPtr
open_connection(const char *uri, char **ret_real_uri, GError **error)
{
    virConnectPtr conn = virConnectOpen(uri);
    char *real_uri = NULL;

    if (conn == NULL) {
        ka_libvirt_error(error, "can't connect to %s", uri ? uri : "libvirt");
        return NULL;
    }
    real_uri = virConnectGetURI(conn);
    /* Drivers without a transport (test:///) have no keep-alive and need none. */
    if (real_uri == NULL ||
        (virConnectSetKeepAlive(conn, KEEP_ALIVE_SECONDS, KEEP_ALIVE_COUNT) < 0 &&
         ka_libvirt_code() != VIR_ERR_NO_SUPPORT)) {
        ka_libvirt_error(error, "can't use the connection to %s", uri ? uri : "libvirt");
        free(real_uri);
        virConnectClose(conn);
        return NULL;
    }
    *ret_real_uri = g_strdup(real_uri);
    free(real_uri);
    return conn;
}

static gpointer
attempt_run(gpointer data)
{
    g_autoptr(Attempt) attempt = data;
    g_autofree char *real_uri = NULL;
    g_autoptr(GError) error = NULL;
    virConnectPtr conn = open_connection(attempt->uri, &real_uri, &error);

    g_mutex_lock(&attempt->lock);
    attempt->conn = conn;
    attempt->real_uri = g_steal_pointer(&real_uri);
    attempt->error = g_steal_pointer(&error);
    attempt->done = TRUE;
    g_cond_signal(&attempt->done_cond);
    g_mutex_unlock(&attempt->lock);
    return NULL;
}

static gboolean
attempt_wait(Attempt *attempt, guint timeout_seconds)
{
    gint64 until = g_get_monotonic_time() + (gint64)timeout_seconds * G_TIME_SPAN_SECOND;
    gboolean done = FALSE;

    g_mutex_lock(&attempt->lock);
    while (!attempt->done && g_cond_wait_until(&attempt->done_cond, &attempt->lock, until))
        ;
    done = attempt->done;
    g_mutex_unlock(&attempt->lock);
    return done;
}

void
ka_link_connect(KaHost *host, guint timeout_seconds)
{
    static GOnce once = G_ONCE_INIT;
    g_autoptr(Attempt) attempt = g_new0(Attempt, 1);

    g_once(&once, start_library, NULL);
    if (timeout_seconds == 0)
        timeout_seconds = DEFAULT_TIMEOUT_SECONDS;
    g_mutex_init(&attempt->lock);
    g_cond_init(&attempt->done_cond);
    attempt->references = 2;
    attempt->uri = g_strdup(host->uri);
    g_thread_unref(g_thread_new("connect", attempt_run, attempt));

    if (!attempt_wait(attempt, timeout_seconds)) {
        g_set_error(
            &host->error, KA_HOST_ERROR, KA_HOST_ERROR_TIMEOUT,
            "can't connect to %s: no answer within %u s; a slower host needs a longer --timeout",
            host->uri ? host->uri : "libvirt", timeout_seconds);
        return;
    }
    if (attempt->error) {
        host->error = g_steal_pointer(&attempt->error);
        return;
    }
    g_free(host->real_uri);
    host->real_uri = g_steal_pointer(&attempt->real_uri);
    host->link = ka_link_new(g_steal_pointer(&attempt->conn));
    virNodeInfo info;
    if (virNodeGetInfo(ka_link(host)->conn, &info) == 0)
        host->memory_kib = info.memory;
}

void
ka_link_disconnect(KaHost *host)
{
    ka_link_free(host->link);
    host->link = NULL;
}

const char *
ka_link_capabilities(KaHost *host, GError **error)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    char *text = NULL;

    if (link->capabilities)
        return link->capabilities;
    text = virConnectGetCapabilities(link->conn);
    if (text == NULL) {
        ka_libvirt_error(error, "can't read the capabilities of host '%s'", host->name);
        return NULL;
    }
    link->capabilities = g_strdup(text);
    free(text);
    return link->capabilities;
}

/* Text of the first node that an XPath finds; NULL: none. */
static char *
xpath_text(xmlXPathContext *context, const char *path)
{
    xmlXPathObject *found = xmlXPathEval((const xmlChar *)path, context);
    char *text = NULL;

    if (found && found->nodesetval && found->nodesetval->nodeNr > 0) {
        xmlChar *content = xmlNodeGetContent(found->nodesetval->nodeTab[0]);
        text = g_strdup((const char *)content);
        xmlFree(content);
    }
    xmlXPathFreeObject(found);
    return text;
}

static const char *
domain_type_of(xmlXPathContext *context, const char *arch)
{
    static const char *const ways[] = {"[@type='kvm']", "[@type='qemu']", ""};
    g_autofree char *own = arch ? NULL : xpath_text(context, "/capabilities/host/cpu/arch");

    if (arch == NULL)
        arch = own;
    if (arch == NULL || strchr(arch, '\'') != NULL)
        return "qemu";
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *path = g_strdup_printf(
            "/capabilities/guest[os_type='hvm']/arch[@name='%s']/domain%s/@type", arch, ways[i]);
        g_autofree char *type = xpath_text(context, path);
        if (type)
            return g_intern_string(type);
    }
    return "qemu";
}

static xmlDoc *
parse_capabilities(KaHost *host)
{
    const char *text = ka_link_capabilities(host, NULL);
    return text ? xmlReadMemory(text, (int)strlen(text), NULL, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
                : NULL;
}

GPtrArray *
ka_link_machines(KaHost *host, const char *arch)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path =
        g_strdup_printf("/capabilities/guest[os_type='hvm']/arch[@name='%s']//machine",
                        strchr(arch, '\'') ? "" : arch);
    xmlDoc *doc = parse_capabilities(host);
    xmlXPathContext *context = doc ? xmlXPathNewContext(doc) : NULL;
    xmlXPathObject *found = context ? xmlXPathEval(KA_XML(path), context) : NULL;

    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlChar *name = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        g_ptr_array_add(names, g_strdup((const char *)name));
        xmlFree(name);
    }
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return names;
}

const char *
ka_link_domain_type(KaHost *host, const char *arch)
{
    xmlDoc *doc = parse_capabilities(host);
    xmlXPathContext *context = doc ? xmlXPathNewContext(doc) : NULL;
    const char *type = context ? domain_type_of(context, arch) : "qemu";

    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return type;
}

gboolean
ka_link_is_session(const KaHost *host)
{
    g_autofree char *uri = g_strdup(host->real_uri ? host->real_uri : host->uri);

    if (uri == NULL)
        return FALSE;
    uri[strcspn(uri, "?")] = '\0';
    return g_str_has_suffix(uri, "/session");
}

/* Work that several threads take from. */
typedef struct {
    GPtrArray *items;
    gboolean (*work)(gpointer item, gpointer data, GError **error);
    gpointer data;
    gint next;
    GMutex lock;
    GError *error;
} Crew;

static gpointer
crew_work(gpointer data)
{
    Crew *crew = data;

    for (;;) {
        g_autoptr(GError) error = NULL;
        guint i = (guint)g_atomic_int_add(&crew->next, 1);

        if (i >= crew->items->len)
            return NULL;
        if (crew->work(crew->items->pdata[i], crew->data, &error))
            continue;
        g_atomic_int_set(&crew->next, (gint)crew->items->len);
        g_mutex_lock(&crew->lock);
        if (crew->error == NULL)
            crew->error = g_steal_pointer(&error);
        g_mutex_unlock(&crew->lock);
        return NULL;
    }
}

gboolean
ka_link_parallel(GPtrArray *items,
                 gboolean (*work)(gpointer item, gpointer data, GError **error),
                 gpointer data,
                 GError **error)
{
    Crew crew = {.items = items, .work = work, .data = data};
    GThread *threads[PARALLEL - 1] = {NULL};
    guint n_threads = MIN(items->len, (guint)PARALLEL);

    g_mutex_init(&crew.lock);
    for (guint i = 0; i + 1 < n_threads; i++)
        threads[i] = g_thread_new("libvirt-call", crew_work, &crew);
    crew_work(&crew);
    for (guint i = 0; i + 1 < n_threads; i++)
        g_thread_join(threads[i]);
    g_mutex_clear(&crew.lock);
    if (crew.error == NULL)
        return TRUE;
    g_propagate_error(error, crew.error);
    return FALSE;
}
