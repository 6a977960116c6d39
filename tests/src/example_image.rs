//! What `docker/example` would take from registries, made on a small Debian: the base of its cluster, and PostgreSQL.

use std::path::Path;

use crate::cluster::Image;
use crate::cluster::worker::THRESHOLD;
use crate::engine::Engine;
use crate::scratch::Scratch;
use crate::{Result, base_image, containers, worker_root};

/// The base of the cluster: with what its Dockerfile installs, a stand-in for Apptainer and a registry for that.
pub const CLUSTER_BASE: &str = "cluster-base:test";

/// What the compose file calls the image of its database.
const DATABASE: &str = "postgres:16";

/// The version of a workflow whose descriptor, a file, names none.
pub const VERSION: &str = "latest";

const POSTGRES: &str = include_str!("../fixtures/example/postgres.sh");

/// Builds both; the cluster has the workflow [`THRESHOLD`]. Call with a [`crate::queue::Turn`] in hand.
///
/// # Errors
/// The engine refuses it, or an image cannot be made.
pub fn build(engine: &Engine, scratch: &Scratch) -> Result<()> {
    engine.import(&base_image::servers_tar()?, "debian-servers:test")?;
    let cluster = scratch.folder("cluster")?;
    let workflow = format!("{THRESHOLD}:{VERSION}");
    containers::install_at(&cluster, "usr/bin/apptainer", "", &[(Image::Threshold, &workflow)])?;
    build_of(engine, &cluster, CLUSTER_BASE, "COPY opt /opt\nCOPY usr/bin /usr/bin\n")?;
    let database = scratch.folder("database")?;
    worker_root::write(&database, "postgres.sh", POSTGRES, 0o755)?;
    let entry = "COPY postgres.sh /usr/local/bin/\nENTRYPOINT [\"/usr/local/bin/postgres.sh\"]\n";
    build_of(engine, &database, DATABASE, entry)
}

fn build_of(engine: &Engine, folder: &Path, name: &str, rest: &str) -> Result<()> {
    worker_root::write(folder, "Dockerfile", &format!("FROM debian-servers:test\n{rest}"), 0o644)?;
    engine.ask(&["build", "--network=none", "--tag", name, &folder.to_string_lossy()]).map(drop)
}
