#pragma once
#include "planner/driver.h"

#include <sys/stat.h>

/* A disk image of this machine: checked before anything opens it, copied before it is changed, put
 * in its place when it is whole. */
typedef struct {
    char *path;   /* real one: links are followed */
    char *format; /* as said or by the name's end; never probed */
    int fd;       /* of what is opened: the image itself or its copy */
    int source;   /* of the image; the same as fd where there is no copy */
    char *copy;   /* path of the copy; NULL: none */
    gboolean is_device;
    gboolean in_place; /* has no copy */
    struct stat seen;  /* of the image when it was opened */
} KaImageFile;

/* "raw", or what the name's end says (.qcow2, .vmdk, …). Static. */
const char *ka_image_format(const char *path);

typedef enum {
    KA_IMAGE_READ,     /* nobody else may write it */
    KA_IMAGE_COPY,     /* nobody else may have it open as a guest does; changes go to a copy */
    KA_IMAGE_IN_PLACE, /* the same, without a copy: it is lost if the change fails */
} KaImageUse;

/* Opens and checks: a file of that format that refers to no other file, that no guest or other
 * process uses. format NULL: by the name. IN_USE, INVALID; what only can be changed in place
 * (devices, files that others back onto) is refused for KA_IMAGE_COPY with KA_HOST_ERROR_DENIED. */
KaImageFile *ka_image_file_open(const char *path,
                                const char *format,
                                KaImageUse use,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* For KA_IMAGE_COPY: makes the copy in the same folder, by reflink or without its holes, with
 * owner, mode and attributes. */
gboolean ka_image_file_copy(KaImageFile *file,
                            const KaAction *action,
                            const KaProgress *progress,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A path by which another process opens just what was checked. Caller frees. */
char *ka_image_file_handle(const KaImageFile *file);
/* The copy takes the image's place, if nobody touched that meanwhile. */
gboolean ka_image_file_publish(KaImageFile *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Removes a copy that wasn't published. Takes NULL. */
void ka_image_file_free(KaImageFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KaImageFile, ka_image_file_free)

/* image_lock.c: refuses an image that a guest runs on or another process writes, and names it.
 * QEMU's locks are those of its block/file-posix.c: a byte for each permission that is held (100 +
 * n) and for each that isn't shared (200 + n). alone: nobody may have it open as QEMU does, not
 * even to read. */
gboolean ka_image_is_free(int fd, const char *path, gboolean alone, GError **error);
/* Keeps guests from starting on it as long as fd is open. */
void ka_image_hold(int fd);
