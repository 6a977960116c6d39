//! The command line of `processor export` and `inspect`; that of `convert` is in its own crate.

use std::path::PathBuf;

use biomero_convert::command_line::{Effort, Reading, Series};
use clap::{Args, ValueEnum};

use super::Shape;
use crate::omero::Trust;

/// What is exported, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  processor export image.ome.tif --output exported/
  processor export image.ome.tif --output exported/ --format 0.5 --shard 4
  processor export series.ome.tif --series 2 --output exported/ --codec lz4
  processor export series.ome.tif --layout bioformats2raw --output exported/
  processor export plate.zarr --output exported/             all fields of the plate, as a plate
  processor export image.ome.tif --labels=cells --output exported/
  processor export omero:Image:7 --server omero --session ID --output exported/
  processor export omero:Plate:3 -s omero:4064 --trust omero.pem -k ID --output exported/
  processor export omero:Dataset:5 -s omero -k ID --output exported/    a folder for each of its images

What is written, exit codes and the shapes of --json: docs/export.md.")]
pub(crate) struct Export {
    /// A TIFF or OME-TIFF file, an OME-Zarr folder, omero:Image:ID, omero:Plate:ID, omero:Dataset:ID, or by bioformats2raw whatever Bio-Formats reads
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// The folder that NAME.ome.zarr is put into; made where it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// What it is called, without .ome.zarr [default: as the source]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    /// Which OME-Zarr
    #[arg(long, value_name = "VERSION", value_enum, default_value = "0.4")]
    pub(crate) format: Version,
    /// How images are laid out in the folder
    #[arg(long, value_name = "PROGRAM", value_enum, default_value = "omero")]
    pub(crate) layout: Layout,
    /// How chunks are compressed
    #[arg(long, value_name = "CODEC", value_enum, default_value = "zstd")]
    pub(crate) codec: Codec,
    /// How hard it tries, from 1 to 9: with zstd, 5 is what omero-cli-zarr has, four times slower and a fiftieth smaller
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) level: u8,
    /// Only of 0.5: rows and columns of chunks that share a file, so that there are fewer files
    #[arg(long, value_name = "CHUNKS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shard: Option<u16>,
    /// Only of omero: where OMERO is, as HOST or HOST:PORT; 4064 is TLS, as ssl://HOST:PORT is [default port: 4063]
    #[arg(short, long, value_name = "HOST")]
    pub(crate) server: Option<String>,
    /// Only of omero: the id of a session of OMERO, which goes on afterwards
    #[arg(short = 'k', long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only of omero, with TLS: whose certificate is good: system, any, or a file in PEM with authorities or with OMERO's own
    #[arg(long, value_name = "WHOM", default_value = "system", value_parser = |text: &str| Ok::<_, String>(Trust::from(text)))]
    pub(crate) trust: Trust,
    /// Also draw the regions of interest of the source into a label image of this name
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        value_parser = name
    )]
    pub(crate) labels: Option<String>,
    /// What becomes of a sample that lies in two of them
    #[arg(long, value_name = "WHICH", value_enum, default_value = "error", requires = "labels")]
    pub(crate) label_overlap: LabelOverlap,
    /// Replace an OME-Zarr of that name, once the new one is whole
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Keep what is done when it is stopped or fails: the same command then goes on where it was, as after a crash
    #[arg(long)]
    pub(crate) keep_partial: bool,
    #[command(flatten)]
    pub(crate) series: Series,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) effort: Effort,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// What is looked at, and how closely.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  processor inspect image.ome.zarr
  processor inspect image.ome.zarr --preview image.png
  processor inspect image.ome.zarr --verify || echo 'export it again'

Exit codes and the shapes of --json: docs/export.md.")]
pub(crate) struct Inspect {
    /// A TIFF or OME-TIFF file, an OME-Zarr folder, or by bioformats2raw whatever Bio-Formats reads
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Also draw a small picture: all channels, each with its own contrast, and a scale bar
    #[arg(long, value_name = "FILE")]
    pub(crate) preview: Option<PathBuf>,
    /// Also compare every file with the digest that was noted when it was written; exit 2 where one differs
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) series: Series,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// Which OME-Zarr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// On zarr v2, which every reader knows
    #[value(name = "0.4")]
    V04,
    /// On zarr v3
    #[value(name = "0.5")]
    V05,
}

/// Whose layout of images is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// As omero-cli-zarr has it: one image or a plate, axes of one sample left out
    Omero,
    /// As bioformats2raw has it: all images, or that of --series, with five axes and OME/METADATA.ome.xml
    Bioformats2raw,
}

/// What becomes of a sample that lies in two regions of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabelOverlap {
    /// Nothing is written, and both are named
    Error,
    /// It belongs to the one with the lower id
    First,
    /// It belongs to the one with the higher id
    Last,
    /// It has the largest number of its type, as omero-cli-zarr's dtype_max
    DtypeMax,
}

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// Blosc with zstd
    Zstd,
    /// Blosc with LZ4: faster, and larger
    Lz4,
    /// Not at all
    None,
}

/// A name of a file, which is no path.
fn name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("it is no name of a file".to_owned()),
        _ if text.contains('/') || text.contains('\0') => Err("a name has no /".to_owned()),
        _ => Ok(text.to_owned()),
    }
}
