#!/bin/sh
# Disks: growth while a guest runs, content, clones, half-done uploads, full pools, what is in use,
# what is protected.
. "$(dirname "$0")/story.sh"
start disk

# A file that takes a while: 192 MiB of data that doesn't compress to nothing, and a hole behind it.
head -c 1048576 /dev/urandom >block
for _ in $(seq 192); do cat block; done >image.raw
truncate -s 256M image.raw
mkdir pool
cat >m.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 16MiB, format: raw}
  qcow: {pool: fast, size: 16MiB, format: qcow2}
guests:
  web:
$(guest_fields web)
    disks:
      vda: {disk: root}
      vdb: {disk: qcow}
YAML

step "growth reaches the running guest"
ka 0 apply --yes m.yaml
edit m.yaml 's/16MiB/24MiB/g'
ka 0 plan m.yaml
says "~ disk root" "size 16MiB → 24MiB"
ka 0 apply --yes m.yaml
has "Capacity:       25165824" v domblkinfo web vda
has "Capacity:       25165824" v domblkinfo web vdb
v vol-info --bytes qcow fast | grep -q 25165824 || die "the volume didn't grow"
unchanged m.yaml

step "a smaller size is a note, never an action"
edit m.yaml 's/24MiB/8MiB/g'
ka 0 plan --detailed-exitcode m.yaml
says "disk root"
ka 0 apply --yes m.yaml
has 25165824 v domblkinfo web vda
edit m.yaml 's/8MiB/24MiB/g'

step "a disk with content, a thin clone and a copy"
cat >more.yaml <<YAML
disks:
  base: {pool: fast, size: 300MiB, format: raw, content: $work/image.raw}
  clone: {pool: fast, size: 400MiB, format: qcow2, backing: base}
YAML
ka 0 apply --yes m.yaml more.yaml
head -c 268435456 pool/base | cmp - image.raw
[ "$(du -k pool/base | cut -f1)" -lt 210000 ] || die "the hole was written: $(du -k pool/base)"
has "$work/pool/base" qemu-img info pool/clone
unchanged m.yaml more.yaml
[ -z "$(ls pool/.*partial 2>/dev/null)" ] || die "a marker was left"

step "kill -9 in mid-upload: the half is never taken for the whole"
cat >cut.yaml <<YAML
disks:
  cut: {pool: fast, size: 256MiB, format: raw, content: $work/image.raw}
YAML
"$KA_BINARY" -c "$uri" apply --yes m.yaml more.yaml cut.yaml >kill.log 2>&1 &
killed=$!
soon 60 sh -c "[ -e pool/cut ] && [ \$(du -k pool/cut | cut -f1) -gt 10000 ]"
kill -9 $killed
wait $killed || true
! cmp -s pool/cut image.raw || die "too late: the upload was finished before the kill"
ka 2 plan --detailed-exitcode m.yaml more.yaml cut.yaml
says "disk cut"
ka 0 apply --yes m.yaml more.yaml cut.yaml
cmp pool/cut image.raw
unchanged m.yaml more.yaml cut.yaml
[ -z "$(ls -A pool | grep partial)" ] || die "a marker was left: $(ls -A pool)"

step "what is in use is not removed: a disk of a guest of others, a base under a clone"
cat >other.xml <<XML
<domain type='qemu'><name>others</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$work/pool/cut'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
XML
v define other.xml
ka 1 delete --yes --allow delete,adopt=disk/cut --target disk/cut m.yaml more.yaml cut.yaml
says "others"
cmp pool/cut image.raw
v undefine others
ln -s pool link
sed -i "s|$work/pool/cut|$work/link/cut|" other.xml
v define other.xml
ka 1 delete --yes --allow delete,adopt=disk/cut --target disk/cut m.yaml more.yaml cut.yaml
says "others"
cmp pool/cut image.raw
v undefine others
# A volume that no guest of the project has is nobody's: its removal wants the word adopt, too.
ka 3 delete --yes --allow delete --target disk/cut m.yaml more.yaml cut.yaml
says adopt=disk/cut
ka 1 delete --yes --allow delete,adopt=disk/base --target disk/base m.yaml more.yaml cut.yaml
[ -e pool/base ] || die "the base was removed under its clone"

step "a local file with a backing inside is refused"
qemu-img create -q -f qcow2 -b /etc/passwd -F raw evil.qcow2 8M
cat >evil.yaml <<YAML
disks:
  evil: {pool: fast, size: 16MiB, format: qcow2, content: $work/evil.qcow2}
YAML
ka 1 apply --yes m.yaml more.yaml cut.yaml evil.yaml
[ ! -e pool/evil ] || die "the file was uploaded"

step "a full pool: libvirt's words, exit 1, and done when there is room"
mkdir small
lab exec disk mount -t tmpfs -o size=8m,mode=755 tmpfs "$work/small"
cat >full.yaml <<YAML
pools:
  small: {type: dir, path: $work/small}
disks:
  fits: {pool: small, size: 1MiB, format: raw}
  big: {pool: small, size: 64MiB, format: raw, content: $work/block}
  huge: {pool: small, size: 256MiB, format: raw, content: $work/image.raw}
YAML
ka 1 apply --yes m.yaml more.yaml cut.yaml full.yaml
says "No space left"
v vol-list small | grep -q fits || die "the rest didn't go on"
lab exec disk mount -o remount,size=300m "$work/small"
ka 0 apply --yes m.yaml more.yaml cut.yaml full.yaml
unchanged m.yaml more.yaml cut.yaml full.yaml

step "a protected disk is never removed, also when its block is gone from the file"
cat >protected.yaml <<YAML
disks:
  safe: {pool: fast, size: 1MiB, format: raw, protect: true}
guests:
  keeper:
    vcpus: 1
    memory: 64MiB
    state: off
    disks: {vda: {disk: safe}}
YAML
all="m.yaml more.yaml cut.yaml full.yaml"
# shellcheck disable=SC2086
ka 0 apply --yes $all protected.yaml
# shellcheck disable=SC2086
status=0
"$KA_BINARY" -c "$uri" delete --yes --allow delete --target guest/keeper $all protected.yaml >out 2>err || status=$?
[ -e pool/safe ] || die "the protected disk is gone"
# shellcheck disable=SC2086
"$KA_BINARY" -c "$uri" apply --yes --prune --allow delete $all >out 2>err || true
[ -e pool/safe ] || die "the protected disk was pruned"
