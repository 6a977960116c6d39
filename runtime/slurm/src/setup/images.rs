//! Which container images a cluster has to have, and what their files are called there. The names are those of Python's
//! BIOMERO, so that both find each other's.

use std::fmt;
use std::path::{Path, PathBuf};

use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use thiserror::Error;

/// The definition a converter is built from where no registry has one: what Apptainer reads.
pub const CONVERTER_DEFINITION: &str = include_str!("convert_zarr_to_tiff.def");
/// Its program.
pub const CONVERTER_PROGRAM: &str = include_str!("convert_zarr_to_tiff.py");
/// What the definition is called on the cluster, in the folder of converters.
pub const DEFINITION_NAME: &str = "convert_zarr_to_tiff.def";
/// What the program is called there.
pub const PROGRAM_NAME: &str = "convert_zarr_to_tiff.py";

/// An image of a registry: `org/image` and its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    image: String,
    version: String,
    digest: Option<String>,
}

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} of {of} names no container image: {why}; write it as `organisation/image:version`")]
pub struct NoReference {
    text: String,
    of: String,
    why: &'static str,
}

impl Reference {
    /// Reads `organisation/image:version`, a leading `docker://` a registry's own port and a digest included. Without a version it is
    /// `otherwise`; `master` means `latest`, as with Python.
    ///
    /// # Errors
    /// A character that no image and no tag can have (OCI distribution specification, "Pulling manifests").
    pub fn read(text: &str, otherwise: &str, of: &str) -> Result<Self, NoReference> {
        let refused = |why| NoReference { text: text.to_owned(), of: of.to_owned(), why };
        let plain = text.trim().strip_prefix("docker://").unwrap_or_else(|| text.trim());
        let (plain, digest) = match plain.split_once('@') {
            Some((plain, digest)) => (plain, Some(digest)),
            None => (plain, None),
        };
        let is_digest = |text: &str| {
            let digits = text.strip_prefix("sha256:");
            digits.is_some_and(|digits| {
                digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            })
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(refused("a digest is sha256: and 64 hexadecimal digits"));
        }
        let base = plain.rfind('/').map_or(0, |at| at + 1);
        let (image, version) = match plain.get(base..).and_then(|name| name.split_once(':')) {
            Some((name, version)) => (plain.get(..base + name.len()).unwrap_or_default(), version),
            None => (plain, if otherwise == "master" { "latest" } else { otherwise }),
        };
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        // A registry's port, before the first `/`.
        let name = match image.split_once('/').map(|(host, name)| (host.split_once(':'), name)) {
            Some((Some((host, port)), name)) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                [host, name].join("/")
            }
            _ => image.to_owned(),
        };
        if !name.bytes().all(|letter| is_plain(letter) || letter == b'/') {
            return Err(refused("an image has letters, digits and . _ - / only"));
        }
        if name.split('/').any(|part| part.is_empty() || part.starts_with(['.', '-'])) {
            return Err(refused("each part of its name begins with a letter or a digit"));
        }
        if version.is_empty() || version.len() > 128 || version.starts_with(['.', '-']) {
            return Err(refused("a version has 1 to 128 characters and begins with a letter, a digit or _"));
        }
        if !version.bytes().all(is_plain) {
            return Err(refused("a version has letters, digits and . _ - only"));
        }
        let digest = digest.map(str::to_owned);
        Ok(Self { image: image.to_owned(), version: version.to_owned(), digest })
    }

    /// The version: the tag.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The last part of the image's name.
    #[must_use]
    pub fn base(&self) -> &str {
        self.image.rsplit('/').next().unwrap_or_default()
    }

    /// What its file is called: `image_version.sif`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}_{}.sif", self.base(), self.version)
    }
}

/// As container runtimes are asked for it.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            // Apptainer takes one of the two, and this one says more.
            Some(digest) => write!(formatter, "docker://{}@{digest}", self.image),
            None => write!(formatter, "docker://{}:{}", self.image, self.version),
        }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A registry.
    Registry(Reference),
    /// A definition on the cluster, which it is built from.
    Definition(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(formatter),
            Self::Definition(path) => path.display().fmt(formatter),
        }
    }
}

/// An image that a cluster has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The workflow, or the conversion.
    pub of: String,
    /// Where it comes from.
    pub source: Source,
    /// Where it goes, relative to the login folder or absolute.
    pub target: PathBuf,
}

impl Wanted {
    /// The image of a workflow. `reference` is what its descriptor says (`org/image` or `org/image:v1`), `otherwise` the branch or tag
    /// of its repository, for a descriptor that names no version.
    ///
    /// # Errors
    /// The reference names no image.
    pub fn of_workflow(
        images: &str,
        workflow: &Workflow,
        reference: &str,
        otherwise: &str,
    ) -> Result<Self, NoReference> {
        let reference = Reference::read(reference, otherwise, &workflow.name)?;
        let folder = Path::new(images).join(workflow.path.as_deref().unwrap_or(&workflow.name));
        let target = folder.join(reference.file());
        Ok(Self { of: workflow.name.clone(), source: Source::Registry(reference), target })
    }

    /// The converters: those of `[CONVERTERS]`, or the one that is built from a definition where there are none.
    #[must_use]
    pub fn converters(settings: &BiomeroSettings) -> Vec<Result<Self, NoReference>> {
        let folder = Path::new(&settings.slurm.converters_path);
        if settings.converters.is_empty() {
            let definition = folder.join(DEFINITION_NAME);
            return vec![Ok(Self {
                of: "zarr_to_tiff".to_owned(),
                source: Source::Definition(definition),
                target: folder.join("convert_zarr_to_tiff_latest.sif"),
            })];
        }
        let one = |(conversion, image): &(String, String)| {
            let reference = Reference::read(image, "latest", &format!("[CONVERTERS] {conversion}"))?;
            let target = folder.join(format!("convert_{conversion}_{}.sif", reference.version()));
            Ok(Self { of: conversion.clone(), source: Source::Registry(reference), target })
        };
        settings.converters.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_image_is_called_as_python_calls_it() {
        let table = [
            ("org/w_cellpose:v1.2", "main", "docker://org/w_cellpose:v1.2", "w_cellpose_v1.2.sif"),
            ("org/w_cellpose", "v1.3", "docker://org/w_cellpose:v1.3", "w_cellpose_v1.3.sif"),
            ("org/w_cellpose", "master", "docker://org/w_cellpose:latest", "w_cellpose_latest.sif"),
            ("docker://org/w", "main", "docker://org/w:main", "w_main.sif"),
            ("host:5000/org/w", "v1", "docker://host:5000/org/w:v1", "w_v1.sif"),
            ("host:5000/org/w:v2", "v1", "docker://host:5000/org/w:v2", "w_v2.sif"),
        ];
        for (text, otherwise, source, file) in table {
            let reference = Reference::read(text, otherwise, "cellpose").expect(text);
            assert_eq!((reference.to_string().as_str(), reference.file().as_str()), (source, file));
        }
    }

    #[test]
    fn what_names_no_image_is_refused_with_what_to_write() {
        for text in
            ["", "org/a b", "org/a:v1;rm", "org/$(id)", "../a:v1", "org/a:", "org//a", "-a:v1", "a:../b"]
        {
            let refused = Reference::read(text, "v1", "cellpose").expect_err(text).to_string();
            assert!(refused.contains("of cellpose names no container image"), "{refused}");
            assert!(refused.ends_with("write it as `organisation/image:version`"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn a_file_stays_in_its_folder(text in "\\PC{0,40}", otherwise in "\\PC{0,10}") {
            if let Ok(reference) = Reference::read(&text, &otherwise, "x") {
                let file = reference.file();
                prop_assert!(!file.contains('/') && !file.starts_with(['.', '-']), "{}", file);
            }
        }
    }
}
