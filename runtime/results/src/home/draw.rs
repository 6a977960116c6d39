//! Label images as regions of interest: one for each object, with a shape for each plane it is on.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use biomero_export::source::Source;
use biomero_omero::model::{Image, Mask as MaskShape, Polygon, Roi, Shape};
use biomero_omero::types::{RDouble, RInt, RString};
use biomero_omero::{Objects, QueryParameters, Upcast as _, Values as _};
use bytes::Bytes;

use super::link::{Ref, known, new};
use super::{Error, Home, Made, State, Witness, blocking};
use crate::folder::Folder;
use crate::label::{self, Found, LabelError, Mask};
use crate::plan::{Drawing, Form};

/// Bits of the objects that are read together.
const GROUP: usize = 64 << 20;
/// Bytes of a shape: a larger one is cut into strips.
const SHAPE: usize = 4 << 20;
/// Bytes of a message, and how many regions and shapes it has at most.
const BATCH: (usize, usize, usize) = (8 << 20, 500, 5_000);
/// An object of more bytes does not go into a message, of 64 MiB.
const OBJECT: usize = 32 << 20;
/// Names that are asked for at once.
const PAGE: usize = 10_000;

/// What is drawn of a label image already.
const FIND: &str = "select r.name from Roi r where r.image.id = :image and r.description = :description \
     and r.details.owner.id = :owner order by r.id";

impl Home<'_> {
    async fn drawn(&self, step: &Drawing) -> Result<HashSet<String>, Error> {
        let mut names = HashSet::new();
        let mut offset = 0;
        loop {
            let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
            let parameters = QueryParameters::new()
                .long("image", step.image)
                .text("description", &step.description)
                .long("owner", self.user)
                .page(count(offset), count(PAGE));
            let what = "for regions of interest";
            let rows = self.rows(what, FIND, &parameters).await?;
            for row in &rows {
                names.extend(row.maybe_text(0).map_err(super::asked(what))?.map(str::to_owned));
            }
            offset += rows.len();
            if rows.len() < PAGE {
                return Ok(names);
            }
        }
    }

    pub(super) async fn look_drawing(&self, step: &Drawing) -> Result<Made, Error> {
        let count = self.drawn(step).await?.len() as u64;
        // How many there have to be only the image says, which is read when it is drawn.
        let state = if count == 0 { State::Missing } else { State::Partly };
        Ok(Made { state, objects: Vec::new(), count: Some(count) })
    }

    pub(super) async fn draw(
        &self,
        folder: &Folder,
        step: &Drawing,
        witness: &dyn Witness,
    ) -> Result<Made, Error> {
        let failed = |source| Error::Label { path: step.path.clone(), source };
        let (path, label) = (folder.root.join(&step.path), step.label.clone());
        let opened = blocking(move || label::open(&path, label.as_deref())).await?;
        let source: Arc<dyn Source> = Arc::from(opened.map_err(|error| failed(error.into()))?);
        let planes = Planes::new(step, source.shape().sides())?;
        let found =
            while_watched(witness, &source, |source, is_cancelled| label::survey(source, is_cancelled));
        let mut objects = found.await?.map_err(failed)?;
        let all = objects.len() as u64;
        let drawn = self.drawn(step).await?;
        objects.retain(|object| !drawn.contains(&name(step, object.label)));
        let mut done = all - objects.len() as u64;
        let state = if objects.is_empty() { State::There } else { State::Made };
        while !objects.is_empty() {
            let rest = objects.split_off(group(&objects));
            let group = std::mem::replace(&mut objects, rest);
            let largest = match step.form {
                Form::Mask => SHAPE,
                Form::Polygon => usize::MAX,
            };
            let masks = while_watched(witness, &source, move |source, is_cancelled| {
                label::masks(source, &group, largest, is_cancelled)
            });
            let mut batch = Batch::new(step, planes);
            for (label, masks) in masks.await?.map_err(failed)? {
                let bytes = batch.add(label, masks);
                if bytes > OBJECT {
                    let remedy = match step.form {
                        Form::Mask => "draw it as a polygon",
                        Form::Polygon => "attach the label image only",
                    };
                    return Err(Error::Large { path: step.path.clone(), label, bytes, remedy });
                }
                if batch.is_full() {
                    done += self.save(step, &mut batch).await?;
                    witness.at(done, all);
                    if witness.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                }
            }
            done += self.save(step, &mut batch).await?;
            witness.at(done, all);
        }
        Ok(Made { state, objects: Vec::new(), count: Some(all) })
    }

    /// Saves a batch, whole or not at all; how many regions it had.
    async fn save(&self, step: &Drawing, batch: &mut Batch<'_>) -> Result<u64, Error> {
        let (rois, objects) = batch.take();
        if rois.is_empty() {
            return Ok(0);
        }
        let failed = |source| Error::omero(format!("drawing {} on image {}", step.path, step.image), source);
        let rois: Vec<_> = rois.into_iter().map(|roi| Some(roi.up())).collect();
        let ids = self.update.save_and_return_ids(&rois, &objects).await.map_err(failed)?;
        Ok(ids.len() as u64)
    }
}

/// Works on an image elsewhere, and stops that when the witness says so.
async fn while_watched<T: Send + 'static>(
    witness: &dyn Witness,
    source: &Arc<dyn Source>,
    work: impl FnOnce(&dyn Source, &dyn Fn() -> bool) -> Result<T, LabelError> + Send + 'static,
) -> Result<Result<T, LabelError>, Error> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let cancelled = Arc::new(AtomicBool::new(false));
    let (source, flag) = (Arc::clone(source), Arc::clone(&cancelled));
    let working = blocking(move || work(&*source, &|| flag.load(Ordering::Relaxed)));
    tokio::pin!(working);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        tokio::select! {
            done = &mut working => return done,
            _ = pace.tick() => cancelled.store(witness.is_cancelled(), Ordering::Relaxed),
        }
    }
}

/// How many objects from the first on have masks that fit together.
fn group(objects: &[Found]) -> usize {
    let mut bytes = 0_usize;
    let fits = |object: &&Found| {
        bytes = object.places.iter().fold(bytes, |bytes, place| bytes.saturating_add(place.bytes()));
        bytes <= GROUP
    };
    objects.iter().take_while(fits).count().max(1)
}

/// What the region of an object is called.
fn name(step: &Drawing, label: u64) -> String {
    format!("{} {label}", step.name)
}

/// Which planes of the image a plane of the label image is drawn on.
#[derive(Debug, Clone, Copy)]
struct Planes {
    /// Whether time, channel and depth are said: where the label image has one and the image several, it is drawn on all.
    said: [bool; 3],
}

impl Planes {
    fn new(step: &Drawing, found: [usize; 5]) -> Result<Self, Error> {
        let wanted = step.sides;
        let fits = (0..5).all(|axis| found[axis] == wanted[axis] || (axis < 3 && found[axis] == 1));
        if !fits {
            return Err(Error::Sides { path: step.path.clone(), found, image: step.image, wanted });
        }
        // An object is one of all channels, unless each channel has objects of its own.
        let said = [found[0] == wanted[0], found[1] > 1, found[2] == wanted[2]];
        Ok(Self { said })
    }
}

/// Regions that are saved together.
struct Batch<'s> {
    step: &'s Drawing,
    planes: Planes,
    objects: Objects,
    rois: Vec<Ref<Roi>>,
    bytes: usize,
    shapes: usize,
}

impl<'s> Batch<'s> {
    fn new(step: &'s Drawing, planes: Planes) -> Self {
        Self { step, planes, objects: Objects::new(), rois: Vec::new(), bytes: 0, shapes: 0 }
    }

    const fn is_full(&self) -> bool {
        self.bytes >= BATCH.0 || self.rois.len() >= BATCH.1 || self.shapes >= BATCH.2
    }

    fn take(&mut self) -> (Vec<Ref<Roi>>, Objects) {
        (self.bytes, self.shapes) = (0, 0);
        (std::mem::take(&mut self.rois), std::mem::take(&mut self.objects))
    }

    /// Adds an object; how many bytes it takes.
    fn add(&mut self, label: u64, masks: Vec<Mask>) -> usize {
        let objects = &mut self.objects;
        let image = Image { base: known(objects, self.step.image), ..Image::default() };
        let roi = Roi {
            base: new(),
            name: objects.put(RString::from(name(self.step, label))),
            description: objects.put(RString::from(self.step.description.as_str())),
            image: objects.put(image),
            shapes_loaded: true,
            ..Roi::default()
        };
        let roi = objects.add(roi);
        let text = objects.put(RString::from(label.to_string()));
        let mut shapes = Vec::new();
        let mut bytes = 0;
        for mask in masks {
            let plane = mask.bounds.plane;
            let on = |said: bool, number: usize| said.then_some(i32::try_from(number).unwrap_or(i32::MAX));
            let [t, c, z] = self.planes.said;
            let [t, c, z] = [on(t, plane.t), on(c, plane.c), on(z, plane.z)];
            let colour = colour(label);
            let shape = |objects: &mut Objects| Shape {
                base: new(),
                the_z: z.and_then(|z| objects.put(RInt::from(z))),
                the_c: c.and_then(|c| objects.put(RInt::from(c))),
                the_t: t.and_then(|t| objects.put(RInt::from(t))),
                roi: Some(roi),
                fill_color: objects.put(RInt::from(packed(colour, FILL))),
                stroke_color: objects.put(RInt::from(packed(colour, u8::MAX))),
                ..Shape::default()
            };
            match self.step.form {
                Form::Mask => {
                    let base = shape(objects);
                    let number =
                        |objects: &mut Objects, number: usize| objects.put(RDouble::from(number as f64));
                    let bits = Bytes::from(mask.bits.into_bytes());
                    bytes += bits.len();
                    let mask = MaskShape {
                        base,
                        x: number(objects, mask.bounds.x),
                        y: number(objects, mask.bounds.y),
                        width: number(objects, mask.bounds.width),
                        height: number(objects, mask.bounds.height),
                        text_value: text,
                        bytes: bits,
                        ..MaskShape::default()
                    };
                    shapes.push(Some(objects.add(mask).up::<Shape>()));
                }
                Form::Polygon => {
                    for corners in label::polygons(&mask) {
                        let base = shape(objects);
                        let points = points(&corners);
                        bytes += points.len();
                        let points = objects.put(RString::from(points));
                        let polygon = Polygon { base, points, text_value: text };
                        shapes.push(Some(objects.add(polygon).up::<Shape>()));
                    }
                }
            }
        }
        self.shapes += shapes.len();
        self.bytes += bytes;
        if let Some(roi) = objects.get_mut::<Roi>(roi) {
            roi.shapes_seq = shapes;
        }
        self.rois.push(roi);
        bytes
    }
}

/// Corners as OMERO writes them: `x,y x,y`.
fn points(corners: &[[i64; 2]]) -> String {
    let mut text = String::with_capacity(corners.len() * 12);
    for (number, [x, y]) in corners.iter().enumerate() {
        let space = if number == 0 { "" } else { " " };
        let _ = write!(text, "{space}{x},{y}");
    }
    text
}

/// How much of the image shows through.
const FILL: u8 = 100;

/// A colour of the hue that the golden ratio gives a number: neighbours differ, and none is like another for long.
fn colour(label: u64) -> [u8; 3] {
    // 2^32 divided by the golden ratio: the fraction of its multiples.
    let hue = (label as u32).wrapping_mul(0x9e37_79b9) as f64 / 4_294_967_296.0 * 6.0;
    let rising = ((hue.fract()) * 255.0) as u8;
    let falling = 255 - rising;
    match hue as u8 {
        0 => [255, rising, 0],
        1 => [falling, 255, 0],
        2 => [0, 255, rising],
        3 => [0, falling, 255],
        4 => [rising, 0, 255],
        _ => [255, 0, falling],
    }
}

/// Red, green, blue and alpha as OMERO has them.
const fn packed([red, green, blue]: [u8; 3], alpha: u8) -> i32 {
    i32::from_be_bytes([red, green, blue, alpha])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Bounds;

    fn drawing(sides: [usize; 5]) -> Drawing {
        Drawing {
            path: "mask.tif".to_owned(),
            label: None,
            name: "mask".to_owned(),
            description: "mask.tif, workflow x".to_owned(),
            image: 7,
            sides,
            form: Form::Mask,
        }
    }

    #[test]
    fn a_plane_is_drawn_where_it_is_and_one_that_stands_for_all_on_all() {
        let said = |wanted, found| Planes::new(&drawing(wanted), found).map(|planes| planes.said).ok();
        assert_eq!(said([3, 2, 5, 4, 4], [3, 1, 5, 4, 4]), Some([true, false, true]));
        assert_eq!(said([3, 2, 5, 4, 4], [1, 1, 1, 4, 4]), Some([false, false, false]));
        assert_eq!(said([1, 2, 1, 4, 4], [1, 2, 1, 4, 4]), Some([true, true, true]));
        for other in [[1, 1, 1, 4, 5], [2, 1, 5, 4, 4], [3, 1, 5, 8, 8]] {
            assert_eq!(said([3, 2, 5, 4, 4], other), None, "{other:?}");
        }
        let error = Planes::new(&drawing([1; 5]), [1, 1, 1, 2, 2]).expect_err("it is larger").to_string();
        assert!(error.contains("mask.tif is [1, 1, 1, 2, 2]") && error.contains("image 7"), "{error}");
    }

    #[test]
    fn groups_have_a_limit_and_never_none() {
        let object = |label, width| {
            let bounds = Bounds { plane: Default::default(), x: 0, y: 0, width, height: 8 << 20 };
            Found { label, places: vec![bounds] }
        };
        assert_eq!(group(&[object(1, 20), object(2, 20), object(3, 25), object(4, 1)]), 2);
        assert_eq!(group(&[object(1, 100), object(2, 1)]), 1);
    }

    #[test]
    fn colours_of_neighbours_differ() {
        let colours: HashSet<[u8; 3]> = (1..200).map(colour).collect();
        assert!(colours.len() > 190, "{}", colours.len());
        assert_eq!(packed([255, 0, 0], 100), -16_777_116);
    }
}
