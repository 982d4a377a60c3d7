#!/bin/sh
# deps.sh [test]: installs the packages that building and running need and that are missing; with
# `test` also those of the tests. By apt on Debian and Ubuntu, by dnf on Fedora; with sudo where not root.
# Daemons that a package would start or enable are left as they are found: nothing is started.
set -eu
kind=${1:-run}

debian="cmake gcc make pkg-config libglib2.0-dev libyaml-dev libxml2-dev libjson-glib-dev libvirt-dev
libvirt-daemon libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iproute2
libcmocka-dev"
debian_test="python3-jsonschema openssh-server openssh-client netcat-openbsd util-linux cpio kmod
libvirt-daemon-driver-qemu"
fedora="cmake gcc make pkgconf-pkg-config glib2-devel libyaml-devel libxml2-devel json-glib-devel
libvirt-devel libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-network
libvirt-daemon-driver-storage libvirt-daemon-driver-nwfilter libvirt-client qemu-system-x86-core qemu-img
dnsmasq iproute libcmocka-devel cpio kmod"
fedora_test="python3-jsonschema openssh-server openssh-clients nmap-ncat util-linux libasan libubsan diffutils"

if command -v apt-get >/dev/null; then
    wanted=$debian
    [ "$kind" != test ] || wanted="$wanted $debian_test"
elif command -v dnf >/dev/null; then
    wanted=$fedora
    [ "$kind" != test ] || wanted="$wanted $fedora_test"
else
    echo "deps.sh: neither apt-get nor dnf is here; needed are (Debian's names): $debian" >&2
    exit 1
fi

missing=
for package in $wanted; do
    if command -v dpkg-query >/dev/null; then
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed && continue
    else
        rpm -q --quiet --whatprovides "$package" && continue
    fi
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "deps.sh: as root, install:$missing" >&2 && exit 1; }
    sudo=sudo
fi
echo "installing:$missing" >&2
# shellcheck disable=SC2086
if command -v apt-get >/dev/null; then
    $sudo apt-get -qq update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >&2
else
    $sudo dnf -q -y install $missing >&2
fi
