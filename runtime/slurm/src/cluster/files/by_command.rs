//! Files by commands of GNU's coreutils and findutils, which every cluster has.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Entry, Files, Kind, Metadata, by_sftp};
use crate::cluster::Error;
use crate::command::{Command, Output, Status};

/// Writes what is read beside the name and renames it: `$1` the name, `$2` the one beside, `$3` the permissions, `$4` how
/// many bytes there have to be, as a connection that is lost ends what is read too.
const WRITE: &str = r#"umask 077
cat >"$2" && test "$(wc -c <"$2")" -eq "$4" && chmod -- "$3" "$2" && mv -fT -- "$2" "$1" && exit 0
rm -f -- "$2"
exit 1"#;

/// What the commands say, in the words of the C locale.
const REASONS: &[(&str, ErrorKind)] = &[
    ("No such file or directory", ErrorKind::NotFound),
    // dash's own words.
    ("No such file", ErrorKind::NotFound),
    ("Directory nonexistent", ErrorKind::NotFound),
    ("Permission denied", ErrorKind::PermissionDenied),
    ("Operation not permitted", ErrorKind::PermissionDenied),
    ("No space left on device", ErrorKind::StorageFull),
    ("File too large", ErrorKind::FileTooLarge),
    ("quota exceeded", ErrorKind::QuotaExceeded),
    ("Read-only file system", ErrorKind::ReadOnlyFilesystem),
    ("Not a directory", ErrorKind::NotADirectory),
    ("Is a directory", ErrorKind::IsADirectory),
    ("with non-directory", ErrorKind::IsADirectory),
    ("with directory", ErrorKind::NotADirectory),
    ("Directory not empty", ErrorKind::DirectoryNotEmpty),
    ("File exists", ErrorKind::AlreadyExists),
    ("File name too long", ErrorKind::InvalidFilename),
];

impl Files<'_> {
    pub(super) async fn metadata_by_command(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        let command = Command::new("stat").args(["-L", "-c", "%F/%s/%Y/%a", "--"]).arg(path);
        let told = match self.command(command.repeatable(), "look at", path).await {
            Ok(told) => told,
            Err(Error::File { kind: ErrorKind::NotFound | ErrorKind::NotADirectory, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let told = String::from_utf8_lossy(&told);
        parse(told.trim()).map(Some).ok_or_else(|| self.odd("look at", path, &told))
    }

    pub(super) async fn list_by_command(&self, folder: &Path) -> Result<Vec<Entry>, Error> {
        let told = ["-mindepth", "1", "-maxdepth", "1", "-printf", "%y/%s/%T@/%m/%f\\0"];
        // A path that begins with a dash would be an option.
        let begin = if folder.is_absolute() { folder.to_owned() } else { Path::new(".").join(folder) };
        let command = Command::new("find").arg("-H").arg(begin).args(told);
        let told = self.command(command.repeatable(), "list", folder).await?;
        let entries = told.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        entries.map(|entry| found(entry).ok_or_else(|| self.odd("list", folder, "an entry"))).collect()
    }

    pub(super) async fn read_by_command(
        &self,
        path: &Path,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, Error> {
        // Opened first, so that what is wrong with it is said and the exit code is its.
        let command = Command::shell(r#"exec <"$1" && { tail -c "+$2" | head -c "$3"; test ! -d "$1"; }"#);
        let from = offset.saturating_add(1).to_string();
        let command = command.arg(path).arg(from).arg(most.to_string()).largest_answer(most);
        self.command(command.repeatable(), "read", path).await
    }

    pub(super) async fn write_by_command(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let command = Command::shell(WRITE).arg(path).arg(by_sftp::beside(path));
        let command = command.arg(format!("{:o}", mode & 0o7777)).arg(content.len().to_string());
        self.command(command.input(content).repeatable(), "write", path).await.map(drop)
    }

    pub(super) async fn create_folder_by_command(&self, path: &Path) -> Result<(), Error> {
        let command = Command::new("mkdir").args(["-p", "--"]).arg(path);
        self.command(command.repeatable(), "make the folder", path).await.map(drop)
    }

    pub(super) async fn rename_by_command(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let command = Command::new("mv").args(["-fT", "--"]).arg(from).arg(to);
        self.command(command, "rename", from).await.map(drop)
    }

    pub(super) async fn remove_by_command(&self, path: &Path) -> Result<(), Error> {
        let command = Command::new("rm").args(["-f", "--"]).arg(path);
        self.command(command.repeatable(), "remove", path).await.map(drop)
    }

    async fn command(&self, command: Command, action: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
        let Output { status, stdout, stderr } = self.cluster.run(&command.env("LC_ALL", "C")).await?;
        if status == Status::Exited(0) {
            return Ok(stdout);
        }
        let said = String::from_utf8_lossy(&stderr);
        let reason = match (said.trim(), status) {
            ("", Status::Exited(code)) => format!("it ended with {code} without a word"),
            ("", Status::Killed) => "it was killed".to_owned(),
            (said, _) => said.to_owned(),
        };
        Err(self.trouble(action, path, kind(&reason), &reason))
    }

    fn odd(&self, action: &'static str, path: &Path, told: &str) -> Error {
        let told: String = told.chars().take(200).collect();
        self.trouble(action, path, ErrorKind::InvalidData, &format!("an answer without sense: {told:?}"))
    }
}

/// What kind of trouble it is, by the last reason that is named: what comes first may be a file's name.
fn kind(said: &str) -> ErrorKind {
    let last = said.lines().rev().find_map(|line| {
        let places = REASONS.iter().filter_map(|(words, kind)| Some((line.rfind(words)?, *kind)));
        places.max_by_key(|(at, _)| *at).map(|(_, kind)| kind)
    });
    last.unwrap_or(ErrorKind::Other)
}

fn parse(text: &str) -> Option<Metadata> {
    let mut parts = text.split('/');
    let kind = match parts.next()? {
        "regular file" | "regular empty file" | "f" => Kind::File,
        "directory" | "d" => Kind::Folder,
        _ => Kind::Other,
    };
    let size = parts.next()?.parse().ok()?;
    let seconds = parts.next()?.split('.').next()?.parse().ok()?;
    let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
    Some(Metadata { kind, size, modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), mode })
}

fn found(entry: &[u8]) -> Option<Entry> {
    let slash = entry.iter().rposition(|byte| *byte == b'/')?;
    let metadata = parse(std::str::from_utf8(entry.get(..slash)?).ok()?)?;
    Some(Entry { name: PathBuf::from(OsStr::from_bytes(entry.get(slash + 1..)?)), metadata })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_command_says_has_a_kind() {
        let table = [
            ("stat: cannot statx 'x': No such file or directory", ErrorKind::NotFound),
            ("sh: 1: cannot open x: No such file", ErrorKind::NotFound),
            ("sh: 1: cannot create x: Directory nonexistent", ErrorKind::NotFound),
            ("sh: 1: cannot open x: Permission denied", ErrorKind::PermissionDenied),
            ("cat: write error: No space left on device", ErrorKind::StorageFull),
            ("cat: write error: Disk quota exceeded", ErrorKind::QuotaExceeded),
            ("mkdir: cannot create directory 'x': File exists", ErrorKind::AlreadyExists),
            ("mv: cannot overwrite directory 'a' with non-directory 'b'", ErrorKind::IsADirectory),
            ("rm: cannot remove 'No such file or directory': Is a directory", ErrorKind::IsADirectory),
            ("something else", ErrorKind::Other),
        ];
        for (said, expected) in table {
            assert_eq!(kind(said), expected, "{said}");
        }
    }

    proptest! {
        #[test]
        fn an_entry_of_any_name_is_read_and_nothing_makes_it_fail(
            name in prop::collection::vec(any::<u8>().prop_filter("a name", |byte| ![0, b'/'].contains(byte)), 1..40),
            size in any::<u64>(),
            junk in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut entry = format!("d/{size}/1700000000.1234567890/2755/").into_bytes();
            entry.extend_from_slice(&name);
            let entry = found(&entry).expect("an entry");
            prop_assert_eq!(entry.name.as_os_str().as_bytes(), &name);
            prop_assert_eq!((entry.metadata.kind, entry.metadata.size, entry.metadata.mode), (Kind::Folder, size, 0o2755));
            let _ = found(&junk);
            let _ = parse(&String::from_utf8_lossy(&junk));
        }
    }
}
