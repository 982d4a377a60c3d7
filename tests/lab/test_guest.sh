#!/bin/sh
# A guest's edges: restarts, power, updates of devices, guests that don't follow, snapshots, saves, crashes.
. "$(dirname "$0")/story.sh"
start guest

cat >m.yaml <<YAML
project: shop
networks:
  lan: {forward: nat, address: 192.168.50.1/24}
  other: {forward: none, address: 192.168.51.1/24}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 16MiB, format: qcow2}
guests:
  web:
$(guest_fields web)
    disks:
      vda: {disk: root}
    nics:
      lan: {network: lan}
    graphics: {vnc: {listen: 127.0.0.1, password: {env: VNC_PASSWORD}}}
YAML
export VNC_PASSWORD=secret1

step "values of devices change live"
ka 0 apply --yes m.yaml
says_not secret1
unchanged m.yaml
booted web
id=$(v domid web)
edit m.yaml 's/network: lan}/network: other, link: down}/'
VNC_PASSWORD=secret2
ka 0 plan m.yaml
says "nics.lan.network lan → other live" "nics.lan.link" "graphics.vnc.password"
says_not secret1 secret2
ka 0 apply --yes m.yaml
is "$id" v domid web
has other v domiflist web
has other v domiflist --inactive web
has "state='down'" v dumpxml web
has secret2 v dumpxml --security-info web
has secret2 v dumpxml --security-info --inactive web
unchanged m.yaml

step "pins are live"
edit m.yaml 's/current: 1, maximum: 4/current: 1, maximum: 4, pin: {0: 0}/'
ka 0 apply --yes m.yaml
is "$id" v domid web
has "<vcpupin vcpu='0' cpuset='0'/>" v dumpxml web
unchanged m.yaml

step "staged changes wait, and take effect by a restart that is allowed"
edit m.yaml 's/maximum: 256MiB/maximum: 288MiB/'
ka 0 apply --yes m.yaml
is "$id" v domid web
ka 0 plan --detailed-exitcode m.yaml
says "1 guest waits for its next boot"
ka 0 apply --yes --allow restart m.yaml
[ "$id" != "$(v domid web)" ] || die "no restart"
has 294912 v dumpxml web
unchanged m.yaml

step "a graceful shutdown wants the word; the guest can be paused and go on"
edit m.yaml 's/state: running/state: off/'
ka 3 apply --yes m.yaml
says restart
edit m.yaml 's/state: off/state: paused/'
ka 0 apply --yes m.yaml
is paused v domstate web
edit m.yaml 's/state: paused/state: running/'
ka 0 apply --yes m.yaml
is running v domstate web
booted web
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes --allow restart m.yaml
is "shut off" v domstate web
unchanged m.yaml

step "an overlay on the declared disk is that disk, and said"
v snapshot-create-as web snap --disk-only --no-metadata >/dev/null
has "root.snap" v domblklist --inactive web
v pool-refresh fast >/dev/null
ka 0 plan --detailed-exitcode m.yaml
says "overlay on disk 'root'"
edit m.yaml 's/current: 192MiB/current: 200MiB/'
ka 0 apply --yes m.yaml
has "root.snap" v domblklist --inactive web

step "a guest that was defined but never started is started by the next run"
cat >n.yaml <<YAML
project: shop2
guests:
  late: {vcpus: 1, memory: 64MiB, kernel: $work/missing, nics: {user: {user: true}}}
YAML
ka 1 apply --yes n.yaml
says "apply again to start it"
cp "$(lab guest)/vmlinuz" missing
ka 0 apply --yes n.yaml
is running v domstate late
unchanged n.yaml

step "a guest that doesn't shut down is an error, never cut off"
edit n.yaml 's/vcpus: 1/vcpus: 1, state: off/'
ka 1 apply --shutdown-timeout 8 --yes --allow restart n.yaml
says "didn't shut down within"
is running v domstate late

step "a device that the guest doesn't give back stays pending"
edit n.yaml 's/, state: off//' 's/, nics: .*}}}/}/'
v suspend late >/dev/null # after the kernel took over the slot
ka 0 apply --shutdown-timeout 8 --yes n.yaml
has "type='user'" v dumpxml late
has_not "type='user'" v dumpxml --inactive late
ka 0 plan --detailed-exitcode n.yaml
says nics.user
v resume late >/dev/null

step "a transient guest is given a definition"
v dumpxml --security-info late >late.xml
v undefine late
v destroy late
edit late.xml "s/<domain type='qemu' id='[0-9]*'/<domain type='qemu'/"
v create late.xml >/dev/null
is 1 sh -c "virsh -q -c '$uri' list --transient --name | grep -cx late"
edit n.yaml 's/memory: 64MiB/memory: 48MiB/'
ka 0 plan n.yaml
says transient
ka 0 apply --shutdown-timeout 8 --yes n.yaml
has "Persistent:     yes" v dominfo late

step "a managed save is said"
v managedsave late >/dev/null
ka 0 plan n.yaml
says "managed save"

step "deletion takes saves, snapshots and what runs"
v snapshot-create-as web internal >/dev/null 2>&1 || true
ka 0 delete --yes --allow delete n.yaml
ka 1 delete --yes --allow delete m.yaml
says "volume 'root.snap' needs it as a base"
v vol-delete root.snap fast >/dev/null
# Its guest is gone, and with it the record that said whose the disk is.
ka 0 delete --yes --allow delete,adopt=disk/root m.yaml
is "" v list --all --name
