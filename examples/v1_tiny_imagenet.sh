#!/bin/sh
# A ResNet-18 and composite A in both formulations, trained alike on Tiny-ImageNet, and the ResNet once
# more by Free adversarial training (4 replays of 6 epochs cost what 24 epochs do). With an eighth of the
# channels each takes minutes on two cores.
#
#     v1_tiny_imagenet.sh TINY_IMAGENET OUTPUT [WIDTH]
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
images=$1 output=$2 width=${3:-0.125}
mkdir -p "$output"
train() {
    name=$1
    shift
    ventral train --images "$images" --output "$output/$name" --width "$width" --transform crop \
        --schedule cosine --rate 0.1 --weight-decay 5e-4 "$@"
}
train baseline --network resnet18 --epochs 24
train composite_a_described --network resnet18-composite_a --formulation described --epochs 24
train composite_a_released --network resnet18-composite_a --formulation released --epochs 24
train baseline_free --network resnet18 --epochs 6 --free 4 --epsilon 4
