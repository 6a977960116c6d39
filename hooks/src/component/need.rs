//! What a component wants to know, as far as its site grants it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use biomero_config::Values;

use super::guest::{FileContent, FileState, GuestContext, HostAddress, InputFile, Needs};
use super::limits;
use crate::context::{Address, Context, FileFact, Need};
use crate::grants::{Grants, Pattern};

/// Things asked for of one kind.
const MOST: usize = 256;
/// Bytes of one of them.
const LONGEST: usize = 4096;
/// Sentences of one refusal.
const PROBLEMS: usize = 20;

/// What a component asked for, all of it granted.
#[derive(Debug)]
pub(super) struct Wanted {
    settings: Vec<Pattern>,
    environment: Vec<Pattern>,
    files: Vec<WantedFile>,
    addresses: Vec<WantedAddress>,
}

#[derive(Debug)]
struct WantedFile {
    asked: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    One(PathBuf),
    /// The files of a directory whose names begin and end so.
    Matching {
        directory: PathBuf,
        prefix: String,
        suffix: String,
    },
}

#[derive(Debug)]
struct WantedAddress {
    asked: String,
    host: String,
}

impl Wanted {
    /// Whether what is asked for has a size that can be dealt with; if not, the rule.
    pub(super) fn check_size(needs: &Needs) -> Result<(), String> {
        let kinds = [
            ("settings", &needs.settings),
            ("variables", &needs.environment),
            ("files", &needs.files),
            ("addresses", &needs.addresses),
        ];
        for (kind, asked) in kinds {
            if asked.len() > MOST {
                return Err(format!("it asks for {} {kind}, {MOST} is the limit", asked.len()));
            }
            if let Some(long) = asked.iter().find(|asked| asked.len() > LONGEST) {
                return Err(format!(
                    "among its {kind} is a name of {} bytes, {LONGEST} is the limit",
                    long.len()
                ));
            }
        }
        Ok(())
    }

    /// Checks what is asked for against what is granted.
    ///
    /// # Errors
    /// A sentence for each thing that is not granted, with the line to write.
    pub(super) fn new(needs: &Needs, grants: &Grants, values: &Values) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let settings = covered(&needs.settings, &grants.settings, "settings", &mut problems);
        let environment = covered(&needs.environment, &grants.environment, "environment", &mut problems);
        let mut files = Vec::new();
        // What a setting holds shows in what is answered: a path made of it is there or is not.
        let may_know = |key: &str| grants.settings.iter().any(|grant| grant.matches(key));
        for asked in &needs.files {
            match values.expand_granted(asked, may_know).and_then(|path| place(&path)) {
                Ok(place) if grants.may_read(&place.lookup()) => {
                    files.push(WantedFile { asked: asked.clone(), place });
                }
                Ok(_) => problems.push(ungranted("the file", asked, "read")),
                Err(problem) => problems.push(problem),
            }
        }
        let mut addresses = Vec::new();
        for asked in &needs.addresses {
            match values.expand_granted(asked, may_know) {
                Ok(host) if grants.resolve.iter().any(|grant| grant.matches(&host)) => {
                    addresses.push(WantedAddress { asked: asked.clone(), host });
                }
                Ok(_) => problems.push(ungranted("the address of", asked, "resolve")),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            return Ok(Self { settings, environment, files, addresses });
        }
        let more = problems.len().saturating_sub(PROBLEMS);
        problems.truncate(PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(problems.iter().map(|problem| super::readable(problem, 1000)).collect())
    }

    /// The same as facts to gather.
    pub(super) fn needs(&self) -> Vec<Need> {
        let files = self.files.iter().map(|file| match &file.place {
            Place::One(path) => Need::File(path.clone()),
            Place::Matching { directory, prefix, suffix } => Need::Matching {
                directory: directory.clone(),
                prefix: prefix.clone(),
                suffix: suffix.clone(),
            },
        });
        files.chain(self.addresses.iter().map(|address| Need::Address(address.host.clone()))).collect()
    }

    /// What the component is told of a recorded context; also what it asked for and the record does not hold.
    pub(super) fn select(&self, context: &GuestContext) -> (GuestContext, Vec<String>) {
        let entries = |all: &BTreeMap<String, String>, patterns: &[Pattern]| {
            let wanted = all.iter().filter(|(name, _)| wants(patterns, name));
            wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let mut missing = Vec::new();
        let mut files = Vec::new();
        for file in &self.files {
            let before = files.len();
            files.extend(context.files.iter().filter(|input| input.asked == file.asked).cloned());
            if let (true, Place::One(path)) = (files.len() == before, &file.place) {
                missing.push(format!("the file {}: it is told that there is none", file.asked));
                let path = path.display().to_string();
                files.push(InputFile { asked: file.asked.clone(), path, state: FileState::Absent });
            }
        }
        let address = |WantedAddress { asked, host }: &WantedAddress| {
            let recorded = context.addresses.iter().find(|address| address.asked == *asked);
            recorded.cloned().unwrap_or_else(|| {
                missing.push(format!("the address of {asked}: it is told that it is not known"));
                HostAddress { asked: asked.clone(), host: host.clone(), address: None }
            })
        };
        let addresses = self.addresses.iter().map(address).collect();
        let told = GuestContext {
            settings: entries(&context.settings, &self.settings),
            environment: entries(&context.environment, &self.environment),
            identity: context.identity.clone(),
            files,
            addresses,
        };
        (told, missing)
    }

    /// What the component is told.
    ///
    /// # Errors
    /// The bytes that its files have come to when they were more than fit.
    pub(super) fn told(&self, context: &Context<'_>, values: &Values) -> Result<GuestContext, usize> {
        let settings: BTreeMap<String, String> = values
            .keys()
            .filter(|key| wants(&self.settings, key))
            .filter_map(|key| Some((key.to_owned(), values.get(key)?.reveal().clone())))
            .collect();
        let environment = context
            .environment
            .utf8()
            .filter(|(name, _)| wants(&self.environment, name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // Counted before it is copied: one file may have been asked for in many ways.
        let (mut files, mut bytes) = (Vec::new(), 0_usize);
        for file in &self.files {
            for (path, fact) in file.facts(context) {
                if let FileFact::File { content, .. } = fact {
                    bytes = bytes.saturating_add(content.len());
                }
                if bytes > limits::TOLD {
                    return Err(bytes);
                }
                let path = path.display().to_string();
                files.push(InputFile { asked: file.asked.clone(), path, state: state(fact) });
            }
        }
        let address = |WantedAddress { asked, host }: &WantedAddress| HostAddress {
            asked: asked.clone(),
            host: host.clone(),
            address: match context.facts.address(host) {
                Address::Known(address) => Some(address.to_string()),
                Address::Unknown => None,
            },
        };
        let addresses = self.addresses.iter().map(address).collect();
        Ok(GuestContext { settings, environment, identity: context.identity.clone(), files, addresses })
    }
}

impl WantedFile {
    /// What was found of it.
    fn facts<'a>(&self, context: &'a Context<'_>) -> Vec<(PathBuf, &'a FileFact)> {
        match &self.place {
            Place::One(path) => vec![(path.clone(), context.facts.file(path))],
            Place::Matching { directory, prefix, suffix } => context
                .facts
                .matching(directory, prefix, suffix)
                .iter()
                .map(|entry| (directory.join(&entry.path), &entry.fact))
                .collect(),
        }
    }
}

fn wants(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

fn state(fact: &FileFact) -> FileState {
    match fact {
        FileFact::Absent => FileState::Absent,
        FileFact::File { content, mode, uid } => {
            FileState::File { content: FileContent::of(content.clone()), mode: *mode, owner: *uid }
        }
        FileFact::Directory { .. } => FileState::Directory,
        FileFact::Other(kind) => FileState::Other((*kind).to_owned()),
        FileFact::Unreadable(reason) => FileState::Unreadable(reason.clone()),
    }
}

/// The patterns asked for. A grant covers a pattern when it matches its text: its own `*` has to swallow the other's.
fn covered(
    asked: &[String],
    grants: &[Pattern],
    key: &'static str,
    problems: &mut Vec<String>,
) -> Vec<Pattern> {
    asked
        .iter()
        .filter_map(|asked| {
            if grants.iter().any(|grant| grant.matches(asked)) {
                return Some(Pattern::new(asked));
            }
            let what = if key == "settings" { "the setting" } else { "the variable" };
            problems.push(ungranted(what, asked, key));
            None
        })
        .collect()
}

fn ungranted(what: &str, asked: &str, key: &str) -> String {
    let asked = super::readable(asked, 200);
    format!("{what} {asked}: grant it with {key} = [{asked:?}], or take another component")
}

fn place(path: &str) -> Result<Place, String> {
    let shown = super::readable(path, 200);
    let path = PathBuf::from(path);
    let plain = path.is_absolute() && path.components().all(|part| part.as_os_str() != "..");
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(format!("the file {shown:?}: a hook asks for an absolute path"));
    };
    if !plain || directory.as_os_str().to_string_lossy().contains('*') {
        return Err(format!(
            "the file {shown:?}: a hook asks for an absolute path without .., a * in its last part only"
        ));
    }
    match name.split_once('*') {
        None => Ok(Place::One(path)),
        Some((prefix, suffix)) if !suffix.contains('*') => Ok(Place::Matching {
            directory: directory.to_owned(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }),
        Some(_) => Err(format!("the file {shown:?}: a hook asks with one * at most")),
    }
}

impl Place {
    /// What a grant has to cover: for a `*`, the text with it, which a grant of the whole directory does.
    fn lookup(&self) -> PathBuf {
        match self {
            Self::One(path) => path.clone(),
            Self::Matching { directory, prefix, suffix } => directory.join(format!("{prefix}*{suffix}")),
        }
    }
}
