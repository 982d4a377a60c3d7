#pragma once
#include "drivers/inside.h"
#include "drivers/recipe.h"

/* What a recipe does inside an image: a table with one row for each of its keys, in the order in
 * which they are done. */

#define KA_BUILD_FOLDER "/.kvmapply-build" /* in the image, while it is built */

typedef struct KaManager KaManager;

typedef struct {
    const KaObject *image;
    KaAppliance *appliance;
    const KaSystem *system;
    KaInside *inside;
    const KaManager *manager; /* NULL: the image has none that is known */
    const KaAction *action;
    const KaProgress *progress;
    guint n_uploads;
} KaCustomise;

typedef gboolean (*KaStepRun)(KaCustomise *customise, const KaNode *node, GError **error);

typedef struct {
    const char *key;
    gboolean network;    /* it may have to fetch something */
    gboolean last;       /* what makes this image that one: after a scrub, which would take it out */
    const char *doing;   /* for the progress: "installs packages" */
    KaStepRun run;
} KaStep;

extern const KaStep ka_steps[];
extern const gsize ka_n_steps;

/* Does any declared step want the network? The recipe's own word wins. */
gboolean ka_customise_wants_network(const KaObject *image);
/* Does anything have to be done inside? */
gboolean ka_customise_has_steps(const KaObject *image);
/* All declared steps, those before a scrub or those after it. */
gboolean ka_customise_run(KaCustomise *customise, gboolean last, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- for the steps --- */

/* Commands for the image's own sh, as root in its root. What it prints last is in the error. */
gboolean ka_customise_sh(KaCustomise *customise, const char *script, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* A local file into the image's build folder; its path there. Caller frees. */
char *ka_customise_upload(KaCustomise *customise, const KaNode *file, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* A user's numbers and home by the image's own passwd(5). Caller frees ret_home. */
gboolean ka_customise_user(KaCustomise *customise,
                           const char *name,
                           int *ret_uid,
                           int *ret_gid,
                           char **ret_home,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
static inline gboolean
ka_customise_said(const KaNode *node, const char *key)
{
    return g_strcmp0(ka_node_text(node, key), "yes") == 0;
}

/* customise_packages.c */
/* The image's package manager, by its program; NULL: none that is known. */
const KaManager *ka_manager_find(KaInside *inside);
const char *ka_manager_name(const KaManager *manager);
/* A type of purl, such as "deb". */
const char *ka_manager_purl(const KaManager *manager);
/* Lines of NAME, VERSION and ARCHITECTURE (may be empty) with tabs between; NULL with an error. */
char *ka_manager_list(KaCustomise *customise, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean ka_step_update(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_install(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_install_files(KaCustomise *customise, const KaNode *node, GError **error);

/* customise_users.c */
gboolean ka_step_users(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_passwords(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_root_password(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_ssh_keys(KaCustomise *customise, const KaNode *node, GError **error);

/* customise_boot.c */
gboolean ka_step_services(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_kernel_args(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_first_boot(KaCustomise *customise, const KaNode *node, GError **error);
gboolean ka_step_selinux(KaCustomise *customise, const KaNode *node, GError **error);
