//! What a `_repo` of `slurm-config.ini` names: a repository on GitHub, or a file or folder here.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a repository on GitHub.
    Repository(Repository),
    /// In a file or folder of this machine.
    File(PathBuf),
}

/// A repository on GitHub, what it is fixed to, and the file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    organisation: String,
    name: String,
    /// Branch, tag or commit.
    reference: Option<String>,
    /// The file, when the link leads to one.
    file: Option<String>,
}

/// A `_repo` that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} {reason}; write https://github.com/ORGANISATION/REPOSITORY, perhaps with /tree/VERSION and a file, or a path of this machine"
)]
pub struct SourceError {
    text: String,
    reason: &'static str,
}

impl Source {
    /// Reads a `_repo`. As for Python, what follows `/tree/` up to the next slash is the reference, and then comes the file.
    ///
    /// # Errors
    /// It is no link to a repository on GitHub, and no absolute path.
    pub fn of(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://").or_else(|| text.starts_with('/').then_some(text)) {
            return Ok(Self::File(path.into()));
        }
        let wrong = |reason| SourceError { text: text.chars().take(200).collect(), reason };
        let rest = text
            .strip_prefix("https://github.com/")
            .or_else(|| text.strip_prefix("http://github.com/"))
            .ok_or_else(|| wrong("is no repository on github.com"))?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let is_harmless =
            |part: &str| part != "." && part != ".." && !part.contains(|letter: char| letter.is_control());
        if !parts.iter().all(|part| is_harmless(part)) {
            return Err(wrong("has a part that leads elsewhere"));
        }
        let [organisation, name, rest @ ..] = parts.as_slice() else {
            return Err(wrong("names no repository"));
        };
        let below = rest.iter().position(|part| matches!(*part, "tree" | "blob" | "raw"));
        let (reference, file) = match below.and_then(|at| rest.get(at + 1..)) {
            Some([reference, file @ ..]) => {
                (Some((*reference).to_owned()), Some(file.join("/")).filter(|file| !file.is_empty()))
            }
            _ => (None, None),
        };
        Ok(Self::Repository(Repository {
            organisation: (*organisation).to_owned(),
            name: name.strip_suffix(".git").unwrap_or(name).to_owned(),
            reference,
            file,
        }))
    }
}

impl Repository {
    /// Whether it is fixed to a version, `v1.2`, rather than to a branch.
    #[must_use]
    pub fn is_version(&self) -> bool {
        self.reference.as_deref().is_some_and(|reference| {
            let number = reference.strip_prefix(['v', 'V']).unwrap_or(reference);
            number.starts_with(|first: char| first.is_ascii_digit())
        })
    }

    /// The paths to ask for, below `https://github.com`, in their order. Without a reference it is `master`, as for Python,
    /// and then `main`.
    pub(super) fn paths(&self, names: &[&str]) -> Vec<String> {
        let references: Vec<&str> =
            self.reference.as_deref().map_or_else(|| vec!["master", "main"], |one| vec![one]);
        let files: Vec<&str> = self.file.as_deref().map_or_else(|| names.to_vec(), |file| vec![file]);
        let path = |reference: &str, file: &str| {
            let mut path = String::new();
            let parts =
                [self.organisation.as_str(), &self.name, "raw", reference].into_iter().chain(file.split('/'));
            for part in parts {
                path.push('/');
                encode(part, &mut path);
            }
            path
        };
        references.iter().flat_map(|reference| files.iter().map(|file| path(reference, file))).collect()
    }
}

/// Percent-encodes what has no place in a link's path. What is encoded already stays.
fn encode(part: &str, into: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://github.com/{}/{}", self.organisation, self.name)?;
        if let Some(reference) = &self.reference {
            write!(formatter, "/tree/{reference}")?;
        }
        if let Some(file) = &self.file {
            write!(formatter, "/{file}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        match Source::of(text).expect(text) {
            Source::Repository(repository) => repository.paths(&["a.json", "b.yaml"]),
            Source::File(path) => vec![path.display().to_string()],
        }
    }

    #[test]
    fn links_lead_to_the_files_that_python_asks_for() {
        for (text, asked) in [
            ("https://github.com/o/r/tree/v1", vec!["/o/r/raw/v1/a.json", "/o/r/raw/v1/b.yaml"]),
            ("https://github.com/o/r/tree/v1/sub/x.yaml", vec!["/o/r/raw/v1/sub/x.yaml"]),
            ("https://github.com/o/r/blob/main/x.json?raw=1", vec!["/o/r/raw/main/x.json"]),
            (
                "https://github.com/o/r.git/",
                vec![
                    "/o/r/raw/master/a.json",
                    "/o/r/raw/master/b.yaml",
                    "/o/r/raw/main/a.json",
                    "/o/r/raw/main/b.yaml",
                ],
            ),
            ("https://github.com/o/r/tree/a b", vec!["/o/r/raw/a%20b/a.json", "/o/r/raw/a%20b/b.yaml"]),
            ("/srv/descriptors/x", vec!["/srv/descriptors/x"]),
            ("file:///srv/x.json", vec!["/srv/x.json"]),
        ] {
            assert_eq!(paths(text), asked, "{text}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        for text in [
            "",
            "https://gitlab.com/o/r",
            "https://github.com/o",
            "git@github.com:o/r",
            "https://github.com/o/r/tree/../x",
        ] {
            assert!(Source::of(text).is_err(), "{text}");
        }
    }
}
