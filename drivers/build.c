#include "drivers/cache.h"
#include "drivers/customise.h"
#include "drivers/image_grow.h"
#include "drivers/provenance.h"
#include "drivers/qcow2.h"
#include "drivers/scrub.h"
#include "drivers/sparse_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_BYTES (1 << 20)
#define LOOK_US (200 * 1000)
#define SLOT "appliance"

/* One build under way. */
typedef struct {
    const KaObject *image;
    const char *key;
    KaAction *action;
    const KaProgress *progress;
    char *scratch; /* owned; where the source may be unpacked */
    char *work;    /* owned; the plain data that is worked on */
    char *packed;  /* owned; what is made of it, where that isn't plain data */
    int fd;        /* of work; -1: none */
    guint64 grown; /* bytes that were added to it; 0: none */
    KaImageSource *source;
    KaProvenance provenance;
} Build;

static void
build_clear(Build *build)
{
    if (build->fd >= 0)
        close(build->fd);
    unlink(build->work);
    unlink(build->packed);
    ka_image_source_free(build->source);
    ka_provenance_clear(&build->provenance);
    g_free(build->scratch);
    g_free(build->work);
    g_free(build->packed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Build, build_clear)

void
ka_built_free(KaBuilt *built)
{
    if (built == NULL)
        return;
    g_free(built->key);
    g_free(built->path);
    g_free(built);
}

static gboolean
is_qcow2(const KaObject *image)
{
    return g_str_equal(ka_node_text(image->node, "format"), "qcow2");
}

char *
ka_built_path(const KaObject *image, const char *key)
{
    g_autofree char *name = g_strdup_printf("%s.%s", key, ka_node_text(image->node, "format"));

    return ka_cache_path(KA_CACHE_IMAGES, name);
}

/* --- the plain data to work on --- */

static gboolean
fill_work(const Build *build, int from, GError **error)
{
    if (g_str_equal(build->source->format, "qcow2"))
        return ka_qcow2_read(from, build->fd, build->source->place, build->action,
                             build->progress, error);
    return ka_sparse_copy(from, build->fd, "copies the source", build->action, build->progress,
                          error);
}

/* To whole sectors, and to the size that is declared. */
static gboolean
size_work(Build *build, GError **error)
{
    const char *said = ka_node_text(build->image->node, "size");
    guint64 wanted = said ? g_ascii_strtoull(said, NULL, 10) : 0, size = 0;
    struct stat status;

    if (fstat(build->fd, &status) == 0)
        size = ((guint64)status.st_size + 511) / 512 * 512;
    if (wanted && wanted < size) {
        g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, size);
        g_autofree char *is = ka_codec_format(&ka_bytes, number);
        return ka_invalid(error, "size: images don't shrink, and the source has %s", is);
    }
    build->grown = wanted ? wanted / 512 * 512 - size : 0;
    return ftruncate(build->fd, (off_t)(size + build->grown)) == 0 ||
           ka_invalid(error, "can't write '%s': %s", build->work, g_strerror(errno));
}

static gboolean
make_work(Build *build, GError **error)
{
    int from = open(build->source->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    gboolean done = FALSE;

    /* Never the file itself that a killed run left: its QEMU lives on for a moment and writes to it. */
    unlink(build->work);
    build->fd = open(build->work, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (from < 0 || build->fd < 0)
        ka_invalid(error, "can't open '%s': %s",
                             from < 0 ? build->source->path : build->work, g_strerror(errno));
    else
        done = fill_work(build, from, error) && size_work(build, error);
    if (from >= 0)
        close(from);
    return done;
}

/* --- inside the appliance --- */

static GPtrArray *
read_keys(const KaObject *image, GError **error)
{
    const KaNode *node = ka_node_get(image->node, "luks-key");
    GPtrArray *keys = g_ptr_array_new_with_free_func((GDestroyNotify)ka_key_free);
    g_autofree char *path = node ? ka_node_local_path(node) : NULL;
    char *text = NULL;
    gsize length = 0;
    KaKey *key = NULL;

    if (path == NULL)
        return keys;
    if (!g_file_get_contents(path, &text, &length, error)) {
        g_ptr_array_unref(keys);
        return NULL;
    }
    if (length && text[length - 1] == '\n')
        text[length - 1] = '\0';
    key = g_new0(KaKey, 1);
    key->secret = text;
    g_ptr_array_add(keys, key);
    return keys;
}

static char **
strings_of(const KaNode *list)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (const KaNode *item = list ? list->first : NULL; item; item = item->next)
        g_strv_builder_add(builder, item->text);
    return list && list->first ? g_strv_builder_end(builder) : NULL;
}

/* The recipe's choice of operations. */
typedef struct {
    char **only, **also, **keep, **paths; /* owned; NULL: none */
    KaScrubChoice choice;
} Scrubbing;

static void
scrubbing_clear(Scrubbing *scrubbing)
{
    g_strfreev(scrubbing->only);
    g_strfreev(scrubbing->also);
    g_strfreev(scrubbing->keep);
    g_strfreev(scrubbing->paths);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scrubbing, scrubbing_clear)

static void
scrubbing_read(const KaObject *image, Scrubbing *ret_scrubbing)
{
    const KaNode *node = ka_node_get(image->node, "scrub");

    ret_scrubbing->only = strings_of(ka_node_get(node, "only"));
    ret_scrubbing->also = strings_of(ka_node_get(node, "also"));
    ret_scrubbing->keep = strings_of(ka_node_get(node, "keep"));
    ret_scrubbing->paths = strings_of(ka_node_get(node, "paths"));
    ret_scrubbing->choice =
        (KaScrubChoice){(const char *const *)ret_scrubbing->only,
                        (const char *const *)ret_scrubbing->also,
                        (const char *const *)ret_scrubbing->keep,
                        (const char *const *)ret_scrubbing->paths};
}

static gboolean
wants_scrub(const KaObject *image)
{
    const KaNode *node = ka_node_get(image->node, "scrub");

    return node && node->type == KA_NODE_MAP &&
           g_strcmp0(ka_node_text(node, "enabled"), "no") != 0;
}

/* Items are left for what must wait until nothing is mounted; NULL without an error: no scrub. */
static gboolean
scrub(Build *build, KaInside *inside, GPtrArray **ret_items, GError **error)
{
    g_auto(Scrubbing) scrubbing = {0};
    g_autoptr(GPtrArray) items = NULL;

    if (!wants_scrub(build->image))
        return TRUE;
    ka_progress_step(build->progress, build->action, "scrubs", 0, 0, "");
    scrubbing_read(build->image, &scrubbing);
    items = ka_scrub_look(inside, &scrubbing.choice, FALSE, error);
    if (items == NULL || !ka_scrub_act(inside, items, error))
        return FALSE;
    build->provenance.scrubbed = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < items->len; i++) {
        const KaScrubItem *item = g_ptr_array_index(items, i);
        if (!g_ptr_array_find_with_equal_func(build->provenance.scrubbed, item->operation,
                                              g_str_equal, NULL))
            g_ptr_array_add(build->provenance.scrubbed, g_strdup(item->operation));
    }
    *ret_items = g_steal_pointer(&items);
    return TRUE;
}

/* What is known of the packages is told; where the image can't say, that is no reason to fail. */
static void
note_system(Build *build, KaCustomise *customise)
{
    g_autoptr(GError) failure = NULL;

    build->provenance.system = g_strdup(customise->system->name);
    build->provenance.system_id = g_strdup(customise->system->id);
    if (customise->manager == NULL)
        return;
    ka_progress_step(build->progress, build->action, "lists the packages", 0, 0, "");
    build->provenance.purl = ka_manager_purl(customise->manager);
    build->provenance.packages = ka_manager_list(customise, &failure);
    if (failure)
        g_ptr_array_add(build->provenance.warnings, g_strdup(failure->message));
}

static gboolean
work_inside(Build *build, KaSystem *system, GPtrArray **ret_items, GError **error)
{
    g_autoptr(KaInside) inside = ka_inside_new(system);
    KaCustomise customise = {
        .image = build->image,
        .appliance = system->appliance,
        .system = system,
        .inside = inside,
        .manager = ka_manager_find(inside),
        .action = build->action,
        .progress = build->progress,
    };

    if (build->grown && !ka_image_grow_system(system, error))
        return FALSE;
    if (!ka_customise_run(&customise, FALSE, error))
        return FALSE;
    note_system(build, &customise);
    if (!scrub(build, inside, ret_items, error) || !ka_customise_run(&customise, TRUE, error))
        return FALSE;
    ka_progress_step(build->progress, build->action, "gives free space back", 0, 0, "");
    return ka_system_trim(system, error);
}

/* The system with its partition grown. */
static KaSystem *
mount_system(Build *build, KaAppliance *appliance, GError **error)
{
    g_autoptr(GPtrArray) keys = read_keys(build->image, error);
    KaSystem *system =
        keys ? ka_system_mount(appliance, 0, 1, build->image->name, keys, error) : NULL;
    g_autofree char *root = NULL;

    if (system == NULL || build->grown == 0)
        return system;
    root = g_strdup(system->root);
    ka_progress_step(build->progress, build->action, "grows the file system", 0, 0, "");
    gboolean grown = ka_system_unmount(system, error) &&
                     ka_image_grow_partition(appliance, "/dev/sda", root, error);
    ka_system_free(system);
    return grown ? ka_system_mount(appliance, 0, 1, build->image->name, keys, error) : NULL;
}

static gboolean
work_in(Build *build, KaAppliance *appliance, GError **error)
{
    g_autoptr(KaSystem) system = mount_system(build, appliance, error);
    g_autoptr(GPtrArray) items = NULL;

    return system && work_inside(build, system, &items, error) &&
           ka_system_unmount(system, error) &&
           (items == NULL || ka_scrub_devices(system, items, error));
}

/* One of as many as the machine can run at once, whichever process wants them. NULL with an error. */
static KaCacheLock *
take_slot(const Build *build, GError **error)
{
    for (;;) {
        guint slots = ka_appliance_at_once(G_MAXUINT);

        for (guint i = 0; i < slots; i++) {
            g_autofree char *name = g_strdup_printf(SLOT "-%u", i);
            g_autoptr(GError) failure = NULL;
            KaCacheLock *lock = ka_cache_try_lock(name, &failure);

            if (lock)
                return lock;
            if (!g_error_matches(failure, KA_HOST_ERROR, KA_HOST_ERROR_IN_USE)) {
                g_propagate_error(error, g_steal_pointer(&failure));
                return NULL;
            }
        }
        ka_progress_step(build->progress, build->action, "waits for another build", 0, 0, "");
        if (g_cancellable_is_cancelled(build->progress->cancel)) {
            g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CANCELLED, "interrupted");
            return NULL;
        }
        g_usleep(LOOK_US);
    }
}

static gboolean
needs_appliance(const Build *build)
{
    return build->grown || wants_scrub(build->image) || ka_customise_has_steps(build->image);
}

static gboolean
work(Build *build, GError **error)
{
    g_autoptr(KaCacheLock) slot = needs_appliance(build) ? take_slot(build, error) : NULL;
    const KaDrive drive = {build->work, "raw", FALSE};
    KaApplianceRun run = {0};
    KaApplianceOptions options = {
        .alone = TRUE,
        .network = ka_customise_wants_network(build->image),
        .run = &run,
        .warnings = build->provenance.warnings,
        .action = build->action,
        .progress = build->progress,
    };
    KaAppliance *appliance = NULL;

    if (!needs_appliance(build))
        return TRUE;
    appliance = slot ? ka_appliance_launch(&drive, 1, &options, error) : NULL;
    if (appliance == NULL)
        return FALSE;
    if (work_in(build, appliance, error))
        return ka_appliance_shutdown(appliance, error);
    ka_appliance_free(appliance);
    return FALSE;
}

/* --- what comes of it --- */

static gboolean
publish_text(const char *path, const char *text, GError **error)
{
    return g_file_set_contents_full(path, text, -1,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    0600, error);
}

static gboolean
publish_records(const Build *build, GError **error)
{
    g_autofree char *record_name = g_strconcat(build->key, ".json", NULL);
    g_autofree char *spdx_name = g_strconcat(build->key, ".spdx.json", NULL);
    g_autofree char *record_path = ka_cache_path(KA_CACHE_IMAGES, record_name);
    g_autofree char *spdx_path = ka_cache_path(KA_CACHE_IMAGES, spdx_name);
    g_autofree char *record = ka_provenance_format(&build->provenance);
    g_autofree char *spdx = ka_provenance_spdx(&build->provenance);

    return publish_text(record_path, record, error) && publish_text(spdx_path, spdx, error);
}

static gboolean
pack(const Build *build, int *ret_fd, GError **error)
{
    *ret_fd = open(build->packed, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (*ret_fd < 0)
        return ka_invalid(error, "can't write '%s': %s", build->packed,
                                    g_strerror(errno));
    return ka_qcow2_write(build->fd, *ret_fd, ka_customise_said(build->image->node, "compress"),
                          build->action, build->progress, error);
}

/* The image comes last: with it all is there. */
static gboolean
publish(Build *build, const char *path, GError **error)
{
    gboolean packs = is_qcow2(build->image);
    int fd = -1;
    gboolean done = (!packs || pack(build, &fd, error)) &&
                    ka_cache_make(KA_CACHE_IMAGES, error) && publish_records(build, error) &&
                    ka_publish(packs ? fd : build->fd, packs ? build->packed : build->work, path,
                               error);

    if (fd >= 0)
        close(fd);
    return done;
}

static gboolean
open_source(KaHost *host, Build *build, const char *identity, GError **error)
{
    build->source = ka_image_source_open(host, build->image, build->scratch, build->action,
                                         build->progress, error);
    if (build->source == NULL)
        return FALSE;
    build->provenance.source = build->source;
    if (g_strcmp0(build->source->identity, identity) == 0)
        return TRUE;
    g_set_error(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED,
                "its source changed while it was read: run it again");
    return FALSE;
}

static char *
partial(const char *key, const char *ending)
{
    g_autofree char *name = g_strdup_printf("image-%s.%s", key, ending);

    return ka_cache_path(KA_CACHE_PARTIAL, name);
}

static gboolean
build_new(KaHost *host,
          const KaObject *image,
          const char *identity,
          const KaBuilt *built,
          KaAction *action,
          const KaProgress *progress,
          GError **error)
{
    g_auto(Build) build = {
        .image = image,
        .key = built->key,
        .action = action,
        .progress = progress,
        .scratch = partial(built->key, "source"),
        .work = partial(built->key, "raw"),
        .packed = partial(built->key, "qcow2"),
        .fd = -1,
        .provenance = {.image = image,
                       .key = built->key,
                       .warnings = g_ptr_array_new_with_free_func(g_free)},
    };

    return open_source(host, &build, identity, error) && make_work(&build, error) &&
           work(&build, error) && publish(&build, built->path, error);
}

/* --- all together --- */

gboolean
ka_image_build_assess(const KaObject *image, GError **error)
{
    g_auto(Scrubbing) scrubbing = {0};

    scrubbing_read(image, &scrubbing);
    return !wants_scrub(image) || ka_scrub_choice_check(&scrubbing.choice, error);
}

static gboolean
has_digest(const KaObject *image)
{
    const KaNode *source = ka_node_get(image->node, "source");

    return ka_node_text(source, "sha256") || ka_node_text(source, "sha512");
}

/* What isn't known by its digest may have changed where it comes from. */
static char *
find_identity(KaHost *host,
              const KaObject *image,
              KaAction *action,
              const KaProgress *progress,
              GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *identity = NULL;

    if (!has_digest(image) && !ka_image_source_fetch(image, action, progress, error))
        return NULL;
    identity = ka_image_source_identity(host, image, &failure);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else if (identity == NULL)
        ka_invalid(error, "its source can't be told from others");
    return identity;
}

static gboolean
is_built(KaBuilt *built)
{
    built->cached = g_file_test(built->path, G_FILE_TEST_IS_REGULAR);
    return built->cached;
}

KaBuilt *
ka_image_build(KaHost *host,
               const KaObject *image,
               KaAction *action,
               const KaProgress *progress,
               GError **error)
{
    g_autofree char *identity = NULL, *name = NULL;
    g_autoptr(KaBuilt) built = g_new0(KaBuilt, 1);
    g_autoptr(KaCacheLock) lock = NULL;

    if (!ka_image_build_assess(image, error))
        return NULL;
    identity = find_identity(host, image, action, progress, error);
    built->key = identity ? ka_recipe_key(image, identity, error) : NULL;
    if (built->key == NULL)
        return NULL;
    built->path = ka_built_path(image, built->key);
    if (is_built(built))
        return g_steal_pointer(&built);
    name = g_strconcat("image-", built->key, NULL);
    lock = ka_cache_lock(name, "waits for another kvmapply that builds it", action, progress,
                         error);
    if (lock == NULL)
        return NULL;
    if (is_built(built) || build_new(host, image, identity, built, action, progress, error))
        return g_steal_pointer(&built);
    return NULL;
}
