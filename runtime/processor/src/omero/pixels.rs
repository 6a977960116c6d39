//! The samples of an image of OMERO, as a source of an export.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use biomero_export::roi::Roi;
use biomero_export::source::{Level, ReadError, Source};
use biomero_export::{Metadata, Region, SampleType};
use biomero_omero::api::RawPixelsStore;
use biomero_omero::{Error, Exception, Session};

use super::image::Described;
use super::link::Link;

/// The most bytes of a call: far below the 64 MiB of a message, and enough that the way there and back counts for nothing.
const PIECE: usize = 8 << 20;
/// Rows and columns that are asked for together where nobody says otherwise.
const TILE: usize = 1024;

/// The samples of an image.
pub(super) struct Pixels {
    link: Arc<Link>,
    image: Described,
    levels: [Level; 1],
}

impl Pixels {
    pub(super) fn new(link: Arc<Link>, image: Described) -> Self {
        let tile = [image.shape.y.min(TILE), image.shape.x.min(TILE)];
        let levels = [Level { shape: image.shape, tile }];
        Self { link, image, levels }
    }

    /// Reads a region in pieces of whole rows, or of a part of one.
    async fn fetch(&self, session: &Session, region: &Region, into: &mut [u8]) -> Result<(), Error> {
        let store = self.link.store(session, self.image.pixels, self.image.group).await?;
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
                    let problem = format!("OMERO has sent {found} bytes of a tile that has {wanted}");
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
        turn(into, sample);
        self.link.keep(store).await;
        Ok(())
    }

    /// Which samples, and why not.
    fn failed(&self, region: &Region, error: Error) -> ReadError {
        let Region { plane, y, x, height, width } = *region;
        let path = PathBuf::from(format!(
            "omero:Image:{}, time {}, channel {}, depth {}, rows {y} to {}, columns {x} to {}",
            self.image.id,
            plane.t,
            plane.c,
            plane.z,
            y + height - 1,
            x + width - 1,
        ));
        let kind = match &error {
            Error::Unavailable { .. } | Error::Gone { .. } | Error::NoSession { .. } => {
                io::ErrorKind::NotConnected
            }
            error if error.is(Exception::SessionException) => io::ErrorKind::NotConnected,
            error if error.is(Exception::SecurityViolation) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        ReadError::Io { path, source: io::Error::new(kind, error) }
    }
}

/// OMERO sends the most significant byte first.
fn turn(samples: &mut [u8], bytes: usize) {
    match bytes {
        // A constant width is what lets many of them be turned at a time.
        2 => samples.as_chunks_mut::<2>().0.iter_mut().for_each(|sample| sample.reverse()),
        4 => samples.as_chunks_mut::<4>().0.iter_mut().for_each(|sample| sample.reverse()),
        8 => samples.as_chunks_mut::<8>().0.iter_mut().for_each(|sample| sample.reverse()),
        _ => {}
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

    fn rois(&self) -> &[Arc<Roi>] {
        &self.image.rois
    }

    fn memory(&self) -> usize {
        // The message, and what of it has not been taken from the socket yet.
        2 * PIECE
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        let bytes = region.samples().checked_mul(self.image.kind.bytes());
        let is_empty = region.height == 0 || region.width == 0;
        if level != 0 || is_empty || !self.image.shape.contains(region) || bytes != Some(into.len()) {
            return Err(ReadError::Outside { level, region: *region });
        }
        let fetched = self.link.with(async |session| self.fetch(session, region, into).await);
        fetched.map_err(|error| self.failed(region, error))
    }
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn samples_are_turned_and_bytes_are_not() {
        for (bytes, turned) in [
            (1, [1, 2, 3, 4, 5, 6, 7, 8]),
            (2, [2, 1, 4, 3, 6, 5, 8, 7]),
            (4, [4, 3, 2, 1, 8, 7, 6, 5]),
            (8, [8, 7, 6, 5, 4, 3, 2, 1]),
        ] {
            let mut samples = [1, 2, 3, 4, 5, 6, 7, 8];
            turn(&mut samples, bytes);
            assert_eq!(samples, turned);
        }
    }
}
