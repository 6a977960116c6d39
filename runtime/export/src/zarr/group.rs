//! The documents of a folder: what kind of node it is, in which version of zarr, and its attributes.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::array::{Array, LARGEST};
use crate::source::{ReadError, file};

/// A folder of a group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) path: PathBuf,
    /// The attributes of OME-NGFF: of 0.5 those within `ome`.
    pub(crate) attributes: Value,
}

impl Group {
    /// Reads the group at a path; `None` where there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, ReadError> {
        let group = |attributes| Some(Self { path: path.to_owned(), attributes });
        if let Some(mut document) = document(&path.join("zarr.json"))? {
            if document["node_type"] != "group" {
                return Ok(None);
            }
            let mut attributes = document["attributes"].take();
            let ome = attributes["ome"].take();
            return Ok(group(if ome.is_null() { attributes } else { ome }));
        }
        let attributes = document(&path.join(".zattrs"))?;
        let is_group = document(&path.join(".zgroup"))?.is_some();
        Ok(match attributes {
            // Some writers leave out `.zgroup`.
            Some(attributes) if is_group || !path.join(".zarray").exists() => group(attributes),
            None if is_group => group(Value::Null),
            _ => None,
        })
    }
}

/// Reads the array at a path.
pub(crate) fn array(path: &Path) -> Result<Array, ReadError> {
    let v3 = path.join("zarr.json");
    if let Some(document) = document(&v3)? {
        return match document["node_type"].as_str() {
            Some("array") => Array::read_v3(&v3, &document),
            _ => Err(ReadError::damaged(&v3, "it is no array, and should be one")),
        };
    }
    let v2 = path.join(".zarray");
    match document(&v2)? {
        Some(document) => Array::read_v2(&v2, &document),
        None => Err(ReadError::damaged(
            path,
            "there should be an array, and it has neither .zarray nor zarr.json",
        )),
    }
}

/// A document of JSON, `None` where there is none.
fn document(path: &Path) -> Result<Option<Value>, ReadError> {
    let Some(bytes) = file::read(path, LARGEST, "metadata")? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(ReadError::damaged(path, "it is no JSON object")),
        Err(error) => Err(ReadError::damaged(path, format!("it is no JSON: {error}"))),
    }
}

/// A path within an image that another file names: it leads nowhere else.
pub(crate) fn within(root: &Path, name: &str) -> Result<PathBuf, ReadError> {
    let mut path = root.to_owned();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(ReadError::damaged(root, format!("it names {name:?}, which is outside of it"))),
        }
    }
    if path == root {
        return Err(ReadError::damaged(root, format!("it names {name:?}, which is itself")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_within_an_image_leads_nowhere_else() {
        let root = Path::new("/data/image.zarr");
        for name in ["..", "/etc", "0/../../x", "../0", "", "."] {
            let error = within(root, name).expect_err("it leads elsewhere");
            assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        }
        assert_eq!(within(root, "A/1/0").expect("it is within"), root.join("A/1/0"));
    }
}
