#pragma once
#include "drivers/channel.h"

/* Small files of a host, read and written many at a time: one round trip, however many. */

typedef struct {
    char *path;
    char *text; /* as it stands in the file, its last newline too */
} KaHostFile;

void ka_host_file_free(KaHostFile *file);

/* Every regular file that one of the paths or shell patterns names and that can be read, in their
 * order; owned KaHostFile. NULL with an error where the host can't be reached. */
GPtrArray *ka_host_read(const KaHost *host, const GPtrArray *patterns, GError **error);

typedef enum {
    KA_WRITE_VALUE = 'v',  /* into a file that the kernel has, or into all that a pattern names */
    KA_WRITE_FILE = 'f',   /* a file anew, whole or not at all; its folder is made */
    KA_WRITE_REMOVE = 'r', /* a file that need not be there */
} KaWriteWay;

typedef struct {
    KaWriteWay way;
    char *path;
    char *text;
    char *failure; /* set when it was tried: what the kernel said; NULL: it was done */
} KaHostWrite;

void ka_host_write_free(KaHostWrite *write);
KaHostWrite *ka_host_write_new(KaWriteWay way, const char *path, const char *text);

/* Does all of them (owned KaHostWrite), in their order, also when one fails. */
gboolean ka_host_write(const KaHost *host, GPtrArray *writes, GCancellable *cancel, GError **error);
