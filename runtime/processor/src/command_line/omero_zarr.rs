//! The command line of `omero zarr`, as omero-cli-zarr 0.8.0 and 0.5.5 have it, so that what calls it can call this instead.
//!
//! What is not done here is known by its name, and refused with what to do: a flag that is passed over would change what is written.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::omero::Trust;

/// `omero zarr`, or a part of it.
#[derive(Debug, Args)]
#[command(
    infer_long_args = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
Examples:
  omero zarr -s omero -k SESSION export --format 0.4 --output exported/ Image:7
  omero zarr -s omero -p 4064 -k SESSION export Plate:3 --trust omero.pem
  processor omero-zarr -s omero -k SESSION export Image:7 --tile_width 512 --tile_height 512 --name_by name

How it takes the place of `omero zarr`, and where it differs: docs/export.md."
)]
pub(crate) struct OmeroZarr {
    /// The output directory
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) login: Login,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// As every command of `omero` has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Login arguments")]
pub(crate) struct Login {
    /// OMERO server hostname: HOST, HOST:PORT or USER@HOST
    #[arg(short, long, global = true)]
    pub(crate) server: Option<String>,
    /// OMERO server port; 4064 is that of TLS [default: 4063]
    #[arg(short, long, global = true)]
    pub(crate) port: Option<u16>,
    /// Changes nothing: what is in any group of the user is found
    #[arg(short, long, global = true)]
    pub(crate) group: Option<String>,
    /// OMERO username
    #[arg(short, long, global = true, requires = "password")]
    pub(crate) user: Option<String>,
    /// OMERO password; other users of the machine see it in the list of processes
    #[arg(short = 'w', long, global = true)]
    pub(crate) password: Option<String>,
    /// OMERO session key (the id of a session, which goes on afterwards)
    #[arg(short, long, global = true, conflicts_with_all = ["user", "password"])]
    pub(crate) key: Option<String>,
    /// Refused: sessions are not kept here, and one is begun for --user anyway
    #[arg(short = 'C', long, global = true)]
    pub(crate) create: bool,
    /// Refused: begin the session by `omero login --sudo` and pass its id by --key
    #[arg(long, value_name = "ADMIN", global = true)]
    pub(crate) sudo: Option<String>,
    /// Says nothing but what went wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Not of omero: with TLS, whose certificate is good: system, any, or a file in PEM with authorities or with OMERO's own
    #[arg(long, value_name = "WHOM", global = true, default_value = "system", value_parser = |text: &str| Ok::<_, String>(Trust::from(text)))]
    pub(crate) trust: Trust,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Export an image, a plate, or all images of a dataset
    #[command(infer_long_args = true)]
    Export(ExportZarr),
    /// Refused: `processor export omero:Image:ID --labels` writes the image with its ROIs
    #[command(hide = true)]
    Masks(Others),
    /// Refused: `processor export omero:Image:ID --labels` writes the image with its ROIs
    #[command(hide = true)]
    Polygons(Others),
    /// Refused: OMERO is only read
    #[command(hide = true)]
    Import(Others),
}

/// Whatever stands behind a verb that is refused.
#[derive(Debug, Args)]
pub(crate) struct Others {
    #[arg(value_name = "ARGUMENTS", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// What is exported, and how.
#[derive(Debug, Args)]
pub(crate) struct ExportZarr {
    /// Image:ID, Plate:ID or Dataset:ID; a number alone is an image's
    #[arg(value_name = "OBJECT")]
    pub(crate) object: String,
    /// The output directory [default: this one]
    #[arg(long = "output", id = "own_output", value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// OME-Zarr version
    #[arg(
        long,
        value_name = "VERSION",
        value_enum,
        default_value = "0.5",
        default_value_if("compat", "0.5.5", "0.4")
    )]
    pub(crate) format: super::export::Version,
    /// Columns of a chunk [default: 1024]
    #[arg(long = "tile_width", value_name = "N", value_parser = clap::value_parser!(u16).range(16..=16_384))]
    pub(crate) tile_width: Option<u16>,
    /// Rows of a chunk, as many as columns [default: 1024]
    #[arg(long = "tile_height", value_name = "N", value_parser = clap::value_parser!(u16).range(16..=16_384))]
    pub(crate) tile_height: Option<u16>,
    /// How the OME-Zarr is called: ID.ome.zarr or NAME.ome.zarr
    #[arg(long = "name_by", value_enum, default_value = "id")]
    pub(crate) name_by: NameBy,
    /// Threads at most [default: as many as there are processors]
    #[arg(long = "max_workers", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_workers: Option<u16>,
    /// Refused: `processor export FILE` reads files
    #[arg(long)]
    pub(crate) bf: bool,
    /// Refused: `processor export FILE` reads files
    #[arg(long, value_name = "FILE")]
    pub(crate) bfpath: Option<PathBuf>,
    /// Refused: there are as many levels as it takes for the longer side to be at most 96
    #[arg(long, value_name = "N")]
    pub(crate) resolutions: Option<String>,
    /// Not of omero: whose names and compressor are taken; of 0.5.5 they are ID.zarr and LZ4
    #[arg(long = "as", id = "compat", value_name = "RELEASE", value_enum, default_value = "0.8.0")]
    pub(crate) release: Release,
}

/// How an OME-Zarr is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NameBy {
    /// By its number
    Id,
    /// By its name, as far as that is one of a folder
    Name,
}

/// A release of omero-cli-zarr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// What BIOMERO has
    #[value(name = "0.8.0")]
    V080,
    /// The last that wrote with zarr 2
    #[value(name = "0.5.5")]
    V055,
}
