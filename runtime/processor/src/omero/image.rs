//! What OMERO says of an image: its pixels, sizes in the world, channels, and how they are shown.

use biomero_export::metadata::{Channel, Colour, Quantity, Unit, Window};
use biomero_export::{Metadata, SampleType, Shape};
use biomero_omero::model::enums::{UnitsLength, UnitsTime};
use biomero_omero::model::{ChannelBinding, IObject, Image, Length, RenderingDef, Time};
use biomero_omero::{Objects, QueryParameters, Remote as _, Session, Values as _};

use super::Unread;

/// Everything of an image but its samples.
const IMAGE: &str = "select i from Image i join fetch i.pixels p join fetch p.pixelsType \
     left outer join fetch p.channels c left outer join fetch c.logicalChannel where i.id = :id";
/// How it is shown, to everybody who has said so.
const SETTINGS: &str = "select distinct d from RenderingDef d left outer join fetch d.waveRendering \
     where d.pixels.id = :id order by d.id";

/// An image, before its samples are read.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) id: i64,
    pub(super) pixels: i64,
    pub(super) group: Option<i64>,
    pub(super) kind: SampleType,
    pub(super) shape: Shape,
    pub(super) metadata: Metadata,
}

/// Asks OMERO for it.
pub(super) async fn read(session: &Session, id: i64) -> Result<Described, Unread> {
    // Images of all groups of the user: it is one session's only as far as OMERO allows.
    let query = session.query().await?.in_group(-1);
    let found = query.one::<Image>(IMAGE, &QueryParameters::new().long("id", id)).await?;
    let image = found.root().ok_or(Unread::Absent(id))?;
    let mut described = describe(id, image, &found.objects)?;
    let owner = owner(&found.objects, &image.base);
    let context = session.admin().await?.get_event_context().await?;
    let user = context.root().map(|context| context.user_id);

    let settings =
        query.all::<RenderingDef>(SETTINGS, &QueryParameters::new().long("id", described.pixels)).await?;
    let all: Vec<&RenderingDef> =
        settings.value.iter().filter_map(|settings_of| settings.objects.at(Some(*settings_of))).collect();
    let owned_by = |who: Option<i64>| {
        all.iter()
            .find(|settings_of| who.is_some() && self::owner(&settings.objects, &settings_of.base) == who)
    };
    // As OMERO shows it: one's own settings, else the owner's, else anybody's.
    if let Some(shown) = owned_by(user).or_else(|| owned_by(owner)).or_else(|| all.first()) {
        let bindings = settings.objects.each(&shown.wave_rendering_seq);
        for (channel, binding) in described.metadata.channels.iter_mut().zip(bindings) {
            show(channel, binding, &settings.objects);
        }
    }
    Ok(described)
}

/// Whose an object is.
fn owner(objects: &Objects, object: &IObject) -> Option<i64> {
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
    let side = |side| objects.int(side).and_then(|side| usize::try_from(side).ok()).unwrap_or_default();
    let sides = [pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x].map(side);
    let shape = Shape::new(sides).ok_or_else(|| unsuitable(&format!("its sides are {sides:?}")))?;
    let length = |size| objects.at(size).and_then(length);
    let channels = objects.each(&pixels.channels_seq).take(shape.c).map(|channel| {
        let logical = objects.at(channel.logical_channel);
        let name = logical.and_then(|logical| objects.text(logical.name)).filter(|name| !name.is_empty());
        let wave = || {
            logical.and_then(|logical| objects.at(logical.emission_wave)).map(|wave| wave.value.to_string())
        };
        let parts = [channel.red, channel.green, channel.blue].map(|part| objects.int(part));
        Channel { name: name.map(str::to_owned).or_else(wave), colour: colour(parts), window: None }
    });
    let metadata = Metadata {
        name: objects.text(image.name).map(str::to_owned),
        x: length(pixels.physical_size_x),
        y: length(pixels.physical_size_y),
        z: length(pixels.physical_size_z),
        t: objects.at(pixels.time_increment).and_then(time),
        channels: channels.collect(),
        is_rgb: false,
        field: None,
    };
    let details = objects.at(image.base.details);
    let group =
        details.and_then(|details| objects.at(details.group)).and_then(|group| objects.long(group.base.id));
    Ok(Described { id, pixels: number, group, kind, shape, metadata })
}

/// Colour and window of a channel as somebody has set them.
fn show(channel: &mut Channel, binding: &ChannelBinding, objects: &Objects) {
    let parts = [binding.red, binding.green, binding.blue].map(|part| objects.int(part));
    channel.colour = colour(parts).or(channel.colour);
    if let (Some(start), Some(end)) = (objects.double(binding.input_start), objects.double(binding.input_end))
        && start.is_finite()
        && end.is_finite()
        && start < end
    {
        channel.window = Some(Window { start, end });
    }
}

fn colour(parts: [Option<i32>; 3]) -> Option<Colour> {
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
