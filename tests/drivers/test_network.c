#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

#include "drivers/network.h"
#include "drivers/record.h"
#include "drivers/storage.h"
#include "planner/plan.h"

#define DATA KA_SOURCE_DIR "/tests/data/network"

/* Manifests of networks and what follows from them. The last needs what libvirt's test driver
 * lacks. */
static const char *const cases[] = {"bridge",  "everything",  "example", "isolated",
                                    "macvtap", "openvswitch", "addresses", "dnsmasq"};
#define N_TEST_DRIVER (G_N_ELEMENTS(cases) - 1)

typedef struct {
    KaHost host;
    KaManifest *manifest;
    KaDiagnostics *diagnostics;
    GPtrArray *found; /* owned KaActual */
    GMutex lock;
} State;

static const KaKind *
kind(void)
{
    return ka_kind_find("network");
}

static const GPtrArray *
networks(const State *state)
{
    return state->manifest->objects[ka_kind_index(kind())];
}

static void
load(State *state, const char *path)
{
    const char *const paths[] = {path, NULL};

    ka_manifest_free(state->manifest);
    ka_diagnostics_free(state->diagnostics);
    state->diagnostics = ka_diagnostics_new();
    state->manifest = ka_manifest_load(paths, NULL, state->diagnostics);
    for (guint i = 0; i < state->diagnostics->items->len; i++) {
        g_autofree char *text =
            ka_diagnostic_format(g_ptr_array_index(state->diagnostics->items, i));
        print_message("%s", text);
    }
    assert_non_null(state->manifest);
}

static void
load_case(State *state, const char *name)
{
    g_autofree char *path = g_strdup_printf(DATA "/%s.yaml", name);

    load(state, path);
}

/* Errors of a text, joined. */
static char *
errors_of(const char *text)
{
    g_autofree char *folder = g_dir_make_tmp("ka-network-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a.yaml", NULL);
    const char *const paths[] = {path, NULL};
    g_autoptr(KaDiagnostics) diagnostics = ka_diagnostics_new();
    g_autoptr(GString) errors = g_string_new(NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    g_autoptr(KaManifest) manifest = ka_manifest_load(paths, NULL, diagnostics);
    for (guint i = 0; i < diagnostics->items->len; i++) {
        const KaDiagnostic *item = g_ptr_array_index(diagnostics->items, i);
        g_string_append_printf(errors, "%u: %s\n", item->mark.line, item->message);
    }
    g_unlink(path);
    g_rmdir(folder);
    return g_string_free(g_steal_pointer(&errors), FALSE);
}

static void
found(KaActual *actual, gpointer data)
{
    State *state = data;

    g_mutex_lock(&state->lock);
    g_ptr_array_add(state->found, actual);
    g_mutex_unlock(&state->lock);
}

static KaActual *
observe(State *state, GHashTable *objects, const char *name)
{
    KaWanted wanted = {kind(), state->manifest ? state->manifest->project : "", objects, NULL};
    g_autoptr(GError) error = NULL;

    g_ptr_array_set_size(state->found, 0);
    gboolean done = ka_network_driver.observe(&state->host, &wanted, found, state, &error);
    if (!done)
        fail_msg("%s", error->message);
    for (guint i = 0; i < state->found->len; i++) {
        KaActual *actual = g_ptr_array_index(state->found, i);
        if (g_str_equal(actual->name, name))
            return g_ptr_array_steal_index(state->found, i);
    }
    return NULL;
}

/* The action that a plan would have for the object now. */
static KaAction *
plan_one(State *state, KaObject *object)
{
    g_autoptr(GHashTable) objects = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) error = NULL;

    g_hash_table_insert(objects, ka_borrow(object->name), object);
    KaActual *actual = observe(state, objects, object->name);
    KaAction *action =
        ka_action_new(actual ? KA_CHANGE : KA_CREATE, kind(), object->name, &state->host);
    action->object = object;
    action->actual = actual;
    action->project = state->manifest->project;
    if (actual)
        ka_diff(action, ka_kind_rows(kind()));
    if (!ka_network_driver.assess(&state->host, action, &error))
        fail_msg("%s", error->message);
    return action;
}

static void
carry_out(State *state, KaAction *action)
{
    GMutex lock;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    KaProgress progress = {.cancel = cancel, .lock = &lock, .timeout_seconds = 5};
    g_autoptr(GError) error = NULL;
    gboolean done = FALSE;

    g_mutex_init(&lock);
    if (action->verb == KA_CREATE)
        done = ka_network_driver.create(&state->host, action, &progress, &error);
    else if (action->verb == KA_CHANGE)
        done = ka_network_driver.change(&state->host, action, &progress, &error);
    else
        done = ka_network_driver.remove(&state->host, action, &progress, &error);
    g_mutex_clear(&lock);
    if (!done)
        fail_msg("%s: %s", action->name, error->message);
}

static void
apply(State *state)
{
    for (guint i = 0; i < networks(state)->len; i++) {
        g_autoptr(KaAction) action = plan_one(state, g_ptr_array_index(networks(state), i));
        if (action->verb == KA_CREATE || action->changes->len)
            carry_out(state, action);
    }
}

static char *
dump(State *state, const char *name)
{
    virNetworkPtr network = virNetworkLookupByName(ka_link(&state->host)->conn, name);
    assert_non_null(network);
    char *xml = virNetworkGetXMLDesc(network, 0);
    char *text = g_strdup(xml);

    free(xml);
    virNetworkFree(network);
    return text;
}

static void
erase(State *state, const char *name)
{
    virNetworkPtr network = virNetworkLookupByName(ka_link(&state->host)->conn, name);

    if (!network)
        return;
    if (virNetworkIsActive(network) == 1)
        virNetworkDestroy(network);
    virNetworkUndefine(network);
    virNetworkFree(network);
}

static int
setup(void **ret_state)
{
    State *state = g_new0(State, 1);

    g_mutex_init(&state->lock);
    state->found = g_ptr_array_new_with_free_func((GDestroyNotify)ka_actual_free);
    state->host.name = "local";
    state->host.uri = "test:///default";
    ka_link_connect(&state->host, 10);
    assert_null(state->host.error);
    *ret_state = state;
    return 0;
}

static int
teardown(void **data)
{
    State *state = *data;

    ka_link_disconnect(&state->host);
    g_free(state->host.real_uri);
    g_ptr_array_unref(state->found);
    ka_manifest_free(state->manifest);
    ka_diagnostics_free(state->diagnostics);
    g_mutex_clear(&state->lock);
    g_free(state);
    return 0;
}

/* --- the table --- */

static char *
built(const KaObject *object)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KaDocument) document =
        ka_document_build(kind()->table, ka_kind_rows(kind()), object->name, object->node, &error);

    if (!document)
        fail_msg("%s", error->message);
    ka_network_denormalise(document->xml);
    return ka_document_format(document);
}

static void
network_manifest_gives_golden_xml(void **data)
{
    State *state = *data;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autofree char *path = g_strdup_printf(DATA "/%s.xml", cases[i]);
        g_autofree char *golden = NULL;
        load_case(state, cases[i]);
        for (guint j = 0; j < networks(state)->len; j++) {
            g_autofree char *xml = built(g_ptr_array_index(networks(state), j));
            g_string_append(text, xml);
        }
        if (g_getenv("KA_REGENERATE"))
            assert_true(g_file_set_contents(path, text->str, -1, NULL));
        assert_true(g_file_get_contents(path, &golden, NULL, NULL));
        assert_string_equal(text->str, golden);
    }
}

static void
network_created_plans_empty(void **data)
{
    State *state = *data;

    for (gsize i = 0; i < N_TEST_DRIVER; i++) {
        load_case(state, cases[i]);
        apply(state);
        for (guint j = 0; j < networks(state)->len; j++) {
            KaObject *object = g_ptr_array_index(networks(state), j);
            g_autoptr(KaAction) action = plan_one(state, object);
            assert_int_equal(action->verb, KA_CHANGE);
            for (guint k = 0; k < action->changes->len; k++)
                print_message("%s: %s differs\n", cases[i],
                              ((KaChange *)g_ptr_array_index(action->changes, k))->path);
            assert_int_equal(action->changes->len, 0);
            assert_int_equal(action->notes->len, 0);
            assert_true(action->actual->active);
            assert_non_null(action->actual->record);
            erase(state, object->name);
        }
    }
}

/* What is exported makes the same network again. */
static void
network_exported_is_rebuilt_without_difference(void **data)
{
    State *state = *data;

    for (gsize i = 0; i < N_TEST_DRIVER; i++) {
        load_case(state, cases[i]);
        apply(state);
        for (guint j = 0; j < networks(state)->len; j++) {
            const KaObject *object = g_ptr_array_index(networks(state), j);
            g_autofree char *before = dump(state, object->name);
            g_autoptr(KaActual) actual = observe(state, NULL, object->name);
            assert_non_null(actual);
            if (ka_node_get(actual->config->root, "xml")) {
                g_autofree char *yaml = ka_emit(actual->config->root);
                fail_msg("%s", yaml);
            }
            KaNode *node = actual->config->root;
            g_autoptr(KaDocument) document =
                ka_document_build(kind()->table, ka_kind_rows(kind()), object->name, node, NULL);
            g_autoptr(KaDocument) original = ka_document_parse(ka_kind_rows(kind()), before, NULL);
            g_autoptr(KaRecord) record = ka_record_read(original, actual->uuid);
            assert_non_null(record);
            ka_record_write(document, record);
            ka_network_denormalise(document->xml);
            g_autofree char *text = ka_document_format(document);
            erase(state, object->name);
            virNetworkPtr again = virNetworkDefineXML(ka_link(&state->host)->conn, text);
            assert_non_null(again);
            virNetworkFree(again);
            g_autofree char *after = dump(state, object->name);
            assert_string_equal(before, after);
            erase(state, object->name);
        }
    }
}

static void
network_lease_of_guest_gets_its_mac(void **data)
{
    State *state = *data;

    load_case(state, "example");
    const KaObject *lan = g_ptr_array_index(networks(state), 0);
    const KaNode *mac = ka_node_find(lan->node, "dhcp.hosts.web.mac");
    assert_non_null(mac);
    assert_true(mac->fresh);
    const KaObject *web = ka_manifest_find(state->manifest, ka_kind_find("guest"), "web");
    assert_string_equal(mac->text, ka_node_text(web->node, "nics.main.mac"));
}

static void
network_contradiction_is_an_error_at_its_line(void **data)
{
    (void)data;
    g_autofree char *text = errors_of("networks:\n"
                                      "  a:\n"
                                      "    address: fd00::1/64\n"
                                      "  b:\n"
                                      "    address: 10.0.0.1/28\n"
                                      "    dhcp:\n"
                                      "      range: 10.0.0.5-10.0.0.17\n"
                                      "      hosts:\n"
                                      "        x: 10.0.0.4\n"
                                      "        y: 10.0.0.4\n"
                                      "        z: 10.0.1.4\n"
                                      "        w: {mac: 52:54:00:00:00:01}\n"
                                      "  c: {forward: bridge, bridge: br0,\n"
                                      "    dhcp: 10.0.0.5-10.0.0.9}\n"
                                      "  d:\n"
                                      "    forward: {mode: none, device: eth0}\n"
                                      "    vlan: {tags: [3], native: 4}\n"
                                      "    dhcp: {lease: 1h}\n");

    assert_non_null(strstr(text, "3: network 'a': address: expected an IPv4 address"));
    assert_non_null(strstr(text, "7: network 'b': DHCP range 10.0.0.5-10.0.0.17"));
    assert_non_null(strstr(text, "10: network 'b': hosts 'x' and 'y' have the same ip"));
    assert_non_null(strstr(text, "11: network 'b': 10.0.1.4 of host 'z'"));
    assert_non_null(strstr(text, "12: network 'b': host 'w' has no ip"));
    assert_non_null(strstr(text, "14: network 'c': 'dhcp' wants forward none, nat, route or open"));
    assert_non_null(strstr(text, "16: network 'd': forward.device wants a mode that forwards"));
    assert_non_null(strstr(text, "17: network 'd': vlan.native 4 is not among its tags"));
    assert_non_null(strstr(text, "18: network 'd': dhcp.lease is that of its ranges"));
}

/* --- the normal form --- */

/* What nobody changes is written as libvirt wrote it. */
static void
normal_form_and_back_is_the_same(void **data)
{
    static const char text[] =
        "<network connections=\"2\">\n"
        "  <name>n</name>\n"
        "  <forward mode=\"nat\">\n"
        "    <nat>\n"
        "      <port start=\"1024\" end=\"65535\"/>\n"
        "    </nat>\n"
        "  </forward>\n"
        "  <vlan trunk=\"yes\">\n"
        "    <tag id=\"42\" nativeMode=\"tagged\"/>\n"
        "    <tag id=\"47\"/>\n"
        "  </vlan>\n"
        "  <ip address=\"10.0.0.1\" prefix=\"24\"/>\n"
        "  <ip address=\"10.0.1.1\" netmask=\"255.255.254.0\">\n"
        "    <dhcp>\n"
        "      <range start=\"10.0.1.4\" end=\"10.0.1.9\">\n"
        "        <lease expiry=\"60\" unit=\"minutes\"/>\n"
        "      </range>\n"
        "      <host mac=\"52:54:00:00:00:01\" ip=\"10.0.1.2\"/>\n"
        "      <host mac=\"52:54:00:00:00:02\" name=\"two\" ip=\"10.0.1.3\"/>\n"
        "      <host mac=\"52:54:00:00:00:03\" name=\"two\" ip=\"10.0.1.10\"/>\n"
        "    </dhcp>\n"
        "  </ip>\n"
        "  <ip address=\"10.24.10.1\"/>\n"
        "  <ip family=\"ipv6\" address=\"fd00::1\" prefix=\"64\"/>\n"
        "  <ip family=\"ipv6\" address=\"fd00:1::1\"/>\n"
        "  <route address=\"10.9.0.0\" prefix=\"16\" gateway=\"10.0.0.2\"/>\n"
        "</network>\n";
    (void)data;
    g_autoptr(KaDocument) document = ka_document_parse(ka_kind_rows(kind()), text, NULL);
    ka_network_normalise(document->xml);
    g_autofree char *mode = ka_document_get(document, "forward.mode");
    g_autofree char *address = ka_document_get(document, "address");
    g_autofree char *native = ka_document_get(document, "vlan.native");
    g_autofree char *lease = ka_document_get(document, "dhcp.lease");
    assert_string_equal(mode, "nat");
    assert_string_equal(address, "10.0.1.1/23"); /* the one with DHCP is the main one */
    assert_string_equal(native, "42");
    assert_string_equal(lease, "3600");
    assert_non_null(ka_document_item(document, "dhcp.hosts.two", NULL));
    assert_non_null(ka_document_item(document, "dhcp.hosts.52:54:00:00:00:03", NULL));
    assert_non_null(ka_document_item(document, "routes.\"10.9.0.0/16\"", NULL));
    assert_non_null(ka_document_item(document, "addresses.\"10.24.10.1/default\"", NULL));
    ka_network_denormalise(document->xml);
    g_autofree char *after = ka_document_format(document);
    const char *rest = strstr(after, "<network>") + strlen("<network>");
    assert_string_equal(rest, strstr(text, ">") + 1); /* but for the count of connections */
}

/* The kept place of an address that changed is no address. */
static void
normal_form_of_a_changed_address_keeps_nothing_of_it(void **data)
{
    (void)data;
    g_autoptr(KaDocument) document =
        ka_document_parse(ka_kind_rows(kind()),
                          "<network><name>n</name><ip family='ipv6' address='fd00::1' prefix='64'/>"
                          "<ip address='10.0.1.1' netmask='255.255.255.0'/></network>",
                          NULL);
    ka_network_normalise(document->xml);
    assert_true(ka_document_set(document, "address", "10.0.2.1/24", NULL));
    ka_network_denormalise(document->xml);
    g_autofree char *text = ka_document_format(document);
    assert_null(strstr(text, "10.0.1.1"));
    assert_non_null(strstr(text, "<ip address=\"10.0.2.1\" netmask=\"255.255.255.0\"/>"));
    assert_non_null(strstr(text, "fd00::1"));
    assert_null(strstr(strstr(text, "fd00::1") + 1, "fd00::1"));
}

static void
normal_form_without_forward_is_isolated(void **data)
{
    (void)data;
    g_autoptr(KaDocument) document = ka_document_parse(
        ka_kind_rows(kind()), "<network><name>n</name><bridge name=\"b\"/></network>", NULL);
    ka_network_normalise(document->xml);
    g_autofree char *mode = ka_document_get(document, "forward.mode");
    assert_string_equal(mode, "none");
    ka_network_denormalise(document->xml);
    assert_null(ka_element_child(xmlDocGetRootElement(document->xml), "forward"));
}

/* --- the driver --- */

static void
network_inactive_by_manifest_is_not_started(void **data)
{
    State *state = *data;
    g_autofree char *folder = g_dir_make_tmp("ka-network-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a.yaml", NULL);

    assert_true(g_file_set_contents(path, "networks:\n  off: {state: inactive, autostart: false}\n",
                                    -1, NULL));
    load(state, path);
    apply(state);
    g_autoptr(KaAction) action = plan_one(state, g_ptr_array_index(networks(state), 0));
    assert_false(action->actual->active);
    assert_int_equal(action->changes->len, 0);

    assert_true(
        g_file_set_contents(path, "networks:\n  off: {state: active, mtu: 1400}\n", -1, NULL));
    load(state, path);
    apply(state);
    g_autoptr(KaAction) again = plan_one(state, g_ptr_array_index(networks(state), 0));
    assert_true(again->actual->active);
    assert_int_equal(again->changes->len, 0);
    g_autofree char *text = dump(state, "off");
    assert_non_null(strstr(text, "<mtu size='1400'/>"));
    erase(state, "off");
    g_unlink(path);
    g_rmdir(folder);
}

static void
network_changed_since_the_plan_is_an_error(void **data)
{
    State *state = *data;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    KaProgress progress = {.cancel = cancel};
    g_autoptr(GError) error = NULL;

    load_case(state, "bridge");
    apply(state);
    g_autoptr(KaAction) action = plan_one(state, g_ptr_array_index(networks(state), 0));
    virNetworkPtr network = virNetworkLookupByName(ka_link(&state->host)->conn, "host");
    assert_int_equal(virNetworkSetAutostart(network, 0), 0);
    virNetworkFree(network);
    assert_false(ka_network_driver.change(&state->host, action, &progress, &error));
    assert_true(g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_CHANGED));
    erase(state, "host");
}

static void
network_restart_wants_the_word_disrupt(void **data)
{
    State *state = *data;
    g_autofree char *folder = g_dir_make_tmp("ka-network-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a.yaml", NULL);

    assert_true(g_file_set_contents(path, "networks: {n: {address: 10.0.0.1/24}}\n", -1, NULL));
    load(state, path);
    apply(state);
    assert_true(g_file_set_contents(path, "networks: {n: {address: 10.0.0.1/25}}\n", -1, NULL));
    load(state, path);
    g_autoptr(KaAction) action = plan_one(state, g_ptr_array_index(networks(state), 0));
    assert_int_equal(action->changes->len, 1);
    assert_int_equal(action->words, KA_WORD_DISRUPT);
    erase(state, "n");
    g_unlink(path);
    g_rmdir(folder);
}

/* An ordinary user's libvirt makes no bridge: said before anything begins. */
static void
network_on_a_session_is_refused(void **data)
{
    State *state = *data;
    g_autoptr(GError) error = NULL;
    g_autofree char *real_uri = g_steal_pointer(&state->host.real_uri);

    load_case(state, "example");
    g_autoptr(KaAction) action = ka_action_new(KA_CREATE, kind(), "lan", &state->host);
    action->object = g_ptr_array_index(networks(state), 0);
    state->host.real_uri = g_strdup("qemu:///session");
    assert_false(ka_network_driver.assess(&state->host, action, &error));
    assert_true(g_error_matches(error, KA_HOST_ERROR, KA_HOST_ERROR_INVALID));
    assert_non_null(strstr(error->message, "qemu:///system"));
    g_free(state->host.real_uri);
    state->host.real_uri = g_steal_pointer(&real_uri);
}

static void
network_removed_is_gone(void **data)
{
    State *state = *data;

    load_case(state, "isolated");
    apply(state);
    g_autoptr(KaAction) action = plan_one(state, g_ptr_array_index(networks(state), 0));
    action->verb = KA_REMOVE;
    carry_out(state, action);
    assert_null(virNetworkLookupByName(ka_link(&state->host)->conn, "inner"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(network_manifest_gives_golden_xml, setup, teardown),
        cmocka_unit_test_setup_teardown(network_created_plans_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(network_exported_is_rebuilt_without_difference, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(network_lease_of_guest_gets_its_mac, setup, teardown),
        cmocka_unit_test(network_contradiction_is_an_error_at_its_line),
        cmocka_unit_test(normal_form_and_back_is_the_same),
        cmocka_unit_test(normal_form_of_a_changed_address_keeps_nothing_of_it),
        cmocka_unit_test(normal_form_without_forward_is_isolated),
        cmocka_unit_test_setup_teardown(network_inactive_by_manifest_is_not_started, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(network_changed_since_the_plan_is_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(network_restart_wants_the_word_disrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(network_on_a_session_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(network_removed_is_gone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
