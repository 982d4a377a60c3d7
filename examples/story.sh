# story.sh: what the examples share; each run.sh sources it, after it has set $root (the source), $name (of
# what it makes) and $work (its folder). Afterwards: $build, and by choose_host $uri, $lab, $emulate.
# shellcheck shell=sh
build=${KA_BUILD:-$root/build}
lab= uri= emulate=

say() {
    printf '\n\033[1m# %s\033[0m\n' "$*"
}
[ -t 1 ] || say() {
    printf '\n# %s\n' "$*"
}
die() {
    echo "${name#kvmapply-}: $*" >&2
    exit 1
}
run() {
    echo "\$ kvmapply $*"
    "$build/cmd/kvmapply" -c "$uri" "$@"
}

# build [KIND-OF-PACKAGES]
build() {
    say "packages and build"
    sh "$root/tests/deps.sh" "$@"
    # Without the tests, which want more packages; a folder that is there stays as it was configured.
    tests=-DKA_TESTS=OFF
    [ ! -e "$build/CMakeCache.txt" ] || tests=
    log=$(mktemp)
    { cmake -S "$root" -B "$build" $tests && cmake --build "$build" --target kvmapply -j "$(nproc)"; } >"$log" 2>&1 || {
        cat "$log"
        rm -f "$log"
        exit 1
    }
    rm -f "$log"
    "$build/cmd/kvmapply" version
}

# Can a guest start under KVM? Some machines have the device, and libvirt offers it, but QEMU dies of it.
kvm_works() {
    arch=$(uname -m)
    machine=$([ "$arch" = x86_64 ] && echo q35 || echo virt)
    [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
    # A shell of its own says nothing of QEMU's abort.
    sh -c "echo quit | timeout 20 qemu-system-$arch -M $machine,accel=kvm -cpu host -nodefaults \
        -display none -monitor stdio" >/dev/null 2>&1
}

# The machine's libvirt if it answers; else, for root, a private one that ends with this script; else
# the user's own.
choose_host() {
    if virsh -q -c qemu:///system uri >/dev/null 2>&1; then
        uri=qemu:///system
    elif [ "$(id -u)" = 0 ] && KA_LAB_ROOT=$work/lab && export KA_LAB_ROOT &&
        { ! kvm_works || export KA_LAB_KVM=yes; } && sh "$root/tests/lab/lab.sh" start $name >"$work/lab.log" 2>&1; then
        lab=yes
        uri=$(sh "$root/tests/lab/lab.sh" uri $name)
        echo "No libvirtd runs here: this script has started a private one, and ends it."
    else
        uri=qemu:///session
        virsh -q -c $uri uri >/dev/null || die "neither qemu:///system nor qemu:///session answers"
        echo "qemu:///system doesn't answer (it may want you in the group libvirt): this is your own libvirt."
    fi
    echo "libvirt: $uri"
    if virsh -c "$uri" capabilities | grep -q "<domain type='kvm'"; then
        if [ -w /dev/kvm ] && ! kvm_works; then
            echo "libvirt offers KVM, but QEMU can't use it here: the guest runs under emulation, which is slower."
            emulate=yes
        else
            echo "Guests run under KVM."
        fi
    else
        echo "libvirt offers no KVM here: guests run under emulation, which is slower."
    fi
}
