//! `processor grid-python`: the `python` that IceGrid's node finds. What is asked of it decides who answers: Processor-0 is
//! us, or OMERO's own `processor.py` where the settings say so; everything else goes on to the real Python.
//!
//! OMERO's own processor is not changed. It is told that its Python is this file, with which it then starts scripts, and with the
//! variables that its own list leaves. A script that comes so gets the variables that ours says, of those that the processor has.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_config::{Environment, ProcessorMode, Settings};
use biomero_grid::environment::{Place, Variables};
use biomero_grid::processor::{Activation, asks_for_processor};

use super::{Unable, archives, plan, serve};
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::log;

/// How OMERO's own processor calls a script.
const SCRIPT: &str = "./script";
/// The most that the variables of a process are read: what a program may be given, execve(2).
const MOST_VARIABLES: u64 = 8 << 20;

/// What the real Python runs to be OMERO's own processor: the program or module that was asked for, as Python itself would
/// run it, in an interpreter that believes to be the first argument.
const BOOTSTRAP: &str = "\
import os, runpy, sys
sys.executable, arguments = sys.argv[1], sys.argv[2:]
if arguments[0] == '-m':
    sys.argv = arguments[1:]
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
else:
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name='__main__')
";

/// The word that the file's first line gives us.
const WORD: &str = "grid-python";

/// A call of `python` that came to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AsPython {
    /// The file that leads here.
    shim: PathBuf,
    /// What Python is given.
    arguments: Vec<OsString>,
}

impl AsPython {
    /// If these arguments, with our own name first, are such a call.
    pub(crate) fn of(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter().skip(1);
        if arguments.next()? != WORD {
            return None;
        }
        Some(Self { shim: arguments.next()?.into(), arguments: arguments.collect() })
    }

    /// Answers in place of Python.
    pub(crate) fn answer(&self, environment: &Environment) -> Result<u8, Ended> {
        let Self { shim, arguments } = self;
        let configuration = Configuration::new(environment);
        let given = || arguments.iter().map(OsString::as_os_str);
        if asks_for_processor(given()) {
            let settings = configuration.settings()?;
            if settings.processor.mode == ProcessorMode::Python {
                return Err(own_processor(settings, shim, arguments).into());
            }
            let activation = Activation::of(given()).map_err(Unable::from)?;
            if let Some(activation) = &activation {
                serve::redirect(activation)?;
            }
            log::install_for_service(settings.log.format, false);
            let plan = plan::plan(settings, environment, activation).map_err(Unable::from)?;
            return serve::serve(plan, &configuration);
        }
        if is_script(arguments, environment) {
            // The settings are those of the processor, which may have them of variables that the script has not.
            let ours = of_parent().map_err(|source| failed(Path::new(SCRIPT), source))?;
            let environment: Environment = ours.iter().collect();
            return Err(script(Configuration::new(&environment).settings()?, &ours, arguments).into());
        }
        // What is none of the processor's must not depend on its settings.
        let python = configuration.settings().map(plan::real_python).unwrap_or_else(|_| {
            let shim = shim.parent().unwrap_or(Path::new("/"));
            other_python(environment, shim).unwrap_or_else(|| PathBuf::from("/usr/bin/python3"))
        });
        Err(failed(&python, execute(Command::new(&python).args(arguments))).into())
    }
}

/// Becomes OMERO's own processor.
fn own_processor(settings: &Settings, shim: &Path, arguments: &[OsString]) -> Unable {
    let python = plan::real_python(settings);
    // Options of Python's own stand before what it is to run.
    let begin =
        arguments.iter().position(|argument| argument == "-m" || !argument.as_bytes().starts_with(b"-"));
    let (options, program) = arguments.split_at(begin.unwrap_or(0));
    let mut command = Command::new(&python);
    command.args(options).arg("-c").arg(BOOTSTRAP).arg(shim).args(program);
    failed(&python, execute(&mut command))
}

/// Whether it is a script that OMERO's own processor starts: by its name, in its folder, with its configuration.
fn is_script(arguments: &[OsString], environment: &Environment) -> bool {
    let config = environment.get_os("ICE_CONFIG").map(Path::new);
    let here = std::env::current_dir().ok();
    arguments == [OsStr::new(SCRIPT)] && here.is_some_and(|here| config == Some(&here.join("config")))
}

/// Becomes the script, with what it may have of the processor's variables.
fn script(settings: &Settings, ours: &Variables, arguments: &[OsString]) -> Unable {
    let launcher = plan::launcher(settings);
    let folder = match std::env::current_dir() {
        Ok(folder) => folder,
        Err(source) => return failed(&launcher, source),
    };
    let place = Place { archives: archives::archives(&settings.omero.directory), ..plan::place(settings) };
    let variables = plan::policy(settings).variables(ours, &place, &folder);
    let mut command = Command::new(&launcher);
    command.args(arguments).env_clear().envs(variables.iter());
    failed(&launcher, execute(&mut command))
}

/// The variables of the processor that starts us.
fn of_parent() -> std::io::Result<Variables> {
    use std::io::Read as _;
    let path = format!("/proc/{}/environ", nix::unistd::getppid());
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MOST_VARIABLES).read_to_end(&mut text)?;
    Ok(variables(&text))
}

/// Pairs with a zero behind each: proc(5).
fn variables(text: &[u8]) -> Variables {
    let pairs = text.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        Some((OsStr::from_bytes(&pair[..at]), OsStr::from_bytes(&pair[at + 1..])))
    });
    pairs.collect()
}

/// The first `python` of the `PATH` that is not us.
fn other_python(environment: &Environment, shim: &Path) -> Option<PathBuf> {
    let path = environment.get_os("PATH")?;
    let folders = std::env::split_paths(path).filter(|folder| folder != shim);
    folders.map(|folder| folder.join("python")).find(|python| python.is_file())
}

/// Becomes a program; why not, if it does not.
fn execute(command: &mut Command) -> std::io::Error {
    let never: Result<Infallible, std::io::Error> = Err(command.exec());
    match never {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn failed(program: &Path, source: std::io::Error) -> Unable {
    Unable::Python { program: program.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_is_given_is_passed_on_as_it_is() {
        let called = |arguments: &[&str]| AsPython::of(arguments.iter().map(OsString::from));
        for given in [&["-V"][..], &["-v", "--", "x", "--help"], &["-c", "import sys", "--version"], &[]] {
            let arguments = given.iter().map(OsString::from).collect();
            let expected = AsPython { shim: "/shim/python".into(), arguments };
            assert_eq!(
                called(&[&["processor", "grid-python", "/shim/python"], given].concat()),
                Some(expected)
            );
        }
        assert_eq!(called(&["processor", "grid"]), None);
        assert_eq!(called(&["processor", "grid", "grid-python"]), None);
        assert_eq!(called(&["processor", "grid-python"]), None);
        assert_eq!(called(&[]), None);
    }

    #[test]
    fn the_variables_of_a_process_are_read_as_the_kernel_gives_them() {
        let read = variables(b"A=1\0EMPTY=\0=odd=2\0B=x=y\0nothing\0");
        let pairs: Vec<String> =
            read.iter().map(|(name, value)| format!("{}:{}", name.display(), value.display())).collect();
        assert_eq!(pairs, ["=odd:2", "A:1", "B:x=y", "EMPTY:"]);
    }

    #[test]
    fn only_a_script_in_its_own_folder_is_one() {
        let here = std::env::current_dir().expect("a folder");
        let with = |config: &Path| Environment::from_iter([("ICE_CONFIG", config)]);
        let ours = with(&here.join("config"));
        assert!(is_script(&[SCRIPT.into()], &ours));
        assert!(!is_script(&[SCRIPT.into(), "x".into()], &ours));
        assert!(!is_script(&["script".into()], &ours));
        assert!(!is_script(&[SCRIPT.into()], &with(Path::new("/elsewhere/config"))));
        assert!(!is_script(&[SCRIPT.into()], &Environment::default()));
    }

    #[test]
    fn the_real_python_is_found_behind_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["shim", "venv"] {
            std::fs::create_dir(at(name)).expect("a folder is made");
            std::fs::write(at(name).join("python"), "").expect("a file is written");
        }
        let path = std::env::join_paths([at("shim"), at("nothing"), at("venv")]).expect("no colons");
        let environment = Environment::from_iter([("PATH", path)]);
        assert_eq!(other_python(&environment, &at("shim")), Some(at("venv").join("python")));
    }
}
