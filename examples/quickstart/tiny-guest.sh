#!/bin/sh
# tiny-guest.sh FOLDER: makes a guest that boots in seconds: FOLDER/vmlinuz and FOLDER/initrd.
#
# The kernel is the distribution's (the installed one if it can be read, else its package, unpacked and
# not installed), the rest is busybox. Its console (ttyS0) says READY; it obeys the power button, gives
# memory to the balloon, takes vcpus, disks and NICs while it runs, and asks DHCP for an address.
set -eu
folder=${1:?"usage: tiny-guest.sh FOLDER"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
modules="virtio_pci virtio_blk virtio_net virtio_scsi sd_mod virtio_console virtio_balloon virtio_rng
virtio_input ahci sr_mod e1000 button evdev acpi_cpufreq af_packet"

# unpack PACKAGE…: downloads packages (no root needed) and unpacks them into $work/root.
unpack() {
    mkdir -p "$work/packages" "$work/root"
    if command -v apt-get >/dev/null; then
        (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download "$@")
        for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
    else
        dnf -q download --arch "$(uname -m)" --destdir "$work/packages" "$@"
        for package in "$work"/packages/*.rpm; do
            rpm2cpio "$package" | (cd "$work/root" && cpio -idm --quiet)
        done
    fi
    rm -rf "$work/packages"
}

# Names of the packages that hold the kernel and its modules.
kernel_packages() {
    if command -v dnf >/dev/null; then
        echo kernel-core kernel-modules-core
        return
    fi
    for meta in linux-image-cloud-amd64 linux-image-virtual "linux-image-$(dpkg --print-architecture)"; do
        apt-cache depends "$meta" 2>/dev/null |
            sed -n 's/.*Depends: \(linux-\(image\|modules\)-[0-9].*\)/\1/p' | sort -u >"$work/names"
        [ ! -s "$work/names" ] || break
    done
    # The modules' package is a dependency of the image's.
    for image in $(cat "$work/names"); do
        echo "$image"
        apt-cache depends "$image" | sed -n 's/.*Depends: \(linux-modules-[0-9].*\)/\1/p'
    done | sort -u
}

# Sets kernel (a file) and tree (the folder of its modules).
find_kernel() {
    for kernel in /boot/vmlinuz-* "$work"/root/boot/vmlinuz-* "$work"/root/lib/modules/*/vmlinuz \
        "$work"/root/usr/lib/modules/*/vmlinuz; do
        version=${kernel##*/vmlinuz-}
        [ "$version" != "$kernel" ] || version=$(basename "$(dirname "$kernel")")
        for base in "$work/root/usr" "$work/root" /usr ''; do
            tree=$base/lib/modules/$version
            [ ! -r "$kernel" ] || [ ! -d "$tree/kernel" ] || return 0
        done
    done
    return 1
}

# The modules and what they need, in the order of loading, unpacked into the initramfs.
copy_modules() {
    mkdir -p "$initrd/modules"
    [ -e "$tree/modules.dep" ] || depmod -b "${tree%/lib/modules/*}" "$version"
    for module in $modules; do
        # "built-in" and "not in this kernel" are both fine.
        line=$(grep -E "/$(echo "$module" | sed 's/_/[_-]/g')\.ko[^/]*:" "$tree/modules.dep" | head -n 1)
        for file in $(echo "${line#*:}" | awk '{for (i = NF; i > 0; i--) print $i}') ${line%%:*}; do
            name=$(basename "$file")
            name=${name%%.ko*}.ko
            [ ! -e "$initrd/modules/$name" ] || continue
            case $file in
            *.xz) xz -dc "$tree/$file" ;;
            *.zst) zstd -qdc "$tree/$file" ;;
            *.gz) gzip -dc "$tree/$file" ;;
            *) cat "$tree/$file" ;;
            esac >"$initrd/modules/$name"
            echo "$name" >>"$initrd/modules/order"
        done
    done
}

write_init() {
    cat >"$initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /usr/bin /usr/sbin /sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
echo 3 >/proc/sys/kernel/printk
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
# Any event of the power button ends the guest.
for device in /sys/class/input/event*; do
    [ "$(cat "$device/device/name")" = "Power Button" ] || continue
    (dd if="/dev/input/${device##*/}" bs=24 count=1 of=/dev/null 2>/dev/null && poweroff -f) &
done
(
    # What udev would do: new vcpus come up, new NICs ask for an address.
    while :; do
        for online in /sys/devices/system/cpu/cpu*/online; do
            [ "$(cat "$online" 2>/dev/null)" != 0 ] || echo 1 >"$online"
        done 2>/dev/null
        for nic in /sys/class/net/e*; do
            [ -e "$nic" ] && [ ! -e "/tmp/${nic##*/}" ] || continue
            : >"/tmp/${nic##*/}"
            ip link set "${nic##*/}" up
            udhcpc -i "${nic##*/}" -b -S -s /udhcpc >/dev/null 2>&1 &
        done
        sleep 1
    done
) &
echo READY >/dev/ttyS0
# A shell on the console, for whoever runs `virsh console`.
while :; do setsid cttyhack sh </dev/ttyS0 >/dev/ttyS0 2>&1 || sleep 5; done
INIT
    cat >"$initrd/udhcpc" <<'DHCP'
#!/bin/sh
case $1 in bound | renew) ip addr replace "$ip/${mask:-24}" dev "$interface" ;; esac
DHCP
    chmod 755 "$initrd/init" "$initrd/udhcpc"
}

static_busybox() { # prints its path; nothing where there is none
    for busybox in "$work/root/usr/bin/busybox" "$work/root/bin/busybox" "$work/root/usr/sbin/busybox" \
        "$work/root/sbin/busybox" /usr/bin/busybox /bin/busybox /usr/sbin/busybox; do
        # A dynamic one names its loader in its first page.
        [ -x "$busybox" ] || continue
        head -c 4096 "$busybox" | grep -q 'ld-linux\|ld-musl' || { echo "$busybox" && return; }
    done
}

wanted=
[ -n "$(static_busybox)" ] || wanted=$(command -v dnf >/dev/null && echo busybox || echo busybox-static)
find_kernel || wanted="$wanted $(kernel_packages)"
# shellcheck disable=SC2086
[ -z "$wanted" ] || unpack $wanted
find_kernel || { echo "tiny-guest: no kernel with modules that can be read" >&2 && exit 1; }
busybox=$(static_busybox)
[ -n "$busybox" ] || { echo "tiny-guest: no static busybox" >&2 && exit 1; }

initrd=$work/initrd
mkdir -p "$initrd/bin" "$folder"
cp "$busybox" "$initrd/bin/busybox"
copy_modules
write_init
(cd "$initrd" && find . | "$busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$folder/initrd.new"
cp "$kernel" "$folder/vmlinuz"
# QEMU reads them as its own user.
chmod 755 "$folder"
chmod 644 "$folder/vmlinuz" "$folder/initrd.new"
mv "$folder/initrd.new" "$folder/initrd"
