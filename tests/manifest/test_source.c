#include "tests/manifest/loading.h"

static KaSource *
source_of(const char *text)
{
    return ka_source_new("web.yaml", g_strdup(text), strlen(text));
}

static char *
format_at(const KaSource *source, guint32 line, guint32 column)
{
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){source, line, column}, "wrong");
    return diagnostics_text(diagnostics);
}

static void
diagnostic_with_tabs_puts_caret_below_character(void **state)
{
    (void)state;
    g_autoptr(KaSource) source = source_of("a\r\n\té: x\n");
    g_autofree char *text = format_at(source, 2, 5);
    assert_string_equal(text, "web.yaml:2:5: error: wrong\n  \té: x\n  \t   ^\n");
}

static void
diagnostic_in_long_line_shows_its_surroundings(void **state)
{
    (void)state;
    g_autofree char *line = g_strnfill(5000, 'x');
    line[3000] = 'Y';
    g_autoptr(KaSource) source = source_of(line);
    g_autofree char *text = format_at(source, 1, 3001);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    assert_true(strlen(lines[1]) < 120);
    const char *shown = strchr(lines[1], 'Y');
    assert_non_null(shown);
    assert_int_equal(g_utf8_pointer_to_offset(lines[1], shown), strchr(lines[2], '^') - lines[2]);
}

static void
diagnostic_of_secret_hides_the_line(void **state)
{
    (void)state;
    g_autoptr(KaSource) source = source_of("password: hunter2\n");
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){source, 1, 11}, "wrong");
    KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, 0);
    diagnostic->secret = TRUE;
    g_autofree char *text = ka_diagnostic_format(diagnostic);
    assert_string_equal(text, "web.yaml:1:11: error: wrong\n");
}

static void
diagnostic_beside_a_secret_hides_the_line(void **state)
{
    (void)state;
    g_autofree char *text = g_strdup_printf("a: 1\nvnc: {pasword: hunter2, port: x}\n"
                                            "vnc: {password: %0100d, port: x}\nb: 2\n",
                                            7);
    g_autoptr(KaSource) source = source_of(text);
    for (guint32 line = 2; line <= 3; line++)
        for (guint32 column = 1; column < 140; column += 30) {
            g_autofree char *shown = format_at(source, line, column);
            assert_lacks(shown, "hunter2");
            assert_lacks(shown, "0000");
        }
    g_autofree char *other = format_at(source, 4, 1);
    assert_contains(other, "b: 2");
    g_autofree char *back = format_at(source, 1, 4);
    assert_contains(back, "  a: 1\n     ^\n");
}

static void
diagnostics_of_one_long_line_are_shown_in_no_time(void **state)
{
    (void)state;
    g_autofree char *line = g_strnfill(2000000, 'x');
    g_autoptr(KaSource) source = source_of(line);
    gint64 start = g_get_monotonic_time();
    for (guint32 column = 1; column < 2000000; column += 100)
        g_free(format_at(source, 1, column));
    assert_true(g_get_monotonic_time() - start < 20 * G_USEC_PER_SEC);
}

static void
diagnostic_with_escapes_keeps_them_from_the_terminal(void **state)
{
    (void)state;
    g_autoptr(KaSource) source = source_of("a\x1b[31m\n");
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    ka_diagnostics_add(diagnostics, KA_WARNING, (KaMark){source, 1, 1}, "got '%s'", "\x1b]0;x\n");
    g_autofree char *text = diagnostics_text(diagnostics);
    assert_null(strchr(text, '\x1b'));
    assert_contains(text, "warning: got '\\x1b]0;x\\n'\n");
    assert_int_equal(diagnostics->n_errors, 0);
}

static void
diagnostic_without_place_is_one_line(void **state)
{
    (void)state;
    g_autofree char *text = format_at(NULL, 0, 0);
    assert_string_equal(text, "error: wrong\n");
}

static void
diagnostics_sorted_stand_by_source_then_place(void **state)
{
    (void)state;
    g_autoptr(KaSource) first = source_of("\n\n"), second = source_of("\n\n");
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    ka_diagnostics_add(diagnostics, KA_ERROR, KA_NOWHERE, "5");
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){first, 2, 1}, "2");
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){second, 1, 1}, "4");
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){first, 2, 1}, "3");
    ka_diagnostics_add(diagnostics, KA_ERROR, (KaMark){first, 1, 9}, "1");
    ka_diagnostics_sort(diagnostics);
    for (guint i = 0; i < 5; i++) {
        const KaDiagnostic *diagnostic = g_ptr_array_index(diagnostics->items, i);
        assert_int_equal(diagnostic->message[0], '1' + (int)i);
    }
}

static void
source_mark_counts_characters_and_every_break(void **state)
{
    (void)state;
    const char *text = "é\r\nb\rc\xc2\x85"
                       "déx";
    g_autoptr(KaSource) source = source_of(text);
    KaMark mark = ka_source_mark(source, strlen(text) - 1);
    assert_int_equal(mark.line, 4);
    assert_int_equal(mark.column, 3);
}

static void
source_with_byte_order_mark_drops_it(void **state)
{
    (void)state;
    g_autoptr(KaSource) source = source_of("\xef\xbb\xbf"
                                           "a");
    assert_string_equal(source->text, "a");
    assert_int_equal(source->length, 1);
}

static void
nearest_of_misspelt_is_the_one_meant(void **state)
{
    (void)state;
    static const char *const keys[] = {"memory", "vcpus", "disks", "nics"};
    assert_string_equal(ka_nearest("memroy", keys, 4), "memory");
    assert_string_equal(ka_nearest("disk", keys, 4), "disks");
    assert_string_equal(ka_nearest("vcpu", keys, 4), "vcpus");
    static const char *const twins[] = {"cpu", "vcpus"};
    assert_string_equal(ka_nearest("vcpu", twins, 2), "vcpus");
    assert_string_equal(ka_nearest("cpus", twins, 2), "cpu");
    assert_null(ka_nearest("graphics", keys, 4));
    assert_null(ka_nearest("x", keys, 4));
    g_autofree char *huge = g_strnfill(100000, 'm');
    assert_null(ka_nearest(huge, keys, 4));
    assert_null(ka_nearest("", NULL, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diagnostic_with_tabs_puts_caret_below_character),
        cmocka_unit_test(diagnostic_in_long_line_shows_its_surroundings),
        cmocka_unit_test(diagnostic_of_secret_hides_the_line),
        cmocka_unit_test(diagnostic_beside_a_secret_hides_the_line),
        cmocka_unit_test(diagnostics_of_one_long_line_are_shown_in_no_time),
        cmocka_unit_test(diagnostic_with_escapes_keeps_them_from_the_terminal),
        cmocka_unit_test(diagnostic_without_place_is_one_line),
        cmocka_unit_test(diagnostics_sorted_stand_by_source_then_place),
        cmocka_unit_test(source_mark_counts_characters_and_every_break),
        cmocka_unit_test(source_with_byte_order_mark_drops_it),
        cmocka_unit_test(nearest_of_misspelt_is_the_one_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
