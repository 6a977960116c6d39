//! Inputs as files of the worker: what the cluster is sent is one folder.
//!
//! Invariant: what is staged has its name once it is whole, so that a step that is done again finds what it has done.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use biomero_convert::command_line::{Effort, Reader, Reading, Series};
use biomero_convert::open::{Images, Opening, stem};
use biomero_convert::work::{Interruption, limits, options};
use biomero_export::source::ReadError;
use biomero_export::zarr::{self, Options, Version};
use biomero_export::{Request, WriteError, bioformats2raw};
use biomero_workflow::input::OmeroObject;
use biomero_workflow::{Failure, Input, Problem, Remedy, Step};

use super::deliver::remedy;

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
    #[error("{0} cannot be read: this worker has no session in OMERO")]
    Omero(Input),
}

/// The folder that is sent as it is: one input, a folder of images.
pub(super) fn as_it_is(inputs: &[Input]) -> Option<PathBuf> {
    match inputs {
        [Input::Path(path)] if path.is_dir() && !is_zarr(path) => Some(path.clone()),
        _ => None,
    }
}

/// Whether these can be staged.
pub(super) fn admit(inputs: &[Input]) -> Vec<Problem> {
    let problem = |input: &Input| match input {
        Input::Path(path) => fs::metadata(path)
            .err()
            .map(|error| Problem::new("inputs", format!("{}: {error}", path.display()))),
        Input::Omero(OmeroObject { .. }) => Some(Problem::new(
            "inputs",
            format!("{input}: this worker has no session in OMERO, export it and name the path"),
        )),
    };
    inputs.iter().filter_map(problem).take(10).collect()
}

/// Stages inputs in a folder; dropped, it stops.
pub(super) async fn stage(inputs: Vec<Input>, folder: PathBuf) -> Result<String, Failure> {
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop.0);
    let staging = tokio::task::spawn_blocking(move || stage_all(&inputs, &folder, flag));
    let staged = match staging.await {
        Ok(staged) => staged,
        Err(error) => return Err(Failure::new(Step::Export, error.to_string(), Remedy::None)),
    };
    staged.map_err(|error| {
        let remedy = match &error {
            Unstaged::File { source, .. } => remedy(source),
            _ => Remedy::None,
        };
        Failure::new(Step::Export, error.to_string(), remedy)
    })
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn stage_all(inputs: &[Input], folder: &Path, stop: Arc<AtomicBool>) -> Result<String, Unstaged> {
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    let interruption = Interruption::by(stop);
    let mut taken = BTreeSet::new();
    for input in inputs {
        let Input::Path(path) = input else { return Err(Unstaged::Omero(input.clone())) };
        let name = stem(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The same name for the same input each time.
        let name = (1..).map(|count| if count == 1 { name.clone() } else { format!("{name}_{count}") });
        let name = name.into_iter().find(|name| taken.insert(name.clone())).unwrap_or_default();
        if path.is_dir() {
            let whole = match is_zarr(path) {
                true => folder.join(format!("{name}.ome.zarr")),
                false => folder.join(&name),
            };
            copy_whole(path, &whole)?;
        } else {
            export(path, folder, &name, &interruption)?;
        }
    }
    Ok(format!("{} inputs staged", inputs.len()))
}

/// An image becomes an OME-Zarr; several images of one file become several, the fields of a plate a plate.
fn export(path: &Path, folder: &Path, name: &str, interruption: &Interruption) -> Result<(), Unstaged> {
    let effort = Effort { threads: None, memory: MEMORY };
    let reading = Reading { reader: Reader::Auto, bioformats2raw: bioformats2raw::PROGRAM.into() };
    let opening = Opening {
        reading: &reading,
        series: Series { number: None },
        limits: limits(effort),
        folder,
        interruption,
        progress: &|_, _, _| {},
    };
    let images = Images::open(path, &opening)?;
    let sources = images.all();
    let work = options(effort, interruption.flag(), &|_, _| {});
    let is_plate = sources.iter().all(|source| source.metadata().field.is_some());
    let parts: Vec<_> = match (sources.len(), is_plate) {
        (1, _) | (_, true) => vec![(name.to_owned(), sources)],
        _ => (0..).map(|number| format!("{name}_{number}")).zip(sources.chunks(1)).collect(),
    };
    for (name, sources) in parts {
        let target = folder.join(format!("{name}.ome.zarr"));
        let mut request = Request::new(path, sources, &name)?;
        if zarr::is_written(&target, &request) {
            continue;
        }
        request.overwrite = true;
        let options = Options { request: Some(request), ..Options::new(Version::V04) };
        match sources {
            [source] if !is_plate => drop(zarr::write(&**source, &target, &options, &work)?),
            sources => drop(zarr::write_plate(sources, &target, &options, &work)?),
        }
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
