#!/bin/sh
# A job that looks from a compute node. What it finds is its exit code, which needs no folder that both can see: 0 where all is well,
# else 64 and: 1 a folder of data is not there or cannot be written, 2 no images, 4 no scripts, 8 no converters, 16 no container
# runtime, 32 the container runtime does not run.
#
# Arguments: DATA IMAGES SCRIPTS CONVERTERS, whole paths; names of container runtimes and of modules to load, separated by blanks.
set -u
found=0
try=$1/.biomero-probe.${SLURM_JOB_ID:-$$}
if ! { [ -d "$1" ] && : >"$try"; } 2>/dev/null; then found=$((found + 1)); fi
rm -f -- "$try"
[ -d "$2" ] || found=$((found + 2))
[ -d "$3" ] || found=$((found + 4))
[ -d "$4" ] || found=$((found + 8))
runtimes=${5:-apptainer singularity} modules=${6:-} runtime=''
if [ -z "$modules" ]; then
    for name in $runtimes; do runtime=$(command -v "$name") && break; done
fi
if [ -z "$runtime" ]; then
    for words in "${modules:-apptainer}" "${modules:-singularity}"; do
        # shellcheck disable=SC2016,SC2086
        told=$(RUNTIMES=$runtimes bash -lc 'module load "$@" >/dev/null 2>&1 || exit 1
            for name in $RUNTIMES; do
                if found=$(command -v "$name"); then printf "=biomero=%s|%s" "$found" "$PATH"; exit; fi
            done; exit 1' bash $words 2>/dev/null </dev/null) || continue
        told=${told##*=biomero=}
        runtime=${told%%|*}
        PATH=${told#*|}
        break
    done
fi
if [ -n "$runtime" ]; then
    "$runtime" --version >/dev/null 2>&1 || found=$((found + 32))
else
    found=$((found + 16))
fi
[ "$found" -eq 0 ] || exit $((64 + found))
