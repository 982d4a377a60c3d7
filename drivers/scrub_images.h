#pragma once
#include "drivers/image_file.h"
#include "drivers/scrub.h"

typedef enum {
    KA_IMAGES_AUDIT,   /* reads only */
    KA_IMAGES_DRY_RUN, /* likewise, and lists all that would go */
    KA_IMAGES_SCRUB,
} KaImagesTask;

typedef struct {
    char *path;
    char *format; /* NULL: by the name's end */
} KaImagesDrive;

/* One machine to be worked on: an image, or all disks of a guest. */
typedef struct {
    KaAction *action;  /* owned; its bar, its outcome, its error */
    GPtrArray *drives; /* owned KaImagesDrive */
    /* afterwards */
    GPtrArray *items;    /* owned KaScrubItem; NULL: it failed before */
    GPtrArray *warnings; /* owned char * */
    char *system;        /* "Debian GNU/Linux 12 (bookworm)"; NULL: none was found */
} KaImagesJob;

KaImagesJob *ka_images_job_new(const char *name);
void ka_images_job_add(KaImagesJob *job, const char *path, const char *format);
void ka_images_job_free(KaImagesJob *job);
/* The action's kind of what is no object of a manifest; a verb is for the bar. */
extern const KaKind ka_images_kind;

typedef struct {
    KaImagesTask task;
    gboolean in_place;           /* the word `delete` was said */
    const KaScrubChoice *choice; /* borrowed */
    const GPtrArray *keys;       /* borrowed KaKey; NULL: none */
    const KaProgress *progress;  /* borrowed */
} KaImagesOptions;

/* Works on all jobs, in as many appliances at once as the machine has room for, several images in
 * each; an image that doesn't get along with others gets an appliance of its own. FALSE: at least
 * one failed (see its action's error); its image is then as it was. */
gboolean ka_images_run(GPtrArray *jobs, const KaImagesOptions *options);

/* image_guest.c: the disks of a guest that is off, on this machine and used by no other. uri NULL:
 * libvirt's own default. */
gboolean ka_images_job_add_guest(KaImagesJob *job,
                                 const char *uri,
                                 const char *guest,
                                 guint timeout_seconds,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
