#!/bin/sh
# An apply, and a delete, that is killed at any moment is finished by the next one: nothing half-done
# is taken for done, and nothing of the project's becomes nobody's. KA_CUTS: how many of each.
. "$(dirname "$0")/story.sh"
start cut

head -c 1048576 /dev/urandom >block
for _ in $(seq 96); do cat block; done >image.raw
truncate -s 128M image.raw
qemu-img convert -f raw -O qcow2 image.raw image.qcow2
mkdir pool
cat >m.yaml <<YAML
project: shop
networks:
  lan: {forward: nat, address: 192.168.50.1/24}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  raw: {pool: fast, format: raw, content: image.raw}
  qcow: {pool: fast, format: qcow2, size: 200MiB, content: image.qcow2}
  copy: {pool: fast, format: qcow2, from: raw}
  clone: {pool: fast, format: qcow2, backing: qcow}
guests:
  web:
$(guest_fields web)
    disks:
      vda: {disk: raw}
      vdb: {disk: clone}
    nics: {lan: {network: lan}}
  db:
    vcpus: 1
    memory: 64MiB
    state: off
    disks: {vda: {disk: copy}}
    nics: {lan: {network: lan}}
YAML
printf 'project: shop\n' >empty.yaml

# cut SECONDS ARGUMENTS…
cut() {
    seconds=$1
    shift
    timeout -s KILL "$seconds" "$KA_BINARY" -c "$uri" "$@" >cut.log 2>&1 </dev/null || true
}

# A moment within what a whole run takes.
moment() { # WHOLE-MILLISECONDS
    awk -v most="$1" -v seed="$(od -An -N3 -tu4 /dev/urandom)" \
        'BEGIN { srand(seed); printf "%.3f", 0.02 + rand() * most / 1000 }'
}

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

whole() {
    is "web" v list --name
    is "db" v list --inactive --name
    is "lan" v net-list --all --name
    is "fast" v pool-list --all --name
    is "clone copy qcow raw" sh -c "ls -A pool | sort | paste -sd ' '"
    qemu-img compare -q -U -f raw -F qcow2 image.raw pool/copy || die "the copy isn't whole"
    head -c 134217728 pool/raw | cmp - image.raw
    # Grown after the upload: the rest reads as nothing.
    qemu-img compare -q -U -f raw -F qcow2 image.raw pool/qcow || die "the upload isn't whole"
    has "$work/pool/qcow" qemu-img info -U pool/clone
    unchanged m.yaml
}

gone() {
    is "" v list --all --name
    is "" v net-list --all --name
    is "" v pool-list --all --name
    is "" ls -A pool
}

step "whole, and gone, without a cut"
began=$(milliseconds)
ka 0 apply --yes m.yaml
making=$(($(milliseconds) - began))
whole
began=$(milliseconds)
ka 0 delete --yes --allow delete m.yaml
removing=$(($(milliseconds) - began))
gone

for round in $(seq "${KA_CUTS:-4}"); do
    after=$(moment $making)
    step "$round: an apply cut after $after s of $making ms"
    cut "$after" apply --yes m.yaml
    ka 0 apply --yes m.yaml
    whole
    after=$(moment $removing)
    if [ $((round % 2)) = 0 ]; then
        step "$round: a delete cut after $after s of $removing ms"
        cut "$after" delete --yes --allow delete m.yaml
        ka 0 delete --yes --allow delete m.yaml
    else
        step "$round: a prune cut after $after s of $removing ms"
        cut "$after" apply --yes --prune --allow delete empty.yaml
        ka 0 apply --yes --prune --allow delete empty.yaml
    fi
    gone
done
