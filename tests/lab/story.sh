# story.sh: what the stories share; each test_*.sh sources it. A story says with `step` what it is at, and
# ends at the first thing that isn't as it should be. Facts are asked of virsh, not of kvmapply.
# shellcheck shell=sh
set -eu
# What kvmapply prints is looked at as a terminal of today shows it.
LC_ALL=C.UTF-8
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "SKIP: a lab needs root" && exit 77; }
unshare -m -n -p --propagation unchanged --fork true 2>/dev/null || { echo "SKIP: no namespaces here" && exit 77; }

story=$(basename "$0" .sh)
story=${story#test_}
own_root=
if [ -z "${KA_LAB_ROOT-}" ]; then
    KA_LAB_ROOT=$(mktemp -d /tmp/ka-lab.XXXXXX)
    own_root=yes
fi
export KA_LAB_ROOT
: "${KA_BINARY:=$here/../../build/cmd/kvmapply}"
# Where manifests and outputs lie; the story runs in it.
work=$KA_LAB_ROOT/work-$story
mkdir -p "$work"
chmod 755 "$KA_LAB_ROOT" "$work"
cd "$work"
labs=

lab() {
    sh "$here/lab.sh" "$@"
}

story_end() {
    status=$?
    trap - EXIT
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        echo "FAILED in step: ${at-}"
        for file in out err; do
            [ ! -s "$work/$file" ] || sed "s/^/  $file: /" "$work/$file"
        done
    fi
    for name in $labs; do lab stop "$name"; done
    [ -z "${loop-}" ] || losetup -d "$loop" # a story's loop device
    cd /
    rm -rf "$work"
    [ -z "$own_root" ] || lab stop-all
    exit $status
}
trap story_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() {
    at=$*
    echo "· $*"
}

die() {
    echo "not as it should be: $*"
    exit 1
}

# start LAB [--ssh]: afterwards $uri is the last one started.
start() {
    lab start "$@"
    labs="$labs $1"
    uri=$(lab uri "$1")
}

v() { # virsh on the last lab
    timeout 60 virsh -q -c "$uri" "$@"
}

# ka EXIT-STATUS ARGUMENTS…: kvmapply on the last lab; its output in the files out and err.
ka() {
    wanted=$1
    shift
    status=0
    timeout "${limit:-180}" "$KA_BINARY" -c "$uri" "$@" >out 2>err </dev/null || status=$?
    [ $status = "$wanted" ] || die "kvmapply $*: expected exit $wanted, got $status"
}

# says TEXT…: all of them are in what kvmapply wrote, spaces taken as one.
says() {
    for text in "$@"; do
        cat out err | tr -s ' ' | grep -qF -- "$text" || die "expected '$text' in the output"
    done
}

says_not() {
    for text in "$@"; do
        ! cat out err | tr -s ' ' | grep -qF -- "$text" || die "didn't expect '$text' in the output"
    done
}

# is WANTED COMMAND…: the command prints just that, spaces at a line's end aside (virsh pads).
is() {
    expected=$1
    shift
    got=$("$@" 2>&1 | sed 's/ *$//') || true
    [ "$got" = "$expected" ] || die "$*: expected '$expected', got '$got'"
}

# has TEXT COMMAND… / has_not: the command's output has the text.
has() {
    text=$1
    shift
    "$@" >has.out 2>&1 || true
    grep -qF -- "$text" has.out || die "$*: expected '$text' in: $(cat has.out)"
}

has_not() {
    text=$1
    shift
    "$@" >has.out 2>&1 || true
    ! grep -qF -- "$text" has.out || die "$*: didn't expect '$text' in: $(cat has.out)"
}

# soon SECONDS COMMAND…: the command succeeds within that time.
soon() {
    tries=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "not in time: $*"
        sleep 0.2
    done
}

# edit FILE SED-EXPRESSION…: each must change something.
edit() {
    file=$1
    shift
    for expression in "$@"; do
        cp "$file" before.edit
        sed -i "$expression" "$file"
        ! cmp -s before.edit "$file" || die "edit '$expression' changes nothing in $file"
    done
}

# unchanged MANIFEST…: the plan is empty.
unchanged() {
    ka 0 plan --detailed-exitcode "$@"
}

# booted GUEST: its console's file says READY (see guest_fields).
booted() {
    soon 90 grep -q READY "$work/$1.console"
}

# The fields of a guest that boots: indented for a guest of a manifest.
guest_fields() { # GUEST
    kernel=$(lab guest)
    cat <<FIELDS
    vcpus: {current: 1, maximum: 4}
    memory: {current: 192MiB, maximum: 256MiB}
    kernel: $kernel/vmlinuz
    initrd: $kernel/initrd
    cmdline: console=ttyS0 quiet
    serial:
      0: {type: file, path: $work/$1.console}
    state: running
FIELDS
}
