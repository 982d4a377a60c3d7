#!/bin/sh
# The part of lab.sh that runs inside a lab's namespaces.
#   inside.sh hold FOLDER       holds a network namespace
#   inside.sh init FOLDER NAME  first process of a lab
#   inside.sh restart FOLDER    another libvirtd
set -eu
command=$1
folder=$2

# /proc is still the outer one: this is our PID there.
say_pid() {
    read -r outer _ </proc/self/stat
    echo "$outer" >"$folder/pid.new~"
    mv "$folder/pid.new~" "$folder/pid.new"
}

# Private folders over libvirt's own; /run is empty, so that nobody finds the machine's D-Bus, sockets
# or pid files; /sys shows the lab's own interfaces and no cgroups (guests of two labs may share a name).
private_folders() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p "$folder/etc" "$folder/lib" "$folder/cache" "$folder/log.d" "$folder/run" /run/libvirt /run/sshd /run/lock
    chmod 755 "$folder"/*/
    cp -r /etc/libvirt/nwfilter "$folder/etc/" 2>/dev/null || true
    mkdir -p /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt
    mount --bind "$folder/etc" /etc/libvirt
    mount --bind "$folder/lib" /var/lib/libvirt
    mount --bind "$folder/cache" /var/cache/libvirt
    mount --bind "$folder/log.d" /var/log/libvirt
    mount --bind "$folder/run" /run/libvirt
    # Fedora's /var/run may be a folder of its own.
    [ /var/run -ef /run ] || mount --bind /run /var/run
}

# Emulation everywhere, so that a test is the same on every machine: KVM only if asked for.
hide_kvm() {
    [ -z "${KA_LAB_KVM-}" ] && [ -e /dev/kvm ] || return 0
    # Not to be opened by anybody: a device that can be, and that is none, has libvirt probe its
    # emulators again at every definition.
    : >"$folder/no-kvm"
    chmod 000 "$folder/no-kvm"
    mount --bind "$folder/no-kvm" /dev/kvm
}

configure() {
    cat >/etc/libvirt/libvirtd.conf <<CONF
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
unix_sock_group = "$(getent group libvirt >/dev/null && echo libvirt || echo root)"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0770"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
CONF
    cat >/etc/libvirt/qemu.conf <<CONF
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
CONF
    cat >/etc/libvirt/network.conf <<CONF
CONF
    : >/etc/libvirt/libvirt.conf
}

start_daemon() {
    # Its threads must not be found by the next start before it is gone.
    libvirtd -d -p /run/libvirtd.pid -f /etc/libvirt/libvirtd.conf
}

# Names come from a file alone: nobody answers DNS here, and libvirtd, which asks for its host's name
# at each definition, would wait for it.
network() {
    ip link set lo up
    hosts=$folder/../.hosts
    if [ ! -e "$folder/number" ]; then
        hosts=$folder/hosts
        echo "127.0.0.1 localhost $3" >"$hosts"
    fi
    mount --bind "$hosts" /etc/hosts
    [ ! -e /etc/resolv.conf ] || mount --bind /dev/null /etc/resolv.conf
}

case $command in
hold)
    say_pid
    exec sleep infinity
    ;;
init)
    # The outer side looks whether it sees this.
    mount -t tmpfs tmpfs "$folder/probe"
    say_pid
    # The outer side plugs the cable first.
    while [ ! -e "$folder/go" ]; do sleep 0.05; done
    hostname "$3"
    private_folders
    hide_kvm
    network "$@"
    configure
    start_daemon
    [ ! -e "$folder/sshd_config" ] || /usr/sbin/sshd -f "$folder/sshd_config"
    # PID 1 reaps what daemons leave, or libvirt waits for guests that are long dead. The shell reaps
    # everything while it waits for its own child.
    trap '' TERM HUP INT
    while :; do
        sleep 1000 &
        wait $! || true
    done
    ;;
restart)
    old=$(cat /run/libvirtd.pid)
    kill "$old" || true # it may have been killed
    while kill -0 "$old" 2>/dev/null; do sleep 0.05; done
    start_daemon
    ;;
esac
