//! What OMERO says of images: their pixels, sizes in the world, channels.

use std::collections::HashMap;
use std::sync::Arc;

use biomero_export::metadata::{Channel, Colour, Quantity, Unit, Window};
use biomero_export::roi::Roi;
use biomero_export::{Metadata, SampleType, Shape};
use biomero_omero::model::enums::{UnitsLength, UnitsTime};
use biomero_omero::model::{self, IObject, Image, Length, LogicalChannel, Time};
use biomero_omero::{Objects, QueryParameters, Remote as _, Session, Values as _};

use super::{Unread, drawn, shown};

/// Everything of images but their samples.
const IMAGES: &str = "select distinct i from Image i join fetch i.pixels p join fetch p.pixelsType \
     left outer join fetch p.channels c left outer join fetch c.logicalChannel left outer join fetch c.statsInfo \
     where i.id in (:ids)";
/// How many images are asked for together: a plate has thousands, and what is said of one is a few kilobytes.
const TOGETHER: usize = 100;

/// An image, before its samples are read.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) id: i64,
    pub(super) pixels: i64,
    pub(super) group: Option<i64>,
    pub(super) owner: Option<i64>,
    pub(super) kind: SampleType,
    pub(super) shape: Shape,
    pub(super) metadata: Metadata,
    pub(super) rois: Vec<Arc<Roi>>,
}

/// Asks OMERO for images, in this order; for what is drawn on them only where it is wanted.
pub(super) async fn read(session: &Session, ids: &[i64], wants_rois: bool) -> Result<Vec<Described>, Unread> {
    // Images of all groups of the user: it is one session's only as far as OMERO allows.
    let query = session.query().await?.in_group(-1);
    let context = session.admin().await?.get_event_context().await?;
    let user = context.root().map(|context| context.user_id);
    let mut read = Vec::with_capacity(ids.len());
    for ids in ids.chunks(TOGETHER) {
        let found = query.all::<Image>(IMAGES, &QueryParameters::new().longs("ids", ids)).await?;
        let mut known = HashMap::new();
        for image in &found.value {
            let Some(image) = found.objects.get::<Image>(*image) else { continue };
            let Some(id) = found.objects.long(image.base.id) else { continue };
            known.insert(id, describe(id, image, &found.objects)?);
        }
        let mut images = Vec::with_capacity(ids.len());
        for id in ids {
            // Of a plate several fields can be one image.
            images.push(known.get(id).cloned().ok_or(Unread::Absent(super::Object::Image(*id)))?);
        }
        shown::apply(&query, user, &mut images).await?;
        if wants_rois {
            for image in &mut images {
                image.rois = drawn::read(&query, image.id).await?;
            }
        }
        read.append(&mut images);
    }
    Ok(read)
}

/// Whose an object is.
pub(super) fn owner(objects: &Objects, object: &IObject) -> Option<i64> {
    let details = objects.at(object.details)?;
    objects.long(objects.at(details.owner)?.base.id)
}

fn describe(id: i64, image: &Image, objects: &Objects) -> Result<Described, Unread> {
    let unsuitable = |problem: &str| Unread::Unsuitable { id, problem: problem.to_owned() };
    let pixels = objects.each(&image.pixels_seq).next().ok_or_else(|| unsuitable("it has no pixels"))?;
    let number = objects.long(pixels.base.id).ok_or_else(|| unsuitable("its pixels have no id"))?;
    let kind = objects.at(pixels.pixels_type).and_then(|kind| objects.text(kind.value)).unwrap_or("unknown");
    let known = SampleType::ALL.into_iter().find(|known| known.ome_name() == kind);
    let kind = known.ok_or_else(|| unsuitable(&format!("its samples are of the type {kind:?}")))?;
    let told = [pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x]
        .map(|side| objects.int(side).unwrap_or_default());
    let shape = Shape::new(told.map(|side| usize::try_from(side).unwrap_or_default()));
    let shape = shape.ok_or_else(|| unsuitable(&format!("its sides (t, c, z, y, x) are {told:?}")))?;
    let length = |size| objects.at(size).and_then(length);
    let metadata = Metadata {
        name: objects.text(image.name).map(str::to_owned),
        x: length(pixels.physical_size_x),
        y: length(pixels.physical_size_y),
        z: length(pixels.physical_size_z),
        t: objects.at(pixels.time_increment).and_then(time),
        channels: objects
            .each(&pixels.channels_seq)
            .take(shape.c)
            .map(|channel| described(channel, objects))
            .collect(),
        is_rgb: is_rgb(pixels, &shape, objects),
        ..Metadata::default()
    };
    let details = objects.at(image.base.details);
    let group =
        details.and_then(|details| objects.at(details.group)).and_then(|group| objects.long(group.base.id));
    let owner = owner(objects, &image.base);
    Ok(Described { id, pixels: number, group, owner, kind, shape, metadata, rois: Vec::new() })
}

/// A channel, as far as nobody has changed how it is shown.
fn described(channel: &model::Channel, objects: &Objects) -> Channel {
    let logical = objects.at(channel.logical_channel);
    let name = logical.and_then(|logical| objects.text(logical.name)).map(str::trim);
    let wave = |logical: &LogicalChannel| Some(objects.at(logical.emission_wave)?.value.to_string());
    let range = objects
        .at(channel.stats_info)
        .and_then(|stats| window(objects.double(stats.global_min), objects.double(stats.global_max)));
    Channel {
        name: name.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| logical.and_then(wave)),
        colour: colour([channel.red, channel.green, channel.blue].map(|part| objects.int(part))),
        range,
        ..Channel::default()
    }
}

/// A picture of a camera or a slide scanner: its three channels were samples of one pixel in the file.
fn is_rgb(pixels: &model::Pixels, shape: &Shape, objects: &Objects) -> bool {
    let samples =
        |channel: &model::Channel| objects.int(objects.at(channel.logical_channel)?.samples_per_pixel);
    shape.c == 3 && objects.each(&pixels.channels_seq).filter_map(samples).any(|samples| samples == 3)
}

/// From dark to bright.
pub(super) fn window(start: Option<f64>, end: Option<f64>) -> Option<Window> {
    let (start, end) = (start?, end?);
    (start.is_finite() && end.is_finite() && start < end).then_some(Window { start, end })
}

pub(super) fn colour(parts: [Option<i32>; 3]) -> Option<Colour> {
    let [red, green, blue] = parts.map(|part| part.and_then(|part| u8::try_from(part).ok()));
    Some(Colour([red?, green?, blue?]))
}

/// OMERO's enumerators are called as OME-NGFF's units are, in capitals.
fn length(length: &Length) -> Option<Quantity> {
    let unit = (length.unit != UnitsLength::Pixel).then(|| format!("{:?}", length.unit).to_lowercase());
    Quantity::new(length.value, unit.and_then(|unit| Unit::length(&unit)))
}

fn time(time: &Time) -> Option<Quantity> {
    let unit: UnitsTime = time.unit;
    Quantity::new(time.value, Unit::time(&format!("{unit:?}").to_lowercase()))
}
