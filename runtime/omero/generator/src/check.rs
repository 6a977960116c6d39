//! What has to hold before something is printed: every name means something, bases end, and sizes are what we reckon with.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::schema::{Basic, Definition, Kind, Member, Name, Schema, Service, Type};

/// How many bases may stand above each other. OMERO's deepest class has three.
const BASES: usize = 8;
/// How many definitions, members of one and parameters of an operation there may be.
const DEFINITIONS: usize = 2000;
const MEMBERS: usize = 100;
/// As many as `biomero-ice` reads and writes as one value.
const PARAMETERS: usize = 8;

/// What methods that are printed have parameters of their own called.
const TAKEN: [&str; 2] = ["objects", "call"];

/// Definitions that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{subject}: {problem}")]
pub struct CheckError {
    /// What.
    pub subject: String,
    /// In what way.
    pub problem: String,
}

/// A schema that may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    schema: Schema,
    by_name: BTreeMap<Name, usize>,
}

impl Checked {
    /// Types, in the order of the tables.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.schema.definitions
    }

    /// Services, in the order of the tables.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.schema.services
    }

    /// The type of this name.
    #[must_use]
    pub fn definition(&self, name: &Name) -> Option<&Definition> {
        self.schema.definitions.get(*self.by_name.get(name)?)
    }

    /// The service of this name, if it can be called.
    #[must_use]
    pub fn service(&self, name: &Name) -> Option<&Service> {
        self.schema.services.iter().find(|service| service.name == *name)
    }

    /// The bases of a type, the nearest first.
    pub fn bases<'a>(&'a self, definition: &'a Definition) -> impl Iterator<Item = &'a Definition> {
        let above = |definition: &&'a Definition| self.definition(definition.base()?);
        std::iter::successors(above(&definition), above)
    }

    /// Whether a value can hold instances of classes.
    #[must_use]
    pub fn holds_instances(&self, of: &Type) -> bool {
        match of {
            Type::Basic(_) | Type::Proxy(_) => false,
            Type::Sequence(element) => self.holds_instances(element),
            Type::Dictionary(_, value) => self.holds_instances(value),
            Type::Named(name) => match self.definition(name).map(|definition| &definition.kind) {
                Some(Kind::Class(..)) => true,
                Some(Kind::Structure(members)) => {
                    members.iter().any(|member| self.holds_instances(&member.of))
                }
                _ => false,
            },
        }
    }

    /// The structures that are keys of dictionaries: they have an order.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<&Name> {
        fn within<'a>(of: &'a Type, keys: &mut BTreeSet<&'a Name>) {
            match of {
                Type::Basic(_) | Type::Named(_) | Type::Proxy(_) => {}
                Type::Sequence(element) => within(element, keys),
                Type::Dictionary(key, value) => {
                    if let Type::Named(name) = key.as_ref() {
                        keys.insert(name);
                    }
                    within(value, keys);
                }
            }
        }
        let mut keys = BTreeSet::new();
        let members = self.definitions().iter().flat_map(Definition::members);
        let operations = self.services().iter().flat_map(|service| &service.operations);
        let parameters = operations.clone().flat_map(|operation| &operation.parameters);
        members.chain(parameters).for_each(|member| within(&member.of, &mut keys));
        operations.flat_map(|operation| &operation.result).for_each(|of| within(of, &mut keys));
        keys
    }
}

/// Checks what was read.
///
/// # Errors
/// Definitions contradict each other.
pub fn check(schema: Schema) -> Result<Checked, CheckError> {
    let mut by_name = BTreeMap::new();
    if schema.definitions.len() + schema.services.len() > DEFINITIONS {
        return Err(wrong(&"the tables", format!("they have more than {DEFINITIONS} definitions")));
    }
    for (index, definition) in schema.definitions.iter().enumerate() {
        if by_name.insert(definition.name.clone(), index).is_some() {
            return Err(wrong(&definition.name, "it is defined twice"));
        }
    }
    let checked = Checked { schema, by_name };
    checked.definitions().iter().try_for_each(|definition| check_definition(&checked, definition))?;
    let mut names = BTreeSet::new();
    for service in checked.services() {
        if checked.definition(&service.name).is_some() || !names.insert(&service.name) {
            return Err(wrong(&service.name, "it is defined twice"));
        }
        check_service(&checked, service)?;
    }
    for key in checked.keys() {
        let plain = |member: &Member| matches!(&member.of, Type::Basic(basic) if !matches!(basic, Basic::Float | Basic::Double));
        match checked.definition(key).map(|definition| &definition.kind) {
            Some(Kind::Enumeration(_)) => {}
            Some(Kind::Structure(members)) if members.iter().all(plain) => {}
            _ => return Err(wrong(key, "it is a key of a dictionary, and not all of its members can be")),
        }
    }
    Ok(checked)
}

fn check_definition(checked: &Checked, definition: &Definition) -> Result<(), CheckError> {
    let name = &definition.name;
    if let Some(base) = definition.base() {
        let same = match (&definition.kind, checked.definition(base).map(|base| &base.kind)) {
            (Kind::Class(..), Some(Kind::Class(..))) => true,
            (Kind::Exception(..), Some(Kind::Exception(..) | Kind::Extern(..))) => true,
            (_, None) => return Err(wrong(name, format!("its base {base} is not defined"))),
            _ => false,
        };
        if !same {
            return Err(wrong(name, format!("its base {base} is something else")));
        }
        if checked.bases(definition).take(BASES + 1).count() > BASES {
            return Err(wrong(name, format!("it has more than {BASES} bases, or is its own")));
        }
    }
    match &definition.kind {
        Kind::Enumeration(enumerators) => unique(name, enumerators.iter())?,
        Kind::Structure(members) if members.is_empty() => return Err(wrong(name, "it has no members")),
        Kind::Structure(members) => {
            // A structure in itself would have no end. OMERO's hold none but of basic types and classes.
            let nests = |member: &&Member| match &member.of {
                Type::Named(named) => {
                    checked.definition(named).is_some_and(|named| matches!(named.kind, Kind::Structure(_)))
                }
                _ => false,
            };
            if let Some(member) = members.iter().find(nests) {
                return Err(wrong(name, format!("its member {} is a structure in a structure", member.name)));
            }
        }
        Kind::Class(..) | Kind::Exception(..) | Kind::Extern(..) => {}
    }
    members(checked, name, definition.members(), MEMBERS)
}

fn check_service(checked: &Checked, service: &Service) -> Result<(), CheckError> {
    let name = &service.name;
    let above = |service: &&Service| checked.service(service.base.as_ref()?);
    if let Some(base) = &service.base
        && checked.service(base).is_none()
    {
        return Err(wrong(name, format!("its base {base} is not defined")));
    }
    if std::iter::successors(Some(service), above).take(BASES + 1).count() > BASES {
        return Err(wrong(name, format!("it has more than {BASES} bases, or is its own")));
    }
    if service.served && service.base.is_some() {
        return Err(wrong(name, "what is answered here has no base: none of OMERO's has"));
    }
    unique(name, service.operations.iter().map(|operation| &operation.name))?;
    for operation in &service.operations {
        let subject = format!("{name}::{}", operation.name);
        members(checked, &subject, &operation.parameters, PARAMETERS)?;
        if let Some(taken) = operation.parameters.iter().find(|member| TAKEN.contains(&member.name.as_str()))
        {
            return Err(wrong(
                &subject,
                format!("`{}` is taken; call the parameter something else", taken.name),
            ));
        }
        if let Some(result) = &operation.result {
            known(checked, &subject, result)?;
        }
        for raised in &operation.raises {
            match checked.definition(raised).map(|definition| &definition.kind) {
                Some(Kind::Exception(..) | Kind::Extern(..)) => {}
                _ => return Err(wrong(&subject, format!("it raises {raised}, which is no exception"))),
            }
        }
    }
    Ok(())
}

fn members(
    checked: &Checked,
    subject: &dyn std::fmt::Display,
    members: &[Member],
    most: usize,
) -> Result<(), CheckError> {
    if members.len() > most {
        return Err(wrong(subject, format!("it has more than {most} members or parameters")));
    }
    unique(subject, members.iter().map(|member| &member.name))?;
    members.iter().try_for_each(|member| known(checked, subject, &member.of))
}

fn known(checked: &Checked, subject: &dyn std::fmt::Display, of: &Type) -> Result<(), CheckError> {
    match of {
        // A service that is only passed on has no line.
        Type::Basic(_) | Type::Proxy(_) => Ok(()),
        Type::Sequence(element) => known(checked, subject, element),
        Type::Dictionary(key, value) => {
            if !matches!(key.as_ref(), Type::Basic(_) | Type::Named(_)) {
                return Err(wrong(subject, "a sequence or proxy is no key of a dictionary"));
            }
            if matches!(key.as_ref(), Type::Basic(Basic::Float | Basic::Double)) {
                return Err(wrong(subject, "a fraction is no key of a dictionary"));
            }
            known(checked, subject, key)?;
            known(checked, subject, value)
        }
        Type::Named(name) => match checked.definition(name).map(|definition| &definition.kind) {
            Some(Kind::Enumeration(_) | Kind::Structure(_) | Kind::Class(..)) => Ok(()),
            Some(Kind::Exception(..) | Kind::Extern(..)) => {
                Err(wrong(subject, format!("{name} is an exception, which is no value")))
            }
            None => Err(wrong(subject, format!("{name} is not defined"))),
        },
    }
}

fn unique<'a>(
    subject: &dyn std::fmt::Display,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), CheckError> {
    let mut seen = BTreeSet::new();
    for name in names {
        // As Rust spells them they have to differ too.
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(wrong(subject, format!("{name} is in it twice")));
        }
    }
    Ok(())
}

fn wrong(subject: &dyn std::fmt::Display, problem: impl Into<String>) -> CheckError {
    CheckError { subject: subject.to_string(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use crate::read;

    #[test]
    fn what_contradicts_itself_is_refused_with_a_reason() {
        for (table, reason) in [
            ("class A: b B", "::omero::B is not defined"),
            ("class A < B", "base ::omero::B is not defined"),
            ("class A < B\nclass B < A", "or is its own"),
            ("class A < E\nexception E", "something else"),
            ("class A\nclass A", "twice"),
            ("class A: b int, B long", "twice"),
            ("enum A: B, b", "twice"),
            ("struct A: b A", "structure in a structure"),
            ("struct A", "no members"),
            ("class A: b {double: int}", "fraction"),
            ("class A: b {[int]: int}", "no key"),
            ("class A: b {A: int}", "key of a dictionary"),
            ("exception E\nclass A: b E", "which is no value"),
            ("service A < B", "base ::omero::B is not defined"),
            ("service A < A", "or is its own"),
            ("service A\nop A.go (objects int) -> void", "taken"),
            ("service A\nop A.go () -> void throws A", "which is no exception"),
            ("service A\nop A.go () -> B", "::omero::B is not defined"),
            ("service A\nop A.go () -> void\nop A.go () -> int", "twice"),
            (
                "service A\nop A.go (a int, b int, c int, d int, e int, f int, g int, h int, i int) -> int",
                "more than 8",
            ),
        ] {
            let error = read(&[("a table", table)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{table}: {error}");
        }
    }

    #[test]
    fn what_holds_instances_is_known_through_sequences_dictionaries_and_structures() {
        let checked = read(&[(
            "a table",
            "class A\nstruct S: a A\nstruct T: t int\nclass U: a [S], b {T: int}, c T, d S*",
        )])
        .unwrap();
        let holds: Vec<bool> = checked.definitions()[3]
            .members()
            .iter()
            .map(|member| checked.holds_instances(&member.of))
            .collect();
        assert_eq!(holds, [true, false, false, false]);
        assert_eq!(checked.keys().len(), 1);
    }
}
