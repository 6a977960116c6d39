//! `processor slurm init`: the cluster is made ready.

mod shown;
mod wanted;

use std::time::Duration;

use biomero_slurm::setup::init::{Preparation, prepare};
use biomero_slurm::setup::pull::{self, Launched};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::slurm::Context;
use crate::slurm::validate::containers;

/// Images of many gigabytes over a slow line.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) workflows: &'a [String],
    pub(crate) dry_run: bool,
    pub(crate) wait: bool,
    pub(crate) force: bool,
    pub(crate) status: bool,
}

pub(crate) async fn run(context: &Context<'_>, asked: Asked<'_>, answer: &mut Answer) -> Result<u8, Ended> {
    let program = context.program()?;
    let wanted = wanted::Wanted::of(context, asked.workflows, program.as_ref()).await?;
    if asked.status {
        let images = pull::status(&context.cluster, &wanted.images).await.map_err(Ended::Pull)?;
        shown::write(&wanted.refused, &images, &Launched::Nobody, answer)?;
        return end(&wanted.refused, &images, answer);
    }
    let mut options = pull::Options::configured(&context.biomero.slurm, containers(context));
    options.force = asked.force;
    let asked_for = Preparation {
        settings: &context.biomero,
        images: wanted.images,
        scripts: wanted.scripts,
        // With names, what is asked for is theirs only.
        program: program.as_ref().filter(|_| wanted.converts),
        pull: options,
        dry_run: asked.dry_run,
    };
    let mut prepared = prepare(&context.cluster, &asked_for).await.map_err(|error| match error {
        biomero_slurm::setup::init::Error::Cluster(error) => Ended::Cluster(error),
        biomero_slurm::setup::init::Error::Pull(error) => Ended::Pull(error),
    })?;
    prepared.items.extend(wanted.refused);
    if asked.wait && prepared.images.iter().any(|image| image.state.is_under_way()) {
        let mut progress = shown::Progress::new(answer);
        let mut told = |images: &[pull::ImageStatus]| progress.at(images);
        let followed = pull::follow(&context.cluster, &asked_for.images, LONGEST_WAIT, &mut told);
        prepared.images = followed.await.map_err(Ended::Pull)?;
    }
    shown::write(&prepared.items, &prepared.images, &prepared.launched, answer)?;
    end(&prepared.items, &prepared.images, answer)
}

fn end(
    items: &[biomero_slurm::setup::item::Item],
    images: &[pull::ImageStatus],
    answer: &mut Answer,
) -> Result<u8, Ended> {
    answer.flush()?;
    let has_failed = biomero_slurm::setup::init::has_failed(items, images);
    Ok(if has_failed { exit_code::FINDINGS } else { exit_code::SUCCESS })
}
