#!/bin/bash
#SBATCH --job-name=conversion
#SBATCH --ntasks=1
#SBATCH --nodes=1
#SBATCH --time=00:20:00
#SBATCH --output=omero-%A_%a.log
#SBATCH --open-mode=append
#
# Converts one image of a run, made by BIOMERO. The file CONFIG_PATH has a line for each task of the array: its number, a
# blank, the path of its image. What was converted is removed, so that the workflow sees each image once.
#
# Exit codes: the converter's own; 1 nothing to convert, 3 no container runtime or image, 143 stopped.

set -euo pipefail

#%settings%

if [ -n "${1:-}" ]; then
    # shellcheck disable=SC1090
    . "$1"
fi

for name in CONFIG_PATH DATA_PATH CONVERSION_PATH CONVERTER_IMAGE SLURM_ARRAY_TASK_ID; do
    if [ -z "${!name:-}" ]; then
        echo "ERROR: the variable $name is not set; submit this script by BIOMERO, as an array" >&2
        exit 1
    fi
done

task=$SLURM_ARRAY_TASK_ID
if [ ! -r "$CONFIG_PATH" ]; then
    echo "ERROR: the list $CONFIG_PATH cannot be read on $(hostname); check that this node has the folder" >&2
    exit 1
fi
line=
while IFS= read -r line; do
    case $line in "$task "*) break ;; esac
    line=
done < "$CONFIG_PATH"
file=${line#* }
if [ -z "$line" ] || [ ! -e "$file" ]; then
    echo "ERROR: No corresponding input file for task $task on $(hostname): '$file'" >&2
    exit 1
fi
# It is removed in the end: nothing but images of this run may be.
case $file in
    */../* | */..) inside= ;;
    "$DATA_PATH/data/in/"*) inside=yes ;;
    *) inside= ;;
esac
if [ -z "$inside" ]; then
    echo "ERROR: '$file' is not in $DATA_PATH/data/in; nothing is converted" >&2
    exit 1
fi
printf 'Converting task %s: %q\n' "$task" "$file"

#%converter%

# In the background, because a shell that waits for a program hears no signal: what Slurm sends reaches the converter.
process=
stopped=
stop() {
    stopped=yes
    if [ -n "$process" ]; then kill -TERM "$process" 2> /dev/null || true; fi
}
trap stop TERM INT

"${converter[@]}" "$file" < /dev/null &
process=$!
status=0
wait "$process" || status=$?
while kill -0 "$process" 2> /dev/null; do
    status=0
    wait "$process" || status=$?
done
if [ -n "$stopped" ]; then
    echo "ERROR: the conversion was stopped; its input stays" >&2
    exit 143
fi
if [ "$status" -ne 0 ]; then
    echo "ERROR: Conversion failed for task $task with exit code $status; its input stays" >&2
    exit "$status"
fi
rm -rf -- "$file"
echo "Task $task completed successfully."
