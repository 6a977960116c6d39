#!/bin/sh
# Makes a folder what a Git repository says: cloned where it is missing, else fetched and set to the remote branch. What differs
# there is put aside, never lost; a folder that is no clone of this repository is left alone.
#
# Arguments: REPOSITORY FOLDER, and `look` to change nothing. The answer: WORD NUL BEFORE NUL AFTER NUL SAVED NUL.
# Exit codes: 65 no clone, 66 another repository, 69 Git failed.
set -u
repository=$1 folder=$2 mode=${3:-}
# Nobody is there to be asked for a password.
export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true SSH_ASKPASS=true GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -oBatchMode=yes}" LC_ALL=C
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac

tell() { printf '%s\0%s\0%s\0%s\0' "$1" "$2" "$3" "$4"; }
failed() {
    echo "$1" >&2
    exit 69
}
in_folder() { git -C "$folder" -c user.name=biomero -c user.email=biomero@localhost "$@"; }

if [ ! -e "$folder" ] || { [ -d "$folder" ] && [ -z "$(ls -A -- "$folder")" ]; }; then
    if [ "$mode" = look ]; then
        tell clones '' '' ''
        exit
    fi
    mkdir -p -- "${folder%/*}" || exit 69
    fresh=$folder.clone.$$
    trap 'rm -rf -- "$fresh"' EXIT
    git clone --quiet -- "$repository" "$fresh" || exit 69
    rmdir -- "$folder" 2>/dev/null
    mv -T -- "$fresh" "$folder" || exit 69
    tell cloned '' "$(in_folder rev-parse HEAD)" ''
    exit
fi

top=$(in_folder rev-parse --show-toplevel 2>/dev/null)
if [ -z "$top" ] || [ "$(cd -- "$top" && pwd -P)" != "$(cd -- "$folder" && pwd -P)" ]; then exit 65; fi
origin=$(in_folder config --get remote.origin.url)
if [ "$origin" != "$repository" ]; then
    printf '%s' "$origin" >&2
    exit 66
fi
before=$(in_folder rev-parse --verify --quiet HEAD)
if [ "$mode" = look ]; then
    tell fetches "$before" '' "$(in_folder status --porcelain | head -n 20)"
    exit
fi
in_folder fetch --quiet --prune origin || exit 69
in_folder remote set-head origin --auto >/dev/null || exit 69
# The branch that is checked out, as long as the remote has it; else the remote's own.
branch=$(in_folder symbolic-ref --quiet --short HEAD)
if [ -n "$branch" ] && in_folder rev-parse --verify --quiet "refs/remotes/origin/$branch" >/dev/null; then
    target=refs/remotes/origin/$branch
else
    target=refs/remotes/origin/HEAD
fi
after=$(in_folder rev-parse --verify "$target^{commit}") || exit 69
saved=''
now=$(date -u +%Y%m%dT%H%M%SZ)
if [ -n "$(in_folder status --porcelain)" ]; then
    in_folder stash push --quiet --include-untracked --message "kept by biomero $now" || failed 'git stash failed'
    saved="what was changed by hand is in: git -C $folder stash list"
fi
if [ -n "$before" ] && ! in_folder merge-base --is-ancestor "$before" "$after"; then
    in_folder branch "biomero-kept-$now-$$" "$before" || failed 'git branch failed'
    saved="$saved${saved:+; }commits that the remote does not have are on the branch biomero-kept-$now-$$"
fi
in_folder reset --quiet --hard "$after" || exit 69
if [ "$before" = "$after" ]; then tell same "$before" "$after" "$saved"; else tell moved "$before" "$after" "$saved"; fi
