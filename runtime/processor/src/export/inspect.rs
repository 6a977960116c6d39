//! `processor inspect`: what an image is, whether it is whole, and what it looks like.

use std::path::Path;

use biomero_convert::open::{Images, Opening};
use biomero_convert::work::Interruption;
use biomero_events::json::Value;
use biomero_export::label::Label;
use biomero_export::manifest::{self, Verified};
use biomero_export::metadata::Quantity;
use biomero_export::preview;
use biomero_export::source::{Limits, Source};

use crate::command_line::export::Inspect;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::progress::Bytes;
use crate::table::{Cell, Table, Tone};

pub(super) fn run(asked: &Inspect, answer: &mut Answer) -> Result<u8, Ended> {
    let interruption = Interruption::new()?;
    let images = read(asked, &interruption)?;
    let (images, first) = (images.all(), images.first(asked.series));
    let chosen = images.iter().enumerate().map(|(place, image)| (place + first, &**image));
    let chosen: Vec<_> =
        chosen.filter(|(number, _)| asked.series.number.is_none_or(|wanted| wanted == *number)).collect();
    if chosen.is_empty() {
        return Err(biomero_convert::Error::Series { path: asked.path.clone(), count: images.len() }.into());
    }
    let verified = if asked.verify { Some(manifest::verify(&asked.path)?) } else { None };
    if let Some(preview) = &asked.preview {
        let [(_, image)] = chosen.as_slice() else {
            return Err(
                biomero_convert::Error::Series { path: asked.path.clone(), count: images.len() }.into()
            );
        };
        preview::save(*image, preview)?;
    }
    if answer.is_json() {
        let mut images = Vec::with_capacity(chosen.len());
        for (number, image) in &chosen {
            images.push(object(*number, *image, &image.labels()?));
        }
        let verified = verified.as_ref().map(|verified| {
            let names = |paths: &[std::path::PathBuf]| -> Value {
                paths
                    .iter()
                    .map(|path| Value::from(path.to_string_lossy().into_owned()))
                    .collect::<Vec<_>>()
                    .into()
            };
            Value::from([
                ("same", (verified.same as i64).into()),
                ("different", names(&verified.different)),
                ("missing", names(&verified.missing)),
            ])
        });
        let path = asked.path.to_string_lossy().into_owned();
        answer.object(
            [("path", path.into()), ("images", Value::Array(images)), ("verified", verified.into())].into(),
        )?;
    } else {
        for (position, (number, image)) in chosen.iter().enumerate() {
            if position > 0 {
                answer.line("")?;
            }
            show(*number, *image, images.len() > 1, answer)?;
        }
        if let Some(verified) = &verified {
            tell(verified, answer)?;
        }
    }
    answer.flush()?;
    Ok(match verified {
        Some(verified) if !verified.is_whole() => exit_code::FINDINGS,
        _ => exit_code::SUCCESS,
    })
}

/// Opens what is looked at.
fn read(asked: &Inspect, interruption: &Interruption) -> Result<Images, Ended> {
    let bar = Bytes::new("reading");
    let opening = Opening {
        reading: &asked.reading,
        series: asked.series,
        limits: Limits::default(),
        // Nothing is written that it could be beside of.
        folder: &std::env::temp_dir(),
        interruption,
        progress: &|what, done, of| bar.doing(what, done, of),
    };
    let images = Images::open(&asked.path, &opening);
    bar.clear();
    Ok(images?)
}

/// The numbers of a shape by the names of their axes.
const AXES: [&str; 5] = ["t", "c", "z", "y", "x"];

fn object(number: usize, image: &dyn Source, labels: &[Label]) -> Value {
    let whole = |number: usize| Value::from(number as i64);
    let metadata = image.metadata();
    let levels = image.levels().iter().map(|level| {
        Value::from([
            ("height", whole(level.shape.y)),
            ("width", whole(level.shape.x)),
            ("depth", whole(level.shape.z)),
            ("tile", level.tile.map(whole).to_vec().into()),
        ])
    });
    let size = |size: Option<Quantity>| {
        size.map(|size| {
            Value::from([("value", size.value.into()), ("unit", size.unit.map(|unit| unit.ngff).into())])
        })
    };
    let channels = metadata.channels.iter().map(|channel| {
        Value::from([
            ("name", channel.name.clone().into()),
            ("color", channel.colour.map(|colour| colour.to_string()).into()),
        ])
    });
    let field = metadata.field.as_ref().map(|field| {
        let line = |lines: &[String], number: usize| Value::from(lines.get(number).cloned());
        Value::from([
            ("plate", field.plate.name.clone().into()),
            ("row", line(&field.plate.rows, field.row)),
            ("column", line(&field.plate.columns, field.column)),
            ("number", whole(field.number)),
            ("acquisition", field.acquisition.map(whole).into()),
        ])
    });
    let labels = labels.iter().map(|label| {
        let shape = label.image.shape().sides().map(whole).to_vec();
        let kind = label.image.sample_type().ome_name();
        Value::from([("name", label.name.as_str().into()), ("shape", shape.into()), ("type", kind.into())])
    });
    let complaints = image.complaints().iter().map(|complaint| Value::from(complaint.as_str()));
    [
        ("series", whole(number)),
        ("name", metadata.name.clone().into()),
        ("shape", image.shape().sides().map(whole).to_vec().into()),
        ("type", image.sample_type().ome_name().into()),
        ("storage", image.storage().into()),
        ("levels", Value::Array(levels.collect())),
        ("size_x", size(metadata.x).into()),
        ("size_y", size(metadata.y).into()),
        ("size_z", size(metadata.z).into()),
        ("time_step", size(metadata.t).into()),
        ("channels", Value::Array(channels.collect())),
        ("field", field.into()),
        ("labels", Value::Array(labels.collect())),
        ("rois", whole(image.rois().len())),
        ("complaints", Value::Array(complaints.collect())),
    ]
    .into()
}

fn show(number: usize, image: &dyn Source, several: bool, answer: &mut Answer) -> Result<(), Ended> {
    let metadata = image.metadata();
    let name = metadata.name.as_deref().unwrap_or("without a name");
    let name = if several { format!("{number}: {name}") } else { name.to_owned() };
    answer.line(inert(&name))?;
    let sides = AXES.iter().zip(image.shape().sides());
    let sides: Vec<String> = sides.map(|(axis, side)| format!("{axis} {side}")).collect();
    answer.line(format!("  {}, {}", sides.join(", "), image.sample_type()))?;
    answer.line(format!("  {}", inert(image.storage())))?;
    let sizes = [("x", metadata.x), ("y", metadata.y), ("z", metadata.z), ("t", metadata.t)];
    let sizes: Vec<String> =
        sizes.iter().filter_map(|(axis, size)| size.map(|size| format!("{axis} {size}"))).collect();
    answer.line(match sizes.is_empty() {
        true => "  the size of a pixel is not known".to_owned(),
        false => format!("  a pixel: {}", sizes.join(", ")),
    })?;
    let mut table = Table::new(&["  LEVEL", ">HEIGHT", ">WIDTH", ">DEPTH"]);
    let rows: Vec<Vec<Cell>> = image
        .levels()
        .iter()
        .enumerate()
        .map(|(number, level)| {
            let side = |side: usize| Cell::from(side.to_string());
            vec![format!("  {number}").into(), side(level.shape.y), side(level.shape.x), side(level.shape.z)]
        })
        .collect();
    table.fit(&rows);
    table.write(&rows, answer)?;
    for (number, channel) in metadata.channels.iter().enumerate() {
        let name = channel.name.as_deref().unwrap_or("without a name");
        let colour = channel.colour.map_or_else(String::new, |colour| format!(", colour {colour}"));
        answer.line(format!("  channel {number}: {}{colour}", inert(name)))?;
    }
    if let Some(field) = &metadata.field {
        let line = |lines: &[String], number: usize| lines.get(number).cloned().unwrap_or_default();
        let well = line(&field.plate.rows, field.row) + &line(&field.plate.columns, field.column);
        let plate = field.plate.name.as_deref().unwrap_or("without a name");
        let run = field.acquisition.map_or_else(String::new, |run| format!(", acquisition {run}"));
        answer.line(inert(&format!("  plate {plate}: well {well}, field {}{run}", field.number)))?;
    }
    for label in image.labels()? {
        let (shape, kind) = (label.image.shape(), label.image.sample_type());
        answer.line(inert(&format!("  labels {:?}: {shape} {kind}", label.name)))?;
    }
    if !image.rois().is_empty() {
        answer.line(format!("  regions of interest: {}", image.rois().len()))?;
    }
    for complaint in image.complaints() {
        let line = format!("  to be looked at: {}", inert(complaint));
        answer.line(Tone::Busy.paint(&line, answer.colour()))?;
    }
    Ok(())
}

fn tell(verified: &Verified, answer: &mut Answer) -> Result<(), Ended> {
    let mut bad = |word: &str, path: &Path| {
        let line = format!("  {word}: {}", inert(&path.to_string_lossy()));
        answer.line(Tone::Bad.paint(&line, answer.colour()))
    };
    verified.different.iter().try_for_each(|path| bad("has another content", path))?;
    verified.missing.iter().try_for_each(|path| bad("is missing", path))?;
    answer.line(format!("  {} files are as they were written", verified.same))
}
