#!/bin/sh
# Networks: leases changed while guests run, restarts that plug the taps back in.
. "$(dirname "$0")/story.sh"
start network

cat >m.yaml <<YAML
project: shop
networks:
  lan:
    forward: nat
    address: 192.168.50.1/24
    dhcp: {range: 192.168.50.100-192.168.50.200, hosts: {web: 192.168.50.10}}
guests:
  web:
$(guest_fields web)
    nics:
      lan: {network: lan}
YAML

lease() { # ADDRESS
    v net-dhcp-leases lan | grep -qF "$1/"
}
bridge() {
    v net-info lan | sed -n 's/^Bridge: *//p'
}
tap() {
    v domiflist web | sed -n 's/^\(vnet[0-9]*\).*/\1/p'
}
plugged() { # the guest's tap is in the network's bridge
    lab exec network ip -o link show master "$(bridge)" | grep -qw "$(tap)"
}

step "made, with its lease"
ka 0 apply --yes m.yaml
booted web
soon 60 lease 192.168.50.10
unchanged m.yaml

step "ranges and leases change live"
edit m.yaml 's/hosts: {web: 192.168.50.10}/hosts: {web: 192.168.50.10, db: 192.168.50.11}/' \
    's/192.168.50.200/192.168.50.210/'
ka 0 plan m.yaml
says "live"
ka 0 apply --yes m.yaml
has 192.168.50.11 v net-dumpxml lan
has 192.168.50.11 v net-dumpxml --inactive lan
has 192.168.50.210 v net-dumpxml lan
plugged || die "the tap is out of the bridge after a live change"
unchanged m.yaml

step "what needs a restart wants the word and names the guests on it"
edit m.yaml 's/address: 192.168.50.1/domain: shop.test\n    mtu: 1400\n    address: 192.168.50.1/'
ka 3 apply --yes m.yaml
says "disrupt" "web"
has_not shop.test v net-dumpxml --inactive lan
id=$(v domid web)
ka 0 apply --yes --allow disrupt m.yaml
has shop.test v net-dumpxml lan
is "$id" v domid web
plugged || die "the tap wasn't plugged back in"
unchanged m.yaml
has 192.168.50.1 lab exec network ip addr show "$(bridge)"
soon 60 lab exec network ping -c 1 -W 1 192.168.50.10

step "drift: a network stopped and changed with virsh"
v net-update lan add dns-host "<host ip='192.168.50.77'><hostname>drift</hostname></host>" --live --config
unchanged m.yaml
v net-destroy lan
ka 2 plan --detailed-exitcode m.yaml
says "network lan"
ka 0 apply --yes --allow disrupt m.yaml
is lan v net-list --name
plugged || die "the tap wasn't plugged back in after the network's start"

step "delete"
ka 0 delete --yes --allow delete m.yaml
is "" v net-list --all --name
