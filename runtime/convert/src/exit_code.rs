//! The exit codes of what is done with images; the table of `docs/export.md` is tested against them.
//!
//! From 64 on they are the numbers of sysexits(3), as everywhere in this project.

use std::io;

use biomero_export::WriteError;
use biomero_export::bioformats2raw::RawError;
use biomero_export::source::ReadError;

/// Everything went well.
pub const SUCCESS: u8 = 0;
/// Something that has no code of its own.
pub const FAILURE: u8 = 1;
/// The command line makes no sense, or asks for more memory than it allows.
pub const USAGE: u8 = 64;
/// The image is damaged.
pub const CORRUPT: u8 = 65;
/// There is no such file.
pub const ABSENT: u8 = 66;
/// A program or a server that has to be there is not.
pub const UNAVAILABLE: u8 = 69;
/// No space is left, or something of that name is there already.
pub const CANNOT_WRITE: u8 = 73;
/// A right is missing.
pub const PERMISSION: u8 = 77;

/// That of an image that cannot be read.
#[must_use]
pub fn of_reading(error: &ReadError) -> u8 {
    match error {
        error if error.is_absent() => ABSENT,
        ReadError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => PERMISSION,
        // Whoever has it has gone.
        ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotConnected => UNAVAILABLE,
        ReadError::Damaged { .. } => CORRUPT,
        ReadError::TooLarge { .. } | ReadError::Overlap { .. } => USAGE,
        _ => FAILURE,
    }
}

/// That of an image that bioformats2raw could not read.
#[must_use]
pub fn of_making(error: &RawError) -> u8 {
    match error {
        RawError::Absent { .. } | RawError::Old { .. } | RawError::Unknown { .. } => UNAVAILABLE,
        RawError::Full { .. } => CANNOT_WRITE,
        RawError::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => ABSENT,
            io::ErrorKind::PermissionDenied => PERMISSION,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CANNOT_WRITE,
            _ => FAILURE,
        },
        _ => FAILURE,
    }
}

/// That of an image that was not written.
#[must_use]
pub fn of_writing(error: &WriteError) -> u8 {
    match error {
        WriteError::Read(error) => of_reading(error),
        WriteError::Full { .. } | WriteError::Occupied { .. } => CANNOT_WRITE,
        WriteError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => PERMISSION,
        WriteError::Foreign { .. } => PERMISSION,
        WriteError::Memory { .. } | WriteError::Unsupported { .. } => USAGE,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_documents_every_exit_code() {
        let page = include_str!("../../../docs/export.md");
        for code in [SUCCESS, FAILURE, USAGE, CORRUPT, ABSENT, UNAVAILABLE, CANNOT_WRITE, PERMISSION] {
            assert!(page.contains(&format!("\n| {code} | ")), "docs/export.md lacks the exit code {code}");
        }
    }
}
