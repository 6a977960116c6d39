//! Data to a cluster and back, and its removal there.
//!
//! Why not a zip and SFTP, as before: it is read and written three times, nothing is compared, and what breaks off begins
//! anew. Here files are streams of commands: many small ones as tar streams, large ones in pieces.
//!
//! Invariants:
//! - Nobody sees half of it: all is put together in a hidden folder beside the target, and renamed once it is verified.
//! - Verified means that the SHA-256 of what was read here is that of what is on the other disk, file by file or piece by
//!   piece. What differs is sent again, a bounded number of times.
//! - What is recorded as sent is a claim only: a second call has the other end hash it again before it is believed.
//! - Memory does not depend on how many files there are or how large they are.
//! - A name is bytes: it reaches no shell, and is an argument, a member of an archive or a NUL-terminated item of a list.
//! - Nothing is synced to disk, as `rsync` does not: after a loss of power the next call compares and mends.
//! - Kept are modes (without set-user-ID and its like), times of files and symbolic links within the input; not owners.

mod archive;
mod batch;
mod clean;
mod converse;
mod digest;
mod download;
mod error;
mod layout;
mod produce;
mod progress;
mod results;
mod source;
mod tar;
mod upload;

pub use archive::{Archiver, pack, unpack};
pub use clean::{Cleaned, Debris, Removal, clean, mark_in_use, unmark_in_use};
pub use digest::Digest;
pub use download::{Download, Downloaded, download};
pub use error::Error;
pub(crate) use layout::LONGEST_NAME;
pub use layout::{BadName, Layout};
pub use progress::{Progress, Watcher};
pub use results::{Listing, ResultFile, Selection, results};
pub use upload::{Upload, Uploaded, upload};
