//! C, with clang, its linker for WebAssembly and wasi-libc. Of the C library a hook uses memory and strings; what
//! would call the system is not linked, so that the component imports no WASI.

use std::path::Path;
use std::process::Command;

use super::{Guest, failed, target};
use crate::command::{output, run as run_command};
use crate::failure::Failure;
use crate::packages::{self, Needed};

const PACKAGES: &[Needed<'_>] =
    &[("clang", "clang"), ("wasm-ld", "lld"), ("/usr/include/wasm32-wasi/stdlib.h", "wasi-libc")];
const TARGET: &str = "--target=wasm32-wasi";

pub(super) fn build(guests: &[&Guest], compiler: &Path) -> Result<(), Failure> {
    packages::install(&[PACKAGES])?;
    let clang = || Command::new("clang");
    let runtime = output(clang().args([TARGET, "-print-libgcc-file-name"]))?;
    packages::install(&[&[(runtime.trim(), "libclang-rt-dev-wasm32")]])?;
    println!("{}", output(clang().arg("--version"))?.lines().next().unwrap_or_default());

    let folder = target().join("guests/c");
    run_command(Command::new(compiler).args(["bindings", "c"]).arg(&folder))?;
    for guest in guests {
        let mut sources: Vec<_> = std::fs::read_dir(guest.source())
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
            .map_err(failed("list", &guest.source()))?;
        sources.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
        sources.sort();
        let module = folder.join(format!("{}.module.wasm", guest.name));
        run_command(
            clang()
                .args([
                    TARGET,
                    "-mexec-model=reactor",
                    "-Os",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-Wl,--strip-all",
                ])
                .arg("-I")
                .arg(&folder)
                .args(sources)
                .args(["site_hook.c", "site_hook_component_type.o"].map(|name| folder.join(name)))
                .arg("-o")
                .arg(&module),
        )?;
        run_command(Command::new(compiler).arg("componentize").arg(module).arg("-o").arg(guest.component()))?;
    }
    Ok(())
}
