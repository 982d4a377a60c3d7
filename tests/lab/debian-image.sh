#!/bin/sh
# debian-image.sh FOLDER [PACKAGE…]: makes (once) a real Debian system from the packages of this machine's own
# mirror, without mounting anything. In FOLDER afterwards:
#     tree/           its files
#     debian.img      1 GiB, raw, one ext4 file system (label root), without a partition table
#     vmlinuz initrd  to boot it directly: root=/dev/vda console=ttyS0
# With packages, those too, and the kernel's modules for what they may need.
# Needs root, debootstrap and a kernel package (tests/deps.sh test). Ends with 77 where it can't be.
set -eu
folder=$1
shift
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
[ ! -e "$folder/debian.img" ] || exit 0

skip() {
    echo "SKIP: $*"
    exit 77
}
command -v debootstrap >/dev/null || skip "no debootstrap here"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 2>/dev/null | sed -n "s/^$suite //p" | head -n 1)
[ -n "$mirror" ] || skip "apt has no mirror of '$suite'"
kernel=$(ls -v /boot/vmlinuz-* 2>/dev/null | tail -n 1)
[ -n "$kernel" ] || skip "no kernel in /boot"

tree=$folder/tree
rm -rf "$tree"
debootstrap --variant=minbase \
    --include=systemd-sysv,udev,dbus,openssh-server,ifupdown,isc-dhcp-client,iproute2,cron,kmod,vim-tiny$(printf ',%s' "$@" | sed 's/^,$//') \
    "$suite" "$tree" "$mirror" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" && exit 1; }
echo "LABEL=root / ext4 defaults,discard 0 1" >"$tree/etc/fstab"
echo kvmapply-test >"$tree/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tkvmapply-test\n' >"$tree/etc/hosts"
cp "$kernel" "$folder/vmlinuz"
cp "/boot/initrd.img-${kernel#/boot/vmlinuz-}" "$folder/initrd"
if [ $# -gt 0 ]; then
    mkdir -p "$tree/lib/modules"
    cp -r "/lib/modules/${kernel#/boot/vmlinuz-}" "$tree/lib/modules/"
fi
rm -f "$folder/debian.part"
truncate -s 1G "$folder/debian.part"
mkfs.ext4 -q -L root -d "$tree" "$folder/debian.part"
mv "$folder/debian.part" "$folder/debian.img"
