//! Which hooks run, in which order, and where each comes from.
//!
//! Built-ins, the executables of `/startup` and the site's `hooks.d` become one list. A site hook whose name equals
//! another's replaces it; `enabled = false` removes it; any other name adds one. Order is by number, then by name,
//! then `after` and `before` are honoured. Nothing is dropped silently: what does not run stays in the list with the
//! reason.

mod command;
mod component;
mod order;
mod site;
mod trial;

use std::fmt;
use std::path::{Path, PathBuf};

use std::rc::Rc;

use biomero_config::{HookPolicy, Settings, Values};

use crate::component::ComponentHook;
use crate::context::{FileFact, Identity};
use crate::digest::sha256;
use crate::disk::Disk;
use crate::hook::Hook;

pub(crate) use component::SECOND_CACHE;
use component::{Components, Workshop};
pub use site::number_of;
use site::{SiteError, SiteHook};
pub use trial::{Trial, component_digest, naming, trial};

/// One hook in its place.
pub struct Scheduled {
    /// Its place; lower runs earlier.
    pub number: u16,
    /// Its unique name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// What kind of hook it is.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// What it replaces, by origin.
    pub replaces: Option<Origin>,
    /// SHA-256 of the file it comes from; none for a built-in.
    pub digest: Option<String>,
    /// Deadline, retries and the meaning of a failure.
    pub policy: HookPolicy,
    /// Why it does not run, if it does not.
    pub skipped: Option<String>,
    /// Names of hooks that run before it.
    pub after: Vec<String>,
    /// Names of hooks that run after it.
    pub before: Vec<String>,
    body: Body,
}

/// What is asked for effects.
pub(crate) enum Body {
    /// A function of this process.
    Hook(Box<dyn Hook>),
    /// A component, or the one that last ran well.
    Component(Box<Components>),
}

impl Scheduled {
    /// What is asked for effects.
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// The hook, where it is a function of this process.
    pub fn hook(&self) -> Option<&dyn Hook> {
        match &self.body {
            Body::Hook(hook) => Some(hook.as_ref()),
            Body::Component(_) => None,
        }
    }

    /// The component, where it is one.
    pub fn component(&self) -> Option<&ComponentHook> {
        match &self.body {
            Body::Hook(_) => None,
            Body::Component(components) => Some(components.active()),
        }
    }

    /// The file of the component in `hooks.d`.
    pub(crate) fn component_file(&self) -> Option<&Path> {
        match &self.body {
            Body::Hook(_) => None,
            Body::Component(components) => Some(&components.file),
        }
    }

    /// Turns to the component that last ran well; `false` where there is none, or none is wanted.
    pub(crate) fn fall_back(&self) -> bool {
        matches!(&self.body, Body::Component(components) if components.fall_back())
    }

    /// Whether it is not the component in `hooks.d` that runs, but the last good one.
    pub fn is_fallen_back(&self) -> bool {
        matches!(&self.body, Body::Component(components) if components.is_fallen_back())
    }

    /// Remembers that it ran well.
    pub(crate) fn remember(&self) {
        if let Body::Component(components) = &self.body {
            components.remember();
        }
    }
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02} {} ({}, {})", self.number, self.name, self.kind, self.origin)
    }
}

/// What kind of hook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Brought by `init`.
    BuiltIn,
    /// An executable, with effects unknown.
    Exec,
    /// Effects listed in a TOML file.
    Effects,
    /// A WebAssembly component.
    Component,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::BuiltIn => "built-in",
            Self::Exec => "exec",
            Self::Effects => "effects",
            Self::Component => "wasm",
        })
    }
}

/// Where a hook comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The `init` binary.
    Init,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init => formatter.pad("init"),
            Self::File(path) => formatter.pad(&path.display().to_string()),
        }
    }
}

/// Everything wrong with the hooks of a site, reported together.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ScheduleError {
    /// Each names the file and the remedy.
    pub problems: Vec<String>,
}

/// What hooks are found with.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// The same by their keys, for components.
    pub values: &'a Values,
    /// Where `/startup` and `hooks.d` are.
    pub disk: &'a Disk,
    /// Who `init` is and who services will be.
    pub identity: &'a Identity,
    /// Handed to every executable of `/startup`, as the base image's entrypoint does.
    pub arguments: &'a [String],
}

/// Reads `/startup` and `hooks.d` and puts all hooks in order.
///
/// # Errors
/// All problems of all files together.
pub fn schedule(
    built_in: Vec<(u16, Box<dyn Hook>)>,
    site: &Site<'_>,
) -> Result<Vec<Scheduled>, ScheduleError> {
    let Site { settings, disk, identity, arguments, .. } = *site;
    let mut problems = Vec::new();
    let mut hooks: Vec<Scheduled> = built_in
        .into_iter()
        .map(|(number, hook)| Scheduled {
            number,
            name: hook.name().to_owned(),
            summary: hook.summary().to_owned(),
            kind: Kind::BuiltIn,
            origin: Origin::Init,
            replaces: None,
            digest: None,
            policy: settings.hooks.default.clone(),
            skipped: None,
            after: Vec::new(),
            before: Vec::new(),
            body: Body::Hook(hook),
        })
        .collect();
    let executables = startup_executables(&hooks, settings, disk, identity, arguments, &mut problems);
    hooks.extend(executables);

    let workshop = Workshop {
        disk,
        values: Rc::new(site.values.clone()),
        host: Rc::new(component::host(settings, disk)),
    };
    let mut site_names: Vec<(String, PathBuf)> = Vec::new();
    let mut components: Vec<PathBuf> = Vec::new();
    let mut named_components: Vec<PathBuf> = Vec::new();
    for path in files(&settings.hooks.directory, disk, &mut problems) {
        // What editors and volumes keep there, as the folder `..data` of a mounted ConfigMap.
        if site::is_hidden(&path) {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "wasm") {
            // Up to 128 MiB, read only when a TOML file names it.
            components.push(path);
            continue;
        }
        let FileFact::File { content, mode, .. } = disk.fact(&path, identity) else {
            problems.push(format!("{}: not a readable file; hooks.d holds files only", path.display()));
            continue;
        };
        match site::read(&path, &content, mode) {
            Ok(Some(site)) => {
                if let Some((_, other)) = site_names.iter().find(|(name, _)| *name == site.name) {
                    problems.push(format!(
                        "{}: the name \"{}\" is already taken by {}; rename one of them",
                        path.display(),
                        site.name,
                        other.display()
                    ));
                    continue;
                }
                site_names.push((site.name.clone(), path.clone()));
                if let Some(site::Body::Component(table)) = &site.body {
                    named_components.push(settings.hooks.directory.join(&table.file));
                }
                let found = Found { path: &path, digest: sha256(&content), settings, arguments };
                if let Err(errors) = merge(&mut hooks, site, found, &workshop) {
                    problems.extend(errors.into_iter().map(|error| error.to_string()));
                }
            }
            Ok(None) => {}
            Err(errors) => problems.extend(errors.into_iter().map(|error| error.to_string())),
        }
    }
    for path in components.iter().filter(|path| !named_components.contains(path)) {
        problems.push(site::unnamed_component(path).to_string());
    }
    apply_policies(&mut hooks, settings, &mut problems);
    if !problems.is_empty() {
        return Err(ScheduleError { problems });
    }
    order::order(hooks).map_err(|error| ScheduleError { problems: vec![error.to_string()] })
}

/// Where a site's hook was found.
struct Found<'a> {
    path: &'a Path,
    digest: String,
    settings: &'a Settings,
    arguments: &'a [String],
}

/// Puts a site's hook in the list: in another's place, as a new one, or as a mark on one that is not to run.
fn merge(
    hooks: &mut Vec<Scheduled>,
    site: SiteHook,
    found: Found<'_>,
    workshop: &Workshop<'_>,
) -> Result<(), Vec<SiteError>> {
    let Found { path, digest, settings, arguments } = found;
    let origin = Origin::File(path.to_owned());
    let existing = hooks.iter().position(|hook| hook.name == site.name);
    let policy = |inherited: &HookPolicy| HookPolicy {
        deadline: site.deadline.unwrap_or(inherited.deadline),
        retries: site.retries.unwrap_or(inherited.retries),
        on_failure: site.on_failure.unwrap_or(inherited.on_failure),
    };
    let body = match (site.body, existing) {
        (Some(body), _) => body,
        // No body: the file changes where, whether and how patiently an existing hook runs.
        (None, Some(existing)) => {
            let hook = &mut hooks[existing];
            hook.policy = policy(&hook.policy);
            hook.number = site.number;
            hook.after.extend(site.after);
            hook.before.extend(site.before);
            hook.digest = Some(digest);
            if !site.enabled {
                hook.skipped = Some(format!("disabled by {origin}"));
            }
            return Ok(());
        }
        (None, None) if !site.enabled => {
            return Err(vec![SiteError::NothingToDisable {
                path: path.to_owned(),
                nearest: nearest(&site.name, hooks.iter().map(|hook| hook.name.as_str())),
                name: site.name,
            }]);
        }
        (None, None) => {
            return Err(vec![SiteError::NothingToDo {
                path: path.to_owned(),
                nearest: nearest(&site.name, hooks.iter().map(|hook| hook.name.as_str())),
                name: site.name,
            }]);
        }
    };
    let (kind, body, of_component) = body.into_hook(path, &site.name, &site.summary, arguments, workshop)?;
    let scheduled = Scheduled {
        number: site.number,
        summary: site.summary,
        kind,
        replaces: existing.map(|existing| hooks[existing].origin.clone()),
        policy: policy(existing.map_or(&settings.hooks.default, |existing| &hooks[existing].policy)),
        skipped: (!site.enabled).then(|| format!("disabled by {origin}")),
        after: site.after,
        before: site.before,
        digest: Some(of_component.unwrap_or(digest)),
        origin,
        name: site.name,
        body,
    };
    match existing {
        Some(existing) => hooks[existing] = scheduled,
        None => hooks.push(scheduled),
    }
    Ok(())
}

/// `[hooks.NAME]` of the settings, the administrator's last word.
fn apply_policies(hooks: &mut [Scheduled], settings: &Settings, problems: &mut Vec<String>) {
    for (name, over) in &settings.hooks.per_hook {
        match hooks.iter_mut().find(|hook| hook.name == *name) {
            Some(hook) => {
                over.apply_to(&mut hook.policy);
                if over.enabled == Some(false) {
                    hook.skipped = Some(format!("disabled by the setting hooks.{name}.enabled"));
                }
            }
            None => problems.push(format!(
                "the setting hooks.{name} names no hook{}; `init hooks` lists them",
                nearest(name, hooks.iter().map(|hook| hook.name.as_str()))
                    .map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
            )),
        }
    }
}

/// The name most like a misspelt one.
fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    biomero_config::nearest(name, candidates).map(str::to_owned)
}

/// The executables of the image's `/startup`, in their place by number; unnumbered ones last, as in name order.
fn startup_executables(
    built_in: &[Scheduled],
    settings: &Settings,
    disk: &Disk,
    identity: &Identity,
    arguments: &[String],
    problems: &mut Vec<String>,
) -> Vec<Scheduled> {
    files(&settings.startup.directory, disk, problems)
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let FileFact::File { content, mode, .. } = disk.fact(&path, identity) else { return None };
            let skipped = match settings.startup.replaced.get(&name) {
                Some(hook) if built_in.iter().any(|other| other.name == *hook) => {
                    Some(format!("replaced by {hook}"))
                }
                Some(reason) => Some(reason.clone()),
                None if mode & 0o111 == 0 => Some("not executable (chmod +x to run it)".to_owned()),
                None => None,
            };
            let argv = std::iter::once(path.display().to_string()).chain(arguments.iter().cloned()).collect();
            let summary = format!("runs {}", path.display());
            Some(Scheduled {
                number: site::number_of(&name).map_or(u16::MAX, |(number, _)| number),
                kind: Kind::Exec,
                origin: Origin::File(path.clone()),
                replaces: None,
                digest: Some(sha256(&content)),
                policy: settings.hooks.default.clone(),
                skipped,
                after: Vec::new(),
                before: Vec::new(),
                body: Body::Hook(Box::new(command::ListedHook {
                    name: name.clone(),
                    summary: summary.clone(),
                    effects: vec![command::program(argv, None, false)],
                })),
                summary,
                name,
            })
        })
        .collect()
}

fn files(directory: &Path, disk: &Disk, problems: &mut Vec<String>) -> Vec<PathBuf> {
    match disk.names(directory) {
        Ok(names) => names.into_iter().map(|name| directory.join(name)).collect(),
        Err(error) => {
            problems.push(format!("cannot list {}: {error}; check its permissions", directory.display()));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;
