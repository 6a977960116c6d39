//! Zip archives on the cluster, for what still needs one: results of which the Python client wants a zip, and a zip that
//! was uploaded.
//!
//! Invariants: an archive has its name once it is complete and was tested; what is unpacked is in place once all of it is,
//! and holds no links. The setting `slurm_zip_cmd` is the administrator's and is a program in `sh`, as it is for Python; no
//! text of a user is part of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::Layout;
use super::{BadName, Error};
use crate::cluster::Cluster;
use crate::command::{Command, Status};

/// Packing takes as long as it takes.
const DEADLINE: Duration = Duration::from_secs(6 * 3_600);

/// `FORM SETTING`: defines `archive`, and `kind`.
macro_rules! archiver {
    () => {
        r#"
CDPATH=
case $1 in
    search)
        zip=
        for try in 7z 7za 7zz zip; do
            if command -v "$try" >/dev/null 2>&1; then zip=$try; break; fi
        done
        [ -n "$zip" ] || exit 48
        archive() { "$zip" "$@"; }
        ;;
    program)
        zip=$2
        command -v "$zip" >/dev/null 2>&1 || exit 48
        archive() { "$zip" "$@"; }
        ;;
    *)
        zip=$2
        eval "archive() { $2 \"\$@\"; }" || exit 48
        ;;
esac
case ${zip##*/} in
    zip | unzip) kind=zip ;;
    *) kind=7z ;;
esac
# Info-ZIP's two programs are in one folder.
case $zip in */*) beside=${zip%/*}/ ;; *) beside= ;; esac
"#
    };
}

/// `FORM SETTING NAME`, in the data folder.
const PACK: &str = concat!(
    archiver!(),
    r#"
part=$(pwd -P)/.$3.part.zip whole=$(pwd -P)/$3.zip
rm -f "$part"
cd data/out || exit 1
if [ "$kind" = zip ]; then
    archive -q -r "$part" . && "${beside}unzip" -tqq "$part" >/dev/null || exit 1
else
    archive a -y -tzip "$part" . >/dev/null && archive t "$part" >/dev/null || exit 1
fi
mv -f "$part" "$whole" && printf '%s\0' "$whole"
"#
);

/// `FORM SETTING ARCHIVE PATTERN…`, in the data folder.
const UNPACK: &str = concat!(
    archiver!(),
    r#"
zipped=$3
shift 3
mkdir -p data/out data/gt || exit 1
[ -f "$zipped" ] || { echo "there is no $zipped" >&2; exit 1; }
part=data/.in.unpacking
rm -rf "$part" && mkdir "$part" || exit 1
if [ "$kind" = zip ]; then
    "${beside}unzip" -q -o "$zipped" "$@" -d "$part" || [ $? -eq 11 ] || exit 1
else
    archive x -y -o"$part" "$zipped" "$@" >/dev/null || exit 1
fi
link=$(find "$part" -type l | head -n 1)
if [ -n "$link" ]; then
    rm -rf "$part"
    echo "the archive has a symbolic link: ${link#"$part"/}" >&2
    exit 1
fi
if [ -d data/in ]; then rmdir data/in || exit 45; fi
mv "$part" data/in
"#
);

/// The program that packs and unpacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archiver {
    /// The first that is there of `7z`, `7za`, `7zz` and `zip`.
    Search,
    /// This one, by name or path.
    Program(String),
    /// Words of `sh`, before the arguments: `nice 7z`, `module load p7zip && 7z`. It is taken for a 7-Zip.
    Expression(String),
}

impl Archiver {
    /// What the setting `slurm_zip_cmd` says. Nothing, and the expression that BIOMERO ships
    /// (`$(command -v 7z || command -v 7za)`), are a search; one word is a program; everything else is read by the cluster's
    /// `sh` with the arguments behind it, as Python's commands have it.
    #[must_use]
    pub fn from_setting(setting: &str) -> Self {
        let setting = setting.trim();
        let words: Vec<&str> = setting.split_whitespace().collect();
        let is_search = words.is_empty()
            || words == ["$(command", "-v", "7z", "||", "command", "-v", "7za)"]
            || words == ["$(command", "-v", "7z)"]
            || words == ["$(command", "-v", "7za)"];
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
        if is_search {
            Self::Search
        } else if setting.bytes().all(plain) && !setting.starts_with('-') {
            Self::Program(setting.to_owned())
        } else {
            Self::Expression(setting.to_owned())
        }
    }

    fn put(&self, command: Command) -> Command {
        match self {
            Self::Search => command.arg("search").arg(""),
            Self::Program(program) => command.arg("program").arg(program),
            Self::Expression(words) => command.arg("expression").arg(words),
        }
    }
}

/// Packs the results of a run into `{data_path}/{name}/{archive}.zip`; returns its true path on the cluster.
///
/// # Errors
/// There is no program for it, or it fails: what was there under that name is still there.
pub async fn pack(
    cluster: &Cluster,
    layout: &Layout,
    archiver: &Archiver,
    archive: &str,
) -> Result<PathBuf, Error> {
    Layout::new("", archive).map_err(|error| bad(&error))?;
    let command = archiver.put(Command::shell(PACK)).arg(archive).folder(layout.folder());
    let told = done(cluster, command, "pack", &layout.output()).await?;
    use std::os::unix::ffi::OsStrExt as _;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(told.strip_suffix(&[0]).unwrap_or(&told))))
}

/// Unpacks `{data_path}/{name}.zip` into the input of its data folder; only what the patterns say, all without any.
///
/// # Errors
/// There is no program for it, it fails, the archive has a link, or the input is not empty.
pub async fn unpack(
    cluster: &Cluster,
    layout: &Layout,
    archiver: &Archiver,
    patterns: &[&str],
) -> Result<(), Error> {
    cluster.files().create_folder(&layout.folder()).await?;
    let archive = format!("../{}.zip", layout.name());
    let command = archiver.put(Command::shell(UNPACK)).arg(archive).args(patterns).folder(layout.folder());
    done(cluster, command, "unpack", &layout.archive()).await.map(drop)
}

fn bad(error: &BadName) -> Error {
    Error::Here {
        action: "use the archive's name",
        path: PathBuf::new(),
        source: std::io::Error::other(error.to_string()),
    }
}

async fn done(
    cluster: &Cluster,
    command: Command,
    action: &'static str,
    path: &Path,
) -> Result<Vec<u8>, Error> {
    let output = cluster.run(&command.deadline(DEADLINE)).await?;
    let host = cluster.name().to_owned();
    match output.status {
        Status::Exited(0) => Ok(output.stdout),
        Status::Exited(45) => {
            let reason = "it is not empty".to_owned();
            Err(Error::Occupied { path: path.to_owned(), host, reason })
        }
        Status::Exited(48) => Err(Error::Missing {
            host,
            what: "program for zip archives (7z, 7za, 7zz or zip; or that of slurm_zip_cmd)",
        }),
        _ => Err(Error::there(action, path, &host, &output.stderr)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_setting_is_read_as_python_uses_it() {
        for (setting, expected) in [
            ("", Archiver::Search),
            ("$(command -v 7z || command -v 7za)", Archiver::Search),
            ("7za", Archiver::Program("7za".into())),
            ("/opt/bin/zip", Archiver::Program("/opt/bin/zip".into())),
            ("nice 7z", Archiver::Expression("nice 7z".into())),
            ("-v", Archiver::Expression("-v".into())),
        ] {
            assert_eq!(Archiver::from_setting(setting), expected, "{setting:?}");
        }
    }

    #[tokio::test]
    async fn results_are_packed_and_unpacked_by_every_program() {
        for setting in ["", "7z", "zip", "/usr/bin/zip", "nice 7z", "$(command -v 7z)"] {
            let folder = tempfile::tempdir().expect("a folder");
            let layout = Layout::new(folder.path().join("my data"), "run's").expect("a name");
            fs::create_dir_all(layout.output().join("sub")).expect("a folder");
            fs::write(layout.output().join("sub/a $(b) 'c'"), "content").expect("a file");
            let (cluster, archiver) = (Cluster::local(), Archiver::from_setting(setting));
            let packed = pack(&cluster, &layout, &archiver, "results").await.expect("an archive");
            assert_eq!(packed, fs::canonicalize(layout.folder().join("results.zip")).expect("it is there"));
            fs::rename(&packed, layout.archive()).expect("a file");
            unpack(&cluster, &layout, &archiver, &[]).await.expect("its content");
            let content = fs::read_to_string(layout.input().join("sub/a $(b) 'c'")).expect("a file");
            assert_eq!(content, "content", "{setting:?}");
            let refused = unpack(&cluster, &layout, &archiver, &[]).await.expect_err("there is an input");
            assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_and_a_broken_archive_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(folder.path(), "run").expect("a name");
        fs::create_dir_all(layout.output()).expect("a folder");
        let cluster = Cluster::local();
        let missing = Archiver::Program("no-such-zip".into());
        let refused = pack(&cluster, &layout, &missing, "results").await.expect_err("no program");
        assert!(matches!(refused, Error::Missing { .. }), "{refused}");
        fs::write(layout.archive(), "no archive").expect("a file");
        unpack(&cluster, &layout, &Archiver::Search, &[]).await.expect_err("no archive");
        assert!(!layout.input().exists());
    }

    #[tokio::test]
    async fn an_archive_with_a_link_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(folder.path(), "run").expect("a name");
        std::os::unix::fs::symlink("/etc", folder.path().join("way")).expect("a link");
        let made = std::process::Command::new("zip")
            .args(["-q", "--symlinks", "run.zip", "way"])
            .current_dir(folder.path())
            .status()
            .expect("zip");
        assert!(made.success());
        for setting in ["7z", "zip"] {
            let archiver = Archiver::from_setting(setting);
            let refused = unpack(&Cluster::local(), &layout, &archiver, &[]).await.expect_err("a link");
            assert!(refused.to_string().contains("symbolic link: way"), "{refused}");
            assert!(!layout.input().exists());
        }
    }
}
