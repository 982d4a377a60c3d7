#!/bin/sh
# Every operation of scrub, on phony systems of five families: what it names goes, all else stays; links
# are never followed; an audit finds all of it before and nothing afterwards.
. "$(dirname "$0")/story.sh"
. "$here/phony.sh"
uri=test:///default
limit=400
# Operations that nobody gets unasked, and that take files.
off="user-credentials|kerberos-data|tls-default-certificates|ca-certificates|firewall-rules"

step "systems of five families are made, and two full of planted links"
for family in "phony fedora" "phonyd debian" "phonys suse" "phonya arch" "phonyl alpine"; do
    # shellcheck disable=SC2086
    set -- $family
    release "tree-$2" "$1" "$2"
    plant "tree-$2"
done
mkdir -p tree-debian/usr/sbin tree-debian/usr/bin tree-debian/lib/systemd
touch tree-debian/usr/sbin/sshd tree-debian/usr/bin/ssh-keygen tree-debian/lib/systemd/systemd
for family in fedora debian suse arch alpine; do image tree-$family $family.img; done

# In place of each file a link to one that nobody may touch; then folders as links to such ones.
release tree-links links debian
mkdir -p tree-links/keep
echo "not to be touched" >tree-links/keep/target
planted | cut -d' ' -f2- | while read -r path; do
    mkdir -p "tree-links$(dirname "$path")" 2>/dev/null && ln -sf /keep/target "tree-links$path" || true
done
for path in machine-id hostname hosts; do ln -sf /keep/target "tree-links/etc/$path"; done
image tree-links links.img
release tree-folders folders debian
planted | cut -d' ' -f2- | while read -r path; do
    mkdir -p "tree-folders/keep$(dirname "$path")"
    echo "not to be touched" >"tree-folders/keep$path"
done
for folder in home/ann root srv/people/bob; do rmdir "tree-folders/$folder"; done
planted | cut -d' ' -f2- | sed 's|/[^/]*$||' | grep -vx /etc | sort -u | while read -r folder; do
    mkdir -p "tree-folders$(dirname "$folder")" 2>/dev/null || continue
    [ -e "tree-folders$folder" ] || [ -L "tree-folders$folder" ] || ln -s "/keep$folder" "tree-folders$folder"
done
image tree-folders folders.img

step "and what can't be scrubbed: no system, two, Windows, an encrypted one"
mkdir -p tree-none/data
image tree-none none.img 8
release tree-a a debian
release tree-b b debian
image tree-a a.part 16
image tree-b b.part 16
truncate -s 40M two.img
printf 'start=2048,size=32768\nstart=36864,size=32768\n' | sfdisk -q two.img
dd if=a.part of=two.img bs=512 seek=2048 conv=notrunc status=none
dd if=b.part of=two.img bs=512 seek=36864 conv=notrunc status=none
truncate -s 16M windows.img
mkfs.ntfs -q -F -Q windows.img >/dev/null 2>&1 || die "mkfs.ntfs fails"
bad="none.img two.img windows.img"
sha256sum $bad >bad.sums

step "an audit finds everything that was planted, and reads only"
sha256sum ./*.img >before.sums
good="fedora.img debian.img suse.img arch.img alpine.img links.img folders.img"
# shellcheck disable=SC2086
ka 1 image audit --format=json $good $bad
cp out audit.json
sha256sum --quiet -c before.sums || die "an audit changed an image"
python3 - audit.json "$scrub_data/planted" "$off" <<'PY'
import json, sys
images = {i["image"]: i for i in json.load(open(sys.argv[1]))["images"]}
planted = [l.split(" ", 1) for l in open(sys.argv[2]) if not l.startswith("#")]
off = set(sys.argv[3].split("|"))
for name in ("fedora.img", "debian.img", "suse.img", "arch.img", "alpine.img"):
    found = {f["path"]: f for f in images[name]["findings"]}
    def is_found(path):
        while path != "/":
            if path in found:
                return True
            path = path.rsplit("/", 1)[0] or "/"
    missing = [p for op, p in ((o, p.strip()) for o, p in planted) if op not in off and not is_found(p)]
    assert not missing, (name, missing)
    operations = {f["operation"] for f in images[name]["findings"]}
    wanted = {op for op, p in planted} - off
    assert wanted <= operations, (name, wanted - operations)
    assert found["/etc/machine-id"]["evidence"] == "0123456789abcdef0123456789abcdef"
    assert "52:54:00:12:34:56" in found["/etc/sysconfig/network-scripts/ifcfg-eth0"]["evidence"]
    assert found["/etc/ssh/ssh_host_ed25519_key"]["evidence"].startswith("SHA256:")
assert "no Linux system" in images["none.img"]["error"], images["none.img"]
assert "two systems" in images["two.img"]["error"], images["two.img"]
assert "NTFS" in images["windows.img"]["error"], images["windows.img"]
PY

step "a dry run lists every path that would go, and changes nothing"
ka 0 image scrub --dry-run fedora.img
for path in /var/lib/cloud/planted /root/.ssh /etc/machine-id /var/log/journal/0123456789abcdef0123456789abcdef/system.journal; do
    says "$path"
done
sha256sum --quiet -c before.sums || die "a dry run changed an image"

step "scrub takes it all away, and leaves what fails as it was"
# shellcheck disable=SC2086
ka 1 image scrub $good $bad
says "has no Linux system" "has two systems" "NTFS"
sha256sum --quiet -c bad.sums || die "an image that can't be scrubbed was changed"
! ls .*.kvmapply-partial >/dev/null 2>&1 || die "a half-made copy is left: $(ls -d .*.kvmapply-partial)"
for family in fedora debian suse arch alpine; do
    unpack $family.img "now-$family"
    planted | grep -vE "^($off) " |
        while read -r operation path; do
            [ ! -e "now-$family$path" ] || die "$family: $operation left $path"
        done
    planted | grep -E "^($off) " |
        while read -r operation path; do
            [ -e "now-$family$path" ] || die "$family: $operation is off and took $path"
        done
    id=$(sed -n 's/^ID=//p' "tree-$family/etc/os-release")
    (cd "$scrub_data/after" && find . -type f) | while read -r path; do
        case $path in ./boot/* | ./etc/kernel/*)
            real=$(echo "$path" | sed "s/phony/$id/g")
            sed "s/phony/$id/g" "$scrub_data/after/$path" >wanted.file
            ;;
        *)
            real=$path
            cp "$scrub_data/after/$path" wanted.file
            ;;
        esac
        # grubenv is as long as it was, whatever the name.
        case $path in */grubenv) cut -c1-200 "now-$family/$real" | head -n 3 >got.file && head -n 3 wanted.file >w && mv w wanted.file ;;
        *) cp "now-$family/$real" got.file ;; esac
        cmp -s wanted.file got.file || die "$family: $real isn't as it should be: $(diff wanted.file got.file)"
    done
    is 1024 stat -c %s "now-$family/boot/grub2/grubenv"
    [ ! -e "now-$family/boot/loader/entries/0123456789abcdef0123456789abcdef-6.1.0-1.conf" ] ||
        die "$family: a boot entry is still named by the machine's id"
    [ ! -e "now-$family/etc/systemd/network/70-lan.link" ] || die "$family: a name bound to a MAC is left"
    [ -d "now-$family/var/log/nginx" ] || die "$family: folders of logs are gone"
    [ -d "now-$family/var/spool/cron" ] || die "$family: cron's folder is gone"
done
[ ! -e now-fedora/etc/iscsi/initiatorname.iscsi ] || die "fedora: the initiator's name is left"
is "GenerateName=yes" cat now-debian/etc/iscsi/initiatorname.iscsi
grep -q '^ConditionPathExists=!/etc/ssh/' now-debian/etc/systemd/system/kvmapply-ssh-host-keys.service ||
    die "debian: no unit makes host keys"
[ -L now-debian/etc/systemd/system/multi-user.target.wants/kvmapply-ssh-host-keys.service ] ||
    die "debian: the unit isn't enabled"
[ ! -e now-suse/etc/systemd/system/kvmapply-ssh-host-keys.service ] || die "suse: has a unit without need"

step "no planted link was followed"
unpack links.img now-links
is "not to be touched" cat now-links/keep/target
[ -L now-links/etc/machine-id ] && [ -L now-links/etc/hostname ] || die "links: a link in place of a file was replaced"
unpack folders.img now-folders
diff -r tree-folders/keep now-folders/keep || die "folders: something behind a link was touched"

step "and an audit finds nothing more, but for the links"
ka 2 image audit fedora.img debian.img suse.img arch.img alpine.img links.img folders.img --format=json
python3 - out <<'PY'
import json, sys
for image in json.load(open(sys.argv[1]))["images"]:
    name, findings = image["image"], image["findings"]
    if name in ("links.img", "folders.img"):
        assert findings and all(f["act"] == "odd" and "symbolic link" in f["evidence"] for f in findings), (name, findings)
    else:
        assert image["clean"] and not findings, (name, findings)
PY

step "operations that are off do theirs when asked"
cp suse.img off.img
ka 0 image scrub off.img --also=user-credentials,kerberos-data,tls-default-certificates,ca-certificates \
    --also=firewall-rules,flag-reconfiguration,user-account --path='/srv/data/*'
unpack off.img now-off
planted | grep -E "^($off) " |
    while read -r operation path; do
        [ ! -e "now-off$path" ] || die "$operation left $path"
    done
for path in etc/pki/tls/certs/ca-bundle.crt var/kerberos/krb5kdc/kdc.conf; do
    cmp -s "$scrub_data/after/$path" "now-off/$path" || die "$path was to stay"
done
[ -e now-off/.unconfigured ] || die "/.unconfigured isn't there"
[ ! -e now-off/srv/data/report.txt ] || die "a path of the user's is left"
is "root:x:0:0:root:/root:/bin/sh" head -n 1 now-off/etc/passwd
is 2 sh -c 'wc -l <now-off/etc/passwd'
is "wheel:x:10:root" sed -n 2p now-off/etc/group
[ ! -e now-off/home/ann ] && [ ! -e now-off/srv/people/bob ] || die "homes are left"
