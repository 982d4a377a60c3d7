#!/bin/sh
# run.sh: installs what is missing, builds kvmapply, and runs the main job for real on this machine's
# libvirt: a network, a pool, disks and a guest are planned, made, shown to be as declared, changed while
# the guest runs, exported and deleted. The machine is left as it was; also when a step fails.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
name=kvmapply-quickstart
work=/var/tmp/$name # as the manifests say

# shellcheck source=examples/story.sh
. "$here/../story.sh"

wait_for_boot() {
    echo "waiting for the guest to boot"
    tries=240
    until grep -q READY "$work/console.log" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "the guest doesn't boot: $(cat "$work/console.log" 2>&1)"
        sleep 0.5
    done
    echo "its console says READY"
}

# Its balloon and new vcpus take the guest some seconds; a plan says so until then.
wait_for_guest() {
    tries=60
    while "$build/cmd/kvmapply" -q -c "$uri" plan manifest.yaml | grep -q "not followed yet" && [ $tries -gt 0 ]; do
        [ $tries -lt 60 ] || echo "waiting for the guest to follow"
        tries=$((tries - 1))
        sleep 1
    done
}

# Nothing of it may stay, however far it came.
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$ours" ] && [ $status != 0 ]; then
        for command in "destroy $name" "undefine $name --nvram" "net-destroy $name" "net-undefine $name" \
            "vol-delete --pool $name quickstart-root" "vol-delete --pool $name quickstart-data" \
            "pool-destroy $name" "pool-undefine $name"; do
            # shellcheck disable=SC2086
            virsh -q -c "$uri" $command >/dev/null 2>&1 || true
        done
    fi
    [ -z "$lab" ] || sh "$root/tests/lab/lab.sh" stop-all
    rm -rf "$work"
    [ $status = 0 ] || echo "quickstart: failed; the machine is as it was" >&2
    exit $status
}

ours=
build
mkdir "$work" || die "$work is in the way: another run of this script, or what one left"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$work"
mkdir -m 711 "$work/pool"
# It's there already and is written on, so that it stays readable where the system's libvirt is root.
: >"$work/console.log"
chmod 666 "$work/console.log"
choose_host
manifest=$here/quickstart.yaml
[ "$uri" != qemu:///session ] || manifest=$here/session.yaml
! virsh -q -c "$uri" dominfo $name >/dev/null 2>&1 || die "a guest '$name' is already there"
! virsh -q -c "$uri" pool-info $name >/dev/null 2>&1 || die "a pool '$name' is already there"
ours=yes

say "a guest that boots in seconds: the distribution's kernel and busybox"
sh "$here/tiny-guest.sh" "$work"

cp "$manifest" "$work/manifest.yaml"
[ -z "$emulate" ] || sed -i 's/^    title:.*/&\n    type: qemu/' "$work/manifest.yaml"
cd "$work"
say "the manifest"
cat manifest.yaml
say "is it right, without asking any host?"
run validate manifest.yaml
say "what would be done?"
run plan manifest.yaml
say "do it"
run apply --yes manifest.yaml
wait_for_boot
wait_for_guest
say "and again: nothing is left to do"
run plan --detailed-exitcode manifest.yaml

say "change the running guest: a vcpu more, less memory, a second disk, another title"
cp manifest.yaml before.yaml
sed -i -e 's/current: 1,/current: 2,/' -e 's/current: 192MiB/current: 160MiB/' \
    -e 's/title: .*/title: The same guest, changed while it runs/' \
    -e 's/^\( *\)vda: .*/&\n\1vdb: {disk: quickstart-data}/' manifest.yaml
diff -U0 before.yaml manifest.yaml | sed 1,2d || true
run plan manifest.yaml
run apply --yes manifest.yaml
wait_for_guest
virsh -c "$uri" domblklist $name
run plan --detailed-exitcode manifest.yaml

say "somebody detaches the disk by hand; the plan sees it, apply puts it back"
virsh -c "$uri" detach-disk $name vdb --live --config
run plan manifest.yaml
run apply --yes manifest.yaml

say "export: a manifest of what is there"
run export guest/$name

say "delete it all"
run delete --allow delete --yes manifest.yaml
left=$(virsh -q -c "$uri" list --all --name | grep -x $name || true)
[ -z "$left" ] || die "the guest is still there"
say "done; the machine is as it was"
