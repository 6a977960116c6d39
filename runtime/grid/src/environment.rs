//! Which variables a script gets.
//!
//! Pure: what there is goes in, what a script gets comes out. A [`Policy`] is configuration; its default is what OMERO's own
//! processor and BIOMERO's pass on, and what scripts were seen to read and did not get: `NO_PROXY`, proxies in small letters,
//! `IMPORTER_ENABLED`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use biomero_config::{MASK, mask_urls, names_a_secret};
use serde::{Deserialize, Serialize};

/// What a script of OMERO gets of our own variables.
const OMERO: &[&str] = &[
    "CLASSPATH",
    "DISPLAY",
    "DYLD_LIBRARY_PATH",
    "HOME",
    "JYTHON_HOME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MLABRAW_CMD_STR",
    "OMERODIR",
    "OMERO_TEMPDIR",
    "OMERO_TMPDIR",
    "PATH",
    "PYTHONPATH",
];

/// What BIOMERO's scripts read besides.
const BIOMERO: &[&str] = &["IMPORTER_ENABLED", "PERSISTENCE_MODULE", "SQLALCHEMY_URL"];

/// Programs differ in which case they read.
const PROXIES: &[&str] = &[
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// A name of variables, in which `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// From its text. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it is for this name.
    #[must_use]
    pub fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        let mut parts = self.0.as_bytes().split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let mut parts: Vec<&[u8]> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let found = rest.windows(part.len().max(1)).position(|window| window == part);
            match found {
                Some(at) => rest = &rest[at + part.len()..],
                None if part.is_empty() => {}
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// What is passed on, what is not, and what is set whatever there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// What is passed on. An empty list passes nothing on.
    pub forward: Vec<Pattern>,
    /// What is not, though `forward` has it.
    pub withhold: Vec<Pattern>,
    /// What is set besides, or instead.
    pub set: BTreeMap<String, String>,
}

impl Default for Policy {
    fn default() -> Self {
        let forward = [OMERO, BIOMERO, PROXIES].concat().into_iter().map(Pattern::new).collect();
        Self { forward, withhold: Vec::new(), set: BTreeMap::new() }
    }
}

/// Where a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// OMERO's folder: `OMERO_HOME`.
    pub home: PathBuf,
    /// The Java archives below it, for `CLASSPATH`.
    pub archives: Vec<PathBuf>,
    /// The folder in which `python` is us. No script may find it.
    pub shim: Option<PathBuf>,
}

/// Variables. What is secret by its name, or a password in a URL, is not shown.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(OsString, OsString)>", into = "Vec<(OsString, OsString)>")]
pub struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// All of them, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// With one more, or another value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    fn append(&mut self, name: &str, parts: impl IntoIterator<Item = PathBuf>) {
        let mut value = self.0.remove(OsStr::new(name)).unwrap_or_default();
        for part in parts {
            if !value.is_empty() {
                value.push(":");
            }
            value.push(part);
        }
        if !value.is_empty() {
            self.0.insert(name.into(), value);
        }
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl From<Vec<(OsString, OsString)>> for Variables {
    fn from(pairs: Vec<(OsString, OsString)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl From<Variables> for Vec<(OsString, OsString)> {
    fn from(variables: Variables) -> Self {
        variables.0.into_iter().collect()
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let hidden = names_a_secret(&name.to_string_lossy());
            (name, if hidden { MASK.to_owned() } else { mask_urls(&value.to_string_lossy()) })
        });
        formatter.debug_map().entries(shown).finish()
    }
}

impl Policy {
    /// What a script gets whose folder is `folder`, of what there is.
    #[must_use]
    pub fn variables(&self, ours: &Variables, place: &Place, folder: &Path) -> Variables {
        let has = |patterns: &[Pattern], name: &OsStr| patterns.iter().any(|pattern| pattern.matches(name));
        let mut variables: Variables =
            ours.iter().filter(|(name, _)| has(&self.forward, name) && !has(&self.withhold, name)).collect();
        if let Some((shim, path)) = place.shim.as_deref().zip(variables.0.get_mut(OsStr::new("PATH"))) {
            *path = without(path, shim);
        }
        variables.append("PYTHONPATH", [place.home.join("lib/python")]);
        variables.append("CLASSPATH", place.archives.iter().cloned());
        variables.0.insert("OMERO_HOME".into(), place.home.clone().into());
        variables.0.insert("ICE_CONFIG".into(), folder.join("config").into());
        variables.0.extend(self.set.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }
}

/// A list of folders without one of them, however it is written there.
fn without(list: &OsStr, folder: &Path) -> OsString {
    let parts = list.as_bytes().split(|byte| *byte == b':');
    let kept: Vec<&[u8]> = parts.filter(|part| Path::new(OsStr::from_bytes(part)) != folder).collect();
    OsString::from_vec(kept.join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { home: "/opt/omero".into(), archives: Vec::new(), shim: Some("/run/shim".into()) }
    }

    fn given(policy: &Policy, ours: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        let ours = ours.iter().copied().collect();
        let variables = policy.variables(&ours, &place(), Path::new("/tmp/process1.dir"));
        variables.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn a_script_gets_what_the_table_says() {
        // A variable of ours; what the script has of it, if anything.
        let table: &[(&str, &str, Option<&str>)] = &[
            ("HOME", "/home/omero", Some("/home/omero")),
            ("LC_ALL", "C", Some("C")),
            ("SQLALCHEMY_URL", "postgresql://u:p@h/d", Some("postgresql://u:p@h/d")),
            ("PERSISTENCE_MODULE", "eventsourcing_sqlalchemy", Some("eventsourcing_sqlalchemy")),
            ("IMPORTER_ENABLED", "true", Some("true")),
            ("HTTP_PROXY", "http://p", Some("http://p")),
            ("http_proxy", "http://p", Some("http://p")),
            ("NO_PROXY", "omero", Some("omero")),
            ("no_proxy", "omero", Some("omero")),
            ("PATH", "/run/shim:/bin:/run/shim/", Some("/bin")),
            ("PYTHONPATH", "/mine", Some("/mine:/opt/omero/lib/python")),
            ("OMERO_HOME", "/elsewhere", Some("/opt/omero")),
            ("ICE_CONFIG", "/elsewhere", Some("/tmp/process1.dir/config")),
            ("CLASSPATH", "a.jar", Some("a.jar")),
            ("CONFIG_omero_db_pass", "secret", None),
            ("SSH_AUTH_SOCK", "/run/agent", None),
            ("OMERO_NODE", "biomeroworker", None),
            ("HOMER", "", None),
        ];
        for (name, value, expected) in table {
            let given = given(&Policy::default(), &[(name, value)]);
            let found = given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
            assert_eq!(found, *expected, "{name}");
        }
    }

    #[test]
    fn without_any_of_ours_a_script_still_knows_where_it_is() {
        let expected = [
            ("ICE_CONFIG", "/tmp/process1.dir/config"),
            ("OMERO_HOME", "/opt/omero"),
            ("PYTHONPATH", "/opt/omero/lib/python"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(given(&Policy::default(), &[]), expected);
    }

    #[test]
    fn what_is_withheld_or_set_stands_above_what_is_passed_on() {
        let policy = Policy {
            forward: vec![Pattern::new("LC_*"), Pattern::new("*_URL")],
            withhold: vec![Pattern::new("SECRET_*")],
            set: BTreeMap::from([("LC_ALL".to_owned(), "C.UTF-8".to_owned())]),
        };
        let ours =
            [("LC_ALL", "C"), ("LC_TIME", "nl_NL"), ("A_URL", "a"), ("SECRET_URL", "b"), ("HOME", "/")];
        let given = given(&policy, &ours);
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A_URL", "ICE_CONFIG", "LC_ALL", "LC_TIME", "OMERO_HOME", "PYTHONPATH"]);
        assert_eq!(given[2].1, "C.UTF-8");
    }

    #[test]
    fn archives_are_appended_to_the_class_path() {
        let place = Place { archives: vec!["/a.jar".into(), "/b.jar".into()], ..place() };
        let ours = [("CLASSPATH", "/mine.jar")].into_iter().collect();
        let variables = Policy::default().variables(&ours, &place, Path::new("/tmp"));
        assert_eq!(variables.get("CLASSPATH"), Some(OsStr::new("/mine.jar:/a.jar:/b.jar")));
    }

    #[test]
    fn patterns_match_whole_names() {
        let table = [
            ("A", "A", true),
            ("A", "AB", false),
            ("A*", "A", true),
            ("A*", "AB", true),
            ("A*", "BA", false),
            ("*A", "BA", true),
            ("*A", "AB", false),
            ("*", "", true),
            ("A*B*C", "AxByC", true),
            ("A*B*C", "ABC", true),
            ("A*B*C", "AC", false),
            ("A**C", "AbC", true),
            ("AB*BA", "ABA", false),
            ("", "A", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::new(pattern).matches(OsStr::new(name)), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let pairs =
            [("SQLALCHEMY_URL", "postgresql://u:planted@h/d"), ("MY_PASSWORD", "planted"), ("HOME", "/home")];
        let shown = format!("{:?}", pairs.into_iter().collect::<Variables>());
        assert!(!shown.contains("planted"), "{shown}");
        assert!(shown.contains("/home"), "{shown}");
    }
}
