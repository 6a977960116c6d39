//! The environment as a layer: the variables deployments already set, `CONFIG_*`, and `BIOMERO_INIT_*`.

use std::collections::BTreeSet;

use super::{Key, Layer};
use crate::kind::{Kind, is_property_name};
use crate::nearest::nearest;
use crate::reference::{self, Lookup, SETTINGS, Setting, is_placeholder};
use crate::{Environment, Origin};

/// Names another main file than `/etc/biomero/init.toml`.
pub const MAIN_FILE_VARIABLE: &str = "BIOMERO_INIT_CONFIG";

/// Our own keys begin with it.
const OWN: &str = "BIOMERO_INIT_";

/// OMERO properties begin with it.
const PROPERTY: &str = "CONFIG_";

/// The layer of the environment. `known` holds the keys of the layers below: a variable cannot spell every name
/// (`ssh-keys`), so that one already known in another spelling is that one.
pub(crate) fn of_environment(environment: &Environment, known: &BTreeSet<Key>) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in environment.iter() {
        let printed = name.to_string_lossy();
        let ours = printed.starts_with(OWN) || printed.starts_with(PROPERTY) || is_mapped(&printed);
        if ours && (name.to_str().is_none() || value.to_str().is_none()) {
            let origin = Origin::Variable(printed.into_owned());
            layer.problem(Vec::new(), &origin, "is not UTF-8 text; set it as UTF-8");
        }
    }
    properties(environment, &mut layer);
    deployment_variables(environment, &mut layer);
    own_variables(environment, known, &mut layer);
    layer.settle()
}

fn is_mapped(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.variables.contains(&name))
}

/// Every `CONFIG_*` variable is a property.
fn properties(environment: &Environment, layer: &mut Layer) {
    for (name, value) in environment.utf8() {
        let Some(rest) = name.strip_prefix(PROPERTY) else { continue };
        let origin = Origin::Variable(name.to_owned());
        let property = property_name(rest);
        if !is_property_name(&property) {
            let message = format!(
                "names the OMERO property \"{property}\", which has characters other than letters, digits, \".\", \"_\" \
                 and \"-\"; rename or remove the variable"
            );
            layer.problem(Vec::new(), &origin, &message);
            continue;
        }
        let key: Key = vec!["properties".to_owned(), property];
        if let Some((before, first)) = layer.values.get(&key)
            && before.shown() != value
        {
            let warning = format!(
                "{first} and {origin} both set the OMERO property {} to different values; {origin} is taken; remove one",
                key[1]
            );
            layer.warnings.push(warning);
        }
        if let Lookup::Value(setting) = reference::look_up(&key) {
            layer.set(key, setting, setting.kind.read(value), &origin);
        }
    }
}

/// The name of the OMERO property that `CONFIG_` + `rest` sets.
///
/// The rule of the base image's start-up: a single underscore between two other characters becomes a dot, then two
/// underscores become one. Pairs are looked for from left to right and do not overlap, so that in `a_b_c` the second
/// underscore stays: its left neighbour was used up by the first.
pub fn property_name(rest: &str) -> String {
    let characters: Vec<char> = rest.chars().collect();
    let mut dotted = String::with_capacity(rest.len());
    let mut at = 0;
    while at < characters.len() {
        match characters[at..] {
            [before, '_', after, ..] if before != '_' && after != '_' => {
                dotted.extend([before, '.', after]);
                at += 3;
            }
            _ => {
                dotted.push(characters[at]);
                at += 1;
            }
        }
    }
    dotted.replace("__", "_")
}

/// The variables that deployments of OMERO and BIOMERO already set.
fn deployment_variables(environment: &Environment, layer: &mut Layer) {
    for setting in SETTINGS {
        // `omero.ports.*` follow from the properties, `CONFIG_*` as a whole is read above.
        if setting.kind == Kind::Property || setting.key.starts_with("omero.ports.") {
            continue;
        }
        for variable in setting.variables {
            let Some(value) = environment.get(variable).filter(|value| !value.trim().is_empty()) else {
                continue;
            };
            let key: Key = setting.key.split('.').map(str::to_owned).collect();
            layer.set(key, setting, setting.kind.read(value), &Origin::Variable((*variable).to_owned()));
            break;
        }
    }
    if environment.get("OMERO_TEMPDIR").is_some() {
        layer.warnings.push(match environment.get("OMERO_TMPDIR") {
            Some(_) => {
                "the variable OMERO_TEMPDIR is ignored because OMERO_TMPDIR is set; remove it".to_owned()
            }
            None => "the variable OMERO_TEMPDIR is the old name of OMERO_TMPDIR; rename it".to_owned(),
        });
    }
}

/// `BIOMERO_INIT_WORKER__PORT=4063`.
fn own_variables(environment: &Environment, known: &BTreeSet<Key>, layer: &mut Layer) {
    for (name, value) in environment.utf8() {
        let Some(rest) = name.strip_prefix(OWN) else { continue };
        if name == MAIN_FILE_VARIABLE || value.is_empty() {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let written: Vec<&str> = rest.split("__").collect();
        match SETTINGS.iter().find_map(|setting| Some((setting, key_of(&written, setting, known)?))) {
            Some((setting, _)) if setting.kind == Kind::Property => {
                layer.problem(
                    Vec::new(),
                    &origin,
                    "properties are set by CONFIG_* variables: CONFIG_omero_db_host=HOST",
                );
            }
            Some((setting, key)) => layer.set(key, setting, setting.kind.read(value), &origin),
            None => {
                let names: Vec<String> =
                    SETTINGS.iter().filter_map(|setting| variable_of(setting, &written)).collect();
                let candidates = names.iter().map(String::as_str).chain([MAIN_FILE_VARIABLE]);
                let hint = nearest(name, candidates).map_or_else(
                    || "docs/settings.md lists the keys".to_owned(),
                    |candidate| format!("did you mean {candidate}?"),
                );
                layer.problem(Vec::new(), &origin, &format!("unknown variable; {hint}"));
            }
        }
    }
}

/// The key that a variable's segments spell, if it is this setting's.
fn key_of(written: &[&str], setting: &Setting, known: &BTreeSet<Key>) -> Option<Key> {
    let segments: Vec<&str> = setting.key.split('.').collect();
    if segments.len() != written.len() {
        return None;
    }
    let mut key = Key::new();
    for (word, segment) in written.iter().zip(segments) {
        if !is_placeholder(segment) {
            if !word.eq_ignore_ascii_case(segment) {
                return None;
            }
            key.push(segment.to_owned());
        } else if word.is_empty() || segment == "FILE" || is_fixed_below(&key, word) {
            return None;
        } else if segment == "NAME" {
            key.push(name_of(word, &key, known));
        } else {
            key.push((*word).to_owned());
        }
    }
    Some(key)
}

/// `HOOKS__DEFAULT__…` is a section of the table, never a hook called "default".
fn is_fixed_below(section: &Key, word: &str) -> bool {
    reference::names_below(section).0.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// The name of a hook or service that a variable means: one the layers below know in another spelling, or else the
/// word in small letters with `-` for `_`.
fn name_of(word: &str, section: &Key, known: &BTreeSet<Key>) -> String {
    let spelt = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    known
        .iter()
        .filter(|key| key.len() > section.len() && key.starts_with(section))
        .map(|key| &key[section.len()])
        .find(|name| spelt(name) == spelt(word))
        .cloned()
        .unwrap_or_else(|| spelt(word))
}

/// The variable of a setting; names are taken from what was written, so that the nearest keeps them.
fn variable_of(setting: &Setting, written: &[&str]) -> Option<String> {
    if setting.kind == Kind::Property || setting.key.contains("FILE") {
        return None;
    }
    let segments: Vec<String> = setting
        .key
        .split('.')
        .enumerate()
        .map(|(at, segment)| match written.get(at) {
            Some(word) if is_placeholder(segment) => (*word).to_owned(),
            _ => segment.to_ascii_uppercase(),
        })
        .collect();
    Some(format!("{OWN}{}", segments.join("__")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_named_by_the_rule_of_the_base_image() {
        for (variable, property) in [
            ("omero_master_host", "omero.master.host"),
            ("omero_web_public__enabled", "omero.web.public_enabled"),
            ("a_b_c", "a.b_c"),
            ("a_b_c_d", "a.b_c.d"),
            ("ab_c_de", "ab.c_de"),
            ("a__b", "a_b"),
            ("a___b", "a__b"),
            ("a____b", "a__b"),
            ("_a_b_", "_a.b_"),
            ("__", "_"),
            ("", ""),
            ("omero_jvmcfg_percent_blitz", "omero.jvmcfg.percent.blitz"),
            ("ä_ö", "ä.ö"),
        ] {
            assert_eq!(property_name(variable), property, "{variable}");
        }
    }
}
