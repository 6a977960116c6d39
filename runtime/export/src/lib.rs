//! Images from OME-Zarr and TIFF, written as OME-Zarr with a pyramid and as OME-TIFF.
//!
//! A [`Source`](source::Source) gives regions of planes, [`pipeline`] goes over them once and makes the levels of the pyramid
//! on its way, a writer ([`zarr`], [`tiff`]) stores what comes out.
//!
//! Invariants:
//! - Memory does not depend on the size of an image: what is held are regions, never planes, and the budget is kept by
//!   taking fewer threads.
//! - Every pixel of level 0 is read once.
//! - An image is where it should be once it is complete: it is made beside its place and renamed.
//! - What is read was written by others: sizes, offsets and counts are checked before they are believed, and what a chunk
//!   decompresses to has a limit that is known beforehand.
//!
//! Axes are always time, channel, z, y, x. Samples in a buffer are little-endian, row after row, whatever the file has.

pub mod bioformats2raw;
pub mod codec;
mod compare;
pub mod label;
pub mod manifest;
pub mod metadata;
mod ome;
pub mod pipeline;
pub mod preview;
mod publish;
mod pyramid;
mod resume;
pub mod roi;
mod sample;
mod shape;
pub mod source;
#[cfg(test)]
mod testing;
pub mod tiff;
mod write_error;
pub mod zarr;

pub use compare::{CompareError, compare};
pub use metadata::Metadata;
pub use pyramid::{Reduction, sizes};
pub use resume::Request;
pub use sample::SampleType;
pub use shape::{Plane, Region, Shape};
pub use write_error::WriteError;
