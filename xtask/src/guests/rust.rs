//! Rust, for `wasm32-unknown-unknown`.
//!
//! Where the machine's Rust has that target (`rustup target add wasm32-unknown-unknown`) it is used. On Debian a Rust
//! that was built for the web's purposes comes as packages of the security archive; these are unpacked in the cache
//! beside the machine's own, and the standard library for WebAssembly, which no package has, is compiled there once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use super::{Guest, cache, failed, sources, target};
use crate::command::{output, run as run_command};
use crate::failure::Failure;
use crate::packages;

const TARGET: &str = "wasm32-unknown-unknown";
/// Below the cache. Another number where something is put together in another way.
const TOOLCHAIN: &str = "rust-wasm-1";
/// What is unpacked; `libstd-rust-web-dev` names the package of the compiler's own library.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// Builds them all with one cargo, then makes components of the modules.
pub(super) fn build(guests: &[&Guest], compiler: &Path) -> Result<(), Failure> {
    let rustc = rustc()?;
    println!("{} for {TARGET}", output(Command::new(&rustc).arg("--version"))?.trim());
    let folder = target().join("guests/rust");
    let mut build = cargo(&folder);
    build.args(["build", "--release", "--locked", "--target", TARGET]).env("RUSTC", rustc);
    for guest in guests {
        build.args(["--package", guest.name]);
    }
    run_command(&mut build)?;
    for guest in guests {
        let module =
            folder.join(TARGET).join("release").join(format!("{}.wasm", guest.name.replace('-', "_")));
        run_command(Command::new(compiler).arg("componentize").arg(module).arg("-o").arg(guest.component()))?;
    }
    Ok(())
}

/// Format, lints and unit tests, on this machine and with its own Rust.
pub(super) fn test() -> Result<(), Failure> {
    println!("\n==> unit tests of the hooks in Rust");
    let folder = target().join("guests/native");
    run_command(cargo(&folder).args(["fmt", "--all", "--check"]))?;
    run_command(cargo(&folder).args(["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"]))?;
    run_command(cargo(&folder).args(["test", "--locked"]))
}

/// Cargo in the guests' own workspace, without what was said to the cargo that runs us.
fn cargo(folder: &Path) -> Command {
    let mut command = crate::command::cargo(&[]);
    command
        .current_dir(sources())
        .env("CARGO_TARGET_DIR", folder)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    command
}

/// A compiler that has the target.
fn rustc() -> Result<PathBuf, Failure> {
    let own = PathBuf::from(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let library = output(Command::new(&own).args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(library.trim()).exists() {
        return Ok(own);
    }
    let made = cache().join(TOOLCHAIN);
    if !made.exists() {
        make(&made)?;
    }
    Ok(made.join("rustc"))
}

/// Puts a toolchain together under another name, and renames it when it is whole.
fn make(toolchain: &Path) -> Result<(), Failure> {
    if ["apt-get", "dpkg-deb"].iter().any(|program| packages::find(program).is_none()) {
        return Err(Failure::Missing {
            programs: format!("Rust's standard library for {TARGET}"),
            remedy: format!("rustup target add {TARGET}"),
        });
    }
    println!("this Rust has no {TARGET}: putting one together in {}", toolchain.display());
    let unfinished = toolchain.with_extension("unfinished");
    let archives = unfinished.join("archives");
    remove(&unfinished)?;
    fs::create_dir_all(&archives).map_err(failed("make", &archives))?;
    if nix::unistd::Uid::effective().is_root() {
        run_command(Command::new("apt-get").args(["update", "--quiet"]))?;
    }
    download(&archives, &PACKAGES)?;
    let library = dependency(&archives, "libstd-rust-web-dev", "libstd-rust-web-")?;
    download(&archives, &[&library])?;
    // The linker needs the same LLVM that the compiler needs, and comes with it.
    let llvm = dependency(&archives, &library, "libllvm")?;
    let version = llvm.trim_start_matches("libllvm");
    let linker = format!("wasm-ld-{version}");
    packages::install(&[&[(&linker, &format!("lld-{version}"))]])?;

    for archive in list(&archives)? {
        run_command(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&unfinished))?;
    }
    let programs = unfinished.join("usr/lib/rustlib/x86_64-unknown-linux-gnu/bin");
    fs::create_dir_all(&programs).map_err(failed("make", &programs))?;
    if let Some(found) = packages::find(&linker) {
        let link = programs.join("rust-lld");
        // One program is all of LLVM's linkers: the first argument that rustc gives says which it is to be.
        let real = fs::canonicalize(&found).map_err(failed("follow", &found))?;
        std::os::unix::fs::symlink(real, &link).map_err(failed("link", &link))?;
    }
    let rustc = unfinished.join("rustc");
    let script = "#!/bin/sh\nhere=$(dirname \"$(readlink -f \"$0\")\")\n\
                  LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu exec \"$here/usr/bin/rustc\" \"$@\"\n";
    fs::write(&rustc, script)
        .and_then(|()| fs::set_permissions(&rustc, std::os::unix::fs::PermissionsExt::from_mode(0o755)))
        .map_err(failed("write", &rustc))?;
    standard_library(&unfinished, &rustc)?;
    remove(&archives)?;
    remove(&unfinished.join("usr/src"))?;
    fs::rename(&unfinished, toolchain).map_err(failed("rename", &unfinished))
}

/// Compiles it by way of an empty crate, and moves it where the compiler looks. `RUSTC_BOOTSTRAP` unlocks the option
/// for this one cargo; guests themselves are built with a compiler that is stable.
fn standard_library(toolchain: &Path, rustc: &Path) -> Result<(), Failure> {
    let folder = toolchain.join("standard-library");
    let source = folder.join("src/lib.rs");
    fs::create_dir_all(folder.join("src")).map_err(failed("make", &folder))?;
    fs::write(&source, "#![no_std]\n").map_err(failed("write", &source))?;
    let manifest = folder.join("Cargo.toml");
    let text = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n\n[profile.release]\nopt-level = \"s\"\n";
    fs::write(&manifest, text).map_err(failed("write", &manifest))?;
    let mut build = cargo(&folder.join("target"));
    build.args(["build", "--quiet", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"]);
    build.current_dir(&folder).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    // What a panic says of its place must not depend on whose cache this is: it is part of every component.
    let sources = toolchain.join("usr/lib/rustlib/src/rust");
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    let crates = std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from);
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [remap(&sources, "/rustc"), remap(&crates, "/cargo")];
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run_command(&mut build)?;
    let library = toolchain.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&library).map_err(failed("make", &library))?;
    for built in list(&folder.join("target").join(TARGET).join("release/deps"))? {
        let name = built.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libempty") {
            fs::rename(&built, library.join(name)).map_err(failed("move", &built))?;
        }
    }
    remove(&folder)
}

fn download(folder: &Path, names: &[&str]) -> Result<(), Failure> {
    // As root apt would give up its rights for the download, and then not be able to write here.
    let as_it_is = ["--quiet", "--option", "APT::Sandbox::User=root", "download"];
    run_command(Command::new("apt-get").args(as_it_is).args(names).current_dir(folder))
}

/// The package that one in the folder depends on, by the beginning of its name.
fn dependency(folder: &Path, package: &str, beginning: &str) -> Result<String, Failure> {
    let archive = list(folder)?
        .into_iter()
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&format!("{package}_"))
        })
        .ok_or_else(|| Failure::Unexpected(format!("apt-get download brought no {package}")))?;
    let depends = output(Command::new("dpkg-deb").arg("--field").arg(&archive).arg("Depends"))?;
    depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .find(|name| name.starts_with(beginning))
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::Unexpected(format!(
                "{package} depends on no {beginning}…: this Debian's Rust is put together in another way; where \
                 there is rustup, `rustup target add {TARGET}` does"
            ))
        })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(failed("list", folder))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}
