#include "drivers/storage.h"

static const KaKind *
kind(void)
{
    return ka_kind_find("pool");
}

gboolean
ka_pool_is_busy(const KaProgress *progress, guint *tries)
{
    const virError *failure = virGetLastError();

    if (failure == NULL || failure->message == NULL ||
        strstr(failure->message, "asynchronous jobs running") == NULL ||
        g_cancellable_is_cancelled(progress->cancel) ||
        (*tries)++ >= 10 * progress->timeout_seconds)
        return FALSE;
    g_usleep(100 * 1000);
    return TRUE;
}

static gboolean
stop_pool(virStoragePoolPtr pool, const KaProgress *progress, GError **error)
{
    guint tries = 0;

    while (virStoragePoolDestroy(pool) < 0) {
        if (!ka_pool_is_busy(progress, &tries))
            return ka_libvirt_error(error, "can't stop pool '%s'", virStoragePoolGetName(pool));
    }
    return TRUE;
}

static gboolean
makes_folder(const char *type)
{
    static const char *const types[] = {"dir", "fs", "netfs", "vstorage", NULL};

    return g_strv_contains(types, type);
}

/* A missing folder is made; what would write to a device only on the user's word, and never over
 * something (NO_OVERWRITE). */
static int
build_pool(virStoragePoolPtr pool, const char *type, gboolean asked)
{
    gboolean device = asked && !g_str_equal(type, "dir");

    return virStoragePoolBuild(pool, device ? VIR_STORAGE_POOL_BUILD_NO_OVERWRITE : 0);
}

static gboolean
start_pool(KaHost *host, virStoragePoolPtr pool, const char *type, gboolean build, GError **error)
{
    const char *name = virStoragePoolGetName(pool);

    if (virStoragePoolCreate(pool, 0) < 0) {
        if (!build && !makes_folder(type))
            return ka_libvirt_error(error, "can't start pool '%s'", name);
        if (build_pool(pool, type, build) < 0)
            return ka_libvirt_error(error, "can't build pool '%s'", name);
        if (virStoragePoolCreate(pool, 0) < 0)
            return ka_libvirt_error(error, "can't start pool '%s'", name);
    }
    ka_pool_note(host, name, type, TRUE);
    return ka_volumes_index(host, pool, type, error);
}

/* What a pool's folder shows is the folder itself: other permissions are made by building it again,
 * which for a folder that is there does nothing else. */
static gboolean
set_permissions(virStoragePoolPtr pool, const KaDocument *document, GError **error)
{
    g_autofree char *type = ka_document_get(document, "type");

    if (g_strcmp0(type, "dir") != 0 || virStoragePoolBuild(pool, 0) == 0)
        return TRUE;
    return ka_libvirt_error(error, "can't set permissions of pool '%s'",
                            virStoragePoolGetName(pool));
}

static gboolean
set_autostart(virStoragePoolPtr pool, const KaDocument *document, GError **error)
{
    g_autofree char *wanted = ka_document_get(document, "autostart");

    if (wanted == NULL || virStoragePoolSetAutostart(pool, g_str_equal(wanted, "yes")) == 0)
        return TRUE;
    return ka_libvirt_error(error, "can't set autostart of pool '%s'", virStoragePoolGetName(pool));
}

static gboolean
wants_active(const KaDocument *document)
{
    g_autofree char *state = ka_document_get(document, "state");

    return g_strcmp0(state, "inactive") != 0;
}

static gboolean
wants_build(const KaAction *action)
{
    return action->object && g_strcmp0(ka_node_text(action->object->node, "build"), "yes") == 0;
}

gboolean
ka_pool_create(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    const KaNode *node = action->object->node;
    g_autoptr(KaDocument) document =
        ka_document_build(kind()->table, ka_kind_rows(kind()), action->name, node, error);
    g_autofree char *mark = ka_mark_uuid(action->project, "pool", action->name);
    g_autofree char *text = NULL;
    g_autoptr(virStoragePool) pool = NULL;
    const char *type = ka_node_text(node, "type");

    (void)progress;
    if (document == NULL ||
        (!ka_node_text(node, "uuid") && !ka_document_set(document, "uuid", mark, error)))
        return FALSE;
    text = ka_pool_text(document);
    pool = virStoragePoolDefineXML(ka_link(host)->conn, text, 0);
    if (pool == NULL)
        return ka_libvirt_error(error, "can't define pool '%s'", action->name);
    if ((ka_node_get(node, "permissions") && !set_permissions(pool, document, error)) ||
        (wants_active(document) && !start_pool(host, pool, type, wants_build(action), error)) ||
        !set_autostart(pool, document, error)) {
        /* A pool that can't be started is no pool: its definition would only be in the way. */
        if (virStoragePoolIsActive(pool) != 1)
            virStoragePoolUndefine(pool);
        return FALSE;
    }
    if (!wants_active(document))
        ka_pool_note(host, action->name, type, FALSE);
    return TRUE;
}

static virStoragePoolPtr
look_up(KaHost *host, const char *name, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ka_link(host)->conn, name);

    if (pool == NULL)
        ka_libvirt_error(error, "can't find pool '%s'", name);
    return pool;
}

/* The pool as it is now, if it still is what was planned. */
static KaPool *
read_again(virStoragePoolPtr handle, const KaAction *action, GError **error)
{
    int autostart = 0;
    int active = virStoragePoolIsActive(handle);
    g_autoptr(KaPool) pool = NULL;
    g_autofree char *digest = NULL;

    if (active < 0 || virStoragePoolGetAutostart(handle, &autostart) < 0) {
        ka_libvirt_error(error, "can't read pool '%s'", action->name);
        return NULL;
    }
    pool = ka_pool_read(handle, active == 1, autostart == 1, error);
    if (pool == NULL)
        return NULL;
    digest = ka_pool_digest(pool);
    if (g_strcmp0(digest, action->actual->digest) == 0)
        return g_steal_pointer(&pool);
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                "pool '%s' has changed since the plan: plan again", action->name);
    return NULL;
}

static gboolean
needs_restart(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        if (!change->pending && change->row->way == KA_RESTART)
            return action->actual->active;
    }
    return FALSE;
}

static gboolean
has_definition_change(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const char *path = ((const KaChange *)g_ptr_array_index(action->changes, i))->path;

        if (!g_str_equal(path, "state") && !g_str_equal(path, "autostart"))
            return TRUE;
    }
    return FALSE;
}

static gboolean
changes_permissions(const KaAction *action)
{
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        if (!change->pending && g_str_has_prefix(change->path, "permissions"))
            return TRUE;
    }
    return FALSE;
}

static gboolean
redefine(KaHost *host, const KaDocument *document, const char *name, GError **error)
{
    g_autofree char *text = ka_pool_text(document);
    g_autoptr(virStoragePool) pool = virStoragePoolDefineXML(ka_link(host)->conn, text, 0);

    return pool || ka_libvirt_error(error, "can't change pool '%s'", name);
}

gboolean
ka_pool_change(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virStoragePool) handle = look_up(host, action->name, error);
    g_autoptr(KaPool) pool = handle ? read_again(handle, action, error) : NULL;
    gboolean restart = needs_restart(action), active = FALSE;

    if (pool == NULL ||
        !ka_document_patch(pool->document, action->object->node, action->changes, FALSE, error))
        return FALSE;
    active = wants_active(pool->document);
    /* Stopped before it is redefined: were this run to end in between, the next one would see a
     * pool to start, and not one that silently runs with its old definition. */
    if (pool->active && (restart || !active)) {
        if (!stop_pool(handle, progress, error))
            return FALSE;
        ka_pool_note(host, action->name, pool->type, FALSE);
    }
    if (has_definition_change(action) && !redefine(host, pool->document, action->name, error)) {
        if (pool->active && restart)
            start_pool(host, handle, pool->type, FALSE, NULL);
        return FALSE;
    }
    if (changes_permissions(action) && !set_permissions(handle, pool->document, error))
        return FALSE;
    if (active && (!pool->active || restart) &&
        !start_pool(host, handle, pool->type, wants_build(action), error))
        return FALSE;
    return set_autostart(handle, pool->document, error);
}

/* The first guest that has a volume of the pool; NULL: none. Borrowed. */
static const char *
first_guest(KaHost *host, const char *pool, gboolean running_only)
{
    KaLink *link = ka_link(host);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    for (guint i = 0; i < link->uses->len; i++) {
        const KaUse *use = g_ptr_array_index(link->uses, i);
        const KaVolume *volume = g_hash_table_lookup(link->volumes_by_path, use->path);

        if (volume && g_str_equal(volume->pool, pool) && (use->running || !running_only))
            return use->guest;
    }
    return NULL;
}

/* Only a dir pool's folder is libvirt's to change; what is mounted keeps its own. */
static void
note_permissions(KaHost *host, KaAction *action)
{
    if (g_strcmp0(ka_link_pool_type(host, action->name), "dir") == 0)
        return;
    for (guint i = action->changes->len; i-- > 0;) {
        KaChange *change = g_ptr_array_index(action->changes, i);

        if (!g_str_has_prefix(change->path, "permissions") || !action->actual->active)
            continue;
        change->way = KA_ONCE;
        g_ptr_array_add(action->notes, g_ptr_array_steal_index(action->changes, i));
    }
}

gboolean
ka_pool_assess(KaHost *host, KaAction *action, GError **error)
{
    const char *guest = first_guest(host, action->name, TRUE);
    gboolean stops = FALSE;

    (void)error;
    if (action->verb == KA_CHANGE)
        note_permissions(host, action);
    stops = needs_restart(action);
    for (guint i = 0; i < action->changes->len; i++) {
        const KaChange *change = g_ptr_array_index(action->changes, i);

        stops |= g_str_equal(change->path, "state") && action->actual->active;
    }
    if (action->verb == KA_REPLACE || (action->verb == KA_CHANGE && stops)) {
        action->words |= KA_WORD_DISRUPT;
        if (guest)
            g_ptr_array_add(action->remarks,
                            g_strdup_printf("it is stopped while guest '%s' runs on it", guest));
    }
    if (action->verb == KA_REMOVE && !action->left_over)
        g_ptr_array_add(action->remarks, g_strdup("its volumes stay where they are"));
    return TRUE;
}

/* Guests that name a volume of it are in the way: their disks would be gone for libvirt. */
static gboolean
check_unused(KaHost *host, virStoragePoolPtr pool, GError **error)
{
    virStorageVolPtr *volumes = NULL;
    int n = virStoragePoolListAllVolumes(pool, &volumes, 0);
    gboolean unused = TRUE;

    for (int i = 0; i < n; i++) {
        g_autoptr(KaVolume) volume =
            ka_link_volume(host, virStoragePoolGetName(pool), virStorageVolGetName(volumes[i]));
        g_autofree char *what =
            g_strdup_printf("pool '%s' can't be removed", virStoragePoolGetName(pool));

        unused = unused && (!volume || ka_users_none(host, what, volume->path, NULL, error));
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return unused;
}

gboolean
ka_pool_remove(KaHost *host, KaAction *action, const KaProgress *progress, GError **error)
{
    g_autoptr(virStoragePool) handle = look_up(host, action->name, error);
    g_autoptr(KaPool) pool = handle ? read_again(handle, action, error) : NULL;

    if (pool == NULL)
        return FALSE;
    if (pool->active && (!check_unused(host, handle, error) || !stop_pool(handle, progress, error)))
        return FALSE;
    ka_pool_note(host, action->name, NULL, FALSE);
    if (virStoragePoolUndefine(handle) < 0)
        return ka_libvirt_error(error, "can't remove pool '%s'", action->name);
    return TRUE;
}
