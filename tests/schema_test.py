#!/usr/bin/env python3
"""The JSON Schema that kvmapply prints, by a validator of others' making.

usage: schema_test.py KVMAPPLY SOURCES
"""
import json
import pathlib
import subprocess
import sys
import unittest

import jsonschema
import yaml

kvmapply, sources = sys.argv[1], pathlib.Path(sys.argv[2])

GOOD = {
    "bare values": "guests: {web: {memory: 2GiB, vcpus: 2, disks: {vda: {disk: root}}}}",
    "absent": "guests: {web: {title: ~, disks: {vda: ~}, cpu: ~}}",
    "texts that YAML guesses about": "guests: {web: {title: 1.10, description: no, autostart: yes}}",
    "secrets": "guests: {web: {graphics: {vnc: {password: {env: VNC_PASSWORD}}}}}",
    "one for a list": "networks: {lan: {dhcp: 10.0.0.2-10.0.0.9, allow: disrupt}}",
    "numbers as keys": "guests: {web: {vcpus: {current: 2, pin: {0: 4, 1: 5-6}}}}",
    "anchors": "x-base: &base {memory: 1GiB}\nguests: {a: {<<: *base, vcpus: 1}}",
    "places": "guests: {web: {xml: {os/loader: <loader secure='yes'/>}}}",
}
WRONG = {
    "an unknown kind": "geusts: {}",
    "an unknown key": "guests: {web: {memry: 2GiB}}",
    "an unknown key below": "guests: {web: {disks: {vda: {cahce: none}}}}",
    "a bare number for a size": "guests: {web: {memory: 2048}}",
    "a size without a unit": "guests: {web: {memory: '2048'}}",
    "a unit that isn't one": "guests: {web: {memory: 2XiB}}",
    "a word of no enumeration": "guests: {web: {disks: {vda: {cache: writebak}}}}",
    "a text for a number": "guests: {web: {vcpus: two}}",
    "a number out of range": "guests: {web: {vcpus: 0}}",
    "a list for a map": "guests: {web: {disks: [vda]}}",
    "a map for a text": "guests: {web: {title: {a: b}}}",
    "a name that leaves its pool": "disks: {../web: {pool: fast, size: 1GiB}}",
    "a device that no alias holds": "guests: {web: {nics: {a.b: {network: lan}}}}",
    "nothing in a list": "guests: {web: {boot: [hd, ~]}}",
    "a secret from elsewhere": "guests: {web: {graphics: {vnc: {password: {url: x}}}}}",
    "an object that is nothing": "guests: {web: ~}",
    "an address without its prefix": "networks: {lan: {address: 192.168.50.1}}",
    "a list of manifests": "[]",
}


def as_json(value):
    """Keys of JSON are texts."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def documents(text):
    return [as_json(document) for document in yaml.safe_load_all(text) if document is not None]


class Schema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = subprocess.run([kvmapply, "schema"], check=True, capture_output=True).stdout
        cls.schema = json.loads(text)
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def messages(self, text):
        return [error.message for item in documents(text) for error in self.validator.iter_errors(item)]

    def test_schema_against_its_meta_schema_is_valid(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_schema_of_every_example_finds_nothing(self):
        examples = sorted(sources.glob("examples/**/*.yaml"))
        self.assertTrue(examples)
        for example in examples:
            with self.subTest(str(example.relative_to(sources))):
                self.assertEqual(self.messages(example.read_text()), [])

    def test_schema_of_good_manifests_finds_nothing(self):
        for name, text in GOOD.items():
            with self.subTest(name):
                self.assertEqual(self.messages(text), [])

    def test_schema_of_wrong_manifests_finds_it(self):
        for name, text in WRONG.items():
            with self.subTest(name):
                self.assertNotEqual(self.messages(text), [])


unittest.main(argv=sys.argv[:1])
