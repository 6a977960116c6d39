//! `init-hooks compile`.

use std::fs::{File, OpenOptions};
use std::io::Seek as _;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_hooks::component::{Cache, CacheError, FILE_LIMIT, engine_config, target};
use biomero_hooks::sha256;
use nix::sys::memfd::{MFdFlags, memfd_create};
use wasmtime::Engine;

use crate::command_line::Compile;
use crate::confine;

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("give IN.wasm and OUT.cwasm, or --cache FOLDER and any number of .wasm")]
    Usage,
    #[error("cannot {doing} {}: {reason}", path.display())]
    File { doing: &'static str, path: PathBuf, reason: std::io::Error },
    #[error("{} is larger than {} MiB: no start-up hook is", path.display(), FILE_LIMIT >> 20)]
    TooLarge { path: PathBuf },
    #[error("{} has SHA-256 {found}, not {expected}: it is another file than the one that was pinned", path.display())]
    Digest { path: PathBuf, expected: String, found: String },
    #[error("{}: {reason}", path.display())]
    Component { path: PathBuf, reason: String },
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("cannot give up privileges: {0}")]
    Confine(nix::errno::Errno),
    #[error("cannot compile {}: {reason}", path.display())]
    Child { path: PathBuf, reason: String },
}

/// Compiles what is asked for.
pub(crate) fn run(options: &Compile) -> Result<(), Error> {
    match (&options.cache, options.files.as_slice()) {
        (None, [input, output]) => into_file(input, output, options.sha256.as_deref()),
        (Some(folder), files) => {
            let cache = Cache::at(folder.clone());
            files.iter().try_for_each(|file| into_cache(&cache, file, options.sha256.as_deref()))
        }
        _ => Err(Error::Usage),
    }
}

/// Compiles one component without privileges: both files are opened before they are given up.
fn into_file(input: &Path, output: &Path, digest: Option<&str>) -> Result<(), Error> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |reason| Error::File { doing, path, reason }
    };
    let file = File::open(input).map_err(failed("read", input))?;
    let mut compiled = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(output)
        .map_err(failed("write", output))?;
    confine::this_process().map_err(Error::Confine)?;

    let mut component = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut component).map_err(failed("read", input))?;
    if component.len() as u64 > FILE_LIMIT {
        return Err(Error::TooLarge { path: input.to_owned() });
    }
    let found = sha256(&component);
    if let Some(expected) = digest.filter(|expected| **expected != found) {
        let (path, expected) = (input.to_owned(), expected.to_owned());
        return Err(Error::Digest { path, expected, found });
    }
    let code = precompile(&component)
        .map_err(|error| Error::Component { path: input.to_owned(), reason: explain(&component, &error) })?;
    compiled.write_all(&code).map_err(failed("write", output))
}

fn precompile(component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut config = engine_config();
    config.target(&target())?;
    // A hook runs for a fraction of a millisecond; reading and checking its code takes longer than running it.
    config.cranelift_opt_level(wasmtime::OptLevel::SpeedAndSize);
    Engine::new(&config)?.precompile_component(component)
}

/// What is wrong with a component, for those who sent another kind of file.
fn explain(component: &[u8], error: &wasmtime::Error) -> String {
    match component {
        [] => "the file is empty".to_owned(),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "this is a core module; make a component of it: init-hooks componentize MODULE.wasm -o HOOK.wasm"
                .to_owned()
        }
        [0, b'a', b's', b'm', ..] => format!("not a valid component: {error:#}"),
        _ => "this is no WebAssembly: a component begins with the bytes 00 61 73 6d".to_owned(),
    }
}

/// Compiles one component in a child without privileges, and keeps what it made with this process's own.
fn into_cache(cache: &Cache, input: &Path, digest: Option<&str>) -> Result<(), Error> {
    let failed = |reason: String| Error::Child { path: input.to_owned(), reason };
    let content = std::fs::read(input).map_err(|reason| Error::File {
        doing: "read",
        path: input.to_owned(),
        reason,
    })?;
    let digest = digest.map_or_else(|| sha256(&content), str::to_owned);
    drop(content);
    let memory =
        memfd_create(c"compiled", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.to_string()))?;
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let status = Command::new(program)
        .args(["compile", "--sha256", &digest])
        .arg(input)
        .arg(format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd()))
        .env_clear()
        .status()
        .map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{status}; the line above says why")));
    }
    let mut file = File::from(memory);
    let mut code = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut code)).map_err(|error| failed(error.to_string()))?;
    let path = cache.store(&digest, &code)?;
    #[allow(clippy::print_stdout, reason = "tells the builder of an image what was made")]
    {
        println!("{} -> {}", input.display(), path.display());
    }
    Ok(())
}
