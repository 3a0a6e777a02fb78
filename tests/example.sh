#!/bin/sh
# example.sh VENTRAL PREDICT: the documentation's C example on a model and images made for it.
set -eu
ventral=$1 predict=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$ventral" simulate --output recordings --sessions 1 --images 16 --neurons 3 --repeats 2
"$ventral" fit --recordings recordings --sessions sim001 --epochs 1 --batch 8 --output m.safetensors
"$predict" m.safetensors recordings/images/images_sim001.zip >responses
"$ventral" predict m.safetensors --images recordings/images/images_sim001.zip --output responses.npy
[ "$(wc -l <responses)" -eq 16 ]
[ "$(wc -w <responses)" -eq 48 ]
if "$predict" missing.safetensors recordings 2>message; then exit 1; fi
grep -q missing.safetensors message
