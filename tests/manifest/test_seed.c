#include "tests/manifest/loading.h"

#include "manifest/seed.h"

#define GUEST(seed)                                                                                \
    "project: shop\n"                                                                              \
    "disks: {root: {pool: fast, size: 1GiB}}\n"                                                    \
    "guests:\n"                                                                                    \
    "  web:\n"                                                                                     \
    "    memory: 1GiB\n"                                                                           \
    "    disks: {vda: {disk: root}}\n"                                                             \
    "    seed: " seed "\n"

static const KaNode *
node_of(const Loaded *loaded, const char *path)
{
    return ka_node_find(loaded_find(loaded, "guest", "web")->node, path);
}

static const char *
text_of(const Loaded *loaded, const char *path)
{
    const KaNode *node = node_of(loaded, path);

    return node && node->type == KA_NODE_SCALAR ? node->text : NULL;
}

static char *
volume_of(const char *text)
{
    g_autoptr(Loaded) loaded = loaded_text(text);
    g_autoptr(KaSeed) seed = ka_seed_new(loaded_find(loaded, "guest", "web"));

    assert_non_null(seed);
    return g_strdup(seed->volume);
}

static void
seed_of_a_map_becomes_a_cdrom_with_cloud_config(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) loaded =
        loaded_text(GUEST("{user-data: {lock: false, mode: \"0644\", list: [a, 1], none: ~}}"));
    g_autoptr(KaSeed) seed = ka_seed_new(loaded_find(loaded, "guest", "web"));

    assert_string_equal(loaded->messages, "");
    assert_string_equal(text_of(loaded, "seed.user-data"), "#cloud-config\n"
                                                           "lock: false\n"
                                                           "mode: \"0644\"\n"
                                                           "list:\n"
                                                           "  - a\n"
                                                           "  - 1\n"
                                                           "none: ~\n");
    assert_string_equal(seed->label, "cidata");
    assert_string_equal(seed->pool, "fast");
    g_autofree char *guest = ka_seed_guest(seed->volume);
    assert_string_equal(guest, "web");
    g_autofree char *source = g_strconcat("fast/", seed->volume, NULL);
    assert_string_equal(text_of(loaded, "disks.sdf.volume"), source);
    assert_string_equal(text_of(loaded, "disks.sdf.as"), "cdrom");
    assert_string_equal(text_of(loaded, "disks.sdf.bus"), "scsi");
    /* As if the user had declared it: so that the plan sees it change and go. */
    assert_false(node_of(loaded, "disks.sdf.volume")->fresh);
    assert_true(node_of(loaded, "seed.user-data")->secret);
}

static void
seed_has_an_identity_that_only_its_user_changes(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) first = loaded_text(GUEST("{user-data: {a: b}}"));
    g_autoptr(Loaded) second = loaded_text(GUEST("{user-data: {a: c}}"));
    g_autoptr(Loaded) own = loaded_text(GUEST("{meta-data: {instance-id: mine}}"));
    g_autoptr(Loaded) text = loaded_text(GUEST("{meta-data: \"instance-id: its\"}"));

    assert_string_equal(text_of(first, "seed.meta-data"), text_of(second, "seed.meta-data"));
    assert_contains(text_of(first, "seed.meta-data"), "local-hostname: web\n");
    assert_string_equal(text_of(own, "seed.meta-data"), "instance-id: mine\nlocal-hostname: web\n");
    assert_string_equal(text_of(own, "seed.user-data"), "");
    assert_string_equal(text_of(text, "seed.meta-data"),
                        "instance-id: its\nlocal-hostname: \"web\"\n");
}

static void
seed_of_other_content_has_another_volume(G_GNUC_UNUSED void **state)
{
    g_autofree char *one = volume_of(GUEST("{user-data: {a: b}}"));
    g_autofree char *same = volume_of(GUEST("{user-data: {a: b}, target: sdc}"));
    g_autofree char *other = volume_of(GUEST("{user-data: {a: c}}"));
    g_autofree char *drive = volume_of(GUEST("{config-drive: {user-data: {a: b}}}"));

    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    assert_string_not_equal(one, drive);
}

static void
seed_with_secrets_never_tells_them(G_GNUC_UNUSED void **state)
{
    static const char text[] = GUEST("{user-data: {password: {env: KA_TEST_SEED}}}");

    g_unsetenv("KA_TEST_SEED");
    g_autoptr(Loaded) refused = loaded_text(text);
    assert_null(refused->manifest);
    assert_contains(refused->messages, "seed.user-data.password: environment variable");
    g_setenv("KA_TEST_SEED", "geheim", TRUE);
    g_autoptr(Loaded) loaded = loaded_text(text);
    assert_contains(text_of(loaded, "seed.user-data"), "password: geheim\n");
    g_autofree char *emitted = ka_emit(loaded_find(loaded, "guest", "web")->node);
    assert_lacks(emitted, "geheim");
}

static void
seed_files_are_read_as_they_are(G_GNUC_UNUSED void **state)
{
    g_autoptr(Folder) folder = folder_new();

    folder_write(folder, "script", "#!/bin/sh\nexit\n");
    folder_write(folder, "line", "ssh-ed25519 AAAA\n");
    folder_write(folder, "a.yaml",
                 GUEST("{user-data: {file: script}, vendor-data: {k: [{file: line}], "
                       "s: {file: script}}}"));
    g_autoptr(Loaded) loaded = loaded_new((const char *const[]){folder->path, NULL});
    assert_string_equal(text_of(loaded, "seed.user-data"), "#!/bin/sh\nexit\n");
    assert_string_equal(text_of(loaded, "seed.vendor-data"), "#cloud-config\n"
                                                             "k:\n"
                                                             "  - ssh-ed25519 AAAA\n"
                                                             "s: |\n"
                                                             "  #!/bin/sh\n"
                                                             "  exit\n");
}

static void
seed_of_ignition_is_json_for_the_firmware(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) loaded = loaded_text(
        GUEST("{ignition: {ignition: {version: 3.3.0}, mode: 0644, on: true, n: -1, q: \"1\"}}"));
    g_autoptr(KaSeed) seed = ka_seed_new(loaded_find(loaded, "guest", "web"));

    assert_null(seed->label);
    assert_true(g_str_has_suffix(seed->volume, ".ign"));
    assert_null(node_of(loaded, "disks.sdf"));
    g_autofree char *source = g_strconcat("fast/", seed->volume, NULL);
    assert_string_equal(text_of(loaded, "fw-cfg.\"opt/com.coreos/config\".volume"), source);
    const char *text = text_of(loaded, "seed.ignition");
    assert_contains(text, "\"version\" : \"3.3.0\"");
    assert_contains(text, "\"mode\" : 420");
    assert_contains(text, "\"on\" : true");
    assert_contains(text, "\"n\" : -1");
    assert_contains(text, "\"q\" : \"1\"");
}

static void
seed_of_a_config_drive_has_its_layout(G_GNUC_UNUSED void **state)
{
    g_autoptr(Loaded) loaded =
        loaded_text(GUEST("{config-drive: {user-data: x, meta-data: {uuid: u}}}"));
    g_autoptr(KaSeed) seed = ka_seed_new(loaded_find(loaded, "guest", "web"));

    assert_string_equal(seed->label, "config-2");
    assert_int_equal(seed->files->len, 2);
    const KaSeedFile *files = (const KaSeedFile *)(const void *)seed->files->data;
    assert_string_equal(files[0].path, "openstack/latest/user_data");
    assert_string_equal(files[0].text, "x");
    assert_string_equal(files[1].path, "openstack/latest/meta_data.json");
    assert_contains(files[1].text, "\"uuid\" : \"u\"");
    assert_contains(files[1].text, "\"hostname\" : \"web\"");
}

static void
seed_is_refused_where_two_are_meant(G_GNUC_UNUSED void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {GUEST("{user-data: x, ignition: {}}"),                 "'user-data' and 'ignition' exclude"      },
        {GUEST("{user-data: x, config-drive: {}}"),             "'user-data' and 'config-drive' exclude"  },
        {GUEST("{ignition: {}, target: sda}"),                  "'target' and 'ignition' exclude"         },
        {GUEST("{user-data: x, target: vda}"),                  "expected a target of a cdrom"            },
        {GUEST("{target: sdb}") "    xml: {}\n    nosuch: 1\n", "unknown key 'nosuch'"                    },
        {GUEST("{user-data: {file: /nonexistent/x}}"),          "seed.user-data: can't read '/nonexistent"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Loaded) loaded = loaded_text(cases[i].text);
        assert_null(loaded->manifest);
        assert_contains(loaded->messages, cases[i].message);
    }
    g_autoptr(Loaded) taken = loaded_text("guests:\n"
                                          "  web:\n"
                                          "    memory: 1GiB\n"
                                          "    disks: {sdc: {path: /a}}\n"
                                          "    seed: {target: sdc}\n");
    assert_contains(taken->messages, "'disks' has another sdc");
}

static void
seed_volumes_are_told_by_their_names(G_GNUC_UNUSED void **state)
{
    static const struct {
        const char *volume, *guest;
    } cases[] = {
        {"kvmapply-seed-web-0123456789ab.iso",   "web"  },
        {"kvmapply-seed-web-2-0123456789ab.ign", "web-2"},
        {"kvmapply-seed-web-0123456789ag.iso",   NULL   },
        {"kvmapply-seed-web-0123456789ab.img",   NULL   },
        {"kvmapply-seed-0123456789ab.iso",       NULL   },
        {"web",                                  NULL   },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *guest = ka_seed_guest(cases[i].volume);
        assert_int_equal(g_strcmp0(guest, cases[i].guest), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_of_a_map_becomes_a_cdrom_with_cloud_config),
        cmocka_unit_test(seed_has_an_identity_that_only_its_user_changes),
        cmocka_unit_test(seed_of_other_content_has_another_volume),
        cmocka_unit_test(seed_with_secrets_never_tells_them),
        cmocka_unit_test(seed_files_are_read_as_they_are),
        cmocka_unit_test(seed_of_ignition_is_json_for_the_firmware),
        cmocka_unit_test(seed_of_a_config_drive_has_its_layout),
        cmocka_unit_test(seed_is_refused_where_two_are_meant),
        cmocka_unit_test(seed_volumes_are_told_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
