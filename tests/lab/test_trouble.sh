#!/bin/sh
# What goes wrong in mid-apply: Ctrl-C, several at once, a daemon that dies or stands still; and what
# is in use in ways that only a snapshot or a backing tells.
. "$(dirname "$0")/story.sh"
start trouble
start other

head -c 1048576 /dev/urandom >block
for _ in $(seq 256); do cat block; done >image.raw
mkdir pool pool2
trouble=$(lab uri trouble)
uri=$trouble

manifest() { # DISK…
    cat <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
disks:
YAML
    for name in "$@"; do
        echo "  $name: {pool: fast, format: raw, content: image.raw}"
    done
}

background() { # ARGUMENTS…: kvmapply; $running is its PID
    "$KA_BINARY" -c "$uri" "$@" >bg.out 2>bg.err </dev/null &
    running=$!
}

uploading() { # NAME
    soon 60 sh -c "[ -e pool/$1 ] && [ \$(du -k pool/$1 | cut -f1) -gt 10000 ]"
}

step "Ctrl-C ends an upload cleanly, and leaves nothing"
manifest one >m.yaml
background apply --yes m.yaml
uploading one
kill -INT $running
status=0
wait $running || status=$?
[ $status = 1 ] || die "expected exit 1, got $status"
grep -q interrupted bg.err || die "it doesn't say that it was interrupted: $(cat bg.out bg.err)"
is "" ls -A pool
ka 0 apply --yes m.yaml
cmp pool/one image.raw

step "three at once: one makes it, nobody spoils it"
manifest one two >m.yaml
pids=
for i in 1 2 3; do
    "$KA_BINARY" -c "$uri" apply --yes m.yaml >at-once.$i 2>&1 </dev/null &
    pids="$pids $!"
done
done=0
for pid in $pids; do
    if wait "$pid"; then done=$((done + 1)); fi
done
[ $done -gt 0 ] || die "none was done: $(cat at-once.*)"
cmp pool/two image.raw
is "one two" sh -c "ls -A pool | paste -sd ' '"
unchanged m.yaml

step "a libvirtd that is killed in mid-upload"
manifest one two three >m.yaml
background apply --yes m.yaml
uploading three
lab exec trouble sh -c 'kill -9 $(cat /run/libvirtd.pid)'
status=0
wait $running || status=$?
[ $status = 1 ] || die "expected exit 1, got $status"
lab restart-daemon trouble
ka 2 plan --detailed-exitcode m.yaml
says "half-made by a run that was cut"
ka 0 apply --yes m.yaml
cmp pool/three image.raw
is "one three two" sh -c "ls -A pool | paste -sd ' '"
unchanged m.yaml

step "half-made goes with a delete"
manifest one two three four >m.yaml
background apply --yes m.yaml
uploading four
kill -9 $running
wait $running || true
ka 0 delete --yes --allow delete --target disk/four m.yaml
is "one three two" sh -c "ls -A pool | paste -sd ' '"

step "what only a snapshot needs is in use"
cat >web.xml <<XML
<domain type='qemu'><name>foreign</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$work/pool/one'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
XML
v define web.xml
v snapshot-create-as foreign first --disk-only --diskspec "vda,file=$work/overlay.qcow2" >/dev/null
has "$work/overlay.qcow2" v domblklist foreign
manifest one two three >m.yaml
ka 1 delete --yes --allow delete,adopt=disk/one --target disk/one m.yaml
says foreign
cmp pool/one image.raw
ka 1 apply --yes --replace disk/one --allow delete,adopt=disk/one m.yaml
says foreign
cmp pool/one image.raw
v undefine foreign --snapshots-metadata

step "a removed disk is no longer the project's, whatever takes its name"
cat >guest.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
disks:
  keep: {pool: fast, size: 1MiB, format: raw}
  gone: {pool: fast, size: 1MiB, format: raw}
guests:
  web: {vcpus: 1, memory: 64MiB, state: off, disks: {vda: {disk: keep}, vdb: {disk: gone}}}
YAML
ka 0 apply --yes guest.yaml
edit guest.yaml '/^  gone/d' 's/, vdb: {disk: gone}//'
ka 0 apply --yes guest.yaml
says "disk gone" "left over"
ka 0 apply --yes --prune --allow delete guest.yaml
[ ! -e pool/gone ] || die "it wasn't pruned"
has_not fast/gone v dumpxml web
v vol-create-as fast gone 1M
ka 0 apply --yes --prune --allow delete guest.yaml
[ -e pool/gone ] || die "a volume of others was pruned"
v vol-delete gone fast

step "a daemon that stands still in mid-apply: an error in time, the other host goes on"
b=$(lab uri other)
cat >two.yaml <<YAML
project: shop
hosts:
  kvm1: {uri: '$trouble'}
  kvm2: {uri: '$b'}
pools:
  fast: {type: dir, path: $work/pool, host: kvm1}
  far: {type: dir, path: $work/pool2, host: kvm2}
disks:
  slow: {pool: fast, format: raw, content: image.raw, host: kvm1}
  well: {pool: far, format: raw, content: image.raw, host: kvm2}
YAML
"$KA_BINARY" apply --yes two.yaml >bg.out 2>bg.err </dev/null &
running=$!
uploading slow
daemon=$(lab exec trouble cat /run/libvirtd.pid)
lab exec trouble kill -STOP "$daemon"
began=$(date +%s)
status=0
wait $running || status=$?
took=$(($(date +%s) - began))
lab exec trouble kill -CONT "$daemon"
[ $status = 1 ] || die "expected exit 1, got $status"
[ $took -lt 90 ] || die "it took $took seconds"
cmp pool2/well image.raw
grep -q "slow" bg.out || die "it doesn't say what failed"
"$KA_BINARY" apply --yes two.yaml >out 2>err </dev/null || die "the next run doesn't finish it"
cmp pool/slow image.raw
is "" sh -c "ls -A pool pool2 | grep partial"
