#include "tests/manifest/loading.h"

#define TWO_HOSTS                                                                                  \
    "hosts: {kvm1: {uri: 'qemu+ssh://root@kvm1/system'}, kvm2: {uri: "                             \
    "'qemu+ssh://root@kvm2/system'}}\n"
#define POOL "pools: {fast: {type: dir, path: /srv/vm}}\n"

static void
assert_hosts(const Loaded *loaded, const char *kind, const char *name, const char *expected)
{
    g_autofree char *hosts = names_of(loaded_find(loaded, kind, name)->hosts);
    assert_string_equal(hosts, expected);
}

static void
resolve_without_hosts_puts_all_on_local(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(
        POOL
        "networks: {lan: {}}\n"
        "disks: {root: {pool: fast, size: 1GiB}}\n"
        "guests: {web: {memory: 1GiB, disks: {vda: {disk: root}}, nics: {lan: {network: lan}}}}\n");
    assert_hosts(loaded, "guest", "web", "local");
    assert_hosts(loaded, "pool", "fast", "local");
    assert_hosts(loaded, "network", "lan", "local");
    assert_hosts(loaded, "host", "local", "");
    const KaObject *local = loaded_find(loaded, "host", "local");
    assert_string_equal(ka_node_text(local->node, "uri"), "test:///default");
    g_autofree char *needs = names_of(loaded_find(loaded, "guest", "web")->needs);
    assert_string_equal(needs, "root lan");
    g_autofree char *disk_needs = names_of(loaded_find(loaded, "disk", "root")->needs);
    assert_string_equal(disk_needs, "fast");
}

static void
resolve_with_two_hosts_lets_things_follow_guests(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(
        TWO_HOSTS POOL
        "networks: {lan: {}, wan: {host: kvm2}}\n"
        "disks:\n"
        "  base: {pool: fast, size: 1GiB}\n"
        "  root1: {pool: fast, size: 1GiB, backing: base}\n"
        "  root2: {pool: fast, size: 1GiB, backing: base}\n"
        "  shared: {pool: fast, size: 1GiB}\n"
        "  alone: {pool: fast, size: 1GiB, host: kvm2}\n"
        "guests:\n"
        "  a: {host: kvm1, memory: 1GiB, disks: {vda: {disk: root1}, vdb: {disk: shared}}, nics: "
        "{n: {network: wan}}}\n"
        "  b: {host: kvm2, memory: 1GiB, disks: {vda: {disk: shared}}, nics: {n: {network: lan}}}\n"
        "  c: {host: kvm1, memory: 1GiB, disks: {vda: {disk: root2}}}\n");
    assert_hosts(loaded, "disk", "base", "kvm1");
    assert_hosts(loaded, "disk", "root2", "kvm1");
    assert_hosts(loaded, "disk", "shared", "kvm1 kvm2");
    assert_hosts(loaded, "disk", "alone", "kvm2");
    assert_hosts(loaded, "pool", "fast", "kvm1 kvm2");
    assert_hosts(loaded, "network", "lan", "kvm2");
    assert_hosts(loaded, "network", "wan", "kvm2");
    g_autofree char *needs = names_of(loaded_find(loaded, "guest", "a")->needs);
    assert_string_equal(needs, "root1 shared wan");
}

static void
resolve_of_unplaceable_says_which(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text(TWO_HOSTS POOL "disks:\n"
                                   "  alone: {pool: fast, size: 1GiB}\n"
                                   "  fixed: {pool: fast, size: 1GiB, host: kvm1}\n"
                                   "guests:\n"
                                   "  a: {memory: 1GiB}\n"
                                   "  b: {host: kvm2, memory: 1GiB, disks: {vda: {disk: fixed}}}\n"
                                   "networks: {lan: {}}\n");
    assert_contains(loaded->messages, "a.yaml:4:3: error: disk 'alone': no guest needs it and 2 "
                                      "hosts are declared: say which one with 'host'");
    assert_contains(
        loaded->messages,
        "a.yaml:7:3: error: guest 'a': 2 hosts are declared: say which one with 'host'");
    assert_contains(loaded->messages, "a.yaml:8:53: error: guest 'b' is on host 'kvm2', but disk "
                                      "'fixed' is declared on 'kvm1' at ");
    assert_contains(loaded->messages, "a.yaml:9:12: warning: network 'lan': no guest needs it");
    assert_int_equal(loaded->diagnostics->n_errors, 3);
}

static void
resolve_of_undeclared_names_the_nearest(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(POOL "disks: {web-root: {pool: fats, size: 1GiB}}\n"
                                                "guests:\n"
                                                "  web:\n"
                                                "    host: kvm1\n"
                                                "    memory: 1GiB\n"
                                                "    disks:\n"
                                                "      vda: {disk: web-rot}\n"
                                                "    nics:\n"
                                                "      lan: {network: default}\n");
    assert_contains(loaded->messages, "a.yaml:8:19: error: guest 'web': disk 'web-rot' is not "
                                      "declared; did you mean 'web-root'?");
    assert_contains(loaded->messages,
                    "a.yaml:5:11: error: guest 'web': host 'kvm1' is not declared");
    assert_contains(
        loaded->messages,
        "a.yaml:2:26: warning: disk 'web-root': pool 'fats' is not declared; did you mean 'fast'?");
    assert_lacks(loaded->messages, "'default'");
    assert_int_equal(loaded->diagnostics->n_errors, 2);
}

static void
resolve_of_backing_cycle_shows_the_whole_circle(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text("disks:\n"
                                           "  z: {size: 1GiB, backing: a}\n"
                                           "  a: {size: 1GiB, backing: b}\n"
                                           "  b: {size: 1GiB, backing: a}\n"
                                           "  self: {size: 1GiB, backing: self}\n");
    assert_contains(loaded->messages, "a.yaml:3:28: error: disk 'a' is made of itself: 'a' (");
    assert_contains(loaded->messages, "a.yaml:3:28) → 'b' (");
    assert_contains(loaded->messages, "a.yaml:4:28) → 'a'\n");
    assert_contains(loaded->messages, "a.yaml:5:31: error: disk 'self' is made of itself");
    assert_int_equal(loaded->diagnostics->n_errors, 2);
}

static void
resolve_of_endless_chain_is_refused(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new("disks:\n");
    for (int i = 0; i < 5000; i++)
        g_string_append_printf(text, "  d%d: {size: 1GiB, backing: d%d}\n", i, i + 1);
    g_string_append(text, "  d5000: {size: 1GiB}\n");
    g_autoptr(Loaded) loaded = loaded_text(text->str);
    assert_null(loaded->manifest);
    assert_contains(loaded->messages, "disk 'd199': a chain of more than 200");
}

static void
resolve_reads_protect_and_words(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("disks: {a: {size: 1GiB, protect: true}, b: {size: 1GiB, protect: no}}\n"
                    "guests: {web: {memory: 1GiB, allow: [restart, delete]}}\n");
    assert_true(loaded_find(loaded, "disk", "a")->protect);
    assert_false(loaded_find(loaded, "disk", "b")->protect);
    assert_int_equal(loaded_find(loaded, "guest", "web")->allow, KA_WORD_RESTART | KA_WORD_DELETE);
    for (guint i = 0; i < KA_N_WORDS; i++)
        assert_int_equal(ka_word_parse(ka_word_name((KaWord)(1u << i))), 1u << i);
    assert_int_equal(ka_word_parse("destroy"), 0);
    static const char *const things[] = {"networks: {a: {", "pools: {a: {type: dir, path: /a, ",
                                         "disks: {a: {size: 1GiB, ", "guests: {a: {memory: 1GiB, "};
    for (gsize i = 0; i < G_N_ELEMENTS(things); i++) {
        g_autofree char *text = g_strconcat(things[i], "allow: everything}}\n", NULL);
        g_autoptr(Loaded) wrong = loaded_text(text);
        assert_null(wrong->manifest);
        assert_contains(wrong->messages,
                        "allow[0]: expected one of restart, disrupt, delete, adopt");
    }
}

static void
resolve_of_equal_macs_names_both(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text(
        "guests:\n"
        "  a: {memory: 1GiB, nics: {lan: {network: default, mac: '52:54:00:AA:00:01'}}}\n"
        "  b:\n"
        "    memory: 1GiB\n"
        "    nics:\n"
        "      wan: {network: default, mac: '52:54:00:aa:00:01'}\n");
    assert_contains(loaded->messages, "a.yaml:6:36: warning: guest 'b': nics.wan: MAC address "
                                      "52:54:00:aa:00:01 is that of guest 'a', nics.lan at ");
    assert_contains(loaded->messages, "a.yaml:2:28\n");
}

static void
resolve_derives_a_mac_that_stays(void **state)
{
    (void)state;
    static const char *const text =
        "project: shop\nguests: {a: {memory: 1GiB, nics: {lan: {network: default}}}}\n";
    g_autoptr(Loaded) first = loaded_text(text);
    g_autoptr(Loaded) second = loaded_text(text);
    const KaNode *mac = ka_node_find(loaded_find(first, "guest", "a")->node, "nics.lan.mac");
    assert_true(mac->fresh);
    assert_true(g_str_has_prefix(mac->text, "52:"));
    assert_string_equal(mac->text,
                        ka_node_text(loaded_find(second, "guest", "a")->node, "nics.lan.mac"));
}

static void
resolve_of_a_disk_in_two_places_names_both(void **state)
{
    (void)state;
#define DISKS POOL "disks: {d: {pool: fast, size: 1GiB}}\n"
    g_autoptr(Loaded) two = loaded_text(DISKS "guests:\n"
                                              "  a: {disks: {vda: {disk: d}}}\n"
                                              "  b: {disks: {vda: {disk: d}}}\n");
    assert_contains(two->messages, "a.yaml:5:27: warning: guest 'b': disks.vda");
    assert_contains(two->messages, "a.yaml:4:15: two writers");
    g_autoptr(Loaded) one =
        loaded_text(DISKS "guests: {a: {disks: {vda: {disk: d}, vdb: {disk: d}}}}\n");
    assert_contains(one->messages, "error: guest 'a': disks.vdb");
    g_autoptr(Loaded) meant =
        loaded_text(DISKS "guests:\n"
                          "  a: {disks: {vda: {disk: d, read-only: true}}}\n"
                          "  b: {disks: {vda: {disk: d, shareable: true}}}\n");
    assert_string_equal(meant->messages, "");
    g_autoptr(Loaded) apart =
        loaded_text(TWO_HOSTS DISKS "guests:\n"
                                    "  a: {host: kvm1, disks: {vda: {disk: d}}}\n"
                                    "  b: {host: kvm2, disks: {vda: {disk: d}}}\n");
    assert_string_equal(apart->messages, "");
#undef DISKS
}

static void
resolve_of_two_names_for_one_host_is_refused(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text("hosts:\n"
                                           "  a: {uri: 'qemu:///system'}\n"
                                           "  b: {uri: 'qemu:///system'}\n");
    assert_contains(loaded->messages, "a.yaml:3:3: error: host 'b': its URI is that of host 'a'");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolve_without_hosts_puts_all_on_local),
        cmocka_unit_test(resolve_with_two_hosts_lets_things_follow_guests),
        cmocka_unit_test(resolve_of_unplaceable_says_which),
        cmocka_unit_test(resolve_of_undeclared_names_the_nearest),
        cmocka_unit_test(resolve_of_backing_cycle_shows_the_whole_circle),
        cmocka_unit_test(resolve_of_endless_chain_is_refused),
        cmocka_unit_test(resolve_reads_protect_and_words),
        cmocka_unit_test(resolve_of_equal_macs_names_both),
        cmocka_unit_test(resolve_derives_a_mac_that_stays),
        cmocka_unit_test(resolve_of_a_disk_in_two_places_names_both),
        cmocka_unit_test(resolve_of_two_names_for_one_host_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
