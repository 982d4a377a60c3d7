#!/bin/sh
# A host's kernel settings: set, made to last, rounded, refused, drifted, given back; here and over ssh.
# What lasts is written to folders that only this story sees; the kernel is as before afterwards.
[ -n "${KA_PRIVATE-}" ] || KA_PRIVATE=yes exec unshare -m sh "$0" "$@"
. "$(dirname "$0")/story.sh"
for folder in tmpfiles.d sysctl.d udev/rules.d modprobe.d; do
    mkdir -p "/etc/$folder"
    mount -t tmpfs tmpfs "/etc/$folder"
done
ksm=/sys/kernel/mm/ksm
disk=$(basename "$(find /sys/block -name '[vsn]d*' -o -name 'nvme*' -o -name 'loop0' | sort -r | head -n 1)")
queue=/sys/block/$disk/queue
settings="$ksm/run $ksm/pages_to_scan $ksm/sleep_millisecs /sys/kernel/mm/transparent_hugepage/enabled
/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages /proc/sys/vm/swappiness $queue/scheduler
$queue/read_ahead_kb"
values() {
    for file in $settings; do echo "$file $(sed 's/.*\[\(.*\)\].*/\1/' "$file")"; done
}
values >before
give_back() {
    while read -r file value; do echo "$value" >"$file" 2>/dev/null || true; done <"$work/before"
    story_end
}
trap give_back EXIT
start tune --ssh

cat >m.yaml <<YAML
project: shop
hosts:
  here: {uri: "$uri"}
tuning:
  here:
    ksm: {pages-to-scan: 217, sleep: 33ms}
    transparent-hugepages: never
    hugepages: {2MiB: 7}
    io-scheduler: {$disk: none}
    io-queue: {$disk: {read-ahead: 130KiB}}
    sysctl: {vm.swappiness: 13}
YAML

step "the plan says what runs and changes nothing"
ka 2 plan --detailed-exitcode m.yaml
says "ksm.pages-to-scan" "→ 217" "ksm.sleep" "sysctl.\"vm.swappiness\""
values | cmp - before || die "a plan changed something"

step "applied, at run time and to last; what the kernel rounds is no difference"
ka 0 apply --yes m.yaml
is 217 cat $ksm/pages_to_scan
is 33 cat $ksm/sleep_millisecs
is 7 cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
is 13 cat /proc/sys/vm/swappiness
has "[never]" cat /sys/kernel/mm/transparent_hugepage/enabled
is 128 cat "$queue/read_ahead_kb"
unchanged m.yaml
says "the kernel makes 128 of 130"

step "a reboot: values are lost, the files bring them back by the tools that read them"
while read -r file value; do echo "$value" >"$file"; done <before
ka 2 plan --detailed-exitcode m.yaml
if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create /etc/tmpfiles.d/kvmapply.conf
    is 217 cat $ksm/pages_to_scan
    is 7 cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
fi
sysctl -q -p /etc/sysctl.d/90-kvmapply.conf
is 13 cat /proc/sys/vm/swappiness
has "ATTR{queue/scheduler}=\"none\"" cat /etc/udev/rules.d/90-kvmapply.rules

step "drift is seen and mended"
echo 100 >$ksm/pages_to_scan
ka 0 apply --yes m.yaml
is 217 cat $ksm/pages_to_scan

step "a line changed by hand is written anew"
sed -i 's/= 13/= 14/' /etc/sysctl.d/90-kvmapply.conf
ka 0 apply --yes m.yaml
has "= 13" cat /etc/sysctl.d/90-kvmapply.conf

step "what can't be is refused in the plan, what the kernel refuses is said; the rest is done"
cp m.yaml odd.yaml
edit odd.yaml "s/$disk: none/$disk: nonsense/"
ka 1 apply --yes odd.yaml
says "has no 'nonsense', but: " "none"
cp m.yaml odd.yaml
edit odd.yaml 's/2MiB: 7/2MiB: 100000000/'
ka 1 apply --yes odd.yaml
says "its huge pages take"
cp m.yaml odd.yaml
edit odd.yaml 's/vm.swappiness: 13/{vm.swappiness: 100000, vm.dirty_ratio: 21}/; s/sysctl: {{\(.*\)}}/sysctl: {\1}/' 's/sleep: 33ms/sleep: 34ms/'
dirty=$(cat /proc/sys/vm/dirty_ratio)
ka 1 apply --yes odd.yaml
says "Invalid argument"
is 34 cat $ksm/sleep_millisecs
is 21 cat /proc/sys/vm/dirty_ratio

step "nothing that is said is read by a shell"
cat >inert.yaml <<YAML
project: shop
hosts:
  here: {uri: "$uri"}
tuning:
  here:
    sysctl: {kernel.core_pattern: "\$(touch $work/evil) 'a' \"b\" \`touch $work/evil\`"}
YAML
pattern=$(cat /proc/sys/kernel/core_pattern)
ka 0 apply --yes inert.yaml
[ ! -e evil ] || die "a value was run"
has "\$(touch" cat /proc/sys/kernel/core_pattern

step "given back when it is no longer declared, and by delete"
ka 0 apply --yes m.yaml
is "$pattern" cat /proc/sys/kernel/core_pattern
is "$dirty" cat /proc/sys/vm/dirty_ratio
edit m.yaml '/ksm:/d'
ka 0 apply --yes m.yaml
says "released"
grep -q "^$ksm/pages_to_scan $(cat $ksm/pages_to_scan)$" before || die "ksm isn't given back"
edit m.yaml 's/project: shop/project: other/'
ka 1 plan m.yaml
says "belongs to project 'shop'"
edit m.yaml 's/project: other/project: shop/'
ka 3 delete --yes m.yaml
ka 0 delete --yes --allow delete m.yaml
values | cmp - before || die "not all is given back"
is "" sh -c 'ls /etc/*.d/*kvmapply* /etc/udev/rules.d/*kvmapply* 2>/dev/null'

step "over ssh the same"
uri=$(lab uri tune ssh)
cat >m.yaml <<YAML
project: shop
hosts:
  there: {uri: "$uri"}
tuning:
  there: {ksm: {pages-to-scan: 219}}
YAML
ka 0 apply --yes m.yaml
is 219 cat $ksm/pages_to_scan
unchanged m.yaml
ka 0 delete --yes --allow delete m.yaml
values | cmp - before || die "not all is given back over ssh"

step "a host without ssh says what it lacks"
edit m.yaml "s|uri: .*|uri: \"test:///default\"}|"
ka 1 plan m.yaml
says "can't be managed"
