#include "planner/record.h"

KaRecord *
ka_record_new(const char *project, const char *uuid)
{
    KaRecord *record = g_new0(KaRecord, 1);
    record->project = g_strdup(project);
    record->uuid = g_strdup(uuid);
    record->owned = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    record->volumes = g_ptr_array_new_with_free_func(g_free);
    record->protected_volumes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return record;
}

void
ka_record_free(KaRecord *record)
{
    if (!record)
        return;
    g_free(record->project);
    g_free(record->uuid);
    g_hash_table_unref(record->owned);
    g_ptr_array_unref(record->volumes);
    g_hash_table_unref(record->protected_volumes);
    g_free(record);
}
