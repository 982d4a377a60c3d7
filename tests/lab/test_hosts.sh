#!/bin/sh
# Several hosts over ssh; one is down, one stops answering; a guest isn't made twice.
. "$(dirname "$0")/story.sh"
start hostsa --ssh
start hostsb --ssh
a=$(lab uri hostsa)
b=$(lab uri hostsb)

manifest() { # HOST-OF-DB
    cat <<YAML
project: shop
hosts:
  kvm1: {uri: '$(lab uri hostsa ssh)'}
  kvm2: {uri: '$(lab uri hostsb ssh)'}
networks:
  lan: {forward: nat, address: 192.168.50.1/24}
pools:
  fast: {type: dir, path: /var/lib/libvirt/images}
disks:
  web-root: {pool: fast, size: 8MiB, format: qcow2}
  db-root: {pool: fast, size: 8MiB, format: qcow2}
guests:
  web: {host: kvm1, vcpus: 1, memory: 64MiB, state: off, disks: {vda: {disk: web-root}}, nics: {lan: {network: lan}}}
  db: {host: $1, vcpus: 1, memory: 64MiB, state: off, disks: {vda: {disk: db-root}}, nics: {lan: {network: lan}}}
YAML
}
manifest kvm2 >m.yaml
unset uri
ka() { # without -c: the manifest names its hosts
    wanted=$1
    shift
    status=0
    timeout "${limit:-120}" "$KA_BINARY" "$@" >out 2>err </dev/null || status=$?
    [ $status = "$wanted" ] || die "kvmapply $*: expected exit $wanted, got $status"
}

step "each host gets what its guests need"
ka 0 apply --yes m.yaml
is web virsh -q -c "$a" list --all --name
is db virsh -q -c "$b" list --all --name
is lan virsh -q -c "$a" net-list --name
is lan virsh -q -c "$b" net-list --name
is web-root sh -c "virsh -q -c '$a' vol-list fast | awk '{print \$1}'"
is db-root sh -c "virsh -q -c '$b' vol-list fast | awk '{print \$1}'"
ka 0 plan --detailed-exitcode m.yaml

step "a guest that is on another host is not made twice"
manifest kvm1 >moved.yaml
ka 1 plan moved.yaml
says db kvm1 kvm2
ka 1 plan --host kvm1 moved.yaml
says db kvm1 kvm2
ka 1 apply --yes moved.yaml
is web virsh -q -c "$a" list --all --name

step "--host and --target keep to their part"
sed 's/memory: 64MiB/memory: 80MiB/' m.yaml >bigger.yaml
ka 0 apply --yes --host kvm1 bigger.yaml
has 81920 virsh -c "$a" dumpxml web
has_not 81920 virsh -c "$b" dumpxml db
ka 0 apply --yes --target guest/db bigger.yaml
has 81920 virsh -c "$b" dumpxml db

step "a host that is down: its objects are unknown, the others go on, exit 1"
cp bigger.yaml three.yaml
sed -i "s|^networks:|  kvm3: {uri: 'qemu+unix:///system?socket=$work/nobody'}\n&|; s/80MiB/96MiB/" three.yaml
echo "  far: {host: kvm3, vcpus: 1, memory: 64MiB, state: off}" >>three.yaml
ka 1 plan three.yaml
says kvm3 nobody
ka 1 apply --yes three.yaml
has 98304 virsh -c "$a" dumpxml web
is db virsh -q -c "$b" list --all --name
sed -i "s|nobody'}|nobody', offline: true}|" three.yaml
edit three.yaml 's/98304/98304/;s/96MiB/112MiB/'
limit=60 ka 0 apply --yes --host kvm1 three.yaml

step "a host that answers no more is a time-out, never a hang"
daemon=$(lab exec hostsb cat /run/libvirtd.pid)
lab exec hostsb kill -STOP "$daemon"
began=$(date +%s)
limit=100 ka 1 --timeout 5 plan m.yaml
[ $(($(date +%s) - began)) -lt 60 ] || die "took $(($(date +%s) - began)) seconds"
says kvm2
lab exec hostsb kill -CONT "$daemon"

step "delete, on both"
ka 0 delete --yes --allow delete m.yaml
is "" virsh -q -c "$a" list --all --name
is "" virsh -q -c "$b" list --all --name
