//! What a table says.

use std::fmt;

/// The name of a type or service: modules, and itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The modules, from the root: `omero`, `model`.
    pub modules: Vec<String>,
    /// The last part.
    pub simple: String,
}

impl Name {
    /// From how it is written in a table: below `omero`, unless it is Ice's or Glacier2's own.
    #[must_use]
    pub fn of(written: &str) -> Self {
        let mut parts: Vec<String> = written.split('.').map(str::to_owned).collect();
        let simple = parts.pop().unwrap_or_default();
        if !matches!(parts.first().map(String::as_str), Some("Glacier2" | "Ice")) {
            parts.insert(0, "omero".to_owned());
        }
        Self { modules: parts, simple }
    }

    /// As it stands on the wire: `::omero::model::Image`.
    #[must_use]
    pub fn type_id(&self) -> String {
        format!("::{}::{}", self.modules.join("::"), self.simple)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.type_id())
    }
}

/// A type of a member, parameter or result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// One that Ice has.
    Basic(Basic),
    /// A structure, class or enumeration.
    Named(Name),
    /// A proxy to a service.
    Proxy(Name),
    /// A sequence.
    Sequence(Box<Self>),
    /// A dictionary.
    Dictionary(Box<Self>, Box<Self>),
}

/// The types that Ice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are named as in Slice")]
pub enum Basic {
    Bool,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    String,
}

impl Basic {
    /// All of them, as they are written in tables and in Slice.
    pub const ALL: [(&'static str, Self); 8] = [
        ("bool", Self::Bool),
        ("byte", Self::Byte),
        ("short", Self::Short),
        ("int", Self::Int),
        ("long", Self::Long),
        ("float", Self::Float),
        ("double", Self::Double),
        ("string", Self::String),
    ];
}

/// A member or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is called.
    pub name: String,
    /// Of which type.
    pub of: Type,
}

/// What is defined of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Enumerators, numbered from 0.
    Enumeration(Vec<String>),
    /// Members.
    Structure(Vec<Member>),
    /// A base, and members.
    Class(Option<Name>, Vec<Member>),
    /// A base, and members.
    Exception(Option<Name>, Vec<Member>),
    /// An exception that is a type of another crate.
    Extern(String, Vec<Member>),
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
}

impl Definition {
    /// Its base.
    #[must_use]
    pub const fn base(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Class(base, _) | Kind::Exception(base, _) => base.as_ref(),
            Kind::Enumeration(_) | Kind::Structure(_) | Kind::Extern(..) => None,
        }
    }

    /// Its members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Enumeration(_) => &[],
            Kind::Structure(members)
            | Kind::Class(_, members)
            | Kind::Exception(_, members)
            | Kind::Extern(_, members) => members,
        }
    }
}

/// What can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What it is called.
    pub name: String,
    /// Whether it may be repeated.
    pub idempotent: bool,
    /// What goes in.
    pub parameters: Vec<Member>,
    /// What comes back.
    pub result: Option<Type>,
    /// What it raises.
    pub raises: Vec<Name>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// What it extends.
    pub base: Option<Name>,
    /// Whether it is answered here too.
    pub served: bool,
    /// What can be called.
    pub operations: Vec<Operation>,
}

/// All that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Types, in the order of the tables.
    pub definitions: Vec<Definition>,
    /// Services, in the order of the tables.
    pub services: Vec<Service>,
}
