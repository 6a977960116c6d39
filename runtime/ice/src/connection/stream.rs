//! A socket, with TLS or without, in two halves.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use bytes::buf::Limit;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

/// TLS, at either end.
pub(super) trait Encrypted: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Encrypted for T {}

/// A stream that is connected.
pub(super) enum Stream {
    Tcp(Arc<TcpStream>),
    Tls(Box<dyn Encrypted>),
}

impl Stream {
    /// The two halves, and the socket, if whoever sends may write to it at once.
    pub(super) fn halves(self) -> (Reader, Writer, Option<Arc<TcpStream>>) {
        match self {
            Self::Tcp(socket) => {
                (Reader::Tcp(Arc::clone(&socket)), Writer::Tcp(Arc::clone(&socket)), Some(socket))
            }
            Self::Tls(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Reader::Tls(reader), Writer::Tls(writer), None)
            }
        }
    }
}

pub(super) enum Reader {
    Tcp(Arc<TcpStream>),
    Tls(ReadHalf<Box<dyn Encrypted>>),
}

impl Reader {
    /// Reads what there is. Nothing is lost when it is dropped while it waits.
    pub(super) async fn read(&mut self, mut space: Limit<&mut BytesMut>) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => loop {
                socket.readable().await?;
                match socket.try_read_buf(&mut space) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
            Self::Tls(reader) => reader.read_buf(&mut space).await,
        }
    }
}

pub(super) enum Writer {
    Tcp(Arc<TcpStream>),
    Tls(WriteHalf<Box<dyn Encrypted>>),
}

impl Writer {
    /// Writes as much as the socket takes.
    pub(super) async fn write(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => loop {
                socket.writable().await?;
                match socket.try_write_vectored(pieces) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
            Self::Tls(writer) => writer.write_vectored(pieces).await,
        }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(writer) => writer.flush().await,
        }
    }
}
