//! The worker's image, built by a real engine from the Dockerfile on a small Debian base.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::engine::Engine;
use crate::scratch::Scratch;
use crate::{Result, Trouble, base_image, binary, process, wait, worker_root};

/// The name of the image that stands in for OMERO's own.
pub const BASE_IMAGE: &str = "omero-server:test";

/// The name of the one that stands in for Rust's.
const BUILDER_IMAGE: &str = "builder:test";

/// Stands in for `openmicroscopy/omero-server`: its user, its folders, its templates and start-up scripts, on Debian.
const BASE: &str = "\
FROM debian:test
COPY image/opt /opt
COPY image/startup /startup
RUN groupadd --gid 1000 omero-server \\
    && useradd --uid 1000 --gid 1000 --home-dir /opt/omero/server --no-create-home omero-server \\
    && mkdir -p /OMERO /opt/omero/server/OMERO.server/var/log \\
    && chown -R omero-server: /opt/omero /OMERO
USER omero-server
VOLUME [\"/OMERO\", \"/opt/omero/server/OMERO.server/var\"]
ENTRYPOINT [\"/usr/local/bin/entrypoint.sh\"]
";

/// Stands in for the Rust image: it holds the finished binaries, so that nothing is compiled in the container.
const BUILDER: &str = "FROM debian:test\nCOPY init init-hooks processor convert /out/\n";

/// What the Dockerfile would download. The base carries Debian's packages already; the rest is left out, as a site may.
const LEFT_OUT: &[&str] =
    &["PSYCOPG2", "BIOFORMATS2RAW", "BIOMERO", "OMERO_CLI_ZARR", "EZOMERO", "TIFFFILE", "OMERO_METADATA"];

/// Builds [`BASE_IMAGE`] and, on it, the worker's image under this name. Call with a [`crate::queue::Turn`] in hand.
///
/// # Errors
/// The engine refuses it, or a binary does not compile.
pub fn build(engine: &Engine, scratch: &Scratch, name: &str) -> Result<()> {
    build_bases(engine, scratch)?;
    let (workspace, built_with) = (binary::workspace(), arguments());
    let workspace = workspace.to_string_lossy();
    let mut arguments = vec!["build", "--network=none", "--tag", name];
    arguments.extend(built_with.iter().flat_map(|argument| ["--build-arg", argument]));
    arguments.push(&workspace);
    engine.ask(&arguments).map(drop)
}

/// The build arguments by which the Dockerfile needs no network, on the images of [`build_bases`].
pub fn arguments() -> Vec<String> {
    let bases = [format!("BASE_IMAGE={BASE_IMAGE}"), format!("BUILDER_IMAGE={BUILDER_IMAGE}")];
    bases.into_iter().chain(LEFT_OUT.iter().map(|what| format!("{what}_VERSION="))).collect()
}

/// Builds the images that the Dockerfile begins with. Call with a [`crate::queue::Turn`] in hand.
///
/// # Errors
/// As for [`build`].
pub fn build_bases(engine: &Engine, scratch: &Scratch) -> Result<()> {
    engine.import(&base_image::tar()?, "debian:test")?;
    let context = scratch.folder("context")?;
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/image");
    process::succeed(Command::new("cp").arg("-a").arg(image).arg(&context), wait::PATIENCE)?;
    for (program, path) in [
        ("init", binary::init()?),
        ("init-hooks", binary::compiler()?),
        ("processor", binary::processor()?),
        ("convert", binary::convert()?),
    ] {
        fs::copy(path, context.join(program)).map_err(Trouble::doing(format!("copy {program}")))?;
    }
    let folder = context.to_string_lossy();
    for (name, dockerfile) in [(BASE_IMAGE, BASE), (BUILDER_IMAGE, BUILDER)] {
        let file = worker_root::write(&context, "Dockerfile", dockerfile, 0o644)?;
        let file = file.to_string_lossy();
        engine.ask(&["build", "--network=none", "--tag", name, "--file", &file, &folder])?;
    }
    Ok(())
}
