#!/bin/sh
# What kvmapply doesn't do: touch what others made, remove what wasn't asked, do another plan than the one
# that was approved, guess where it may not look.
. "$(dirname "$0")/story.sh"
start refusals

guest() { # NAME MEMORY PROJECT
    cat <<YAML
project: $3
guests:
  $1: {vcpus: 1, memory: $2, state: off}
YAML
}

step "another project's object is never changed, and the error names the project"
guest web 64MiB shop >shop.yaml
guest web 80MiB rival >rival.yaml
ka 0 apply --yes shop.yaml
ka 1 apply --yes --allow adopt,restart,delete rival.yaml
says "shop"
has "<memory unit='KiB'>65536</memory>" v dumpxml web
ka 1 delete --yes --allow delete rival.yaml
is web v list --all --name

step "what virsh made wants the word adopt, and nothing where nothing differs"
cat >made.xml <<XML
<domain type='qemu'><name>made</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type machine='q35'>hvm</type></os>
<features><acpi/></features></domain>
XML
v define made.xml
guest made 64MiB shop >made.yaml
v dumpxml --inactive made >before.xml
ka 0 apply --yes made.yaml
v dumpxml --inactive made | cmp - before.xml || die "an equal object was written"
guest made 96MiB shop >made.yaml
ka 3 apply --yes made.yaml
says adopt
v dumpxml --inactive made | cmp - before.xml
ka 0 apply --yes --allow adopt=guest/made made.yaml
has "<memory unit='KiB'>98304</memory>" v dumpxml made
ka 0 plan --detailed-exitcode made.yaml
v undefine made

step "a clone by dump and define carries a record that doesn't count"
v dumpxml --inactive web | sed 's/<name>web/<name>copy/; /<uuid>/d; /mac address/d' >copy.xml
v define copy.xml
ka 0 plan shop.yaml
says_not copy
ka 0 apply --yes --prune --allow delete shop.yaml
has copy v list --all --name
v undefine copy

step "what the manifest no longer has is left over, until --prune and the word"
cat >two.yaml <<YAML
project: shop
guests:
  web: {vcpus: 1, memory: 64MiB, state: off}
  old: {vcpus: 1, memory: 64MiB, state: off}
YAML
ka 0 apply --yes two.yaml
ka 0 plan --detailed-exitcode shop.yaml || true
says "guest old" "left over"
ka 0 apply --yes shop.yaml
has old v list --all --name
ka 3 apply --yes --prune shop.yaml
has old v list --all --name
ka 0 apply --yes --prune --allow delete shop.yaml
has_not old v list --all --name
has web v list --all --name

step "--expect does that plan or nothing"
guest web 80MiB shop >shop.yaml
ka 0 plan shop.yaml
digest=$(sed -n 's/^plan //p' out)
v setmaxmem web 72M --config
guest web 88MiB shop >shop.yaml
ka 1 apply --yes --expect "$digest" shop.yaml
has "<memory unit='KiB'>73728</memory>" v dumpxml web
ka 0 plan shop.yaml
ka 0 apply --yes --expect "$(sed -n 's/^plan //p' out)" shop.yaml
has "<memory unit='KiB'>90112</memory>" v dumpxml web

step "a protected guest stays, also when its block is gone"
guest web 88MiB shop | sed 's/state: off/state: off, protect: true/' >shop.yaml
ka 0 apply --yes shop.yaml
status=0
"$KA_BINARY" -c "$uri" delete --yes --allow delete shop.yaml >out 2>err || status=$?
has web v list --all --name
printf 'project: shop\nguests: {}\n' >nothing.yaml
"$KA_BINARY" -c "$uri" apply --yes --prune --allow delete nothing.yaml >out 2>err || true
has web v list --all --name

step "no permission on the socket: what would help"
cp shop.yaml /tmp/ka-refusals-$$.yaml
chmod 644 /tmp/ka-refusals-$$.yaml
chmod 700 "$KA_LAB_ROOT/refusals/run/libvirt-sock"
status=0
cp "$KA_BINARY" "$work/kvmapply"
setpriv --reuid=65534 --regid=65534 --clear-groups "$work/kvmapply" -c "$uri" plan /tmp/ka-refusals-$$.yaml >out 2>err || status=$?
rm -f /tmp/ka-refusals-$$.yaml
[ $status = 1 ] || die "expected exit 1, got $status"
says "the group 'libvirt'" "qemu:///session"

step "names that would break out are errors at their line"
cat >bad.yaml <<'YAML'
project: shop
guests:
  "../etc": {vcpus: 1, memory: 64MiB}
  "a<b": {vcpus: 1, memory: 64MiB}
  "new\nline": {vcpus: 1, memory: 64MiB}
  'quo"te': {vcpus: 1, memory: 64MiB}
YAML
ka 1 plan bad.yaml
says "bad.yaml:3:" "bad.yaml:4:" "bad.yaml:5:" "bad.yaml:6:"

step "a machine type that the host lacks is an error at its line, before anything is done"
cat >odd.yaml <<'YAML'
project: shop
guests:
  fine: {vcpus: 1, memory: 64MiB, state: off}
  odd:
    memory: 64MiB
    machine: q53
    state: off
YAML
ka 0 validate odd.yaml
ka 1 plan odd.yaml
says "odd.yaml:6:14: error: guest 'odd': machine: " "did you mean 'q35'?"
ka 1 apply --yes odd.yaml
has_not fine v list --all --name
