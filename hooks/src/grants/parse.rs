//! `[grants]` of a site hook's TOML file.

use std::path::{Component, Path, PathBuf};

use biomero_config::Values;
use serde::Deserialize;

use super::{Grants, PathGrant, Pattern};

/// The keys of `[grants]`, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrantsTable {
    settings: Vec<String>,
    environment: Vec<String>,
    read: Vec<String>,
    write: Vec<String>,
    set: Vec<String>,
    resolve: Vec<String>,
    wait: Vec<String>,
    run: Vec<Vec<String>>,
    run_as_init: Vec<Vec<String>>,
}

/// Folders of the system: everything below one of them is too much to have written by a hook that is not trusted.
const TOO_WIDE: [&str; 14] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/sbin",
    "/sys", "/usr",
];
/// The same, with whatever is below them.
const NEVER: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Puts the settings' values in place of `{key}` and checks every grant.
///
/// # Errors
/// A sentence for each grant that makes no sense.
pub(crate) fn parse(table: &GrantsTable, values: &Values) -> Result<Grants, Vec<String>> {
    let mut problems = Vec::new();
    let grants = Grants {
        settings: patterns("settings", &table.settings, &mut problems),
        environment: patterns("environment", &table.environment, &mut problems),
        read: paths("read", &table.read, values, &mut problems),
        write: paths("write", &table.write, values, &mut problems),
        set: patterns("set", &table.set, &mut problems),
        resolve: expanded("resolve", &table.resolve, values, &mut problems),
        wait: expanded("wait", &table.wait, values, &mut problems),
        run: commands("run", &table.run, &mut problems),
        run_as_init: commands("run_as_init", &table.run_as_init, &mut problems),
    };
    for wait in &grants.wait {
        let port = wait.text().rsplit_once(':').map(|(_, port)| port);
        if port.is_none_or(|port| port != "*" && port.parse::<u16>().is_err()) {
            problems.push(format!("wait: {:?}: give host:port, as \"omeroserver:4061\"", wait.text()));
        }
    }
    problems.extend(grants.write.iter().filter_map(too_wide));
    if problems.is_empty() { Ok(grants) } else { Err(problems) }
}

fn patterns(key: &str, texts: &[String], problems: &mut Vec<String>) -> Vec<Pattern> {
    for text in texts {
        if text.is_empty() || text.contains(['\0', '=']) || text.chars().any(char::is_whitespace) {
            problems.push(format!("{key}: {text:?} is no name; write one, * for any text, as \"*_PROXY\""));
        }
    }
    texts.iter().map(Pattern::new).collect()
}

fn expanded(key: &str, texts: &[String], values: &Values, problems: &mut Vec<String>) -> Vec<Pattern> {
    let expand = |text: &String| match values.expand(text) {
        Ok(text) if text.is_empty() || text.chars().any(char::is_whitespace) => {
            problems.push(format!("{key}: {text:?} is no host"));
            None
        }
        Ok(text) => Some(Pattern::new(text)),
        Err(problem) => {
            problems.push(format!("{key}: {problem}"));
            None
        }
    };
    texts.iter().filter_map(expand).collect()
}

fn paths(key: &str, texts: &[String], values: &Values, problems: &mut Vec<String>) -> Vec<PathGrant> {
    let grant = |text: &String| {
        let path = values.expand(text)?;
        path_grant(&path)
    };
    let mut granted = Vec::new();
    for text in texts {
        match grant(text) {
            Ok(grant) => granted.push(grant),
            Err(problem) => problems.push(format!("{key}: {problem}")),
        }
    }
    granted
}

fn path_grant(text: &str) -> Result<PathGrant, String> {
    let remedy = "write an absolute path in its shortest form; a / at its end stands for all that is below";
    let (bare, below) = match text.strip_suffix('/') {
        Some(bare) => (if bare.is_empty() { "/" } else { bare }, true),
        None => (text, false),
    };
    if !is_normal(Path::new(bare)) {
        return Err(format!("{text:?}: {remedy}"));
    }
    let path = PathBuf::from(bare);
    if below {
        return if bare.contains('*') {
            Err(format!("{text:?}: a * stands in the last part of a path that has no / at its end"))
        } else {
            Ok(PathGrant::Below(path))
        };
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(format!("{text:?}: {remedy}"));
    };
    if directory.as_os_str().to_string_lossy().contains('*') {
        return Err(format!("{text:?}: a * stands in the last part only"));
    }
    if name.contains('*') {
        return Ok(PathGrant::Matching { directory: directory.to_owned(), name: Pattern::new(name) });
    }
    Ok(PathGrant::Exact(path))
}

/// Absolute, shortest form, nothing in it that a system call would take otherwise than it is read.
pub(super) fn is_normal(path: &Path) -> bool {
    let text = path.as_os_str().to_string_lossy();
    let normal = path.components().all(|part| match part {
        Component::RootDir => true,
        Component::Normal(name) => name.len() <= 255,
        _ => false,
    });
    let rebuilt: PathBuf = path.components().collect();
    path.is_absolute()
        && normal
        && rebuilt.as_os_str() == path.as_os_str()
        && text.len() <= 4096
        && !text.chars().any(char::is_control)
}

fn too_wide(grant: &PathGrant) -> Option<String> {
    let (directory, shown) = match grant {
        PathGrant::Below(directory) => {
            (directory, format!("{}/", directory.display().to_string().trim_end_matches('/')))
        }
        PathGrant::Matching { directory, name } => {
            (directory, directory.join(name.text()).display().to_string())
        }
        PathGrant::Exact(path) => (path, path.display().to_string()),
    };
    if NEVER.iter().any(|never| directory.starts_with(never)) {
        return Some(format!("write: {shown:?}: the kernel's own files are not for a hook"));
    }
    let wide =
        !matches!(grant, PathGrant::Exact(_)) && TOO_WIDE.iter().any(|wide| directory == Path::new(wide));
    wide.then(|| format!("write: {shown:?} is too wide: name the folders and files that this hook writes"))
}

fn commands(key: &str, commands: &[Vec<String>], problems: &mut Vec<String>) -> Vec<Vec<String>> {
    for argv in commands {
        if argv.first().is_none_or(String::is_empty) {
            problems.push(format!("{key}: an empty command; give a program and its first arguments"));
        }
    }
    commands.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> GrantsTable {
        toml_edit::de::from_str(text).unwrap()
    }

    fn values() -> Values {
        [("omero.directory", "/opt/omero"), ("master.host", "omeroserver"), ("master.port", "4061")]
            .into_iter()
            .collect()
    }

    #[test]
    fn settings_stand_in_for_their_keys() {
        let grants = parse(
            &table("write = ['{omero.directory}/etc/', '/etc/pip.conf']\nwait = ['{master.host}:{master.port}']\nread = ['/run/secrets/*.pem']"),
            &values(),
        )
        .unwrap();
        assert_eq!(
            grants.write,
            [PathGrant::Below("/opt/omero/etc".into()), PathGrant::Exact("/etc/pip.conf".into())]
        );
        assert!(grants.wait[0].matches("omeroserver:4061"));
        assert!(grants.may_read(Path::new("/run/secrets/ca.pem")));
        assert!(!grants.may_read(Path::new("/run/secrets/deeper/ca.pem")));
        assert!(!grants.may_read(Path::new("/run/secrets/ca.key")));
    }

    #[test]
    fn what_makes_no_sense_is_told_all_at_once() {
        let problems = parse(
            &table(
                "write = ['/', '/etc/', 'etc/x', '/a/../b', '/a//b', '/a/./b', '/etc/*', '/proc/sys/x', '{no.such}/x']\n\
                 read = ['/a/*/b', '/a*/']\nset = ['', 'A=B']\nwait = ['host', 'host:x']\nrun = [[], ['']]",
            ),
            &values(),
        )
        .unwrap_err();
        insta::assert_snapshot!(problems.join("\n"));
    }
}
