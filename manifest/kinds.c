#include "manifest/manifest.h"

#include <string.h>

const KaKind *const ka_kinds[] = {
    &ka_kind_host,  &ka_kind_tuning, &ka_kind_network, &ka_kind_pool,
    &ka_kind_image, &ka_kind_disk,   &ka_kind_guest,
};
const gsize ka_n_kinds = G_N_ELEMENTS(ka_kinds);

const KaKind *
ka_kind_find(const char *name)
{
    for (gsize i = 0; i < ka_n_kinds; i++) {
        const KaTable *table = ka_kinds[i]->table;
        /* The first letter tells most apart: this is asked for every reference. */
        if (*name == *table->kind &&
            (strcmp(name, table->kind) == 0 || strcmp(name, table->plural) == 0))
            return ka_kinds[i];
    }
    return NULL;
}

gsize
ka_kind_index(const KaKind *kind)
{
    for (gsize i = 0; i < ka_n_kinds; i++)
        if (ka_kinds[i] == kind)
            return i;
    g_assert_not_reached();
}

const KaRows *
ka_kind_rows(const KaKind *kind)
{
    static gsize rows[G_N_ELEMENTS(ka_kinds)];
    gsize *made = &rows[ka_kind_index(kind)];
    if (g_once_init_enter(made))
        g_once_init_leave(made, (gsize)ka_rows_new(kind->table));
    return (const KaRows *)*made;
}
