//! The flags of `convert`, once for both programs.

use std::path::PathBuf;

use biomero_export::bioformats2raw;
use biomero_export::tiff::Part;
use clap::{Args, ValueEnum};

/// What stands below the help, as `processor convert` has it.
pub const EXAMPLES: &str = "\
Examples:
  processor convert image.ome.zarr                         image.ome.tif, which any program can read
  processor convert image.ome.zarr --compress lzw --pyramid
  processor convert image.zarr --compat biomero            image.0.tif, as BIOMERO's converter names and lays it out
  processor convert image.zarr --remove-source             and image.zarr is gone, once image.ome.tif is proven
  processor convert image.zarr --part 2/4                  image_2-of-4.ome.tif, a quarter of the planes
  processor convert plate.zarr                             plate.companion/: a file a field, and plate.companion.ome
  processor convert --list images.txt --task 7             the image in line `7 PATH`: a task of a job array

What is written, exit codes and the shapes of --json: docs/export.md.";

/// What is converted, and how.
#[derive(Debug, Args)]
pub struct Convert {
    /// An OME-Zarr folder; a TIFF file is taken too, and by bioformats2raw whatever Bio-Formats reads
    #[arg(value_name = "ZARR", required_unless_present = "list")]
    pub source: Option<PathBuf>,
    /// The file to write [default: beside ZARR, as it is called, with .ome.tif]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How tiles are compressed; without compression and pyramid a page is one strip
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    pub compress: Compress,
    /// Also smaller copies, in SubIFDs
    #[arg(long)]
    pub pyramid: bool,
    /// Its three channels are red, green and blue of one picture: write them so although it does not say it
    #[arg(long, conflicts_with = "part")]
    pub rgb: bool,
    /// Then read the file back, compare every sample, and remove ZARR
    #[arg(long, conflicts_with = "number")]
    pub remove_source: bool,
    /// Name and layout of another program, for what depends on them
    #[arg(long, value_name = "PROGRAM", value_enum, conflicts_with_all = ["compress", "pyramid"])]
    pub compat: Option<Compat>,
    /// Only a part of the planes, into a file of its own: the first of four is 1/4; together they are one OME-TIFF
    #[arg(long, value_name = "I/N", value_parser = part, conflicts_with_all = ["compat", "remove_source"])]
    pub part: Option<Part>,
    /// A list of images in place of ZARR: a number, a blank and a path a line, numbers from 1 on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "output"], requires = "task")]
    pub list: Option<PathBuf>,
    /// Which of the list
    #[arg(long, value_name = "N", requires = "list")]
    pub task: Option<u32>,
    /// Which image.
    #[command(flatten)]
    pub series: Series,
    /// Who reads it.
    #[command(flatten)]
    pub reading: Reading,
    /// How much of the machine is used.
    #[command(flatten)]
    pub effort: Effort,
    /// For a program: a JSON object a line; the keys are in docs/export.md
    #[arg(long, global = true, display_order = 99)]
    pub json: bool,
}

/// Which image.
#[derive(Debug, Clone, Copy, Args)]
pub struct Series {
    /// Which image, from 0, where there are several
    #[arg(long = "series", value_name = "N")]
    pub number: Option<usize>,
}

/// Who reads an image.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Who reads the image
    #[arg(long, value_name = "WHO", value_enum, default_value = "auto")]
    pub reader: Reader,
    /// bioformats2raw 0.5.0 or later, by its path or its name on the PATH; it makes an OME-Zarr in a folder that is gone afterwards
    #[arg(long, value_name = "PROGRAM", default_value = bioformats2raw::PROGRAM)]
    pub bioformats2raw: PathBuf,
}

/// Who reads an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// This program what is OME-Zarr or TIFF, bioformats2raw all else
    Auto,
    /// bioformats2raw, whatever it is
    Bioformats2raw,
}

/// How much of the machine is used.
#[derive(Debug, Clone, Copy, Args)]
pub struct Effort {
    /// Threads at most [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Memory for chunks at most, in MiB; fewer threads are taken where it does not suffice for all
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub memory: u32,
}

/// How tiles of a TIFF are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compress {
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
pub enum Compat {
    /// NAME.0.tif, a strip a page, not compressed, channels before depth before time
    Biomero,
}

/// `2/4`.
fn part(text: &str) -> Result<Part, String> {
    let numbers =
        text.split_once('/').and_then(|(number, of)| Part::new(number.parse().ok()?, of.parse().ok()?));
    numbers.ok_or_else(|| {
        format!("write the number of the part and how many there are, as 1/4; at most {} of them", Part::MOST)
    })
}
