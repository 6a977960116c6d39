//! `biomero:hooks@1.0.0`, as `hooks/wit/site-hook.wit` describes it.

use std::path::PathBuf;
use std::time::Duration;

use biomero_config::Secret;
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker};

use super::super::guest::{Description, FileState, GuestContext, Level, Needs, Planned};
use super::super::state::State;
use crate::effect::{self, CommandEffect, Content, Effect, FileEffect, Lock, Text};
use crate::hook::HookError;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "written by wasmtime's macro")]
    wasmtime::component::bindgen!({ path: "wit", world: "site-hook" });
}

use bindings::SiteHook;
use bindings::biomero::hooks::{log, types};

impl log::Host for State {
    fn log(&mut self, level: log::Level, line: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
        };
        self.say(level, &line);
    }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

pub(super) fn describe(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
) -> wasmtime::Result<Description> {
    let hook = SiteHook::instantiate(&mut *store, component, linker)?;
    let types::Description { name, version, summary, needs } =
        hook.biomero_hooks_hook().call_describe(&mut *store)?;
    let types::Needs { settings, environment, files, addresses } = needs;
    Ok(Description { name, version, summary, needs: Needs { settings, environment, files, addresses } })
}

pub(super) fn plan(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
    context: &GuestContext,
) -> wasmtime::Result<Planned> {
    let hook = SiteHook::instantiate(&mut *store, component, linker)?;
    let planned = hook.biomero_hooks_hook().call_plan(&mut *store, &told(context))?;
    Ok(planned.map(|effects| effects.into_iter().map(effect_of).collect()).map_err(error_of))
}

fn told(context: &GuestContext) -> types::Context {
    let entries = |entries: &std::collections::BTreeMap<String, String>| {
        entries
            .iter()
            .map(|(name, value)| types::Entry { name: name.clone(), value: value.clone() })
            .collect()
    };
    let identity = &context.identity;
    types::Context {
        settings: entries(&context.settings),
        environment: entries(&context.environment),
        identity: types::Identity {
            uid: identity.uid,
            gid: identity.gid,
            service_uid: identity.service_uid,
            service_gid: identity.service_gid,
            service_name: identity.service_name.clone(),
            service_home: identity.service_home.display().to_string(),
        },
        files: context
            .files
            .iter()
            .map(|file| types::InputFile {
                asked: file.asked.clone(),
                path: file.path.clone(),
                state: match &file.state {
                    FileState::Absent => types::FileState::Absent,
                    FileState::File { content, mode, owner } => types::FileState::File(types::FileContent {
                        content: content.bytes().to_vec(),
                        mode: *mode,
                        owner: *owner,
                    }),
                    FileState::Directory => types::FileState::Directory,
                    FileState::Other(kind) => types::FileState::Other(kind.clone()),
                    FileState::Unreadable(reason) => types::FileState::Unreadable(reason.clone()),
                },
            })
            .collect(),
        addresses: context
            .addresses
            .iter()
            .map(|address| types::HostAddress {
                asked: address.asked.clone(),
                host: address.host.clone(),
                address: address.address.clone(),
            })
            .collect(),
    }
}

fn effect_of(effect: types::Effect) -> Effect {
    match effect {
        types::Effect::Directory(types::Directory { path, mode, owner }) => {
            Effect::Directory { path: path.into(), mode, owner: owner_of(owner) }
        }
        types::Effect::File(types::File { path, content, secret, mode, owner, lock }) => {
            Effect::File(FileEffect {
                path: path.into(),
                content: if secret { Content::secret(content) } else { Content::Public(content) },
                mode,
                owner: owner_of(owner),
                lock: lock.map(|types::Lock { path, based_on }| Lock { path: path.into(), based_on }),
            })
        }
        types::Effect::Remove(path) => Effect::Remove { path: path.into() },
        types::Effect::MoveAside(types::MoveAside { path, to, reason }) => {
            Effect::MoveAside { path: path.into(), to: to.into(), reason }
        }
        types::Effect::Variable(types::Variable { name, value, secret }) => {
            let value =
                value.map(
                    |value| {
                        if secret { Text::Secret(Secret::new(value)) } else { Text::named(&name, value) }
                    },
                );
            Effect::Variable { name, value }
        }
        types::Effect::WaitTcp(types::WaitTcp { address, deadline }) => {
            Effect::WaitTcp { address, deadline: Duration::from_millis(deadline) }
        }
        types::Effect::WaitPath(types::WaitPath { path, deadline }) => {
            Effect::WaitPath { path: path.into(), deadline: Duration::from_millis(deadline) }
        }
        types::Effect::Command(command) => Effect::Command(CommandEffect {
            argv: command.argv,
            environment: command
                .environment
                .into_iter()
                .map(|types::Entry { name, value }| {
                    let value = Text::named(&name, value);
                    (name, value)
                })
                .collect(),
            directory: command.directory.map(PathBuf::from),
            as_service_user: command.as_service_user,
            deadline: Duration::from_millis(command.deadline),
            says: command.says,
        }),
        types::Effect::Notice(notice) => Effect::Notice(notice),
    }
}

const fn owner_of(owner: types::Owner) -> effect::Owner {
    match owner {
        types::Owner::ServiceUser => effect::Owner::ServiceUser,
        types::Owner::Init => effect::Owner::Init,
    }
}

fn error_of(error: types::HookError) -> HookError {
    match error {
        types::HookError::Missing(types::Missing { what, remedy }) => HookError::Missing { what, remedy },
        types::HookError::Input(types::Input { path, reason, remedy }) => {
            HookError::Input { path: path.into(), reason, remedy }
        }
        types::HookError::Invalid(types::Invalid { place, problem, remedy }) => {
            HookError::Invalid { place, problem, remedy }
        }
    }
}
