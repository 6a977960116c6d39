#!/bin/sh
# Brings container images to a cluster. Constant text: what varies are arguments and variables.
#
#   prepare TARGET SOURCE ...   writes down what is to be brought, and tells it
#   start TARGET SOURCE ...     starts `run` behind the login session; reads this very text from standard input
#   run TARGET SOURCE ...       brings them, one after the other; also what a job does
#   launched HOST PROCESS BEGUN JOB TARGET ...   who was told to
#   status TARGET ...           tells how each stands, in fields that end with a NUL
#
# Beside a TARGET `image_v1.sif` there may be `.image_v1.sif.status` (how it stands), `.log` (what the container runtime said), `.lock`
# (a folder: who brings it at the moment), `.launched` (who was told to) and `.part.*` (what is not whole yet). TARGET itself is
# only ever a whole image: it is renamed into place.
#
# Variables: PULL_RUNTIMES and PULL_MODULES (words), PULL_TMPDIR, PULL_CACHEDIR, PULL_ATTEMPTS, PULL_DELAY (seconds), PULL_LEAST_KIB, PULL_FORCE (yes),
# PULL_CPUS.
set -u
action=$1
shift

place() {
    target=$1
    folder=${target%/*}
    name=${target##*/}
    beside=$folder/.$name
    lock=$beside.lock
}

# When a process began, in ticks since the machine started; nothing where it is over.
begun() {
    sed -e 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" && $1 != "X" { print $20 }'
}

# HOST PROCESS BEGUN JOB: whether it still goes on; 2 where nobody can tell.
goes_on() {
    if [ "$4" != - ]; then
        told=$(squeue -h -j "$4" -o %T 2>&1)
        code=$?
        case $code:$told in
            0:?*) return 0 ;;
            0: | *'Invalid job id'*) return 1 ;;
            *) return 2 ;;
        esac
    fi
    [ "$1" = "$(uname -n)" ] || return 2
    [ "$(begun "$2")" = "$3" ]
}

# Whether somebody holds the lock. One on another machine touches it now and then, and is given five minutes.
held() {
    [ -d "$lock" ] || return 1
    o_host='' o_process='' o_begun='' o_job='' o_token=''
    read -r o_host o_process o_begun o_job o_token <"$lock/owner" 2>/dev/null
    if [ -n "$o_token" ]; then
        goes_on "$o_host" "$o_process" "$o_begun" "$o_job"
        case $? in
            0) return 0 ;;
            1) return 1 ;;
        esac
    fi
    # By the clock of the file system, which need not be ours.
    now=$(mktemp "$beside.now.XXXXXX") || return 0
    age=$(($(stat -c %Y "$now") - $(stat -c %Y "$lock/owner" 2>/dev/null || stat -c %Y "$lock" 2>/dev/null || echo 0)))
    rm -f -- "$now"
    [ "$age" -lt 300 ]
}

owner() {
    printf '%s %s %s %s' "$(uname -n)" "$$" "$(begun $$)" "${SLURM_JOB_ID:--}"
}

is_ours() {
    read -r _ _ _ _ o_token <"$lock/owner" 2>/dev/null && [ "$o_token" = "$token" ]
}

take() {
    if ! mkdir -- "$lock" 2>/dev/null; then
        held && return 1
        # Two that find the same stale lock at once may both get here: who loses it sees so before it publishes (`is_ours`).
        mv -- "$lock" "$lock.$token" 2>/dev/null && rm -rf -- "$lock.$token"
        mkdir -- "$lock" 2>/dev/null || return 1
    fi
    printf '%s %s\n' "$(owner)" "$token" >"$lock/owner"
}

release() {
    is_ours && rm -rf -- "$lock"
}

# STATE REASON
record() {
    {
        printf 'state %s\nsource %s\n' "$1" "$source"
        printf 'started %s\nchanged %s\n' "$started" "$(date +%s)"
        printf 'attempt %s\ncode %s\n' "$attempt" "$code"
        printf 'host %s\njob %s\n' "$(uname -n)" "${SLURM_JOB_ID:--}"
        printf 'digest %s\nreason %s\n' "$digest" "$2"
    } >"$beside.status.$token" && mv -f -- "$beside.status.$token" "$beside.status"
}

# FOLDER: whether it has room; `least` says how much was asked for.
room() {
    free=$(df -Pk -- "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
    case $free in '' | *[!0-9]*) return 0 ;; esac
    [ "$free" -ge "$PULL_LEAST_KIB" ]
}

# The container runtime, by path; the variables that its module sets are taken over.
choose_runtime() {
    if [ -z "$PULL_MODULES" ]; then
        for runtime in $PULL_RUNTIMES; do
            runtime=$(command -v "$runtime") && return 0
        done
    fi
    # One line of words to load; where none are configured, each runtime's own name is tried.
    for modules in "${PULL_MODULES:-apptainer}" "${PULL_MODULES:-singularity}"; do
        # shellcheck disable=SC2016,SC2086
        told=$(PULL_RUNTIMES=$PULL_RUNTIMES bash -lc 'module load "$@" >/dev/null 2>&1 || exit 1
            for runtime in $PULL_RUNTIMES; do
                if found=$(command -v "$runtime"); then printf "=biomero=%s|%s|%s" "$found" "$PATH" "${LD_LIBRARY_PATH:-}"; exit; fi
            done; exit 1' bash $modules 2>/dev/null </dev/null) || continue
        # What a login shell says stands before.
        told=${told##*=biomero=}
        runtime=${told%%|*}
        told=${told#*|}
        PATH=${told%%|*}
        LD_LIBRARY_PATH=${told#*|}
        export PATH LD_LIBRARY_PATH
        [ -x "$runtime" ] && return 0
    done
    return 1
}

# Once; the exit code is that of the container runtime.
pull() {
    part=$beside.part.$token
    if [ -n "${PULL_CACHEDIR:-}" ]; then cache=''; else cache=--disable-cache; fi
    case $source in
        *://*)
            # Only newer ones take the number of processors.
            if [ -n "${PULL_CPUS:-}" ] && "$runtime" build --help 2>/dev/null | grep -q mksquashfs-args; then
                "$runtime" build --force ${cache:+"$cache"} --mksquashfs-args "-processors $PULL_CPUS" "$part" "$source"
            else
                "$runtime" pull --force ${cache:+"$cache"} "$part" "$source"
            fi
            ;;
        *) cd "${source%/*}" && "$runtime" build --force "$part" "$source" ;;
    esac
}

give_up() {
    trap '' TERM INT HUP
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null
    rm -f -- "$beside.part.$token"
    code=143
    is_ours && record failed 'it was told to stop'
    release
    [ -n "$beat" ] && kill "$beat" 2>/dev/null
    exit 143
}

# TARGET SOURCE
bring() {
    place "$1"
    source=$2
    started=$(date +%s) attempt=0 code=0 digest='' child='' beat=''
    mkdir -p -- "$folder" || return 1
    take || return 0
    trap give_up TERM INT HUP
    if [ -s "$target" ] && [ "$PULL_FORCE" != yes ]; then
        if ! grep -qs '^state done$' "$beside.status"; then
            digest=$(sha256sum <"$target" | cut -d ' ' -f 1)
            record 'done' 'it was there already'
        fi
        release
        return 0
    fi
    rm -f -- "$beside".part.* "$beside".status.* "$beside".now.*
    (while sleep 20; do kill -0 $$ && is_ours && touch -- "$lock/owner" || exit; done) >/dev/null 2>&1 &
    beat=$!
    delay=$PULL_DELAY
    while :; do
        attempt=$((attempt + 1))
        reason=''
        code=0
        record pulling ''
        : >"$beside.log"
        if [ -z "$runtime" ]; then
            code=127 reason='neither apptainer nor singularity is on the PATH, nor loaded as a module'
            break
        fi
        if ! room "$folder" || { [ -n "${PULL_TMPDIR:-}" ] && ! room "$PULL_TMPDIR"; }; then
            code=28 reason="fewer than $PULL_LEAST_KIB KiB are free"
            break
        fi
        (pull) </dev/null >>"$beside.log" 2>&1 &
        child=$!
        wait "$child"
        code=$?
        child=''
        if [ "$code" -ne 0 ]; then
            reason="the container runtime ended with $code"
        elif ! [ -s "$beside.part.$token" ]; then
            code=1 reason='the container runtime left no image'
        elif ! "$runtime" inspect "$beside.part.$token" >/dev/null 2>>"$beside.log"; then
            code=1 reason='what came is no image: the container runtime cannot inspect it'
        elif ! is_ours; then
            rm -f -- "$beside.part.$token"
            kill "$beat" 2>/dev/null
            return 0
        else
            digest=$(sha256sum <"$beside.part.$token" | cut -d ' ' -f 1)
            if mv -f -- "$beside.part.$token" "$target"; then break; fi
            code=1 reason='the image cannot be put in its place'
        fi
        rm -f -- "$beside.part.$token"
        [ "$attempt" -lt "$PULL_ATTEMPTS" ] || break
        record pulling "$reason; again in $delay seconds"
        sleep "$delay" &
        child=$!
        wait "$child"
        child=''
        delay=$((delay * 2))
    done
    if [ "$code" -eq 0 ]; then record 'done' ''; else record failed "$reason"; fi
    kill "$beat" 2>/dev/null
    release
    trap - TERM INT HUP
    [ "$code" -eq 0 ]
}

run() {
    for folder in "${PULL_TMPDIR:-}" "${PULL_CACHEDIR:-}"; do
        [ -z "$folder" ] || mkdir -p -- "$folder"
    done
    if [ -n "${PULL_TMPDIR:-}" ]; then
        export APPTAINER_TMPDIR="$PULL_TMPDIR" SINGULARITY_TMPDIR="$PULL_TMPDIR"
    fi
    if [ -n "${PULL_CACHEDIR:-}" ]; then
        export APPTAINER_CACHEDIR="$PULL_CACHEDIR" SINGULARITY_CACHEDIR="$PULL_CACHEDIR"
    fi
    token=$(uname -n).$$.$(date +%s)
    choose_runtime || runtime=''
    failed=0
    while [ $# -ge 2 ]; do
        bring "$1" "$2" || failed=1
        shift 2
    done
    exit "$failed"
}

# How one stands: TARGET, the status file, the size of the image, whether the lock is held, whether who was told goes on, the log's end.
tell() {
    place "$1"
    size=''
    if [ -s "$target" ]; then size=$(stat -L -c %s -- "$target"); fi
    if held; then locked=yes; else locked=no; fi
    awaited=no
    l_host='' l_process='' l_begun='' l_job=''
    if read -r l_host l_process l_begun l_job <"$beside.launched" 2>/dev/null; then
        goes_on "$l_host" "$l_process" "$l_begun" "$l_job"
        case $? in
            0) awaited=yes ;;
            2) awaited=unknown ;;
        esac
    fi
    printf '%s\0%s\0%s\0%s\0%s\0%s\0' "$target" "$(head -c 4096 -- "$beside.status" 2>/dev/null)" "$size" "$locked" "$awaited" \
        "$(tail -c 2000 -- "$beside.log" 2>/dev/null | tr '\r' '\n' | tail -n 5)"
}

# What is still to be brought, in fields that end with a NUL: its TARGET and SOURCE. It is written down as pending.
prepare() {
    token=$(uname -n).$$.$(date +%s)
    while [ $# -ge 2 ]; do
        # Jobs and processes need not begin in the login folder.
        case $1 in /*) place "$1" ;; *) place "$PWD/$1" ;; esac
        case $2 in /* | *://*) source=$2 ;; *) source=$PWD/$2 ;; esac
        shift 2
        mkdir -p -- "$folder" || exit 1
        if held || { [ -s "$target" ] && [ "$PULL_FORCE" != yes ]; }; then continue; fi
        started=$(date +%s) attempt=0 code=0 digest=''
        record pending '' || exit 1
        rm -f -- "$beside.launched"
        printf '%s\0%s\0' "$target" "$source"
    done
}

# HOST PROCESS BEGUN JOB, then the TARGETs that it was told to bring.
launched() {
    told="$1 $2 $3 $4"
    shift 4
    for one in "$@"; do
        place "$one"
        printf '%s\n' "$told" >"$beside.launched"
    done
}

start() {
    program=$(cat)
    # A session of its own: the login session may end. Nothing of it may stay open, or sshd waits.
    setsid /bin/sh -c "$program" sh run "$@" </dev/null >/dev/null 2>&1 &
    process=$!
    told="$(uname -n) $process $(begun "$process") -"
    while [ $# -ge 2 ]; do
        place "$1"
        printf '%s\n' "$told" >"$beside.launched"
        shift 2
    done
    printf '%s' "$process"
}

: "${PULL_RUNTIMES:=apptainer singularity}" "${PULL_MODULES:=}" "${PULL_FORCE:=}" "${PULL_ATTEMPTS:=3}" "${PULL_DELAY:=10}" "${PULL_LEAST_KIB:=0}"
case $PULL_DELAY$PULL_ATTEMPTS$PULL_LEAST_KIB in *[!0-9]*) exit 64 ;; esac
case $action in
    prepare) prepare "$@" ;;
    start) start "$@" ;;
    run) run "$@" ;;
    launched) launched "$@" ;;
    status) for one in "$@"; do case $one in /*) tell "$one" ;; *) tell "$PWD/$one" ;; esac; done ;;
    *) exit 64 ;;
esac
