//! TIFF and OME-TIFF, read and written: classic and BigTIFF, strips and tiles, pyramids in SubIFDs.
//!
//! Written from TIFF 6.0, its supplements (BigTIFF, Deflate, the floating-point predictor) and the OME-TIFF specification, so
//! that regions are read by several threads at once from one open file, offsets of others are checked where they are used, and
//! tiles are compressed in parallel and written as they come.

mod companion;
mod compression;
mod directory;
mod files;
mod image;
mod interleave;
mod jpeg;
mod page;
mod part;
mod planes;
mod predictor;
#[cfg(test)]
mod tests;
mod writer;

pub use companion::{WrittenPlate, companion_of, is_companion, write_plate};
pub use image::{TiffImage, open};
pub use part::{Part, write_part};
pub use writer::{Compress, Layout, Options, Written, write};

/// The tags that are read or written; TIFF 6.0, section 8.
pub(crate) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const X_RESOLUTION: u16 = 282;
    pub(crate) const Y_RESOLUTION: u16 = 283;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const RESOLUTION_UNIT: u16 = 296;
    pub(crate) const SOFTWARE: u16 = 305;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const SUB_IFDS: u16 = 330;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
}

/// Whether a file that begins so is a TIFF.
pub(crate) const fn is_tiff(magic: &[u8; 4]) -> bool {
    matches!(magic, b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+")
}
