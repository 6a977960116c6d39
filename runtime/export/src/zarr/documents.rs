//! Metadata on its way to files, each noted with its digest.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::group::Group;
use super::writer::{Options, Place, Version};
use crate::manifest::Manifest;
use crate::resume::Request;
use crate::write_error::WriteError;

/// Where documents go.
pub(crate) struct Documents<'a> {
    pub(crate) root: &'a Path,
    pub(crate) manifest: &'a Manifest,
    pub(crate) version: Version,
    /// What the whole is known by again.
    pub(crate) request: Option<&'a str>,
}

impl<'a> Documents<'a> {
    /// Of what is written to a place.
    pub(crate) fn new(place: Place<'a>, manifest: &'a Manifest, options: &'a Options) -> Self {
        let request = options.request.as_ref().map(Request::digest);
        Self { root: place.root, manifest, version: options.version, request }
    }

    /// A group with attributes of OME-NGFF.
    pub(crate) fn group(&self, folder: &Path, mut attributes: Value) -> Result<(), WriteError> {
        if let Some(request) = self.request.filter(|_| folder == Path::new("")) {
            attributes["_creator"]["request"] = request.into();
        }
        match self.version {
            Version::V04 => {
                self.json(&folder.join(".zattrs"), &attributes)?;
                self.json(&folder.join(".zgroup"), &json!({ "zarr_format": 2 }))
            }
            Version::V05 => {
                attributes["version"] = "0.5".into();
                self.node(folder, json!({ "ome": attributes }))
            }
        }
    }

    /// A group that says nothing but that it is one: a row of a plate.
    pub(crate) fn plain_group(&self, folder: &Path) -> Result<(), WriteError> {
        match self.version {
            Version::V04 => self.json(&folder.join(".zgroup"), &json!({ "zarr_format": 2 })),
            Version::V05 => self.node(folder, json!({})),
        }
    }

    fn node(&self, folder: &Path, attributes: Value) -> Result<(), WriteError> {
        let group = json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes });
        self.json(&folder.join("zarr.json"), &group)
    }

    pub(crate) fn json(&self, name: &Path, document: &Value) -> Result<(), WriteError> {
        self.file(name, format!("{document:#}\n").as_bytes())
    }

    pub(crate) fn file(&self, name: &Path, content: &[u8]) -> Result<(), WriteError> {
        let path = self.root.join(name);
        create(&path)?.write_all(content).map_err(WriteError::io("write", &path))?;
        self.manifest.note(name, content)
    }
}

/// What we are called there.
const NAME: &str = "biomero-worker";

/// What says who wrote an image.
pub(crate) fn creator() -> Value {
    json!({ "name": NAME, "version": env!("CARGO_PKG_VERSION") })
}

/// Whether an image was written by us.
pub(crate) fn is_ours(attributes: &Value) -> bool {
    attributes["_creator"]["name"] == NAME
}

/// Whether what is at a path was written for this request. It has its name since it is whole.
#[must_use]
pub fn is_written(path: &Path, request: &Request) -> bool {
    let known = Group::read(path).ok().flatten();
    known.is_some_and(|group| group.attributes["_creator"]["request"] == request.digest())
}

/// Makes a file, and its folders where they are missing. One that is there was begun before an interruption.
pub(crate) fn create(path: &Path) -> Result<File, WriteError> {
    // Shards are read again.
    let mut new = File::options();
    new.read(true).write(true).create(true).truncate(true);
    let file = match new.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            fs::create_dir_all(parent).map_err(WriteError::io("make", parent))?;
            new.open(path)
        }
        other => other,
    };
    file.map_err(WriteError::io("write", path))
}
