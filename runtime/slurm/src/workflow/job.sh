#!/bin/bash
#SBATCH --job-name=omero-job-@JOB_NAME@
#SBATCH --cpus-per-task=4
#SBATCH --time=00:45:00
#SBATCH --mem=5GB
#SBATCH --output=omero-%j.log
#SBATCH --open-mode=append
#SBATCH --mail-type=END,FAIL
#
# The job of a workflow, made by BIOMERO; it is made again when the workflow changes, so that what is edited here is lost.
# Values come from variables only: those of the job, or of the file that is the first argument. Options on the command line
# of sbatch win over the lines above.
#
# Exit codes: the workflow's own; 2 no results, 3 no container runtime or image, 143 stopped.

set -euo pipefail

#%settings%

if [ -n "${1:-}" ]; then
    # shellcheck disable=SC1090
    . "$1"
fi

for name in DATA_PATH IMAGE_PATH SINGULARITY_IMAGE SCRIPT_PATH; do
    if [ -z "${!name:-}" ]; then
        echo "ERROR: the variable $name is not set; submit this script by BIOMERO, or with an environment file as its argument" >&2
        exit 1
    fi
done

# BIOMERO finds the data folder of a job again by this line.
printf 'Running %s Job w/ %s | %s | %s | %s | %s | \n' \
    "$workflow" "$IMAGE_PATH" "$SINGULARITY_IMAGE" "$DATA_PATH" "$SCRIPT_PATH" "${DO_CONVERT:-}"

# The words of the workflow's command line, and the variables that they were made from.
arguments=()
named=()
#%arguments%
for name in ${named[@]+"${named[@]}"}; do
    printf '  %s=%q\n' "$name" "${!name-}"
done

#%container%
image="$IMAGE_PATH/$SINGULARITY_IMAGE"
if [ ! -e "$image" ]; then
    echo "ERROR: there is no image $image on $(hostname); run 'processor slurm init', or check that this node has the folder" >&2
    exit 3
fi

# In the background, because a shell that waits for a program hears no signal: what Slurm sends reaches the container.
container=
stopped=
stop() {
    stopped=yes
    if [ -n "$container" ]; then kill -TERM "$container" 2> /dev/null || true; fi
}
trap stop TERM INT

echo "Running $family workflow by $runtime..."
"$runtime" run ${gpu[@]+"${gpu[@]}"} "$image" ${arguments[@]+"${arguments[@]}"} < /dev/null &
container=$!
status=0
wait "$container" || status=$?
while kill -0 "$container" 2> /dev/null; do
    status=0
    wait "$container" || status=$?
done
if [ -n "$stopped" ]; then
    echo "ERROR: the job was stopped" >&2
    exit 143
fi
if [ "$status" -ne 0 ]; then
    echo "ERROR: the workflow failed with exit code $status" >&2
    exit "$status"
fi

output="$DATA_PATH/data/out"
if [ ! -d "$output" ]; then
    echo "ERROR: the workflow ended without an error, but there is no folder $output" >&2
    exit 2
fi
if [ -z "$(find "$output" -mindepth 1 -print -quit)" ]; then
    echo "ERROR: the workflow ended without an error, but there is nothing in $output" >&2
    exit 2
fi
echo "Job completed successfully."
