//! A site's hook in `hooks.d`: `NN-name.toml` or an executable `NN-name.sh`.
//!
//! ```toml
//! # 90-icegrid-node.toml: in place of the built-in of that name
//! summary = "announces the address of our NAT gateway"
//! command = ["/etc/biomero/node-config.sh", "--external"]
//! deadline = "30s"
//! ```
//!
//! With `component = "FILE.wasm"` in place of `command` it is a component: see [`super::component`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::{OnFailure, Secret};
use serde::Deserialize;

use super::Kind;
use super::command::{ListedHook, program};
use super::component::{ComponentTable, LimitsTable, Workshop};
use crate::effect::{Content, Effect, FileEffect, Owner, Text};
use crate::grants::GrantsTable;

/// A site's hook as its file describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SiteHook {
    pub(super) number: u16,
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) enabled: bool,
    pub(super) after: Vec<String>,
    pub(super) before: Vec<String>,
    pub(super) deadline: Option<Duration>,
    pub(super) retries: Option<u32>,
    pub(super) on_failure: Option<OnFailure>,
    /// `None` changes an existing hook's settings only.
    pub(super) body: Option<Body>,
}

/// What a site's hook does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// Runs a program; `pass_arguments` as for the executables of `/startup`.
    Command { argv: Vec<String>, directory: Option<PathBuf>, pass_arguments: bool },
    /// Has effects.
    Effects(Vec<Effect>),
    /// Is a component.
    Component(Box<ComponentTable>),
}

impl Body {
    /// As a hook; also the digest of the file that holds it, where that is not the one it was read from.
    pub(super) fn into_hook(
        self,
        toml: &Path,
        name: &str,
        summary: &str,
        arguments: &[String],
        workshop: &Workshop<'_>,
    ) -> Result<(Kind, super::Body, Option<String>), Vec<SiteError>> {
        let (kind, effects) = match self {
            Self::Command { mut argv, directory, pass_arguments } => {
                if pass_arguments {
                    argv.extend(arguments.iter().cloned());
                }
                (Kind::Exec, vec![program(argv, directory, false)])
            }
            Self::Effects(effects) => (Kind::Effects, effects),
            Self::Component(table) => {
                let (components, digest) = workshop.make(toml, name, &table)?;
                return Ok((Kind::Component, super::Body::Component(Box::new(components)), Some(digest)));
            }
        };
        let hook = ListedHook { name: name.to_owned(), summary: summary.to_owned(), effects };
        Ok((kind, super::Body::Hook(Box::new(hook)), None))
    }
}

/// What is wrong with a file of `hooks.d`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SiteError {
    /// The file's name.
    #[error("{}: name it NN-name.toml or NN-name.sh, as 55-proxy.toml; the number is its place in the order", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The file's kind.
    #[error("{}: hooks.d takes .toml and .sh files; {remedy}", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// The file's content.
    #[error("{}:{line}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected.
        problem: String,
    },
    /// A component without a TOML file.
    #[error("{0}: no TOML file names this component, so that nothing is granted and nothing runs; write one beside it: init hooks pin {0}", path.display())]
    Unnamed {
        /// The component.
        path: PathBuf,
    },
    /// The component that the file names.
    #[error("{}: {problem}", toml.display())]
    Component {
        /// The TOML file.
        toml: PathBuf,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// `enabled = false` for a hook that does not exist.
    #[error("{}: there is no hook {name} to disable{}; `init hooks` lists them", path.display(), did_you_mean(nearest.as_deref()))]
    NothingToDisable {
        /// The file.
        path: PathBuf,
        /// The name it gives.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// Neither a command nor effects for a new hook.
    #[error("{}: there is no hook {name} to change{}; a new hook needs `command`, `component` or `[[effects]]`", path.display(), did_you_mean(nearest.as_deref()))]
    NothingToDo {
        /// The file.
        path: PathBuf,
        /// The name it gives.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)"))
}

/// A `.wasm` that no TOML file of the folder names.
pub(super) fn unnamed_component(path: &Path) -> SiteError {
    SiteError::Unnamed { path: path.to_owned() }
}

/// The number at the start of a file's name, and the rest without `-` and extension.
pub fn number_of(file_name: &str) -> Option<(u16, &str)> {
    let digits = file_name.find(|character: char| !character.is_ascii_digit())?;
    let number = file_name.get(..digits)?.parse().ok()?;
    let rest = file_name[digits..].trim_start_matches(['-', '_']);
    let stem = rest.rsplit_once('.').map_or(rest, |(stem, _)| stem);
    (!stem.is_empty()).then_some((number, stem))
}

/// Whether editors and volumes leave something of that name (`*~`, `.*`, `..data`), or people for one another.
pub(super) fn is_hidden(path: &Path) -> bool {
    let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    file_name.starts_with('.') || file_name.ends_with(['~', '#']) || file_name == "README.md"
}

/// Reads one file of `hooks.d`; `None` for a component, which its TOML file makes a hook.
pub(super) fn read(path: &Path, content: &[u8], mode: u32) -> Result<Option<SiteHook>, Vec<SiteError>> {
    let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = || vec![SiteError::Name { path: path.to_owned() }];
    let (number, stem) = number_of(file_name).ok_or_else(named)?;
    match file_name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("toml") => from_toml(path, number, stem, content).map(Some),
        Some("sh") if mode & 0o111 == 0 => Err(vec![SiteError::Extension {
            path: path.to_owned(),
            remedy: "this one is not executable: chmod +x it",
        }]),
        Some("sh") => Ok(Some(SiteHook {
            number,
            name: stem.to_owned(),
            summary: format!("runs {}", path.display()),
            enabled: true,
            after: Vec::new(),
            before: Vec::new(),
            deadline: None,
            retries: None,
            on_failure: None,
            body: Some(Body::Command {
                argv: vec![path.display().to_string()],
                directory: None,
                pass_arguments: true,
            }),
        })),
        // The TOML file that names it is what makes it a hook.
        Some("wasm") => Ok(None),
        _ => Err(vec![SiteError::Extension { path: path.to_owned(), remedy: "move this file elsewhere" }]),
    }
}

/// The keys of `NN-name.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    summary: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    before: Vec<String>,
    deadline: Option<String>,
    retries: Option<u32>,
    on_failure: Option<OnFailure>,
    command: Option<Vec<String>>,
    directory: Option<PathBuf>,
    effects: Option<Vec<serde_json::Value>>,
    component: Option<PathBuf>,
    sha256: Option<String>,
    #[serde(default)]
    allow_unpinned: bool,
    wasi: Option<Wasi>,
    #[serde(default)]
    rollback: bool,
    limits: Option<LimitsTable>,
    grants: Option<GrantsTable>,
}

/// What a component gets that imports WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wasi {
    /// Every call of it stops the component.
    Deny,
}

/// One entry of `[[effects]]`, told apart by its first key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Entry {
    File {
        path: PathBuf,
        content: String,
        #[serde(default = "file_mode")]
        mode: String,
        #[serde(default)]
        secret: bool,
    },
    Directory {
        path: PathBuf,
        #[serde(default = "directory_mode")]
        mode: String,
    },
    Remove {
        path: PathBuf,
    },
    Variable {
        name: String,
        value: Option<String>,
    },
    WaitTcp {
        address: String,
        #[serde(default = "wait_deadline")]
        deadline: String,
    },
    WaitPath {
        path: PathBuf,
        #[serde(default = "wait_deadline")]
        deadline: String,
    },
    Command {
        argv: Vec<String>,
        #[serde(default)]
        as_service_user: bool,
    },
}

const fn yes() -> bool {
    true
}

fn file_mode() -> String {
    "644".to_owned()
}

fn directory_mode() -> String {
    "755".to_owned()
}

fn wait_deadline() -> String {
    "60s".to_owned()
}

pub(super) fn from_toml(
    path: &Path,
    number: u16,
    stem: &str,
    content: &[u8],
) -> Result<SiteHook, Vec<SiteError>> {
    let problem = |line, problem: String| SiteError::Content { path: path.to_owned(), line, problem };
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = 1 + content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        vec![problem(line, "not valid UTF-8".to_owned())]
    })?;
    let line_of = |span: Option<std::ops::Range<usize>>| {
        1 + span.map_or(0, |span| {
            text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count()
        })
    };
    let table: Table = toml_edit::de::from_str(text)
        .map_err(|error| vec![problem(line_of(error.span()), with_nearest_key(error.message()))])?;
    let mut problems = Vec::new();
    let deadline = table.deadline.as_deref().and_then(|deadline| {
        biomero_config::duration::parse(deadline)
            .map_err(|error| problems.push(problem(key_line(text, "deadline"), format!("deadline: {error}"))))
            .ok()
    });
    let component = component(&table).unwrap_or_else(|(key, sentence)| {
        problems.push(problem(key_line(text, key), sentence));
        None
    });
    let body = match (table.command, table.effects) {
        (Some(_), Some(_)) => {
            let sentence = "a hook has either `command` or `[[effects]]`, not both";
            problems.push(problem(key_line(text, "command"), sentence.to_owned()));
            None
        }
        (Some(_), _) | (_, Some(_)) if component.is_some() => {
            let sentence = "a hook has either `component` or `command` or `[[effects]]`";
            problems.push(problem(key_line(text, "component"), sentence.to_owned()));
            None
        }
        (Some(argv), None) if argv.is_empty() => {
            let sentence = "command is empty: give a program and its arguments, as [\"/bin/true\"]";
            problems.push(problem(key_line(text, "command"), sentence.to_owned()));
            None
        }
        (Some(argv), None) => Some(Body::Command { argv, directory: table.directory, pass_arguments: false }),
        (None, Some(entries)) => {
            let lines: Vec<usize> = text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.trim_start().starts_with("[[effects]]"))
                .map(|(index, _)| index + 1)
                .collect();
            let mut effects = Vec::new();
            for (index, entry) in entries.into_iter().enumerate() {
                match effect(entry) {
                    Ok(effect) => effects.push(effect),
                    Err(sentence) => {
                        problems.push(problem(lines.get(index).copied().unwrap_or(1), sentence));
                    }
                }
            }
            Some(Body::Effects(effects))
        }
        (None, None) => component.map(|table| Body::Component(Box::new(table))),
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let name = table.name.unwrap_or_else(|| stem.to_owned());
    Ok(SiteHook {
        number,
        summary: table.summary.unwrap_or_else(|| format!("as {} says", path.display())),
        enabled: table.enabled,
        after: table.after,
        before: table.before,
        deadline,
        retries: table.retries,
        on_failure: table.on_failure,
        body,
        name,
    })
}

/// What the file says of a component; the keys that only a component has need one.
fn component(table: &Table) -> Result<Option<ComponentTable>, (&'static str, String)> {
    let Some(file) = &table.component else {
        let of_component = [
            ("sha256", table.sha256.is_some()),
            ("allow_unpinned", table.allow_unpinned),
            ("wasi", table.wasi.is_some()),
            ("rollback", table.rollback),
            ("[limits", table.limits.is_some()),
            ("[grants", table.grants.is_some()),
        ];
        let given = of_component.into_iter().find(|(_, given)| *given);
        return given.map_or(Ok(None), |(key, _)| {
            let shown = key.trim_start_matches('[');
            Err((key, format!("`{shown}` is for a hook with `component = \"FILE.wasm\"`")))
        });
    };
    let well_formed =
        |digest: &String| digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit());
    if let Some(digest) = table.sha256.as_ref().filter(|digest| !well_formed(digest)) {
        return Err((
            "sha256",
            format!("sha256 = {digest:?}: give 64 hexadecimal digits, as sha256sum prints"),
        ));
    }
    if file.extension().is_none_or(|extension| extension != "wasm") {
        return Err((
            "component",
            format!("component = {:?}: give a file that ends in .wasm", file.display()),
        ));
    }
    let limits =
        table.limits.as_ref().map_or_else(|| Ok(crate::component::Limits::default()), LimitsTable::limits);
    Ok(Some(ComponentTable {
        file: file.clone(),
        pinned: table.sha256.clone(),
        allow_unpinned: table.allow_unpinned,
        wasi_traps: table.wasi == Some(Wasi::Deny),
        rollback: table.rollback,
        limits: limits.map_err(|problem| ("[limits", problem))?,
        grants: table.grants.clone().unwrap_or_default(),
    }))
}

/// serde's complaint about a misspelt key lists all keys; the one that was meant comes first.
fn with_nearest_key(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match words.split_first() {
        Some((misspelt, keys)) if message.starts_with("unknown field") => super::nearest(
            misspelt,
            keys.iter().copied(),
        )
        .map_or_else(|| message.to_owned(), |key| format!("unknown key `{misspelt}`, did you mean `{key}`?")),
        _ => message.to_owned(),
    }
}

fn key_line(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |index| index + 1)
}

fn effect(entry: serde_json::Value) -> Result<Effect, String> {
    let expected = "an effect is one of file, directory, remove, variable, wait_tcp, wait_path, command, \
                    as `file = { path = \"/etc/x\", content = \"y\" }`";
    let entry: Entry = serde_json::from_value(entry).map_err(|error| format!("{error}; {expected}"))?;
    let absolute = |path: PathBuf| {
        let plain = path.is_absolute() && path.components().all(|part| part.as_os_str() != "..");
        if plain { Ok(path) } else { Err(format!("{}: give an absolute path without ..", path.display())) }
    };
    let bits = |mode: &str| {
        u32::from_str_radix(mode, 8)
            .ok()
            .filter(|bits| *bits <= 0o7777)
            .ok_or_else(|| format!("mode \"{mode}\": give octal permission bits, as \"600\""))
    };
    let duration = |text: &str| biomero_config::duration::parse(text);
    Ok(match entry {
        Entry::File { path, content, mode, secret } => Effect::File(FileEffect {
            path: absolute(path)?,
            content: if secret {
                Content::Secret(Secret::new(content.into_bytes()))
            } else {
                Content::Public(content.into_bytes())
            },
            mode: bits(&mode)?,
            owner: Owner::ServiceUser,
            lock: None,
        }),
        Entry::Directory { path, mode } => {
            Effect::Directory { path: absolute(path)?, mode: bits(&mode)?, owner: Owner::ServiceUser }
        }
        Entry::Remove { path } => Effect::Remove { path: absolute(path)? },
        Entry::Variable { name, value } => {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!("variable \"{name}\": a name has no = and is not empty"));
            }
            let value = value.map(|value| Text::named(&name, value));
            Effect::Variable { name, value }
        }
        Entry::WaitTcp { address, deadline } => Effect::WaitTcp { address, deadline: duration(&deadline)? },
        Entry::WaitPath { path, deadline } => {
            Effect::WaitPath { path: absolute(path)?, deadline: duration(&deadline)? }
        }
        Entry::Command { argv, as_service_user } => {
            if argv.is_empty() {
                return Err("command: argv is empty".to_owned());
            }
            program(argv, None, as_service_user)
        }
    })
}
