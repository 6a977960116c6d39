//! How images are shown: colours, windows and what else people have set in a viewer of OMERO.

use std::collections::HashMap;

use biomero_export::metadata::{Channel, Family, View};
use biomero_omero::api::IQuery;
use biomero_omero::model::{ChannelBinding, RenderingDef, ReverseIntensityContext};
use biomero_omero::{Objects, QueryParameters, Values as _};

use super::Unread;
use super::image::{Described, colour, owner, window};

/// How they are shown, to everybody who has said so.
const SETTINGS: &str = "select distinct d from RenderingDef d left outer join fetch d.model \
     left outer join fetch d.waveRendering b left outer join fetch b.family \
     left outer join fetch b.spatialDomainEnhancement where d.pixels.id in (:ids) order by d.id";
/// What OMERO calls showing an image without colours.
const GREY: &str = "greyscale";

/// Adds to each image how it is shown: as the user has it, else as its owner does, else anybody.
pub(super) async fn apply(query: &IQuery, user: Option<i64>, images: &mut [Described]) -> Result<(), Unread> {
    let ids: Vec<i64> = images.iter().map(|image| image.pixels).collect();
    let found = query.all::<RenderingDef>(SETTINGS, &QueryParameters::new().longs("ids", &ids)).await?;
    let objects = &found.objects;
    let mut of_pixels: HashMap<i64, Vec<&RenderingDef>> = HashMap::new();
    for settings in &found.value {
        let Some(settings) = objects.get::<RenderingDef>(*settings) else { continue };
        let pixels = objects.at(settings.pixels).and_then(|pixels| objects.long(pixels.base.id));
        if let Some(pixels) = pixels {
            of_pixels.entry(pixels).or_default().push(settings);
        }
    }
    for image in images {
        let all = of_pixels.remove(&image.pixels).unwrap_or_default();
        let owned_by = |who: Option<i64>| {
            all.iter().find(|settings| who.is_some() && owner(objects, &settings.base) == who)
        };
        if let Some(settings) = owned_by(user).or_else(|| owned_by(image.owner)).or_else(|| all.first()) {
            show(image, settings, objects);
        }
    }
    Ok(())
}

fn show(image: &mut Described, settings: &RenderingDef, objects: &Objects) {
    let channels = &mut image.metadata.channels;
    // Some images have settings, and nothing else that is said of their channels.
    let bindings: Vec<_> = objects.each(&settings.wave_rendering_seq).take(image.shape.c).collect();
    if channels.len() < bindings.len() {
        channels.resize_with(bindings.len(), Channel::default);
    }
    for (channel, binding) in channels.iter_mut().zip(bindings) {
        bind(channel, binding, objects);
    }
    let place = |place| objects.int(place).and_then(|place| usize::try_from(place).ok());
    let model = objects.at(settings.model).and_then(|model| objects.text(model.value));
    if let (Some(z), Some(t), Some(model)) = (place(settings.default_z), place(settings.default_t), model) {
        image.metadata.view = Some(View { z, t, is_grey: model == GREY });
    }
}

/// A channel as somebody has set it.
fn bind(channel: &mut Channel, binding: &ChannelBinding, objects: &Objects) {
    let parts = [binding.red, binding.green, binding.blue].map(|part| objects.int(part));
    channel.colour = colour(parts).or(channel.colour);
    let start_and_end = window(objects.double(binding.input_start), objects.double(binding.input_end));
    channel.window = start_and_end.or(channel.window);
    let rendering = &mut channel.rendering;
    rendering.is_active = objects.flag(binding.active).unwrap_or(rendering.is_active);
    let family = objects.at(binding.family).and_then(|family| objects.text(family.value));
    rendering.family = family.and_then(Family::named).unwrap_or(rendering.family);
    let coefficient = objects.double(binding.coefficient).filter(|coefficient| coefficient.is_finite());
    rendering.coefficient = coefficient.unwrap_or(rendering.coefficient);
    let table = objects.text(binding.lookup_table).filter(|name| !name.is_empty());
    rendering.lookup_table = table.map(str::to_owned);
    rendering.is_inverted = binding.spatial_domain_enhancement_seq.iter().flatten().any(|context| {
        // That it is there is what inverts, unless it says otherwise.
        objects
            .get::<ReverseIntensityContext>(*context)
            .is_some_and(|reverse| objects.flag(reverse.reverse) != Some(false))
    });
}
