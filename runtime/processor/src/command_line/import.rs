//! The command line of `processor import`.

use std::path::PathBuf;

use biomero_results::Pattern;
use biomero_results::folder::Kind;
use biomero_results::plan::Form;
use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::Shape;
use crate::omero::Trust;

/// What is brought home, and to what.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  processor import results/ omero:Dataset:5 -s omero -k ID --dry-run
  processor import results/ omero:Image:7 -s omero -k ID --workflow UUID --job 4711
  processor import results/ omero:Dataset:5 -s omero -k ID --rois                the label images, found by their names
  processor import results/ omero:Dataset:5 -s omero -k ID --rois='*_cp_masks.tif' --roi-shape polygon
  processor import results/ omero:Dataset:5 -s omero -k ID --import-to masks --rename '{original_file}_{file}.{ext}'
  processor import results/ omero:Plate:3 -s omero -k ID --attach tables,logs
  processor import results/ omero:Dataset:5 -s omero -k ID --name cellpose --tag v1.4.0 --param diameter=30

What is read, what it becomes and the shapes of --json: docs/import.md.")]
pub(crate) struct Import {
    /// The folder of results
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// What they belong to: omero:Image:ID, or Dataset, Project, Plate or Screen; several in one group
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<String>,
    /// Where OMERO is, as HOST or HOST:PORT; 4064 is TLS, as ssl://HOST:PORT is [default port: 4063]
    #[arg(short, long, value_name = "HOST")]
    pub(crate) server: String,
    /// The id of a session of OMERO, which goes on afterwards; other users of this machine can see it
    #[arg(short = 'k', long, value_name = "ID")]
    pub(crate) session: String,
    /// With TLS: whose certificate is good: system, any, or a file in PEM with authorities or with OMERO's own
    #[arg(long, value_name = "WHOM", default_value = "system", value_parser = |text: &str| Ok::<_, String>(Trust::from(text)))]
    pub(crate) trust: Trust,
    /// Say what would be attached, stored and drawn where, and what of it is there; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The workflow whose results they are; what is in OMERO of it already is not made again [default: one for the folder]
    #[arg(long, value_name = "UUID")]
    pub(crate) workflow: Option<Uuid>,
    /// What the workflow is called
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The version of the workflow
    #[arg(long, value_name = "VERSION")]
    pub(crate) tag: Option<String>,
    /// The job of the cluster that has done it
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// A parameter of the workflow; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// What is attached as files
    #[arg(long, value_name = "KINDS", value_enum, value_delimiter = ',', default_values_t = Attached::ALL)]
    pub(crate) attach: Vec<Attached>,
    /// Attach tables as files only, not as OMERO's tables
    #[arg(long)]
    pub(crate) no_tables: bool,
    /// Draw label images as regions of interest on the images they were made of: those of such a name or path, with * and ?
    #[arg(long, value_name = "PATTERN", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) rois: Option<String>,
    /// How their objects are drawn
    #[arg(long, value_name = "SHAPE", value_enum, default_value = "mask", requires = "rois")]
    pub(crate) roi_shape: RoiShape,
    /// Import images into omero:Dataset:ID, or into the dataset of this name, which is made where there is none
    #[arg(long, value_name = "DATASET")]
    pub(crate) import_to: Option<String>,
    /// What imported images are called, of {original_file}, {original_ext}, {file} and {ext} [default: as their files]
    #[arg(long, value_name = "PATTERN", requires = "import_to")]
    pub(crate) rename: Option<Pattern>,
    /// How imported files get to the server, as omero import has it: ln_s leaves them where they are
    #[arg(long, value_name = "TYPE", requires = "import_to")]
    pub(crate) transfer: Option<String>,
    /// OMERO's command line, which imports
    #[arg(long, value_name = "PROGRAM", default_value = "omero", requires = "import_to")]
    pub(crate) omero: PathBuf,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attached {
    /// TIFF, PNG and JPEG
    Images,
    /// CSV and TSV
    Tables,
    /// What programs have told
    Logs,
    /// zip, tar and compressed files
    Archives,
    /// All else
    Others,
    /// Nothing
    None,
}

impl Attached {
    const ALL: [Self; 5] = [Self::Images, Self::Tables, Self::Logs, Self::Archives, Self::Others];

    /// As the results are sorted.
    pub(crate) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Images => Some(Kind::Image),
            Self::Tables => Some(Kind::Table),
            Self::Logs => Some(Kind::Log),
            Self::Archives => Some(Kind::Archive),
            Self::Others => Some(Kind::Other),
            Self::None => None,
        }
    }
}

/// How an object is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoiShape {
    /// Sample by sample
    Mask,
    /// By its outline, holes filled
    Polygon,
}

impl RoiShape {
    /// As it is planned.
    pub(crate) const fn form(self) -> Form {
        match self {
            Self::Mask => Form::Mask,
            Self::Polygon => Form::Polygon,
        }
    }
}

/// A name and a value.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
