#!/bin/sh
# What a running guest follows at once, later, or never; and drift in its live half alone.
. "$(dirname "$0")/story.sh"
start follows
: >one.iso && : >two.iso
cat >m.yaml <<YAML
project: shop
guests:
  web:
$(guest_fields web)
    watchdog: {model: i6300esb, action: reset}
    video: cirrus
    graphics: {vnc: {password: 1stword}}
    disks:
      sda: {as: cdrom, path: $work/one.iso, format: raw}
    nics:
      one: {user: true}
YAML
ka 0 apply --yes m.yaml
booted web
unchanged m.yaml

step "a medium and a balloon that virsh changed in the running guest alone are put back"
v change-media web sda --eject --live >/dev/null
ka 2 plan --detailed-exitcode m.yaml
v setmem web 160M --live
soon 10 sh -c "virsh -q -c '$uri' dommemstat web | grep -x 'actual 163840'"
# libvirt itself learns of it by an event that comes later
soon 10 sh -c "virsh -q -c '$uri' dumpxml web | grep \"<currentMemory unit='KiB'>163840<\""
ka 0 apply --yes m.yaml
has one.iso v domblklist web
soon 20 sh -c "virsh -q -c '$uri' dommemstat web | grep -x 'actual 196608'"
unchanged m.yaml

step "a device that the guest doesn't let go of stays pending, without a long wait"
edit m.yaml 's/^      one: .*/&\n      two: {user: true}/'
ka 0 apply --yes m.yaml
edit m.yaml '/two:/d' '/state:/d'
v suspend web
limit=15 ka 0 apply --yes m.yaml
ka 0 plan --detailed-exitcode m.yaml
says "nics.two" "waits for the guest"
v resume web
soon 20 sh -c "[ \$(virsh -q -c '$uri' domiflist web | wc -l) = 1 ]"
unchanged m.yaml
says_not "nics.two"

step "what was released waits for the next boot, is told until then, and no longer"
edit m.yaml '/watchdog:/d' 's/video: cirrus/video: vga/' 's/1stword/2ndword/'
ka 0 apply --yes -v m.yaml
says_not "1stword" "2ndword"
has "2ndword" v dumpxml --security-info web
ka 0 plan --detailed-exitcode m.yaml
says "watchdog.model" "waits for next boot"
ka 0 apply --yes --allow restart m.yaml
has_not "<watchdog" v dumpxml web
has "type='vga'" v dumpxml web
booted web
soon 20 "$KA_BINARY" -c "$uri" plan m.yaml
ka 0 plan --detailed-exitcode m.yaml
says_not watchdog

step "a guest that doesn't follow the shutdown is left running"
edit m.yaml '/kernel:/d' '/initrd:/d' '/cmdline:/d'
ka 0 apply --yes --allow restart m.yaml
edit m.yaml 's/video: vga/video: cirrus/'
limit=60 ka 1 apply --yes --allow restart --shutdown-timeout 3 m.yaml
says "didn't shut down within 3 s"
is running v domstate web
