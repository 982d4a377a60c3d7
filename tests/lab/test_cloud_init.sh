#!/bin/sh
# A real Debian reads its seed: cloud-init sets it up once, and what waits for it goes on.
. "$(dirname "$0")/story.sh"
step "an image with cloud-init is made"
image=$KA_LAB_ROOT/debian-cloud
sh "$here/debian-image.sh" "$image" cloud-init python3-cffi-backend qemu-guest-agent || exit $?
# Where the guest's network can be reached, kvmapply runs inside, too.
start cloudinit
inside() {
    lab exec cloudinit "$@"
}
printf '#!/bin/sh\ncd %s && exec sh %s exec cloudinit env SEED_PASSWORD=$SEED_PASSWORD %s "$@"\n' \
    "$work" "$here/lab.sh" "$(realpath "$KA_BINARY")" >inside.sh
chmod 755 inside.sh
KA_BINARY=$work/inside.sh
uri=qemu:///system
v() {
    lab exec cloudinit timeout 60 virsh -q "$@"
}
limit=900

ssh-keygen -q -t ed25519 -N '' -f key
qemu-img convert -f raw -O qcow2 "$image/debian.img" root.qcow2
cat >m.yaml <<YAML
project: shop
networks:
  lan: {forward: nat, address: 192.168.50.1/24, dhcp: {range: 192.168.50.100-192.168.50.120}}
pools:
  fast: {type: dir, path: $work/pool}
disks:
  root: {pool: fast, content: $work/root.qcow2, format: qcow2}
guests:
  web:
    vcpus: 2
    memory: 512MiB
    kernel: $image/vmlinuz
    initrd: $image/initrd
    cmdline: root=/dev/vda console=ttyS0
    serial:
      0: {type: file, path: $work/web.console}
    disks: {vda: {disk: root}}
    nics: {lan: {network: lan}}
    wait: {for: cloud-init, timeout: 10min}
    seed:
      user-data:
        locale: C.UTF-8
        users:
          - {name: admin, shell: /bin/sh, ssh_authorized_keys: [{file: $work/key.pub}]}
        write_files:
          - {path: /etc/seeded, permissions: "0644", content: {env: SEED_PASSWORD}}
YAML
export SEED_PASSWORD=first-seed

ssh_to() { # COMMAND: as the seeded user
    address=$(v domifaddr web | awk '{ sub("/.*", "", $4); print $4 }')
    inside timeout 100 ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o IdentitiesOnly=yes -i "$work/key" "admin@$address" "$1"
}

step "the apply ends when cloud-init has done what the seed says"
ka 0 apply --yes m.yaml
says_not first-seed
is web ssh_to hostname
is first-seed ssh_to "cat /etc/seeded"
has DataSourceNoCloud ssh_to "cloud-init status --long"
instance=$(ssh_to "cat /var/lib/cloud/data/instance-id")
keys=$(ssh_to "cat /etc/ssh/ssh_host_ed25519_key.pub")
unchanged m.yaml

step "another seed is there at once, and read without a guest made anew"
domain=$(v domid web)
SEED_PASSWORD=second-seed
ka 0 apply --yes m.yaml
is "$domain" v domid web
has "second-seed" sh -c "grep -a second-seed pool/kvmapply-seed-web-*"
is "1" sh -c "ls pool/kvmapply-seed-web-* | wc -l"
unchanged m.yaml

step "wait: ssh ends when its server answers; it is the same instance still"
edit m.yaml 's/for: cloud-init/for: ssh/' 's/memory: 512MiB/memory: 528MiB/'
ka 0 apply --yes --allow restart m.yaml
[ "$domain" != "$(v domid web)" ] || die "no restart"
is "$instance" ssh_to "cat /var/lib/cloud/data/instance-id"
is "$keys" ssh_to "cat /etc/ssh/ssh_host_ed25519_key.pub"
unchanged m.yaml

step "with the guest its seed goes"
ka 0 delete --yes --allow delete m.yaml
has_not kvmapply-seed ls pool
