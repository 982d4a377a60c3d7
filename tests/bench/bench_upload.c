/* bench_upload KVMAPPLY URI FOLDER: the upload of a sparse image against that of its data alone.
 * FOLDER must be a new one that the host sees too; it is left empty. */
#include "tests/bench/bench.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define DATA_MIB 512 /* long enough that starting and connecting hardly count */
#define HOLE_MIB 8192

typedef struct {
    const char *binary, *uri;
    char *image, *path, *words; /* owned; the manifest is at path */
} Upload;

static void
apply(gpointer data)
{
    const Upload *upload = data;
    const char *const argv[] = {upload->binary, "-q",         "-c",    upload->uri,
                                "apply",        upload->path, "--yes", NULL};

    if (bench_run(argv).status != 0)
        g_error("bench: the upload failed");
}

static void
delete_all(gpointer data)
{
    const Upload *upload = data;
    const char *const argv[] = {upload->binary, "-q",    "-c",      upload->uri,   "delete",
                                upload->path,   "--yes", "--allow", upload->words, NULL};

    if (bench_run(argv).status != 0)
        g_error("bench: the deletion failed");
}

/* A raw image of data, with a hole behind it. */
static Upload
upload_new(char **argv, const char *name, off_t hole)
{
    g_autofree char *data = g_malloc(1024 * 1024);
    g_autofree char *pool = g_build_filename(argv[3], "pool", NULL);
    char *image = g_build_filename(argv[3], name, NULL);
    int file = open(image, O_WRONLY | O_CREAT, 0644);

    memset(data, 'x', 1024 * 1024);
    for (guint i = 0; i < DATA_MIB; i++)
        if (write(file, data, 1024 * 1024) != 1024 * 1024)
            g_error("bench: can't write '%s'", image);
    if (ftruncate(file, DATA_MIB * (off_t)1024 * 1024 + hole) < 0)
        g_error("bench: can't write '%s'", image);
    close(file);
    g_autofree char *text =
        g_strdup_printf("project: bench\n"
                        "pools: {bench: {type: dir, path: %s}}\n"
                        "disks: {%s: {pool: bench, content: %s, format: raw}}\n",
                        pool, name, image);
    return (Upload){argv[1], argv[2], image, bench_write(text),
                    g_strdup_printf("delete,adopt=disk/%s", name)};
}

static void
upload_clear(Upload *upload)
{
    g_unlink(upload->image);
    g_unlink(upload->path);
    g_free(upload->image);
    g_free(upload->path);
    g_free(upload->words);
}

int
main(int argc, char **argv)
{
    if (argc < 4)
        g_error("usage: bench_upload KVMAPPLY URI FOLDER");
    Upload sparse = upload_new(argv, "sparse", HOLE_MIB * (off_t)1024 * 1024);
    Upload data = upload_new(argv, "data", 0);
    BenchSide ours = {apply, delete_all, &sparse, bench_wall, 0};
    BenchSide theirs = {apply, delete_all, &data, bench_wall, 0};

    bench_pair(5, &ours, &theirs);
    upload_clear(&sparse);
    upload_clear(&data);
    /* "the time of its data alone", and a tenth for the clock */
    bench_print_pair("upload an image with a hole of 8 GiB / its 512 MiB of data alone", &ours,
                     &theirs, 1.1);
    return bench_missed();
}
