#!/bin/sh
# What a run that was cut leaves: in a pool whose volumes libvirt names (partitions), where no marker
# volume fits; of a disk that no manifest declares any longer; of another project.
. "$(dirname "$0")/story.sh"

head -c 1048576 /dev/urandom >block
for _ in $(seq 192); do cat block; done >image.raw
start half

background() { # ARGUMENTS…: kvmapply; $running is its PID
    "$KA_BINARY" -c "$uri" "$@" >bg.out 2>bg.err </dev/null &
    running=$!
}

cut_at() { # COMMAND…: kills the run once the command succeeds
    (soon 60 "$@") || die "$(cat bg.out bg.err)"
    kill -9 $running
    wait $running || true
}

mkdir pool
cat >pool.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
YAML
cat >disk.yaml <<YAML
disks:
  gone: {pool: fast, format: raw, content: $work/image.raw}
YAML
sed 's/shop/rival/' pool.yaml >rival.yaml

step "what is half-made of a disk that has left the manifest is left over, and goes with --prune"
background apply --yes pool.yaml disk.yaml
cut_at sh -c "[ -e pool/gone ] && [ \$(du -k pool/gone | cut -f1) -gt 10000 ]"
ka 0 plan pool.yaml
says "disk gone" "left over" "half-made by a run that was cut"
ka 3 apply --yes --prune pool.yaml
[ -e pool/gone ] || die "it went without the word"

step "another project doesn't see it"
ka 0 plan rival.yaml
says_not "disk gone"
printf 'project: rival\n' >rival.yaml
ka 0 apply --yes --prune --allow delete rival.yaml
[ -e pool/gone ] || die "another project's half-made volume was pruned"
ka 0 apply --yes --prune --allow delete pool.yaml
is "" ls -A pool

step "a marker alone, of a disk that was made in one call, is anybody's to clear away"
v vol-create-as fast .thin.kvmapply-partial 2048
ka 0 plan rival.yaml
says "disk thin" "left over"
ka 0 apply --yes --prune --allow delete rival.yaml
is "" ls -A pool
ka 0 delete --yes --allow delete pool.yaml

# A disk of its own, of which libvirt makes partitions. Their names must be the kernel's or, where the
# disk's node is another, that with a number: both nodes lie here.
step "a pool of partitions"
command -v losetup >/dev/null && command -v parted >/dev/null || { echo "SKIPPED: no losetup or parted" && exit 0; }
truncate -s 512M disk.img
loop=$(losetup -f --show disk.img 2>&1) || { echo "SKIPPED: no loop devices: $loop" && loop= && exit 0; }
node() { # NAME MAJOR:MINOR
    mknod "$1" b "${2%:*}" "${2#*:}"
}
parted -s "$loop" mklabel gpt mkpart primary 1MiB 9MiB
soon 5 test -e "/sys/class/block/${loop#/dev/}p1/dev"
node kadisk "$(cat "/sys/class/block/${loop#/dev/}/dev")"
node kadisk1 "$(cat "/sys/class/block/${loop#/dev/}p1/dev")"
parted -s "$loop" rm 1
cat >m.yaml <<YAML
project: shop
pools:
  parts: {type: disk, source: {device: '$work/kadisk', format: gpt}, path: /dev}
disks:
  data: {pool: parts, volume: kadisk1, size: 192MiB, format: raw, content: $work/image.raw}
YAML
background apply --yes m.yaml
cut_at sh -c "virsh -c '$uri' secret-list | grep -q kvmapply-partial"
! cmp -s -n 201326592 image.raw kadisk1 || die "too late: the upload was finished before the kill"
has "kvmapply-partial:parts/kadisk1" v secret-list

step "there, too, the half is never taken for the whole"
ka 2 plan --detailed-exitcode m.yaml
says "half-made by a run that was cut"
ka 0 export
says_not kadisk1
ka 0 apply --yes m.yaml
cmp -n 201326592 image.raw kadisk1
is "" v secret-list
unchanged m.yaml

step "and two at once don't spoil it"
ka 0 delete --yes --allow delete,adopt=disk/data --target disk/data m.yaml
"$KA_BINARY" -c "$uri" apply --yes m.yaml >first 2>&1 </dev/null &
one=$!
"$KA_BINARY" -c "$uri" apply --yes m.yaml >second 2>&1 </dev/null || true
wait $one || true
[ "$(cat first second | grep -c 'disk/data  created')" = 1 ] || die "both, or none, made it: $(cat first second)"
cmp -n 201326592 image.raw kadisk1
is "" v secret-list
ka 0 delete --yes --allow delete,adopt=disk/data m.yaml
