//! OME-XML, schema 2016-06: what of it describes pixels is read, and written so that it is valid.

mod plate;
mod read;
mod roi;
mod write;

pub(crate) use plate::{Member, companion, write_binary_only, write_companion};
pub(crate) use read::{Block, Pixels, read};
pub(crate) use write::{Described, File, Planes, write};
