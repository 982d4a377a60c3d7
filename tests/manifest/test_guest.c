#include "tests/manifest/loading.h"

#include "manifest/mac.h"

static void
mac_of_a_nic_is_always_the_same(void **state)
{
    (void)state;
    g_autofree char *mac = ka_guest_mac("shop", "web", "lan");
    g_autofree char *other = ka_guest_mac("shop", "web", "wan");

    /* Another would change the addresses of all guests that are there. Computed apart from this. */
    assert_string_equal(mac, "52:d7:50:b0:7b:57");
    assert_string_not_equal(mac, other);
}

static void
assert_text(const Loaded *loaded, const char *path, const char *expected)
{
    const KaNode *node = ka_node_find(loaded_find(loaded, "guest", "g")->node, path);

    assert_non_null(node);
    assert_string_equal(node->text, expected);
    assert_true(node->fresh);
}

static void
complete_of_disks_follows_names(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded = loaded_text("guests:\n"
                                           "  g:\n"
                                           "    memory: 1GiB\n"
                                           "    disks:\n"
                                           "      vda: {path: /a.qcow2}\n"
                                           "      sda: {path: /b}\n"
                                           "      sdb: {as: cdrom}\n"
                                           "      fda: {path: /c.img}\n");

    assert_string_equal(loaded->messages, "");
    assert_text(loaded, "disks.vda.bus", "virtio");
    assert_text(loaded, "disks.vda.format", "qcow2");
    assert_text(loaded, "disks.vda.as", "disk");
    assert_text(loaded, "disks.sda.bus", "scsi");
    assert_text(loaded, "disks.sda.format", "raw");
    assert_text(loaded, "disks.sdb.bus", "sata");
    assert_text(loaded, "disks.fda.as", "floppy");
}

static void
complete_of_maxima_follows_current_and_topology(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("guests:\n"
                    "  g: {memory: 1GiB, vcpus: 2, cpu: {topology: {sockets: 2, cores: 4}}}\n");

    assert_string_equal(loaded->messages, "");
    assert_text(loaded, "memory.maximum", "1048576");
    assert_text(loaded, "vcpus.maximum", "8");
}

static void
complete_of_contradictions_says_all_of_them(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("guests:\n"
                    "  g:\n"
                    "    memory: {current: 2GiB, maximum: 1GiB}\n"
                    "    vcpus: {current: 4, maximum: 2}\n"
                    "    boot: [hd]\n"
                    "    disks: {vda: {cache: none, boot-order: 1}, zz: {path: /x}}\n"
                    "    nics: {lan: {model: e1000e}}\n");

    assert_contains(loaded->messages, "a.yaml:3:23: error: guest 'g': memory.current");
    assert_contains(loaded->messages, "a.yaml:4:22: error: guest 'g': vcpus.current");
    assert_contains(loaded->messages, "boot-order of devices, found both (disks.vda)");
    assert_contains(loaded->messages, "disks.vda: expected one of disk, ");
    assert_contains(loaded->messages, "disks.zz: expected a target such as vda");
    assert_contains(loaded->messages, "nics.lan: expected one of network, bridge");
}

static void
complete_of_what_is_declared_absent_adds_nothing(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("guests:\n"
                    "  g: {memory: 1GiB, serial: ~, graphics: {vnc: {}}, video: ~}\n");
    const KaNode *node = loaded_find(loaded, "guest", "g")->node;

    assert_int_equal(ka_node_get(node, "serial")->type, KA_NODE_NULL);
    assert_int_equal(ka_node_get(node, "video")->type, KA_NODE_NULL);
    assert_text(loaded, "inputs.0.type", "tablet");
}

static void
guest_with_bare_words_has_their_disk_and_network(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("networks: {lan: {}}\n"
                    "pools: {fast: {type: dir, path: /srv/vm}}\n"
                    "disks: {root: {pool: fast, size: 1GiB}}\n"
                    "guests: {web: {memory: 1GiB, disks: {vda: root}, nics: {eth: lan}}}\n");
    const KaNode *web = loaded_find(loaded, "guest", "web")->node;
    assert_string_equal(ka_node_text(ka_node_find(web, "disks.vda"), "disk"), "root");
    assert_string_equal(ka_node_text(ka_node_find(web, "nics.eth"), "network"), "lan");
}

static void
wait_for_the_agent_wants_one(void **state)
{
    (void)state;
    g_autoptr(Loaded) loaded =
        loaded_text("guests:\n  g: {memory: 1GiB, wait: cloud-init, agent: false}\n");
    g_autoptr(Loaded) brief =
        loaded_text("guests:\n  g: {memory: 1GiB, wait: ssh, agent: false}\n");

    assert_contains(loaded->messages, "agent: expected true, since 'wait: cloud-init' asks");
    assert_string_equal(ka_node_text(loaded_find(brief, "guest", "g")->node, "wait.for"), "ssh");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guest_with_bare_words_has_their_disk_and_network),
        cmocka_unit_test(mac_of_a_nic_is_always_the_same),
        cmocka_unit_test(complete_of_disks_follows_names),
        cmocka_unit_test(complete_of_maxima_follows_current_and_topology),
        cmocka_unit_test(complete_of_contradictions_says_all_of_them),
        cmocka_unit_test(complete_of_what_is_declared_absent_adds_nothing),
        cmocka_unit_test(wait_for_the_agent_wants_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
