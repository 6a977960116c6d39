//! Images of OMERO: which is meant, and reading it over a session that somebody has begun.

mod image;
mod pixels;

use std::path::Path;

use biomero_config::Secret;
use biomero_export::source::Source;
use biomero_omero::{Address, Credentials, Options, Session};
use thiserror::Error;

use pixels::Pixels;

/// What a source begins with that is not a path.
const PREFIX: &str = "omero:";
/// Where OMERO's router is, unless somebody has chosen another port.
const PORT: u16 = 4063;

/// Why an image of OMERO is not read.
#[derive(Debug, Error)]
pub(crate) enum Unread {
    /// The text names none.
    #[error("`{0}` names no image of OMERO; write omero:Image:ID, with the number of the image")]
    Name(String),
    /// Who is to be asked was not said.
    #[error(
        "{0} is read over a session: say where OMERO is with --server, and the session's id with --session"
    )]
    Session(String),
    /// The host makes no sense.
    #[error("`{0}` is no server; write HOST or HOST:PORT")]
    Server(String),
    /// OMERO has no such image, or does not show it.
    #[error("OMERO has no image {0}, or does not show it to this user")]
    Absent(i64),
    /// What OMERO says of it cannot be exported.
    #[error("image {id} cannot be exported: {problem}")]
    Unsuitable {
        /// Which.
        id: i64,
        /// Why not.
        problem: String,
    },
    /// OMERO said no, or nothing.
    #[error(transparent)]
    Omero(#[from] biomero_omero::Error),
    /// No thread can be started.
    #[error("cannot start what speaks with OMERO: {0}")]
    System(std::io::Error),
}

/// The image that a source means, if it is one of OMERO's.
pub(crate) fn named(source: &Path) -> Option<Result<i64, Unread>> {
    let text = source.to_str()?.strip_prefix(PREFIX)?;
    let id = text.strip_prefix("Image:").and_then(|id| id.parse().ok()).filter(|id: &i64| *id >= 0);
    Some(id.ok_or_else(|| Unread::Name(format!("{PREFIX}{text}"))))
}

/// Who is asked: `HOST` or `HOST:PORT`, and an IPv6 address in brackets.
pub(crate) fn address(server: &str) -> Result<Address, Unread> {
    let wrong = || Unread::Server(server.to_owned());
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, PORT),
        Some((host, port)) => {
            (host, port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?)
        }
        None => match server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port.parse().map_err(|_| wrong())?),
            _ => (server, PORT),
        },
    };
    if host.is_empty() {
        return Err(wrong());
    }
    Ok(Address { host: host.to_owned(), port, secure: false })
}

/// Opens an image over a session that there is; the session stays when the image is closed.
pub(crate) fn open(id: i64, server: Option<&str>, session: Option<&str>) -> Result<Box<dyn Source>, Unread> {
    let (Some(server), Some(session)) = (server, session) else {
        return Err(Unread::Session(format!("{PREFIX}Image:{id}")));
    };
    let address = address(server)?;
    let credentials = Credentials::Session(Secret::new(session.to_owned()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Unread::System)?;
    let options = Options { agent: "BIOMERO export".to_owned(), ..Options::default() };
    let (session, image) = runtime.block_on(async {
        let session = Session::begin(&address, &credentials, &options).await?;
        // It is somebody else's, who goes on with it.
        session.detach().await?;
        let image = image::read(&session, id).await?;
        Ok::<_, Unread>((session, image))
    })?;
    Ok(Box::new(Pixels::new(runtime, session, image)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_omero_is_named_by_its_number() {
        assert!(named(Path::new("image.tif")).is_none());
        assert!(named(Path::new("./omero:Image:7")).is_none());
        assert!(matches!(named(Path::new("omero:Image:7")), Some(Ok(7))));
        for wrong in ["omero:7", "omero:Image:", "omero:Image:-7", "omero:Image:7a", "omero:Plate:7"] {
            let error = named(Path::new(wrong)).and_then(Result::err).expect("it names none").to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_server_may_say_its_port() {
        let read = |text: &str| address(text).map(|address| (address.host, address.port)).map_err(|_| ());
        for (text, host, port) in [
            ("omero", "omero", 4063),
            ("omero:14063", "omero", 14063),
            ("::1", "::1", 4063),
            ("[::1]:14063", "::1", 14063),
            ("[::1]", "::1", 4063),
        ] {
            assert_eq!(read(text), Ok((host.to_owned(), port)), "{text}");
        }
        for wrong in ["", ":4063", "omero:", "omero:port", "[::1]4063", "omero:99999"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
