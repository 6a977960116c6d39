//! Results into a folder of this machine.
//!
//! Invariants: the folder has its name once it is whole; what is moved is known by the number of its folder, which is kept
//! before, so that a second call knows its own work from a folder that somebody else has made meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use biomero_workflow::{Failure, Memory, Problem, Remedy, Results, Step, Work};
use uuid::Uuid;

use super::memory::Remembered;

/// Where results are put together: beside where they go, on the same file system.
pub(super) fn staged(results: &Results, id: Uuid, folder: &Path) -> PathBuf {
    let staging = match results {
        Results::Directory(target) => {
            let name = target.file_name().unwrap_or_default().to_string_lossy();
            // Of a long name as much as leaves room for the rest.
            let name: String = name.chars().take(40).collect();
            target.with_file_name(format!(".{name}.{}", id.simple()))
        }
        Results::Omero(_) => folder.join(id.to_string()).join("home"),
    };
    staging.join("results")
}

/// Whether results could go there.
pub(super) fn admit(results: &Results) -> Vec<Problem> {
    match results {
        Results::Directory(target) => {
            let mut problems = Vec::new();
            match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(false) => problems.push(Problem::new(
                    "results",
                    format!("{} is there already: name a new folder", target.display()),
                )),
                Err(error) => {
                    problems.push(Problem::new("results", format!("{}: {error}", target.display())));
                }
            }
            problems
        }
        Results::Omero(_) => Vec::new(),
    }
}

/// Moves what was fetched to where it goes.
pub(super) async fn deliver<M: Memory>(work: &Work, folder: &Path, memory: &M) -> Result<String, Failure> {
    let Results::Directory(target) = &work.request.results else {
        return Err(Failure::new(Step::Deliver, "its results go to OMERO, not into a folder", Remedy::None));
    };
    let staged = staged(&work.request.results, work.id, folder);
    let mut remembered = Remembered::of(work);
    let failed = |action: &str, path: &Path, error: &io::Error| {
        let reason = format!("cannot {action} {}: {error}", path.display());
        Failure::new(Step::Deliver, reason, remedy(error))
    };
    match identity(&staged) {
        Ok(identity) => {
            if remembered.delivering != Some(identity) {
                remembered.delivering = Some(identity);
                let value = serde_json::to_value(&remembered).unwrap_or_default();
                let kept = memory.keep(value).await;
                kept.map_err(|error| Failure::new(Step::Deliver, error.to_string(), Remedy::Wait))?;
            }
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|error| failed("make", parent, &error))?;
            }
            // A folder takes the place of nothing but an empty one.
            fs::rename(&staged, target).map_err(|error| failed("move results to", target, &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_ours = identity(target).is_ok_and(|there| Some(there) == remembered.delivering);
            if !is_ours {
                let reason = format!("what was fetched is gone from {}: ask for a retry", staged.display());
                return Err(Failure::new(Step::Deliver, reason, Remedy::None));
            }
        }
        Err(error) => return Err(failed("find", &staged, &error)),
    }
    let entries = fs::read_dir(target).map_err(|error| failed("read", target, &error))?.count();
    Ok(format!("{entries} files and folders in {}", target.display()))
}

/// Removes what results were put together in.
pub(super) fn clear(results: &Results, id: Uuid, folder: &Path) -> io::Result<()> {
    match staged(results, id, folder).parent() {
        Some(staging) => remove(staging),
        None => Ok(()),
    }
}

/// Removes a folder; that it is not there is fine.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether it may go better later.
pub(super) fn remedy(error: &io::Error) -> Remedy {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::TimedOut
        | io::ErrorKind::ResourceBusy => Remedy::Wait,
        _ => Remedy::None,
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use biomero_workflow::{Error, Input, Machine, Policy, Request};

    use super::*;

    #[derive(Default)]
    struct Row(Mutex<serde_json::Value>);

    impl Memory for Row {
        async fn keep(&self, value: serde_json::Value) -> Result<(), Error> {
            *self.0.lock().expect("nobody panics with it") = value;
            Ok(())
        }
    }

    fn work(target: &Path) -> Work {
        let request = Request {
            workflow: "copy".to_owned(),
            version: None,
            inputs: vec![Input::Path("/in".into())],
            parameters: Vec::new(),
            user: -1,
            group: -1,
            results: Results::Directory(target.to_owned()),
            policy: Policy::default(),
        };
        Work { id: Uuid::from_u128(7), request, machine: Machine::new("v1".to_owned(), Step::ALL.to_vec()) }
    }

    fn fetched(work: &Work) -> PathBuf {
        let staged = staged(&work.request.results, work.id, Path::new("/unused"));
        fs::create_dir_all(&staged).and_then(|()| fs::write(staged.join("a.csv"), "1")).expect("results");
        staged
    }

    async fn delivered(work: &Work, row: &Row) -> Result<String, Failure> {
        let memory = row.0.lock().expect("nobody panics with it").clone();
        let mut work = work.clone();
        work.machine.memory = memory;
        deliver(&work, Path::new("/unused"), row).await
    }

    #[tokio::test]
    async fn results_are_moved_once_and_known_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (work, row) = (work(&folder.path().join("results")), Row::default());
        let staged = fetched(&work);
        delivered(&work, &row).await.expect("they are moved");
        assert!(!staged.exists());
        // As after a crash behind the rename.
        delivered(&work, &row).await.expect("they are known again");
        clear(&work.request.results, work.id, Path::new("/unused")).expect("nothing is left");
        let names: Vec<_> =
            fs::read_dir(folder.path()).expect("a folder").flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, ["results"]);
    }

    #[tokio::test]
    async fn what_somebody_else_has_put_there_is_neither_replaced_nor_taken_for_the_results() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("results");
        let (work, row) = (work(&target), Row::default());
        let staged = fetched(&work);
        fs::create_dir_all(&target).and_then(|()| fs::write(target.join("mine"), "")).expect("a folder");
        let failure = delivered(&work, &row).await.expect_err("it is not empty");
        assert_eq!(failure.remedy, Remedy::None, "{failure}");
        assert!(target.join("mine").exists() && staged.join("a.csv").exists());
        fs::remove_dir_all(&staged).expect("it goes");
        assert!(delivered(&work, &row).await.is_err(), "that folder is not ours");
    }
}
