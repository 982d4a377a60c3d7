#!/bin/sh
# ansible.sh KVMAPPLY URI: planning 50 unchanged guests against a playbook of community.libvirt that
# says the same of the same guests and has nothing to do. The host must be empty; it is left empty.
# Exits with 77 where it can't be measured.
set -eu
binary=$1 uri=$2
name="plan 50 unchanged guests / Ansible's community.libvirt doing nothing"
if ! ansible-doc -t module community.libvirt.virt 2>/dev/null | grep -q LIBVIRT ||
    ! /usr/bin/python3 -c 'import libvirt' 2>/dev/null; then
    echo "$name: not measured (0.01)   install the packages ansible and python3-libvirt for it"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

seconds() { # CMD…: how long it takes; its output only where it fails
    start=$(date +%s%N)
    "$@" >"$folder/log" 2>&1 || { cat "$folder/log" >&2 && exit 1; }
    echo "$start $(date +%s%N)" | awk '{printf "%.3f", ($2 - $1) / 1e9}'
}
{
    echo "project: bench"
    echo "guests:"
    for i in $(seq 50); do echo "  guest-$i: {vcpus: 1, memory: 64MiB, state: off}"; done
} >"$folder/m.yaml"
"$binary" -q -c "$uri" apply --yes "$folder/m.yaml" >/dev/null
mkdir "$folder/xml"
for i in $(seq 50); do virsh -c "$uri" dumpxml --inactive "guest-$i" >"$folder/xml/$i"; done
cat >"$folder/play.yaml" <<EOF
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - community.libvirt.virt:
        uri: "$uri"
        command: define
        xml: "{{ lookup('file', '$folder/xml/' ~ item) }}"
      loop: "{{ range(1, 51) | list }}"
EOF
export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3
theirs=$(seconds ansible-playbook -i localhost, -e ansible_python_interpreter=/usr/bin/python3 "$folder/play.yaml")
ours=$(seconds "$binary" -q -c "$uri" plan "$folder/m.yaml")
for i in $(seq 50); do virsh -q -c "$uri" undefine "guest-$i" >/dev/null; done
awk -v name="$name" -v ours="$ours" -v theirs="$theirs" 'BEGIN {
    missed = ours / theirs > 0.01
    printf "%s: %.4f (0.01) %s   %s / %s s\n", name, ours / theirs, missed ? "MISSED" : "pass", ours, theirs
    exit missed
}'
