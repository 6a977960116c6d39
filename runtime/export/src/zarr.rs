//! OME-Zarr: 0.4 (zarr v2) and 0.5 (zarr v3, shards too), read and written.
//!
//! The arrays are read and written here, not by a general zarr library: a chunk goes from the pipeline's buffer to its file in
//! one pass with memory that is used again, metadata of others is checked before anything is allocated, and of zarr only what
//! images have is understood. Specifications: zarr v2 and v3 core, `sharding_indexed` 1.0, OME-NGFF 0.4 and 0.5.

mod array;
mod attributes;
mod chunk_grid;
mod collection;
mod documents;
mod group;
mod labels;
mod layout;
mod multiscale;
mod plate;
mod reader;
mod shard;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use plate::Layout as PlateLayout;

pub use collection::open;
pub use documents::is_written;
pub use labels::Rois;
pub use layout::{write_plate, write_series};
pub use reader::ZarrImage;
pub use writer::{Encoding, Options, Version, Written, write};
