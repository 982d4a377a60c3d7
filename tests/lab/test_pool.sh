#!/bin/sh
# Pools: made with their folder, drift repaired, what stops them wants a word, data is never removed,
# export rebuilds them.
. "$(dirname "$0")/story.sh"
start pool
cat >m.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/fast, autostart: true, permissions: {mode: 0750}}
disks:
  data: {pool: fast, size: 1MiB, format: raw}
YAML

step "a missing folder is made, with its permissions"
ka 0 apply --yes m.yaml
is 750 stat -c %a "$work/fast"
has "Autostart: yes" sh -c "virsh -c '$uri' pool-info fast | tr -s ' '"
unchanged m.yaml

step "drift is seen and repaired; gentle changes want no word"
v pool-autostart fast --disable
ka 2 plan --detailed-exitcode m.yaml
says "autostart false → true"
ka 0 apply --yes m.yaml
v pool-destroy fast
ka 1 plan m.yaml
says "state inactive → active" "its volumes can't be seen"
ka 1 apply --yes m.yaml
unchanged m.yaml

step "a stop wants the word disrupt, and others' guests are named"
cat >other.xml <<XML
<domain type='qemu'><name>others</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><disk type='file'><source file='$work/fast/data'/><target dev='vda'/></disk></devices></domain>
XML
edit m.yaml 's/0750/0755/'
ka 3 apply --yes m.yaml
says "wants the word disrupt"
is 750 stat -c %a "$work/fast"
ka 0 apply --yes --allow disrupt m.yaml
is 755 stat -c %a "$work/fast"
unchanged m.yaml

step "a pool with a disk of somebody's guest is not removed; a removed pool's data stays"
v define other.xml
grep -v data: m.yaml | grep -v disks: >alone.yaml
ka 1 delete --yes --allow delete alone.yaml
says "others"
has fast v pool-list --name
v undefine others
ka 0 delete --yes --allow delete alone.yaml
[ -z "$(v pool-list --all --name | grep fast)" ] || die "the pool is there still"
[ -s fast/data ] || die "the pool's data is gone"

step "a pool that can't be started is not left behind"
cat >bad.yaml <<YAML
pools:
  bad: {type: dir, path: /proc/none/pool}
YAML
ka 1 apply --yes bad.yaml
says "can't build pool 'bad'" "/proc/none"
[ -z "$(v pool-list --all --name | grep bad)" ] || die "its definition was left"

step "two clients at one disk: the second waits and says for whom"
yes kvmapply | head -c 128M >image.raw
cat >two.yaml <<YAML
pools:
  slow: {type: dir, path: $work/slow}
disks:
  big: {pool: slow, format: raw, content: image.raw}
YAML
ka 0 apply --yes --target pool/slow two.yaml
"$KA_BINARY" -c "$uri" apply --yes two.yaml >first 2>&1 &
one=$!
"$KA_BINARY" -c "$uri" apply --yes two.yaml >second 2>&1 || true
wait $one || true
cmp slow/big image.raw
[ "$(cat first second | grep -c 'disk/big  created')" = 1 ] || die "both, or none, made it: $(cat first second)"
[ -z "$(ls -A slow | grep partial)" ] || die "a marker was left"
unchanged two.yaml

step "export of every type that this libvirt has rebuilds them"
v pool-destroy slow
v pool-undefine slow
for file in "$here"/../data/pools/*.xml; do v pool-define "$file" >/dev/null 2>&1 || true; done
names=$(v pool-list --all --name)
[ "$(echo "$names" | wc -l)" -ge 10 ] || die "too few types: $names"
mkdir before after
v pool-list --all --name | while read -r name; do v pool-dumpxml --inactive "$name" >"before/$name"; done
ka 0 export
cp out all.yaml
ka 0 plan --detailed-exitcode all.yaml
v pool-list --all --name | while read -r name; do v pool-undefine "$name" >/dev/null; done
ka 0 apply --yes all.yaml
v pool-list --all --name | while read -r name; do v pool-dumpxml --inactive "$name" >"after/$name"; done
diff -r before after
