#!/bin/sh
# The published compact models of ten neurons, compressed once more: teachers whose size is known, so
# that it can be seen what distilling, pruning and retraining lose. OUTPUT/chain holds all stages,
# OUTPUT/compact the models after one more pass of retraining.
#
#     v4_published.sh V4_COMPACT_MODELS OUTPUT
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
data=$1 output=$2
models=$data/data_compact_models/models_keras teachers= asked=
for neuron in 0 1 2 3 4 5 6 7 8 9; do
    teachers="$teachers $models/compact_model_190923_neuron$neuron.keras"
    asked="$asked --teacher $models/compact_model_190923_neuron$neuron.keras"
done
images="--recordings $data --sessions 190925,190927,190928,190929,210621,210224,190923:first
    --variants 5 --generate 1600"
mkdir -p "$output"
# shellcheck disable=SC2086
ventral compress $teachers $images --session 190923 --output "$output/chain" \
    --start 3 --start-only --filters 56,50,36,36,12 --refit --retrain 1 --retrain-rate 2e-3 \
    --readout-rate 0.02 --cosine --batch 32 --blur 0

mkdir -p "$output/retrained"
cp "$output"/chain/compact/*.safetensors "$output/retrained"
# shellcheck disable=SC2086
ventral distill $asked $images --from "$output/retrained" --cache "$output/chain/responses.cache" \
    --rate 1.5e-3 --readout-rate 0.02 --cosine --batch 32 --blur 0 --output "$output/compact"
