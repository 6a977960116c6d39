//! What an effect would change: looked up once, the same way, for applying it and for printing it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use biomero_config::Environment;

use crate::context::Identity;
use crate::effect::{Effect, FileEffect};
use crate::overlay::{Overlay, Planned};

/// The difference between the machine and an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The machine is already so.
    Nothing,
    /// A file or directory that is not there.
    Create,
    /// A file with other content; what it was, where that is a file at all.
    Replace {
        /// The content before.
        before: Option<Vec<u8>>,
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

/// What is at a path, a symlink not followed.
enum Present {
    Nothing,
    File { content: Vec<u8>, mode: u32, owner: Option<(u32, u32)> },
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
            // Applying it fails with the reason; nothing is removed that nobody asked to remove.
            Present::File { .. } | Present::Other => Change::Create,
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

/// As [`examine`], for a file: its content is not copied to be looked at.
pub(crate) fn examine_file(file: &FileEffect, overlay: &Overlay, identity: &Identity) -> io::Result<Change> {
    Ok(match present(&file.path, overlay)? {
        Present::Nothing => Change::Create,
        Present::File { content, mode, owner } if content == file.content.bytes() => {
            attributes(mode, file.mode, owner, identity.owner(file.owner))
        }
        Present::File { content, .. } => Change::Replace { before: Some(content) },
        Present::Directory { .. } | Present::Other => Change::Replace { before: None },
    })
}

fn attributes(mode: u32, wanted: u32, owner: Option<(u32, u32)>, wanted_owner: Option<(u32, u32)>) -> Change {
    let mode = (mode != wanted).then_some(mode);
    let owner = owner.zip(wanted_owner).and_then(|(owner, wanted)| (owner != wanted).then_some(owner));
    match (mode, owner) {
        (None, None) => Change::Nothing,
        (mode, owner) => Change::Attributes { mode, owner },
    }
}

fn present(path: &Path, overlay: &Overlay) -> io::Result<Present> {
    match overlay.planned(path) {
        Some(Planned::File { content, mode }) => {
            return Ok(Present::File { content: content.clone(), mode: *mode, owner: None });
        }
        Some(Planned::Directory { mode, .. }) => return Ok(Present::Directory { mode: *mode, owner: None }),
        Some(Planned::Absent) => return Ok(Present::Nothing),
        None if overlay.hidden(path) => return Ok(Present::Nothing),
        None => {}
    }
    let Some(metadata) = overlay.disk().metadata(path)? else { return Ok(Present::Nothing) };
    let (mode, owner) = (metadata.mode() & 0o7777, Some((metadata.uid(), metadata.gid())));
    if metadata.is_dir() {
        return Ok(Present::Directory { mode, owner });
    }
    if !metadata.is_file() {
        return Ok(Present::Other);
    }
    match overlay.disk().read(path) {
        Ok(content) => Ok(Present::File { content, mode, owner }),
        // What cannot be read can still be replaced, if its directory can be written.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Present::Other),
        Err(error) => Err(error),
    }
}
