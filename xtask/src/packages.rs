//! The programs that the demo, the tests and the benchmarks drive, and the Debian packages they come from.
//!
//! A program that is there is never installed again, wherever it came from, so that this also works on a machine
//! that is not Debian once its own packages are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{run, succeeds};
use crate::failure::Failure;

/// A program, or any other file by its path, and the Debian package that has it.
pub(crate) type Needed<'a> = (&'a str, &'a str);

/// What the demo drives.
pub(crate) const DEMO: &[Needed<'_>] = &[
    ("icegridregistry", "zeroc-icegrid"),
    ("icegridnode", "zeroc-icegrid"),
    ("icegridadmin", "zeroc-ice-utils"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("ssh-keygen", "openssh-client"),
    ("postgres", "postgresql"),
];

/// What the tests drive on top of [`DEMO`].
pub(crate) const TEST: &[Needed<'_>] = &[
    ("python3", "python3"),
    ("mkfs.ext4", "e2fsprogs"),
    ("busybox", "busybox-static"),
    ("dockerd", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("mmdebstrap", "mmdebstrap"),
    ("tini", "tini"),
    ("dumb-init", "dumb-init"),
    ("openssl", "openssl"),
    ("tcsh", "tcsh"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("shellcheck", "shellcheck"),
    ("java", "default-jre-headless"),
    ("promtool", "prometheus"),
];

/// A browser, and what drives it.
pub(crate) const BROWSER: &[Needed<'_>] = &[("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")];

/// ZeroC's own runtime, as a peer.
pub(crate) const ICE: &[Needed<'_>] = &[
    ("glacier2router", "zeroc-glacier2"),
    ("slice2py", "zeroc-ice-compilers"),
    ("/usr/share/ice/slice/Glacier2/Session.ice", "zeroc-ice-slice"),
    ("/usr/lib/python3/dist-packages/Ice", "python3-zeroc-ice"),
];

/// What makes container images, and runs them.
pub(crate) const CONTAINERS: &[Needed<'_>] =
    &[("ch-run", "charliecloud"), ("mksquashfs", "squashfs-tools"), ("mmdebstrap", "mmdebstrap")];

/// A cluster, and what runs on it.
pub(crate) const CLUSTER: &[Needed<'_>] = &[
    ("slurmctld", "slurm-wlm"),
    ("slurmd", "slurm-wlm"),
    ("slurmdbd", "slurmdbd"),
    ("sbatch", "slurm-client"),
    ("munged", "munge"),
    ("mariadbd", "mariadb-server"),
    ("sshd", "openssh-server"),
    ("rsync", "rsync"),
    ("7z", "p7zip-full"),
    ("zip", "zip"),
    ("unzip", "unzip"),
    ("ch-run", "charliecloud"),
    ("mksquashfs", "squashfs-tools"),
];

/// What the benchmarks compare with, on top of [`DEMO`].
pub(crate) const BENCH: &[Needed<'_>] =
    &[("tini", "tini"), ("dumb-init", "dumb-init"), ("postgres", "postgresql")];

/// What the fuzzer's own library compiles with.
pub(crate) const FUZZ: &[Needed<'_>] = &[("g++", "g++")];

/// What zeroc-ice compiles with.
pub(crate) const OMERO_PY: &[Needed<'_>] =
    &[("g++", "g++"), ("/usr/include/bzlib.h", "libbz2-dev"), ("/usr/include/openssl/ssl.h", "libssl-dev")];

/// Installs the packages of those programs that are missing, or says what to type.
pub(crate) fn install(needed: &[&[Needed<'_>]]) -> Result<(), Failure> {
    let missing: Vec<Needed<'_>> = needed
        .iter()
        .flat_map(|list| list.iter().copied())
        .filter(|(name, _)| find(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    if !nix::unistd::Uid::effective().is_root() || find("apt-get").is_none() {
        let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        return Err(Failure::Missing {
            programs: programs.join(" "),
            remedy: format!(
                "sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
                packages.join(" ")
            ),
        });
    }
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    let _quiet = NoServices::until_dropped()?;
    run(Command::new("apt-get")
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// What Debian asks before a package starts its service: 101 is no (`invoke-rc.d(8)`).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// No service starts because its package is installed: the tests start servers of their own. A machine's own policy stays.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn until_dropped() -> Result<Self, Failure> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Ok(Self { made: false });
            }
            Err(source) => return Err(Failure::File { action: "write", path: POLICY.into(), source }),
        };
        let policy = Self { made: true };
        file.write_all(b"#!/bin/sh\nexit 101\n").map_err(|source| Failure::File {
            action: "write",
            path: POLICY.into(),
            source,
        })?;
        Ok(policy)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// A Python that makes virtual environments: Debian's cannot without a package of its own.
pub(crate) fn install_python() -> Result<(), Failure> {
    install(&[&[("python3", "python3")]])?;
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip"])) {
        install(&[&[("/usr/share/doc/python3-venv", "python3-venv")]])?;
    }
    Ok(())
}

/// Where a program is: on `PATH`, or in the system's folders that an ordinary user's `PATH` leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(postgresql())
        .map(|folder| folder.join(program))
        .find(|candidate| is_program(candidate))
}

/// Debian keeps each version's programs in a folder of their own.
fn postgresql() -> impl Iterator<Item = PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
