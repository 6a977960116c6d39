//! A site hook that is a WebAssembly component: `component = "FILE.wasm"` in its TOML file.
//!
//! The file's digest is pinned, so that nobody who can drop a file in the folder decides what runs.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use biomero_config::Values;
use serde::Deserialize;

use super::site::SiteError;
use crate::component::{Cache, ComponentHook, FILE_LIMIT, Host, Limits, Source};
use crate::disk::Disk;
use crate::grants::{self, GrantsTable};

/// What a TOML file says of its component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ComponentTable {
    pub(super) file: PathBuf,
    pub(super) pinned: Option<String>,
    pub(super) allow_unpinned: bool,
    pub(super) wasi_traps: bool,
    pub(super) rollback: bool,
    pub(super) limits: Limits,
    pub(super) grants: GrantsTable,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    time: Option<String>,
    memory_mib: Option<u32>,
    fuel: Option<u64>,
}

impl LimitsTable {
    /// The defaults where it says nothing.
    pub(super) fn limits(&self) -> Result<Limits, String> {
        let default = Limits::default();
        let time = match &self.time {
            Some(text) => biomero_config::duration::parse(text).map_err(|error| format!("time: {error}"))?,
            None => default.time,
        };
        if time.is_zero() || time > Duration::from_secs(600) {
            return Err("time: give more than 0 and at most 10m".to_owned());
        }
        let memory = match self.memory_mib {
            Some(0) => return Err("memory_mib: give at least 1".to_owned()),
            Some(mebibytes) if mebibytes > 2048 => return Err("memory_mib: give at most 2048".to_owned()),
            Some(mebibytes) => usize::try_from(mebibytes).unwrap_or(2048) << 20,
            None => default.memory,
        };
        Ok(Limits { time, memory, fuel: self.fuel.unwrap_or(default.fuel) })
    }
}

/// The component of a hook, and the last one of that name that ran well, where its site wants that.
#[derive(Debug)]
pub(crate) struct Components {
    /// As its TOML file names it, from there.
    pub(super) file: PathBuf,
    current: ComponentHook,
    last_good: Option<ComponentHook>,
    fallen_back: Cell<bool>,
    /// Where a good one is remembered.
    remember: Option<Rc<Host>>,
}

impl Components {
    /// The one that runs.
    pub(crate) fn active(&self) -> &ComponentHook {
        match &self.last_good {
            Some(last_good) if self.fallen_back.get() => last_good,
            _ => &self.current,
        }
    }

    /// Whether there is a last good one to turn to, which is then the active one.
    pub(super) fn fall_back(&self) -> bool {
        self.last_good.is_some() && !self.fallen_back.replace(true)
    }

    pub(super) fn is_fallen_back(&self) -> bool {
        self.fallen_back.get()
    }

    /// Remembers the active one as good.
    pub(super) fn remember(&self) {
        if let Some(host) = &self.remember {
            host.remember(self.active().name(), &self.active().source().digest);
        }
    }
}

/// What components are made from.
pub(super) struct Workshop<'a> {
    pub(super) disk: &'a Disk,
    pub(super) values: Rc<Values>,
    pub(super) host: Rc<Host>,
}

impl Workshop<'_> {
    /// The hook that `table`, found in `toml`, describes, and its digest.
    pub(super) fn make(
        &self,
        toml: &Path,
        name: &str,
        table: &ComponentTable,
    ) -> Result<(Components, String), Vec<SiteError>> {
        let path = toml.parent().unwrap_or(toml).join(&table.file);
        let problem = |problem: String| SiteError::Component { toml: toml.to_owned(), problem };
        let located = self.disk.locate(&path, true).map_err(|error| vec![problem(error.to_string())])?;
        let digest = digest_of(&located).map_err(|reason| {
            vec![problem(format!("cannot read the component {}: {reason}", path.display()))]
        })?;
        let mut problems = Vec::new();
        match &table.pinned {
            Some(pinned) if !pinned.eq_ignore_ascii_case(&digest) => problems.push(problem(format!(
                "the component {} has SHA-256 {digest}, and {pinned} is pinned: it is not the file that was checked; find out who changed it, or pin the new one: init hooks pin {}",
                path.display(), path.display()
            ))),
            None if !table.allow_unpinned => problems.push(problem(format!(
                "the component {} is not pinned: write sha256 = \"{digest}\" (init hooks pin {}), or allow_unpinned = true while you develop it",
                path.display(), path.display()
            ))),
            _ => {}
        }
        let component = match self.component(toml, name, table, located, digest.clone()) {
            Ok(component) if problems.is_empty() => component,
            Ok(_) => return Err(problems),
            Err(errors) => return Err(problems.into_iter().chain(errors).collect()),
        };
        let last_good = table.rollback.then(|| self.host.last_good(name)).flatten();
        let components = Components {
            file: path.clone(),
            last_good: last_good.filter(|good| *good != digest).map(|good| component.with_digest(good)),
            current: component,
            fallen_back: Cell::new(false),
            remember: table.rollback.then(|| Rc::clone(&self.host)),
        };
        Ok((components, digest))
    }

    /// The component in the file that the system has as `located`.
    pub(super) fn component(
        &self,
        toml: &Path,
        name: &str,
        table: &ComponentTable,
        located: PathBuf,
        digest: String,
    ) -> Result<ComponentHook, Vec<SiteError>> {
        let grants = grants::parse(&table.grants, &self.values).map_err(|sentences| {
            let problem = |sentence| SiteError::Component {
                toml: toml.to_owned(),
                problem: format!("[grants] {sentence}"),
            };
            sentences.into_iter().map(problem).collect::<Vec<_>>()
        })?;
        let source = Source { path: located, digest, limits: table.limits, wasi_traps: table.wasi_traps };
        let (values, host) = (Rc::clone(&self.values), Rc::clone(&self.host));
        Ok(ComponentHook::new(name.to_owned(), source, grants, values, host))
    }
}

/// The folders and the program that components come from, for a tree below a root too.
pub(super) fn host(settings: &biomero_config::Settings, disk: &Disk) -> Host {
    // The second is for what the first cannot hold, as where it is the image's and read-only.
    let second = located(&settings.state.directory, disk).join(SECOND_CACHE);
    Host::new(compiler(settings, disk), cache(settings, disk), Cache::at(second))
}

/// The same for somebody who tries a component: what is compiled goes to a cache of his own.
pub(super) fn host_with_own_cache(settings: &biomero_config::Settings, disk: &Disk, own: PathBuf) -> Host {
    Host::new(compiler(settings, disk), Cache::at(own), cache(settings, disk))
}

fn cache(settings: &biomero_config::Settings, disk: &Disk) -> Cache {
    Cache::at(located(&settings.hooks.cache, disk))
}

fn located(path: &Path, disk: &Disk) -> PathBuf {
    disk.locate(path, true).unwrap_or_else(|_| path.to_owned())
}

fn compiler(settings: &biomero_config::Settings, disk: &Disk) -> PathBuf {
    let beside_init = || Some(std::env::current_exe().ok()?.with_file_name("init-hooks"));
    let compiler = located(&settings.hooks.compiler, disk);
    if disk.root() == Path::new("/") && compiler.exists() {
        return compiler;
    }
    // A tree's own compiler is for its own machine.
    beside_init().filter(|program| program.exists()).unwrap_or_else(|| settings.hooks.compiler.clone())
}

/// In the state directory: what the first cache cannot hold.
pub(crate) const SECOND_CACHE: &str = "hooks";

pub(super) fn digest_of(path: &Path) -> Result<String, String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new()
        .read(true)
        // Should it be a pipe, opening it must not hang.
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if metadata.len() > FILE_LIMIT {
        return Err(format!("it is larger than {} MiB: no start-up hook is", FILE_LIMIT >> 20));
    }
    crate::digest::sha256_of(file).map_err(|error| error.to_string())
}
