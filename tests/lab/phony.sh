#!/bin/sh
# phony.sh: sourced by stories about images: small systems of several families as ext4 images, made
# without mounting anything, and their files read back.
# shellcheck shell=sh
scrub_data=$here/../data/scrub
export LIBGUESTFS_BACKEND_SETTINGS=force_tcg # the labs' machines may have a KVM that doesn't work

command -v debugfs >/dev/null || { echo "SKIP: no debugfs here" && exit 77; }
ls /boot/vmlinuz-* >/dev/null 2>&1 || { echo "SKIP: no kernel in /boot for the appliance" && exit 77; }

# release TREE ID LIKE: the least that makes a tree a system, with users root, ann and bob.
release() {
    mkdir -p "$1/etc" "$1/root" "$1/home/ann" "$1/srv/people/bob"
    printf 'ID=%s\nID_LIKE="%s"\nVERSION_ID=1\nPRETTY_NAME="Phony %s 1"\n' "$2" "$3" "$2" >"$1/etc/os-release"
    cat >"$1/etc/passwd" <<PASSWD
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
ann:x:1000:1000::/home/ann:/bin/sh
bob:x:1001:1001::/srv/people/bob:/bin/sh
PASSWD
    printf 'root:x:0:\nwheel:x:10:ann,root\nann:x:1000:\nbob:x:1001:\n' >"$1/etc/group"
    printf 'root:*:1::::::\nann:!:1::::::\nbob:!:1::::::\n' >"$1/etc/shadow"
    echo "/dev/vda / ext4 defaults 0 1" >"$1/etc/fstab"
}

planted() {
    grep -v '^#' "$scrub_data/planted"
}

# plant TREE: everything that an operation takes away, and everything that one edits or leaves.
plant() {
    planted | cut -d' ' -f2- | sed "s|^|$1|;s|/[^/]*$||" | sort -u | tr '\n' '\0' | xargs -0 mkdir -p
    planted | cut -d' ' -f2- | while read -r path; do
        case $path in
        *.pub) echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ$(echo "$path" | md5sum | cut -c1-41) phony" ;;
        *) echo "planted: $path" ;;
        esac >"$1$path"
    done
    cp -R "$scrub_data/before/." "$1"
}

# image TREE FILE [MIB]
image() {
    rm -f "$2"
    truncate -s "${3:-48}M" "$2"
    mkfs.ext4 -q -b 1024 -N 8192 -L root -d "$1" "$2"
}

# unpack IMAGE FOLDER: its files, owners aside.
unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    debugfs -R "rdump / $2" "$1" >/dev/null 2>&1
    [ -d "$2/etc" ] || die "can't read $1 back"
}
