//! Site hooks as WebAssembly components: run without a file system, network or clock, within limits, and told only
//! what their site grants them.
//!
//! ```text
//! .wasm ── digest pinned ──► cache (or the compiler program, a child) ──► Component ──► describe, plan ──► effects
//! ```
//!
//! Invariants: nothing is compiled in this process; machine code is loaded only from where nobody else can write; each
//! call gets a fresh instance; whatever a component does, the answer is effects or an error that names it, what it
//! tried and the rule. Effects are checked by `grants`, not here.

mod answer;
mod cache;
mod compile;
mod engine;
mod guest;
mod interface;
mod limits;
mod load;
mod need;
mod state;

use std::cell::{Cell, OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use biomero_config::Values;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, Trap};

use crate::context::{Context, Need};
use crate::effect::Effect;
use crate::grants::Grants;
use crate::hook::HookError;
use crate::machine::{Machine, MachineError};
use compile::Compiler;
use interface::{Interface, InterfaceError};
use load::Trusted;
use state::State;

pub use answer::{answer_json, unexpected};
pub use cache::{Cache, CacheError};
pub use compile::CompileError;
pub use engine::{config as engine_config, target};
pub use guest::{
    Description, FileContent, FileState, GuestContext, HostAddress, InputFile, Level, Line, Needs,
};
pub use limits::FILE as FILE_LIMIT;
pub use limits::Limits;
pub use state::readable;

/// Where components come from and what runs them: one for all hooks of a start, and no engine until one runs.
#[derive(Debug)]
pub struct Host {
    compiler: Compiler,
    cache: Cache,
    /// For what the first cannot hold, as where the image's is read-only and belongs to root.
    second_cache: Cache,
    engine: OnceCell<Engine>,
}

/// A component in a file, and how it is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The `.wasm`, as the system has it.
    pub path: PathBuf,
    /// Its SHA-256.
    pub digest: String,
    /// What one call may use.
    pub limits: Limits,
    /// Whether imports of WASI are answered by a trap, rather than refused at once.
    pub wasi_traps: bool,
}

/// Why a component did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Its compiled form could not be had.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Its compiled form is not to be trusted.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// It is no hook, or none for this `init`.
    #[error("the component cannot be used: {0}")]
    Unusable(String),
    /// It was stopped.
    #[error("the component was stopped in {during}: {why}")]
    Stopped {
        /// `describe` or `plan`.
        during: &'static str,
        /// The limit or trap, and the remedy.
        why: String,
    },
    /// A stop signal came while it ran.
    #[error("{0}")]
    Interrupted(MachineError),
    /// It wants to know what it may not.
    #[error("the component asks for what its [grants] do not hold:\n  {}", .0.join("\n  "))]
    Ungranted(Vec<String>),
}

/// A hook that is a component.
#[derive(Debug)]
pub struct ComponentHook {
    name: String,
    source: Source,
    grants: Grants,
    values: Rc<Values>,
    host: Rc<Host>,
    loaded: OnceCell<Loaded>,
    lines: RefCell<Vec<Line>>,
    spent: Cell<Spent>,
}

/// What the last call used, of its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Wall-clock time.
    pub time: Duration,
    /// Memory, in bytes.
    pub memory: usize,
    /// Fuel.
    pub fuel: u64,
}

/// A component ready to be asked.
struct Loaded {
    component: Component,
    interface: Interface,
    linker: Linker<State>,
    description: Description,
    wanted: need::Wanted,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.description)
    }
}

impl Host {
    /// `cache` is looked in and written to first, `second_cache` next; `compiler` makes what is in neither.
    pub fn new(compiler: PathBuf, cache: Cache, second_cache: Cache) -> Self {
        Self { compiler: Compiler { program: compiler }, cache, second_cache, engine: OnceCell::new() }
    }

    /// The digest of the component that last ran well under this name.
    pub fn last_good(&self, name: &str) -> Option<String> {
        [&self.cache, &self.second_cache].into_iter().find_map(|cache| cache.last_good(name))
    }

    /// Remembers the component that ran well under this name. Where no cache takes it, there is nothing to fall back
    /// to later.
    pub fn remember(&self, name: &str, digest: &str) {
        if self.last_good(name).as_deref() != Some(digest) {
            let _ = self.cache.remember(name, digest).or_else(|_| self.second_cache.remember(name, digest));
        }
    }

    fn engine(&self) -> Result<&Engine, ComponentError> {
        if self.engine.get().is_none() {
            let engine = engine::engine().map_err(|error| unusable(&error))?;
            // Nobody else can have filled it in between: a cell is for one thread.
            let _ = self.engine.set(engine);
        }
        self.engine.get().ok_or_else(|| ComponentError::Unusable("no engine".to_owned()))
    }

    /// The component, from a cache; none where it is in neither.
    fn cached(&self, source: &Source) -> Result<Option<Component>, ComponentError> {
        for cache in [&self.cache, &self.second_cache] {
            if let Some(code) = cache.load(&source.digest)?.map(Trusted::of_cache) {
                return Ok(Some(code.load(self.engine()?).map_err(|error| unusable(&error))?));
            }
        }
        Ok(None)
    }

    /// The component, from a cache or else compiled and, if `keep`, put there.
    fn component(
        &self,
        source: &Source,
        keep: bool,
        deadline: Duration,
        machine: &mut dyn Machine,
    ) -> Result<Component, ComponentError> {
        if let Some(component) = self.cached(source)? {
            return Ok(component);
        }
        let folder = self.cache.folder();
        let compiled = self.compiler.compile(&source.path, &source.digest, folder, deadline, machine)?;
        let code = Trusted::compiled(compiled);
        let component = code.load(self.engine()?).map_err(|error| unusable(&error))?;
        if let (true, Ok(bytes)) = (keep, code.bytes()) {
            // Where neither takes it, the next start compiles again.
            let _ = self
                .cache
                .store(&source.digest, &bytes)
                .or_else(|_| self.second_cache.store(&source.digest, &bytes));
        }
        Ok(component)
    }
}

impl ComponentHook {
    /// A hook under the name that its site gives it. Nothing is read before [`ComponentHook::prepare`].
    pub fn new(name: String, source: Source, grants: Grants, values: Rc<Values>, host: Rc<Host>) -> Self {
        let (loaded, lines, spent) = (OnceCell::new(), RefCell::default(), Cell::default());
        Self { name, source, grants, values, host, loaded, lines, spent }
    }

    /// Loads the component, compiled by `deadline` if need be, and asks it what it is. `keep` lets the compiled form
    /// be kept.
    ///
    /// # Errors
    /// Whatever keeps it from running.
    pub fn prepare(
        &self,
        keep: bool,
        deadline: Duration,
        machine: &mut dyn Machine,
    ) -> Result<(), ComponentError> {
        if self.loaded.get().is_some() {
            return Ok(());
        }
        let component = self.host.component(&self.source, keep, deadline, machine)?;
        let engine = self.host.engine()?;
        let interface = Interface::of(&component, engine)
            .map_err(|error: InterfaceError| ComponentError::Unusable(error.to_string()))?;
        let mut linker = Linker::new(engine);
        interface.link(&mut linker).map_err(|error| unusable(&error))?;
        check_imports(&component, engine, self.source.wasi_traps)?;
        if self.source.wasi_traps {
            linker.define_unknown_imports_as_traps(&component).map_err(|error| unusable(&error))?;
        }
        let mut description =
            self.call(machine, "describe", |store| interface.describe(store, &component, &linker))?;
        for text in [&mut description.name, &mut description.version, &mut description.summary] {
            *text = readable(text, 200);
        }
        need::Wanted::check_size(&description.needs).map_err(ComponentError::Unusable)?;
        let wanted = need::Wanted::new(&description.needs, &self.grants, &self.values)
            .map_err(ComponentError::Ungranted)?;
        let _ = self.loaded.set(Loaded { component, interface, linker, description, wanted });
        Ok(())
    }

    /// The same hook with another component, which is in a cache.
    #[must_use]
    pub(crate) fn with_digest(&self, digest: String) -> Self {
        let source = Source { digest, ..self.source.clone() };
        let (values, host) = (Rc::clone(&self.values), Rc::clone(&self.host));
        Self::new(self.name.clone(), source, self.grants.clone(), values, host)
    }

    /// The name that its site gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the component says of itself, once it is prepared.
    pub fn description(&self) -> Option<&Description> {
        self.loaded.get().map(|loaded| &loaded.description)
    }

    /// What its site grants it.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Where it comes from.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// What it said since this was last asked.
    pub fn take_lines(&self) -> Vec<Line> {
        self.lines.take()
    }

    /// What the last call used.
    pub fn spent(&self) -> Spent {
        self.spent.get()
    }

    /// The facts that it is told.
    pub(crate) fn needs(&self) -> Vec<Need> {
        self.loaded.get().map(|loaded| loaded.wanted.needs()).unwrap_or_default()
    }

    /// What it is told of a context whose facts were gathered.
    ///
    /// # Errors
    /// Before [`ComponentHook::prepare`], or where it is more than fits.
    pub fn told(&self, context: &Context<'_>) -> Result<GuestContext, ComponentError> {
        let loaded = self.ready()?;
        loaded.wanted.told(context, &self.values).map_err(|bytes| {
            ComponentError::Unusable(format!(
                "the files that it asks for have {bytes} bytes and more, {} MiB is the limit; grant fewer",
                limits::TOLD >> 20
            ))
        })
    }

    /// What it is told of a recorded context; also what it asked for and the record does not hold.
    ///
    /// # Errors
    /// Before [`ComponentHook::prepare`].
    pub fn select(&self, context: &GuestContext) -> Result<(GuestContext, Vec<String>), ComponentError> {
        Ok(self.ready()?.wanted.select(context))
    }

    /// Its effects, in a context as it is told it.
    ///
    /// # Errors
    /// Its own [`HookError`], or what stopped it.
    pub fn plan(&self, context: &GuestContext, machine: &mut dyn Machine) -> Result<Vec<Effect>, HookError> {
        let loaded = self.ready()?;
        let planned = self.call(machine, "plan", |store| {
            loaded.interface.plan(store, &loaded.component, &loaded.linker, context)
        })?;
        let effects = planned.map_err(readable_error)?;
        if effects.len() > limits::EFFECTS {
            let why = format!("it asks for {} effects, {} is the limit", effects.len(), limits::EFFECTS);
            return Err(ComponentError::Stopped { during: "plan", why }.into());
        }
        Ok(effects.into_iter().map(readable_effect).collect())
    }

    fn ready(&self) -> Result<&Loaded, ComponentError> {
        self.loaded.get().ok_or_else(|| ComponentError::Unusable("it was not prepared".to_owned()))
    }

    /// Runs one call within all limits.
    fn call<T: Send>(
        &self,
        machine: &mut dyn Machine,
        during: &'static str,
        guest: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T> + Send,
    ) -> Result<T, ComponentError> {
        let engine = self.host.engine()?;
        let limits = &self.source.limits;
        let mut store = Store::new(engine, State::new(limits));
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(limits::ANSWER);
        store.set_fuel(limits.fuel).map_err(|error| unusable(&error))?;
        let began = Instant::now();
        let ended = engine::within(engine, limits.time, machine, || guest(&mut store))
            .map_err(|error| ComponentError::Unusable(format!("it cannot be run: {error}")))?;
        let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default());
        let mut state = store.into_data();
        self.spent.set(Spent { time: began.elapsed(), memory: state.memory(), fuel });
        let refused = state.refused.take();
        self.lines.borrow_mut().extend(state.into_lines());
        match ended {
            engine::Ended::Interrupted(error) => Err(ComponentError::Interrupted(error)),
            engine::Ended::Answered(answer) => {
                answer.map_err(|error| ComponentError::Stopped { during, why: why(&error, refused, limits) })
            }
        }
    }
}

/// A component may import `log`, in a version that is spoken here, and nothing else; WASI only if that was configured.
fn check_imports(component: &Component, engine: &Engine, wasi_traps: bool) -> Result<(), ComponentError> {
    let unknown: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name)
        .filter(|name| {
            !name.starts_with("biomero:hooks/log@1.0.") && !name.starts_with("biomero:hooks/types@1.0.")
        })
        .filter(|name| !(wasi_traps && name.starts_with("wasi:")))
        .map(|name| readable(name, 120))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let remedy = if unknown.iter().all(|name| name.starts_with("wasi:")) {
        "build it without WASI (wasm32-unknown-unknown, componentize-py --stub-wasi), or set wasi = \"deny\" in its TOML file: then a call of WASI stops it"
    } else {
        "a hook may import biomero:hooks/log and nothing else"
    };
    let shown = unknown.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > 8 { format!(" and {} more", unknown.len() - 8) } else { String::new() };
    Err(ComponentError::Unusable(format!("it imports {shown}{more}; {remedy}")))
}

fn unusable(error: &wasmtime::Error) -> ComponentError {
    ComponentError::Unusable(readable(&format!("{error:#}"), 600))
}

/// What stopped a call, and what to do.
fn why(error: &wasmtime::Error, refused: Option<String>, limits: &Limits) -> String {
    let time = biomero_config::duration::display(limits.time);
    let text = format!("{error:#}");
    let trap = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Some(format!(
            "it used up {} units of fuel; is there an endless loop? limits.fuel raises it",
            limits.fuel
        )),
        Some(Trap::Interrupt) => Some(format!("it did not end within {time}; limits.time raises that")),
        Some(Trap::StackOverflow) => {
            Some("its stack overflowed; does it call itself without end?".to_owned())
        }
        Some(trap) => Some(format!("it trapped: {}", trap.to_string().trim_start_matches("wasm trap: "))),
        None if text.contains("fuel allocated for hostcalls") => {
            Some(format!("its answer is larger than {} MiB", limits::ANSWER >> 20))
        }
        None => None,
    };
    let what = trap.unwrap_or_else(|| readable(&text, 600));
    match refused {
        Some(limit) => format!("{limit} was reached (limits.memory_mib raises that); {what}"),
        None => what,
    }
}

fn readable_error(error: HookError) -> HookError {
    let clean = |text: String| readable(&text, 1000);
    match error {
        HookError::Missing { what, remedy } => {
            HookError::Missing { what: clean(what), remedy: clean(remedy) }
        }
        HookError::Input { path, reason, remedy } => HookError::Input {
            path: clean(path.display().to_string()).into(),
            reason: clean(reason),
            remedy: clean(remedy),
        },
        HookError::Invalid { place, problem, remedy } => {
            HookError::Invalid { place: clean(place), problem: clean(problem), remedy: clean(remedy) }
        }
        other => other,
    }
}

/// Sentences of a component end up on a terminal and in a log.
fn readable_effect(effect: Effect) -> Effect {
    match effect {
        Effect::Notice(notice) => Effect::Notice(readable(&notice, limits::LINE)),
        Effect::MoveAside { path, to, reason } => {
            Effect::MoveAside { path, to, reason: readable(&reason, limits::LINE) }
        }
        Effect::Command(mut command) => {
            command.says = readable(&command.says, limits::LINE);
            Effect::Command(command)
        }
        other => other,
    }
}
