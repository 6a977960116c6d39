//! A cluster is made ready in the order in which one thing needs another: folders, job scripts, images.
//!
//! A dry run asks the same questions and takes the same decisions; only the last step differs.

use std::path::{Path, PathBuf};

use biomero_config::slurm_config::BiomeroSettings;
use thiserror::Error;

use super::images::{self, Source, Wanted};
use super::item::{Became, Item};
use super::pull::{self, ImageStatus, Launched, State};
use super::scripts::{self, Script};
use super::{folders, program, repository};
use crate::Cluster;
use crate::workflow::Program;

/// What has to be there.
#[derive(Debug, Clone)]
pub struct Preparation<'a> {
    /// `slurm-config.ini`.
    pub settings: &'a BiomeroSettings,
    /// The images.
    pub images: Vec<Wanted>,
    /// The job scripts that are generated; not asked for where they come from a repository.
    pub scripts: Vec<Script>,
    /// The program that converts images in place of a container.
    pub program: Option<&'a Program>,
    /// How images are pulled; `force` also replaces scripts that were edited.
    pub pull: pull::Options,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Folders, repository and scripts, in order.
    pub items: Vec<Item>,
    /// The images, as they stand when somebody was told to bring them.
    pub images: Vec<ImageStatus>,
    /// Who was told to.
    pub launched: Launched,
}

/// Why a cluster is not made ready. What concerns one thing only is told as its [`Item`].
#[derive(Debug, Error)]
pub enum Error {
    /// It could not be asked.
    #[error(transparent)]
    Cluster(#[from] crate::Error),
    /// Images are not on their way.
    #[error(transparent)]
    Pull(#[from] pull::Error),
}

/// Makes a cluster ready. Again does no harm.
///
/// # Errors
/// The cluster could not be asked.
pub async fn prepare(cluster: &Cluster, asked: &Preparation<'_>) -> Result<Prepared, Error> {
    let slurm = &asked.settings.slurm;
    let mut needed = folders::needed(asked.settings);
    if slurm.script_repo.is_some() {
        // A clone makes its folder; one that is empty would do too.
        needed.retain(|folder| *folder != Path::new(&slurm.script_path));
    }
    let mut items = folders::make(cluster, &needed, asked.dry_run).await?;
    let force = asked.pull.force;
    let mut wanted = definitions(&asked.images);
    match &slurm.script_repo {
        Some(repository) => {
            items.push(repository::update(cluster, repository, &slurm.script_path, asked.dry_run).await?);
        }
        None => wanted.extend(asked.scripts.iter().cloned()),
    }
    items.extend(scripts::write(cluster, &wanted, force, asked.dry_run).await?);
    if let Some(program) = asked.program {
        items.push(program::place(cluster, &slurm.converters_path, program, asked.dry_run).await?);
    }
    if asked.images.is_empty() {
        return Ok(Prepared { items, images: Vec::new(), launched: Launched::Nobody });
    }
    let launched = if asked.dry_run {
        Launched::Nobody
    } else {
        // What could not be brought is one item of several: the others are told too.
        match pull::launch(cluster, &asked.images, &asked.pull).await {
            Err(error @ (pull::Error::Refused { .. } | pull::Error::Submission { .. })) => {
                items.push(Item::new("images", "all", Became::Failed).told(error.to_string()));
                Launched::Nobody
            }
            launched => launched?,
        }
    };
    let images = pull::status(cluster, &asked.images).await?;
    Ok(Prepared { items, images, launched })
}

/// The definitions that images are built from, beside them.
fn definitions(wanted: &[Wanted]) -> Vec<Script> {
    let folder = wanted.iter().find_map(|wanted| match &wanted.source {
        Source::Definition(path) => Some(path.parent().unwrap_or(Path::new("")).to_path_buf()),
        Source::Registry(_) => None,
    });
    let Some(folder) = folder else { return Vec::new() };
    [
        (images::DEFINITION_NAME, images::CONVERTER_DEFINITION),
        (images::PROGRAM_NAME, images::CONVERTER_PROGRAM),
    ]
    .map(|(name, text)| Script { path: PathBuf::from(&folder).join(name), text: text.to_owned() })
    .to_vec()
}

/// Whether something could not be done.
#[must_use]
pub fn has_failed(items: &[Item], images: &[ImageStatus]) -> bool {
    items.iter().any(|item| item.became == Became::Failed)
        || images.iter().any(|image| image.state == State::Failed)
}
