#!/bin/sh
# The README's manifest prints the README's plan.
. "$(dirname "$0")/story.sh"
readme=$here/../../README.md
start readme

step "the plan is as the README says"
sed -n '/^```yaml$/,/^```$/{/^```/d;p}' "$readme" >shop.yaml
sed -n '/kvmapply plan shop.yaml$/,/^$/{/^$/d;/\$ kvmapply/d;s/^    //;p}' "$readme" >wanted
[ -s shop.yaml ] && [ -s wanted ] || die "the README has no manifest or no plan"
lab exec readme env -C "$work" "$KA_BINARY" plan shop.yaml >out
# How much memory this machine has is not the README's affair.
sed -i '/warning: its declared guests/,/reserved/d' out
# The digest is as long as in the README, not the same in every release.
sed -i "s/^plan [0-9a-f]\{8\}$/plan DIGEST/" wanted out
cmp wanted out || die "the README's plan is not what is printed: $(diff wanted out)"

step "and it can be applied"
mkdir -p "$work/srv"
sed -i "s|/srv/vm|$work/srv|; s/2GiB/64MiB/; s/8GiB/64MiB/" shop.yaml
ka 0 apply --yes shop.yaml
ka 0 plan --detailed-exitcode shop.yaml
