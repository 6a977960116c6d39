//! Writing an OME-Zarr, and telling what became of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use biomero_convert::command_line::Effort;
use biomero_convert::work::Interruption;
use biomero_events::json::Value;
use biomero_export::source::Source;
use biomero_export::zarr::{self, Options, Written};

use super::work;
use crate::ended::Ended;
use crate::output::{self, Answer, inert};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// An image.
    Image,
    /// Images as bioformats2raw lays them out.
    Series,
    /// The fields of a plate.
    Plate,
}

/// Images, and where they become an OME-Zarr.
pub(super) struct Target<'a> {
    pub(super) path: PathBuf,
    pub(super) whole: Whole,
    pub(super) sources: &'a [Box<dyn Source>],
}

/// What became of them.
pub(super) enum Outcome {
    /// They were exported before.
    Unchanged,
    /// They are there now, after so many seconds.
    Written(Vec<Written>, f64),
}

impl Target<'_> {
    /// Writes it, unless it is there already as the request says that it should be.
    pub(super) fn write(
        &self,
        options: &Options,
        effort: Effort,
        interruption: &Interruption,
    ) -> Result<Outcome, Ended> {
        if let Some(request) = &options.request
            && !request.overwrite
            && zarr::is_written(&self.path, request)
        {
            return Ok(Outcome::Unchanged);
        }
        let began = Instant::now();
        let written =
            work::run(effort, interruption, "exporting", |work| match (self.whole, self.sources) {
                (Whole::Image, [source]) => Ok(vec![zarr::write(&**source, &self.path, options, work)?]),
                (Whole::Plate, sources) => zarr::write_plate(sources, &self.path, options, work),
                (_, sources) => zarr::write_series(sources, &self.path, options, work),
            })?;
        if options.rois.is_some() && self.sources.iter().all(|source| source.rois().is_empty()) {
            output::note("it has no region of interest that can be drawn: there is no label image of them");
        }
        Ok(Outcome::Written(written, began.elapsed().as_secs_f64()))
    }

    /// Tells what became of it.
    pub(super) fn tell(&self, outcome: &Outcome, answer: &mut Answer) -> Result<(), Ended> {
        let path = self.path.to_string_lossy();
        match (outcome, answer.is_json()) {
            (Outcome::Unchanged, true) => answer.object(object(&path, Vec::new(), 0.0, true)),
            (Outcome::Unchanged, false) => {
                answer.line(format!("{} is there already, of the same source and options", inert(&path)))
            }
            (Outcome::Written(written, seconds), true) => {
                let images =
                    self.sources.iter().zip(written).map(|(source, written)| image(&**source, written));
                answer.object(object(&path, images.collect(), *seconds, false))
            }
            (Outcome::Written(written, seconds), false) => {
                for (source, Written { folder, sizes, labels }) in self.sources.iter().zip(written) {
                    let place = Path::new(path.as_ref()).join(folder);
                    // Joined with nothing it would end in a slash.
                    let place =
                        if self.whole == Whole::Image { path.clone() } else { place.to_string_lossy() };
                    let labels = labels.iter().map(|name| format!(", labels {name:?}")).collect::<String>();
                    answer.line(format!(
                        "{}: {} {}, {} levels{}",
                        inert(&place),
                        source.shape(),
                        source.sample_type(),
                        sizes.len(),
                        inert(&labels)
                    ))?;
                }
                answer.line(format!("{seconds:.1} s"))
            }
        }
    }
}

fn object(path: &str, images: Vec<Value>, seconds: f64, is_unchanged: bool) -> Value {
    [
        ("path", Value::from(path)),
        ("images", Value::Array(images)),
        ("seconds", seconds.into()),
        ("unchanged", is_unchanged.into()),
    ]
    .into()
}

fn image(source: &dyn Source, written: &Written) -> Value {
    let side = |side: usize| Value::from(side as i64);
    let levels = written.sizes.iter().map(|size| size.map(side).to_vec().into()).collect();
    let labels = written.labels.iter().map(|name| Value::from(name.as_str())).collect();
    [
        ("folder", Value::from(written.folder.to_string_lossy().into_owned())),
        ("shape", source.shape().sides().map(side).to_vec().into()),
        ("type", source.sample_type().ome_name().into()),
        ("levels", Value::Array(levels)),
        ("labels", Value::Array(labels)),
    ]
    .into()
}
