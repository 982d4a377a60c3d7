#include "manifest/manifest.h"

static const char *const names[] = {"restart", "disrupt", "delete", "adopt"};
G_STATIC_ASSERT(G_N_ELEMENTS(names) == KA_N_WORDS);

const KaCodec ka_allowed = {
    .name = "allowed", .values = names, .n_values = KA_N_WORDS, .json_type = "string"};

const char *
ka_word_name(KaWord word)
{
    for (guint i = 0; i < KA_N_WORDS; i++)
        if (word == (KaWord)(1u << i))
            return names[i];
    return NULL;
}

KaWords
ka_word_parse(const char *name)
{
    for (guint i = 0; i < KA_N_WORDS; i++)
        if (g_str_equal(name, names[i]))
            return 1u << i;
    return 0;
}
