#!/bin/sh
# run.sh [--url URL --sha512 DIGEST]: builds a template, scrubs and audits it, and starts two clones of it on
# this machine's libvirt. The template's base is a Debian made of packages or, with --url, a cloud image
# (qcow2). The machine is left as it was; also when a step fails. Needs root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
name=kvmapply-golden-image
work=/var/tmp/$name # as the manifests say
# shellcheck source=examples/story.sh
. "$here/../story.sh"

url= sha512=
while [ $# -gt 0 ]; do
    case $1 in
    --url) url=$2 ;;
    --sha512) sha512=$2 ;;
    *) die "expected --url URL --sha512 DIGEST, got '$1'" ;;
    esac
    shift 2
done
[ -z "$url" ] || [ -n "$sha512" ] || die "--url wants --sha512, too: what it must be"
[ "$(id -u)" = 0 ] || die "a Debian is made and guests are started: run it as root"

clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$ours" ] && [ $status != 0 ]; then
        for guest in kvmapply-golden-one kvmapply-golden-two; do
            virsh -q -c "$uri" destroy $guest >/dev/null 2>&1 || true
            virsh -q -c "$uri" undefine $guest --nvram >/dev/null 2>&1 || true
        done
        virsh -q -c "$uri" pool-destroy $name >/dev/null 2>&1 || true
        virsh -q -c "$uri" pool-undefine $name >/dev/null 2>&1 || true
    fi
    [ -z "$lab" ] || sh "$root/tests/lab/lab.sh" stop-all
    rm -rf "$work"
    [ $status = 0 ] || echo "golden-image: failed; the machine is as it was" >&2
    exit $status
}

# The line that the clone's first-boot script writes on its console.
wait_for() { # CONSOLE
    tries=600
    until grep -aq GOLDEN "$work/$1.console" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "clone '$1' doesn't boot: $(tail -n 20 "$work/$1.console" 2>&1)"
        sleep 0.5
    done
    grep -ao 'GOLDEN .*' "$work/$1.console" | head -n 1 | tr -d '\r'
}

ours=
build test
mkdir "$work" || die "$work is in the way: another run of this script, or what one left"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$work"
mkdir -m 711 "$work/pool"
export XDG_CACHE_HOME="$work/cache" # where images are fetched and built: it goes with the rest
choose_host
! virsh -q -c "$uri" pool-info $name >/dev/null 2>&1 || die "a pool '$name' is already there"
ours=yes

if [ -n "$url" ]; then
    sed -e "s|url: .*|url: $url|" -e "s|sha512: .*|sha512: $sha512|" "$here/cloud.yaml" >"$work/manifest.yaml"
else
    say "a base: Debian, made of packages of this machine's own mirror (some minutes)"
    sh "$root/tests/lab/debian-image.sh" "$work/base"
    chmod 755 "$work/base"
    sed "s|path: debian.img|path: base/debian.img|" "$here/golden-image.yaml" >"$work/manifest.yaml"
fi
[ -z "$emulate" ] || sed -i 's/^    memory: .*/&\n    type: qemu/' "$work/manifest.yaml"
cd "$work"
say "the manifest"
cat manifest.yaml
say "what would be done?"
run plan manifest.yaml

say "build the template"
run image build --output golden.raw manifest.yaml
say "does anything in it still tell which machine it was?"
run image audit golden.raw
say "built again, it takes no time: nothing has changed"
run image build manifest.yaml

say "upload it, and start two thin clones"
run apply --yes manifest.yaml
one=$(wait_for one)
two=$(wait_for two)
echo "the clones say: $one"
echo "                $two"
[ "$one" != "$two" ] || die "both clones have the same machine id"
du -h pool/* | sed 's/^/  /'
say "and again: nothing is left to do"
run plan --detailed-exitcode manifest.yaml

say "delete it all"
sed -i 's/state: running/state: off/' manifest.yaml
for guest in kvmapply-golden-one kvmapply-golden-two; do
    virsh -q -c "$uri" destroy $guest # nobody listens to a power button here
done
# The base that the clones stood on goes once they are gone, and before its pool.
run delete --allow delete --yes --target guest/kvmapply-golden-one --target guest/kvmapply-golden-two \
    --target disk/golden-one --target disk/golden-two manifest.yaml
run image prune --pool manifest.yaml
run delete --allow delete --yes manifest.yaml
left=$(virsh -q -c "$uri" list --all --name | grep golden || true)
[ -z "$left" ] || die "a guest is still there: $left"
say "done; the machine is as it was"
