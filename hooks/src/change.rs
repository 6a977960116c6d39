//! What an effect would change: looked up once, the same way, for applying it and for printing it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use biomero_config::Environment;

use crate::context::Identity;
use crate::effect::{Effect, FileEffect};
use crate::overlay::{Overlay, Planned};

/// Bytes of a file that are compared line by line, to be shown; of a larger one only the size is told.
pub(crate) const SHOWN: u64 = 1 << 20;

/// The difference between the machine and an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The machine is already so.
    Nothing,
    /// A file or directory that is not there.
    Create,
    /// A file with other content.
    Replace {
        /// What is there before.
        before: Before,
    },
    /// The right content or directory with other permission bits or another owner.
    Attributes {
        /// Bits before, where they differ.
        mode: Option<u32>,
        /// User and group before, where they differ and `init` may change them.
        owner: Option<(u32, u32)>,
    },
    /// Something is there that is to go.
    Remove,
    /// Something is there that is to be renamed.
    Move,
    /// A variable with another value, or none.
    Variable {
        /// Whether it had a value before.
        was_set: bool,
    },
    /// Something is waited for.
    Wait,
    /// A program runs; its effects are unknown.
    Run,
    /// Something is said.
    Notice,
}

impl Change {
    /// Whether the machine's files would differ afterwards, as far as can be known.
    pub const fn changes_the_machine(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Variable { .. } | Self::Wait | Self::Notice)
    }
}

/// What a file takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// A file with this content.
    File(Vec<u8>),
    /// A file of so many bytes, more than are compared line by line.
    LargeFile(u64),
    /// No regular file, or one that cannot be read.
    Other,
}

/// What is at a path, a symlink not followed.
enum Present<'a> {
    Nothing,
    Planned { content: &'a [u8], mode: u32 },
    File(Metadata),
    Directory { mode: u32, owner: Option<(u32, u32)> },
    Other,
}

/// Looks up what an effect would change.
///
/// # Errors
/// The system's, when what is there cannot be read.
pub(crate) fn examine(
    effect: &Effect,
    overlay: &Overlay,
    identity: &Identity,
    environment: &Environment,
) -> io::Result<Change> {
    Ok(match effect {
        Effect::Directory { path, mode, owner } => match present(path, overlay)? {
            Present::Nothing => Change::Create,
            Present::Directory { mode: before, owner: owned } => {
                attributes(before, *mode, owned, identity.owner(*owner))
            }
            // See `obstacle`.
            Present::Planned { .. } | Present::File(_) | Present::Other => Change::Create,
        },
        Effect::File(file) => examine_file(file, overlay, identity)?,
        Effect::Remove { path } => match present(path, overlay)? {
            Present::Nothing => Change::Nothing,
            _ => Change::Remove,
        },
        Effect::MoveAside { path, .. } => match present(path, overlay)? {
            Present::Nothing => Change::Nothing,
            _ => Change::Move,
        },
        Effect::Variable { name, value } => {
            let before = environment.get_os(name);
            match value {
                Some(value) if before.is_some_and(|before| before == value.reveal()) => Change::Nothing,
                None if before.is_none() => Change::Nothing,
                _ => Change::Variable { was_set: before.is_some() },
            }
        }
        Effect::WaitTcp { .. } | Effect::WaitPath { .. } => Change::Wait,
        Effect::Command(_) => Change::Run,
        Effect::Notice(_) => Change::Notice,
    })
}

/// Why an effect would not be applied: what is there is not removed where nobody asked to remove it.
pub(crate) fn obstacle(effect: &Effect, change: &Change, overlay: &Overlay) -> Option<String> {
    let (path, wanted) = match (effect, change) {
        (Effect::Directory { path, .. }, Change::Create) => (path, "directory"),
        (Effect::File(file), Change::Replace { before: Before::Other }) => (&file.path, "file"),
        _ => return None,
    };
    let found = match (wanted, present(path, overlay).ok()?) {
        ("directory", Present::Planned { .. } | Present::File(_)) => "a file",
        ("directory", Present::Other) => "a symbolic link or a special file",
        ("file", Present::Directory { .. }) => "a directory",
        _ => return None,
    };
    Some(format!("cannot make the {wanted} {}: {found} is there; move it away", path.display()))
}

/// As [`examine`], for a file: its content is not copied to be looked at.
pub(crate) fn examine_file(file: &FileEffect, overlay: &Overlay, identity: &Identity) -> io::Result<Change> {
    let wanted = file.content.bytes();
    let found = match present(&file.path, overlay)? {
        Present::Nothing => return Ok(Change::Create),
        Present::Directory { .. } | Present::Other => return Ok(Change::Replace { before: Before::Other }),
        Present::Planned { content, mode } if content == wanted => {
            return Ok(attributes(mode, file.mode, None, None));
        }
        Present::Planned { content, .. } => return Ok(Change::Replace { before: before(content.to_vec()) }),
        Present::File(found) => found,
    };
    // A file of another size is another file, and read only to be shown.
    let same_size = found.len() == wanted.len() as u64;
    if !same_size && found.len() > SHOWN {
        return Ok(Change::Replace { before: Before::LargeFile(found.len()) });
    }
    let content = match overlay.disk().read(&file.path, if same_size { found.len() } else { SHOWN }) {
        Ok(content) => content,
        // It grew meanwhile.
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Ok(Change::Replace { before: Before::LargeFile(found.len()) });
        }
        // What cannot be read can still be replaced, if its directory can be written.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Change::Replace { before: Before::Other });
        }
        Err(error) => return Err(error),
    };
    if content != wanted {
        return Ok(Change::Replace { before: before(content) });
    }
    let owner = Some((found.uid(), found.gid()));
    Ok(match attributes(found.mode() & 0o7777, file.mode, owner, identity.owner(file.owner)) {
        // Its other name keeps what it has.
        Change::Attributes { .. } if found.nlink() > 1 => Change::Replace { before: before(content) },
        change => change,
    })
}

fn before(content: Vec<u8>) -> Before {
    let bytes = content.len() as u64;
    if bytes > SHOWN { Before::LargeFile(bytes) } else { Before::File(content) }
}

fn attributes(mode: u32, wanted: u32, owner: Option<(u32, u32)>, wanted_owner: Option<(u32, u32)>) -> Change {
    let mode = (mode != wanted).then_some(mode);
    let owner = owner.zip(wanted_owner).and_then(|(owner, wanted)| (owner != wanted).then_some(owner));
    match (mode, owner) {
        (None, None) => Change::Nothing,
        (mode, owner) => Change::Attributes { mode, owner },
    }
}

fn present<'a>(path: &Path, overlay: &'a Overlay) -> io::Result<Present<'a>> {
    match overlay.planned(path) {
        Some(Planned::File { content, mode }) => return Ok(Present::Planned { content, mode: *mode }),
        Some(Planned::Directory { mode, .. }) => return Ok(Present::Directory { mode: *mode, owner: None }),
        Some(Planned::Absent) => return Ok(Present::Nothing),
        None if overlay.hidden(path) => return Ok(Present::Nothing),
        None => {}
    }
    let Some(metadata) = overlay.disk().metadata(path)? else { return Ok(Present::Nothing) };
    Ok(if metadata.is_dir() {
        Present::Directory { mode: metadata.mode() & 0o7777, owner: Some((metadata.uid(), metadata.gid())) }
    } else if metadata.is_file() {
        Present::File(metadata)
    } else {
        Present::Other
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::Disk;
    use crate::effect::{Content, Owner};

    fn examined(root: &Path, content: &[u8], mode: u32) -> Change {
        let file = FileEffect {
            path: "/file".into(),
            content: Content::Public(content.to_vec()),
            mode,
            owner: Owner::ServiceUser,
            lock: None,
        };
        examine_file(&file, &Overlay::over(Disk::below(root)), &Identity::of_this_process()).unwrap()
    }

    #[test]
    fn a_file_of_another_size_is_not_read_to_be_told_from_what_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        let file = fs::File::create(root.path().join("file")).unwrap();
        // Sparse: reading it would take long, and more memory than there is.
        file.set_len(1 << 40).unwrap();
        assert_eq!(
            examined(root.path(), b"x", 0o644),
            Change::Replace { before: Before::LargeFile(1 << 40) }
        );
        file.set_len(SHOWN + 1).unwrap();
        let same_size = vec![1; usize::try_from(SHOWN).unwrap() + 1];
        let large = Change::Replace { before: Before::LargeFile(SHOWN + 1) };
        assert_eq!(examined(root.path(), &same_size, 0o644), large);
        file.set_len(2).unwrap();
        assert_eq!(examined(root.path(), b"x", 0o644), Change::Replace { before: Before::File(vec![0; 2]) });
    }

    #[test]
    fn the_mode_of_a_file_with_another_name_is_changed_by_replacing_it() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let mode = fs::metadata(root.path().join("file")).unwrap().mode() & 0o7777;
        assert!(matches!(examined(root.path(), b"x", 0o600), Change::Attributes { .. }));
        fs::hard_link(root.path().join("file"), root.path().join("other")).unwrap();
        assert_eq!(examined(root.path(), b"x", mode), Change::Nothing);
        assert!(matches!(examined(root.path(), b"x", 0o600), Change::Replace { .. }));
    }
}
