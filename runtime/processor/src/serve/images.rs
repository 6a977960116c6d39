//! Inputs as files of the worker: what the cluster is sent is one folder.
//!
//! Invariant: what is staged has its name once it is whole, so that a step that is done again finds what it has done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use biomero_convert::command_line::{Effort, Reader, Reading, Series};
use biomero_convert::open::{Images, Opening, stem};
use biomero_convert::work::{Interruption, limits, options};
use biomero_export::source::{ReadError, Source};
use biomero_export::zarr::{self, Options, Version};
use biomero_export::{Request, WriteError, bioformats2raw};
use biomero_workflow::input::{OmeroKind, OmeroObject};
use biomero_workflow::{Failure, Input, Problem, Remedy, Step, Work};

use super::deliver::remedy;
use super::lent::{self, Lending};
use super::names::Names;
use crate::omero::{self, Access, Unread};

/// Memory for the chunks of an export, in MiB.
const MEMORY: u32 = 256;

/// Why an input was not staged.
#[derive(Debug, thiserror::Error)]
enum Unstaged {
    #[error(transparent)]
    Open(#[from] biomero_convert::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Omero(#[from] Unread),
}

impl Unstaged {
    fn remedy(&self) -> Remedy {
        match self {
            Self::File { source, .. } => remedy(source),
            Self::Omero(error) => lent::remedy(error),
            Self::Read(error) | Self::Write(WriteError::Read(error)) if is_away(error) => Remedy::Wait,
            _ => Remedy::None,
        }
    }
}

/// Whether OMERO has gone while samples were read.
fn is_away(error: &ReadError) -> bool {
    matches!(error, ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotConnected)
}

/// The folder that is sent as it is: one input, a folder of images.
pub(super) fn as_it_is(inputs: &[Input]) -> Option<PathBuf> {
    match inputs {
        [Input::Path(path)] if path.is_dir() && !is_zarr(path) => Some(path.clone()),
        _ => None,
    }
}

/// Whether these can be staged.
pub(super) fn admit(inputs: &[Input], lending: &Lending) -> Vec<Problem> {
    let problem = |input: &Input| match input {
        Input::Path(path) => fs::metadata(path)
            .err()
            .map(|error| Problem::new("inputs", format!("{}: {error}", path.display()))),
        Input::Omero(_) if lending.address().is_some() => None,
        Input::Omero(_) => Some(Problem::new(
            "inputs",
            format!("{input}: this worker knows no OMERO: set master.host, or export it and name the path"),
        )),
    };
    inputs.iter().filter_map(problem).take(10).collect()
}

/// Stages the inputs of a workflow in a folder; dropped, it stops.
pub(super) async fn stage(work: &Work, lending: &Lending, folder: PathBuf) -> Result<String, Failure> {
    let inputs = work.request.inputs.clone();
    let is_of_omero = inputs.iter().any(|input| matches!(input, Input::Omero(_)));
    let access = match is_of_omero {
        true => {
            let (access, session) = lending.joined(work, Step::Export).await?;
            // Each input is read over a connection of its own.
            let _ = session.close().await;
            Some(access)
        }
        false => None,
    };
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop.0);
    let staging = tokio::task::spawn_blocking(move || stage_all(&inputs, access.as_ref(), &folder, flag));
    let staged = match staging.await {
        Ok(staged) => staged,
        Err(error) => return Err(Failure::new(Step::Export, error.to_string(), Remedy::None)),
    };
    staged.map_err(|error| Failure::new(Step::Export, error.to_string(), error.remedy()))
}

/// Tells what goes on in a thread that whoever waits for it is gone.
pub(super) struct StopOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn stage_all(
    inputs: &[Input],
    access: Option<&Access>,
    folder: &Path,
    stop: Arc<AtomicBool>,
) -> Result<String, Unstaged> {
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    let interruption = Interruption::by(stop);
    let mut names = Names::default();
    for input in inputs {
        match (input, access) {
            (Input::Path(path), _) => {
                let name = stem(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = names.path(&name);
                match path.is_dir() {
                    true if is_zarr(path) => copy_whole(path, &folder.join(format!("{name}.ome.zarr")))?,
                    true => copy_whole(path, &folder.join(name))?,
                    false => export(path, folder, &name, &interruption)?,
                }
            }
            (Input::Omero(object), Some(access)) => {
                export_of_omero(*object, access, folder, &mut names, &interruption)?;
            }
            (Input::Omero(_), None) => {}
        }
    }
    Ok(format!("{} inputs staged", inputs.len()))
}

/// An image becomes an OME-Zarr; several images of one file become several, the fields of a plate a plate.
fn export(path: &Path, folder: &Path, name: &str, interruption: &Interruption) -> Result<(), Unstaged> {
    let reading = Reading { reader: Reader::Auto, bioformats2raw: bioformats2raw::PROGRAM.into() };
    let opening = Opening {
        reading: &reading,
        series: Series { number: None },
        limits: limits(EFFORT),
        folder,
        interruption,
        progress: &|_, _, _| {},
    };
    let images = Images::open(path, &opening)?;
    let sources = images.all();
    let parts: Vec<_> = match (sources.len(), is_plate(sources)) {
        (1, _) | (_, true) => vec![(name.to_owned(), sources)],
        _ => (0..).map(|number| format!("{name}_{number}")).zip(sources.chunks(1)).collect(),
    };
    for (name, sources) in parts {
        let request = Request::new(path, sources, &name)?;
        write(request, sources, &folder.join(format!("{name}.ome.zarr")), interruption)?;
    }
    Ok(())
}

/// The same of what is in OMERO. Images are called as there, so that results are known by their names for those of an image.
fn export_of_omero(
    object: OmeroObject,
    access: &Access,
    folder: &Path,
    names: &mut Names,
    interruption: &Interruption,
) -> Result<(), Unstaged> {
    let place =
        format!("{}:{} {}:{}", object.kind.name(), object.id, access.address.host, access.address.port);
    let object = match object.kind {
        OmeroKind::Image => omero::Object::Image(object.id),
        OmeroKind::Dataset => omero::Object::Dataset(object.id),
        OmeroKind::Plate => omero::Object::Plate(object.id),
    };
    let omero::Opened { sources, ids } = omero::open(object, access, false)?;
    let parts: Vec<_> = match is_plate(&sources) {
        true => {
            let plate = sources.first().and_then(|source| source.metadata().field.as_ref());
            let name = plate.and_then(|field| field.plate.name.clone()).unwrap_or_default();
            vec![(names.omero(&name, &format!("plate_{}", object.id())), sources.as_slice())]
        }
        false => {
            let named = sources.iter().zip(&ids).map(|(source, id)| {
                names.omero(source.metadata().name.as_deref().unwrap_or_default(), &format!("image_{id}"))
            });
            let names: Vec<String> = named.collect();
            names.into_iter().zip(sources.chunks(1)).collect()
        }
    };
    for (name, sources) in parts {
        let request = Request::elsewhere(&place, sources, &name);
        write(request, sources, &folder.join(format!("{name}.ome.zarr")), interruption)?;
    }
    Ok(())
}

/// How much of the machine an export has.
const EFFORT: Effort = Effort { threads: None, memory: MEMORY };

fn is_plate(sources: &[Box<dyn Source>]) -> bool {
    sources.iter().all(|source| source.metadata().field.is_some())
}

/// Writes one image or plate, unless it is there.
fn write(
    mut request: Request,
    sources: &[Box<dyn Source>],
    target: &Path,
    interruption: &Interruption,
) -> Result<(), Unstaged> {
    if zarr::is_written(target, &request) {
        return Ok(());
    }
    request.overwrite = true;
    let work = options(EFFORT, interruption.flag(), &|_, _| {});
    let options = Options { request: Some(request), ..Options::new(Version::V04) };
    match sources {
        [source] if !is_plate(sources) => drop(zarr::write(&**source, target, &options, &work)?),
        sources => drop(zarr::write_plate(sources, target, &options, &work)?),
    }
    Ok(())
}

/// A folder with all that is in it: the same files where the file system can have two names for one, copies elsewhere.
fn copy_whole(from: &Path, to: &Path) -> Result<(), Unstaged> {
    if to.exists() {
        return Ok(());
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    super::deliver::remove(&partial).map_err(file("remove", &partial))?;
    copy(from, &partial, DEEPEST)?;
    fs::rename(&partial, to).map_err(file("name", to))
}

/// How deep folders are: a link to a folder above would lead on without end.
const DEEPEST: usize = 64;

fn copy(from: &Path, to: &Path, depth: usize) -> Result<(), Unstaged> {
    let too_deep = || io::Error::other("its folders are too deep, or a link leads back up");
    let Some(depth) = depth.checked_sub(1) else { return Err(file("read", from)(too_deep())) };
    fs::create_dir(to).map_err(file("make", to))?;
    for entry in fs::read_dir(from).map_err(file("read", from))? {
        let entry = entry.map_err(file("read", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = fs::metadata(&from).map_err(file("read", &from))?.file_type();
        if kind.is_dir() {
            copy(&from, &to, depth)?;
        } else if kind.is_file() {
            // A link's own name would be linked, not what it leads to.
            let linked =
                if from.is_symlink() { Err(io::Error::other("a link")) } else { fs::hard_link(&from, &to) };
            if linked.is_err() {
                fs::copy(&from, &to).map_err(file("copy", &from))?;
            }
        }
    }
    Ok(())
}

fn is_zarr(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zarr"))
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Unstaged {
    let path = path.to_owned();
    move |source| Unstaged::File { action, path, source }
}
