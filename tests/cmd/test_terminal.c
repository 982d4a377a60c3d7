#include "cmd/progress.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const KaTerminal utf8 = {.is_utf8 = TRUE, .width = 20, .height = 24};
static const KaTerminal ascii = {.width = 20, .height = 24};

static void
terminal_clean_of_escapes_and_bidi_shows_question_marks(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = ka_terminal_clean(&utf8, "a\033[2Jb\xc2\x9bz\u202e\nc\td\xff");
    assert_string_equal(text, "a?[2Jb?z? c d\xef\xbf\xbd");
}

static void
terminal_clean_without_utf8_spells_arrows(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = ka_terminal_clean(&ascii, "2GiB → 4GiB…");
    assert_string_equal(text, "2GiB -> 4GiB...");
}

static void
text_width_of_wide_and_combining_characters_counts_columns(void **state G_GNUC_UNUSED)
{
    assert_int_equal(ka_text_width("abc"), 3);
    assert_int_equal(ka_text_width("日本"), 4);
    assert_int_equal(ka_text_width("e\u0301"), 1);
}

static void
terminal_cut_never_exceeds_width(void **state G_GNUC_UNUSED)
{
    for (guint width = 1; width < 12; width++) {
        g_autofree char *text = ka_terminal_cut(&utf8, "日本語 plan", width);
        assert_true(ka_text_width(text) <= width);
        assert_true(g_utf8_validate(text, -1, NULL));
    }
    g_autofree char *whole = ka_terminal_cut(&utf8, "plan", 4);
    assert_string_equal(whole, "plan");
    g_autofree char *plain = ka_terminal_cut(&ascii, "a long text", 6);
    assert_string_equal(plain, "a l...");
}

static void
terminal_wrap_breaks_between_words(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) out = g_string_new(NULL);
    ka_terminal_wrap(&utf8, out, KA_TONE_PLAIN, 4, "one two three four five\nsix\n");
    assert_string_equal(out->str, "    one two three\n    four five\n    six\n");
}

static void
terminal_wrap_of_long_word_keeps_it_whole(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) out = g_string_new(NULL);
    ka_terminal_wrap(&utf8, out, KA_TONE_PLAIN, 2, "at /srv/vm/a/path/that/is/long end");
    assert_string_equal(out->str, "  at\n  /srv/vm/a/path/that/is/long\n  end\n");
}

static void
terminal_new_of_file_has_no_colors(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    FILE *file = tmpfile();
    KaTerminal automatic = ka_terminal_new(file, KA_COLOR_AUTO);
    KaTerminal always = ka_terminal_new(file, KA_COLOR_ALWAYS);
    assert_false(automatic.is_terminal);
    assert_false(automatic.color);
    assert_true(always.color);
    ka_terminal_write(&automatic, "text");
    assert_true(ka_terminal_flush(&automatic, &error));
    fclose(file);
}

static void
terminal_flush_to_full_disk_is_error(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    FILE *file = fopen("/dev/full", "w");
    KaTerminal terminal = ka_terminal_new(file, KA_COLOR_NEVER);
    ka_terminal_write(&terminal, "text");
    assert_false(ka_terminal_flush(&terminal, &error));
    assert_non_null(strstr(error->message, "No space left"));
    fclose(file);
}

static void
step_of_upload_shows_bar_rate_and_time_left(void **state G_GNUC_UNUSED)
{
    const guint64 mib = 1024 * 1024;
    g_autofree char *text =
        ka_step_format(&utf8, "uploading", 512 * mib, 2048 * mib, "B", 4 * G_USEC_PER_SEC);
    assert_non_null(strstr(text, "uploading  25% ███░░░░░░░ 512.0"));
    assert_non_null(strstr(text, "128.0"));
    assert_non_null(strstr(text, "0:12 left"));
}

static void
step_without_total_or_at_zero_has_no_bar(void **state G_GNUC_UNUSED)
{
    g_autofree char *none = ka_step_format(&ascii, "starting", 0, 0, "", 0);
    g_autofree char *waiting = ka_step_format(&ascii, "waiting", 5, 60, "s", 5000000);
    g_autofree char *over = ka_step_format(&ascii, "waiting", 70, 60, "s", 5000000);
    assert_string_equal(none, "starting");
    assert_string_equal(waiting, "waiting   8% #--------- 0:05 of 1:00");
    assert_non_null(strstr(over, "100% ##########"));
}

int
main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal_clean_of_escapes_and_bidi_shows_question_marks),
        cmocka_unit_test(terminal_clean_without_utf8_spells_arrows),
        cmocka_unit_test(text_width_of_wide_and_combining_characters_counts_columns),
        cmocka_unit_test(terminal_cut_never_exceeds_width),
        cmocka_unit_test(terminal_wrap_breaks_between_words),
        cmocka_unit_test(terminal_wrap_of_long_word_keeps_it_whole),
        cmocka_unit_test(terminal_new_of_file_has_no_colors),
        cmocka_unit_test(terminal_flush_to_full_disk_is_error),
        cmocka_unit_test(step_of_upload_shows_bar_rate_and_time_left),
        cmocka_unit_test(step_without_total_or_at_zero_has_no_bar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
