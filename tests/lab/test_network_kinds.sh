#!/bin/sh
# Networks of every kind that this kernel has, and what of them changes while guests run.
. "$(dirname "$0")/story.sh"
start kinds

lab exec kinds sh -c 'ip link add hostbr type bridge && ip link set hostbr up
    ip link add under type dummy 2>/dev/null || ip link add under type veth peer name under1
    ip link set under up'
step "each is made, and plans empty"
cat >m.yaml <<YAML
project: shop
networks:
  lan:
    forward: nat
    address: 192.168.50.1/24
    address6: fd00:50::1/64
    dhcp: {range: 192.168.50.100-192.168.50.200, hosts: {web: 192.168.50.10, db: 192.168.50.11}}
    dhcp6: {range: 'fd00:50::100-fd00:50::200'}
    dns: {hosts: {192.168.50.1: [gate]}}
    routes: {10.9.0.0/16: {via: 192.168.50.9}}
  alone: {forward: none, address: 192.168.51.1/24}
  free: {forward: open, address: 192.168.52.1/24, dhcp: {range: 192.168.52.10-192.168.52.20}}
  routed: {forward: route, address: 192.168.53.1/24}
  bridged:
    forward: bridge
    bridge: hostbr
    portgroups: {fast: {default: true}, slow: {bandwidth: {inbound: {average: 1000KiB}}}}
guests:
  web:
$(guest_fields web)
    nics:
      lan: {network: lan, mac: '52:00:00:00:00:01'}
      out: {network: bridged}
YAML
ka 0 apply --yes m.yaml
unchanged m.yaml
has vnet lab exec kinds ip -o link show master hostbr
has "mode='open'" v net-dumpxml free
has_not "<forward" v net-dumpxml alone
has "<portgroup name='slow'>" v net-dumpxml bridged
has "gateway='192.168.50.9'" v net-dumpxml lan
has "start='fd00:50::100'" v net-dumpxml lan

step "DNS hosts change and leases go while guests run"
edit m.yaml 's/192.168.50.1: \[gate\]/192.168.50.1: [door], 192.168.50.7: [seven]/' 's/, db: 192.168.50.11//'
id=$(v domid web)
ka 0 apply --yes m.yaml
for half in "" --inactive; do
    has "<hostname>door</hostname>" v net-dumpxml lan $half
    has "<hostname>seven</hostname>" v net-dumpxml lan $half
    has_not "<hostname>gate" v net-dumpxml lan $half
    has_not 192.168.50.11 v net-dumpxml lan $half
    has 192.168.50.10 v net-dumpxml lan $half
done
is "$id" v domid web
unchanged m.yaml

step "an extra address of a family that is said shows no name of kvmapply's own in an export"
cat >extra.xml <<XML
<network><name>extra</name><ip family='ipv4' address='192.168.60.1' netmask='255.255.255.0'/>
<ip family='ipv4' address='192.168.61.1' netmask='255.255.255.0'/></network>
XML
v net-define extra.xml >/dev/null
ka 0 export network/extra
says_not "ka-" "xml:"
says 192.168.61.1/24

step "macvtap, where the kernel has it"
if lab exec kinds ip link add probe0 link under type macvtap 2>/dev/null; then
    lab exec kinds ip link del probe0
    cat >>m.yaml <<YAML
      tap: {network: vtap}
YAML
fi
sed -i 's/^guests:/  vtap: {forward: {mode: bridge, device: [under]}}\n&/' m.yaml
ka 0 apply --yes m.yaml
has "<interface dev='under'" v net-dumpxml vtap
unchanged m.yaml

step "delete"
ka 0 delete --yes --allow delete m.yaml
is extra v net-list --all --name
has hostbr lab exec kinds ip link show hostbr
