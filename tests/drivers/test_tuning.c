/* What a host's files say of its settings, without a host. */
#include "drivers/tuning_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const KaField number = {.key = "x", .codec = &ka_kib};
static const KaField choice = {.key = "x", .codec = &ka_word};
static const KaField on = {.key = "x", .codec = &ka_yes_no};

static void
add_file(GPtrArray *files, const char *path, const char *text)
{
    KaHostFile *file = g_new0(KaHostFile, 1);
    *file = (KaHostFile){g_strdup(path), g_strdup(text)};
    g_ptr_array_add(files, file);
}

static void
running_of_several_devices_names_each_value_once(G_GNUC_UNUSED void **state)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)ka_host_file_free);
    KaTuningState all = {.files = files};
    char path[] = "/sys/block/sd*/queue/read_ahead_kb";
    KaTuningField field = {.path = path, .row = &number};

    assert_null(ka_tuning_running(&all, &field));
    add_file(files, "/sys/block/sda/queue/read_ahead_kb", "128\n");
    add_file(files, "/sys/block/sdb/queue/read_ahead_kb", "128\n");
    g_autofree char *equal = ka_tuning_running(&all, &field);
    assert_string_equal(equal, "128");
    add_file(files, "/sys/block/sdc/queue/read_ahead_kb", "12\n");
    add_file(files, "/sys/block/vda/queue/read_ahead_kb", "4\n");
    add_file(files, "/sys/block/sd/x/queue/read_ahead_kb", "5\n");
    g_autofree char *apart = ka_tuning_running(&all, &field);
    assert_string_equal(apart, "128, 12");
}

static void
kernel_text_is_read_as_the_codec_has_it(G_GNUC_UNUSED void **state)
{
    g_autofree char *chosen = ka_tuning_from_kernel(&choice, "always [madvise] never\n");
    g_autofree char *several = ka_tuning_from_kernel(&choice, "4096\t87380\t6291456\n");
    g_autofree char *yes = ka_tuning_from_kernel(&on, "Y\n");
    g_autofree char *no = ka_tuning_from_kernel(&on, "0\n");
    g_autofree char *one = ka_tuning_to_kernel(&on, "yes");

    assert_string_equal(chosen, "madvise");
    assert_string_equal(several, "4096 87380 6291456");
    assert_string_equal(yes, "yes");
    assert_string_equal(no, "no");
    assert_string_equal(one, "1");
}

static void
tune(KaTunings *tunings, const char *field, const char *path, const char *value, const char *was)
{
    KaTuned *tuned = g_new0(KaTuned, 1);
    *tuned = (KaTuned){.field = g_strdup(field),
                       .path = g_strdup(path),
                       .value = g_strdup(value),
                       .was = g_strdup(was)};
    g_hash_table_replace(tunings->by_field, tuned->field, tuned);
}

static KaTunings *
read_back(const GPtrArray *writes)
{
    KaTunings *tunings = ka_tunings_new();
    for (guint i = 0; i < writes->len; i++) {
        const KaHostWrite *write = g_ptr_array_index(writes, i);
        KaHostFile file = {write->path, write->text};
        if (write->way == KA_WRITE_FILE)
            ka_tunings_read(tunings, &file);
    }
    return tunings;
}

static void
files_say_again_what_was_written(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaTunings) tunings = ka_tunings_new();
    tunings->project = g_strdup("shop");
    tune(tunings, "sysctl.\"kernel.core_pattern\"", "/proc/sys/kernel/core_pattern", "|a 50% 'b'",
         "core =x y");
    tune(tunings, "ksm.run", "/sys/kernel/mm/ksm/run", "1", "");
    tune(tunings, "io-scheduler.\"sd*\"", "/sys/block/sd*/queue/scheduler", "none", NULL);
    tune(tunings, "module-options.kvm.halt_poll_ns", "/sys/module/kvm/parameters/halt_poll_ns", "0",
         "200000");
    g_autoptr(GPtrArray) writes = ka_tunings_write(tunings);
    g_autoptr(KaTunings) back = read_back(writes);

    assert_string_equal(back->project, "shop");
    assert_int_equal(g_hash_table_size(back->by_field), 4);
    const KaTuned *pattern =
        g_hash_table_lookup(back->by_field, "sysctl.\"kernel.core_pattern\"");
    assert_string_equal(pattern->value, "|a 50% 'b'");
    assert_string_equal(pattern->was, "core =x y");
    assert_string_equal(((KaTuned *)g_hash_table_lookup(back->by_field, "ksm.run"))->was, "");
    assert_null(((KaTuned *)g_hash_table_lookup(back->by_field, "io-scheduler.\"sd*\""))->was);
}

static void
line_changed_by_hand_says_no_value_but_what_was_before(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaTunings) tunings = ka_tunings_new();
    char path[] = "/etc/sysctl.d/90-kvmapply.conf";
    char text[] = "# kvmapply: project=shop\n"
                  "#: field=sysctl.x path=/proc/sys/vm/swappiness was=60 value=10\n"
                  "vm/swappiness = 11\n";
    KaHostFile file = {path, text};

    ka_tunings_read(tunings, &file);
    const KaTuned *tuned = g_hash_table_lookup(tunings->by_field, "sysctl.x");
    assert_non_null(tuned);
    assert_null(tuned->value);
    assert_string_equal(tuned->was, "60");
}

static void
file_of_others_says_nothing(G_GNUC_UNUSED void **state)
{
    g_autoptr(KaTunings) tunings = ka_tunings_new();
    char path[] = "/etc/sysctl.d/90-kvmapply.conf";
    char text[] = "#: field=sysctl.x path=/proc/sys/vm/swappiness was=60 value=10\n"
                  "vm/swappiness = 10\n";
    KaHostFile file = {path, text};

    ka_tunings_read(tunings, &file);
    assert_null(tunings->project);
    assert_int_equal(g_hash_table_size(tunings->by_field), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_of_several_devices_names_each_value_once),
        cmocka_unit_test(kernel_text_is_read_as_the_codec_has_it),
        cmocka_unit_test(files_say_again_what_was_written),
        cmocka_unit_test(line_changed_by_hand_says_no_value_but_what_was_before),
        cmocka_unit_test(file_of_others_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
