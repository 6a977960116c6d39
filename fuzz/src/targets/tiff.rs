//! A TIFF file: whatever it says of itself, opening and reading it ends, in bounded memory.

use crate::{look_at, root_with};
use biomero_export::source::Limits;
use biomero_export::tiff;

pub(crate) fn run(data: &[u8]) {
    let path = root_with("image.tif", data).join("image.tif");
    for image in tiff::open(&path, Limits::of(4 << 20)).into_iter().flatten().take(4) {
        look_at(&image);
    }
}
