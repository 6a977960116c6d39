//! The static converter on the cluster: copied once, compared by its digest, and started once, so that a folder in which nothing
//! may run, or another kind of processor, is told before a job waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::item::{Became, Item};
use super::login::quoted;
use crate::workflow::Program;
use crate::{Cluster, Command, Error};

/// Tells the digest of a file that may be run, or nothing.
const DIGEST: &str = r#"if [ -f "$1" ] && [ -x "$1" ]; then sha256sum < "$1"; fi"#;

/// It only tells its version.
const START: Duration = Duration::from_secs(30);

/// Where it is on the cluster.
#[must_use]
pub fn path(converters: &str, program: &Program) -> PathBuf {
    Path::new(converters).join(program.name())
}

/// Puts it where jobs look for it, in the folder of converters.
///
/// # Errors
/// The cluster could not be asked, or there is no room. That it does not run there is told as an item.
pub async fn place(
    cluster: &Cluster,
    converters: &str,
    program: &Program,
    dry_run: bool,
) -> Result<Item, Error> {
    let path = path(converters, program);
    let item = |became| Item::new("program", path.display().to_string(), became);
    let there = digest(cluster, &path).await?;
    if there.as_deref() == Some(program.digest()) {
        return Ok(item(Became::There));
    }
    if dry_run {
        return Ok(item(if there.is_some() { Became::WouldChange } else { Became::WouldMake }));
    }
    cluster.ask(&Command::new("mkdir").arg("-p").arg("--").arg(converters).repeatable()).await?;
    cluster.files().write(&path, program.content(), 0o755).await?;
    let typed = quoted(&path);
    if digest(cluster, &path).await?.as_deref() != Some(program.digest()) {
        let told = "what arrived has another digest than what was sent, or may not be run";
        return Ok(item(Became::Failed).told(told).remedy(format!("ls -l {typed}; df {typed}")));
    }
    let started = Command::new(path.as_os_str()).arg("--version").deadline(START);
    if let Err(error @ Error::Failed { .. }) = cluster.ask(&started).await {
        let remedy = format!(
            "{typed} --version; slurm_converters_path may be mounted without the right to run programs"
        );
        return Ok(item(Became::Failed).told(error.to_string()).remedy(remedy));
    }
    Ok(item(if there.is_some() { Became::Changed } else { Became::Made }))
}

/// The digest of the file; none where it is not there.
async fn digest(cluster: &Cluster, path: &Path) -> Result<Option<String>, Error> {
    let told = cluster.ask(&Command::shell(DIGEST).arg(path).repeatable()).await?;
    let told = String::from_utf8_lossy(&told);
    Ok(told.split_whitespace().next().map(str::to_owned))
}
