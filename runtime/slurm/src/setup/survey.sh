#!/bin/sh
# Tells what a login node has that workflows need. Changes nothing but for a file that it writes into each folder and removes at once.
#
# Arguments: KIND PATH ... for each folder. SURVEY_PROGRAMS, SURVEY_RUNTIMES: names of programs; SURVEY_MODULES: those to load. The answer: NAME NUL VALUE NUL, again and again; before
# what may hang there is `asks` with what it is, so that who waited in vain knows what for.
set -u

fact() { printf '%s\0%s\0' "$1" "$2"; }
asks() { fact asks "$1"; }
# As much as anybody wants to read.
some() { head -c 32768; }
bounded() {
    if command -v timeout >/dev/null; then timeout -k 2 15 "$@"; else "$@"; fi
}
# NAME COMMAND ...: what it says and how it ends.
ask() {
    named=$1
    shift
    asks "$*"
    said=$(bounded "$@" 2>&1 </dev/null | some; )
    fact "$named" "$said"
}

fact home "${HOME:-}"
fact folder "$(pwd -P)"
fact user "$(id -un)"
fact clock "$(date +%s)"
fact host "$(uname -n)"
fact path "$PATH"

for program in ${SURVEY_PROGRAMS:-}; do
    if found=$(command -v "$program"); then fact "program $program" "$found"; fi
done

command -v sbatch >/dev/null && ask version sbatch --version
if command -v scontrol >/dev/null; then
    asks 'scontrol ping'
    said=$(bounded scontrol ping 2>&1 </dev/null)
    fact 'ping code' "$?"
    fact ping "$said"
    asks 'scontrol show config'
    fact config "$(bounded scontrol show config 2>/dev/null </dev/null |
        grep -E '^(AccountingStorageType|AccountingStoreFlags|AccountingStorageEnforce|MaxArraySize|JobRequeue|ClusterName|SLURM_VERSION) ' | some)"
fi
command -v sinfo >/dev/null && ask partitions sinfo -h -o '%R|%a|%l|%D|%T|%c|%m|%G'
if command -v sacctmgr >/dev/null; then
    asks 'sacctmgr show assoc'
    said=$(bounded sacctmgr -nP show assoc "user=$(id -un)" format=cluster,account,partition 2>&1 </dev/null)
    fact 'association code' "$?"
    fact associations "$(printf '%s\n' "$said" | some)"
fi
if command -v sacct >/dev/null; then
    asks sacct
    said=$(bounded sacct -n -P -X -o JobID --starttime now 2>&1 </dev/null)
    fact 'sacct code' "$?"
    fact sacct "$(printf '%s\n' "$said" | some)"
fi

if [ -z "${SURVEY_MODULES:-}" ]; then
    for runtime in ${SURVEY_RUNTIMES:-}; do
        if found=$(command -v "$runtime"); then
            fact runtime "$found"
            ask 'runtime version' "$found" --version
            loaded=yes
            break
        fi
    done
fi
if [ "${loaded:-}" != yes ] && command -v bash >/dev/null; then
    # One line of words to load; where none are configured, each runtime's own name is tried.
    for modules in "${SURVEY_MODULES:-apptainer}" "${SURVEY_MODULES:-singularity}"; do
        asks "module load $modules"
        # shellcheck disable=SC2016,SC2086
        told=$(bounded bash -lc 'module load "$@" >/dev/null 2>&1 || exit 1
            for runtime in $SURVEY_RUNTIMES; do
                if found=$(command -v "$runtime"); then
                    printf "=biomero=%s|%s" "$found" "$("$found" --version 2>&1)"
                    exit
                fi
            done' bash $modules 2>/dev/null </dev/null) || continue
        case $told in
            *=biomero=*'|'*)
                # What a login shell says stands before.
                told=${told##*=biomero=}
                fact runtime "${told%%|*}"
                fact 'runtime module' "$modules"
                fact 'runtime version' "${told#*|}"
                break
                ;;
        esac
    done
fi

command -v quota >/dev/null && ask quota quota -w

while [ $# -ge 2 ]; do
    kind=$1 path=$2
    shift 2
    case $path in /*) ;; *) path=$PWD/$path ;; esac
    asks "$path"
    fact "$kind path" "$path"
    there=$path
    if [ -d "$path" ]; then
        fact "$kind is" folder
    elif [ -e "$path" ] || [ -L "$path" ]; then
        fact "$kind is" other
    else
        fact "$kind is" absent
        # The nearest that is there: whether it could be made.
        while [ ! -e "$there" ] && [ "$there" != / ]; do
            there=${there%/*}
            there=${there:-/}
        done
        fact "$kind nearest" "$there"
    fi
    if [ -d "$there" ]; then
        fact "$kind real" "$(cd -- "$there" 2>/dev/null && pwd -P)"
        # The builtin's way is the only one to hear why.
        if said=$(umask 077 && { try=$(mktemp "$there/.biomero-validate.XXXXXX" 2>&1) || { echo "$try"; exit 1; }; } &&
            { head -c 65536 /dev/zero >"$try"; written=$?; size=$(wc -c <"$try"); rm -f -- "$try"; } 2>&1 &&
            [ "$written" = 0 ] && [ "$size" -eq 65536 ]); then
            fact "$kind write" yes
        else
            fact "$kind write" "${said:-it cannot be written}"
        fi
        fact "$kind space" "$(bounded df -Pk -- "$there" 2>/dev/null | tail -n 1)"
        fact "$kind inodes" "$(bounded df -Pi -- "$there" 2>/dev/null | tail -n 1)"
    fi
done
fact 'that is' all
