//! Which hooks run, in which order, and where each comes from.
//!
//! Built-ins, the executables of `/startup` and the site's `hooks.d` become one list. A site hook whose name equals
//! another's replaces it; `enabled = false` removes it; any other name adds one. Order is by number, then by name,
//! then `after` and `before` are honoured. Nothing is dropped silently: what does not run stays in the list with the
//! reason.

mod command;
mod order;
mod site;

use std::fmt;
use std::path::{Path, PathBuf};

use biomero_config::{HookPolicy, Settings};

use crate::context::{FileFact, Identity};
use crate::digest::sha256;
use crate::disk::Disk;
use crate::hook::Hook;

use site::{SiteError, SiteHook};

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
    hook: Box<dyn Hook>,
}

impl Scheduled {
    /// The hook itself.
    pub fn hook(&self) -> &dyn Hook {
        self.hook.as_ref()
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
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::BuiltIn => "built-in",
            Self::Exec => "exec",
            Self::Effects => "effects",
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

/// Reads `/startup` and `hooks.d` and puts all hooks in order.
///
/// `arguments` are handed to every executable of `/startup`, as the base image's entrypoint does.
///
/// # Errors
/// All problems of all files together.
pub fn schedule(
    built_in: Vec<(u16, Box<dyn Hook>)>,
    settings: &Settings,
    disk: &Disk,
    identity: &Identity,
    arguments: &[String],
) -> Result<Vec<Scheduled>, ScheduleError> {
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
            hook,
        })
        .collect();
    let executables = startup_executables(&hooks, settings, disk, identity, arguments, &mut problems);
    hooks.extend(executables);

    let mut site_names: Vec<(String, PathBuf)> = Vec::new();
    for path in files(&settings.hooks.directory, disk, &mut problems) {
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
                if let Err(error) = merge(&mut hooks, site, &path, sha256(&content), settings, arguments) {
                    problems.push(error.to_string());
                }
            }
            Ok(None) => {}
            Err(errors) => problems.extend(errors.into_iter().map(|error| error.to_string())),
        }
    }
    apply_policies(&mut hooks, settings, &mut problems);
    if !problems.is_empty() {
        return Err(ScheduleError { problems });
    }
    order::order(hooks).map_err(|error| ScheduleError { problems: vec![error.to_string()] })
}

/// Puts a site's hook in the list: in another's place, as a new one, or as a mark on one that is not to run.
fn merge(
    hooks: &mut Vec<Scheduled>,
    site: SiteHook,
    path: &Path,
    digest: String,
    settings: &Settings,
    arguments: &[String],
) -> Result<(), SiteError> {
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
            return Err(SiteError::NothingToDisable {
                path: path.to_owned(),
                nearest: nearest(&site.name, hooks.iter().map(|hook| hook.name.as_str())),
                name: site.name,
            });
        }
        (None, None) => {
            return Err(SiteError::NothingToDo {
                path: path.to_owned(),
                nearest: nearest(&site.name, hooks.iter().map(|hook| hook.name.as_str())),
                name: site.name,
            });
        }
    };
    let (kind, hook) = body.into_hook(&site.name, &site.summary, arguments);
    let scheduled = Scheduled {
        number: site.number,
        summary: site.summary,
        kind,
        replaces: existing.map(|existing| hooks[existing].origin.clone()),
        policy: policy(existing.map_or(&settings.hooks.default, |existing| &hooks[existing].policy)),
        skipped: (!site.enabled).then(|| format!("disabled by {origin}")),
        after: site.after,
        before: site.before,
        digest: Some(digest),
        origin,
        name: site.name,
        hook,
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
                hook.policy.deadline = over.deadline.unwrap_or(hook.policy.deadline);
                hook.policy.retries = over.retries.unwrap_or(hook.policy.retries);
                hook.policy.on_failure = over.on_failure.unwrap_or(hook.policy.on_failure);
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
                hook: Box::new(command::ListedHook {
                    name: name.clone(),
                    summary: summary.clone(),
                    effects: vec![command::program(argv, None, false)],
                }),
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
