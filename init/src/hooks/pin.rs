//! `init hooks pin`: the digest of a component, written where its site grants it something.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value, value};

use crate::exit_code;
use crate::output::print;

/// Pins the component in the TOML files beside it that name it, or else in the one of its name, or in a new one.
pub(crate) fn pin(component: &Path) -> Result<u8, String> {
    let digest = biomero_hooks::component_digest(component)
        .map_err(|reason| format!("cannot pin {}: {reason}", component.display()))?;
    let file_name = component
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| name.ends_with(".wasm"))
        .ok_or_else(|| format!("{}: a component's file ends in .wasm", component.display()))?;
    let folder = component.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = biomero_hooks::naming(folder, file_name.as_ref());
    if files.is_empty() {
        files.push(folder.join(toml_name(file_name)));
    }
    for path in files {
        let told = pin_in(&path, file_name, &digest)?;
        print(&format!("{}: {told}", path.display()));
    }
    Ok(exit_code::SUCCESS)
}

/// `proxy.wasm` belongs to `50-proxy.toml`, `55-proxy.wasm` to `55-proxy.toml`.
fn toml_name(file_name: &str) -> String {
    match biomero_hooks::number_of(file_name) {
        Some(_) => format!("{}.toml", file_name.trim_end_matches(".wasm")),
        None => format!("50-{}.toml", file_name.trim_end_matches(".wasm")),
    }
}

/// Pins in one file and tells what that changed.
fn pin_in(path: &Path, component: &str, digest: &str) -> Result<String, String> {
    let failed = |doing: &str, error: &io::Error| format!("cannot {doing} {}: {error}", path.display());
    let before = match fs::read_to_string(path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", &error)),
    };
    let text = before.clone().unwrap_or_else(|| {
        format!(
            "# What {component} may know and do: nothing that is not granted here.\n\
             component = \"{component}\"\n\n[grants]\n"
        )
    });
    let (after, told) =
        pinned(&text, component, digest).map_err(|problem| format!("{}: {problem}", path.display()))?;
    if before.as_deref() != Some(after.as_str()) {
        replace(path, &after).map_err(|error| failed("write", &error))?;
    }
    Ok(if before.is_none() { format!("written; {told}; its [grants] are empty") } else { told })
}

/// The text with the digest in it, all else as it was; and what was done.
fn pinned(text: &str, component: &str, digest: &str) -> Result<(String, String), String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    if let Some(other) = ["command", "effects"].into_iter().find(|key| document.contains_key(key)) {
        return Err(format!(
            "it is the file of a hook with `{other}`; give the component's TOML file another name"
        ));
    }
    if !document.contains_key("component") {
        document.insert("component", value(component));
    }
    let before = document.get("sha256").and_then(Item::as_str).map(str::to_owned);
    match document.get_mut("sha256").and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = Value::from(digest);
            *old.decor_mut() = decor;
        }
        None => {
            document.insert("sha256", value(digest));
        }
    }
    let mut told = match before {
        Some(before) if before.eq_ignore_ascii_case(digest) => {
            format!("{component} is pinned already, sha256 = \"{digest}\"")
        }
        Some(before) => format!("sha256 = \"{digest}\" (was {before})"),
        None => format!("sha256 = \"{digest}\""),
    };
    if document.get("allow_unpinned").and_then(Item::as_bool) == Some(true) {
        told.push_str("; allow_unpinned = true has no use any more");
    }
    Ok((document.to_string(), told))
}

/// Written beside and renamed, with the mode and owner of what was there.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}~", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
            // Only root can give a file away; an ordinary user's own is its own.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_with_the_digest_changes() {
        let text = "# why\nsummary = \"x\"\ncomponent = \"x.wasm\" # ours\n\n# what it writes\n[grants]\nwrite = [\"/a\"]\n";
        let (once, told) = pinned(text, "x.wasm", "aa").unwrap();
        assert_eq!(once, text.replace(" # ours\n", " # ours\nsha256 = \"aa\"\n"));
        assert_eq!(told, "sha256 = \"aa\"");
        let commented = once.replace("\"aa\"", "\"aa\"  # checked by me");
        let (twice, told) = pinned(&commented, "x.wasm", "bb").unwrap();
        assert_eq!(twice, commented.replace("\"aa\"", "\"bb\""));
        assert_eq!(told, "sha256 = \"bb\" (was aa)");
        let (thrice, told) = pinned(&twice, "x.wasm", "bb").unwrap();
        assert_eq!(thrice, twice);
        assert!(told.contains("already"), "{told}");
    }

    #[test]
    fn the_file_of_another_kind_of_hook_is_not_touched() {
        assert!(pinned("command = [\"true\"]\n", "x.wasm", "aa").unwrap_err().contains("another name"));
        assert!(pinned("component = \n", "x.wasm", "aa").is_err());
    }

    #[test]
    fn a_name_without_a_number_gets_one() {
        assert_eq!(toml_name("site-proxy.wasm"), "50-site-proxy.toml");
        assert_eq!(toml_name("07-site-proxy.wasm"), "07-site-proxy.toml");
    }
}
