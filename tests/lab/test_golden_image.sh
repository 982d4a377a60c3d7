#!/bin/sh
# The example of a golden image, with the kvmapply that is already built: it ends well and leaves nothing.
. "$(dirname "$0")/story.sh"

step "a template is built, scrubbed, audited and cloned"
! virsh -q -c qemu:///system uri >/dev/null 2>&1 || { echo "SKIP: not on a machine's own libvirtd" && exit 77; }
KA_BUILD=$(cd "$(dirname "$KA_BINARY")/.." && pwd)
export KA_BUILD
timeout 1100 sh "$here/../../examples/golden-image/run.sh" >out 2>err || die "it failed"
says "+ image golden" "built" "unchanged" "the clones say: GOLDEN" "tree v" "removed base"
is 1 grep -cx "nothing to do, 5 as declared" out

step "and leaves nothing behind"
[ ! -e /var/tmp/kvmapply-golden-image ] || die "its folder is still there"
has_not kvmapply-golden-image cat /proc/mounts
