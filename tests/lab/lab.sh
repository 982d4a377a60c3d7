#!/bin/sh
# Private libvirt hosts on this machine, each in its own network, mount, PID and UTS namespace, with
# its own folders and host UUID. Needs root. Everything lies below $KA_LAB_ROOT (/tmp/ka-lab). Guests
# are emulated, unless $KA_LAB_KVM is set.
#
#   lab.sh start NAME [--ssh]  a host with a libvirtd; --ssh: reachable by ssh, and by the other
#                              --ssh labs of this root through a bridge (by name, too)
#   lab.sh exec NAME CMD…      runs CMD there (all namespaces; /tmp is the machine's)
#   lab.sh uri NAME [ssh|inside]  a URI for processes outside; ssh: over the lab's sshd; inside:
#                              the same for processes of other --ssh labs
#   lab.sh pid NAME            the PID, outside, of the lab's first process
#   lab.sh restart-daemon NAME ends the libvirtd and starts another; guests go on
#   lab.sh stop NAME           ends all of it, guests too; nothing is left
#   lab.sh stop-all            every lab of this root
#   lab.sh guest [FOLDER]      makes (once a root) a tiny bootable guest; prints its folder, in which
#                              vmlinuz and initrd lie
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${KA_LAB_ROOT:-/tmp/ka-lab}

die() {
    echo "lab: $*" >&2
    exit 1
}

# start_time PID: the kernel's, so that a PID that came around again is not taken for the old one.
start_time() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

alive() { # folder of a lab or of the hub
    [ -s "$1/pid" ] || return 1
    read -r pid then <"$1/pid"
    [ "$(start_time "$pid")" = "$then" ]
}

pid_of() {
    alive "$root/$1" || die "no lab '$1' runs below $root"
    echo "$pid"
}

enter() { # NAME CMD…
    inside=$(pid_of "$1")
    shift
    # With its root, too: in a chroot it is not that of the mount namespace.
    exec nsenter -t "$inside" -m -n -p -u -r -w -- "$@"
}

# wait_for SECONDS CMD…
wait_for() {
    tries=$(($1 * 20))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

# launch FOLDER UNSHARE-OPTIONS… -- CMD…: a first process whose PID and start time land in FOLDER/pid.
launch() {
    folder=$1
    shift
    rm -f "$folder/pid"
    # Without the lock, which would be held for its whole life.
    setsid unshare "$@" >>"$folder/log" 2>&1 </dev/null 9>&- &
    wait_for 10 test -s "$folder/pid.new" || die "$folder: namespaces could not be made: $(cat "$folder/log")"
    read -r pid <"$folder/pid.new"
    rm -f "$folder/pid.new"
    echo "$pid $(start_time "$pid")" >"$folder/pid"
}

end() { # folder
    alive "$1" || return 0
    kill -9 "$pid"
    wait_for 30 gone "$1" || die "$1: process $pid doesn't end"
}

gone() {
    ! alive "$1"
}

# The namespace with the bridge between labs; the lock serialises starts and stops of --ssh labs.
hub_join() { # NAME NUMBER
    hub=$root/.hub
    mkdir -p "$hub"
    if ! alive "$hub"; then
        launch "$hub" -n sh "$here/inside.sh" hold "$hub"
        nsenter -t "$pid" -n sh -c 'ip link add br0 type bridge && ip link set br0 up'
    fi
    read -r hub_pid _ <"$hub/pid"
    read -r lab_pid _ <"$root/$1/pid"
    nsenter -t "$hub_pid" -n ip link add "lab$2" type veth peer name hub0 netns "$lab_pid"
    nsenter -t "$hub_pid" -n ip link set "lab$2" master br0 up
    nsenter -t "$lab_pid" -n sh -c "ip addr add 10.213.0.$2/24 dev hub0 && ip link set hub0 up"
}

hub_leave() {
    for lab in "$root"/*/number; do
        [ -e "$lab" ] && return 0
    done
    end "$root/.hub"
    rm -rf "$root/.hub"
}

free_number() {
    number=2
    while cat "$root"/*/number 2>/dev/null | grep -qx $number; do
        number=$((number + 1))
    done
    echo $number
}

ssh_keys() { # FOLDER
    mkdir -p "$root/.ssh"
    [ -e "$root/.ssh/id" ] || ssh-keygen -q -t ed25519 -N '' -C kvmapply-lab -f "$root/.ssh/id"
    ssh-keygen -q -t ed25519 -N '' -f "$1/ssh_host_key"
    sed "s/^/* /;s/ [^ ]*$//" "$1/ssh_host_key.pub" >>"$root/.ssh/known_hosts"
    cat >"$1/sshd_config" <<SSHD
HostKey $1/ssh_host_key
AuthorizedKeysFile $root/.ssh/id.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
AcceptEnv none
SSHD
    # For processes outside: no address is needed, sshd answers on its standard input.
    cat >"$1/ssh_config" <<SSH
Host *
    IdentityFile $root/.ssh/id
    IdentitiesOnly yes
    UserKnownHostsFile $root/.ssh/known_hosts
    GlobalKnownHostsFile /dev/null
    ProxyCommand "$here/lab.sh" sshd %h
    LogLevel ERROR
SSH
    printf '#!/bin/sh\nKA_LAB_ROOT=%s exec ssh -F %s "$@"\n' "$root" "$1/ssh_config" >"$1/ssh"
    chmod 755 "$1/ssh"
    # For processes inside labs: by address, names are in their /etc/hosts.
    sed '/ProxyCommand/d' "$1/ssh_config" >"$root/.ssh/config"
    printf '#!/bin/sh\nexec ssh -F %s "$@"\n' "$root/.ssh/config" >"$root/.ssh/ssh"
    chmod 755 "$root/.ssh/ssh"
}

start() {
    name=$1
    case $name in '' | *[!A-Za-z0-9_-]*) die "start: a name of letters, digits, - and _ is needed" ;; esac
    [ "$(id -u)" = 0 ] || die "must be root"
    folder=$root/$name
    [ ! -e "$folder" ] || die "'$name' is already there: $folder"
    mkdir -p "$root"
    chmod 755 "$root"
    mkdir -p "$folder"
    trap 'stop "$name"' EXIT # half a lab is none
    (
        flock 9
        [ "${2-}" != --ssh ] || free_number >"$folder/number"
        [ "${2-}" != --ssh ] || ssh_keys "$folder"
    ) 9>"$root/.lock"
    # In a plain chroot / is no mount, so that it can't be made private: then it must be so already.
    propagation=private
    unshare -m --propagation private true 2>/dev/null || propagation=unchanged
    mkdir "$folder/probe"
    launch "$folder" -m -n -u -p --fork --kill-child --propagation $propagation \
        sh "$here/inside.sh" init "$folder" "$name"
    if grep -qF " $folder/probe " /proc/self/mounts; then
        umount "$folder/probe"
        die "mounts of this chroot are shared with the machine: bind its folder to itself, privately"
    fi
    if [ -e "$folder/number" ]; then
        (
            flock 9
            hub_join "$name" "$(cat "$folder/number")"
            : >"$root/.hosts.new"
            for lab in "$root"/*/number; do
                echo "10.213.0.$(cat "$lab") $(basename "$(dirname "$lab")")" >>"$root/.hosts.new"
            done
            # In place: it is bound over each lab's /etc/hosts.
            { echo "127.0.0.1 localhost" && cat "$root/.hosts.new"; } >"$root/.hosts"
            rm -f "$root/.hosts.new"
        ) 9>"$root/.lock"
    fi
    : >"$folder/go"
    wait_for 30 test -S "$folder/run/libvirt-sock" || die "$name: libvirtd didn't come up: $(cat "$folder/log")"
    trap - EXIT
}

stop() {
    folder=$root/$1
    [ -e "$folder" ] || return 0
    end "$folder"
    numbered=$(cat "$folder/number" 2>/dev/null || true)
    rm -rf --one-file-system "$folder"
    [ -z "$numbered" ] || (
        flock 9
        hub_leave
    ) 9>"$root/.lock"
}

stop_all() {
    for lab in "$root"/*/pid; do
        [ ! -e "$lab" ] || stop "$(basename "$(dirname "$lab")")"
    done
    rm -rf --one-file-system "$root"
}

uri() {
    pid_of "$1" >/dev/null
    case ${2-} in
    '') echo "qemu+unix:///system?socket=$root/$1/run/libvirt-sock" ;;
    ssh) echo "qemu+ssh://root@$1/system?command=$root/$1/ssh" ;;
    inside) echo "qemu+ssh://root@$1/system?command=$root/.ssh/ssh" ;;
    *) die "uri: expected nothing, 'ssh' or 'inside', got '$2'" ;;
    esac
}

guest() {
    folder=${1:-$root/.guest}
    mkdir -p "$root"
    (
        flock 9
        [ -e "$folder/initrd" ] || sh "$here/../../examples/quickstart/tiny-guest.sh" "$folder" >&2
    ) 9>"$root/.lock-guest"
    echo "$folder"
}

command=${1-}
[ $# -eq 0 ] || shift
case $command in
start) start "$@" ;;
exec) enter "$@" ;;
sshd) enter "$1" /usr/sbin/sshd -i -f "$root/$1/sshd_config" ;;
uri) uri "$@" ;;
pid) pid_of "$@" ;;
restart-daemon) enter "$1" sh "$here/inside.sh" restart "$root/$1" ;;
stop) stop "$@" ;;
stop-all) stop_all ;;
guest) guest "$@" ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 2
    ;;
esac
