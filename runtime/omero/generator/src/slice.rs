//! The table as Slice, for other implementations of Ice: tests have `slice2py` of Ice 3.7 make a server of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::check::Checked;
use crate::schema::{Basic, Definition, Kind, Member, Name, Type};

/// Words that Slice needs a backslash before.
const RESERVED: [&str; 33] = [
    "bool",
    "byte",
    "class",
    "const",
    "dictionary",
    "double",
    "enum",
    "exception",
    "extends",
    "false",
    "float",
    "idempotent",
    "implements",
    "int",
    "interface",
    "local",
    "LocalObject",
    "long",
    "module",
    "Object",
    "optional",
    "out",
    "sequence",
    "short",
    "string",
    "struct",
    "tag",
    "throws",
    "true",
    "Value",
    "void",
    "global",
    "custom",
];

/// Prints it. What Glacier2 defines is included.
#[must_use]
pub fn print(checked: &Checked) -> String {
    let mut printer =
        Printer { checked, text: String::new(), aliases: BTreeMap::new(), done: BTreeSet::new() };
    printer.text.push_str("#pragma once\n#include <Glacier2/Session.ice>\n");
    let ours = |name: &Name| name.modules.first().is_some_and(|module| module == "omero");
    for definition in checked.definitions() {
        match &definition.kind {
            Kind::Enumeration(enumerators) => {
                let all: Vec<String> = enumerators.iter().map(|name| escaped(name)).collect();
                printer.put(
                    &definition.name,
                    &format!("enum {} {{ {} }}", definition.name.simple, all.join(", ")),
                );
            }
            Kind::Class(..) => printer.put(&definition.name, &format!("class {};", definition.name.simple)),
            _ => {}
        }
    }
    let services = || checked.services().iter().filter(|service| ours(&service.name));
    for service in services() {
        printer.put(&service.name, &format!("interface {};", service.name.simple));
    }
    for definition in checked.definitions() {
        printer.definition(definition);
    }
    let mut left: Vec<_> = services().collect();
    let mut printed: BTreeSet<&Name> = BTreeSet::new();
    while !left.is_empty() {
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|service| {
            service.base.as_ref().is_none_or(|base| !ours(base) || printed.contains(base))
        });
        for service in &now {
            printer.service(service);
            printed.insert(&service.name);
        }
        left = later;
    }
    printer.text
}

struct Printer<'c> {
    checked: &'c Checked,
    text: String,
    /// Slice has no sequences and dictionaries without names.
    aliases: BTreeMap<&'c Type, String>,
    done: BTreeSet<&'c Name>,
}

impl<'c> Printer<'c> {
    fn put(&mut self, name: &Name, body: &str) {
        for module in &name.modules {
            let _ = write!(self.text, "module {module} {{ ");
        }
        self.text.push_str(body);
        for _ in &name.modules {
            self.text.push_str(" }");
        }
        self.text.push('\n');
    }

    fn definition(&mut self, definition: &'c Definition) {
        if !self.done.insert(&definition.name) {
            return;
        }
        let keyword = match &definition.kind {
            Kind::Structure(_) => "struct",
            Kind::Class(..) => "class",
            Kind::Exception(..) => "exception",
            Kind::Enumeration(_) | Kind::Extern(..) => return,
        };
        let base = definition.base().and_then(|base| self.checked.definition(base));
        let extends = definition.base().map(|base| format!(" extends {base}")).unwrap_or_default();
        if let Some(base) = base {
            self.definition(base);
        }
        let members = self.members(definition.members());
        let body = format!("{keyword} {}{extends} {{ {members}}}", definition.name.simple);
        self.put(&definition.name, &body);
    }

    fn members(&mut self, members: &'c [Member]) -> String {
        members
            .iter()
            .map(|member| format!("{} {}; ", self.type_name(&member.of), escaped(&member.name)))
            .collect()
    }

    fn service(&mut self, service: &'c crate::schema::Service) {
        let extends = service.base.as_ref().map(|base| format!(" extends {base}")).unwrap_or_default();
        let mut body = format!("interface {}{extends} {{ ", service.name.simple);
        for operation in &service.operations {
            let parameters: Vec<String> = operation
                .parameters
                .iter()
                .map(|parameter| format!("{} {}", self.type_name(&parameter.of), escaped(&parameter.name)))
                .collect();
            let result = operation.result.as_ref().map_or_else(|| "void".to_owned(), |of| self.type_name(of));
            let idempotent = if operation.idempotent { "idempotent " } else { "" };
            let _ =
                write!(body, "{idempotent}{result} {}({})", escaped(&operation.name), parameters.join(", "));
            let raises: Vec<String> = operation.raises.iter().map(Name::type_id).collect();
            if !raises.is_empty() {
                let _ = write!(body, " throws {}", raises.join(", "));
            }
            body.push_str("; ");
        }
        body.push('}');
        self.put(&service.name, &body);
    }

    /// How a type is written, once what it needs stands before it.
    fn type_name(&mut self, of: &'c Type) -> String {
        match of {
            Type::Basic(basic) => basic_name(*basic).to_owned(),
            Type::Named(name) => {
                // Classes are declared; a structure has to be complete.
                if let Some(definition) = self.checked.definition(name)
                    && matches!(definition.kind, Kind::Structure(_))
                {
                    self.definition(definition);
                }
                name.type_id()
            }
            Type::Proxy(name) if self.checked.service(name).is_some() => format!("{}*", name.type_id()),
            Type::Proxy(_) => "Object*".to_owned(),
            Type::Sequence(element) => {
                let element = self.type_name(element);
                self.alias(of, &format!("sequence<{element}>"))
            }
            Type::Dictionary(key, value) => {
                let (key, value) = (self.type_name(key), self.type_name(value));
                self.alias(of, &format!("dictionary<{key}, {value}>"))
            }
        }
    }

    fn alias(&mut self, of: &'c Type, written: &str) -> String {
        if let Some(known) = self.aliases.get(of) {
            return known.clone();
        }
        let name = Name { modules: vec!["table".to_owned()], simple: format!("Alias{}", self.aliases.len()) };
        self.put(&name, &format!("{written} {};", name.simple));
        self.aliases.insert(of, name.type_id());
        name.type_id()
    }
}

fn basic_name(basic: Basic) -> &'static str {
    Basic::ALL.iter().find(|(_, known)| *known == basic).map_or("int", |(name, _)| name)
}

fn escaped(name: &str) -> String {
    // Case does not count.
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        format!("\\{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_definition_needs_stands_before_it() {
        let table = "class A < B: \
                     list [S], class int\nclass B: map {string: [A]}\nstruct S: x int\nservice I < J\nservice J\n\
                     op I.go idempotent (s S, other K*) -> [A] throws E\nexception E";
        let slice = super::print(&crate::read(&[("a table", table)]).unwrap());
        let at = |text: &str| slice.find(text).unwrap_or_else(|| panic!("{text} is not in:\n{slice}"));
        assert!(at("class B {") < at("class A extends ::omero::B {"));
        assert!(at("struct S {") < at("sequence<::omero::S>"));
        assert!(at("sequence<::omero::S>") < at("class A extends"));
        assert!(at("interface J {") < at("interface I extends ::omero::J {"));
        assert!(slice.contains("int \\class;"));
        assert!(
            slice.contains("idempotent ::table::Alias0 go(::omero::S s, Object* other) throws ::omero::E;"),
            "{slice}"
        );
        assert_eq!(slice.matches("sequence<::omero::A>").count(), 1);
    }
}
