//! Messages that were compressed with bzip2 ("Protocol Compression").

use bytes::Bytes;
use bzip2::{Decompress, Status};

use super::{HEADER, ProtocolError};

/// The body of a compressed message: the size of the message before, header included, then one bzip2 stream.
///
/// # Errors
/// It would be larger than `limit`, is damaged, or has another size than it says.
pub fn decompress(body: &[u8], limit: usize) -> Result<Bytes, ProtocolError> {
    let Some((size, stream)) = body.split_first_chunk() else {
        return Err(ProtocolError::Damaged("it has no size"));
    };
    let size = i32::from_le_bytes(*size);
    let checked = usize::try_from(size).ok().filter(|size| *size >= HEADER);
    let size = checked.ok_or(ProtocolError::TooSmall(size))?;
    if size > limit {
        return Err(ProtocolError::TooLarge { size, limit });
    }
    let size = size - HEADER;
    // What it says is believed as far as bytes come for it: bzip2 makes at most some ten thousand of one.
    let mut output = Vec::with_capacity(size.min(stream.len().saturating_mul(64)));
    let mut decompress = Decompress::new(false);
    loop {
        if output.len() == output.capacity() {
            // One more than there should be, to see whether there is.
            let more = (size + 1).saturating_sub(output.len()).min(output.len().max(4096));
            output.reserve_exact(more);
        }
        let read = usize::try_from(decompress.total_in()).unwrap_or(usize::MAX);
        let rest = stream.get(read..).unwrap_or_default();
        let before = output.len();
        let status = decompress.decompress_vec(rest, &mut output);
        if output.len() > size {
            return Err(ProtocolError::Damaged("it is larger than it says"));
        }
        match status {
            Ok(Status::StreamEnd) if output.len() == size => return Ok(output.into()),
            Ok(Status::StreamEnd) => return Err(ProtocolError::Damaged("it is smaller than it says")),
            Ok(_) if output.len() == before && output.capacity() > output.len() => {
                return Err(ProtocolError::Damaged("it ends early"));
            }
            Ok(_) => {}
            Err(_) => return Err(ProtocolError::Damaged("it is no bzip2 stream")),
        }
    }
}
