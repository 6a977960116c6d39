//! `omero zarr export`, in place of omero-cli-zarr: the same flags, names and layout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use biomero_config::Secret;
use biomero_convert::command_line::Effort;
use biomero_convert::work::Interruption;
use biomero_export::codec::BloscCodec;
use biomero_export::source::Source;
use biomero_export::zarr::{Encoding, Options, Version};
use biomero_export::{Metadata, Request};
use biomero_omero::Credentials;
use thiserror::Error;

use super::write::{Outcome, Target, Whole};
use crate::command_line::export::Version as Asked;
use crate::command_line::omero_zarr::{ExportZarr, Login, NameBy, OmeroZarr, Release, Verb};
use crate::ended::Ended;
use crate::exit_code;
use crate::omero::{self, Access, Object, Opened};
use crate::output::{self, Answer, inert};

/// Memory for chunks, in MiB, as `processor export` has it.
const MEMORY: u32 = 512;
/// Rows and columns of a chunk where nothing is said.
const TILE: u16 = 1024;
/// No name of a folder is longer, less what is put around it.
const NAME: usize = 200;

/// What `omero zarr` does and this does not.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// Labels beside an OME-Zarr that is there.
    #[error(
        "{0} are not added to an OME-Zarr that is there: `processor export omero:Image:ID --labels` writes the image with its ROIs as a label image"
    )]
    Labels(&'static str),
    /// The other way.
    #[error("nothing is written into OMERO here: call omero-cli-zarr for `import`")]
    Import,
    /// Files of the server.
    #[error(
        "--bf and --bfpath read files, and this reads from OMERO: leave them out, or give the file to `processor export FILE`"
    )]
    Files,
    /// A pyramid of another height.
    #[error(
        "--resolutions is only of bioformats2raw: leave it out; there are levels until the longer side is at most 96"
    )]
    Resolutions,
    /// Chunks that are no squares.
    #[error(
        "chunks of {width} × {height} are not written: give --tile_width and --tile_height the same even number"
    )]
    Chunks {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Another format than the release had.
    #[error("omero-cli-zarr 0.5.5 wrote 0.4 alone: leave --format or --as out")]
    Format,
    /// How to begin a session.
    #[error("{0} is not done here: begin the session by `omero login`, and pass its id by --key")]
    Session(&'static str),
    /// Nobody said where OMERO is.
    #[error(
        "say where OMERO is with --server, and the id of a session with --key (or --user and --password): sessions that `omero login` has stored are not looked for"
    )]
    Login,
}

pub(super) fn run(asked: &OmeroZarr, answer: &mut Answer) -> Result<u8, Ended> {
    let export = match &asked.verb {
        Verb::Export(export) => export,
        Verb::Masks(_) => return Err(Refused::Labels("masks").into()),
        Verb::Polygons(_) => return Err(Refused::Labels("polygons").into()),
        Verb::Import(_) => return Err(Refused::Import.into()),
    };
    let options = options(export)?;
    let access = access(&asked.login)?;
    // As omero has it, a number alone is an image's.
    let is_number = export.object.bytes().all(|digit| digit.is_ascii_digit());
    let object = if is_number { format!("Image:{}", export.object) } else { export.object.clone() };
    let object: Object = object.parse()?;
    if asked.login.group.is_some() {
        output::note("--group changes nothing: what is in any group of the user is found");
    }
    let interruption = Interruption::new()?;
    let effort = Effort { threads: export.max_workers, memory: MEMORY };
    let folder = export.output.as_ref().or(asked.output.as_ref()).cloned().unwrap_or_default();
    let opened = omero::open(object, &access, false)?;
    let text = format!("{options:?}");
    let place = format!("{object} {}:{}", access.address.host, access.address.port);
    for target in targets(export, object, &opened, &folder) {
        let request = Request::elsewhere(&place, target.sources, &text);
        let options = Options { request: Some(request), ..options.clone() };
        let mut say = |line: String| if asked.login.quiet { Ok(()) } else { answer.line(line) };
        say(format!("Exporting to {} ({})", inert(&target.path.to_string_lossy()), version(export.format)))?;
        match target.write(&options, effort, &interruption)? {
            Outcome::Unchanged => say("It is there already, of the same image and options.".to_owned())?,
            Outcome::Written(..) => say("Finished.".to_owned())?,
        }
        answer.flush()?;
    }
    Ok(exit_code::SUCCESS)
}

const fn version(asked: Asked) -> &'static str {
    match asked {
        Asked::V04 => "0.4",
        Asked::V05 => "0.5",
    }
}

/// How it is written.
fn options(export: &ExportZarr) -> Result<Options, Refused> {
    if export.bf || export.bfpath.is_some() {
        return Err(Refused::Files);
    }
    if export.resolutions.is_some() {
        return Err(Refused::Resolutions);
    }
    let (width, height) = (export.tile_width.unwrap_or(TILE), export.tile_height.unwrap_or(TILE));
    if width != height || width % 2 == 1 {
        return Err(Refused::Chunks { width, height });
    }
    let version = match export.format {
        Asked::V04 => Version::V04,
        Asked::V05 => Version::V05,
    };
    let usual = Options { tile: usize::from(width), ..Options::new(version) };
    match (export.release, version) {
        (Release::V080, _) => Ok(usual),
        (Release::V055, Version::V04) => {
            Ok(Options { encoding: Encoding::Blosc { inner: BloscCodec::Lz4, level: 5 }, ..usual })
        }
        (Release::V055, Version::V05) => Err(Refused::Format),
    }
}

/// How OMERO is reached, and as whom.
fn access(login: &Login) -> Result<Access, Ended> {
    if login.create && login.user.is_none() {
        return Err(Refused::Session("--create").into());
    }
    if login.sudo.is_some() {
        return Err(Refused::Session("--sudo").into());
    }
    let server = login.server.as_deref().ok_or(Refused::Login)?;
    let (user, server) = match server.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (login.user.as_deref(), server),
    };
    let credentials = match (&login.key, user, &login.password) {
        (Some(key), _, _) => Credentials::Session(Secret::new(key.clone())),
        (None, Some(user), Some(password)) => {
            Credentials::Password { user: user.to_owned(), password: Secret::new(password.clone()) }
        }
        _ => return Err(Refused::Login.into()),
    };
    let address = omero::address(server, login.port)?;
    Ok(Access { address, credentials, trust: login.trust.clone() })
}

/// What becomes of the images, and where.
fn targets<'a>(export: &ExportZarr, object: Object, opened: &'a Opened, folder: &Path) -> Vec<Target<'a>> {
    let ending = match export.release {
        Release::V080 => "ome.zarr",
        Release::V055 => "zarr",
    };
    let place = |name: &str| -> PathBuf { folder.join(format!("{name}.{ending}")) };
    if let Object::Plate(id) = object {
        let name =
            opened.sources.first().and_then(|source| source.metadata().field.as_ref()?.plate.name.clone());
        let name = name.filter(|_| export.name_by == NameBy::Name).map(|name| folder_name(&name));
        let path = place(&name.unwrap_or_else(|| id.to_string()));
        return vec![Target { path, whole: Whole::Plate, sources: &opened.sources }];
    }
    let names = names(export.name_by, &opened.sources, &opened.ids);
    let one =
        |(source, name): (_, &String)| Target { path: place(name), whole: Whole::Image, sources: source };
    opened.sources.chunks(1).zip(&names).map(one).collect()
}

/// The names of images, each of which is there once: where several have the same name, their numbers tell them apart.
fn names(by: NameBy, sources: &[Box<dyn Source>], ids: &[i64]) -> Vec<String> {
    let given: Vec<String> = match by {
        NameBy::Id => vec![String::new(); ids.len()],
        NameBy::Name => {
            let name = |metadata: &Metadata| metadata.name.as_deref().map(folder_name).unwrap_or_default();
            sources.iter().map(|source| name(source.metadata())).collect()
        }
    };
    let mut count: HashMap<&str, usize> = HashMap::new();
    given.iter().for_each(|name| *count.entry(name).or_default() += 1);
    let told = |(name, id): (&String, &i64)| match count.get(name.as_str()) {
        _ if name.is_empty() => id.to_string(),
        Some(1) => name.clone(),
        _ => format!("{name}_{id}"),
    };
    given.iter().zip(ids).map(told).collect()
}

/// A name as one of a folder: brackets become round ones, as omero-cli-zarr has it, and what would lead elsewhere becomes `_`.
fn folder_name(name: &str) -> String {
    let letter = |letter: char| match letter {
        '[' => '(',
        ']' => ')',
        '/' | '\\' => '_',
        letter if letter.is_control() => '_',
        letter => letter,
    };
    let mut made = String::new();
    for letter in name.trim().chars().map(letter) {
        if made.len() + letter.len_utf8() > NAME {
            break;
        }
        made.push(letter);
    }
    // One that begins with a dot is hidden, or leads up.
    match made.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => made,
    }
}

#[cfg(test)]
mod tests {
    use biomero_export::source::{Pattern, Synthetic};
    use biomero_export::{SampleType, Shape};

    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, folder) in [
            ("cells.tiff", "cells.tiff"),
            ("a [1]", "a (1)"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("..", "_."),
            ("a\nb\0", "a_b_"),
            ("  ", ""),
            ("Zellen µ", "Zellen µ"),
        ] {
            assert_eq!(folder_name(name), folder, "{name:?}");
        }
        assert!(folder_name(&"µ".repeat(500)).len() <= NAME);
    }

    #[test]
    fn images_of_one_name_are_told_apart_by_their_numbers() {
        let image = |name: &str| -> Box<dyn Source> {
            let shape = Shape::new([1; 5]).expect("it is small");
            let metadata = Metadata { name: Some(name.to_owned()), ..Metadata::default() };
            Box::new(Synthetic::new(shape, SampleType::Uint8, Pattern::Empty, metadata))
        };
        let sources = [image("a"), image("b"), image("a"), image("")];
        assert_eq!(names(NameBy::Name, &sources, &[1, 2, 3, 4]), ["a_1", "b", "a_3", "4"]);
        assert_eq!(names(NameBy::Id, &sources, &[1, 2, 3, 4]), ["1", "2", "3", "4"]);
    }
}
