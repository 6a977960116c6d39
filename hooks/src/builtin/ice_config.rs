//! `ice-config`: what `omero admin rewrite` makes of `etc/templates`, as far as a worker needs it, so that
//! icegridnode can be started without going through Python.
//!
//! - `ice.config` gets the master's *address*, as the shell scripts write it. On its first start `omero node` puts
//!   the *name* there instead, only because it renders everything once more; on later starts it leaves the address.
//! - every `*.cfg` gets the master's *name*, as `omero admin rewrite` does it. `worker.cfg` is left out: it belongs to
//!   `icegrid-node`, and a copy with its own tokens left in would be of no use to anyone.
//! - `internal.cfg` tells icegridnode where the registry is. Images exist whose template says 127.0.0.1, which on a
//!   worker is never true: the master's name goes there, with a notice. An image without the template gets ours.
//! - `etc/grid/*.xml` is left out: the descriptors are deployed by the master, and JVM settings serve its servers.
//!
//! The properties that the substitutions follow are those of `config.xml`, as OMERO reads them; then the settings.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::omero_properties::active_properties;
use super::template::{self, Value};
use super::{host, secrecy};
use crate::context::{Context, FileFact, Need, TreeEntry};
use crate::effect::{Effect, FileEffect, Owner};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct IceConfigHook;

/// Used where the image has no `etc/templates/internal.cfg`.
const SHIPPED_INTERNAL: &str = include_str!("../../../config/templates/internal.cfg");
const MASTER_HOST: &str = "omero.master.host";
const LOCATOR: &str = "Ice.Default.Locator";

impl Hook for IceConfigHook {
    fn name(&self) -> &'static str {
        "ice-config"
    }

    fn summary(&self) -> &'static str {
        "fills in etc/ice.config, etc/internal.cfg and OMERO's other templates that a worker needs"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let omero = &context.settings.omero.directory;
        let mut needs =
            vec![Need::Tree(omero.join("etc/templates")), Need::File(omero.join("etc/grid/config.xml"))];
        if let Some(host) =
            configured_master(context).and_then(|host| host::checked("master.host", host).ok())
        {
            needs.push(Need::Address(host));
        }
        needs
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let omero = &context.settings.omero.directory;
        let templates = omero.join("etc/templates");
        let entries = context.facts.tree(&templates).unwrap_or_default();
        let mut values = Values::of(context)?;
        let mut effects = Vec::new();

        let ice_config =
            text(context, &templates, find(entries, "ice.config"))?.ok_or_else(|| HookError::Input {
                path: templates.join("ice.config"),
                reason: "there is no such template".to_owned(),
                remedy:
                    "mount or copy OMERO's etc/templates/ice.config there, or set omero.directory (OMERODIR)"
                        .to_owned(),
            })?;
        let by_name = values.all.clone();
        values.set(MASTER_HOST, values.master_address.clone());
        effects.push(rendered(omero, &templates, "ice.config", ice_config, &values.all)?);

        let names = entries.iter().filter_map(|entry| entry.path.to_str()).filter(|path| {
            !path.contains('/') && path.ends_with(".cfg") && !matches!(*path, "worker.cfg" | "internal.cfg")
        });
        for name in names {
            if let Some(template) = text(context, &templates, find(entries, name))? {
                effects.push(rendered(omero, &templates, name, template, &by_name)?);
            }
        }
        let internal = text(context, &templates, find(entries, "internal.cfg"))?;
        let (internal, notice) =
            reachable(internal.unwrap_or(SHIPPED_INTERNAL.as_bytes()), &by_name, &values.master);
        effects.extend(
            notice.map(|notice| {
                Effect::Notice(format!("{}: {notice}", templates.join("internal.cfg").display()))
            }),
        );
        effects.push(rendered(omero, &templates, "internal.cfg", &internal, &by_name)?);
        Ok(effects)
    }
}

/// The master as the settings name it, before `config.xml` is known.
fn configured_master<'a>(context: &'a Context<'_>) -> Option<&'a str> {
    let settings = context.settings;
    let property = |name: &str| settings.properties.get(name).map(|property| property.reveal().as_str());
    [settings.master.host.as_deref(), property(MASTER_HOST), property("Ice.Default.Host")]
        .into_iter()
        .flatten()
        .find(|host| !host.is_empty())
}

/// What the tokens stand for.
struct Values {
    all: Vec<Value<'static>>,
    master: String,
    master_address: String,
}

impl Values {
    fn of(context: &Context<'_>) -> Result<Self, HookError> {
        let config = context.settings.omero.directory.join("etc/grid/config.xml");
        let properties = match context.facts.file(&config) {
            FileFact::File { content, .. } => active_properties(&config, content, context.environment)?,
            _ => Default::default(),
        };
        let property =
            |name: &str| properties.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let master = configured_master(context)
            .or_else(|| property(MASTER_HOST))
            .or_else(|| property("Ice.Default.Host"))
            .ok_or_else(|| HookError::Missing {
                what: "master.host".to_owned(),
                remedy: "set CONFIG_omero_master_host to the OMERO server's name, or host in [master]"
                    .to_owned(),
            })?;
        let master = host::checked("master.host (CONFIG_omero_master_host)", master)?;
        // A master that only config.xml names was not resolved: its name is what OMERO itself would write.
        let master_address = match configured_master(context) {
            Some(_) => context.facts.address(&master).text(&master),
            None => master.clone(),
        };

        let ports = &context.settings.omero.ports;
        let port = |name: &str, setting: u16| -> Result<String, HookError> {
            let Some(value) = property(name) else { return Ok(setting.to_string()) };
            digits(name, value)
        };
        let prefix = property("omero.ports.prefix").unwrap_or(&ports.prefix);
        let prefix = if prefix.is_empty() { String::new() } else { digits("omero.ports.prefix", prefix)? };
        let module = property("omero.tables.module").unwrap_or("runTables");
        let mut all = vec![
            ("omero.ports.prefix", prefix),
            ("omero.ports.ssl", port("omero.ports.ssl", ports.ssl)?),
            ("omero.ports.tcp", port("omero.ports.tcp", ports.tcp)?),
            ("omero.ports.wss", port("omero.ports.wss", ports.wss)?),
            ("omero.ports.ws", port("omero.ports.ws", ports.ws)?),
            ("omero.ports.registry", port("omero.ports.registry", ports.registry)?),
            (MASTER_HOST, master.clone()),
            ("omero.tables.module", word("omero.tables.module", module)?),
        ];
        let transports = property("omero.client.icetransports").unwrap_or("ssl,tcp");
        all.push(("omero.client.endpoints", endpoints(transports, &all)?));
        Ok(Self { all, master, master_address })
    }

    fn set(&mut self, token: &str, value: String) {
        if let Some(entry) = self.all.iter_mut().find(|(name, _)| *name == token) {
            entry.1 = value;
        }
    }
}

/// `ssl -p 4064:tcp -p 4063`, for the transports in their order.
fn endpoints(transports: &str, values: &[Value<'_>]) -> Result<String, HookError> {
    let value = |token: &str| values.iter().find(|(name, _)| *name == token).map(|(_, value)| value.as_str());
    let mut endpoints = Vec::new();
    for transport in transports.split(',') {
        let port = value(&format!("omero.ports.{transport}"))
            .filter(|_| matches!(transport, "ssl" | "tcp" | "wss" | "ws"))
            .ok_or_else(|| HookError::Invalid {
                place: "omero.client.icetransports".to_owned(),
                problem: format!("{transport:?} is not a transport"),
                remedy: "write one or more of ssl, tcp, wss and ws, separated by commas".to_owned(),
            })?;
        endpoints.push(format!("{transport} -p {}{port}", value("omero.ports.prefix").unwrap_or_default()));
    }
    Ok(endpoints.join(":"))
}

fn digits(name: &str, value: &str) -> Result<String, HookError> {
    if value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(value.to_owned());
    }
    Err(HookError::Invalid {
        place: name.to_owned(),
        problem: format!("{value:?} is not a port"),
        remedy: "write digits only, as 4064 (or 1 as a prefix that makes it 14064)".to_owned(),
    })
}

fn word(name: &str, value: &str) -> Result<String, HookError> {
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Ok(value.to_owned());
    }
    Err(HookError::Invalid {
        place: name.to_owned(),
        problem: format!("{value:?} is not the name of a module"),
        remedy: "write letters, digits, '.', '_' and '-' only".to_owned(),
    })
}

fn find<'a>(entries: &'a [TreeEntry], name: &str) -> Option<&'a TreeEntry> {
    entries.iter().find(|entry| entry.path == Path::new(name))
}

fn text<'a>(
    context: &Context<'_>,
    templates: &Path,
    entry: Option<&'a TreeEntry>,
) -> Result<Option<&'a [u8]>, HookError> {
    match entry.map(|entry| (&entry.fact, &entry.path)) {
        Some((FileFact::File { content, .. }, _)) => Ok(Some(content)),
        Some((FileFact::Unreadable(reason), path)) => Err(HookError::Input {
            path: templates.join(path),
            reason: reason.clone(),
            remedy: format!("make it readable for uid {}", context.identity.uid),
        }),
        _ => Ok(None),
    }
}

fn rendered(
    omero: &Path,
    templates: &Path,
    name: &str,
    template: &[u8],
    values: &[Value<'_>],
) -> Result<Effect, HookError> {
    let content = template::render(template, values);
    template::complete(&content, &templates.join(name), values)?;
    let path: PathBuf = omero.join("etc").join(name);
    let content = secrecy::of_properties(content);
    Ok(Effect::File(FileEffect { path, content, mode: 0o644, owner: Owner::ServiceUser, lock: None }))
}

/// A template of `internal.cfg` whose locator a worker can reach, and what had to be changed for it.
fn reachable(template: &[u8], values: &[Value<'_>], master: &str) -> (Vec<u8>, Option<String>) {
    let lines: Vec<&[u8]> = template.split_inclusive(|&byte| byte == b'\n').collect();
    let is_locator = |line: &&[u8]| {
        template::effective(line)
            .trim_ascii_start()
            .strip_prefix(LOCATOR.as_bytes())
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    let Some(at) = lines.iter().rposition(is_locator) else {
        return (
            template.to_vec(),
            Some(format!("has no {LOCATOR}: unless another file has it, icegridnode cannot find the master")),
        );
    };
    let filled = template::render(lines[at], values);
    let filled = String::from_utf8_lossy(&filled).into_owned();
    let Some(option) = host_option(&filled) else { return (template.to_vec(), None) };
    let stale = filled[option.clone()].trim_matches('"').to_owned();
    if !host::is_loopback(&stale) || host::is_loopback(master) {
        return (template.to_vec(), None);
    }
    let mut corrected = filled;
    corrected.replace_range(option, &host::in_endpoint(master));
    let content = [lines[..at].concat(), corrected.into_bytes(), lines[at + 1..].concat()].concat();
    (
        content,
        Some(format!(
            "{LOCATOR} points at {stale}, where a worker has no registry: {master} is written instead"
        )),
    )
}

/// Where the word after `-h` is.
fn host_option(line: &str) -> Option<Range<usize>> {
    let after = line.find(" -h ")? + 4;
    let start = after + line[after..].find(|character: char| !character.is_ascii_whitespace())?;
    let length = line[start..].find(|character: char| character.is_ascii_whitespace() || character == ':');
    let quoted = line[start..].strip_prefix('"').and_then(|rest| rest.find('"')).map(|end| end + 2);
    Some(start..quoted.or(length).map_or(line.len(), |length| start + length))
}

#[cfg(test)]
mod tests;
