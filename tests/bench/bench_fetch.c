/* bench_fetch FOLDER: a download that is verified and cached, against curl's of the same file from
 * the same server on loopback (nginx, as Debian and Fedora have it). FOLDER should be in memory,
 * where nothing hides what verifying costs; what is made in it goes. */
#include "drivers/fetch.h"
#include "tests/bench/bench.h"
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <unistd.h>

#define FILE_MIB 1024
#define BLOCK_BYTES (1024 * 1024)
#define N_RUNS 5

typedef struct {
    const char *program; /* borrowed; this one */
    char *folder, *url, *cache, *curl, *output, *digest;
} Download;

/* What each run of our side is. */
static int
fetch(const char *url, const char *digest)
{
    GMutex lock;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    KaAction action = {0};
    KaProgress progress = {.cancel = cancel, .lock = &lock};
    const char *const urls[] = {url, NULL};
    const KaFetchRequest request = {.urls = urls, .sha256 = digest};

    g_mutex_init(&lock);
    g_autoptr(KaFetched) fetched = ka_fetch(&request, &action, &progress, &error);
    if (fetched == NULL)
        g_printerr("bench: %s\n", error->message);
    return fetched ? 0 : 1;
}

static void
run(const char *const *argv)
{
    if (bench_run(argv).status != 0)
        g_error("bench: %s failed", argv[0]);
}

static void
fetch_ours(gpointer data)
{
    const Download *download = data;

    run((const char *const[]){download->program, "--fetch", download->url, download->digest, NULL});
}

static void
fetch_theirs(gpointer data)
{
    const Download *download = data;

    run((const char *const[]){download->curl, "-s", "-f", "-o", download->output, download->url,
                              NULL});
}

static void
forget(gpointer data)
{
    const Download *download = data;
    g_autofree char *fetched =
        g_build_filename(download->cache, "kvmapply", "downloads", download->digest, NULL);

    g_unlink(fetched);
    g_unlink(download->output);
}

/* A file of no zeros, and its digest. */
static char *
write_file(const char *path)
{
    g_autofree guint8 *block = g_malloc(BLOCK_BYTES);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    for (guint i = 0; i < BLOCK_BYTES; i++)
        block[i] = (guint8)g_random_int_range(1, 256);
    for (guint i = 0; i < FILE_MIB; i++) {
        block[i] ^= 1;
        g_checksum_update(sum, block, BLOCK_BYTES);
        if (write(fd, block, BLOCK_BYTES) != BLOCK_BYTES)
            g_error("bench: can't write '%s'", path);
    }
    close(fd);
    return g_strdup(g_checksum_get_string(sum));
}

static guint16
free_port(void)
{
    g_autoptr(GSocketListener) listener = g_socket_listener_new();

    return g_socket_listener_add_any_inet_port(listener, NULL, NULL);
}

static void
await_port(guint16 port)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();

    for (guint i = 0; i < 100; i++) {
        g_autoptr(GSocketConnection) line =
            g_socket_client_connect_to_host(client, "127.0.0.1", port, NULL, NULL);
        if (line)
            return;
        g_usleep(50 * 1000);
    }
    g_error("bench: nginx doesn't answer");
}

/* In a folder of its own, with nothing of the system's configuration. */
static GSubprocess *
start_server(const char *folder, guint16 port)
{
    g_autofree char *nginx = g_find_program_in_path("nginx");
    g_autofree char *path = g_build_filename(folder, "nginx.conf", NULL);
    g_autofree char *log = g_build_filename(folder, "log", NULL);
    g_autofree char *text = g_strdup_printf(
        "daemon off; pid %s/pid; error_log %s; worker_processes 1;\n"
        "events {}\n"
        "http { access_log off; sendfile on; client_body_temp_path %s/t; proxy_temp_path %s/t;\n"
        "fastcgi_temp_path %s/t; uwsgi_temp_path %s/t; scgi_temp_path %s/t;\n"
        "server { listen 127.0.0.1:%u; root %s/www; } }\n",
        folder, log, folder, folder, folder, folder, folder, port, folder);

    if (!g_file_set_contents(path, text, -1, NULL))
        g_error("bench: can't write '%s'", path);
    GSubprocess *server =
        g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, NULL, nginx ? nginx : "/usr/sbin/nginx", "-e",
                         log, "-c", path, NULL);
    if (server == NULL)
        g_error("bench: nginx is needed");
    await_port(port);
    return server;
}

static void
remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name = NULL;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_tree(child);
    }
    g_remove(path);
}

int
main(int argc, char **argv)
{
    if (argc == 4 && g_str_equal(argv[1], "--fetch"))
        return fetch(argv[2], argv[3]);
    if (argc != 2)
        g_error("usage: bench_fetch FOLDER");
    guint16 port = free_port();
    g_autofree char *folder = g_build_filename(argv[1], "ka-fetch-XXXXXX", NULL);
    if (g_mkdtemp_full(folder, 0755) == NULL)
        g_error("bench: can't make a folder in '%s'", argv[1]);
    g_autofree char *www = g_build_filename(folder, "www", NULL);
    g_autofree char *file = g_build_filename(www, "file", NULL);
    g_mkdir(www, 0755);
    Download download = {.program = argv[0],
                         .folder = folder,
                         .url = g_strdup_printf("http://127.0.0.1:%u/file", port),
                         .cache = g_build_filename(folder, "cache", NULL),
                         .curl = g_find_program_in_path("curl"),
                         .output = g_build_filename(folder, "output", NULL),
                         .digest = write_file(file)};
    g_setenv("XDG_CACHE_HOME", download.cache, TRUE);
    g_setenv("no_proxy", "*", TRUE);
    g_autoptr(GSubprocess) server = start_server(folder, port);
    BenchSide ours = {fetch_ours, forget, &download, bench_wall, 0};
    BenchSide theirs = {fetch_theirs, forget, &download, bench_wall, 0};

    bench_pair(N_RUNS, &ours, &theirs);
    g_subprocess_send_signal(server, SIGTERM);
    g_subprocess_wait(server, NULL, NULL);
    remove_tree(folder);
    g_free(download.url);
    g_free(download.cache);
    g_free(download.curl);
    g_free(download.output);
    g_free(download.digest);
    /* 90 % of its rate is 1 / 0.9 of its time. */
    bench_print_pair("fetch and verify 1 GiB / curl of it", &ours, &theirs, 1.11);
    return bench_missed();
}
