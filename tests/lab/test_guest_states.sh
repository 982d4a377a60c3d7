#!/bin/sh
# What happens to guests behind kvmapply's back: snapshots, crashes, disks that are full, other hands.
. "$(dirname "$0")/story.sh"
start states

small=/var/lib/libvirt/small
lab exec states sh -c "mkdir $small && mount -t tmpfs -o size=1m small $small"
cat >m.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
  small: {type: dir, path: $small}
disks:
  root: {pool: fast, size: 16MiB, format: qcow2}
  tight: {pool: small, size: 16MiB, format: qcow2}
guests:
  web:
$(guest_fields web)
    disks:
      vda: {disk: root}
    nics:
      one: {user: true}
      two: {user: true}
  full:
$(guest_fields full | sed 's/type: file, path: .*}/type: pty}/')
    disks:
      vda: {disk: tight}
YAML
ka 0 apply --yes m.yaml
booted web
unchanged m.yaml

step "an internal snapshot changes nothing, and is no hindrance to a change"
v snapshot-create-as web first >/dev/null
has "<domainsnapshot" v snapshot-dumpxml web first
unchanged m.yaml
edit m.yaml 's/maximum: 256MiB}/maximum: 256MiB}\n    title: changed/'
ka 0 apply --yes --target guest/web m.yaml
unchanged --target guest/web m.yaml
v snapshot-revert web first
has_not "<title>" v dumpxml --inactive web
ka 2 plan --detailed-exitcode --target guest/web m.yaml
says "title"
ka 0 apply --yes m.yaml
unchanged m.yaml
is first v snapshot-list --name web

step "a disk with an internal snapshot grows"
edit m.yaml 's/root: {pool: fast, size: 16MiB/root: {pool: fast, size: 24MiB/'
ka 0 apply --yes m.yaml
has 25165824 v domblkinfo web vda
unchanged m.yaml

step "a guest whose QEMU was killed is said to be, and started"
pid=$(lab exec states cat /run/libvirt/qemu/web.pid)
lab exec states kill -9 "$pid"
soon 10 sh -c "virsh -q -c '$uri' domstate --reason web | grep -x 'shut off (crashed)'"
ka 2 plan --detailed-exitcode m.yaml
says "off since its hypervisor ended" "state off → running live"
ka 0 apply --yes m.yaml
is running v domstate web
unchanged m.yaml
says_not "hypervisor ended"

step "a guest that an I/O error paused is told from one that was paused on purpose"
terminal=$(v ttyconsole full)
broken() { # QEMU looks once a second whether somebody holds the terminal
    (sleep 1.2 && echo 'dd if=/dev/urandom of=/dev/vda bs=1M' && sleep 1) >"$terminal"
    v domstate --reason full | grep -qx 'paused (I/O error)'
}
soon 8 broken
ka 2 plan --detailed-exitcode m.yaml
says "paused by an I/O error" "state paused → running live"
edit m.yaml '/state: running/d'
v suspend web
ka 0 apply --yes m.yaml
is paused v domstate web
is paused v domstate full
ka 0 plan --detailed-exitcode m.yaml
says "guest full" "paused by an I/O error"
is 1 grep -c "paused by" out
lab exec states mount -o remount,size=64m "$small"
edit m.yaml 's/title: changed/&\n    state: running/'
ka 0 apply --yes m.yaml
is running v domstate full
unchanged m.yaml
says_not "I/O error"

step "devices that virsh edit took away, added and reordered"
v dumpxml --inactive --security-info web >web.xml
python3 - <<'PYTHON'
import re
text = open("web.xml").read()
nics = re.findall(r"    <interface.*?</interface>\n", text, re.S)
disk = re.search(r"    <disk.*?</disk>\n", text, re.S).group()
assert len(nics) == 2
added = "<interface type='server'><mac address='52:00:00:00:00:99'/><source address='127.0.0.1' port='5558'/></interface>\n"
text = text.replace(nics[0], "").replace(disk, "").replace(nics[1], added)
text = re.sub(r"  <memory .*?</memory>\n", "  <memory unit='GiB'>1</memory>\n", text)
open("web.xml", "w").write(text)
PYTHON
v define web.xml
id=$(v domid web)
ka 2 plan --detailed-exitcode m.yaml
says "memory.maximum 1GiB → 256MiB at next boot" "+ disks.vda" "+ nics.one" "+ nics.two"
ka 0 apply --yes m.yaml
is "$id" v domid web
has "$work/pool/root" v domblklist --inactive web
has "$work/pool/root" v domblklist web
has 52:00:00:00:00:99 v domiflist --inactive web
has 262144 v dumpxml --inactive web
is 2 sh -c "virsh -q -c '$uri' domiflist web | wc -l"
is 3 sh -c "virsh -q -c '$uri' domiflist --inactive web | wc -l"
unchanged m.yaml

step "after its next start it has what was defined"
v destroy web
edit m.yaml 's/^      one: .*/&\n      three: {user: true}/'
ka 0 apply --yes m.yaml
is 4 sh -c "virsh -q -c '$uri' domiflist web | wc -l"
unchanged m.yaml

step "a snapshot keeps its disk from being replaced, and goes with its guest"
v destroy web
ka 1 apply --yes --replace disk/root --allow delete m.yaml
says "snapshot 'first' of guest 'web'"
ka 0 delete --yes --allow delete m.yaml
is "" v list --all --name
is "" sh -c "ls -A pool 2>/dev/null"
