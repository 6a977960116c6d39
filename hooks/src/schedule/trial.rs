//! A component on its way to `hooks.d`: run with the policy of any TOML file, wherever both lie, so that its engineer
//! can try it on a laptop.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use biomero_config::Values;

use super::component::{ComponentTable, Workshop, digest_of, host_with_own_cache};
use super::{ScheduleError, Site, site};
use crate::component::{ComponentHook, GuestContext};
use crate::grants::GrantsTable;

/// A component to try.
#[derive(Debug)]
pub struct Trial {
    /// The hook.
    pub hook: ComponentHook,
    /// Its place, where its TOML file's name says one.
    pub number: Option<u16>,
    /// The TOML file; none where none names the component, so that nothing is granted.
    pub policy: Option<PathBuf>,
    /// Whether the digest that the TOML file pins is this component's; none where it pins none.
    pub is_pinned: Option<bool>,
}

/// Makes a hook of the component at `path`, with the policy in `policy` or in the one TOML file beside the component, or in
/// one of `folders`, that names it. Compiled forms are kept in `cache`. `context` overrides settings.
///
/// # Errors
/// All that is wrong with the component's file and the policy.
pub fn trial(
    path: &Path,
    policy: Option<&Path>,
    folders: &[&Path],
    context: Option<&GuestContext>,
    cache: PathBuf,
    site: &Site<'_>,
) -> Result<Trial, ScheduleError> {
    let one = |problem: String| ScheduleError { problems: vec![problem] };
    let digest = digest_of(path)
        .map_err(|reason| one(format!("cannot read the component {}: {reason}", path.display())))?;
    let policy = match policy {
        Some(policy) => Some(policy.to_owned()),
        None => beside(path, folders).map_err(one)?,
    };
    // The compiler runs in another folder.
    let located = std::path::absolute(path).map_err(|error| one(error.to_string()))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (name, number, table) = match &policy {
        Some(policy) => {
            let (name, number, table) = read(policy, &stem).map_err(|problems| ScheduleError { problems })?;
            (name, number, Some(table))
        }
        None => (stem, None, None),
    };
    let pinned = table.as_ref().and_then(|table| table.pinned.clone());
    let table = table.unwrap_or_else(|| ComponentTable {
        file: path.to_owned(),
        pinned: None,
        allow_unpinned: true,
        wasi_traps: false,
        rollback: false,
        limits: crate::component::Limits::default(),
        grants: GrantsTable::default(),
    });
    let values: Values = match context {
        Some(context) => site.values.clone().overlaid(&context.settings),
        None => site.values.clone(),
    };
    let host = Rc::new(host_with_own_cache(site.settings, site.disk, cache));
    let workshop = Workshop { disk: site.disk, values: Rc::new(values), host };
    let toml = policy.as_deref().unwrap_or(path);
    let hook = workshop
        .component(toml, &name, &table, located, digest.clone())
        .map_err(|errors| ScheduleError { problems: errors.iter().map(ToString::to_string).collect() })?;
    let is_pinned = pinned.map(|pinned| pinned.eq_ignore_ascii_case(&digest));
    Ok(Trial { hook, number, policy, is_pinned })
}

/// Name, number and table of a TOML file that need not lie in `hooks.d`: without a number, the component names the hook.
fn read(path: &Path, component: &str) -> Result<(String, Option<u16>, ComponentTable), Vec<String>> {
    let content = fs::read(path)
        .map_err(|error| vec![format!("cannot read the policy {}: {error}", path.display())])?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let (number, stem) = match site::number_of(&file_name) {
        Some((number, stem)) => (Some(number), stem.to_owned()),
        None => (None, component.to_owned()),
    };
    let hook = site::from_toml(path, number.unwrap_or(0), &stem, &content)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    match hook.body {
        Some(site::Body::Component(table)) => Ok((hook.name, number, *table)),
        _ => Err(vec![format!(
            "{}: it is no policy of a component; write component = \"FILE.wasm\"",
            path.display()
        )]),
    }
}

/// The TOML file that names a component of this file name.
fn beside(component: &Path, folders: &[&Path]) -> Result<Option<PathBuf>, String> {
    let name = component.file_name().unwrap_or_default();
    let own = component.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for folder in std::iter::once(&own).chain(folders) {
        let found = naming(folder, name);
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(one.clone())),
            [one, other, ..] => {
                return Err(format!(
                    "both {} and {} name {}: say which with --policy",
                    one.display(),
                    other.display(),
                    name.display()
                ));
            }
        }
    }
    Ok(None)
}

/// The TOML files of a folder whose `component` has this file name, in name order.
pub fn naming(folder: &Path, component: &std::ffi::OsStr) -> Vec<PathBuf> {
    let names = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        let document: toml_edit::Document<String> = toml_edit::Document::parse(text).ok()?;
        let named = document.get("component")?.as_str()?;
        (Path::new(named).file_name() == Some(component)).then_some(())
    };
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| names(path).is_some())
        .collect();
    found.sort();
    found
}

/// The SHA-256 of a component's file.
///
/// # Errors
/// A sentence, where it cannot be read or is no component.
pub fn component_digest(path: &Path) -> Result<String, String> {
    let digest = digest_of(path)?;
    let mut header = [0; 8];
    std::io::Read::read_exact(&mut fs::File::open(path).map_err(|error| error.to_string())?, &mut header)
        .map_err(|_| "it is no WebAssembly file".to_owned())?;
    // WebAssembly Component Model, Binary.md: magic, version 13, layer 1.
    match header {
        [0, b'a', b's', b'm', _, _, 1, 0] => Ok(digest),
        [0, b'a', b's', b'm', ..] => {
            Err("it is a core module and no component; init-hooks componentize makes one of it".to_owned())
        }
        _ => Err("it is no WebAssembly file".to_owned()),
    }
}
