//! The command line of `processor grid`, and of what is started as parts of it.

use clap::Args;

/// Which processor.
#[derive(Debug, Args)]
#[command(after_help = "\
There are two ways to run it, and nothing is changed on the master for either:
  IceGrid's node starts it, where the master's descriptor of Processor-0 says `python`; `init` sees to that.
  Without a node: services.node.enabled = false and services.processor.enabled = true, which is this command.

Examples:
  processor grid --dry-run                     what it would do with these settings, and with whom
  BIOMERO_INIT_PROCESSOR__PORT=4064 processor grid
  BIOMERO_INIT_PROCESSOR__MODE=python          set for the worker, OMERO's own processor.py runs scripts again

TERM ends it at once; scripts go on, and the next one takes them over, unless processor.end_scripts says otherwise.
What a script gets, its limits, what becomes of its job: docs/scripts.md. Every setting: [processor] in docs/settings.md.
What scripts did: processor events select --own.")]
pub(crate) struct Grid {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
