//! What is in OMERO: which images are meant, and reading them over a session.

mod address;
mod container;
mod drawn;
mod image;
mod link;
mod object;
mod pixels;
mod shown;
mod trust;

use std::sync::Arc;

use biomero_export::source::Source;
use biomero_omero::{Address, Credentials, Options, Remote as _, Session};
use thiserror::Error;

pub(crate) use address::address;
pub(crate) use object::Object;
pub(crate) use trust::Trust;

use link::Link;
use pixels::Pixels;

/// Why something of OMERO is not read.
#[derive(Debug, Error)]
pub(crate) enum Unread {
    /// The text names nothing that is exported.
    #[error(
        "`{0}` names nothing of OMERO that is exported; write Image:ID, Plate:ID or Dataset:ID, with its number"
    )]
    Name(String),
    /// Who is to be asked was not said.
    #[error(
        "omero:{0} is read over a session: say where OMERO is with --server, and the session's id with --session"
    )]
    Session(Object),
    /// It is said who reads it.
    #[error("omero:{0} is read from OMERO, and by no other reader: leave --reader out")]
    Reader(Object),
    /// Several have one name.
    #[error("omero:{0} becomes a folder for each of its images, called by its number: leave --name out")]
    Names(Object),
    /// The host makes no sense.
    #[error(
        "`{0}` is no server; write HOST or HOST:PORT, and ssl:// before it for TLS on a port that is not 4064"
    )]
    Server(String),
    /// It is there, but not for us.
    #[error(
        "{0}: OMERO is not spoken with through web sockets; use its router on port 4063, or 4064 for TLS"
    )]
    WebSocket(String),
    /// Nobody can be trusted.
    #[error("no certificate of OMERO can be verified: {problem}; --trust says whom to trust")]
    Trust {
        /// Why not.
        problem: String,
    },
    /// OMERO has no such thing, or does not show it.
    #[error("OMERO has no {0}, or does not show it to this user")]
    Absent(Object),
    /// There is no image in it.
    #[error("{0} has no image that this user may see")]
    Empty(Object),
    /// There are too many.
    #[error("{object} has {images} images, which are too many; export them one by one")]
    Many {
        /// In what.
        object: Object,
        /// How many.
        images: usize,
    },
    /// Rows and columns make no sense.
    #[error("Plate:{id} cannot be exported: one of its rows, columns or fields has the number {last}")]
    Grid {
        /// Of which.
        id: i64,
        /// The number.
        last: i64,
    },
    /// What OMERO says of an image cannot be exported.
    #[error("Image:{id} cannot be exported: {problem}")]
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

/// How OMERO is reached, and as whom.
#[derive(Debug)]
pub(crate) struct Access {
    /// Where it is.
    pub(crate) address: Address,
    /// Who asks. A session that there is belongs to somebody else, who goes on with it.
    pub(crate) credentials: Credentials,
    /// Whose certificate it may show.
    pub(crate) trust: Trust,
}

/// A session: one's own, or that of somebody who goes on with it.
pub(crate) async fn begin(access: &Access, agent: &str) -> Result<Session, Unread> {
    let tls = access.address.secure.then(|| trust::tls(&access.trust)).transpose()?;
    let options = Options { agent: agent.to_owned(), tls, ..Options::default() };
    let session = Session::begin(&access.address, &access.credentials, &options).await?;
    if matches!(access.credentials, Credentials::Session(_)) {
        session.detach().await?;
    }
    Ok(session)
}

/// Images, and their numbers in OMERO.
pub(crate) struct Opened {
    /// In the order in which they are exported.
    pub(crate) sources: Vec<Box<dyn Source>>,
    /// In the same order.
    pub(crate) ids: Vec<i64>,
}

/// The images of an object; what is drawn on them only where it is wanted.
pub(crate) fn open(object: Object, access: &Access, wants_rois: bool) -> Result<Opened, Unread> {
    let link = Link::begin(begin(access, "BIOMERO export"))?;
    let described = link.with(async |session| described(session, object, wants_rois).await)?;
    let link = Arc::new(link);
    let source = |image| Box::new(Pixels::new(Arc::clone(&link), image)) as Box<dyn Source>;
    let ids = described.iter().map(|image| image.id).collect();
    Ok(Opened { sources: described.into_iter().map(source).collect(), ids })
}

async fn described(
    session: &Session,
    object: Object,
    wants_rois: bool,
) -> Result<Vec<image::Described>, Unread> {
    let query = session.query().await?.in_group(-1);
    match object {
        Object::Image(id) => image::read(session, &[id], wants_rois).await,
        Object::Dataset(id) => {
            let images = container::dataset(&query, id).await?;
            image::read(session, &images, wants_rois).await
        }
        Object::Plate(id) => {
            let fields = container::plate(&query, id).await?;
            let (images, fields): (Vec<i64>, Vec<_>) = fields.into_iter().unzip();
            let mut described = image::read(session, &images, wants_rois).await?;
            for (image, field) in described.iter_mut().zip(fields) {
                image.metadata.field = Some(field);
            }
            Ok(described)
        }
    }
}
