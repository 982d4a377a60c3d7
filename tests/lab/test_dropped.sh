#!/bin/sh
# A host whose packets are dropped in mid-apply, over ssh: an error in time, never a hang.
. "$(dirname "$0")/story.sh"
start dropa --ssh
start dropb --ssh
head -c 67108864 /dev/urandom >image.raw
cat >m.yaml <<YAML
project: shop
hosts:
  far: {uri: '$(lab uri dropb inside)'}
pools:
  fast: {type: dir, path: /var/lib/libvirt/images}
disks:
  slow: {pool: fast, format: raw, content: image.raw, host: far}
YAML
step "packets are dropped in mid-upload"
lab exec dropa "$KA_BINARY" apply --yes "$work/m.yaml" >bg.out 2>bg.err </dev/null &
running=$!
soon 20 lab exec dropb sh -c '[ "$(du -k /var/lib/libvirt/images/slow | cut -f1)" -gt 2000 ]'
lab exec dropb ip link set hub0 down
began=$(date +%s)
status=0
wait $running || status=$?
took=$(($(date +%s) - began))
[ $status = 1 ] || die "expected exit 1, got $status"
grep -q "answers no more" bg.err || die "it doesn't say why"
# Keep-alive finds out in 20 s, the mark's own thread is waited for 20 s, a new connection is tried 20 s.
[ $took -lt 75 ] || die "it took $took seconds"
lab exec dropb ip link set hub0 up

step "the next run finishes it"
soon 10 lab exec dropa ping -c 1 -W 1 dropb
lab exec dropa timeout 100 "$KA_BINARY" apply --yes "$work/m.yaml" >out 2>err </dev/null || die "it doesn't"
lab exec dropb cmp /var/lib/libvirt/images/slow "$work/image.raw"
