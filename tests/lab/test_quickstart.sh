#!/bin/sh
# The README's first command, with the kvmapply that is already built: it ends well and leaves nothing.
. "$(dirname "$0")/story.sh"

step "the quickstart tells its whole story"
! virsh -q -c qemu:///system uri >/dev/null 2>&1 || { echo "SKIP: not on a machine's own libvirtd" && exit 77; }
KA_BUILD=$(cd "$(dirname "$KA_BINARY")/.." && pwd)
export KA_BUILD
timeout 400 sh "$here/../../examples/quickstart/run.sh" >out 2>err || die "it failed"
says "5 to create" "its console says READY" "vcpus.current 1 → 2" "+ disks.vdb" "5 to delete"
is 2 grep -cx "nothing to do, 5 as declared" out

step "and leaves nothing behind"
[ ! -e /var/tmp/kvmapply-quickstart ] || die "its folder is still there"
has_not kvmapply-quickstart cat /proc/mounts
