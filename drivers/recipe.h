#pragma once
#include "drivers/invalid.h"
#include "planner/driver.h"

/* What an image is known by: a digest of all that it is made from. */

#define KA_KEY_SHORT 12 /* so many characters of a key stand in names */

/* Of everything in the recipe but its source, with the contents of the files that it names; hex.
 * A secret is in it only by a slow hash. NULL with an error: a file can't be read. Caller frees. */
char *ka_recipe_digest(const KaObject *image, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key of the image made by the recipe from the source of this identity ("sha256:…"); hex. */
char *ka_recipe_key(const KaObject *image, const char *identity, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* SHA-256 of a local file; of a large one that hasn't changed since, as remembered in the cache
 * (by its place, size and times). Caller frees. */
char *ka_recipe_file_digest(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
