//! Types, the exceptions as one enumeration, and the registry.

use std::fmt::Write as _;

use super::names::{camel, modules, owned, path, snake};
use crate::check::Checked;
use crate::schema::{Definition, Kind, Member, Name};

pub(super) fn print(checked: &Checked, definition: &Definition, text: &mut String) {
    let name = &definition.name.simple;
    match &definition.kind {
        Kind::Enumeration(enumerators) => {
            let _ = write!(text, "::biomero_ice::enumerations! {{ pub enum {name} {{ ");
            for (number, enumerator) in enumerators.iter().enumerate() {
                let _ = write!(text, "{} = {number}, ", camel(enumerator));
            }
            text.push_str("} }\n");
        }
        Kind::Structure(members) => {
            let order = if checked.keys().contains(&definition.name) {
                "#[derive(Eq, PartialOrd, Ord)] "
            } else {
                ""
            };
            let members = print_members(checked, members);
            let _ =
                writeln!(text, "::biomero_ice::structures! {{ {order}pub struct {name} {{ {members}}} }}");
        }
        Kind::Class(base, members) | Kind::Exception(base, members) => {
            let base = base.as_ref().map(|base| base_name(checked, definition, base, text));
            let base = base.map(|base| format!(": {base}")).unwrap_or_default();
            let (id, members) = (definition.name.type_id(), print_members(checked, members));
            let _ = writeln!(
                text,
                "::biomero_ice::sliced! {{ pub struct {name}{base} = \"{id}\" {{ {members}}} }}"
            );
            if matches!(definition.kind, Kind::Class(..)) {
                for base in checked.bases(definition) {
                    let _ =
                        writeln!(text, "impl crate::Extends<{}> for {name} {{}}", path(checked, &base.name));
                }
            }
        }
        Kind::Extern(..) => {}
    }
}

fn print_members(checked: &Checked, members: &[Member]) -> String {
    members
        .iter()
        .map(|member| format!("pub {}: {}, ", snake(&member.name), owned(checked, &member.of)))
        .collect()
}

/// What the base is called in the module of the derived one. The macro wants one word.
fn base_name(checked: &Checked, definition: &Definition, base: &Name, text: &mut String) -> String {
    let is_extern = checked.definition(base).is_some_and(|base| matches!(base.kind, Kind::Extern(..)));
    if modules(base) == modules(&definition.name) && !is_extern {
        return base.simple.clone();
    }
    let module = modules(base).pop().unwrap_or_else(|| "root".to_owned());
    let alias = camel(&module) + &base.simple;
    let import = format!("use {} as {alias};\n", path(checked, base));
    if !text.contains(&import) {
        text.push_str(&import);
    }
    alias
}

/// All exceptions as one enumeration: which one was raised, and what it is a case of.
pub(super) fn print_exceptions(checked: &Checked) -> String {
    let is = |definition: &&Definition| matches!(definition.kind, Kind::Exception(..) | Kind::Extern(..));
    let exceptions = || checked.definitions().iter().filter(is);
    let mut text =
        "#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]\n#[non_exhaustive]\npub enum Exception { "
            .to_owned();
    for exception in exceptions() {
        let _ = write!(text, "{}, ", exception.name.simple);
    }
    text.push_str("}\nimpl Exception {\npub(crate) const ALL: &[(Self, &str, Option<Self>)] = &[\n");
    for exception in exceptions() {
        let base =
            exception.base().map_or_else(|| "None".to_owned(), |base| format!("Some(Self::{})", base.simple));
        let _ =
            writeln!(text, "(Self::{}, \"{}\", {base}),", exception.name.simple, exception.name.type_id());
    }
    text.push_str("];\n}\n");
    text
}

/// What fills a registry.
pub(super) fn print_registry(checked: &Checked) -> String {
    let mut text = "pub(crate) fn register(registry: &mut ::biomero_ice::encoding::Registry) {\n".to_owned();
    for definition in checked.definitions() {
        let path = path(checked, &definition.name);
        match &definition.kind {
            Kind::Class(..) => drop(writeln!(text, "registry.class::<{path}>();")),
            Kind::Exception(..) => drop(writeln!(text, "registry.exception::<{path}>();")),
            Kind::Enumeration(_) | Kind::Structure(_) | Kind::Extern(..) => {}
        }
    }
    text.push_str("}\n");
    text
}
