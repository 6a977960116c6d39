//! What an upload runs on the cluster. All of it is POSIX `sh`; the programs are those that POSIX has, except for what the
//! comments name.

use crate::data::digest::{find_tool, sums};

/// The exit code for: something else is there.
pub(super) const OCCUPIED: u8 = 45;

/// `PARENT NAME`: makes the staging folder; answers its state, the program for digests, whether there is a tar, and the
/// journal's records.
pub(super) const PREPARE: &str = concat!(
    sums!(),
    find_tool!(),
    r#"
CDPATH=
mkdir -p -- "$1" && cd -- "$1" || exit 1
stage=./.$2.incoming sent=./.$2.sent target=./$2 state=new
if [ -L "$stage" ] || [ -L "$sent" ]; then
    exit 45
fi
if [ -d "$stage/content" ]; then
    state=begun
    # Ended between the two renames that put it in place.
    if [ -d "$sent" ] && [ ! -d "$stage/journal" ]; then
        mv -- "$sent" "$stage/journal" || exit 1
    fi
elif [ -d "$sent" ] && [ -e "$target" ]; then
    state=finished
fi
if [ "$state" != finished ]; then
    if [ -e "$target" ] || [ -L "$target" ]; then
        [ ! -L "$target" ] && [ -d "$target" ] && [ -z "$(ls -A "$target" | head -n 1)" ] || exit 45
    fi
    rm -rf "$sent"
    mkdir -p "$stage" && chmod 700 "$stage" && mkdir -p "$stage/content" "$stage/journal" "$stage/lists" || exit 1
    journal=$stage/journal
else
    journal=$sent
fi
echo "state $state"
echo "tool $tool"
if command -v tar >/dev/null 2>&1; then echo "tar yes"; else echo "tar no"; fi
ls -1 "$journal" | head -n 60000
"#
);

/// `TOOL LIST FOLDER`: takes a tar stream, answers the digests of what it listed. `-o`: owners are not kept; `-p`: modes are.
/// `FOLDER` is made first: of two GNU tars that miss the same folder, the one that finds it made by the other gives up.
/// `xargs -0` is in GNU, BSD and busybox, and in POSIX since 2024.
pub(super) const RECEIVE_TAR: &str = concat!(
    sums!(),
    r#"
tool=$1
umask 077
mkdir -p "content/$3" && tar -x -o -p -f - || exit 1
cd content || exit 1
if [ -s "../lists/$2" ]; then sums <"../lists/$2"; fi
rm -f "../lists/$2"
"#
);

/// `TOOL LIST FOLDER`: the same from lines and contents, where there is no tar: one process for each file and more, which is slow.
pub(super) const RECEIVE_PLAIN: &str = concat!(
    sums!(),
    r#"
tool=$1
umask 077
cd content || exit 1
while IFS=' ' read -r kind mode size moment name leads; do
    # The underscore keeps a line break at a name's end, which a substitution would take away.
    name=$(printf '%b_' "$name"); name=./${name%_}
    case $kind in
        end) break ;;
        d) mkdir -p "$name" && chmod "$mode" "$name" || exit 1 ;;
        l) leads=$(printf '%b_' "$leads"); mkdir -p "${name%/*}" && rm -f "$name" && ln -s -- "${leads%_}" "$name" || exit 1 ;;
        f)
            mkdir -p "${name%/*}" && rm -f "$name" && head -c "$size" >"$name" || exit 1
            [ "$(wc -c <"$name")" -eq "$size" ] || { echo "No space left, or the stream broke off" >&2; exit 1; }
            chmod "$mode" "$name" || exit 1
            touch -d "@$moment" "$name" 2>/dev/null || :
            ;;
        *) exit 1 ;;
    esac
done
# The last line is `end RECORD LENGTH`.
head -c "$size" >"../lists/$2" || exit 1
if [ "$mode" != - ]; then : >"../journal/$mode" || exit 1; fi
if [ -s "../lists/$2" ]; then sums <"../lists/$2"; fi
rm -f "../lists/$2"
"#
);

/// `TOOL`: digests of the names on standard input.
pub(super) const HASH: &str = concat!(sums!(), "tool=$1\nsums 2>/dev/null\n:\n");

/// `TOOL NAME FIRST BLOCKS`: the digest of a piece, in blocks of 1 MiB.
pub(super) const HASH_PIECE: &str = concat!(
    sums!(),
    r#"
tool=$1
[ -f "$2" ] && dd if="$2" bs=1048576 skip="$3" count="$4" 2>/dev/null | sum
:
"#
);

/// `TOOL NAME FIRST BLOCKS REST IDENTITY`: takes a piece and a line with its digest, records it, answers the digest of what
/// is on disk. `dd`'s `iflag=fullblock` is in GNU and busybox, and keeps it from reading less or more than the piece.
pub(super) const RECEIVE_PIECE: &str = concat!(
    sums!(),
    r#"
tool=$1 name=content/${2#./}
umask 077
mkdir -p "${name%/*}" || exit 1
{
    dd bs=1048576 seek="$3" count="$4" iflag=fullblock || exit 1
    [ "$5" -eq 0 ] || head -c "$5" || exit 1
} 1<>"$name" || exit 1
IFS= read -r digest || { echo "the stream broke off" >&2; exit 1; }
case $digest in -) exit 0 ;; esac
: >"journal/$6.$digest" || exit 1
count=$4
[ "$5" -eq 0 ] || count=$((count + 1))
dd if="$name" bs=1048576 skip="$3" count="$count" 2>/dev/null | sum
"#
);

/// `NAME SIZE MODE MOMENT`: what is left to do for a file that came in pieces. What an earlier, longer file left behind the
/// end is cut off.
pub(super) const DRESS: &str = r#"
name=content/${1#./}
size=$(wc -c <"$name") || exit 1
if [ "$size" -gt "$2" ]; then
    dd if=/dev/null of="$name" bs=1 seek="$2" 2>/dev/null && size=$(wc -c <"$name") || exit 1
fi
[ "$size" -eq "$2" ] || { echo "it has $size bytes instead of $2" >&2; exit 1; }
chmod "$3" "$name" || exit 1
touch -d "@$4" "$name" 2>/dev/null || :
"#;

/// Kinds and names of everything below the folder. `-printf` is GNU's.
pub(super) const LIST: &str = r"exec find . -mindepth 1 -printf '%y %p\0'";

/// `NAME KIND`: the journal goes first, so that what is in place is known to be complete. `mv -T` is GNU's.
pub(super) const FINISH: &str = r#"
stage=./.$1.incoming sent=./.$1.sent target=./$1
from=$stage/content
[ "$2" = d ] || from=$stage/content/$1
if [ -d "$target" ] && [ ! -L "$target" ]; then rmdir "$target" || exit 45; fi
if [ -e "$target" ] || [ -L "$target" ]; then exit 45; fi
mv "$stage/journal" "$sent" || exit 1
mv -T "$from" "$target" 2>/dev/null || { [ ! -e "$target" ] && mv "$from" "$target"; } || exit 1
rm -rf "$stage"
"#;
