#!/bin/sh
# The thirteen networks of Pogoncheff, Granley & Beyeler (NeurIPS 2023), trained as their code does:
# ImageNet at 64 x 64 pixels, 100 epochs of SGD. Killed, it goes on from where it was when called again.
#
#     v1_imagenet.sh IMAGENET OUTPUT [released|described]
#
# IMAGENET holds train/ and val/ with a folder a class each.
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
images=$1 output=$2 formulation=${3:-released}
mkdir -p "$output"
for network in resnet50 center_surround local_rf div_norm tuned_norm cortical_magnification \
    composite_a composite_b composite_c composite_d composite_e composite_f composite_g; do
    ventral train --images "$images" --network "$network" --formulation "$formulation" \
        --output "$output/$network"
done
