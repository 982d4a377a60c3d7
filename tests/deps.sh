#!/bin/sh
# deps.sh [test]: installs the packages that building and running need and that are missing; with
# `test` also those of the tests. By apt on Debian and Ubuntu, by dnf on Fedora; with sudo where not root.
# What a package starts by itself when it is installed is the package's affair.
set -eu
kind=${1:-run}

debian="cmake gcc make pkg-config libglib2.0-dev libyaml-dev libxml2-dev libjson-glib-dev libvirt-dev
libcurl4-openssl-dev libgnutls28-dev liblzma-dev zlib1g-dev libzstd-dev libbz2-dev libisofs-dev ca-certificates
libvirt-daemon libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iptables
iproute2 kmod libcrypt-dev libguestfs-dev"
# Parts of libvirt-daemon that are packages of their own in some releases.
debian_parts="libvirt-daemon-driver-qemu libvirt-daemon-driver-network libvirt-daemon-driver-nwfilter
libvirt-daemon-driver-storage libvirt-daemon-driver-secret libvirt-daemon-driver-nodedev"
debian_parts_test="libvirt-daemon-driver-storage-disk libvirt-daemon-driver-storage-iscsi
libvirt-daemon-driver-storage-logical libvirt-daemon-driver-storage-mpath libvirt-daemon-driver-storage-scsi"
debian_test="libcmocka-dev python3-jsonschema python3-yaml openssh-server openssh-client util-linux iputils-ping
nginx-light openssl parted xorriso procps debootstrap e2fsprogs ntfs-3g linux-image-cloud-amd64"
fedora="cmake gcc make pkgconf-pkg-config glib2-devel libyaml-devel libxml2-devel json-glib-devel
libcurl-devel gnutls-devel xz-devel zlib-devel libzstd-devel bzip2-devel libisofs-devel ca-certificates
libvirt-devel libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-network
libvirt-daemon-driver-storage libvirt-daemon-driver-nwfilter libvirt-daemon-driver-secret libvirt-client qemu-system-x86-core qemu-img
dnsmasq iproute cpio kmod diffutils libxcrypt-devel libguestfs-devel libguestfs libguestfs-xfs"
fedora_test="libcmocka-devel python3-jsonschema python3-pyyaml openssh-server openssh-clients util-linux iputils libasan libubsan
nginx openssl parted xorriso procps-ng"

if command -v apt-get >/dev/null; then
    wanted=$debian
    [ "$kind" != test ] || wanted="$wanted $debian_test" debian_parts="$debian_parts $debian_parts_test"
elif command -v dnf >/dev/null; then
    wanted=$fedora
    [ "$kind" != test ] || wanted="$wanted $fedora_test"
else
    echo "deps.sh: neither apt-get nor dnf is here; needed are (Debian's names): $debian" >&2
    exit 1
fi

is_installed() {
    if command -v dpkg-query >/dev/null; then
        dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
    else
        rpm -q --quiet --whatprovides "$1"
    fi
}
missing=
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
install() {
    [ -z "$sudo" ] || command -v sudo >/dev/null || { echo "deps.sh: as root, install: $*" >&2 && exit 1; }
    echo "installing: $*" >&2
    if command -v apt-get >/dev/null; then
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" >&2
    else
        $sudo dnf -q -y install "$@" >&2
    fi
}

if command -v apt-get >/dev/null; then
    [ -z "$missing" ] || $sudo apt-get -qq update
    for package in $debian_parts; do
        is_installed "$package" || ! apt-cache show "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
fi
# shellcheck disable=SC2086
[ -z "$missing" ] || install $missing
