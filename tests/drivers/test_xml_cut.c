#include "drivers/xml_cut.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
xml_cut_texts_lose_grandchildren_of_the_name_alone(void **state G_GNUC_UNUSED)
{
    static const char *const texts[][2] = {
        {"<a><b><c/><d/></b></a>",                              "<a><b><d/></b></a>"                },
        {"<a><b><d>1</d><c x='1'>\n<e/>2</c> </b></a>",         "<a><b><d>1</d> </b></a>"           },
        {"<a><b><c><c/></c><c\n/><d/></b></a>",                 "<a><b><d/></b></a>"                },
        {"<a><c/><b><d><c/></d></b></a>",                       "<a><c/><b><d><c/></d></b></a>"     },
        {"<a><b><cc/><c-c/><n:c/></b></a>",                     "<a><b><cc/><c-c/><n:c/></b></a>"   },
        {"<?c <c>?><!--<a><b><c/>--><a><b><c/></b></a>",
         "<?c <c>?><!--<a><b><c/>--><a><b></b></a>"                                                 },
        {"<a><b><![CDATA[<c/></b>]]><c/></b></a>",              "<a><b><![CDATA[<c/></b>]]></b></a>"},
        {"<a><b x='/>'><d y=\"<'c/>\"/><c z='</c>'/>e</b></a>",
         "<a><b x='/>'><d y=\"<'c/>\"/>e</b></a>"                                                   },
        {"<c><c><c/></c></c>",                                  "<c><c></c></c>"                    },
        {"no XML",                                              "no XML"                            },
        {"",                                                    ""                                  },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *cut = ka_xml_cut(texts[i][0], "c");
        assert_string_equal(cut, texts[i][1]);
    }
}

/* Whatever it makes of them, it ends, and within the text. */
static void
xml_cut_broken_texts_are_survived(void **state G_GNUC_UNUSED)
{
    const char *text = "<a x='>'><b><!-- c --><c y=\"1\"><d/></c><![CDATA[x]]><?p?></b></a>";

    for (gsize from = 0; from < strlen(text); from++) {
        for (gsize length = 1; length <= strlen(text + from); length++) {
            g_autofree char *part = g_strndup(text + from, length);
            g_autofree char *cut = ka_xml_cut(part, "c");
            assert_non_null(cut);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xml_cut_texts_lose_grandchildren_of_the_name_alone),
        cmocka_unit_test(xml_cut_broken_texts_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
