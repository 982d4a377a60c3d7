#!/bin/sh
# Seeds: made whole or not at all, never told, changed in a running guest, gone with it; and waits.
. "$(dirname "$0")/story.sh"
start seed

cat >m.yaml <<YAML
project: shop
networks:
  lan: {forward: nat, address: 192.168.50.1/24, dhcp: {range: 192.168.50.100-192.168.50.120}}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 16MiB, format: qcow2}
guests:
  web:
$(guest_fields web)
    disks: {vda: {disk: root}}
    nics: {lan: {network: lan}}
    wait: {for: ip, timeout: 100s}
    seed:
      user-data: {password: {env: SEED_PASSWORD}, lock: false, packages: [vim]}
YAML
export SEED_PASSWORD=secret-of-the-seed
mkdir pool

seed() { # prints the path of web's seed
    ls pool/kvmapply-seed-web-*
}

# content FILE: of web's seed, read by another program.
content() {
    cp "$(seed)" seed.iso
    rm -rf seed.out
    xorriso -osirrox on -indev seed.iso -extract "/$1" seed.out >xorriso.log 2>&1 || { cat xorriso.log && return 1; }
    cat seed.out
}

step "a seed is a cdrom of the guest, and nobody is told what is in it"
ka 0 plan m.yaml
says_not secret-of
ka 0 apply --yes m.yaml
says_not secret-of
booted web
unchanged m.yaml
first=$(seed)
is 600 stat -c %a "$first"
has "volume='$(basename "$first")'" v dumpxml web
has_not secret-of v dumpxml --security-info web
has_not partial ls -a pool
has "password: secret-of-the-seed" content user-data
has "lock: false" content user-data
has "local-hostname: web" content meta-data
id=$(content meta-data | grep instance-id)
v net-dhcp-leases lan >leases
grep -q 192.168.50.1 leases || die "wait: ip ended before there was one"

step "another seed takes its place while the guest runs"
domain=$(v domid web)
SEED_PASSWORD=another-secret
ka 0 plan m.yaml
says "disks.sdf.volume" "live"
says_not secret
ka 0 apply --yes m.yaml
is "$domain" v domid web
[ "$first" != "$(seed)" ] || die "the old seed is still there"
has "$(basename "$(seed)")" v dumpxml web
has "$(basename "$(seed)")" v dumpxml --inactive web
has "password: another-secret" content user-data
is "$id" sh -c "xorriso -osirrox on -indev seed.iso -extract /meta-data id.out >/dev/null 2>&1 && grep instance-id id.out"
unchanged m.yaml
SEED_PASSWORD=secret-of-the-seed
ka 0 apply --yes m.yaml
is "$first" seed

step "an export has the cdrom, plans empty and leaves the seed where it is"
ka 0 export guest/web
says "volume: fast/$(basename "$first")"
says_not secret-of
cp out exported.yaml
grep -q '^disks:' exported.yaml || die "the disk is not exported"
unchanged exported.yaml
is "$first" seed

step "what waits in vain says what it saw, and leaves the guest running"
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes --allow restart m.yaml
edit m.yaml 's/state: off/state: running/' 's/for: ip, timeout: 100s/for: agent, timeout: 2s/'
ka 1 apply --yes m.yaml
says "guest 'web' was started, but waiting for its agent took longer than 2 s" "last seen: " "agent is not connected"
is running v domstate web
unchanged m.yaml
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes --allow restart m.yaml
edit m.yaml 's/state: off/state: running/' 's/for: agent, timeout: 2s/for: ssh, timeout: 3s/'
ka 1 apply --yes m.yaml
says "waiting for its ssh server took longer than 3 s" "last seen: "

step "a seed that is no longer declared goes with the guest's next boot"
cp m.yaml seeded.yaml
sed -i -e '/seed:/,$d' -e '/wait:/d' m.yaml
ka 0 apply --yes m.yaml
ka 0 plan m.yaml
says "disks.sdf" "waits for next boot"
is "$first" seed
ka 0 apply --yes --allow restart m.yaml
has_not kvmapply-seed ls pool
has_not cdrom v dumpxml web
unchanged m.yaml
cp seeded.yaml m.yaml
edit m.yaml '/wait:/d'
ka 0 apply --yes --allow restart m.yaml
is "$first" seed
unchanged m.yaml

step "a seed's volume that somebody removed is made again, one that is left over goes"
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes --allow restart m.yaml
v vol-delete "$(basename "$first")" fast >/dev/null
stale=kvmapply-seed-web-0123456789ab.iso
ka 0 plan m.yaml
says "seed" "of its seed is not there"
ka 0 apply --yes m.yaml
has "password: secret-of-the-seed" content user-data
v vol-create-as fast $stale 1M --format raw
v vol-create-as fast kvmapply-seed-web-2-0123456789ab.iso 1M --format raw
ka 0 plan --detailed-exitcode --target disk/root m.yaml
ka 2 plan --detailed-exitcode m.yaml
says "- seed" $stale
ka 0 apply --yes m.yaml
has_not $stale ls pool
v vol-delete kvmapply-seed-web-2-0123456789ab.iso fast >/dev/null
unchanged m.yaml
edit m.yaml 's/state: off/state: running/'

step "with the guest its seed goes"
ka 0 delete --yes --allow delete m.yaml
has_not kvmapply-seed ls -a pool

step "what a cut run left is made anew"
name=$(basename "$first")
ka 0 apply --yes --target pool/fast m.yaml
v vol-create-as fast ".$name.kvmapply-partial" 1M --format raw
v vol-create-as fast "$name" 1M --format raw
edit m.yaml 's/state: running/state: off/'
ka 0 apply --yes m.yaml
has "password: secret-of-the-seed" content user-data
has_not partial ls -a pool
sum=$(sha256sum <"$first")
for seconds in 0.05 0.1 0.15 0.2 0.25 0.3; do
    ka 0 delete --yes --allow delete --target guest/web m.yaml
    has_not kvmapply-seed ls -a pool
    timeout -s KILL "$seconds" "$KA_BINARY" -c "$uri" apply --yes m.yaml >cut.log 2>&1 </dev/null || true
    ka 0 apply --yes m.yaml
    is "$sum" sh -c "sha256sum <$first"
    has_not partial ls -a pool
    unchanged m.yaml
done
ka 0 delete --yes --allow delete m.yaml

step "a config drive, and Ignition by the firmware"
cat >other.yaml <<YAML
project: shop
pools:
  fast: {type: dir, path: $work/pool}
guests:
  drive:
    memory: 64MiB
    machine: pc
    state: off
    seed: {pool: fast, config-drive: {user-data: {a: b}, meta-data: {x: {env: SEED_PASSWORD}}}}
  ignition:
$(guest_fields ignition)
    seed: {pool: fast, ignition: {ignition: {version: 3.3.0}, x: {env: SEED_PASSWORD}}}
YAML
ka 0 apply --yes other.yaml
says_not secret-of
unchanged other.yaml
has "dev='hdd' bus='ide'" v dumpxml drive
has "config-2" head -c 65536 pool/kvmapply-seed-drive-*.iso
file=$(ls pool/kvmapply-seed-ignition-*.ign)
has "name='opt/com.coreos/config' file='$work/$file'" v dumpxml ignition
has '"x" : "secret-of-the-seed"' cat "$file"
booted ignition
ka 0 export guest/ignition
cp out exported.yaml
unchanged exported.yaml
SEED_PASSWORD=another
ka 0 apply --yes other.yaml
ka 0 plan --detailed-exitcode other.yaml
says "waits for next boot"
ka 0 apply --yes --allow restart --shutdown-timeout 60 other.yaml
unchanged other.yaml
is "1" sh -c "ls pool/kvmapply-seed-ignition-* | wc -l"
ka 0 delete --yes --allow delete other.yaml
has_not kvmapply-seed ls -a pool
