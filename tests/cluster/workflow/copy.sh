#!/bin/sh
# Copies every file of --infolder, and what --weights and --extra name, to --outfolder, telling how far it is; other arguments
# are shown.
while [ $# -gt 0 ]; do
  case $1 in
    --infolder) in=$2; shift ;;
    --outfolder) out=$2; shift ;;
    --weights=* | --extra=*) cp -r "${1#*=}" "$out/" ;;
    *) echo "argument: $1" ;;
  esac
  shift
done
[ -d "${in:-}" ] && [ -d "${out:-}" ] || { echo "--infolder and --outfolder are needed" >&2; exit 3; }
count=$(ls "$in" | wc -l)
number=0
for file in "$in"/*; do
  [ -e "$file" ] || continue
  cp -r "$file" "$out/"
  number=$((number + 1))
  echo "${file##*/}: $((100 * number / count))%"
done
