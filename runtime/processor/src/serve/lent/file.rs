//! Where lent sessions are kept: a file for each workflow, which its owner alone can read.
//!
//! Invariants: a file has its name once it is whole; the workflows of a batch have one file under several names, so that
//! whoever takes away the last one knows it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A file is never longer.
const LONGEST: u64 = 4096;

/// A session that a workflow was lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lent {
    /// Its id: whoever has it is let in.
    pub(super) session: Secret<String>,
    /// Whether it was made for the workflow alone; else it is that of whoever asked.
    pub(super) is_own: bool,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    session: String,
    own: bool,
}

/// The folder of the files.
#[derive(Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    /// In this folder, which is made when something is kept.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// Keeps it for all of these. False where the first has one already: nothing was kept then.
    pub(super) fn keep(&self, ids: &[Uuid], lent: &Lent) -> io::Result<bool> {
        let Some((first, others)) = ids.split_first() else { return Ok(true) };
        let whole = self.write(lent)?;
        let first = self.path(*first);
        let named = named(&whole.0, &first)?;
        if named {
            for other in others {
                self::named(&whole.0, &self.path(*other))?;
            }
        }
        Ok(named)
    }

    /// Keeps it in place of what was kept before.
    pub(super) fn replace(&self, ids: &[Uuid], lent: &Lent) -> io::Result<()> {
        let Some((first, others)) = ids.split_first() else { return Ok(()) };
        let whole = self.write(lent)?;
        let first = self.path(*first);
        fs::rename(&whole.0, &first)?;
        for other in others {
            // A link takes the place of nothing: it gets a name of its own first.
            let beside = Partial(self.beside());
            fs::hard_link(&first, &beside.0)?;
            fs::rename(&beside.0, self.path(*other))?;
        }
        Ok(())
    }

    /// What is kept for a workflow.
    pub(super) fn read(&self, id: Uuid) -> io::Result<Option<Lent>> {
        match File::open(self.path(id)) {
            Ok(file) => read(&file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets what was kept for a workflow; it, where no other workflow has it too.
    pub(super) fn take(&self, id: Uuid) -> io::Result<Option<Lent>> {
        let path = self.path(id);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let lent = read(&file);
        fs::remove_file(&path)?;
        let is_last = file.metadata()?.nlink() == 0;
        // What cannot be read is of no use to anybody.
        Ok(lent.ok().filter(|_| is_last))
    }

    /// All workflows that something is kept for, and since when.
    pub(super) fn all(&self) -> io::Result<Vec<(Uuid, Duration)>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(changed) = entry.metadata().and_then(|found| found.modified()) else { continue };
            all.push((id, changed.elapsed().unwrap_or_default()));
        }
        Ok(all)
    }

    /// A file without a workflow's name, which goes unless it is given one.
    fn write(&self, lent: &Lent) -> io::Result<Partial> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let partial = Partial(self.beside());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial.0)?;
        let written = Written { session: lent.session.reveal().clone(), own: lent.is_own };
        file.write_all(&serde_json::to_vec(&written)?)?;
        Ok(partial)
    }

    fn beside(&self) -> PathBuf {
        self.0.join(format!(".{}", Uuid::new_v4().simple()))
    }
}

/// A file that goes with whoever holds this; once it was renamed there is none.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Gives a file one more name; false where something has it already.
fn named(file: &Path, name: &Path) -> io::Result<bool> {
    match fs::hard_link(file, name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(file: &File) -> io::Result<Lent> {
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    let Written { session, own } = serde_json::from_slice(&text)?;
    Ok(Lent { session: Secret::new(session), is_own: own })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn lent(session: &str) -> Lent {
        Lent { session: Secret::new(session.to_owned()), is_own: true }
    }

    #[test]
    fn what_a_batch_was_lent_goes_with_its_last_workflow() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::new(folder.path().join("sessions"));
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        assert!(files.keep(&ids, &lent("a")).expect("it is kept"));
        assert!(!files.keep(&ids, &lent("b")).expect("it is there"), "the first counts");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&files.0), mode(&files.path(ids[0]))), (0o700, 0o600));
        assert_eq!(files.read(ids[1]).expect("a file"), Some(lent("a")));
        assert_eq!(files.take(ids[0]).expect("a file"), None, "the other one has it");
        assert_eq!(files.take(ids[1]).expect("a file"), Some(lent("a")));
        assert_eq!(files.take(ids[1]).expect("no file"), None);
        assert_eq!(fs::read_dir(&files.0).expect("a folder").count(), 0, "nothing is left beside");
    }

    #[test]
    fn one_that_is_lent_anew_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::new(folder.path().join("sessions"));
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        files.keep(&ids[..1], &lent("a")).expect("it is kept");
        files.replace(&ids, &lent("b")).expect("it is kept");
        let kept: Vec<Uuid> = files.all().expect("a folder").into_iter().map(|(id, _)| id).collect();
        assert_eq!(kept.len(), 2);
        assert_eq!(files.read(ids[0]).expect("a file"), Some(lent("b")));
        assert_eq!(files.take(ids[1]).expect("a file"), None);
        assert_eq!(files.take(ids[0]).expect("a file"), Some(lent("b")));
    }
}
