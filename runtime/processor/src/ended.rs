//! Why a command ended before its time: told once, here, and turned into the exit code.

use std::io;
use std::path::PathBuf;

use biomero_events::Class;
use biomero_events::copy::CopyError;
use biomero_events::json::Value;
use biomero_export::WriteError;
use biomero_export::manifest::VerifyError;
use biomero_export::source::ReadError;
use biomero_results::folder::FolderError;
use biomero_results::home::Error as HomeError;
use biomero_slurm::run::{Failure, StoreError};
use thiserror::Error;
use uuid::Uuid;

use crate::api::token::TokenError;
use crate::api::{ApiError, SocketError};
use crate::client::ClientError;
use crate::events::LineError;
use crate::export::omero_zarr::Refused;
use crate::omero::Unread;
use crate::personality::Unanswered;
use crate::{exit_code, output};

/// Why a command ended.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    /// Whoever read the answer has gone: `| head`.
    #[error("the reader of the answer has gone")]
    ReaderGone,
    /// The answer could not be written.
    #[error("cannot write the answer: {0}; free space where it goes")]
    Output(#[source] io::Error),
    /// The program could not be set up.
    #[error("cannot start: {0}; often a limit of the container")]
    System(#[source] io::Error),
    /// The settings of the worker make no sense.
    #[error(transparent)]
    Settings(#[from] biomero_config::LoadError),
    /// `slurm-config.ini` makes no sense.
    #[error("{}", .0.join("\n"))]
    SlurmConfig(Vec<String>),
    /// A file that may name the database cannot be read.
    #[error(
        "{path} cannot be read, so that nobody can tell whether it names the database: {source}; make it readable, or name the database by --database or SQLALCHEMY_URL"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The URL of the database makes no sense.
    #[error("{source}\nit comes from {origin}")]
    Url {
        /// Who said it.
        origin: String,
        /// What is wrong.
        source: biomero_events::url::UrlError,
    },
    /// The date of a rebuild makes no sense.
    #[error(
        "{origin} is {text:?}: write a day as 2026-11-22, a moment as 2026-11-22T10:00:00Z, or 30d for the last thirty days"
    )]
    Since {
        /// Who said it.
        origin: String,
        /// What they said.
        text: String,
    },
    /// There is no place for the embedded file.
    #[error(
        "no database is named, and there is no home folder for a file: set SQLALCHEMY_URL, or events.file in /etc/biomero/init.toml"
    )]
    Nowhere,
    /// The id is of something else.
    #[error("{id} is a {found}, not a {expected}: nothing was recorded")]
    OtherKind {
        /// Which.
        id: Uuid,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// One id for many commands.
    #[error(
        "--command-id is of one command: write it into its line, [\"--command-id\",\"UUID\",\"start-task\",…]"
    )]
    EachItsOwn,
    /// A command among many makes no sense.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Commands cannot be read.
    #[error("cannot read commands from standard input: {0}; what was answered is recorded")]
    Lines(#[source] io::Error),
    /// No such workflow.
    #[error("{name:?} is no workflow of slurm-config.ini: there are {}", .known.join(", "))]
    NoWorkflow {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nobody can ask.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server that is asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token's line is not kept.
    #[error("{}: cannot add the token: {source}; nothing was made", path.display())]
    TokenFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no folder for what has to be remembered.
    #[error("there is no home folder to remember runs and jobs in: set HOME or XDG_STATE_HOME")]
    NoHome,
    /// Descriptors cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] biomero_slurm::workflow::catalogue::FetchError),
    /// The descriptor of a workflow.
    #[error("{name}: {source}")]
    Descriptor {
        /// The workflow.
        name: String,
        /// What is wrong.
        source: biomero_slurm::workflow::catalogue::EntryError,
    },
    /// A parameter makes no sense.
    #[error(transparent)]
    Argument(#[from] biomero_slurm::workflow::ArgumentError),
    /// The template of job scripts.
    #[error(transparent)]
    Template(#[from] biomero_slurm::workflow::TemplateError),
    /// The converter of the cluster.
    #[error(transparent)]
    Program(#[from] biomero_slurm::workflow::ProgramError),
    /// The images are not where they should be.
    #[error("cannot read the images in {}: {source}", path.display())]
    Input {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file to attach is not where it should be.
    #[error(
        "{parameter}: cannot read {}: {source}; give the path of a file or folder of this machine", path.display()
    )]
    Attachment {
        /// The parameter that it is for.
        parameter: String,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Requests of runs.
    #[error(transparent)]
    Runs(#[from] biomero_slurm::run::StoreError),
    /// A run did not come to its end.
    #[error("{failure}")]
    Run {
        /// Which.
        id: Uuid,
        /// Why.
        failure: Box<biomero_slurm::run::Failure>,
    },
    /// The request of a workflow cannot be read.
    #[error("cannot read the request in {}: {source}", path.display())]
    Request {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is no request: {source}; see `processor workflow submit --help`", path.display())]
    NoRequest {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A workflow was not taken, found or changed.
    #[error(transparent)]
    Workflow(#[from] biomero_workflow::Error),
    /// Jobs could not be asked after.
    #[error(transparent)]
    Engine(#[from] biomero_slurm::engine::Error),
    /// Images are not on their way.
    #[error(transparent)]
    Pull(biomero_slurm::setup::pull::Error),
    /// The cluster said no, or nothing.
    #[error(transparent)]
    Cluster(#[from] biomero_slurm::Error),
    /// Data did not come back, or is not removed.
    #[error(transparent)]
    Data(#[from] biomero_slurm::data::Error),
    /// A text names no data folder.
    #[error(transparent)]
    DataName(#[from] biomero_slurm::data::BadName),
    /// The embedded executor said no.
    #[error(transparent)]
    Executor(#[from] biomero_slurm::executor::Error),
    /// A text is no job id.
    #[error(transparent)]
    NoJobId(#[from] biomero_slurm::job::NoJobId),
    /// An image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An image of OMERO cannot be read.
    #[error(transparent)]
    Omero(#[from] Unread),
    /// Results are not read.
    #[error(transparent)]
    Folder(#[from] biomero_results::folder::FolderError),
    /// A text names nothing of OMERO.
    #[error(transparent)]
    NoObject(#[from] biomero_results::NoObject),
    /// Images go into datasets.
    #[error(
        "images are imported into a dataset, and {0} is none; write omero:Dataset:ID, or the name of one"
    )]
    NoDataset(biomero_results::Object),
    /// Nothing imports images.
    #[error(transparent)]
    Importer(biomero_results::home::ImporterError),
    /// Results do not come home.
    #[error(transparent)]
    Home(#[from] biomero_results::home::Error),
    /// Something of `omero zarr` is not done here.
    #[error(transparent)]
    OmeroZarr(#[from] Refused),
    /// Something of `omero` is not done here, and by nobody else.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// An image was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An image cannot be compared with its digests.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// An image was not converted, or not found.
    #[error(transparent)]
    Convert(#[from] biomero_convert::Error),
    /// One history is not copied onto the other.
    #[error(transparent)]
    Copy(CopyError),
    /// There is no processor.
    #[error(transparent)]
    Grid(#[from] crate::grid::Unable),
    /// The log said no.
    #[error("{}", in_full(.source.as_ref()))]
    Log {
        /// Who named the database.
        origin: String,
        /// What it said.
        source: Box<biomero_events::Error>,
    },
}

impl Ended {
    /// Tells it on standard error; returns the exit code.
    pub(crate) fn told(self) -> u8 {
        if !matches!(self, Self::ReaderGone) {
            output::error(&self);
        }
        for hint in self.hints() {
            output::hint(hint);
        }
        self.exit_code()
    }

    /// The same for a program that goes on.
    pub(crate) fn object(&self) -> Value {
        let hints = self.hints().into_iter().map(Value::from).collect::<Vec<_>>();
        let code = i64::from(self.exit_code());
        [("error", self.to_string().into()), ("hints", hints.into()), ("exit_code", code.into())].into()
    }

    /// What may help.
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Run { id, failure } if failure.is_passing() => {
                vec![format!("take it up again: processor slurm run --resume {id}")]
            }
            Self::Run { failure, .. } => match failure.as_ref() {
                Failure::Job { failures, .. } => failures
                    .iter()
                    .flat_map(|failure| &failure.log)
                    .map(|line| format!("its log: {line}"))
                    .collect(),
                _ => Vec::new(),
            },
            Self::Client(ClientError::Nobody { .. }) => {
                vec!["start one: processor serve; for one workflow alone: processor run … --watch".to_owned()]
            }
            Self::Client(ClientError::Refused { remedy, .. }) if !remedy.is_empty() => vec![remedy.clone()],
            Self::Log { origin, .. } => vec![format!("the database was named by {origin}")],
            _ => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => exit_code::SUCCESS,
            Self::Output(_) => exit_code::CANNOT_WRITE,
            Self::OtherKind { .. } | Self::EachItsOwn | Self::Line(_) | Self::NoJobId(_) => exit_code::USAGE,
            Self::Executor(error) => of_executor(error),
            Self::System(_) | Self::Lines(_) => exit_code::FAILURE,
            Self::NoWorkflow { .. } | Self::Argument(_) => exit_code::USAGE,
            Self::NoHome => exit_code::CONFIGURATION,
            Self::Api(ApiError::Socket(SocketError::Taken { .. })) => exit_code::UNAVAILABLE,
            Self::Api(_) => exit_code::CONFIGURATION,
            Self::Client(error) => of_client(error),
            Self::Token(_) => exit_code::FAILURE,
            Self::TokenFile { .. } => exit_code::CANNOT_WRITE,
            Self::Fetch(_) | Self::Descriptor { .. } => exit_code::UNAVAILABLE,
            Self::Engine(error) => of_engine(error),
            Self::Request { .. } => exit_code::ABSENT,
            Self::NoRequest { .. } => exit_code::USAGE,
            Self::Workflow(error) => of_workflow(error),
            Self::Input { .. } | Self::Attachment { .. } => exit_code::ABSENT,
            Self::Runs(StoreError::NoRun(_)) => exit_code::ABSENT,
            Self::Runs(_) => exit_code::CANNOT_WRITE,
            Self::Run { failure, .. } => of_run(failure),
            Self::Cluster(error) | Self::Pull(biomero_slurm::setup::pull::Error::Cluster(error)) => {
                of_cluster(error)
            }
            Self::Pull(_) => exit_code::FAILURE,
            Self::Data(error) => of_data(error),
            Self::DataName(_) => exit_code::USAGE,
            Self::Read(error) => biomero_convert::exit_code::of_reading(error),
            Self::Omero(error) => of_omero(error),
            Self::Folder(FolderError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                exit_code::PERMISSION
            }
            Self::Folder(FolderError::Io { .. }) => exit_code::ABSENT,
            Self::Folder(FolderError::TooMany { .. }) => exit_code::FAILURE,
            Self::NoObject(_) | Self::NoDataset(_) => exit_code::USAGE,
            Self::Importer(_) => exit_code::CONFIGURATION,
            Self::Home(error) => of_home(error),
            Self::OmeroZarr(_) => exit_code::USAGE,
            Self::Unanswered(Unanswered::Alone(_)) => exit_code::USAGE,
            Self::Unanswered(Unanswered::Run { .. }) => exit_code::FAILURE,
            Self::Write(error) => biomero_convert::exit_code::of_writing(error),
            Self::Convert(error) => error.exit_code(),
            Self::Verify(VerifyError::Absent { .. }) => exit_code::ABSENT,
            Self::Verify(VerifyError::Line { .. }) => exit_code::CORRUPT,
            Self::Verify(_) => exit_code::FAILURE,
            Self::Settings(_)
            | Self::SlurmConfig(_)
            | Self::Unreadable { .. }
            | Self::Url { .. }
            | Self::Since { .. }
            | Self::Nowhere
            | Self::Template(_)
            | Self::Program(_) => exit_code::CONFIGURATION,
            Self::Grid(error) => error.exit_code(),
            Self::Copy(CopyError::Log(source)) => of_class(source.class()),
            Self::Copy(CopyError::Different { .. }) => exit_code::CONFIGURATION,
            Self::Copy(CopyError::Busy { .. }) => exit_code::UNAVAILABLE,
            Self::Log { source, .. } => of_class(source.class()),
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(error),
        }
    }
}

const fn of_class(class: Class) -> u8 {
    match class {
        Class::Absent => exit_code::ABSENT,
        Class::Corrupt => exit_code::CORRUPT,
        Class::Schema => exit_code::SCHEMA,
        Class::Unavailable => exit_code::UNAVAILABLE,
        Class::Full => exit_code::CANNOT_WRITE,
        Class::Permission => exit_code::PERMISSION,
        Class::Unsuitable => exit_code::CONFIGURATION,
        Class::Exists | Class::Other => exit_code::FAILURE,
    }
}

fn of_run(failure: &Failure) -> u8 {
    match failure {
        Failure::Arguments(_) => exit_code::USAGE,
        Failure::Plan(_) | Failure::Name(_) | Failure::Program { .. } => exit_code::CONFIGURATION,
        Failure::Cluster(error) => of_cluster(error),
        // What says no more than that data did not get through may pass.
        Failure::Data(error) => match of_data(error) {
            exit_code::FAILURE => exit_code::UNAVAILABLE,
            code => code,
        },
        Failure::Engine(error) => of_engine(error),
        Failure::Witness(error) => match error.downcast_ref::<biomero_events::Error>() {
            Some(error) => of_class(error.class()),
            None => exit_code::UNAVAILABLE,
        },
        Failure::Store(_) => exit_code::CANNOT_WRITE,
        Failure::Job { .. } | Failure::Never { .. } | Failure::Gone { .. } => exit_code::FAILURE,
    }
}

fn of_workflow(error: &biomero_workflow::Error) -> u8 {
    use biomero_workflow::Error;
    match error {
        Error::Senseless(_) | Error::Exists { .. } => exit_code::USAGE,
        Error::Untold(_) | Error::Full { .. } | Error::Contended { .. } => exit_code::UNAVAILABLE,
        Error::Absent { .. } => exit_code::ABSENT,
        Error::Damaged { .. } => exit_code::CORRUPT,
        Error::OutOfPlace { .. } | Error::Superseded { .. } => exit_code::FAILURE,
        Error::Log(error) => of_class(error.class()),
    }
}

fn of_engine(error: &biomero_slurm::engine::Error) -> u8 {
    use biomero_slurm::engine::Error;
    match error {
        Error::Slurm(biomero_slurm::scheduler::Error::Cluster(error)) => of_cluster(error),
        Error::Slurm(_) => exit_code::UNAVAILABLE,
        Error::Embedded(error) => of_executor(error),
    }
}

const fn of_home(error: &HomeError) -> u8 {
    use biomero_omero::Error as OmeroError;
    match error {
        HomeError::Absent(_) => exit_code::ABSENT,
        HomeError::NoTarget | HomeError::Groups { .. } => exit_code::USAGE,
        HomeError::ReadOnly { .. } | HomeError::Forbidden { .. } => exit_code::PERMISSION,
        HomeError::Omero { source: OmeroError::Denied { .. }, .. } => exit_code::PERMISSION,
        HomeError::Omero {
            source: OmeroError::Unavailable { .. } | OmeroError::Gone { .. } | OmeroError::NoSession { .. },
            ..
        } => exit_code::UNAVAILABLE,
        _ => exit_code::FAILURE,
    }
}

const fn of_omero(error: &Unread) -> u8 {
    match error {
        Unread::Name(_)
        | Unread::Session(_)
        | Unread::Reader(_)
        | Unread::Names(_)
        | Unread::Server(_)
        | Unread::WebSocket(_)
        | Unread::Trust { .. } => exit_code::USAGE,
        Unread::Absent(_) | Unread::Empty(_) => exit_code::ABSENT,
        Unread::Omero(biomero_omero::Error::Denied { .. }) => exit_code::PERMISSION,
        Unread::Omero(biomero_omero::Error::Unavailable { .. } | biomero_omero::Error::NoSession { .. }) => {
            exit_code::UNAVAILABLE
        }
        Unread::Unsuitable { .. }
        | Unread::Grid { .. }
        | Unread::Many { .. }
        | Unread::Omero(_)
        | Unread::System(_) => exit_code::FAILURE,
    }
}

fn of_data(error: &biomero_slurm::data::Error) -> u8 {
    use biomero_slurm::data::Error;
    match error {
        Error::Cluster(error) => of_cluster(error),
        Error::FullHere { .. } | Error::FullThere { .. } | Error::Occupied { .. } => exit_code::CANNOT_WRITE,
        Error::NotRemoved { .. } => exit_code::PERMISSION,
        Error::Stalled { .. } => exit_code::UNAVAILABLE,
        _ => exit_code::FAILURE,
    }
}

fn of_cluster(error: &biomero_slurm::Error) -> u8 {
    use biomero_slurm::Error;
    use biomero_slurm::cluster::ConnectKind;
    match error {
        Error::Connect {
            kind:
                ConnectKind::HostKey
                | ConnectKind::HostKeyChanged
                | ConnectKind::Denied
                | ConnectKind::TooManyKeys
                | ConnectKind::KeyFile
                | ConnectKind::KeyLocked
                | ConnectKind::LoginShell,
            ..
        } => exit_code::PERMISSION,
        Error::Connect { kind: ConnectKind::Configuration | ConnectKind::ControlFolder, .. } => {
            exit_code::CONFIGURATION
        }
        error if error.is_full() => exit_code::CANNOT_WRITE,
        Error::Connect { .. } | Error::Lost { .. } | Error::Deadline { .. } => exit_code::UNAVAILABLE,
        _ => exit_code::FAILURE,
    }
}

const fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Nobody { .. } | ClientError::Broken { .. } => exit_code::UNAVAILABLE,
        ClientError::NotOurs { .. } => exit_code::PERMISSION,
        ClientError::Refused { status, .. } => match *status {
            400 | 415 | 422 => exit_code::USAGE,
            401 => exit_code::PERMISSION,
            404 => exit_code::ABSENT,
            500 => exit_code::CORRUPT,
            429 | 503 => exit_code::UNAVAILABLE,
            _ => exit_code::FAILURE,
        },
    }
}

const fn of_executor(error: &biomero_slurm::executor::Error) -> u8 {
    use biomero_slurm::executor::Error;
    match error {
        Error::Absent { .. } => exit_code::ABSENT,
        Error::Damaged { .. } => exit_code::CORRUPT,
        Error::Busy { .. } | Error::Full { .. } => exit_code::UNAVAILABLE,
        _ => exit_code::FAILURE,
    }
}

/// The message and those of its causes that it does not hold itself.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such_wherever_it_is() {
        let host = || "slurm".to_owned();
        let script = biomero_slurm::Error::File {
            host: host(),
            action: "write",
            path: "jobs/wf.sh".into(),
            kind: io::ErrorKind::QuotaExceeded,
            reason: "Disk quota exceeded".to_owned(),
        };
        let folder = biomero_slurm::Error::Failed {
            host: host(),
            what: "mkdir".to_owned(),
            status: biomero_slurm::Status::Exited(1),
            stderr: "mkdir: cannot create directory: No space left on device".to_owned(),
        };
        let there = biomero_slurm::data::Error::FullThere {
            host: host(),
            path: "data".into(),
            said: "No space left on device".to_owned(),
        };
        let here = biomero_slurm::data::Error::FullHere { path: "results".into() };
        let stalled =
            biomero_slurm::data::Error::Stalled { host: host(), action: "sending files", seconds: 180 };
        for (failure, code) in [
            (Failure::Cluster(script), exit_code::CANNOT_WRITE),
            (Failure::Cluster(folder), exit_code::CANNOT_WRITE),
            (Failure::Data(there), exit_code::CANNOT_WRITE),
            (Failure::Data(here), exit_code::CANNOT_WRITE),
            (Failure::Data(stalled), exit_code::UNAVAILABLE),
        ] {
            assert!(failure.is_passing(), "{failure}");
            assert_eq!(of_run(&failure), code, "{failure}");
        }
    }
}
