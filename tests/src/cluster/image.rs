//! Container images for the test cluster: root file systems in the form that a pull leaves, made once and kept in the
//! user's cache under a digest of what they are made from.
//!
//! An image is complete or absent: it is made beside its place and renamed, by one process at a time.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::{Result, Trouble, binary, biomero, process};

/// A Debian and some packages of PyPI over a slow line.
const DEADLINE: Duration = Duration::from_secs(900);

const SUITE: &str = "bookworm";

/// Debian 12 has Python 3.11; its folder for what is not Debian's.
const PYTHON: &str = "3.11";
const PACKAGES: &str = "usr/local/lib/python3.11/dist-packages";

const REQUIREMENTS: &str = include_str!("../../cluster/requirements.txt");

/// `mksquashfs`: nothing that needs root to unpack, and no pages that nobody reads in a test.
const LEFT_OUT: [&str; 6] =
    ["dev/*", "var/lib/apt/*", "var/cache/*", "usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*"];

/// What images there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Copies every file of `--infolder`, and what is attached, to `--outfolder`, from a Busybox of two megabytes: made in a
    /// moment.
    Copy,
    /// A real workflow: Otsu's threshold and connected components, `tests/cluster/workflow`.
    Threshold,
    /// OME-Zarr to TIFF, called as BIOMERO calls its converters, `tests/cluster/converter`.
    ZarrToTiff,
}

impl Image {
    const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Threshold => "threshold",
            Self::ZarrToTiff => "convert_zarr_to_tiff",
        }
    }

    /// What `run` starts, in the form that Apptainer makes from an image's entry point.
    const fn runscript(self) -> &'static str {
        match self {
            Self::Copy => include_str!("../../cluster/workflow/copy.sh"),
            Self::Threshold => "#!/bin/sh\nexec python3 /opt/threshold.py \"$@\"\n",
            Self::ZarrToTiff => "#!/bin/sh\nexec python3 /opt/convert_zarr_to_tiff.py \"$@\"\n",
        }
    }

    const fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Copy => None,
            Self::Threshold => Some(("threshold.py", include_str!("../../cluster/workflow/threshold.py"))),
            Self::ZarrToTiff => Some((
                "convert_zarr_to_tiff.py",
                include_str!("../../cluster/converter/convert_zarr_to_tiff.py"),
            )),
        }
    }

    /// A BIAFLOWS descriptor of the workflow.
    pub const fn descriptor(self) -> Option<&'static str> {
        match self {
            Self::Threshold => Some(include_str!("../../cluster/workflow/descriptor.json")),
            Self::Copy | Self::ZarrToTiff => None,
        }
    }
}

/// The cached file of an image, a squashfs; made when it is missing.
///
/// # Errors
/// A program is not installed, or Debian's or PyPI's servers are out of reach.
pub fn image(image: Image) -> Result<PathBuf> {
    let cache = binary::cache();
    std::fs::create_dir_all(&cache).map_err(Trouble::doing(format!("make {}", cache.display())))?;
    let mut recipe = DefaultHasher::new();
    (SUITE, PYTHON, REQUIREMENTS, LEFT_OUT, image.runscript(), image.program()).hash(&mut recipe);
    let place = cache.join(format!("image-{}-{:016x}.sif", image.name(), recipe.finish()));
    let lock = cache.join("image.lock");
    let lock = File::create(&lock).map_err(Trouble::doing(format!("open {}", lock.display())))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| {
        Trouble::new(format!("cannot wait for another that makes an image: {error}"))
    })?;
    if place.exists() {
        return Ok(place);
    }
    let work = tempfile::Builder::new()
        .prefix("image-")
        .tempdir_in(&cache)
        .map_err(Trouble::doing("make a folder for an image"))?;
    let root = match image {
        Image::Copy => busybox(work.path())?,
        Image::Threshold | Image::ZarrToTiff => python(work.path())?,
    };
    finish(image, &root)?;
    let made = work.path().join("image.sif");
    squash(&root, &made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o644))
        .and_then(|()| std::fs::rename(&made, &place))
        .map_err(Trouble::doing(format!("name {}", place.display())))?;
    Ok(place)
}

/// What every image has: its program, its runscript, its labels, and where the runtime mounts.
fn finish(image: Image, root: &Path) -> Result<()> {
    for folder in ["proc", "sys", "dev", "tmp", "home", "mnt", "opt", "etc", ".singularity.d"] {
        folder_below(root, folder)?;
    }
    for file in ["etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"] {
        if !root.join(file).exists() {
            write(&root.join(file), "")?;
        }
    }
    if let Some((name, text)) = image.program() {
        write(&root.join("opt").join(name), text)?;
    }
    write(&root.join(".singularity.d/runscript"), image.runscript())?;
    let labels = format!("{{\n  \"org.opencontainers.image.title\": \"{}\"\n}}\n", image.name());
    write(&root.join(".singularity.d/labels.json"), &labels)
}

/// Every command that a script of a test uses, in one static program.
fn busybox(work: &Path) -> Result<PathBuf> {
    let root = work.join("root");
    folder_below(&root, "bin")?;
    folder_below(&root, "usr/bin")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|candidate| candidate.exists())
        .ok_or_else(|| Trouble::new("no Busybox is installed: `apt-get install busybox-static`"))?;
    let list = process::succeed(Command::new(&program).arg("--list"), DEADLINE)?;
    let linked = std::fs::copy(&program, root.join("bin/busybox")).and_then(|_| {
        list.lines()
            .filter(|name| *name != "busybox")
            .try_for_each(|name| symlink("busybox", root.join("bin").join(name)))
    });
    linked
        .and_then(|()| symlink("/bin/busybox", root.join("usr/bin/env")))
        .map_err(Trouble::doing("lay out Busybox"))?;
    Ok(root)
}

/// A Debian with Python, and the packages of PyPI that the programs import. The Debian alone is kept too.
fn python(work: &Path) -> Result<PathBuf> {
    let debian = binary::cache().join(format!("{SUITE}-python3.tar"));
    if !debian.exists() {
        let unfinished = work.join("debian.tar");
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.args(["--quiet", "--variant=minbase", "--include=python3", SUITE]).arg(&unfinished);
        process::succeed(&mut mmdebstrap, DEADLINE)?;
        std::fs::rename(&unfinished, &debian)
            .map_err(Trouble::doing(format!("name {}", debian.display())))?;
    }
    let root = work.join("root");
    folder_below(&root, "")?;
    let mut tar = Command::new("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&debian)
        .arg("--directory")
        .arg(&root)
        .args(["--exclude", "./dev/*"]);
    process::succeed(&mut tar, DEADLINE)?;
    let requirements = work.join("requirements.txt");
    write(&requirements, REQUIREMENTS)?;
    // The environment of biomero has a pip; what it installs here is for the image's Python, not for its own.
    let mut pip = Command::new(biomero::python()?);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]);
    pip.args(["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]);
    let machine = std::env::consts::ARCH;
    for platform in ["manylinux2014", "manylinux_2_17", "manylinux_2_28"] {
        pip.arg("--platform").arg(format!("{platform}_{machine}"));
    }
    pip.arg("--target").arg(root.join(PACKAGES)).arg("--requirement").arg(&requirements);
    process::succeed(&mut pip, DEADLINE)?;
    Ok(root)
}

fn squash(root: &Path, file: &Path) -> Result<()> {
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs.arg(root).arg(file).args(["-noappend", "-no-progress", "-quiet", "-no-xattrs", "-all-root"]);
    // Unpacking is what tests wait for.
    mksquashfs.args(["-comp", "lz4", "-wildcards", "-e"]).args(LEFT_OUT);
    process::succeed(&mut mksquashfs, DEADLINE).map(drop)
}

fn folder_below(root: &Path, name: &str) -> Result<()> {
    let path = root.join(name);
    std::fs::create_dir_all(&path).map_err(Trouble::doing(format!("make {}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Trouble::doing(format!("write {}", path.display())))
}
