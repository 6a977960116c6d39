#!/bin/sh
# A job that looks from a compute node. What it finds is its exit code, which needs no folder that both can see: 0 where all is well,
# else 64 and: 1 a folder of data is not there or cannot be written, 2 no images, 4 no scripts, 8 no converters, 16 no container
# runtime, 32 the container runtime does not run.
#
# Arguments: DATA IMAGES SCRIPTS CONVERTERS, whole paths.
set -u
found=0
try=$1/.biomero-probe.${SLURM_JOB_ID:-$$}
if ! { [ -d "$1" ] && : >"$try"; } 2>/dev/null; then found=$((found + 1)); fi
rm -f -- "$try"
[ -d "$2" ] || found=$((found + 2))
[ -d "$3" ] || found=$((found + 4))
[ -d "$4" ] || found=$((found + 8))
if ! command -v apptainer >/dev/null && ! command -v singularity >/dev/null; then
    # As job scripts do.
    for module in apptainer singularity; do
        paths=$(bash -lc 'module load "$1" >/dev/null 2>&1 && { command -v apptainer || command -v singularity; } >/dev/null && printf %s "$PATH"' \
            bash "$module" 2>/dev/null | tail -n 1)
        if [ -n "$paths" ]; then
            PATH=$paths
            break
        fi
    done
fi
if runtime=$(command -v apptainer || command -v singularity); then
    "$runtime" --version >/dev/null 2>&1 || found=$((found + 32))
else
    found=$((found + 16))
fi
[ "$found" -eq 0 ] || exit $((64 + found))
