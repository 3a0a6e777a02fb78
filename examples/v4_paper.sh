#!/bin/sh
# The paper's own procedure and settings (Cowley, Stan, Pillow & Smith 2026) from an ensemble with a
# readout to compact models: students of 5 x 100 filters from random weights, Adam at a constant 1e-4
# in batches of 64, the blur after every stretch, pruning at 0.9 as published, one pass to retrain.
# The authors show 24 zips of 500,000 images; on two cores that takes more than a day a neuron.
#
#     v4_paper.sh ENSEMBLE RECORDINGS SESSION OUTPUT IMAGES.zip...
set -eu
[ $# -ge 5 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
ensemble=$1 recordings=$2 session=$3 output=$4
shift 4
images=
for zip in "$@"; do images="$images --images $zip"; done
# shellcheck disable=SC2086
ventral compress "$ensemble" --recordings "$recordings" --session "$session" $images \
    --stretch 500000 --held-out 10000 --form released --output "$output" \
    --shared 5,10,25,35,50,75,100,200
