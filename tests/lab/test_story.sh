#!/bin/sh
# One guest's life: planned, made, changed while it runs, repaired, deleted.
. "$(dirname "$0")/story.sh"
start story

cat >m.yaml <<YAML
project: shop
networks:
  lan:
    forward: nat
    address: 192.168.50.1/24
    dhcp: {range: 192.168.50.100-192.168.50.200}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  web-root: {pool: fast, size: 64MiB, format: qcow2}
  web-data: {pool: fast, size: 32MiB, format: raw}
guests:
  web:
    title: The shop
$(guest_fields web)
    disks:
      vda: {disk: web-root}
    nics:
      lan: {network: lan}
YAML
: >empty.iso && : >other.iso

step "validate asks no host"
uri=qemu+unix:///nowhere ka 0 validate m.yaml

step "the plan has no side effects"
ka 2 plan --detailed-exitcode m.yaml
says "+ guest web" "+ disk web-root" "+ network lan" "+ pool fast" "5 to create"
is "" v list --all --name
is "" v net-list --all --name
is "" v pool-list --all --name
[ ! -e pool ] || die "the plan made the pool's folder"

step "apply wants --yes without a terminal"
ka 1 apply m.yaml
is "" v list --all --name

step "apply makes it so"
ka 0 apply --yes m.yaml
is running v domstate web
is web v list --name
is lan v net-list --name
is fast v pool-list --name
has 67108864 v vol-info --bytes web-root fast
has 'type="qcow2"' sh -c "virsh -c '$uri' vol-dumpxml web-root fast | sed \"s/'/\\\"/g\" | grep format"
is "The shop" v desc --title web
[ -s "$work/web.console" ] || soon 20 test -s "$work/web.console"

step "a second plan is empty"
unchanged m.yaml
ka 0 apply --yes m.yaml
booted web
soon 30 sh -c "virsh -q -c '$uri' net-dhcp-leases lan | grep 192.168.50."
unchanged m.yaml

step "live change: vcpus, memory, title, description, a disk and a NIC more"
id=$(v domid web)
edit m.yaml 's/current: 1, maximum: 4/current: 2, maximum: 4/' 's/current: 192MiB/current: 160MiB/' \
    's/title: The shop/title: The new shop\n    description: sells things/' \
    's/^      vda: .*/&\n      vdb: {disk: web-data}/' 's/^      lan: {network.*/&\n      extra: {network: lan}/'
ka 2 plan --detailed-exitcode m.yaml
says "~ guest web" "memory.current 192MiB → 160MiB live" "vcpus.current 1 → 2 live"
is 1 v vcpucount web --current --live
ka 0 apply --yes m.yaml
is "$id" v domid web
is 2 v vcpucount web --current --live
is 2 v vcpucount web --current --config
soon 10 sh -c "virsh -q -c '$uri' dommemstat web | grep -x 'actual 163840'"
is "The new shop" v desc --title web
is "The new shop" v desc --title --config web
is "sells things" v desc web
has vdb v domblklist web
has vdb v domblklist --inactive web
is 2 sh -c "virsh -q -c '$uri' domiflist web | grep -c lan"
is 2 sh -c "virsh -q -c '$uri' domiflist --inactive web | grep -c lan"
unchanged m.yaml

step "a device has one address, now and at the next boot"
for half in '' --inactive; do
    # shellcheck disable=SC2086
    v dumpxml $half web | grep -A12 "<target dev='vdb'" | sed -n 's/.*\(<address [^>]*>\).*/\1/p' | head -n 1 >"address$half"
done
cmp address address--inactive

step "drift made with virsh shows up and is repaired"
v detach-disk web vdb --live --config
v desc web --title --live --config "not ours" >/dev/null
v setvcpus web 3 --live
v dumpxml --inactive web >before.xml
ka 2 plan --detailed-exitcode m.yaml
says "disks.vdb" "title not ours → The new shop"
v dumpxml --inactive web | cmp - before.xml
sed -i 's/current: 2, maximum: 4/current: 3, maximum: 4/' m.yaml
ka 0 apply --yes m.yaml
has vdb v domblklist web
is "The new shop" v desc --title web
is 3 v vcpucount web --current --config
unchanged m.yaml

step "what nobody declared is left as it is"
v dumpxml --inactive --security-info web | sed "s|</os>|<bios rebootTimeout='7'/></os>|" >undeclared.xml
v define undeclared.xml
unchanged m.yaml
edit m.yaml 's/title: .*/title: again/'
ka 0 apply --yes m.yaml
has "rebootTimeout='7'" v dumpxml --inactive web

step "media change in a cdrom"
edit m.yaml "s|^      vdb: .*|&\n      sda: {as: cdrom, path: $work/empty.iso, format: raw}|"
ka 0 plan m.yaml
says "disks.sda"
id=$(v domid web)
ka 0 apply --yes m.yaml
is "$id" v domid web
has_not empty.iso v domblklist web
has empty.iso v domblklist --inactive web
ka 0 apply --yes --allow restart m.yaml
has empty.iso v domblklist web
[ "$id" != "$(v domid web)" ] || die "no restart"
id=$(v domid web)
edit m.yaml "s|empty.iso|other.iso|"
ka 0 apply --yes m.yaml
has other.iso v domblklist web
has other.iso v domblklist --inactive web
is "$id" v domid web
unchanged m.yaml

step "disk and NIC go again, and only staged things wait for the next boot"
booted web
sleep 2
edit m.yaml '/vdb:/d' '/extra:/d' 's/maximum: 256MiB/maximum: 320MiB/'
ka 0 plan m.yaml
says "disks.vdb" "nics.extra" "at next boot"
ka 0 apply --yes m.yaml
has_not vdb v domblklist web
has_not vdb v domblklist --inactive web
is 1 sh -c "virsh -q -c '$uri' domiflist web | grep -c lan"
has 327680 v dumpxml --inactive web
ka 0 plan --detailed-exitcode m.yaml
says "1 guest waits for its next boot"

step "delete wants its word, then removes all of it"
ka 3 delete --yes m.yaml
is running v domstate web
ka 0 delete --yes --allow delete m.yaml
is "" v list --all --name
is "" v net-list --all --name
is "" v pool-list --all --name
[ ! -e pool/web-root ] || die "the volume is still there"
ka 0 delete --yes --allow delete m.yaml
