#!/bin/sh
# Golden images: built of a real Debian, uploaded once, cloned thin and in full, booted; what is built
# isn't built again; a newer build changes nothing that is there; a base in use stays; a build and an
# upload that are killed leave nothing that is taken for whole.
. "$(dirname "$0")/story.sh"
limit=500
export XDG_CACHE_HOME="$work/cache"
debian=${KA_DEBIAN:-$KA_LAB_ROOT/.debian}
status=0
sh "$here/debian-image.sh" "$debian" || status=$?
[ $status != 77 ] || exit 77
[ $status = 0 ] || die "no Debian image: $status"
start image
mkdir pool

images() {
    cat <<YAML
project: shop
images:
  deb:
    source: {path: $debian/debian.img, format: raw}
    size: 2GiB
    files: {/etc/motd: one}
    run: [{command: "command -v tail && echo built >/built"}]
    network: false
    first-boot: [{command: "echo FIRST \$(cat /built) >/dev/console"}]
    scrub: true
pools:
  fast: {type: dir, path: $work/pool}
YAML
}
disk() { # NAME MORE
    echo "  $1: {pool: fast, image: deb$2}"
}
guest() { # NAME
    cat <<YAML
  $1:
    memory: 512MiB
    vcpus: 1
    kernel: $debian/vmlinuz
    initrd: $debian/initrd
    cmdline: root=/dev/vda rw console=ttyS0
    disks: {vda: {disk: $1}}
    serial: {0: {type: file, path: $work/$1.console}}
YAML
}
base() {
    find pool -name 'kvmapply-image-deb-*' | sort
}

step "what an image costs is in the plan; nothing is done yet"
{ images && echo "disks:" && disk a "" && disk b ", size: 3GiB" && echo "guests:" && guest a && guest b; } >m.yaml
ka 2 plan --detailed-exitcode m.yaml
says "+ image deb" "build, upload to pool fast" "from image deb"
[ ! -e cache/kvmapply/images ] || die "a plan left something in the cache"

step "kill -9 while it is built: nothing is there"
"$KA_BINARY" -q image build m.yaml >kill.log 2>&1 &
killed=$!
soon 60 sh -c "[ -n \"\$(find cache -name 'image-*.raw' -size +100M)\" ]"
sleep 3
kill -9 $killed
wait $killed || true
[ -z "$(find cache -path '*/images/*')" ] || die "half an image: $(find cache)"

step "built, uploaded once, cloned thin, started"
ka 0 apply --yes m.yaml
[ "$(base | wc -l)" = 1 ] || die "one base was expected: $(ls pool)"
has "$(base)" qemu-img info -U pool/a
has "$(base)" qemu-img info -U pool/b
has "virtual size: 3 GiB" qemu-img info -U pool/b
[ "$(du -m pool/a | cut -f1)" -lt 200 ] || die "the clone isn't thin: $(du -m pool/a)"
[ "$(du -m "$(base)" | cut -f1)" -lt 700 ] || die "the base isn't sparse"
[ -z "$(find cache -path '*/partial/*')" ] || die "left in the cache: $(find cache)"
unchanged m.yaml

step "beside the image lie its record and its packages"
record=$(find cache -name '*.json' ! -name '*.spdx.json')
has '"system" : "Debian' cat "$record"
has "sha256:$(sha256sum <"$debian/debian.img" | cut -d' ' -f1)" cat "$record"
has '"SPDX-2.3"' cat "${record%.json}.spdx.json"
has '"pkg:deb/debian/openssh-server@' cat "${record%.json}.spdx.json"

step "what hasn't changed is not built again, and that takes no time"
begun=$(date +%s%N)
ka 0 image build m.yaml
took=$((($(date +%s%N) - begun) / 1000000))
says "unchanged"
echo "  a build with nothing to do: $took ms"
[ $took -lt 1000 ] || die "it took $took ms"

step "both guests boot what was built, and run their first-boot script"
for guest in a b; do
    soon 240 grep -q "FIRST built" $guest.console
done

step "a newer recipe changes no disk that is there; the plan says what stands on the older build"
edit m.yaml 's/motd: one/motd: two/'
ka 0 plan --detailed-exitcode m.yaml
says "stands on build" "of image 'deb', which is now"
says_not "+ image"

step "a base that clones use isn't pruned; what isn't used is"
cp m.yaml other.yaml
ka 0 image prune --pool other.yaml
says "in use base"
[ "$(base | wc -l)" = 1 ] || die "the base went under its clones"
ka 0 image list
[ ! -s out ] || die "the older build is still in the cache: $(cat out)"

step "kill -9 while it is uploaded: the half is never taken for the whole"
{ images && echo "disks:" && disk a "" && disk b ", size: 3GiB" && disk c ", clone: full, size: 3GiB" &&
    echo "guests:" && guest a && guest b; } | sed 's/motd: one/motd: two/' >m.yaml
ka 0 image build m.yaml
says "built"
"$KA_BINARY" -q -c "$uri" apply --yes m.yaml >kill.log 2>&1 &
killed=$!
soon 60 sh -c "[ \$(find pool -name 'kvmapply-image-deb-*' -size +1M | wc -l) = 2 ]"
kill -9 $killed
wait $killed || true
[ ! -e pool/c ] || die "too late: the upload was finished before the kill"
ka 2 plan --detailed-exitcode m.yaml
says "+ image deb" "upload to pool fast" "+ disk c"
says_not "build,"
ka 0 apply --yes m.yaml
[ "$(base | wc -l)" = 2 ] || die "two bases were expected: $(ls pool)"
[ -z "$(find pool -name '.*')" ] || die "left in the pool: $(ls -A pool)"
has_not backing qemu-img info -U pool/c
new=$(find cache -name '*.raw')
for volume in $(base); do
    ! cmp -s "$volume" "$new" || same=$volume
done
[ -n "${same-}" ] || die "no base is what was built"

step "--replace makes a disk anew on the newer build"
v destroy b
ka 3 apply --yes --replace disk/b m.yaml
ka 0 apply --yes --allow delete --replace disk/b m.yaml
has "$same" qemu-img info -U pool/b
unchanged --target disk/b m.yaml

step "a base that nothing uses any longer goes with prune --pool"
ka 0 delete --yes --allow delete,restart --target guest/b --target disk/b m.yaml
ka 0 image prune --pool --dry-run m.yaml
says "would go base"
ka 0 image prune --pool m.yaml
says "removed base" "in use base"
[ "$(base | wc -l)" = 1 ] || die "one base was expected: $(ls pool)"

step "bad input: what can't be is said before anything is done"
sed 's/size: 2GiB/size: 512MiB/' m.yaml >small.yaml
ka 1 image build small.yaml
says "images don't shrink"
sed "s/network: false/install: [vim, no such]/" m.yaml >bad.yaml
ka 1 image build bad.yaml
says "a package's name"
sed 's/run: .*/run: [{command: "echo it broke; exit 3"}]/' m.yaml >bad.yaml
ka 1 image build bad.yaml
says "it broke"
qemu-img create -q -f qcow2 -b /etc/passwd -F raw evil.qcow2 8M
printf 'images: {evil: {source: {path: evil.qcow2}}}\n' >bad.yaml
ka 1 image build bad.yaml
says "backing file"
truncate -s 64M empty.raw
printf 'images: {empty: {source: {path: empty.raw}, hostname: a}}\n' >bad.yaml
ka 1 image build bad.yaml
[ "$(find cache -path '*/images/*.raw' | wc -l)" = 1 ] || die "left in the cache: $(find cache)"
[ -z "$(find cache -path '*/partial/*')" ] || die "left in the cache: $(find cache)"
