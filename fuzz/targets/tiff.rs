//! A TIFF file: whatever it says of itself, opening and reading it ends, in bounded memory.
#![no_main]

use biomero_export::source::Limits;
use biomero_export::tiff;
use biomero_fuzz::{look_at, root_with};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = root_with("image.tif", data).join("image.tif");
    for image in tiff::open(&path, Limits::of(4 << 20)).into_iter().flatten().take(4) {
        look_at(&image);
    }
});
