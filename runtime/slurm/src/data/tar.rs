//! Writes a tar stream: POSIX.1-2001 "pax" with extended headers where the old header is too small (pax(1), "EXTENDED
//! DESCRIPTION"), which GNU tar, libarchive's and busybox's all read.
//!
//! Invariant: a name goes in as its bytes, whatever they are.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use super::source::{Entry, What};

/// Everything is padded to it.
pub(crate) const BLOCK: usize = 512;
/// A whole archive is padded to it (`tar -b 20`).
const RECORD: u64 = 10_240;
/// What the name field holds.
const NAME: usize = 100;

/// Appends the header of an entry, whose name is `folder/path`. What follows is its content, then [`padding`].
pub(crate) fn header(into: &mut Vec<u8>, folder: &str, entry: &Entry) {
    let mut name = Vec::with_capacity(folder.len() + 1 + entry.path.as_os_str().len());
    name.extend_from_slice(folder.as_bytes());
    name.push(b'/');
    name.extend_from_slice(entry.path.as_os_str().as_bytes());
    let (kind, mode, link) = match &entry.what {
        What::File => (b'0', entry.mode, &b""[..]),
        // A folder that its owner cannot enter or write to would keep the other batches out.
        What::Folder => (b'5', entry.mode | 0o700, &b""[..]),
        What::Link(leads) => (b'2', 0o777, leads.as_os_str().as_bytes()),
    };
    let (seconds, nanoseconds) = entry.modified;
    let mut extended = Vec::new();
    if name.len() > NAME {
        record(&mut extended, "path", &name);
    }
    if link.len() > NAME {
        record(&mut extended, "linkpath", link);
    }
    if entry.size > 0o777_7777_7777 {
        record(&mut extended, "size", entry.size.to_string().as_bytes());
    }
    if entry.what == What::File && (nanoseconds != 0 || !(0..=0o777_7777_7777).contains(&seconds)) {
        record(&mut extended, "mtime", moment(seconds, nanoseconds).as_bytes());
    }
    extend(into, &extended);
    block(into, &name, kind, mode, entry.size, seconds, link);
}

/// A small file of our own.
pub(crate) fn own(into: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut extended = Vec::new();
    if name.len() > NAME {
        record(&mut extended, "path", name.as_bytes());
    }
    extend(into, &extended);
    block(into, name.as_bytes(), b'0', 0o600, content.len() as u64, 0, b"");
    into.extend_from_slice(content);
    pad(into, content.len());
}

/// How many zeros follow a content of this size.
pub(crate) const fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// How many zeros end an archive that has this many bytes so far.
pub(crate) const fn ending(bytes: u64) -> usize {
    ((bytes + 2 * BLOCK as u64).next_multiple_of(RECORD) - bytes) as usize
}

/// An extended header, where there is something in it.
fn extend(into: &mut Vec<u8>, extended: &[u8]) {
    if !extended.is_empty() {
        block(into, b"pax", b'x', 0o600, extended.len() as u64, 0, b"");
        into.extend_from_slice(extended);
        pad(into, extended.len());
    }
}

fn pad(into: &mut Vec<u8>, size: usize) {
    into.resize(into.len() + padding(size as u64), 0);
}

/// `LENGTH KEY=VALUE`, the length including its own digits.
fn record(into: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    into.extend_from_slice(format!("{length} {key}=").as_bytes());
    into.extend_from_slice(value);
    into.push(b'\n');
}

/// Seconds with a fraction, as a decimal number.
pub(crate) fn moment(seconds: i64, nanoseconds: u32) -> String {
    if seconds < 0 && nanoseconds > 0 {
        format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds)
    } else {
        format!("{seconds}.{nanoseconds:09}")
    }
}

fn block(into: &mut Vec<u8>, name: &[u8], kind: u8, mode: u32, size: u64, seconds: i64, link: &[u8]) {
    let start = into.len();
    let text = |into: &mut Vec<u8>, value: &[u8], width: usize| {
        let end = into.len() + width;
        into.extend(value.iter().copied().take(width));
        into.resize(end, 0);
    };
    text(into, name, NAME);
    let octal = |value: u64, width: usize| format!("{:0width$o}\0", value.min((1 << (3 * width)) - 1));
    into.extend_from_slice(octal(u64::from(mode), 7).as_bytes());
    into.extend_from_slice(octal(0, 7).as_bytes());
    into.extend_from_slice(octal(0, 7).as_bytes());
    into.extend_from_slice(octal(size, 11).as_bytes());
    into.extend_from_slice(octal(u64::try_from(seconds).unwrap_or(0), 11).as_bytes());
    let sum_at = into.len();
    into.extend_from_slice(b"        ");
    into.push(kind);
    text(into, link, NAME);
    into.extend_from_slice(b"ustar\x0000");
    into.resize(start + BLOCK, 0);
    let sum: u32 = into.iter().skip(start).map(|byte| u32::from(*byte)).sum();
    if let Some(mut field) = into.get_mut(sum_at..sum_at + 8) {
        // Writing eight bytes into a slice of eight cannot fail.
        let _ = field.write_all(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn extract(archive: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("tar")
            .args(["-x", "-o", "-p", "-f", "-", "-C"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("tar");
        child.stdin.take().expect("a pipe").write_all(archive).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "tar refused it");
        folder
    }

    fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (entry, content) in entries {
            header(&mut archive, "./content", entry);
            archive.extend_from_slice(content);
            pad(&mut archive, content.len());
        }
        archive.resize(archive.len() + ending(archive.len() as u64), 0);
        assert_eq!(archive.len() % 10_240, 0);
        archive
    }

    fn file(path: PathBuf, size: usize) -> Entry {
        Entry {
            path,
            what: What::File,
            size: size as u64,
            modified: (1_700_000_000, 123_456_789),
            mode: 0o640,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_name_and_time_arrives_as_it_is(
            name in prop::collection::vec((1_u8..=255).prop_filter("no slash", |byte| *byte != b'/'), 1..=255),
            depth in 0_usize..6,
            content in prop::collection::vec(any::<u8>(), 0..2_000),
            seconds in -2_000_000_000_i64..4_000_000_000,
            nanoseconds in 0_u32..1_000_000_000,
        ) {
            prop_assume!(name != b"." && name != b"..");
            let name = OsStr::from_bytes(&name);
            let path = std::iter::repeat_n(PathBuf::from("f".repeat(200)), depth).collect::<PathBuf>().join(name);
            let mut entry = file(path.clone(), content.len());
            entry.modified = (seconds, nanoseconds);
            let folder = extract(&archive(&[(entry, &content)]));
            let there = folder.path().join("content").join(path);
            prop_assert_eq!(std::fs::read(&there).expect("the file"), content);
            let metadata = std::fs::metadata(&there).expect("the file");
            prop_assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
            prop_assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (seconds, i64::from(nanoseconds)));
        }
    }

    #[test]
    fn links_and_folders_arrive_with_long_names_too() {
        let long = "l".repeat(150);
        let at = |path: &str, what| Entry { path: path.into(), what, size: 0, modified: (1, 0), mode: 0o555 };
        let folder = extract(&archive(&[
            (at(&long, What::Folder), b""),
            (file(format!("{long}/x").into(), 2), b"hi"),
            (at("link", What::Link(format!("{long}/x").into())), b""),
        ]));
        let link = folder.path().join("content/link");
        assert_eq!(std::fs::read_link(&link).expect("a link").as_os_str().len(), 152);
        assert_eq!(std::fs::read(link).expect("a file"), b"hi");
        let mode = std::fs::metadata(folder.path().join("content").join(long)).expect("a folder").mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
