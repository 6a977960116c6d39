# Module systems are shell functions that a batch script may not have, and that know no "set -eu".
load_module() {
    local profile status=0
    set +eu
    if ! type module > /dev/null 2>&1; then
        for profile in /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh /etc/profile.d/modules.sh \
            /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
            # shellcheck disable=SC1090
            if [ -r "$profile" ]; then . "$profile"; break; fi
        done
    fi
    module load "$1" || status=$?
    set -eu
    return "$status"
}

for module in ${modules[@]+"${modules[@]}"}; do
    echo "Loading the module $module"
    if ! load_module "$module"; then
        echo "ERROR: the module $module cannot be loaded on $(hostname); correct slurm.modules of the worker" >&2
        exit 3
    fi
done

runtime=
for candidate in "${runtimes[@]}"; do
    if command -v "$candidate" > /dev/null 2>&1; then runtime=$candidate; break; fi
done
if [ -z "$runtime" ]; then
    # Many clusters have it as a module of the same name.
    for candidate in "${runtimes[@]}"; do
        load_module "$candidate" > /dev/null 2>&1 || true
        if command -v "$candidate" > /dev/null 2>&1; then runtime=$candidate; break; fi
    done
fi
if [ -z "$runtime" ]; then
    echo "ERROR: neither of ${runtimes[*]} is on $(hostname); name the module that has it in slurm.modules of the worker" >&2
    exit 3
fi
if [ "$runtime" = singularity ] && [ -n "${APPTAINER_BINDPATH:-}" ]; then
    export SINGULARITY_BINDPATH="${SINGULARITY_BINDPATH:-$APPTAINER_BINDPATH}"
fi

