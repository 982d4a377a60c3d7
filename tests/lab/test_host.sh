#!/bin/sh
# host check and host show: what they say is what the host has; here, over ssh, and where nobody answers.
. "$(dirname "$0")/story.sh"
start host --ssh
json() { # EXPRESSION: of the JSON in the file out
    python3 -c "import json; d = json.load(open('out')); print($1)"
}
findings='{f["name"]: f for f in d["hosts"][0]["findings"]}'

step "check: libvirt's own words, and KVM that isn't there"
ka 1 host check
says "pass libvirt" "pass tun" "fail kvm-in-libvirt qemu"
ka 1 host check --json
is "$(v version | sed -n 's/^Using library: libvirt //p')" json "$findings['libvirt']['found']"

step "over ssh the same"
inside=$uri
uri=$(lab uri host ssh)
ka 1 host check --json
is works json "$findings['login']['found']"
uri=$inside

step "show: guests and pools, as virsh has them"
mkdir -p pool
cat >m.yaml <<YAML
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 3GiB}
guests:
  web:
    vcpus: {current: 2, maximum: 4}
    memory: {current: 64MiB, maximum: 96MiB}
    disks: {vda: root}
    state: running
YAML
ka 0 apply --yes m.yaml
ka 0 host show
says "cpus" "2 of" "memory" "MiB promised" "pool fast" "GiB promised"
ka 0 host show --json
is 3221225472 json "[c['promised'] for c in d['hosts'][0]['capacity'] if c['name'] == 'pool fast'][0]"
is "$(v nodeinfo | sed -n 's/^CPU(s): *//p')" json "d['hosts'][0]['capacity'][0]['present']"
ka 0 delete --yes --allow delete,adopt m.yaml

step "a manifest's hosts, one of which nobody reaches"
cat >hosts.yaml <<YAML
hosts:
  here: {uri: "$uri"}
  gone: {uri: "qemu+unix:///system?socket=$work/none"}
  off: {uri: "qemu+unix:///system?socket=$work/off", offline: true}
YAML
ka 1 host show hosts.yaml
says "here" "cpus" "can't connect"
says_not "off "
ka 1 host check hosts.yaml
says "fail libvirt" "systemctl start libvirtd"
