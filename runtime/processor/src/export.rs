//! `processor export`, `convert` and `inspect`: images. Each verb is a module, which opens an image and writes the answer.

mod convert;
mod image;
mod inspect;
pub(crate) mod omero_zarr;
mod work;
mod write;

use biomero_config::Environment;
use biomero_convert::command_line::Convert;

use crate::command_line::export::{Export, Inspect};
use crate::command_line::omero_zarr::OmeroZarr;
use crate::ended::Ended;
use crate::output::Answer;

/// Runs `export`; returns the exit code.
pub(crate) fn export(asked: &Export, environment: &Environment) -> Result<u8, Ended> {
    image::run(asked, &mut Answer::new(asked.shape.json, environment))
}

/// Runs `omero-zarr`; returns the exit code.
pub(crate) fn omero_zarr(asked: &OmeroZarr, environment: &Environment) -> Result<u8, Ended> {
    omero_zarr::run(asked, &mut Answer::new(false, environment))
}

/// Runs `convert`; returns the exit code.
pub(crate) fn convert(asked: &Convert, environment: &Environment) -> Result<u8, Ended> {
    convert::run(asked, &mut Answer::new(asked.json, environment))
}

/// Runs `inspect`; returns the exit code.
pub(crate) fn inspect(asked: &Inspect, environment: &Environment) -> Result<u8, Ended> {
    inspect::run(asked, &mut Answer::new(asked.shape.json, environment))
}
