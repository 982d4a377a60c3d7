#!/bin/sh
# --replace: a guest and a disk are removed and made anew, and what goes with them is said first.
. "$(dirname "$0")/story.sh"
start replace

head -c 1048576 /dev/urandom >content.raw
cat >m.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 16MiB, format: qcow2}
  data: {pool: fast, size: 1MiB, format: raw, content: content.raw}
guests:
  web:
$(guest_fields web)
    disks:
      vda: {disk: root}
      vdb: {disk: data}
    nics:
      one: {user: true, mac: '52:00:00:00:00:01'}
YAML
ka 0 apply --yes m.yaml
booted web
unchanged m.yaml

step "what is fixed is a note, and --replace the way to act on it"
edit m.yaml 's/00:00:01/00:00:02/'
ka 0 plan m.yaml
says "--replace guest/web"
has 52:00:00:00:00:01 v dumpxml --inactive web

step "a guest is replaced with the word alone, and keeps its disks"
uuid=$(v domuuid web)
printf kept | dd of=pool/data conv=notrunc 2>/dev/null
ka 3 apply --yes --replace guest/web m.yaml
says delete
is "$uuid" v domuuid web
ka 0 apply --yes --replace guest/web --allow delete m.yaml
[ "$uuid" != "$(v domuuid web)" ] || die "it is the same guest"
is running v domstate web
has 52:00:00:00:00:02 v dumpxml web
is kept head -c 4 pool/data
booted web
unchanged m.yaml

step "a disk is not replaced under a guest that runs"
ka 1 apply --yes --replace disk/data --allow delete m.yaml
says "guest 'web' has it as 'vdb' and is running"
is kept head -c 4 pool/data
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes --allow restart m.yaml

step "a disk is replaced with the word alone, from its content, in another format"
ka 3 apply --yes --replace disk/data m.yaml
is kept head -c 4 pool/data
ka 0 apply --yes --replace disk/data --allow delete m.yaml
cmp pool/data content.raw
edit m.yaml 's/root: {pool: fast, size: 16MiB, format: qcow2}/root: {pool: fast, size: 8MiB, format: raw}/'
ka 0 plan m.yaml
says "--replace disk/root"
ka 0 apply --yes --replace disk/root --allow delete --replace guest/web m.yaml
has 8388608 v vol-dumpxml root fast
has "<format type='raw'/>" v vol-dumpxml root fast
has_not "type='qcow2'" v dumpxml web
cmp pool/data content.raw
unchanged m.yaml

step "both are the project's as before"
edit m.yaml 's/state: off/state: running/'
ka 0 apply --yes m.yaml
booted web
edit m.yaml '/^  data:/d' '/vdb:/d'
ka 0 apply --yes m.yaml
ka 0 apply --yes --prune --allow delete m.yaml
is root sh -c "ls -A pool"
ka 0 delete --yes --allow delete m.yaml
is "" v list --all --name
is "" sh -c "ls -A pool 2>/dev/null"
