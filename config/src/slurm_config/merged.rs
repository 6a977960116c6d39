//! Several files as one: later ones win key by key, and what a file deletes is gone.
//!
//! Invariant: the order of sections and keys is the one Python's dictionaries keep, because BIOMERO passes options to
//! `sbatch` in that order: a key that is set again stays where it was, one that was deleted comes back last.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::dialect::{self, Section};
use super::interpolation::{Budget, Unresolved, expand, has_bare_percent};
use super::known::{is_workflow_suffix, workflow_of};
use super::{DEFAULT, Notice, SourceFile, review};
use crate::nearest::nearest;

/// More files, or sections and keys in all of them, are a mistake.
const MOST_FILES: usize = 64;
const MOST_KEYS: usize = 4096;

/// `slurm-config.ini` after all files were merged.
#[derive(Clone, Default)]
pub struct Merged {
    pub(crate) sections: Vec<MergedSection>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) warnings: Vec<Notice>,
    /// Whether a file deletes something: Python would not.
    deletes: bool,
}

/// A section, its keys in Python's order.
#[derive(Clone, Default)]
pub(crate) struct MergedSection {
    pub(crate) name: String,
    pub(crate) keys: Vec<MergedKey>,
    index: HashMap<String, usize>,
}

/// A key, where it was set last, and its value before `%` is looked at.
#[derive(Clone)]
pub(crate) struct MergedKey {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
}

impl std::fmt::Debug for Merged {
    /// Values may be secrets, so only what was merged is said.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Merged")
            .field("files", &self.files)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Merges files in reading order.
///
/// # Errors
/// All problems of all files: what Python refuses, and references that lead nowhere.
pub fn merge(files: &[SourceFile]) -> Result<Merged, Vec<Notice>> {
    let mut merged = Merged::default();
    let mut problems = Vec::new();
    if files.len() > MOST_FILES {
        let message = format!(
            "{} slurm-config.ini files are more than the {MOST_FILES} that are read; merge them",
            files.len()
        );
        return Err(vec![Notice::new(Path::new(""), 0, message)]);
    }
    let mut keys = 0;
    for file in files {
        match dialect::parse(&file.path, &file.content) {
            Ok(sections) => {
                keys += sections.iter().map(|section| section.entries.len() + 1).sum::<usize>();
                if keys > MOST_KEYS {
                    let message = format!(
                        "has more than {MOST_KEYS} keys, with the files before it; check what is mounted here"
                    );
                    return Err(vec![Notice::new(&file.path, 0, message)]);
                }
                merged.add(&file.path, sections);
            }
            Err(found) => problems.extend(found),
        }
        merged.files.push(file.path.clone());
    }
    if problems.is_empty() {
        merged.unresolved(&mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    review::review(&mut merged);
    Ok(merged)
}

impl Merged {
    /// What an administrator should look at, although BIOMERO reads the files.
    #[must_use]
    pub fn warnings(&self) -> &[Notice] {
        &self.warnings
    }

    /// The files it was merged from.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether the sources hold something Python's reader cannot express: a deletion, or a `%` that stands for itself.
    #[must_use]
    pub fn needs_rendering(&self) -> bool {
        let percent = |key: &MergedKey| key.value.as_deref().is_some_and(has_bare_percent);
        self.deletes || self.sections.iter().any(|section| section.keys.iter().any(percent))
    }

    /// The value as Python's `get` gives it: `None` when there is no such section or key, `Some(None)` for a key
    /// without a value.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<Option<String>> {
        let key = self.find(section, key)?;
        // A merge with unresolved references is an error.
        Some(key.value.as_deref().map(|value| self.expanded(section, value)))
    }

    /// The key itself, of the section or of `[DEFAULT]`.
    pub(crate) fn find(&self, section: &str, key: &str) -> Option<&MergedKey> {
        let own = self.section(section)?;
        own.get(key).or_else(|| self.section(DEFAULT).and_then(|defaults| defaults.get(key)))
    }

    pub(crate) fn section(&self, name: &str) -> Option<&MergedSection> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The keys of a section in the order of Python's `items`: those of `[DEFAULT]` first.
    pub(crate) fn items(&self, name: &str) -> Vec<&MergedKey> {
        let Some(section) = self.section(name) else { return Vec::new() };
        let defaults = self.section(DEFAULT).filter(|defaults| defaults.name != name);
        let mut items: Vec<&MergedKey> = Vec::new();
        for default in defaults.into_iter().flat_map(|defaults| &defaults.keys) {
            items.push(section.get(&default.key).unwrap_or(default));
        }
        items.extend(
            section
                .keys
                .iter()
                .filter(|key| defaults.is_none_or(|defaults| defaults.get(&key.key).is_none())),
        );
        items
    }

    /// The value with its references followed. Only in `[DEFAULT]` may they lead nowhere, because what they mean is
    /// up to each section: there the value is as it was written.
    pub(crate) fn expanded(&self, section: &str, value: &str) -> String {
        self.try_expanded(section, value, &mut Budget::default()).unwrap_or_else(|_| value.to_owned())
    }

    fn try_expanded(&self, section: &str, value: &str, budget: &mut Budget) -> Result<String, Unresolved> {
        let defaults = self.section(DEFAULT);
        let own = self.section(section);
        expand(
            value,
            &|name| {
                let key = own
                    .and_then(|own| own.get(name))
                    .or_else(|| defaults.and_then(|defaults| defaults.get(name)))?;
                Some(key.value.as_deref())
            },
            budget,
        )
    }

    fn add(&mut self, path: &Path, sections: Vec<Section>) {
        // What a file deletes is what earlier files said, wherever in the file it stands.
        let (deletions, settings): (Vec<Section>, Vec<Section>) =
            sections.into_iter().partition(|section| section.name.starts_with('-'));
        for deletion in &deletions {
            self.delete(path, deletion);
        }
        for section in settings {
            let at = match self.sections.iter().position(|known| known.name == section.name) {
                Some(at) => at,
                None => {
                    self.sections
                        .push(MergedSection { name: section.name.clone(), ..MergedSection::default() });
                    self.sections.len() - 1
                }
            };
            for entry in section.entries {
                self.sections[at].set(MergedKey {
                    key: entry.key,
                    value: entry.value,
                    path: path.to_owned(),
                    line: entry.line,
                });
            }
        }
    }

    fn delete(&mut self, path: &Path, deletion: &Section) {
        self.deletes = true;
        let target = deletion.name[1..].trim_matches(dialect::is_space);
        if deletion.entries.is_empty() {
            let message = format!(
                "[-{target}] deletes nothing; write below it the keys to delete, or * for the whole section"
            );
            self.warnings.push(Notice::new(path, deletion.line, message));
        }
        let Some(at) = self.sections.iter().position(|section| section.name == target) else {
            let known = self.sections.iter().map(|section| section.name.as_str());
            let hint =
                nearest(target, known).map_or(String::new(), |name| format!("; did you mean [-{name}]?"));
            let message = format!(
                "there is no section [{target}] in the files before this one, so nothing is deleted{hint}"
            );
            self.warnings.push(Notice::new(path, deletion.line, message));
            return;
        };
        for entry in &deletion.entries {
            if entry.value.is_some() {
                let message = format!("a value below [-{target}] means nothing; write {} alone", entry.key);
                self.warnings.push(Notice::new(path, entry.line, message));
            }
            if entry.key == "*" {
                self.sections[at].clear();
                continue;
            }
            let section = &mut self.sections[at];
            let gone = section.deleted_with(&entry.key, matches!(target, "MODELS" | "WORKFLOWS"));
            if gone.is_empty() {
                let message = self.nothing_to_delete(target, &entry.key);
                self.warnings.push(Notice::new(path, entry.line, message));
                continue;
            }
            section.remove(&gone);
            if let Some(default) = self
                .section(DEFAULT)
                .filter(|_| target != DEFAULT)
                .and_then(|section| section.get(&entry.key))
            {
                let message = format!(
                    "{} is gone from [{target}], but [DEFAULT] still gives it to every section ({}:{}); delete it below [-DEFAULT] too",
                    entry.key,
                    default.path.display(),
                    default.line
                );
                self.warnings.push(Notice::new(path, entry.line, message));
            }
        }
        if self.sections[at].keys.is_empty()
            && target != DEFAULT
            && deletion.entries.iter().any(|entry| entry.key == "*")
        {
            self.sections.remove(at);
        }
    }

    fn nothing_to_delete(&self, target: &str, key: &str) -> String {
        let elsewhere = self.sections.iter().find(|section| section.get(key).is_some());
        let hint = match elsewhere {
            Some(section) => format!("; it is in [{}]: write it below [-{}]", section.name, section.name),
            None => {
                let known = self
                    .section(target)
                    .into_iter()
                    .flat_map(|section| section.keys.iter().map(|key| key.key.as_str()));
                nearest(key, known).map_or(String::new(), |name| format!("; did you mean {name}?"))
            }
        };
        format!(
            "there is no key {key} in [{target}] of the files before this one, so nothing is deleted{hint}"
        )
    }

    /// Every reference that leads nowhere: Python stops at it when BIOMERO asks for the key.
    fn unresolved(&self, problems: &mut Vec<Notice>) {
        let mut budget = Budget::default();
        for section in self.sections.iter().filter(|section| section.name != DEFAULT) {
            for key in self.items(&section.name) {
                let Some(value) = key.value.as_deref().filter(|value| value.contains('%')) else { continue };
                let Err(reason) = self.try_expanded(&section.name, value, &mut budget) else { continue };
                let message = match reason {
                    Unresolved::Missing(name) => {
                        let known = self.items(&section.name).into_iter().map(|key| key.key.as_str());
                        let hint = nearest(&name, known)
                            .map_or(String::new(), |name| format!("did you mean %({name})s? "));
                        format!(
                            "refers to %({name})s, but [{}] has no such key; {hint}For a literal percent sign write %%",
                            section.name
                        )
                    }
                    Unresolved::NoValue(name) => {
                        format!("refers to %({name})s, which has no value; write {name} = value")
                    }
                    Unresolved::TooDeep => {
                        "refers to itself, or through more than ten others; write the value out".to_owned()
                    }
                    Unresolved::TooLarge => {
                        "becomes too large when its references are followed; write the value out".to_owned()
                    }
                };
                let notice = Notice::new(&key.path, key.line, format!("{} {message}", key.key));
                if !problems.contains(&notice) {
                    problems.push(notice);
                }
                if problems.len() > 100 {
                    return;
                }
            }
        }
    }
}

impl MergedSection {
    pub(crate) fn get(&self, key: &str) -> Option<&MergedKey> {
        self.index.get(key).map(|at| &self.keys[*at])
    }

    /// The keys that go when `name` is deleted: itself, and all of a workflow's when it is one. A workflow is deleted
    /// whole because BIOMERO cannot use the rest; `cellpose_extra_repo` stays where `cellpose_extra` is a workflow too.
    fn deleted_with(&self, name: &str, workflows: bool) -> Vec<String> {
        let Some(itself) = self.get(name) else { return Vec::new() };
        let mut gone = vec![itself.key.clone()];
        if workflows && workflow_of(name).is_none() {
            let others: Vec<&str> = self
                .keys
                .iter()
                .map(|key| key.key.as_str())
                .filter(|other| {
                    other.len() > name.len() && other.starts_with(name) && workflow_of(other).is_none()
                })
                .collect();
            let of = |key: &str, workflow: &str| key.strip_prefix(workflow).is_some_and(is_workflow_suffix);
            let keys = self.keys.iter().map(|key| &key.key).filter(|key| of(key, name));
            gone.extend(keys.filter(|key| !others.iter().any(|other| of(key, other))).cloned());
        }
        gone
    }

    fn set(&mut self, key: MergedKey) {
        match self.index.get(&key.key) {
            Some(at) => self.keys[*at] = key,
            None => {
                self.index.insert(key.key.clone(), self.keys.len());
                self.keys.push(key);
            }
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.index.clear();
    }

    fn remove(&mut self, gone: &[String]) {
        self.keys.retain(|key| !gone.contains(&key.key));
        self.index = self.keys.iter().enumerate().map(|(at, key)| (key.key.clone(), at)).collect();
    }
}
