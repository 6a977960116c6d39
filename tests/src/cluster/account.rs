//! A user of the machine that exists as long as its owner: who logs in, and whose jobs run.
//!
//! Its name holds the id of the process that made it, so that a later one removes what a killed one has left.

use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use super::step;
use crate::{Result, Trouble, process, wait};

/// For `useradd` and `userdel`: each waits for a lock that others hold.
const DEADLINE: Duration = Duration::from_secs(60);

/// A user and its home folder; removed with all its processes when dropped.
#[derive(Debug)]
pub(super) struct Account {
    user: User,
}

impl Account {
    /// Makes a user whose home is below `folder`.
    pub(super) fn new(folder: &Path, shell: &str) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Trouble::new("a test cluster adds a user to the machine: run the tests as root"));
        }
        if !Path::new(shell).exists() {
            return Err(Trouble::new(format!("the login shell {shell} is not installed")));
        }
        remove_abandoned();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("bm{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let home = folder.join("home").join(&name);
        let mut useradd = Command::new("useradd");
        // A password of `!` is a locked account, which sshd refuses even to a key when it has no PAM.
        useradd.args([
            "--no-create-home",
            "--no-log-init",
            "--password",
            "*",
            "--shell",
            shell,
            "--home-dir",
        ]);
        useradd.arg(&home).arg(&name);
        let mut failure = None;
        let added = wait::until("a place in the list of users", DEADLINE, &[], || {
            match process::succeed(&mut useradd, DEADLINE) {
                Ok(_) => Some(()),
                Err(trouble) => {
                    failure = Some(trouble);
                    None
                }
            }
        });
        added.map_err(|late| failure.unwrap_or(late))?;
        let account = Self { user: find(&name)? };
        account.make_home(&home)?;
        Ok(account)
    }

    /// The name that it logs in with.
    pub(super) fn name(&self) -> &str {
        &self.user.name
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.user.uid.as_raw()
    }

    /// The id of its group.
    pub(super) fn group(&self) -> u32 {
        self.user.gid.as_raw()
    }

    /// Its home folder.
    pub(super) fn home(&self) -> PathBuf {
        self.user.dir.clone()
    }

    fn make_home(&self, home: &Path) -> Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(home)
            .and_then(|()| chown(home, Some(self.id()), Some(self.group())))
            .map_err(Trouble::doing(format!("make {}", home.display())))
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        remove(&self.user);
    }
}

fn find(name: &str) -> Result<User> {
    User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| Trouble::new(format!("there is no user {name} although it was added")))
}

/// `userdel` refuses as long as a process of the user still ends.
fn remove(user: &User) {
    let _ = wait::until("the end of a user", DEADLINE, &[], || {
        for process in processes_of(user.uid.as_raw()) {
            let _ = kill(process, Signal::SIGKILL);
        }
        let removed = process::output(Command::new("userdel").arg(&user.name), DEADLINE);
        let gone = User::from_name(&user.name).is_ok_and(|found| found.is_none());
        (gone || removed.is_err()).then_some(())
    });
}

/// The users of test processes that are no more.
fn remove_abandoned() {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split(':').next());
    for name in names.filter(|name| maker(name).is_some_and(is_gone)) {
        if let Ok(Some(user)) = User::from_name(name)
            && let Some(folder) = cluster_of(&user.dir)
        {
            // The steps of its jobs are root's.
            step::end(folder);
            remove(&user);
        }
    }
}

/// The process that has made a user of this name, if it is one of ours.
fn maker(name: &str) -> Option<u32> {
    let (process, number) = name.strip_prefix("bm")?.split_once('x')?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

/// The folder of the cluster that a home is below, if that is a scratch folder: somebody else's user of such a name is
/// left alone.
fn cluster_of(home: &Path) -> Option<&Path> {
    let folder = home.parent()?.parent()?;
    folder.to_str()?.starts_with("/tmp/biomero-").then_some(folder)
}

fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

fn processes_of(user: u32) -> Vec<Pid> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == user))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{cluster_of, maker};

    #[test]
    fn only_homes_below_a_scratch_folder_are_a_clusters() {
        for (home, folder) in [
            ("/tmp/biomero-ab/home/bm1x0", Some("/tmp/biomero-ab")),
            ("/home/bm1x0", None),
            ("/", None),
            ("/srv/x/home/bm1x0", None),
        ] {
            assert_eq!(cluster_of(Path::new(home)), folder.map(Path::new), "{home}");
        }
    }

    #[test]
    fn only_users_of_tests_have_a_maker() {
        for (name, process) in [
            ("bm12x0", Some(12)),
            ("bm12", None),
            ("bmx", None),
            ("bm12x", None),
            ("bob", None),
            ("bm1xa", None),
        ] {
            assert_eq!(maker(name), process, "{name}");
        }
    }
}
