#!/bin/sh
# Networks trained on ImageNet, made ready for Tiny-ImageNet as the authors did: a new last layer for
# 200 classes learns, all else is frozen (running statistics still move), images are only flipped.
#
#     v1_finetune.sh TINY_IMAGENET OUTPUT NETWORK...
#
# TINY_IMAGENET is the zip or its folder; a NETWORK is a file of weights, such as best.safetensors of a
# run of v1_imagenet.sh.
set -eu
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
images=$1 output=$2
shift 2
mkdir -p "$output"
for network; do
    name=$(basename "$(dirname "$network")")
    ventral train --images "$images" --from "$network" --freeze --transform tiny \
        --output "$output/$name"
done
