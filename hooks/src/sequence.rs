//! The start-up as a sequence: for each hook gather its facts, plan, and then either apply the effects or note what
//! they would change. Both ways are driven from here, so that they cannot drift apart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use biomero_config::{Environment, OnFailure, Settings};

use crate::apply::{Applier, ApplyError};
use crate::change::{Change, examine, obstacle};
use crate::component::{CompileError, ComponentError, ComponentHook, GuestContext, Line};
use crate::confine::Confinement;
use crate::context::{Context, Facts, Identity, Need};
use crate::disk::{Confined, Disk};
use crate::effect::Effect;
use crate::failure::FailureClass;
use crate::gather::{GatherError, Resolution, gather};
use crate::grants::{Grants, Protected, Refusals};
use crate::guard::Guard;
use crate::hook::HookError;
use crate::machine::{Machine, MachineError};
use crate::manifest::{Manifest, Ran};
use crate::overlay::{Overlay, Planned};
use crate::own;
use crate::plan::{HookPlan, Plan, PlannedEffect};
use crate::schedule::{Body, Scheduled};
use crate::visible::visible_lines;

/// How long a dry run waits for a name: away from the container's network it will not come.
const DRY_RUN_RESOLUTION: Duration = Duration::from_millis(800);
/// Pause before the first retry of a hook; doubled for each further one.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two tries of a hook.
const RETRY_PAUSE_LIMIT: Duration = Duration::from_secs(10);
/// Plans of one try that another program may overtake by changing a locked file in between.
const REPLANS: u32 = 5;

/// What is told about a start-up while it happens.
pub trait Observer {
    /// A hook begins, or is left out.
    fn starts(&mut self, hook: &Scheduled);
    /// An effect was applied; `change` is what it changed.
    fn effect(&mut self, hook: &Scheduled, effect: &Effect, change: &Change);
    /// A try failed and another follows after a pause.
    fn retries(&mut self, hook: &Scheduled, error: &StepError, pause: Duration);
    /// A hook failed for good and its policy is to go on.
    fn warns(&mut self, failure: &HookFailure);
    /// A component says something.
    fn says(&mut self, hook: &Scheduled, line: &Line);
    /// A component failed, and the one that last ran well under its name takes its place.
    fn falls_back(&mut self, hook: &Scheduled, error: &StepError);
    /// A hook is done.
    fn ends(&mut self, hook: &Scheduled, changed: usize, took: Duration);
}

/// What the hooks left behind.
#[derive(Debug)]
pub struct Applied {
    /// The environment for services.
    pub environment: Environment,
    /// What was rendered.
    pub manifest: Manifest,
    /// Hooks that failed and were to be gone on from.
    pub warnings: Vec<String>,
}

/// A start-up that ended before its last hook.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct Aborted {
    /// What ended it.
    pub failure: HookFailure,
    /// What the hooks before it rendered, and which ran.
    pub manifest: Manifest,
}

/// A hook that failed, with all its tries.
#[derive(Debug, thiserror::Error)]
#[error("hook {hook}: {}", visible_lines(&source.to_string()))]
pub struct HookFailure {
    /// Its name.
    pub hook: String,
    /// The last try's error.
    pub source: StepError,
}

/// Why one try of a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It could not plan.
    #[error(transparent)]
    Plan(#[from] HookError),
    /// Its facts could not be gathered.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// An effect could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Its time was over.
    #[error("not done within its deadline of {}; raise hooks.{hook}.deadline if it needs more", biomero_config::duration::display(*.deadline))]
    Deadline {
        /// Its name.
        hook: String,
        /// The deadline.
        deadline: Duration,
    },
}

impl StepError {
    /// The kind of failure, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Plan(HookError::Missing { .. } | HookError::Invalid { .. }) => FailureClass::Configuration,
            Self::Plan(HookError::Component(
                ComponentError::Interrupted(MachineError::Interrupted(signal))
                | ComponentError::Compile(CompileError::Machine {
                    source: MachineError::Interrupted(signal),
                    ..
                }),
            )) => FailureClass::Interrupted(signal.clone()),
            Self::Plan(HookError::Refused(_) | HookError::Component(_)) => FailureClass::Hook,
            Self::Plan(HookError::Input { .. })
            | Self::Gather(GatherError::Directory { .. } | GatherError::TooMuch) => FailureClass::Input,
            Self::Gather(GatherError::Interrupted(signal)) => FailureClass::Interrupted(signal.clone()),
            Self::Gather(GatherError::Resolve { .. } | GatherError::Family { .. })
            | Self::Deadline { .. } => FailureClass::Unavailable,
            Self::Apply(error) => error.class(),
        }
    }

    /// Whether another try could end otherwise.
    fn is_worth_a_retry(&self) -> bool {
        !matches!(self.class(), FailureClass::Configuration | FailureClass::Interrupted(_))
    }
}

/// What a start-up runs on.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// Who `init` is and who services will be.
    pub identity: &'a Identity,
    /// The environment `init` was given.
    pub environment: &'a Environment,
    /// Whether [`apply`] runs programs, or passes them over where it works on a tree that is not this machine's.
    pub run_programs: bool,
}

/// Runs all hooks in order and applies their effects.
///
/// # Errors
/// The first hook that failed for good and whose policy is to abort, or an interruption.
pub fn apply(
    start: &Start<'_>,
    hooks: &[Scheduled],
    overlay: &Overlay,
    machine: &mut dyn Machine,
    observer: &mut dyn Observer,
) -> Result<Applied, Box<Aborted>> {
    let mut applied = Applied {
        environment: start.environment.clone(),
        manifest: Manifest::default(),
        warnings: Vec::new(),
    };
    let own = own::paths(start, hooks, overlay.disk());
    for hook in hooks {
        observer.starts(hook);
        if hook.skipped.is_some() {
            continue;
        }
        let began = Instant::now();
        let mut outcome = apply_with_retries(start, hook, &own, overlay, &mut applied, machine, observer);
        if let Err(error) = &outcome
            && !matches!(error.class(), FailureClass::Interrupted(_))
            && hook.fall_back()
        {
            observer.falls_back(hook, error);
            let error = error.to_string();
            applied.warnings.push(format!(
                "hook {}: {}; the component that last ran well took its place",
                hook.name,
                visible_lines(&error)
            ));
            outcome = apply_with_retries(start, hook, &own, overlay, &mut applied, machine, observer);
        }
        applied.manifest.ran(Ran::of(hook, outcome.is_ok()));
        match outcome {
            Ok(changed) => {
                hook.remember();
                observer.ends(hook, changed, began.elapsed());
            }
            Err(source) => {
                let interrupted = matches!(source.class(), FailureClass::Interrupted(_));
                let failure = HookFailure { hook: hook.name.clone(), source };
                if interrupted || hook.policy.on_failure == OnFailure::Abort {
                    return Err(Box::new(Aborted { failure, manifest: applied.manifest }));
                }
                observer.warns(&failure);
                applied.warnings.push(failure.to_string());
            }
        }
    }
    Ok(applied)
}

fn apply_with_retries(
    start: &Start<'_>,
    hook: &Scheduled,
    own: &[PathBuf],
    overlay: &Overlay,
    applied: &mut Applied,
    machine: &mut dyn Machine,
    observer: &mut dyn Observer,
) -> Result<usize, StepError> {
    let mut pause = RETRY_PAUSE;
    let mut tries_left = hook.policy.retries;
    let mut replans_left = REPLANS;
    loop {
        let error = match apply_once(start, hook, own, overlay, applied, machine, observer) {
            Ok(changed) => return Ok(changed),
            Err(error) => error,
        };
        if matches!(error, StepError::Apply(ApplyError::ChangedUnderneath { .. })) && replans_left > 0 {
            replans_left -= 1;
            continue;
        }
        if tries_left == 0 || !error.is_worth_a_retry() {
            return Err(error);
        }
        tries_left -= 1;
        observer.retries(hook, &error, pause);
        if let Err(MachineError::Interrupted(signal)) = machine.pause(pause) {
            return Err(ApplyError::Interrupted(signal).into());
        }
        pause = (2 * pause).min(RETRY_PAUSE_LIMIT);
    }
}

fn apply_once(
    start: &Start<'_>,
    hook: &Scheduled,
    own: &[PathBuf],
    overlay: &Overlay,
    applied: &mut Applied,
    machine: &mut dyn Machine,
    observer: &mut dyn Observer,
) -> Result<usize, StepError> {
    let until = Instant::now() + hook.policy.deadline;
    let resolution = Resolution::Required(start.settings.wait.resolve.min(hook.policy.deadline));
    let planning = Planning {
        start,
        environment: &applied.environment,
        hook,
        own,
        overlay,
        resolution,
        until,
        rendered: applied.manifest.rendered_by_others(&hook.name),
        keep: true,
    };
    let _confined = confined(hook, overlay);
    let effects = plan_hook(&planning, machine);
    for line in hook.component().map(ComponentHook::take_lines).unwrap_or_default() {
        observer.says(hook, &line);
    }
    let effects = effects?;
    let mut changed = 0;
    for effect in &effects {
        if Instant::now() >= until {
            return Err(StepError::Deadline { hook: hook.name.clone(), deadline: hook.policy.deadline });
        }
        let mut applier = Applier {
            overlay,
            identity: start.identity,
            environment: &mut applied.environment,
            machine: &mut *machine,
            run_programs: start.run_programs,
            until,
        };
        let change = applier.apply(effect)?;
        changed += usize::from(change.changes_the_machine());
        applied.manifest.record(&hook.name, effect);
        observer.effect(hook, effect, &change);
    }
    Ok(changed)
}

/// Runs all hooks in order over an overlay and notes what their effects would change. Nothing is changed.
///
/// Failures do not stop it: a plan shows everything that is wrong at once.
pub fn plan(start: &Start<'_>, hooks: &[Scheduled], overlay: Overlay, machine: &mut dyn Machine) -> Plan {
    let mut rehearsal = Rehearsal::new(start, hooks, overlay);
    for hook in hooks {
        rehearsal.hook(hook, machine);
    }
    Plan { hooks: rehearsal.planned }
}

/// What `component` would be told, standing in for the hook of its name or else at `number` (at the end without one),
/// when the hooks before it have run. Nothing is changed.
///
/// # Errors
/// What keeps it from being asked, or a fact from being gathered.
pub fn record(
    start: &Start<'_>,
    hooks: &[Scheduled],
    overlay: Overlay,
    component: &ComponentHook,
    number: Option<u16>,
    machine: &mut dyn Machine,
) -> Result<GuestContext, StepError> {
    let mut rehearsal = Rehearsal::new(start, hooks, overlay);
    let place = hooks.iter().position(|hook| hook.name == component.name()).unwrap_or_else(|| {
        number.map_or(hooks.len(), |number| hooks.partition_point(|hook| hook.number <= number))
    });
    for hook in &hooks[..place] {
        rehearsal.hook(hook, machine);
    }
    let deadline = start.settings.hooks.default.deadline;
    component.prepare(true, deadline, machine).map_err(HookError::from)?;
    let mut context = Context {
        settings: start.settings,
        environment: &rehearsal.environment,
        identity: start.identity,
        facts: Facts::default(),
    };
    let overlay = &rehearsal.overlay;
    let _confined = overlay.disk().confine(Confinement::of(component.grants()));
    let resolution = Resolution::Optional(DRY_RUN_RESOLUTION);
    let needs = component.needs();
    context.facts = gather(&needs, overlay, start.identity, start.settings, resolution, machine)?;
    Ok(component.told(&context).map_err(HookError::from)?)
}

/// What of a component's effects its grants do not hold, where no other hook has rendered anything.
pub fn refusals(component: &ComponentHook, effects: &[Effect], start: &Start<'_>, disk: &Disk) -> Refusals {
    let protected = Protected { own: own::of_init(start, disk), rendered: BTreeMap::new() };
    let _confined = disk.confine(Confinement::of(component.grants()));
    match check(effects, component.grants(), &protected, disk) {
        Err(HookError::Refused(refusals)) => refusals,
        _ => Refusals::default(),
    }
}

/// A start that changes nothing.
struct Rehearsal<'a> {
    start: &'a Start<'a>,
    /// What belongs to `init` and its hooks.
    own: Vec<PathBuf>,
    overlay: Overlay,
    environment: Environment,
    planned: Vec<HookPlan>,
}

impl<'a> Rehearsal<'a> {
    fn new(start: &'a Start<'a>, hooks: &[Scheduled], overlay: Overlay) -> Self {
        let own = own::paths(start, hooks, overlay.disk());
        Self { start, own, overlay, environment: start.environment.clone(), planned: Vec::new() }
    }

    /// Notes what one hook would change.
    fn hook(&mut self, hook: &Scheduled, machine: &mut dyn Machine) {
        let mut entry = HookPlan::of(hook);
        if hook.skipped.is_none() {
            let _confined = confined(hook, &self.overlay);
            let mut effects = self.effects(hook, machine);
            if let Err(error) = &effects
                && hook.fall_back()
            {
                entry.fell_back = Some(error.to_string());
                effects = self.effects(hook, machine);
            }
            entry.lines = hook.component().map(ComponentHook::take_lines).unwrap_or_default();
            match effects {
                Ok(effects) => self.examine(effects, &mut entry),
                Err(error) => entry.failure = Some(error.to_string()),
            }
        }
        self.planned.push(entry);
    }

    fn effects(&self, hook: &Scheduled, machine: &mut dyn Machine) -> Result<Vec<Effect>, StepError> {
        let planning = Planning {
            start: self.start,
            environment: &self.environment,
            hook,
            own: &self.own,
            overlay: &self.overlay,
            resolution: Resolution::Optional(DRY_RUN_RESOLUTION),
            until: Instant::now() + hook.policy.deadline,
            rendered: rendered_by_others(&self.planned, &hook.name),
            keep: false,
        };
        plan_hook(&planning, machine)
    }

    fn examine(&mut self, effects: Vec<Effect>, entry: &mut HookPlan) {
        for effect in effects {
            match examine(&effect, &self.overlay, self.start.identity, &self.environment) {
                Ok(change) => {
                    if let Some(obstacle) = obstacle(&effect, &change, &self.overlay) {
                        entry.failure = Some(obstacle);
                        return;
                    }
                    foresee(&effect, &mut self.overlay, &mut self.environment);
                    entry.effects.push(PlannedEffect { effect, change });
                }
                Err(error) => {
                    entry.failure = Some(format!("cannot read what is there: {error}"));
                    return;
                }
            }
        }
    }
}

/// What one hook is planned with.
struct Planning<'a> {
    start: &'a Start<'a>,
    environment: &'a Environment,
    hook: &'a Scheduled,
    /// What belongs to `init` and its hooks.
    own: &'a [PathBuf],
    overlay: &'a Overlay,
    resolution: Resolution,
    /// When the hook's time is over.
    until: Instant,
    /// Files that other hooks of this start rendered, with the hook's name.
    rendered: BTreeMap<PathBuf, String>,
    /// Whether a component's compiled form is kept: a dry run leaves nothing behind.
    keep: bool,
}

fn plan_hook(planning: &Planning<'_>, machine: &mut dyn Machine) -> Result<Vec<Effect>, StepError> {
    let Planning { start, environment, hook, overlay, .. } = *planning;
    let mut context =
        Context { settings: start.settings, environment, identity: start.identity, facts: Facts::default() };
    match hook.body() {
        Body::Hook(hook) => {
            context.facts = planning.gather(&hook.needs(&context), machine)?;
            Ok(hook.plan(&context)?)
        }
        Body::Component(components) => {
            let component = components.active();
            let deadline = planning.until.saturating_duration_since(Instant::now());
            component.prepare(planning.keep, deadline, machine).map_err(HookError::from)?;
            context.facts = planning.gather(&component.needs(), machine)?;
            let told = component.told(&context).map_err(HookError::from)?;
            let effects = component.plan(&told, machine)?;
            let protected = Protected { own: planning.own.to_vec(), rendered: planning.rendered.clone() };
            check(&effects, component.grants(), &protected, overlay.disk())?;
            Ok(effects)
        }
    }
}

impl Planning<'_> {
    fn gather(&self, needs: &[Need], machine: &mut dyn Machine) -> Result<Facts, GatherError> {
        let Self { start, overlay, resolution, .. } = self;
        gather(needs, overlay, start.identity, start.settings, *resolution, machine)
    }
}

/// Checks a component's effects by what they say and by what is there. What nothing may change is kept from the disk
/// while it is confined: it is looked at again at each change.
fn check(effects: &[Effect], grants: &Grants, protected: &Protected, disk: &Disk) -> Result<(), HookError> {
    let changes_files = |effect: &Effect| {
        matches!(
            effect,
            Effect::File(_) | Effect::Directory { .. } | Effect::Remove { .. } | Effect::MoveAside { .. }
        )
    };
    if effects.iter().any(changes_files) {
        disk.keep(Guard::of(protected, grants, disk));
    }
    // Where it cannot be told, applying fails and says why.
    let refusals = grants.check(effects, protected, &|path| disk.rule(path).ok().flatten());
    if refusals.is_empty() { Ok(()) } else { Err(HookError::Refused(refusals)) }
}

/// While a component's hook is at work, files are reached no further than its grants.
fn confined(hook: &Scheduled, overlay: &Overlay) -> Option<Confined> {
    let component = hook.component()?;
    Some(overlay.disk().confine(Confinement::of(component.grants())))
}

/// The files of a plan's other hooks.
fn rendered_by_others(planned: &[HookPlan], hook: &str) -> BTreeMap<PathBuf, String> {
    planned
        .iter()
        .filter(|plan| plan.name() != hook)
        .flat_map(|plan| plan.effects.iter().map(|planned| (plan.name(), &planned.effect)))
        .filter_map(|(name, effect)| match effect {
            Effect::File(file) => Some((file.path.clone(), name.to_owned())),
            _ => None,
        })
        .collect()
}

/// What an effect leaves for later hooks to read.
fn foresee(effect: &Effect, overlay: &mut Overlay, environment: &mut Environment) {
    match effect {
        Effect::File(file) => overlay
            .plan(&file.path, Planned::File { content: file.content.bytes().to_vec(), mode: file.mode }),
        Effect::Directory { path, mode, .. } => {
            overlay.plan(path, Planned::Directory { mode: *mode, fresh: false });
        }
        Effect::Remove { path } => overlay.plan(path, Planned::Absent),
        Effect::MoveAside { path, to, .. } => {
            overlay.plan(path, Planned::Absent);
            overlay.plan(to, Planned::Directory { mode: 0o700, fresh: false });
        }
        Effect::Variable { name, value } => match value {
            Some(value) => environment.set(name, value.reveal()),
            None => environment.unset(name),
        },
        Effect::WaitTcp { .. } | Effect::WaitPath { .. } | Effect::Command(_) | Effect::Notice(_) => {}
    }
}

#[cfg(test)]
mod tests;
