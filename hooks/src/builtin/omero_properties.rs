//! `omero-properties`: the settings' properties in OMERO's `etc/grid/config.xml`, as `omero config set` leaves them.
//!
//! The file holds profiles, and in `__ACTIVE__` a copy of the profile in use, which is the one OMERO's servers read.
//! A property goes to the profile in use, or to the one that `OMERO_CONFIG` names; the choice of the profile in use
//! is never changed by that variable, unless the file is new.
//!
//! Equal to what OMERO's tools leave, with two deliberate differences: the comment carries no date, since a plan is
//! a function of its inputs; and a file in which every property already has its value is not touched at all, where
//! OMERO would write it again. Whatever comment such a file has, it keeps.

use std::collections::BTreeMap;
use std::path::Path;

use biomero_config::Environment;

use self::document::Element;
use crate::context::{Context, FileFact, Need};
use crate::digest::sha256;
use crate::effect::{Content, Effect, FileEffect, Lock, Owner};
use crate::hook::{Hook, HookError};

mod document;

/// See the module.
#[derive(Debug)]
pub struct OmeroPropertiesHook;

const ACTIVE: &str = "__ACTIVE__";
const PROFILE: &str = "omero.config.profile";
const VERSION: &str = "omero.config.version";
const CURRENT_VERSION: &str = "5.1.0";
const FALLBACK_PROFILE: &str = "default";
const COMMENT: &str = "\n\n\tWritten by init and by `omero config`: change properties there, for\n\
    \tother changes are lost. IceGrid applications may include this file.\n\n";

impl Hook for OmeroPropertiesHook {
    fn name(&self) -> &'static str {
        "omero-properties"
    }

    fn summary(&self) -> &'static str {
        "sets OMERO's properties in etc/grid/config.xml, as `omero config set` does"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        vec![Need::File(context.settings.omero.directory.join("etc/grid/config.xml"))]
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let path = context.settings.omero.directory.join("etc/grid/config.xml");
        let wanted = wanted(context)?;
        let (before, mode) = match context.facts.file(&path) {
            FileFact::Absent => (None, None),
            FileFact::File { content, mode, .. } => (Some(content.as_slice()), Some(*mode)),
            FileFact::Unreadable(reason) => {
                return Err(HookError::Input {
                    reason: reason.clone(),
                    remedy: format!("make it readable for uid {}", context.identity.uid),
                    path,
                });
            }
            FileFact::Directory { .. } | FileFact::Other(_) => {
                return Err(HookError::Invalid {
                    place: path.display().to_string(),
                    problem: "is not a regular file".to_owned(),
                    remedy: "mount a file there, or nothing".to_owned(),
                });
            }
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut configuration = Configuration::read(&path, before.unwrap_or_default(), context.environment)?;
        let as_it_was = configuration.clone();
        configuration.upgrade();
        for (name, value) in &wanted {
            configuration.set(name, value);
        }
        configuration.activate();
        let content = match before {
            Some(before) if configuration == as_it_was => before.to_vec(),
            _ => configuration.text().into_bytes(),
        };
        let mut effects = Vec::new();
        effects.extend(configuration.notice(&path).map(Effect::Notice));
        let secret = configuration.holds_secret();
        effects.push(Effect::File(FileEffect {
            lock: Some(Lock { path: path.with_extension("xml.lock"), based_on: before.map(sha256) }),
            path,
            content: if secret { Content::secret(content) } else { Content::Public(content) },
            mode: mode.unwrap_or(if secret { 0o600 } else { 0o644 }),
            owner: Owner::ServiceUser,
        }));
        Ok(effects)
    }
}

/// The properties of the settings, each checked as `omero config set` checks it.
fn wanted<'a>(context: &'a Context<'_>) -> Result<Vec<(&'a str, &'a str)>, HookError> {
    let mut wanted = Vec::new();
    for (name, property) in &context.settings.properties {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(HookError::Invalid {
                place: format!("property {name:?}"),
                problem: "is not a legal name".to_owned(),
                remedy: "use letters, digits, '.', '_' and '-': in a CONFIG_* variable _ stands for . and __ for _"
                    .to_owned(),
            });
        }
        let value = property.reveal();
        if !document::holds_only_xml_characters(value) {
            return Err(HookError::Invalid {
                place: format!("property {name}"),
                problem: "has a control character in its value, which no XML file can hold".to_owned(),
                remedy: "take it out of the CONFIG_* variable or file that sets it".to_owned(),
            });
        }
        wanted.push((name.as_str(), value.as_str()));
    }
    Ok(wanted)
}

/// The properties that OMERO's tools would read from a `config.xml`.
pub(super) fn active_properties(
    path: &Path,
    content: &[u8],
    environment: &Environment,
) -> Result<BTreeMap<String, String>, HookError> {
    let configuration = Configuration::read(path, content, environment)?;
    let profile =
        configuration.profiles.iter().find(|profile| profile.get("id") == Some(&configuration.target));
    let properties = profile.map_or(&[][..], |profile| &profile.children).iter();
    Ok(properties
        .filter(|child| child.name == "property")
        .filter_map(|child| {
            Some((child.get("name")?.to_owned(), child.get("value").unwrap_or_default().to_owned()))
        })
        .collect())
}

/// The profiles of a `config.xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    /// `__ACTIVE__`, when there is one.
    active: Option<Element>,
    /// The others, in their order.
    profiles: Vec<Element>,
    /// The profile in use.
    stored: String,
    /// The profile that is read and set.
    target: String,
}

impl Configuration {
    fn read(path: &Path, content: &[u8], environment: &Environment) -> Result<Self, HookError> {
        let named = environment.get("OMERO_CONFIG").filter(|profile| !profile.is_empty());
        if named == Some(ACTIVE) || !named.is_none_or(document::holds_only_xml_characters) {
            return Err(HookError::Invalid {
                place: "OMERO_CONFIG".to_owned(),
                problem: format!("{:?} cannot name a profile", named.unwrap_or_default()),
                remedy: format!("unset it, or name a profile, as {FALLBACK_PROFILE}"),
            });
        }
        // An empty file is what OMERO's tools leave when they are stopped at the wrong moment.
        if content.is_empty() {
            let stored = named.unwrap_or(FALLBACK_PROFILE).to_owned();
            return Ok(Self { active: None, profiles: Vec::new(), target: stored.clone(), stored });
        }
        let (active, profiles): (Vec<_>, Vec<_>) =
            document::read(path, content)?.into_iter().partition(|profile| profile.get("id") == Some(ACTIVE));
        let active = active.into_iter().next();
        let stored = active
            .as_ref()
            .and_then(|active| {
                active
                    .children
                    .iter()
                    .rev()
                    .find(|child| child.name == "property" && child.get("name") == Some(PROFILE))
            })
            .map_or(FALLBACK_PROFILE, |property| property.get("value").unwrap_or_default())
            .to_owned();
        Ok(Self { active, profiles, target: named.map_or_else(|| stored.clone(), str::to_owned), stored })
    }

    /// What OMERO's tools change in profiles of old versions whenever they open them.
    fn upgrade(&mut self) {
        for profile in &mut self.profiles {
            let version = version(profile).map(str::to_owned);
            let properties = &mut profile.children;
            match version.as_deref() {
                Some("4.2.0") => {
                    let of_ldap = |property: &&mut Element| {
                        property.get("name").is_some_and(|name| name.starts_with("omero.ldap"))
                    };
                    for property in properties.iter_mut().filter(of_ldap) {
                        let value = property.get("value").unwrap_or_default();
                        let value = value.replace("${omero.dollar}", "").replace("${", "@{");
                        property.set("value", &value);
                    }
                }
                Some("4.2.1") if !properties.iter().any(is_top_links) => {
                    for property in
                        properties.iter_mut().filter(|property| property.get("name") == Some(VERSION))
                    {
                        property.set("value", CURRENT_VERSION);
                    }
                }
                _ => {}
            }
        }
    }

    /// OMERO.web's links of that time get new ones put before them by OMERO; a worker leaves that to OMERO.
    fn notice(&self, path: &Path) -> Option<String> {
        let old = self
            .profiles
            .iter()
            .find(|profile| version(profile) == Some("4.2.1") && profile.children.iter().any(is_top_links))?;
        Some(format!(
            "{}: profile {:?} is of OMERO 4.2.1 and has omero.web.ui.top_links; the next `omero config` converts it",
            path.display(),
            old.get("id").unwrap_or_default()
        ))
    }

    fn set(&mut self, name: &str, value: &str) {
        let at = self.profiles.iter().position(|profile| profile.get("id") == Some(&self.target));
        let at = at.unwrap_or_else(|| {
            self.profiles.push(empty_profile(&self.target));
            self.profiles.len() - 1
        });
        let properties = &mut self.profiles[at].children;
        let existing =
            properties.iter_mut().find(|child| child.name == "property" && child.get("name") == Some(name));
        match existing {
            Some(property) => property.set("value", value),
            None => properties.push(Element::property(name, value)),
        }
    }

    /// Makes `__ACTIVE__` a copy of the profile in use, which comes into being where it does not exist.
    fn activate(&mut self) {
        let mut active = Element::new("properties", &[("id", ACTIVE)]);
        active.children.push(Element::property(PROFILE, &self.stored));
        active.children.push(Element::property(VERSION, CURRENT_VERSION));
        match self.profiles.iter().find(|profile| profile.get("id") == Some(&self.stored)) {
            Some(profile) => active.children.extend(
                profile
                    .children
                    .iter()
                    .filter(|child| !matches!(child.get("name"), Some(PROFILE | VERSION)))
                    .map(|child| Element {
                        name: "property".to_owned(),
                        children: Vec::new(),
                        ..child.clone()
                    }),
            ),
            None => self.profiles.insert(0, empty_profile(&self.stored)),
        }
        self.active = Some(active);
    }

    fn text(&self) -> String {
        let mut text = format!("<icegrid><!--{COMMENT}-->");
        for profile in self.active.iter().chain(&self.profiles) {
            profile.write(&mut text);
        }
        text.push_str("<include file=\"templates.xml\" /></icegrid>");
        text
    }

    fn holds_secret(&self) -> bool {
        self.active.iter().chain(&self.profiles).flat_map(|profile| &profile.children).any(|property| {
            let value = property.get("value").unwrap_or_default();
            let named = property.get("name").is_some_and(biomero_config::names_a_secret);
            (named && !value.is_empty()) || biomero_config::mask_urls(value) != value
        })
    }
}

fn version(profile: &Element) -> Option<&str> {
    profile.children.iter().find(|child| child.get("name") == Some(VERSION))?.get("value")
}

fn is_top_links(property: &Element) -> bool {
    property.get("name") == Some("omero.web.ui.top_links")
}

fn empty_profile(id: &str) -> Element {
    let mut profile = Element::new("properties", &[("id", id)]);
    profile.children.push(Element::property(VERSION, CURRENT_VERSION));
    profile
}

#[cfg(test)]
mod tests;
