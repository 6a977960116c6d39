//! Removes what a run has left on the cluster: exactly that.
//!
//! Invariants:
//! - What goes is named by the run: its data folder and archive, directly in the data path, and its lists and logs. The data
//!   path is entered by its true path, and from there names of one component are used: no link on the way is followed, and
//!   one that is put there meanwhile leads nowhere. What is itself a link is refused.
//! - A data folder that another run uses stays. Who uses it says so by a file of the run's name in `.in-use/` in it
//!   ([`mark_in_use`]). Before anything is removed the folder is renamed, so that nobody can begin to use it in between:
//!   a mark that comes too late fails, and one that came in time brings the folder back.
//! - File systems that are mounted below stay, where `rm` can tell (`--one-file-system` of GNU's).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::Layout;
use super::{BadName, Error};
use crate::cluster::Cluster;
use crate::command::{Command, Status};

/// Removing millions of files takes long.
const DEADLINE: Duration = Duration::from_secs(6 * 3_600);

/// `DATA_PATH NAME RUN MODE LIST LOG…`, from the login folder. Answers `BYTES PATH` for each thing, ended by NUL.
const CLEAN: &str = r#"
CDPATH=
name=$2 run=$3 mode=$4
home=$(pwd -P) || exit 1
refuse() { printf '%s\0%s' "$1" "$2" >&2; exit 46; }
size() { find "$1" -type f -printf '%s\n' 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
one=
rm -f --one-file-system 2>/dev/null && one=--one-file-system
# TOLD THING: both directly in the folder that we are in.
take() {
    printf '%s %s\0' "$(size "$2")" "$1"
    [ "$mode" = dry ] || rm -rf $one -- "$2" || exit 1
}
# THING TOLD
file() {
    [ ! -L "$1" ] || refuse "$2" "it is a symbolic link"
    [ -e "$1" ] || return 0
    [ -f "$1" ] || refuse "$2" "it is no file"
    take "$2" "$1"
}
# FOLDER TOLD
unused() {
    for mark in "$1"/.in-use/*; do
        { [ -e "$mark" ] || [ -L "$mark" ]; } || continue
        [ "${mark##*/}" = "$run" ] && continue
        [ "$1" = "./$name" ] || mv "$1" "./$name"
        refuse "$2" "the run ${mark##*/} uses it"
    done
}
root=
if [ -d "$1" ]; then
    cd -P -- "$1" || exit 1
    root=$(pwd -P)
    [ "$root" != / ] || refuse "$1" "the data path is the root folder"
    case $home/ in "$root"/*) refuse "$1" "the login folder is in the data path" ;; esac
    folder=./$name away=./.$name.removing
    [ ! -L "$folder" ] || refuse "$root/$name" "it is a symbolic link"
    [ ! -L "$away" ] || refuse "$root/.$name.removing" "it is a symbolic link"
    # What a call that was killed has left.
    if [ -d "$away" ]; then take "$root/.$name.removing" "$away"; fi
    if [ -d "$folder" ]; then
        unused "$folder" "$root/$name"
        if [ "$mode" != dry ]; then
            mv "$folder" "$away" || exit 1
            unused "$away" "$root/$name"
            folder=$away
        fi
        take "$root/$name" "$folder"
    elif [ -e "$folder" ]; then
        refuse "$root/$name" "it is no folder"
    fi
    file "./$name.zip" "$root/$name.zip"
    for beside in "./.$name.zip.sent" "./.$name.zip.incoming"; do
        [ ! -L "$beside" ] || refuse "$root/$beside" "it is a symbolic link"
        if [ -d "$beside" ]; then take "$root/${beside#./}" "$beside"; fi
    done
fi
shift 4
for path; do
    cd "$home" || exit 1
    case $path in */*) cd -P -- "${path%/*}/" 2>/dev/null || continue ;; esac
    here=$(pwd -P)
    if [ "$here" != "$home" ]; then
        [ -n "$root" ] || refuse "$path" "it is not in the login folder"
        case $here/ in "$root"/*) ;; *) refuse "$path" "it is neither in the login folder nor in the data path" ;; esac
    fi
    file "./${path##*/}" "$here/${path##*/}"
done
"#;

/// What a run has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debris {
    /// Its data folder, and what is named after it.
    pub layout: Layout,
    /// The run's name, under which it has marked the folder as used; a mark of its own is no obstacle.
    pub run: String,
    /// Its logs: files in the login folder or in the data path, whose names end in `.log`, `.out` or `.err`.
    pub logs: Vec<PathBuf>,
}

/// Something that is removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its true path on the cluster.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// In the order of removal.
    pub removals: Vec<Removal>,
}

impl Cleaned {
    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.removals.iter().map(|removal| removal.bytes).sum()
    }
}

/// Removes it; with `dry_run`, only tells what would go. `still_used` is what the caller knows: a reason why the data folder
/// has to stay, such as a job that has not ended.
///
/// # Errors
/// Something is not the run's or is still used: then nothing after it is removed either.
pub async fn clean(
    cluster: &Cluster,
    debris: &Debris,
    dry_run: bool,
    still_used: impl Fn(&Layout) -> Option<String>,
) -> Result<Cleaned, Error> {
    let host = cluster.name().to_owned();
    let refused = |path: PathBuf, reason: String| Error::NotRemoved { path, host: host.clone(), reason };
    if let Some(reason) = still_used(&debris.layout) {
        return Err(refused(debris.layout.folder(), reason));
    }
    for log in &debris.logs {
        let name = log.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let is_log = [&b".log"[..], b".out", b".err"].iter().any(|ending| name.ends_with(ending));
        if name.starts_with(b".") || !is_log {
            return Err(refused(log.clone(), "it is not named as a log is (.log, .out, .err)".to_owned()));
        }
    }
    let command = Command::shell(CLEAN)
        .arg(debris.layout.data_path())
        .arg(debris.layout.name())
        .arg(&debris.run)
        .arg(if dry_run { "dry" } else { "remove" })
        .arg(debris.layout.conversion_list())
        .args(&debris.logs)
        .deadline(DEADLINE);
    let output = cluster.run(&command).await?;
    match output.status {
        Status::Exited(0) => {}
        Status::Exited(46) => {
            let mut parts = output.stderr.splitn(2, |byte| *byte == 0);
            let path = PathBuf::from(OsStr::from_bytes(parts.next().unwrap_or_default()));
            let reason = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
            return Err(refused(path, reason));
        }
        _ => return Err(Error::there("remove", debris.layout.folder(), &host, &output.stderr)),
    }
    let mut cleaned = Cleaned::default();
    for item in output.stdout.split(|byte| *byte == 0).filter(|item| !item.is_empty()) {
        let space = item.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let bytes = item.get(..space).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
        let path = PathBuf::from(OsStr::from_bytes(item.get(space + 1..).unwrap_or_default()));
        cleaned.removals.push(Removal { path, bytes: bytes.unwrap_or(0) });
    }
    Ok(cleaned)
}

/// Says that a run uses a data folder, until [`unmark_in_use`].
///
/// # Errors
/// There is no such folder (any more), or the run's name is none.
pub async fn mark_in_use(cluster: &Cluster, layout: &Layout, run: &str) -> Result<(), Error> {
    let command =
        Command::shell(r#"mkdir -p .in-use && : >".in-use/$1""#).arg(checked(run)?).folder(layout.folder());
    done(cluster, command, "mark as used", &layout.folder()).await
}

/// Says that a run uses a data folder no longer; fine where it did not.
///
/// # Errors
/// The mark cannot be removed.
pub async fn unmark_in_use(cluster: &Cluster, layout: &Layout, run: &str) -> Result<(), Error> {
    let command = Command::shell(
        r#"cd -- "$1" 2>/dev/null || exit 0; rm -f ".in-use/$2"; rmdir .in-use 2>/dev/null || :"#,
    );
    let command = command.arg(layout.folder()).arg(checked(run)?);
    done(cluster, command, "mark as no longer used", &layout.folder()).await
}

/// A run's name has to be one that a folder could have.
fn checked(run: &str) -> Result<&str, Error> {
    match Layout::new("", run) {
        Ok(_) => Ok(run),
        Err(error) => Err(bad(&error)),
    }
}

fn bad(error: &BadName) -> Error {
    Error::Here {
        action: "use the run's name",
        path: PathBuf::new(),
        source: std::io::Error::other(error.to_string()),
    }
}

async fn done(cluster: &Cluster, command: Command, action: &'static str, path: &Path) -> Result<(), Error> {
    let output = cluster.run(&command.repeatable()).await?;
    if output.status.is_success() {
        return Ok(());
    }
    Err(Error::there(action, path, cluster.name(), &output.stderr))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            for name in ["data/run/data/in", "data/other/data/in", "outside"] {
                fs::create_dir_all(folder.path().join(name)).expect("a folder");
            }
            for name in
                ["data/run/data/in/a", "data/run.zip", "data/run/job.log", "data/other.zip", "outside/b.log"]
            {
                fs::write(folder.path().join(name), "12345").expect("a file");
            }
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn debris(&self, name: &str) -> Debris {
            let layout = Layout::new(self.path("data"), name).expect("a name");
            Debris { layout, run: "run-1".to_owned(), logs: Vec::new() }
        }

        async fn clean(&self, debris: &Debris, dry_run: bool) -> Result<Cleaned, Error> {
            clean(&Cluster::local(), debris, dry_run, |_| None).await
        }
    }

    #[tokio::test]
    async fn what_the_run_made_goes_and_nothing_else_and_a_dry_run_tells_the_same() {
        let scene = Scene::new();
        symlink(scene.path("outside"), scene.path("data/run/link")).expect("a link");
        let debris = scene.debris("run");
        let told = scene.clean(&debris, true).await.expect("a dry run");
        assert!(scene.path("data/run/data/in/a").exists() && scene.path("data/run.zip").exists());
        let done = scene.clean(&debris, false).await.expect("a removal");
        assert_eq!(told, done);
        assert_eq!(done.bytes(), 15);
        assert!(!scene.path("data/run").exists() && !scene.path("data/run.zip").exists());
        assert!(scene.path("data/other/data/in").exists() && scene.path("data/other.zip").exists());
        assert!(scene.path("outside/b.log").exists(), "a link was followed");
        assert_eq!(fs::read_dir(scene.path("data")).expect("a folder").count(), 2);
        assert_eq!(scene.clean(&debris, false).await.expect("nothing is left"), Cleaned::default());
    }

    #[tokio::test]
    async fn what_is_a_link_or_leads_outside_is_refused_and_stays() {
        let scene = Scene::new();
        symlink(scene.path("outside"), scene.path("data/linked")).expect("a link");
        symlink(scene.path("outside/b.log"), scene.path("data/zipped.zip")).expect("a link");
        fs::create_dir(scene.path("data/zipped")).expect("a folder");
        fs::create_dir(scene.path("data/logged")).expect("a folder");
        symlink(scene.path("outside"), scene.path("data/logged/way")).expect("a link");
        for (name, log) in [
            ("linked", None),
            ("zipped", None),
            ("run", Some(scene.path("outside/b.log"))),
            ("run", Some(scene.path("data/../outside/b.log"))),
            ("logged", Some(scene.path("data/logged/way/b.log"))),
            ("run", Some(PathBuf::from("/etc/passwd"))),
            ("run", Some(PathBuf::from(".ssh/.log"))),
        ] {
            let mut debris = scene.debris(name);
            debris.logs.extend(log.clone());
            let refused = scene.clean(&debris, true).await.expect_err("it is refused");
            assert!(matches!(refused, Error::NotRemoved { .. }), "{name}, {log:?}: {refused}");
            let _ = scene.clean(&debris, false).await;
            assert!(scene.path("outside/b.log").exists(), "{name}, {log:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_another_run_uses_stays_until_it_does_no_longer() {
        let (scene, cluster) = (Scene::new(), Cluster::local());
        let debris = scene.debris("run");
        mark_in_use(&cluster, &debris.layout, "run-1").await.expect("a mark");
        mark_in_use(&cluster, &debris.layout, "run-2").await.expect("a mark");
        for dry_run in [true, false] {
            let refused = scene.clean(&debris, dry_run).await.expect_err("it is used");
            assert!(refused.to_string().contains("the run run-2 uses it"), "{refused}");
            assert!(scene.path("data/run/data/in/a").exists());
        }
        unmark_in_use(&cluster, &debris.layout, "run-2").await.expect("no mark");
        let known = clean(&cluster, &debris, false, |_| Some("job 7 has not ended".to_owned())).await;
        assert!(known.expect_err("the caller knows").to_string().contains("job 7 has not ended"));
        scene.clean(&debris, false).await.expect("it is free");
        assert!(!scene.path("data/run").exists());
        assert!(mark_in_use(&cluster, &debris.layout, "run-3").await.is_err(), "there is nothing to be used");
        for name in ["../x", "", "-x", "a/b"] {
            assert!(mark_in_use(&cluster, &scene.debris("other").layout, name).await.is_err(), "{name:?}");
        }
    }

    #[tokio::test]
    async fn what_a_killed_call_has_left_goes_with_the_next() {
        let scene = Scene::new();
        fs::rename(scene.path("data/run"), scene.path("data/.run.removing")).expect("a folder");
        let done = scene.clean(&scene.debris("run"), false).await.expect("a removal");
        assert_eq!(done.bytes(), 15);
        assert!(!scene.path("data/.run.removing").exists());
    }
}
