//! The command line of `init`. Flags are defined once, here; help and completions come from this table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::hooks::Language;

/// PID 1 of a BIOMERO worker: runs the start-up hooks, then supervises the services.
///
/// Without a command, the hooks run and the configured services start. With one, the hooks run and then this
/// command takes the services' place, supervised as tini or dumb-init would.
#[derive(Debug, Parser)]
#[command(
    name = "init",
    version,
    subcommand_value_name = "QUESTION",
    subcommand_help_heading = "Questions and requests",
    after_help = "\
Examples:
  init --dry-run                      what would happen here, with a diff for every file
  init --dry-run --root ./worker      the same for a tree on a laptop, as an ordinary user
  init                                run the hooks, then the services
  init -- omero admin diagnostics     run the hooks, then one command
  init --no-hooks -- bash             one command, as tini would
  init hooks                          what runs, from where, in which order
  init config                         every setting and where it came from

Settings: /etc/biomero/init.toml, /etc/biomero/init.d/*.toml, environment, --set. Exit codes: see the README."
)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(subcommand)]
    pub(crate) subcommand: Option<Verb>,
}

/// What holds for every way of calling.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Take every absolute path below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true, global = true)]
    pub(crate) root: PathBuf,
    /// Set one setting, as worker.port=4062; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, global = true)]
    pub(crate) set: Vec<(String, String)>,
}

/// How to start.
#[derive(Debug, Clone, Args)]
pub(crate) struct Start {
    /// Print what would be done and change nothing; exit 0 nothing would change, 2 something would, 1 error
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: print the plan as JSON
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
    /// Run no hooks
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) no_hooks: bool,
    /// With a command: send it another signal than the one received, as 15:2; 0 drops it; may be repeated
    #[arg(long, value_name = "FROM:TO", requires = "command")]
    pub(crate) rewrite: Vec<String>,
    /// With a command: wait this long before a TERM is forwarded, as 5s
    #[arg(long, value_name = "DURATION", requires = "command")]
    pub(crate) term_delay: Option<String>,
    /// With a command: end only when every descendant has ended
    #[arg(long, requires = "command")]
    pub(crate) wait_descendants: bool,
    /// With a command: adopt orphans although not PID 1
    #[arg(long, requires = "command")]
    pub(crate) subreaper: bool,
    /// A command to run in place of the services, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// What else can be asked.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Run the hooks and end: exit 0 when all effects are in place
    Apply,
    /// Show every setting, its value and where it came from; secrets are masked
    Config {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the hooks: order, kind, origin, what each replaces, digest, how it last ran; or work on one of a site
    Hooks {
        #[command(subcommand)]
        work: Option<HookWork>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare what the last start rendered with the disk; exit 0 same, 2 drift, 1 error
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the merged slurm-config.ini
    SlurmConfig {
        /// Show for every key which file and line it came from
        #[arg(long)]
        origin: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the services; exit 0 all are ready, 1 one is not
    Status {
        /// Ask the exit code for the main service alone (for HEALTHCHECK)
        #[arg(long)]
        main: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop a service and start it again
    Restart {
        /// As `init status` lists it
        service: String,
    },
    /// Stop a service until it is started again
    Stop {
        /// As `init status` lists it
        service: String,
    },
    /// Start a service that was stopped or given up on
    Start {
        /// As `init status` lists it
        service: String,
    },
}

/// What is done with a site's hook on its way to hooks.d.
#[derive(Debug, Clone, Subcommand)]
#[command(subcommand_value_name = "WORK", subcommand_help_heading = "Work on a site's hook")]
pub(crate) enum HookWork {
    /// Write the project of a hook: sources, grants, a context to try it with, how to build it
    New {
        /// Lower case words joined by -, as site-motd
        name: String,
        /// What it is written in
        #[arg(long, value_name = "LANGUAGE", value_enum)]
        lang: Language,
        /// Where to write [default: a folder of that name]
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Run a component in a recorded context and show its effects with the verdict of its grants
    ///
    /// Nothing is changed. Exit 0: all is granted and as expected; 1: it is not.
    Test(HookTest),
    /// Print what a hook would be told here, secrets masked, for `init hooks test`
    ///
    /// Without HOOK: every setting and variable, and no files.
    Context {
        /// Name of a hook that is a component, or a component's file
        #[arg(value_name = "HOOK")]
        hook: Option<OsString>,
        /// TOML file with its grants [default: the one that names the component]
        #[arg(long, value_name = "FILE.toml")]
        policy: Option<PathBuf>,
    },
    /// Write the SHA-256 of a component into the TOML file beside it, which is made if there is none
    Pin {
        /// The component
        #[arg(value_name = "HOOK.wasm")]
        component: PathBuf,
    },
}

/// What to test, and against what.
#[derive(Debug, Clone, Args)]
pub(crate) struct HookTest {
    /// The component
    #[arg(value_name = "HOOK.wasm")]
    pub(crate) component: PathBuf,
    /// What it is told, as `init hooks context` prints it
    #[arg(long, value_name = "CONTEXT.json")]
    pub(crate) context: PathBuf,
    /// What it must answer, as --json prints it
    #[arg(long, value_name = "PLAN.json")]
    pub(crate) expect: Option<PathBuf>,
    /// TOML file with its grants [default: the one that names it, beside it or in this folder]
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) policy: Option<PathBuf>,
    /// Print its answer as JSON, as --expect takes it
    #[arg(long)]
    pub(crate) json: bool,
}

impl CommandLine {
    /// A command's name and the flags of a start do not go together, wherever they stand.
    pub(crate) fn check(self) -> Result<Self, clap::Error> {
        let start = &self.start;
        if self.subcommand.is_some() && (start.dry_run || start.no_hooks || !start.command.is_empty()) {
            let message = "--dry-run, --no-hooks and -- COMMAND are for a start, not for a command such as `init config`";
            return Err(<Self as clap::CommandFactory>::command()
                .error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        let looks = self.start.dry_run || self.subcommand.is_some();
        if self.common.root != Path::new("/") && !looks {
            let message =
                "--root is for looking at a tree and for `init apply`; a worker starts in its own container";
            return Err(<Self as clap::CommandFactory>::command()
                .error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        Ok(self)
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "write KEY=VALUE, as worker.port=4062; `init config` lists the keys".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_table_of_flags_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn common_flags_may_stand_before_or_after_a_command_and_start_flags_nowhere() {
        let check = |line: &[&str]| CommandLine::try_parse_from(line).and_then(CommandLine::check);
        assert!(check(&["init", "--root", "/x", "hooks"]).is_ok());
        assert!(check(&["init", "hooks", "--root", "/x"]).is_ok());
        for line in [
            &["init", "--dry-run", "hooks"][..],
            &["init", "--no-hooks", "config"],
            &["init", "--root", "/x"],
        ] {
            assert!(check(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_command_as_it_is() {
        let line =
            CommandLine::try_parse_from(["init", "--no-hooks", "--", "sh", "-c", "--dry-run"]).unwrap();
        assert_eq!(line.start.command, ["sh", "-c", "--dry-run"]);
        assert!(line.start.no_hooks && !line.start.dry_run);
    }
}
