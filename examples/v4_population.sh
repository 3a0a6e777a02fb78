#!/bin/sh
# From recordings alone to compact models of a session: an ensemble trained on the other sessions,
# mapped to the session's first half, distilled, pruned and retrained; the second half only tests.
#
#     v4_population.sh RECORDINGS OUTPUT [SESSION] [MEMBERS]
#
# RECORDINGS is a folder in the published layout. Every step goes on where it stopped.
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
recordings=$1 output=$2 session=${3:-190923} members=${4:-5}
others=190925,190927,190928,190929,210325,210621
mkdir -p "$output"

[ -f "$output/ensemble.safetensors" ] ||
    ventral ensemble --recordings "$recordings" --sessions "$others" --validate 210224 \
        --members "$members" --output "$output/ensemble.safetensors"

ventral compress "$output/ensemble.safetensors" --recordings "$recordings" --session "$session" \
    --sessions "190925,190927,190928,190929,210621,210224,$session:first" --variants 5 \
    --generate 1600 --start 3 --start-only --filters 56,50,36,36,12 --refit --rate 2e-3 \
    --readout-rate 0.02 --cosine --batch 32 --blur 0 --output "$output/compact"
