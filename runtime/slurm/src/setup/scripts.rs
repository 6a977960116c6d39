//! Job scripts on the cluster. Each ends with a line that holds the digest of what is above it, so that an edit by hand is noticed:
//! such a script is kept, unless it is to be replaced; then it is put aside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::item::{Became, Item};
use super::login::quoted;
use crate::{Cluster, Command, Error};

/// What begins the last line.
const SEAL: &str = "# Written by biomero; the digest tells whether it was edited since: sha256 ";

/// More of a script is not read, in bytes: 1 MiB.
const LARGEST: usize = 1 << 20;

/// Tells the content of each file, with an `=` before it; nothing where there is none.
const READ: &str = r#"most=$1; shift
for file do
    if [ -f "$file" ]; then printf '='; head -c "$most" -- "$file" | tr -d '\000'; fi
    printf '\0'
done"#;

/// A script as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its path, below the folder of scripts.
    pub path: PathBuf,
    /// Its text, without the seal.
    pub text: String,
}

/// What is to be done with a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Leave,
    Write,
    Replace,
    Keep,
}

/// Writes scripts that are missing or old.
///
/// # Errors
/// The cluster could not be asked. What cannot be written is told as an item.
pub async fn write(
    cluster: &Cluster,
    scripts: &[Script],
    force: bool,
    dry_run: bool,
) -> Result<Vec<Item>, Error> {
    if scripts.is_empty() {
        return Ok(Vec::new());
    }
    let found = read(cluster, scripts).await?;
    let mut items = Vec::new();
    for (script, there) in scripts.iter().zip(found) {
        let written = one(cluster, script, there.as_deref(), force, dry_run).await;
        items.push(written.unwrap_or_else(|error| {
            let typed = quoted(&script.path);
            named(script, Became::Failed).told(error.to_string()).remedy(format!("ls -l {typed}; df {typed}"))
        }));
    }
    Ok(items)
}

/// Writes one that is needed now, where it is missing or old.
///
/// # Errors
/// It could not be looked at or written.
pub async fn write_one(cluster: &Cluster, script: &Script) -> Result<Item, Error> {
    let there = read(cluster, std::slice::from_ref(script)).await?.into_iter().flatten().next();
    one(cluster, script, there.as_deref(), false, false).await
}

/// What is in each of them; none for one that is not there.
async fn read(cluster: &Cluster, scripts: &[Script]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let command =
        Command::shell(READ).arg(LARGEST.to_string()).args(scripts.iter().map(|script| &script.path));
    let told = cluster.ask(&command.repeatable()).await?;
    let mut found = told.split(|byte| *byte == 0);
    Ok(scripts.iter().map(|_| found.next()?.strip_prefix(b"=").map(<[u8]>::to_vec)).collect())
}

fn named(script: &Script, became: Became) -> Item {
    Item::new("script", script.path.display().to_string(), became)
}

async fn one(
    cluster: &Cluster,
    script: &Script,
    there: Option<&[u8]>,
    force: bool,
    dry_run: bool,
) -> Result<Item, Error> {
    let sealed = sealed(&script.text);
    let step = step(there, &sealed, force);
    let item = |became| named(script, became);
    match (step, dry_run) {
        (Step::Leave, _) => return Ok(item(Became::There)),
        (Step::Keep, _) => {
            return Ok(item(Became::Kept)
                .told("it was edited by hand, or written by somebody else")
                .remedy("`processor slurm init --force` replaces it and puts it aside"));
        }
        (Step::Write, true) if there.is_none() => return Ok(item(Became::WouldMake)),
        (_, true) => return Ok(item(Became::WouldChange)),
        (Step::Write | Step::Replace, false) => {}
    }
    if let Some(parent) = script.path.parent() {
        cluster.ask(&Command::new("mkdir").arg("-p").arg("--").arg(parent).repeatable()).await?;
    }
    let aside = aside(&script.path, there.unwrap_or_default());
    if step == Step::Replace {
        let copy = Command::new("cp").arg("-p").arg("--").arg(&script.path).arg(&aside);
        cluster.ask(&copy.repeatable()).await?;
    }
    cluster.files().write(&script.path, sealed.as_bytes(), 0o644).await?;
    Ok(match step {
        Step::Replace => item(Became::Changed).told(format!("what was there is {}", aside.display())),
        _ if there.is_some() => item(Became::Changed),
        _ => item(Became::Made),
    })
}

/// The text with its seal.
fn sealed(text: &str) -> String {
    let text = if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let digest = digest(text.as_bytes());
    format!("{text}{SEAL}{digest}\n")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a script is as somebody of ours has written it, whatever version.
fn is_as_written(content: &[u8]) -> bool {
    let Some(end) = content.strip_suffix(b"\n") else { return false };
    let start = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (above, seal) = content.split_at(start);
    let seal = seal.strip_prefix(SEAL.as_bytes()).and_then(|seal| seal.strip_suffix(b"\n"));
    seal.is_some_and(|seal| seal == digest(above).as_bytes())
}

fn step(there: Option<&[u8]>, sealed: &str, force: bool) -> Step {
    match there {
        None => Step::Write,
        Some(content) if content == sealed.as_bytes() => Step::Leave,
        Some(content) if is_as_written(content) => Step::Write,
        Some(_) if force => Step::Replace,
        Some(_) => Step::Keep,
    }
}

/// Where an edited script is put: by its content, so that the same edit is kept once.
fn aside(path: &Path, content: &[u8]) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    name.extend_from_slice(b".edited-");
    name.extend(digest(content).bytes().take(8));
    PathBuf::from(OsStr::from_bytes(&name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_nobody_edited_is_written_over() {
        let (old, new) = (sealed("old\n"), sealed("new\n"));
        let table: [(Option<&str>, bool, Step); 7] = [
            (None, false, Step::Write),
            (Some(&new), false, Step::Leave),
            (Some(&new), true, Step::Leave),
            (Some(&old), false, Step::Write),
            (Some("#!/bin/bash\nby Python\n"), false, Step::Keep),
            (Some("#!/bin/bash\nby Python\n"), true, Step::Replace),
            (Some(""), false, Step::Keep),
        ];
        for (there, force, expected) in table {
            assert_eq!(step(there.map(str::as_bytes), &new, force), expected, "{there:?} {force}");
        }
    }

    proptest! {
        #[test]
        fn any_edit_breaks_the_seal(text in "(?s)[ -~\n]{0,60}", at in any::<prop::sample::Index>(), with in 1_u8..128) {
            let sealed = sealed(&text);
            prop_assert!(is_as_written(sealed.as_bytes()));
            let mut edited = sealed.into_bytes();
            let at = at.index(edited.len());
            prop_assume!(edited[at] != with);
            edited[at] = with;
            prop_assert!(!is_as_written(&edited));
        }
    }
}
