#!/bin/sh
# Export: what exists becomes a manifest that plans empty here and makes the same objects on an empty host.
. "$(dirname "$0")/story.sh"
start export

cat >m.yaml <<YAML
project: shop
networks:
  lan:
    forward: nat
    domain: shop.test
    address: 192.168.50.1/24
    dhcp: {range: 192.168.50.100-192.168.50.200, hosts: {web: 192.168.50.10}}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, size: 16MiB, format: qcow2}
guests:
  web:
    title: "A: title, 'quoted' & <odd>"
    vcpus: {current: 2, maximum: 4}
    memory: {current: 192MiB, maximum: 256MiB}
    disks: {vda: {disk: root, cache: none}}
    nics: {lan: {network: lan}}
    graphics: {vnc: {listen: 127.0.0.1}}
    state: off
YAML
ka 0 apply --yes m.yaml
# One that kvmapply never saw, with things no row may cover.
cat >foreign.xml <<XML
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>foreign</name>
<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type machine='q35'>hvm</type><bios rebootTimeout='7'/></os>
<features><acpi/><apic/></features><cputune><period>100000</period></cputune>
<devices><watchdog model='i6300esb' action='reset'/><input type='tablet' bus='usb'/>
<panic model='isa'/></devices>
<qemu:commandline><qemu:env name='A' value='b'/></qemu:commandline></domain>
XML
v define foreign.xml

dump() { # FOLDER: every object's definition
    mkdir -p "$1"
    for guest in web foreign; do v dumpxml --inactive "$guest" >"$1/guest-$guest.xml"; done
    v net-dumpxml --inactive lan >"$1/network-lan.xml"
    v pool-dumpxml --inactive fast >"$1/pool-fast.xml"
    # How full the file system is is no definition.
    sed -i '/<allocation\|<available/d' "$1/pool-fast.xml"
    # Records are of the project that made them.
    sed -i '/<metadata>/,/<\/metadata>/d' "$1"/*.xml
}
dump before

step "the export plans empty where it was made"
ka 0 export
cp out all.yaml
ka 0 plan --detailed-exitcode all.yaml

step "and makes the same on an empty host"
ka 0 delete --yes --allow delete m.yaml
v undefine foreign
is "" v list --all --name
is "" v pool-list --all --name
ka 0 apply --yes all.yaml
dump after
diff -r before after || die "the rebuilt objects differ"
ka 0 plan --detailed-exitcode all.yaml

step "one object with all it needs"
ka 0 export guest/web
says "web:" "lan:" "fast:" "root:"
says_not foreign

step "what no manifest can say is left out, and said; named alone, it is an error"
sed "s/>foreign</>R\&amp;D</" foreign.xml >odd.xml
v define odd.xml
ka 0 export
says "guest 'R&D' is left out"
cp out all.yaml
ka 0 plan --detailed-exitcode all.yaml
ka 1 export 'guest/R&D'
says "no manifest can say 'guest/R&D'"
v undefine 'R&D'
