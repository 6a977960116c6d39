//! Label images: samples are the numbers of objects, and each object becomes a region of interest.
//!
//! An image is read in bands. First where each object is on each plane, then, for so many objects as there is memory for, what it
//! looks like. A group of objects costs the bits of its masks, an image the bytes of a band.

mod mask;
mod outline;
mod read;

use std::path::Path;

use biomero_export::source::{self, Limits, ReadError, Source};

pub use mask::{Bits, Mask, masks};
pub use outline::polygons;
pub use read::{Bounds, Found, LabelError, survey};

/// The names of the label images that an OME-Zarr holds; none where it cannot be read, which is told when it is drawn.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let images = source::open(path, Limits::default()).unwrap_or_default();
    let Some(labels) = images.first().and_then(|image| image.labels().ok()) else { return Vec::new() };
    labels.into_iter().map(|label| label.name).collect()
}

/// Opens an image that is alone in its file, or a label image of it.
///
/// # Errors
/// It cannot be read, or has several images.
pub(crate) fn open(path: &Path, label: Option<&str>) -> Result<Box<dyn Source>, ReadError> {
    let unsupported = |what: String, remedy| ReadError::Unsupported { path: path.to_owned(), what, remedy };
    let mut images = source::open(path, Limits::default())?;
    let image = match images.len() {
        1 => images.swap_remove(0),
        count => {
            return Err(unsupported(format!("it holds {count} images"), "write each into a file of its own"));
        }
    };
    match label {
        None => Ok(image),
        Some(name) => {
            let found = image.labels()?.into_iter().find(|label| label.name == name);
            let gone =
                || unsupported(format!("it has no label image {name:?} any more"), "bring it home again");
            Ok(found.ok_or_else(gone)?.image)
        }
    }
}
