#!/bin/sh
# example.sh VENTRAL PREDICT CORRUPTIONS SHEET GRATINGS TEXTURES: the documentation's C examples, on a model and
# images made for them.
set -eu
ventral=$1 predict=$2 corruptions=$3 sheet=$4 gratings=$5 textures=$6
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
"$corruptions" corruptions.png
[ "$(head -c 4 corruptions.png | tail -c 3)" = PNG ]
if "$corruptions" missing/corruptions.png 2>message; then exit 1; fi
grep -q missing message
"$ventral" select --strategy random --images recordings/images/images_sim001.zip --count 8 --output chosen
"$sheet" sheet.png chosen/images.zip recordings/images/images_sim001.zip
[ "$(head -c 4 sheet.png | tail -c 3)" = PNG ]
if "$sheet" sheet.png missing.zip 2>message; then exit 1; fi
grep -q missing.zip message
"$gratings" gratings.png
[ "$(head -c 4 gratings.png | tail -c 3)" = PNG ]
if "$gratings" missing/gratings.png 2>message; then exit 1; fi
grep -q missing message
"$textures" textures.png 1
[ "$(head -c 4 textures.png | tail -c 3)" = PNG ]
if "$textures" missing/textures.png 1 2>message; then exit 1; fi
grep -q missing message
