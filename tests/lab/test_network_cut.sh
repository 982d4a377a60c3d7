#!/bin/sh
# Networks: a restart that is killed at any moment is finished by the next apply, guests and all.
. "$(dirname "$0")/story.sh"
start netcut

cat >m.yaml <<YAML
project: shop
networks:
  lan: {forward: nat, address: 192.168.50.1/24, mtu: 1400}
YAML

step "made, with a guest on the network and one on its bridge"
ka 0 apply --yes m.yaml
bridge=$(v net-info lan | sed -n 's/^Bridge: *//p')
guest() { # NAME INTERFACE-TYPE SOURCE
    cat >"$1.xml" <<XML
<domain type='qemu'>
  <name>$1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='$2'><source $3/><model type='virtio'/></interface></devices>
</domain>
XML
    v define "$1.xml"
    v start "$1"
}
guest a network "network='lan'"
guest b bridge "bridge='$bridge'"
taps() {
    lab exec netcut ip -o link show master "$bridge" 2>/dev/null | grep -c 'vnet' || true
}
is 2 taps

step "restarts that are killed"
mtu=1400
cut=0
for after in 0.02 0.05 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.1; do
    mtu=$((mtu - 1))
    edit m.yaml "s/mtu: .*/mtu: $mtu}/"
    timeout -s KILL $after "$KA_BINARY" -c "$uri" apply --yes --allow disrupt m.yaml >/dev/null 2>&1 </dev/null || true
    if v net-list --all --name | grep -q '^kvmapply-wait-'; then cut=$((cut + 1)); fi
    ka 0 apply --yes --allow disrupt m.yaml
    is 2 taps
    has "<mtu size='$mtu'/>" v net-dumpxml lan
    is lan v net-list --all --name
    unchanged m.yaml
done
[ $cut -gt 0 ] || die "no restart was cut in the middle"
is "a
b" v list --name

step "nobody's guests are cut off by a removal"
ka 1 delete --yes --allow delete m.yaml
says "runs on it"
is 2 taps
for name in a b; do
    v destroy $name
    v undefine $name
done
ka 0 delete --yes --allow delete m.yaml
is "" v net-list --all --name
