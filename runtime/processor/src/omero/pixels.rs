//! The samples of an image of OMERO, as a source of an export.
//!
//! Each thread that reads has a `RawPixelsStore` of its own, so that several tiles are on their way at a time over the one
//! connection: a store answers one call after the other.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use biomero_export::source::{Level, ReadError, Source};
use biomero_export::{Metadata, Region, SampleType};
use biomero_omero::api::RawPixelsStore;
use biomero_omero::{Error, Session, Stateful};
use tokio::runtime::Runtime;

use super::image::Described;

/// The most bytes of a call: far below the 64 MiB of a message, and enough that the way there and back counts for nothing.
const PIECE: usize = 8 << 20;
/// Rows and columns that are asked for together where nobody says otherwise.
const TILE: usize = 1024;
/// How long giving the server back what it holds may take.
const END: Duration = Duration::from_secs(15);

/// The samples of an image.
pub(super) struct Pixels {
    /// What speaks with OMERO; none once it is closed.
    open: Option<(Runtime, Session)>,
    /// Those that no thread reads with now.
    idle: Mutex<Vec<Stateful<RawPixelsStore>>>,
    image: Described,
    levels: [Level; 1],
}

impl Pixels {
    pub(super) fn new(runtime: Runtime, session: Session, image: Described) -> Self {
        let tile = [image.shape.y.min(TILE), image.shape.x.min(TILE)];
        let levels = [Level { shape: image.shape, tile }];
        Self { open: Some((runtime, session)), idle: Mutex::default(), image, levels }
    }

    async fn store(&self, session: &Session) -> Result<Stateful<RawPixelsStore>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(store) = idle {
            return Ok(store);
        }
        let store = match self.image.group {
            Some(group) => session.raw_pixels_in(group).await?,
            None => session.raw_pixels().await?,
        };
        store.set_pixels_id(self.image.pixels, false).await?;
        Ok(store)
    }

    /// Reads a region in pieces of whole rows, or of a part of one.
    async fn fetch(&self, session: &Session, region: &Region, into: &mut [u8]) -> Result<(), Error> {
        let store = self.store(session).await?;
        let sample = self.image.kind.bytes();
        let width = region.width.min(PIECE / sample).max(1);
        let height = (PIECE / sample / width).clamp(1, region.height.max(1));
        for y in (0..region.height).step_by(height) {
            let height = height.min(region.height - y);
            for x in (0..region.width).step_by(width) {
                let width = width.min(region.width - x);
                let piece = Region { y: region.y + y, x: region.x + x, height, width, ..*region };
                let bytes = tile(&store, &piece).await?;
                let row = width * sample;
                if bytes.len() != height * row {
                    let (found, wanted) = (bytes.len(), height * row);
                    let problem = format!("a tile has {found} bytes, not {wanted}: {piece:?}");
                    return Err(Error::Protocol { problem });
                }
                for (number, line) in bytes.chunks_exact(row.max(1)).enumerate() {
                    let start = ((y + number) * region.width + x) * sample;
                    if let Some(into) = into.get_mut(start..start + row) {
                        into.copy_from_slice(line);
                    }
                }
            }
        }
        // OMERO sends the most significant byte first.
        if sample > 1 {
            into.chunks_exact_mut(sample).for_each(<[u8]>::reverse);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        Ok(())
    }
}

async fn tile(store: &RawPixelsStore, region: &Region) -> Result<bytes::Bytes, Error> {
    // A shape's sides fit: OMERO has counted them in as many bits.
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let Region { plane, y, x, height, width } = *region;
    let [z, c, t] = [plane.z, plane.c, plane.t].map(number);
    store.get_tile(z, c, t, number(x), number(y), number(width), number(height)).await
}

impl Source for Pixels {
    fn sample_type(&self) -> SampleType {
        self.image.kind
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn metadata(&self) -> &Metadata {
        &self.image.metadata
    }

    fn storage(&self) -> &str {
        "OMERO"
    }

    fn memory(&self) -> usize {
        // The message, and what of it has not been taken from the socket yet.
        2 * PIECE
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        let bytes = region.samples().checked_mul(self.image.kind.bytes());
        if level != 0 || !self.image.shape.contains(region) || bytes != Some(into.len()) {
            return Err(ReadError::Outside { level, region: *region });
        }
        let Some((runtime, session)) = &self.open else { return Err(self.failed("it is closed")) };
        runtime.block_on(self.fetch(session, region, into)).map_err(|error| self.failed(error))
    }
}

impl Pixels {
    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ReadError {
        let path = PathBuf::from(format!("omero:Image:{}", self.image.id));
        ReadError::Io { path, source: io::Error::other(error) }
    }
}

/// The session goes on, and so would what is held in it.
impl Drop for Pixels {
    fn drop(&mut self) {
        let Some((runtime, session)) = self.open.take() else { return };
        let stores = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for store in stores {
                store.close().await?;
            }
            session.close().await
        };
        let closed = runtime.block_on(async { tokio::time::timeout(END, closing).await });
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!("what OMERO holds for the export is left to the end of its session");
        }
        runtime.shutdown_background();
    }
}
