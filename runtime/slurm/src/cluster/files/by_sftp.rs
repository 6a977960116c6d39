//! Files by SFTP.
//!
//! What SFTP calls no more than a failure ([`Trouble::Unsaid`]: a full disk, a folder in the way, another file system) is
//! left to the commands, which do it or say why. So are paths that are not UTF-8, which the protocol's library has no word
//! for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use openssh_sftp_client::Error;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;
use openssh_sftp_client::metadata::{MetaData, Permissions};
use tokio::task::JoinSet;

use super::{Kind, Metadata};
use crate::cluster::ssh::FileSession;

/// How much is asked for by one request; OpenSSH's server answers up to 255 KiB, and every one at least 32.
const PIECE: u32 = 128 << 10;

/// How many requests of a read are under way at a time.
const IN_FLIGHT: usize = 16;

/// Why SFTP did not.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is an answer, and it says why.
    Said(io::ErrorKind, String),
    /// There is an answer without a reason.
    Unsaid,
    /// There is no answer.
    Gone,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::SftpError(SftpErrorKind::NoSuchFile, _) => {
                Self::Said(io::ErrorKind::NotFound, "No such file or directory".to_owned())
            }
            Error::SftpError(SftpErrorKind::PermDenied, _) => {
                Self::Said(io::ErrorKind::PermissionDenied, "Permission denied".to_owned())
            }
            Error::SftpError(..) => Self::Unsaid,
            _ => Self::Gone,
        }
    }
}

/// Whether the path can be said to SFTP.
pub(super) fn can_say(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.is_empty() && !path.contains('\0'))
}

pub(super) async fn metadata(session: &FileSession, path: &Path) -> Result<Option<Metadata>, Trouble> {
    match session.sftp.fs().metadata(path).await {
        Ok(told) => read(&told).map(Some).ok_or(Trouble::Unsaid),
        Err(Error::SftpError(SftpErrorKind::NoSuchFile, _)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a server leaves out, commands can tell.
fn read(told: &MetaData) -> Option<Metadata> {
    let kind = match told.file_type()? {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        _ => Kind::Other,
    };
    let mode = told.permissions()?.as_raw().bits() & 0o7777;
    let modified = told.modified()?.as_duration().as_secs();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
    Some(Metadata { kind, size: told.len()?, modified: Some(modified), mode })
}

pub(super) async fn read_at(
    session: &FileSession,
    path: &Path,
    offset: u64,
    most: usize,
) -> Result<Vec<u8>, Trouble> {
    let file = session.sftp.open(path).await?;
    let mut pieces = JoinSet::new();
    let mut read = Vec::new();
    let mut begun = 0;
    loop {
        // A round of requests, whose answers come in any order.
        let mut answers = Vec::new();
        while pieces.len() < IN_FLIGHT && begun < most {
            let length = u32::try_from(most - begun).unwrap_or(PIECE).min(PIECE);
            pieces.spawn(piece(file.clone(), begun, offset.saturating_add(begun as u64), length));
            begun += length as usize;
            // The first alone: most files are smaller.
            if begun == length as usize {
                break;
            }
        }
        if pieces.is_empty() {
            break;
        }
        while let Some(answer) = pieces.join_next().await {
            answers.push(answer.map_err(|_| Trouble::Gone)??);
        }
        answers.sort_by_key(|(at, _, _)| *at);
        for (at, bytes, whole) in answers {
            if at != read.len() {
                break;
            }
            read.extend_from_slice(&bytes);
            if !whole {
                // The end of the file.
                begun = most;
            }
        }
    }
    let _ = file.close().await;
    Ok(read)
}

/// The bytes at an offset: as many as asked for (then `true`), or those up to the end of the file.
async fn piece(
    mut file: File,
    at: usize,
    offset: u64,
    length: u32,
) -> Result<(usize, BytesMut, bool), Trouble> {
    use tokio::io::AsyncSeekExt as _;
    let length = length as usize;
    let mut all = BytesMut::with_capacity(length);
    while all.len() < length {
        let seek = io::SeekFrom::Start(offset.saturating_add(all.len() as u64));
        file.seek(seek).await.map_err(|_| Trouble::Unsaid)?;
        let wanted = u32::try_from(length - all.len()).unwrap_or(PIECE);
        match file.read(wanted, BytesMut::with_capacity(wanted as usize)).await? {
            Some(bytes) if !bytes.is_empty() => all.extend_from_slice(&bytes),
            _ => return Ok((at, all, false)),
        }
    }
    Ok((at, all, true))
}

/// Writes beside the name, then renames: whoever is refused halfway leaves nothing.
pub(super) async fn write(
    session: &FileSession,
    path: &Path,
    beside: &Path,
    content: &[u8],
    mode: u32,
) -> Result<(), Trouble> {
    if !session.sftp.support_posix_rename() {
        // Another rename does not replace.
        return Err(Trouble::Unsaid);
    }
    let mut file = session.sftp.options().write(true).create_new(true).open(beside).await?;
    let written = async {
        let mode = u16::try_from(mode & 0o7777).unwrap_or(0o600);
        // Before there is anything in it that others could read.
        file.set_permissions(Permissions::from(mode)).await?;
        file.write_all(content).await?;
        file.close().await?;
        session.sftp.fs().rename(beside, path).await
    };
    match written.await {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = session.sftp.fs().remove_file(beside).await;
            Err(error.into())
        }
    }
}

pub(super) async fn rename(session: &FileSession, from: &Path, to: &Path) -> Result<(), Trouble> {
    if !session.sftp.support_posix_rename() {
        return Err(Trouble::Unsaid);
    }
    Ok(session.sftp.fs().rename(from, to).await?)
}

pub(super) async fn remove(session: &FileSession, path: &Path) -> Result<(), Trouble> {
    match session.sftp.fs().remove_file(path).await {
        Ok(()) | Err(Error::SftpError(SftpErrorKind::NoSuchFile, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A name beside this one that nobody else takes.
pub(super) fn beside(path: &Path) -> PathBuf {
    let name = format!(".{}.part", uuid::Uuid::new_v4().simple());
    path.with_file_name(name)
}
