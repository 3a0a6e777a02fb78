#!/bin/sh
# The path of Cowley, Stan, Pillow & Smith (2026) from teachers to compact models: distillation into
# students of five times 100 filters, pruning, and distillation of what is left. Their ensemble is not
# published; the compact models that came of it are the teachers here. Killed, a distillation goes on
# from where it was when this is called again.
#
#     distill_published.sh V4_COMPACT_MODELS OUTPUT [NEURONS]
#
# NEURONS are those of session 190923, as 0,3,5-9 (default: 0-9).
set -eu
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
recordings=$1 output=$2 neurons=${3:-0-9}
mkdir -p "$output"
# The session's teachers come first in the order of names, so that numbers are those of its neurons.
teachers=$recordings/data_compact_models/models_keras
# The images of other sessions than those that the published models are scored on.
set -- --recordings "$recordings" --sessions 190925,190927,190928,190929 --variants 8 --generate 20000
[ -e "$output/students/distill.csv" ] ||
    ventral distill --teacher "$teachers" --neurons "$neurons" "$@" --cache "$output/answers" \
        --passes 4 --rate 0.001 --cosine --output "$output/students"
ventral prune "$output/students" --teacher "$teachers" "$@" --output "$output/pruned"
ventral distill --teacher "$teachers" "$@" --cache "$output/answers" --from "$output/pruned" \
    --passes 4 --rate 0.001 --cosine --output "$output/compact"
ventral score "$output"/compact/190923_*.safetensors --recordings "$recordings" --session 190923 \
    --half second
