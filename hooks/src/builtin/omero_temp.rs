//! `omero-temp`: a temporary and a session directory in which OMERO's programs can write and lock files.
//!
//! A processor that cannot lock a file in its temporary directory stays down while everything else looks well; the
//! usual reason is a directory that an earlier container left on a volume under another user id. Rules:
//!
//! - a directory of the service user gets mode 700; what stands in the way one level further down
//!   (`omero_USER`, `sessions`) is moved aside when it is another's;
//! - another's directory that the service user can write in, as a mounted volume, stays, and a directory `uid-N` in
//!   it is used;
//! - anything else is renamed to `NAME.moved-aside`, and a fresh directory takes its place.
//!
//! `OMERO_TMPDIR` and `OMERO_USERDIR` tell services the outcome; `OMERO_SESSIONDIR`, which is below the latter
//! unless it is set, is left to who set it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::context::{Context, FileFact, Need};
use crate::effect::{Effect, Owner};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct OmeroTempHook;

/// How many directories may have been moved aside before someone must look.
const MOST_ASIDE: usize = 9;

impl Hook for OmeroTempHook {
    fn name(&self) -> &'static str {
        "omero-temp"
    }

    fn summary(&self) -> &'static str {
        "prepares temporary and session directories of the service user's own, moving aside what is another's"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let mut paths = Vec::new();
        for place in [Place::user(context), Place::temporary(context)] {
            paths.extend(place.path.parent().map(Path::to_owned));
            for path in [place.slot(context), place.inner(), place.path] {
                paths.extend(asides(&path));
                paths.push(path);
            }
        }
        paths.into_iter().map(Need::File).collect()
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let user = Place::user(context);
        let mut preparation = Preparation { context, effects: Vec::new(), moved: Vec::new() };
        let user_directory = preparation.prepare(&user)?;
        let temporary_directory = preparation.prepare(&Place::temporary(context))?;
        let mut effects = preparation.effects;
        for (name, path) in [("OMERO_TMPDIR", temporary_directory), ("OMERO_USERDIR", user_directory)] {
            let value = path.to_string_lossy().as_ref().into();
            effects.push(Effect::Variable { name: name.to_owned(), value: Some(value) });
        }
        Ok(effects)
    }
}

/// One of the two directories.
struct Place {
    setting: &'static str,
    variable: &'static str,
    path: PathBuf,
    /// What OMERO's programs make in it.
    inner: String,
}

impl Place {
    fn user(context: &Context<'_>) -> Self {
        Self {
            setting: "temporary.user_directory",
            variable: "OMERO_USERDIR",
            path: context.settings.temporary.user_directory.clone(),
            inner: "sessions".to_owned(),
        }
    }

    fn temporary(context: &Context<'_>) -> Self {
        Self {
            setting: "temporary.directory",
            variable: "OMERO_TMPDIR",
            path: context.settings.temporary.directory.clone(),
            inner: format!("omero_{}", context.identity.service_name),
        }
    }

    fn inner(&self) -> PathBuf {
        self.path.join(&self.inner)
    }

    /// Our own directory in another's.
    fn slot(&self, context: &Context<'_>) -> PathBuf {
        self.path.join(format!("uid-{}", context.identity.service_uid))
    }
}

/// The names that a path may be moved to, in the order in which they are tried.
fn asides(path: &Path) -> impl Iterator<Item = PathBuf> {
    let aside = |number: usize| {
        let mut name = OsString::from(path);
        name.push(".moved-aside");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    (1..=MOST_ASIDE).map(aside).collect::<Vec<_>>().into_iter()
}

struct Preparation<'a> {
    context: &'a Context<'a>,
    effects: Vec<Effect>,
    moved: Vec<PathBuf>,
}

impl Preparation<'_> {
    /// What is at a path by now.
    fn fact(&self, path: &Path) -> &FileFact {
        let gone = self.moved.iter().any(|moved| path.starts_with(moved));
        if gone { &FileFact::Absent } else { self.context.facts.file(path) }
    }

    /// Makes the place usable and tells which directory is to be used.
    fn prepare(&mut self, place: &Place) -> Result<PathBuf, HookError> {
        if !place.path.is_absolute() || place.path.file_name().is_none() {
            return Err(HookError::Invalid {
                place: place.setting.to_owned(),
                problem: format!("{} cannot be a directory of OMERO's alone", place.path.display()),
                remedy: format!(
                    "set it, or {}, to an absolute path, as /opt/omero/server/tmp",
                    place.variable
                ),
            });
        }
        let service = self.context.identity.service_uid;
        match self.fact(&place.path).clone() {
            FileFact::Unreadable(reason) => {
                return Err(HookError::Input {
                    path: place.path.clone(),
                    reason,
                    remedy: format!(
                        "let uid {service} into the directories above it, or set {}",
                        place.variable
                    ),
                });
            }
            FileFact::Directory { uid, .. } if uid == service => {
                let inner = place.inner();
                self.create(&place.path);
                if self.is_in_the_way(&inner) {
                    self.move_aside(place, &inner)?;
                }
            }
            FileFact::Directory { uid, writable: true, .. } => {
                let slot = place.slot(self.context);
                if self.is_in_the_way(&slot) {
                    self.move_aside(place, &slot)?;
                }
                self.create(&slot);
                self.notice(format!(
                    "{} belongs to uid {uid}, so {} is used as {}",
                    place.path.display(),
                    slot.display(),
                    place.variable
                ));
                return Ok(slot);
            }
            FileFact::Absent => {
                self.check_parent(place)?;
                self.create(&place.path);
            }
            FileFact::Directory { .. } | FileFact::File { .. } | FileFact::Other(_) => {
                self.move_aside(place, &place.path)?;
                self.create(&place.path);
            }
        }
        Ok(place.path.clone())
    }

    /// Refuses a place that can be known beforehand not to come into being.
    fn check_parent(&self, place: &Place) -> Result<(), HookError> {
        let init = self.context.identity.uid;
        let Some(parent) = place.path.parent() else { return Ok(()) };
        match self.fact(parent) {
            FileFact::Directory { uid, mode, writable: false } if init != 0 && *uid != init => {
                Err(HookError::Invalid {
                    place: format!("{} ({})", place.path.display(), place.setting),
                    problem: format!(
                        "cannot be made: {} belongs to uid {uid} with mode {mode:o}, and init is uid {init}",
                        parent.display()
                    ),
                    remedy: format!(
                        "set {} to a path that uid {init} can make, or mount a volume there",
                        place.variable
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether something is there that the service user can neither use nor make its own by a mode.
    fn is_in_the_way(&self, path: &Path) -> bool {
        match self.fact(path) {
            FileFact::Absent => false,
            FileFact::Directory { uid, .. } => *uid != self.context.identity.service_uid,
            FileFact::File { .. } | FileFact::Other(_) | FileFact::Unreadable(_) => true,
        }
    }

    fn create(&mut self, path: &Path) {
        self.effects.push(Effect::Directory {
            path: path.to_owned(),
            mode: 0o700,
            owner: Owner::ServiceUser,
        });
    }

    fn notice(&mut self, text: String) {
        self.effects.push(Effect::Notice(text));
    }

    fn move_aside(&mut self, place: &Place, path: &Path) -> Result<(), HookError> {
        let service = self.context.identity.service_uid;
        let what = match self.fact(path) {
            FileFact::Directory { uid, mode, .. } => format!("belongs to uid {uid} with mode {mode:o}"),
            FileFact::File { uid, .. } => format!("is a file of uid {uid}"),
            FileFact::Other(kind) => format!("is a {kind}"),
            FileFact::Unreadable(reason) => reason.clone(),
            FileFact::Absent => return Ok(()),
        };
        if !self.may_rename_in(path.parent().unwrap_or(path), path) {
            return Err(HookError::Invalid {
                place: format!("{} ({})", path.display(), place.setting),
                problem: format!("{what}, and uid {} cannot rename it", self.context.identity.uid),
                remedy: format!(
                    "type: chown -R {service} {} (for a volume, on the host), or set {} to another path",
                    path.display(),
                    place.variable
                ),
            });
        }
        let to =
            asides(path).find(|to| *self.fact(to) == FileFact::Absent).ok_or_else(|| HookError::Invalid {
                place: format!("{} ({})", path.display(), place.setting),
                problem: format!("{what}, and {MOST_ASIDE} others were moved aside before it"),
                remedy: format!("type: rm -r {}.moved-aside*", path.display()),
            })?;
        self.notice(format!(
            "{} {what}, where OMERO's programs of uid {service} could not lock a file: it is moved to {}; remove that when nobody needs it",
            path.display(),
            to.display()
        ));
        self.effects.push(Effect::MoveAside { path: path.to_owned(), to, reason: what });
        self.moved.push(path.to_owned());
        Ok(())
    }

    /// Whether `init` can rename an entry of a directory: its own directory, or one that everyone may and no sticky
    /// bit protects the entry.
    fn may_rename_in(&self, parent: &Path, entry: &Path) -> bool {
        const STICKY: u32 = 0o1000;
        let init = self.context.identity.uid;
        let owner = match self.fact(entry) {
            FileFact::Directory { uid, .. } | FileFact::File { uid, .. } => Some(*uid),
            _ => None,
        };
        match self.fact(parent) {
            _ if init == 0 => true,
            FileFact::Directory { uid, mode, writable } => {
                *uid == init || (*writable && (mode & STICKY == 0 || owner == Some(init)))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
