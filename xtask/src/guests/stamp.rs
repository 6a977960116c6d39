//! Whether a component was built from what is there: beside `NAME.wasm`, `NAME.inputs` holds the digest of the files
//! that it was built from.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::failed;
use crate::failure::Failure;

/// One digest of files, and of all files below folders, with their paths.
pub(super) fn digest(inputs: &[PathBuf]) -> Result<String, Failure> {
    let mut hasher = Sha256::new();
    for input in inputs {
        add(input, &mut hasher)?;
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(path: &Path, hasher: &mut Sha256) -> Result<(), Failure> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(failed("list", path))?;
        entries.sort();
        // What an interpreter or an editor leaves beside the sources is not built from.
        entries.retain(|entry| {
            !matches!(entry.file_name().and_then(|name| name.to_str()), Some("target" | "__pycache__"))
        });
        return entries.iter().try_for_each(|entry| add(entry, hasher));
    }
    let content = fs::read(path).map_err(failed("read", path))?;
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update([0]);
    hasher.update(content.len().to_le_bytes());
    hasher.update(content);
    Ok(())
}

pub(super) fn is_current(component: &Path, digest: &str) -> bool {
    component.exists() && fs::read_to_string(stamp(component)).is_ok_and(|stamped| stamped == digest)
}

pub(super) fn write(component: &Path, digest: &str) -> Result<(), Failure> {
    let path = stamp(component);
    fs::write(&path, digest).map_err(failed("write", &path))
}

fn stamp(component: &Path) -> PathBuf {
    component.with_extension("inputs")
}
