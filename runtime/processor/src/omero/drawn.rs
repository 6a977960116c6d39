//! What has been drawn on images of OMERO: its ROIs, as far as their shapes have an inside.

use std::collections::HashMap;
use std::sync::Arc;

use biomero_export::roi::{Figure, Outline, Roi};
use biomero_omero::api::IQuery;
use biomero_omero::model::{self, Ellipse, Mask, Polygon, Rectangle, Shape};
use biomero_omero::{Objects, QueryParameters, Ref, Row, Values as _};

use super::Unread;

/// How many samples the masks of a ROI have: what has to be known to ask for no more than fits into a message.
const MASKS: &str =
    "select m.roi.id, sum(m.width * m.height) from Mask m where m.roi.image.id = :id group by m.roi.id";
const ROIS: &str = "select r.id from Roi r where r.image.id = :id order by r.id";
/// With their shapes.
const SHAPES: &str =
    "select distinct r from Roi r left outer join fetch r.shapes where r.id in (:ids) order by r.id";

/// How many are asked for together.
const TOGETHER: usize = 200;
/// How many bytes of masks: a quarter of a message.
const BYTES: f64 = (16 << 20) as f64;
/// More figures are more than people or programs draw.
const FIGURES: usize = 1 << 20;
/// Bytes of all masks of an image.
const BITS: usize = 512 << 20;

/// Asks for those of an image, in the order of their ids.
pub(super) async fn read(query: &IQuery, image: i64) -> Result<Vec<Arc<Roi>>, Unread> {
    let parameters = QueryParameters::new().long("id", image);
    let ids = query.rows(ROIS, &parameters).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = ids.iter().map(|row| row.long(0)).collect::<Result<_, _>>()?;
    let sizes = query.rows(MASKS, &parameters).await?;
    let mut rois = Vec::with_capacity(ids.len().min(FIGURES));
    let (mut figures, mut bits) = (0, 0);
    for ids in portions(&ids, &sizes)? {
        let found = query.all::<model::Roi>(SHAPES, &QueryParameters::new().longs("ids", ids)).await?;
        let mut read: Vec<Roi> = found
            .value
            .iter()
            .filter_map(|roi| found.objects.get::<model::Roi>(*roi))
            .filter_map(|roi| {
                Some(Roi { id: id(&found.objects, &roi.base)?, figures: drawn(&found.objects, roi) })
            })
            .collect();
        read.sort_by_key(|roi| roi.id);
        figures += read.iter().map(|roi| roi.figures.len()).sum::<usize>();
        bits += read.iter().flat_map(|roi| &roi.figures).map(held).sum::<usize>();
        if figures > FIGURES || bits > BITS {
            let problem = format!(
                "it has more than {FIGURES} shapes, or masks of more than {BITS} bytes; export it without its ROIs"
            );
            return Err(Unread::Unsuitable { id: image, problem });
        }
        rois.extend(read.into_iter().map(Arc::new));
    }
    Ok(rois)
}

/// Bytes of a mask.
const fn held(figure: &Figure) -> usize {
    match &figure.outline {
        Outline::Mask { bits, .. } => bits.len(),
        _ => 0,
    }
}

/// Ids that are asked for together: as many as may be, as long as their masks fit.
fn portions<'a>(ids: &'a [i64], sizes: &[Row]) -> Result<Vec<&'a [i64]>, Unread> {
    let mut bytes = HashMap::new();
    for row in sizes {
        // A bit for each sample.
        bytes.insert(row.long(0)?, row.maybe_double(1)?.unwrap_or_default().max(0.0) / 8.0);
    }
    let mut portions = Vec::new();
    let (mut first, mut sum) = (0, 0.0);
    for (place, id) in ids.iter().enumerate() {
        let size = bytes.get(id).copied().unwrap_or_default();
        if place > first && (place - first == TOGETHER || sum + size > BYTES) {
            portions.push(&ids[first..place]);
            (first, sum) = (place, 0.0);
        }
        sum += size;
    }
    portions.push(&ids[first..]);
    Ok(portions)
}

fn id(objects: &Objects, object: &model::IObject) -> Option<u64> {
    objects.long(object.id).and_then(|id| u64::try_from(id).ok())
}

/// The figures of a ROI. What has a transform would be drawn somewhere else, and lines, points and texts have no inside: they are
/// left out, as those of files are.
fn drawn(objects: &Objects, roi: &model::Roi) -> Vec<Figure> {
    let figure = |shape: &Ref<Shape>| {
        let (outline, text) = outline(objects, *shape)?;
        let shape = objects.get::<Shape>(*shape).filter(|shape| shape.transform.is_none())?;
        let place = |place| objects.int(place).and_then(|place| usize::try_from(place).ok());
        Some(Figure {
            id: id(objects, &shape.base)?,
            text: text.filter(|text| !text.is_empty()).map(str::to_owned),
            fill: objects.int(shape.fill_color).map(i32::to_be_bytes),
            t: place(shape.the_t),
            z: place(shape.the_z),
            outline,
        })
    };
    roi.shapes_seq.iter().flatten().filter_map(figure).collect()
}

/// The form of a shape, and the text beside it.
fn outline(objects: &Objects, shape: Ref<Shape>) -> Option<(Outline, Option<&str>)> {
    let numbers = |boxed: [_; 4]| {
        let [first, second, third, fourth] = boxed.map(|number| objects.double(number));
        Some([first?, second?, third?, fourth?])
    };
    if let Some(mask) = objects.get::<Mask>(shape) {
        let mut outline = Outline::mask(numbers([mask.x, mask.y, mask.width, mask.height])?)?;
        if let Outline::Mask { width, height, bits, .. } = &mut outline {
            let wanted = width.saturating_mul(*height).div_ceil(8);
            *bits = mask.bytes.get(..wanted).unwrap_or(&mask.bytes).to_vec();
        }
        Some((outline, objects.text(mask.text_value)))
    } else if let Some(polygon) = objects.get::<Polygon>(shape) {
        Some((Outline::polygon_of(points(objects.text(polygon.points)?))?, objects.text(polygon.text_value)))
    } else if let Some(rectangle) = objects.get::<Rectangle>(shape) {
        let sides = numbers([rectangle.x, rectangle.y, rectangle.width, rectangle.height])?;
        Some((Outline::rectangle(sides)?, objects.text(rectangle.text_value)))
    } else {
        let ellipse = objects.get::<Ellipse>(shape)?;
        let sides = numbers([ellipse.x, ellipse.y, ellipse.radius_x, ellipse.radius_y])?;
        Some((Outline::ellipse(sides)?, objects.text(ellipse.text_value)))
    }
}

/// The corners of a polygon. Old ones have them four times, as OMERO's first viewers did: `points[1,2 3,4] points1[…`.
fn points(text: &str) -> &str {
    let old = text.trim().strip_prefix("points[").and_then(|rest| rest.split_once(']'));
    old.map_or(text, |(points, _)| points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_found_in_both_ways_of_writing_them() {
        for text in ["1,2 3,4", "1,2, 3,4", "points[1,2 3,4] points1[1,2 3,4] points2[1,2 3,4] mask[0,0]"] {
            assert_eq!(
                Outline::polygon_of(points(text)),
                Some(Outline::Polygon(vec![[1, 2], [3, 4]])),
                "{text}"
            );
        }
        assert_eq!(Outline::polygon_of(points("points[1,2")), None);
    }
}
