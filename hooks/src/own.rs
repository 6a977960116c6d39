//! What belongs to `init` and its hooks, whatever a site grants: settings, state, and every file that decides what
//! runs in a start-up.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use biomero_config::{FILES_DIRECTORY, MAIN_FILE, MAIN_FILE_VARIABLE};

use crate::context::{Context, Facts};
use crate::disk::Disk;
use crate::effect::{CommandEffect, Effect};
use crate::schedule::{Kind, SECOND_CACHE, Scheduled};
use crate::sequence::Start;

/// Programs that run the file they are given.
const INTERPRETERS: [&str; 8] = ["ash", "bash", "dash", "node", "perl", "python", "ruby", "sh"];

/// The paths, directories with all below them. None where no hook is a component, for the others are trusted.
pub(crate) fn paths(start: &Start<'_>, hooks: &[Scheduled], disk: &Disk) -> Vec<PathBuf> {
    if hooks.iter().all(|hook| hook.kind != Kind::Component) {
        return Vec::new();
    }
    let mut own = of_init(start, disk);
    own.extend(hooks.iter().flat_map(|hook| files(hook, start)).filter(|path| path.is_absolute()));
    own
}

/// The paths of `init` itself.
pub(crate) fn of_init(start: &Start<'_>, disk: &Disk) -> Vec<PathBuf> {
    let settings = start.settings;
    let state = &settings.state.directory;
    let mut own = vec![
        MAIN_FILE.into(),
        FILES_DIRECTORY.into(),
        settings.hooks.directory.clone(),
        settings.hooks.cache.clone(),
        settings.hooks.compiler.clone(),
        settings.startup.directory.clone(),
        settings.state.socket.clone(),
        state.join("manifest.json"),
        state.join(SECOND_CACHE),
    ];
    own.extend(start.environment.get_os(MAIN_FILE_VARIABLE).map(PathBuf::from));
    own.extend(std::env::current_exe().ok().filter(|_| disk.root() == Path::new("/")));
    own.retain(|path| path.is_absolute());
    own
}

/// The files that decide what a site's hook does, wherever they are.
fn files(hook: &Scheduled, start: &Start<'_>) -> Vec<PathBuf> {
    if let Some(file) = hook.component_file() {
        return vec![file.to_owned()];
    }
    if !matches!(hook.kind, Kind::Exec | Kind::Effects) {
        return Vec::new();
    }
    let Start { settings, environment, identity, .. } = *start;
    // Their effects are listed: they depend on nothing.
    let context = Context { settings, environment, identity, facts: Facts::default() };
    let effects = hook.hook().and_then(|hook| hook.plan(&context).ok());
    let commands = effects.iter().flatten().filter_map(|effect| match effect {
        Effect::Command(command) => Some(command),
        _ => None,
    });
    commands.flat_map(programs).collect()
}

/// The program, unless `PATH` decides which one that is, and the script that it runs.
fn programs(command: &CommandEffect) -> Vec<PathBuf> {
    let Some((program, arguments)) = command.argv.split_first() else { return Vec::new() };
    let at = |word: &String| command.directory.as_deref().unwrap_or(Path::new("")).join(word);
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let versionless = name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    let script =
        arguments.iter().find(|word| !word.starts_with('-')).filter(|_| INTERPRETERS.contains(&versionless));
    program.contains('/').then_some(program).into_iter().chain(script).map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use biomero_config::{Environment, Settings, Values};

    use super::*;
    use crate::context::Identity;
    use crate::schedule::{Site, schedule};

    /// What is kept, of a machine with these files.
    fn own(files: &[(&str, &str)]) -> Vec<PathBuf> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut settings = Settings::shipped();
        settings.hooks.per_hook.clear();
        let environment: Environment = [(MAIN_FILE_VARIABLE, "/opt/conf/main.toml")].into_iter().collect();
        let (identity, disk) = (Identity::of_this_process(), Disk::below(root.path()));
        let values = Values::default();
        let site =
            Site { settings: &settings, values: &values, disk: &disk, identity: &identity, arguments: &[] };
        let hooks = schedule(Vec::new(), &site).unwrap();
        let start = Start {
            settings: &settings,
            identity: &identity,
            environment: &environment,
            run_programs: false,
        };
        paths(&start, &hooks, &disk)
    }

    const COMPONENT: (&str, &str) =
        ("etc/biomero/hooks.d/50-c.toml", "component = '../c.wasm'\nallow_unpinned = true");

    #[test]
    fn files_of_hooks_are_kept_wherever_they_are() {
        let own = own(&[
            COMPONENT,
            ("etc/biomero/c.wasm", "x"),
            ("etc/biomero/hooks.d/51-d.toml", "component = '/opt/d.wasm'\nallow_unpinned = true"),
            ("opt/d.wasm", "x"),
            ("etc/biomero/hooks.d/52-e.toml", "command = ['/opt/e', '/opt/e.conf']"),
            ("etc/biomero/hooks.d/53-f.toml", "command = ['python3.11', '-u', '/opt/f.py', '/opt/f.conf']"),
            ("etc/biomero/hooks.d/54-g.toml", "command = ['./g', 'x']\ndirectory = '/opt/g'"),
            ("etc/biomero/hooks.d/55-h.toml", "command = ['omero', '/opt/h']"),
            ("etc/biomero/hooks.d/56-i.toml", "[[effects]]\ncommand = { argv = ['/opt/i'] }"),
            ("startup/60-j.sh", "x"),
        ]);
        for kept in [
            "/etc/biomero/init.toml",
            "/opt/conf/main.toml",
            "/etc/biomero/hooks.d/../c.wasm",
            "/opt/d.wasm",
            "/opt/e",
            "/opt/f.py",
            "/opt/g/g",
            "/opt/i",
            "/startup/60-j.sh",
        ] {
            assert!(own.contains(&PathBuf::from(kept)), "{kept}: {own:#?}");
        }
        for free in ["/opt/e.conf", "/opt/f.conf", "/opt/h", "python3.11", "omero"] {
            assert!(!own.contains(&PathBuf::from(free)), "{free}: {own:#?}");
        }
    }

    #[test]
    fn where_no_hook_is_a_component_nothing_is_looked_for() {
        assert!(own(&[("startup/60-j.sh", "x")]).is_empty());
    }
}
