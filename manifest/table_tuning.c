#include "manifest/manifest.h"

#include <string.h>

KA_ENUM(huge_page_use, "always", "madvise", "never");
KA_ENUM(huge_page_defrag, "always", "defer", "defer+madvise", "madvise", "never");
KA_ENUM(huge_page_shmem, "always", "within_size", "advise", "never", "deny", "force");
KA_ENUM(ksm_advisor, "none", "scan-time");
KA_ENUM(queue_merges, "0", "1", "2");

static const KaCodec device_pattern = {.name = "device-pattern",
                                       .expected = "a block device's name or a pattern such as sd*",
                                       .json_type = "string",
                                       .pattern = "^[A-Za-z0-9_!*?-]+$"};
static const KaCodec page_size = {.name = "page-size",
                                  .expected = "a page's size such as 2MiB or 1GiB",
                                  .json_type = "string",
                                  .pattern = "^[0-9]+(KiB|MiB|GiB)$"};
static const KaCodec sysctl_name = {.name = "sysctl-name",
                                    .expected = "a sysctl's name such as vm.swappiness",
                                    .json_type = "string",
                                    .pattern = "^[A-Za-z0-9_-]+([./][A-Za-z0-9_:@-]+)+$"};

/* A place is a file of the host; the first '*' of it are the keys' (a sysctl's dots become slashes,
 * a size the kernel's number of kB), any other one is all that there are. */
static const KaField fields[] = {
    {.key = "host", .codec = &ka_host_name, .way = KA_NONE, .doc = "always the object's own name"},
    KA_ALLOW_ROWS,
    {.key = "ksm", .codec = &ka_map, .brief = "run", .way = KA_LIVE,
     .doc = "merging of equal memory pages; a bare value is 'run'"},
    {.key = "ksm.run", .codec = &ka_yes_no, .at = "/sys/kernel/mm/ksm/run", .way = KA_LIVE,
     .doc = "whether ksmd scans; kernel's default: false"},
    {.key = "ksm.pages-to-scan", .codec = &ka_positive, .at = "/sys/kernel/mm/ksm/pages_to_scan",
     .way = KA_LIVE,
     .doc = "pages between two sleeps; excludes advisor scan-time; kernel's default: 100"},
    {.key = "ksm.sleep", .codec = &ka_ms, .at = "/sys/kernel/mm/ksm/sleep_millisecs",
     .way = KA_LIVE, .doc = "time between two scans, such as 20ms; kernel's default: 20ms"},
    {.key = "ksm.merge-across-nodes", .codec = &ka_yes_no,
     .at = "/sys/kernel/mm/ksm/merge_across_nodes", .way = KA_LIVE,
     .doc = "whether pages of different NUMA nodes are merged; only while nothing is merged; "
            "kernel's default: true"},
    {.key = "ksm.max-page-sharing", .codec = &ka_positive,
     .at = "/sys/kernel/mm/ksm/max_page_sharing", .way = KA_LIVE,
     .doc = "users of one merged page, at least 2; kernel's default: 256"},
    {.key = "ksm.use-zero-pages", .codec = &ka_yes_no, .at = "/sys/kernel/mm/ksm/use_zero_pages",
     .way = KA_LIVE, .doc = "whether empty pages become the zero page; kernel's default: false"},
    {.key = "ksm.advisor", .codec = &ksm_advisor, .at = "/sys/kernel/mm/ksm/advisor_mode",
     .way = KA_LIVE, .doc = "none or scan-time (Linux 6.8); kernel's default: none"},
    {.key = "transparent-hugepages", .codec = &ka_map, .brief = "enabled", .way = KA_LIVE,
     .doc = "huge pages without asking; a bare value is 'enabled'"},
    {.key = "transparent-hugepages.enabled", .codec = &huge_page_use,
     .at = "/sys/kernel/mm/transparent_hugepage/enabled", .way = KA_LIVE,
     .doc = "always, madvise or never"},
    {.key = "transparent-hugepages.defrag", .codec = &huge_page_defrag,
     .at = "/sys/kernel/mm/transparent_hugepage/defrag", .way = KA_LIVE,
     .doc = "when memory is compacted for them: always, defer, defer+madvise, madvise or never"},
    {.key = "transparent-hugepages.shmem", .codec = &huge_page_shmem,
     .at = "/sys/kernel/mm/transparent_hugepage/shmem_enabled", .way = KA_LIVE,
     .doc = "for shared memory: always, within_size, advise, never, deny or force"},
    {.key = "transparent-hugepages.khugepaged-defrag", .codec = &ka_yes_no,
     .at = "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", .way = KA_LIVE,
     .doc = "whether khugepaged compacts memory; kernel's default: true"},
    {.key = "transparent-hugepages.khugepaged-pages-to-scan", .codec = &ka_positive,
     .at = "/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan", .way = KA_LIVE,
     .doc = "pages between two sleeps of khugepaged; kernel's default: 4096"},
    {.key = "transparent-hugepages.khugepaged-sleep", .codec = &ka_ms,
     .at = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", .way = KA_LIVE,
     .doc = "time between two scans of khugepaged; kernel's default: 10s"},
    {.key = "hugepages", .codec = &ka_map, .way = KA_LIVE,
     .doc = "reserved huge pages by their size, such as {2MiB: 1024}"},
    {.key = "hugepages.*", .codec = &ka_uint, .name = &page_size,
     .at = "/sys/kernel/mm/hugepages/hugepages-*kB/nr_hugepages", .way = KA_LIVE,
     .doc = "how many pages of this size, over all NUMA nodes"},
    {.key = "node-hugepages", .codec = &ka_map, .way = KA_LIVE,
     .doc = "the same by NUMA node, such as {0: {2MiB: 512}}"},
    {.key = "node-hugepages.*", .codec = &ka_map, .name = &ka_uint, .way = KA_LIVE,
     .doc = "a NUMA node's number"},
    {.key = "node-hugepages.*.*", .codec = &ka_uint, .name = &page_size,
     .at = "/sys/devices/system/node/node*/hugepages/hugepages-*kB/nr_hugepages", .way = KA_LIVE,
     .doc = "how many pages of this size on the node"},
    {.key = "io-scheduler", .codec = &ka_map, .way = KA_LIVE,
     .doc = "by block device or pattern, such as {sd*: mq-deadline, nvme*: none}"},
    {.key = "io-scheduler.*", .codec = &ka_word, .name = &device_pattern,
     .at = "/sys/block/*/queue/scheduler", .way = KA_LIVE,
     .doc = "none, mq-deadline, kyber or bfq; the old noop, deadline and cfq are taken for none, "
            "mq-deadline and bfq"},
    {.key = "io-queue", .codec = &ka_map, .way = KA_LIVE,
     .doc = "a block device's queue, by device or pattern"},
    {.key = "io-queue.*", .codec = &ka_map, .name = &device_pattern, .way = KA_LIVE,
     .doc = "a block device or pattern"},
    {.key = "io-queue.*.read-ahead", .codec = &ka_kib, .at = "/sys/block/*/queue/read_ahead_kb",
     .way = KA_LIVE, .doc = "how far is read ahead, such as 128KiB; the kernel rounds it"},
    {.key = "io-queue.*.requests", .codec = &ka_positive, .at = "/sys/block/*/queue/nr_requests",
     .way = KA_LIVE, .doc = "requests that may wait in the scheduler"},
    {.key = "io-queue.*.max-request", .codec = &ka_kib, .at = "/sys/block/*/queue/max_sectors_kb",
     .way = KA_LIVE, .doc = "the largest request, such as 512KiB; the hardware bounds it"},
    {.key = "io-queue.*.rotational", .codec = &ka_yes_no, .at = "/sys/block/*/queue/rotational",
     .way = KA_LIVE, .doc = "whether it is taken for a spinning disk"},
    {.key = "io-queue.*.no-merges", .codec = &queue_merges, .at = "/sys/block/*/queue/nomerges",
     .way = KA_LIVE, .doc = "0: requests are merged, 1: only simple ones, 2: none"},
    {.key = "sysctl", .codec = &ka_map, .way = KA_LIVE,
     .doc = "kernel parameters by name, such as {vm.swappiness: 10}"},
    {.key = "sysctl.*", .codec = &ka_line, .name = &sysctl_name, .at = "/proc/sys/*",
     .way = KA_LIVE, .doc = "the parameter's value"},
    {.key = "cpu-governor", .codec = &ka_word,
     .at = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor", .way = KA_LIVE,
     .doc = "of all CPUs: performance, schedutil, …, as the host has them"},
    {.key = "module-options", .codec = &ka_map, .way = KA_BOOT,
     .doc = "options of kernel modules, such as {kvm: {halt_poll_ns: 200000}}"},
    {.key = "module-options.*", .codec = &ka_map, .way = KA_BOOT, .doc = "a module's name"},
    {.key = "module-options.*.*", .codec = &ka_line, .at = "/sys/module/*/parameters/*",
     .way = KA_BOOT, .doc = "the option's value; takes effect when the module is loaded anew"},
};

static const KaTable table = {
    .kind = "tuning",
    .plural = "tuning",
    .root = "/", /* no document: the host's own files */
    .doc = "a host's kernel settings, by the host's name: at run time and over its next boot",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

static const struct {
    const char *old, *now;
} renamed[] = {{"noop", "none"}, {"deadline", "mq-deadline"}, {"cfq", "bfq"}};

static void
rename_schedulers(const KaObject *object, KaDiagnostics *diagnostics)
{
    const KaNode *schedulers = ka_node_get(object->node, "io-scheduler");

    for (KaNode *node = schedulers ? schedulers->first : NULL; node; node = node->next) {
        for (gsize i = 0; node->text && i < G_N_ELEMENTS(renamed); i++) {
            if (strcmp(node->text, renamed[i].old) != 0)
                continue;
            ka_diagnostics_add(diagnostics, KA_WARNING, ka_node_mark(node),
                               "tuning '%s': io-scheduler.%s: '%s' is the old name, taken for '%s'",
                               object->name, node->key, node->text, renamed[i].now);
            node->text = renamed[i].now;
        }
    }
}

/* The object is its host's. */
static void
complete(KaManifest *manifest, KaObject *object, KaDiagnostics *diagnostics)
{
    const KaNode *pages = ka_node_find(object->node, "ksm.pages-to-scan");
    KaNode *host = ka_node_new_scalar(manifest->tree, object->name);

    if (pages && g_strcmp0(ka_node_text(object->node, "ksm.advisor"), "scan-time") == 0)
        ka_diagnostics_add(diagnostics, KA_ERROR, ka_node_mark(pages),
                           "tuning '%s': ksm.pages-to-scan and the scan-time advisor exclude each "
                           "other",
                           object->name);
    rename_schedulers(object, diagnostics);
    host->row = ka_rows_find(ka_kind_rows(object->kind), "host")->row;
    host->fresh = TRUE;
    host->source = object->node->source;
    host->line = object->node->line;
    host->column = object->node->column;
    ka_node_append(manifest->tree, object->node, "host", host);
}

const KaKind ka_kind_tuning = {.table = &table, .complete = complete};
