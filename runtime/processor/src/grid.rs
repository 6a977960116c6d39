//! `processor grid`: OMERO.grid's Processor-0, wired to the settings, the history and whoever has started it.
//!
//! Invariants: what it does is a [`plan`] of the settings, which a dry run shows and a run carries out; what the history does
//! holds no job up; scripts never find the `python` that is us.

mod archives;
mod history;
mod plan;
mod python;
mod route;
mod serve;

use std::path::Path;

use biomero_config::{Environment, LogFormat, ProcessorMode, Settings};
use biomero_ice::Reference;
use biomero_omero::Address;
use thiserror::Error;

use crate::command_line::grid::Grid;
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::output::Answer;
use crate::{exit_code, log};

pub(crate) use python::AsPython;

/// Why there is no processor.
#[derive(Debug, Error)]
pub(crate) enum Unable {
    /// What the settings say cannot be done.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// What the node has said cannot be read.
    #[error(transparent)]
    Activation(#[from] biomero_grid::processor::ActivationError),
    /// The folder of runs cannot be used, or another processor uses it.
    #[error(transparent)]
    Scripts(#[from] biomero_grid::script::Error),
    /// It cannot listen.
    #[error(transparent)]
    Processor(#[from] biomero_grid::processor::Error),
    /// Nobody knows by which address it is reached.
    #[error(transparent)]
    Route(#[from] route::RouteError),
    /// The real Python cannot be started.
    #[error("cannot start {program}: {source}; set omero.virtual_environment, or processor.launcher")]
    Python {
        /// Which.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file for what it says, which the node has named.
    #[error("cannot write {path}, where IceGrid's node wants what the processor says: {source}")]
    Output {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Unable {
    /// What is wrong, as the exit code has it.
    pub(crate) const fn exit_code(&self) -> u8 {
        use biomero_grid::script::Error;
        match self {
            Self::Plan(_) | Self::Activation(_) | Self::Python { .. } => exit_code::CONFIGURATION,
            Self::Scripts(Error::Taken { .. }) | Self::Route(_) => exit_code::UNAVAILABLE,
            Self::Output { .. } | Self::Scripts(Error::File { .. }) => exit_code::PERMISSION,
            Self::Scripts(_) | Self::Processor(_) => exit_code::FAILURE,
        }
    }
}

/// The registry of the grid that this worker is in, and the router of its OMERO; none where the settings name no master.
pub(crate) fn master(settings: &Settings) -> Result<Option<(Reference, Address)>, Unable> {
    Ok(plan::master(settings)?)
}

/// Runs a processor that no node has started, or says what it would do.
pub(crate) fn run(asked: &Grid, verbose: bool, environment: &Environment) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let settings = configuration.settings()?;
    let plan = plan::plan(settings, environment, None).map_err(Unable::from)?;
    if asked.dry_run {
        let mut answer = Answer::new(false, environment);
        for line in plan.told() {
            answer.line(line)?;
        }
        if settings.processor.mode == ProcessorMode::Python {
            answer.line("mode: python, so that IceGrid's node starts OMERO's own processor.py instead")?;
        }
        answer.flush()?;
        return Ok(exit_code::SUCCESS);
    }
    if settings.processor.mode == ProcessorMode::Python {
        return Err(Unable::from(plan::PlanError::NeedsNode).into());
    }
    log::install_for_service(settings.log.format, verbose);
    serve::serve(plan, &configuration)
}

/// Keeps one script. Nothing is read and no thread is started before.
pub(crate) fn keeper(json: bool, folder: &Path) -> Result<u8, Ended> {
    log::install_for_service(if json { LogFormat::Json } else { LogFormat::Human }, false);
    biomero_grid::keeper::main(folder).map_err(Unable::from)?;
    Ok(exit_code::SUCCESS)
}
