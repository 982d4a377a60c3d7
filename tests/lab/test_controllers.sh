#!/bin/sh
# Controllers, which a plan reads only where they are spoken of: by a manifest, a record, a fragment.
. "$(dirname "$0")/story.sh"
start controllers
cat >plain.yaml <<YAML
project: shop
guests:
  web:
    memory: 64MiB
    state: off
YAML
{ cat plain.yaml && echo "    controllers: {scsi-0: {model: virtio-scsi, queues: 2}}"; } >declared.yaml
{ cat plain.yaml && echo "    xml: {devices: \"<controller type='scsi' index='3' model='lsilogic'/>\"}"; } >fragment.yaml

step "a declared controller is there, and seen when it is changed"
ka 0 apply --yes declared.yaml
unchanged declared.yaml
has "queues='2'" v dumpxml --inactive web
sed 's/queues: 2/queues: 4/' declared.yaml >changed.yaml
ka 0 plan changed.yaml
says "controllers.scsi-0.queues 2 → 4"

step "what is no longer declared is seen by the record alone"
ka 0 apply --yes plain.yaml
says "controllers.scsi-0"
unchanged plain.yaml
has_not "queues=" v dumpxml --inactive web

step "so is a fragment's"
ka 0 apply --yes fragment.yaml
unchanged fragment.yaml
has "model='lsilogic'" v dumpxml --inactive web
ka 0 apply --yes plain.yaml
unchanged plain.yaml
has_not "model='lsilogic'" v dumpxml --inactive web

step "an export has them all"
ka 0 export guest/web
says "controllers:" "pcie-root-port"
ka 0 delete --yes --allow delete plain.yaml
