//! The command line of `processor export`, `convert` and `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Shape;

/// What is exported, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  processor export image.ome.tif --output exported/
  processor export image.ome.tif --output exported/ --format 0.5 --shard 4
  processor export series.ome.tif --series 2 --output exported/ --codec lz4
  processor export series.ome.tif --layout bioformats2raw --output exported/
  processor export omero:Image:7 --server omero --session ID --output exported/

What is written, exit codes and the shapes of --json: docs/export.md.")]
pub(crate) struct Export {
    /// A TIFF or OME-TIFF file, an OME-Zarr folder, or omero:Image:ID
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
    /// Only of omero:Image:ID: where OMERO is, as HOST or HOST:PORT [default port: 4063]
    #[arg(short, long, value_name = "HOST")]
    pub(crate) server: Option<String>,
    /// Only of omero:Image:ID: the id of a session of OMERO, which goes on afterwards
    #[arg(short = 'k', long, value_name = "ID")]
    pub(crate) session: Option<String>,
    #[command(flatten)]
    pub(crate) series: Series,
    #[command(flatten)]
    pub(crate) effort: Effort,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// What is converted, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  processor convert image.ome.zarr                         image.ome.tif, which any program can read
  processor convert image.ome.zarr --compress lzw --pyramid
  processor convert image.zarr --compat biomero            image.0.tif, as BIOMERO's converter names and lays it out
  processor convert image.zarr --remove-source             and image.zarr is gone, once image.ome.tif is proven

What is written, exit codes and the shapes of --json: docs/export.md.")]
pub(crate) struct Convert {
    /// An OME-Zarr folder; a TIFF file is taken too
    #[arg(value_name = "ZARR")]
    pub(crate) source: PathBuf,
    /// The file to write [default: beside ZARR, as it is called, with .ome.tif]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How tiles are compressed; without compression and pyramid a page is one strip
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    pub(crate) compress: Compress,
    /// Also smaller copies, in SubIFDs
    #[arg(long)]
    pub(crate) pyramid: bool,
    /// Then read the file back, compare every sample, and remove ZARR
    #[arg(long, conflicts_with = "number")]
    pub(crate) remove_source: bool,
    /// Name and layout of another program, for what depends on them
    #[arg(long, value_name = "PROGRAM", value_enum, conflicts_with_all = ["compress", "pyramid"])]
    pub(crate) compat: Option<Compat>,
    #[command(flatten)]
    pub(crate) series: Series,
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
    /// A TIFF or OME-TIFF file, or an OME-Zarr folder
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
    pub(crate) shape: Shape,
}

/// Which image.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Series {
    /// Which image, from 0, where there are several
    #[arg(long = "series", value_name = "N")]
    pub(crate) number: Option<usize>,
}

/// How much of the machine is used.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Effort {
    /// Threads at most [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Memory for chunks at most, in MiB; fewer threads are taken where it does not suffice for all
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) memory: u32,
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
    /// As omero-cli-zarr has it: one image, axes of one sample left out
    Omero,
    /// As bioformats2raw has it: all images, or that of --series, with five axes and OME/METADATA.ome.xml
    Bioformats2raw,
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

/// How tiles of a TIFF are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compress {
    /// Not at all
    None,
    /// LZW, which nearly every program reads
    Lzw,
    /// Deflate, which many read
    Deflate,
    /// zstd, the fastest, which tifffile and Bio-Formats read
    Zstd,
}

/// Whose name and layout are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// NAME.0.tif, a strip a page, not compressed, channels before depth before time
    Biomero,
}

/// A name of a file, which is no path.
fn name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("it is no name of a file".to_owned()),
        _ if text.contains('/') || text.contains('\0') => Err("a name has no /".to_owned()),
        _ => Ok(text.to_owned()),
    }
}
