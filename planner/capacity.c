#include "planner/plan.h"

/* What a guest may use, by its declaration: the most it can have, or what it has. */
static uint64_t
memory_kib(const KaObject *guest)
{
    const char *maximum = ka_node_text(guest->node, "memory.maximum");
    const char *current = ka_node_text(guest->node, "memory.current");
    const char *text = maximum ? maximum : current;

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static gboolean
runs_on(const KaObject *guest, const KaHost *host)
{
    return g_ptr_array_find(guest->hosts, host->object, NULL) &&
           g_strcmp0(ka_node_text(guest->node, "state"), "off") != 0;
}

void
ka_capacity_check(const KaManifest *manifest, KaHost *host)
{
    const GPtrArray *guests = manifest->objects[ka_kind_index(ka_kind_find("guest"))];
    const char *reserve_text = ka_node_text(host->object->node, "reserve-memory");
    uint64_t reserve_kib = reserve_text ? g_ascii_strtoull(reserve_text, NULL, 10) : 0;
    uint64_t wanted_kib = 0;

    for (guint i = 0; i < guests->len; i++) {
        const KaObject *guest = g_ptr_array_index(guests, i);
        if (runs_on(guest, host))
            wanted_kib += memory_kib(guest);
    }
    if (!host->memory_kib || wanted_kib + reserve_kib <= host->memory_kib)
        return;
    g_autofree char *wanted = g_format_size_full(wanted_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *has = g_format_size_full(host->memory_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *reserve = g_format_size_full(reserve_kib * 1024, G_FORMAT_SIZE_IEC_UNITS);
    g_ptr_array_add(
        host->warnings,
        g_strdup_printf(
            "its declared guests may use %s of memory, it has %s of which %s are reserved", wanted,
            has, reserve));
}
