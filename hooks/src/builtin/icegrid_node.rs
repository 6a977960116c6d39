//! `icegrid-node`: `etc/NAME.cfg`, by which icegridnode knows its name, its endpoints and where it writes.
//!
//! An internal worker fills in the image's own `etc/templates/worker.cfg` (the shipped one where the image has none);
//! an external one, which the master reaches through one published port, gets a file of its own. Both are byte for
//! byte what the shell scripts of a BIOMERO image write, as long as only the settings exist that they know.
//!
//! Beyond the scripts: a port for an internal worker, and `worker.bind`, for a node that listens on another address
//! than the one by which the master reaches it (NAT). An IPv6 address is quoted, without which Ice refuses it.

use std::path::{Path, PathBuf};

use biomero_config::WorkerMode;

use super::template::{self, Value};
use super::{directory, host};
use crate::context::{Context, FileFact, Need};
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct IcegridNodeHook;

/// Used where the image has no `etc/templates/worker.cfg`.
const SHIPPED: &str = include_str!("../../../config/templates/worker.cfg");
/// The port that external deployments publish.
const EXTERNAL_PORT: u16 = 4062;
const ENDPOINTS: &str = "IceGrid.Node.Endpoints=";

impl Hook for IcegridNodeHook {
    fn name(&self) -> &'static str {
        "icegrid-node"
    }

    fn summary(&self) -> &'static str {
        "writes etc/NAME.cfg, the IceGrid node's configuration, and the directories it writes in"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let worker = &context.settings.worker;
        let omero = &context.settings.omero.directory;
        let mut needs = vec![
            Need::File(template_path(context)),
            Need::File(omero.join("var/log")),
            Need::File(omero.join("var").join(&worker.name)),
        ];
        // A name that is refused anyway is not worth a resolver's patience.
        if worker.address.is_none() && check_name(&worker.name).is_ok() {
            needs.push(Need::Address(worker.name.clone()));
        }
        needs
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let name = &context.settings.worker.name;
        check_name(name)?;
        let node = Node::of(context)?;
        let mut effects = Vec::new();
        let content = if is_external(context) {
            node.external_file()
        } else {
            let (template, notice) = template(context)?;
            effects.extend(notice.map(Effect::Notice));
            node.internal_file(&template, &template_path(context))?
        };
        let omero = &context.settings.omero.directory;
        for path in [omero.join("var").join(name), omero.join("var/log")] {
            effects.extend(directory::writable(context, &path, 0o755)?);
        }
        effects.push(Effect::File(FileEffect {
            path: omero.join("etc").join(format!("{name}.cfg")),
            content: Content::Public(content),
            mode: 0o644,
            owner: Owner::ServiceUser,
            lock: None,
        }));
        Ok(effects)
    }
}

/// Whether the worker stands outside of the master's container network.
fn is_external(context: &Context<'_>) -> bool {
    match context.settings.worker.mode {
        WorkerMode::Internal => false,
        WorkerMode::External => true,
        WorkerMode::Auto => context.settings.master.port.is_some(),
    }
}

fn template_path(context: &Context<'_>) -> PathBuf {
    context.settings.omero.directory.join("etc/templates/worker.cfg")
}

fn template(context: &Context<'_>) -> Result<(Vec<u8>, Option<String>), HookError> {
    let path = template_path(context);
    match context.facts.file(&path) {
        FileFact::File { content, .. } => Ok((content.clone(), None)),
        FileFact::Absent => Ok((SHIPPED.into(), None)),
        FileFact::Unreadable(reason) => Err(HookError::Input {
            reason: reason.clone(),
            remedy: format!("make it readable for uid {}", context.identity.uid),
            path,
        }),
        FileFact::Directory { .. } | FileFact::Other(_) => Ok((
            SHIPPED.into(),
            Some(format!("{} is not a file: the shipped template stands in for it", path.display())),
        )),
    }
}

/// The name is a file name, a directory name and a line of a configuration file.
fn check_name(name: &str) -> Result<(), HookError> {
    let invalid = |problem: &str, remedy: &str| {
        Err(HookError::Invalid {
            place: "worker.name (OMERO_WORKER_NAME)".to_owned(),
            problem: format!("{name:?} {problem}"),
            remedy: remedy.to_owned(),
        })
    };
    let well_formed =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    if name.is_empty() || name.len() > 128 || name.starts_with(['.', '-']) || !name.chars().all(well_formed) {
        return invalid(
            "cannot name a node",
            "use letters, digits, '.', '-' and '_', the same name as in the master's omero.server.nodedescriptors",
        );
    }
    if matches!(name, "internal" | "master") {
        return invalid("is taken by a file of OMERO's own in etc/", "choose another name, as biomeroworker");
    }
    Ok(())
}

/// What the endpoint lines are made of.
struct Node {
    name: String,
    address: String,
    bind: Option<String>,
    port: Option<u16>,
}

impl Node {
    fn of(context: &Context<'_>) -> Result<Self, HookError> {
        let worker = &context.settings.worker;
        let address = match &worker.address {
            Some(address) => host::checked("worker.address", address)?,
            None => context.facts.address(&worker.name).text(&worker.name),
        };
        let bind = worker.bind.as_deref().map(|bind| host::checked("worker.bind", bind)).transpose()?;
        let port = if is_external(context) { worker.port.or(Some(EXTERNAL_PORT)) } else { worker.port };
        if bind.is_some() && port.is_none() {
            return Err(HookError::Missing {
                what: "worker.port".to_owned(),
                remedy: "with worker.bind the master must know the port: set worker.port, as 4062".to_owned(),
            });
        }
        Ok(Self { name: worker.name.clone(), address, bind, port })
    }

    /// The host that the node listens on.
    fn listens_on(&self) -> &str {
        self.bind.as_deref().unwrap_or(&self.address)
    }

    fn port_option(&self) -> String {
        self.port.map_or(String::new(), |port| format!(" -p {port}"))
    }

    /// The line that announces another address than the one listened on.
    fn published(&self) -> String {
        match self.bind {
            None => String::new(),
            Some(_) => {
                format!(
                    "IceGrid.Node.PublishedEndpoints=tcp -h {}{}\n",
                    host::in_endpoint(&self.address),
                    self.port_option()
                )
            }
        }
    }

    fn external_file(&self) -> Vec<u8> {
        let Self { name, .. } = self;
        format!(
            "# OMERO worker configuration for external worker\n\
             {ENDPOINTS}tcp -h {}{}\n\
             {}IceGrid.Node.Name={name}\n\
             IceGrid.Node.Data=var/{name}\n\
             IceGrid.Node.Output=var/log\n\
             \n\
             Ice.StdOut=var/log/{name}.out\n\
             Ice.StdErr=var/log/{name}.err\n",
            host::in_endpoint(self.listens_on()),
            self.port_option(),
            self.published(),
        )
        .into_bytes()
    }

    fn internal_file(&self, template: &[u8], path: &Path) -> Result<Vec<u8>, HookError> {
        let values: [Value<'_>; 2] =
            [("omero.worker.host", self.listens_on().to_owned()), ("worker.name", self.name.clone())];
        let rendered = template::render(template, &values);
        template::complete(&rendered, path, &values)?;
        if self.port.is_none() {
            return Ok(rendered);
        }
        self.with_port(&rendered).ok_or_else(|| HookError::Invalid {
            place: path.display().to_string(),
            problem: format!("has no line {ENDPOINTS}… to put worker.port in"),
            remedy: format!(
                "add {ENDPOINTS}tcp -h @omero.worker.host@, or unset worker.port and worker.bind"
            ),
        })
    }

    /// Adds the port to the last line of endpoints, which is the one that counts, and announces after it.
    fn with_port(&self, rendered: &[u8]) -> Option<Vec<u8>> {
        let lines: Vec<&[u8]> = rendered.split_inclusive(|&byte| byte == b'\n').collect();
        let at = lines.iter().rposition(|line| line.starts_with(ENDPOINTS.as_bytes()))?;
        let mut content = Vec::with_capacity(rendered.len() + 64);
        for (index, line) in lines.into_iter().enumerate() {
            if index != at {
                content.extend_from_slice(line);
                continue;
            }
            let line = template::effective(line).trim_ascii_end();
            content.extend_from_slice(line);
            if !line.windows(4).any(|window| window == b" -p ") {
                content.extend_from_slice(self.port_option().as_bytes());
            }
            content.push(b'\n');
            content.extend_from_slice(self.published().as_bytes());
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests;
