//! Names of OMERO as names of Rust, and types as types of Rust.

use crate::check::Checked;
use crate::schema::{Basic, Kind, Name, Type};

/// Words of Rust that can be names with `r#` before them.
const KEYWORDS: [&str; 40] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "try", "type", "use",
];

/// The modules of a type: `omero` is where all are.
pub(super) fn modules(name: &Name) -> Vec<String> {
    let ours = name.modules.first().is_some_and(|module| module == "omero");
    name.modules.iter().skip(usize::from(ours)).map(|module| snake(module)).collect()
}

/// Where a type is.
pub(super) fn path(checked: &Checked, name: &Name) -> String {
    if let Some(Kind::Extern(path, _)) = checked.definition(name).map(|definition| &definition.kind) {
        return format!("::{path}");
    }
    let mut path = "crate::types::".to_owned();
    for module in modules(name) {
        path.push_str(&module);
        path.push_str("::");
    }
    path + &name.simple
}

/// `pixelsSeq` as `pixels_seq`, `LSID` as `lsid`.
pub(super) fn snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut written = String::new();
    for (index, character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        let begins = character.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() && *before != '_'
                    || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
            });
        if begins {
            written.push('_');
        }
        written.push(character.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&written.as_str()) { format!("r#{written}") } else { written }
}

/// `MICROMETER` as `Micrometer`, `RED_BLUE` as `RedBlue`; what is in both cases stays.
pub(super) fn camel(name: &str) -> String {
    let shouted = !name.chars().any(|character| character.is_ascii_lowercase());
    name.split('_')
        .map(|word| {
            let mut characters = word.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            let rest = characters.as_str();
            first.into_iter().collect::<String>()
                + &if shouted { rest.to_ascii_lowercase() } else { rest.to_owned() }
        })
        .collect()
}

/// A value that is held.
pub(super) fn owned(checked: &Checked, of: &Type) -> String {
    match of {
        Type::Basic(basic) => basic_name(*basic).to_owned(),
        Type::Named(name) if checked.holds_instances(of) && is_class(checked, name) => {
            format!("Option<::biomero_ice::encoding::Ref<{}>>", path(checked, name))
        }
        Type::Named(name) => path(checked, name),
        Type::Proxy(_) => "Option<::biomero_ice::Reference>".to_owned(),
        Type::Sequence(element) if **element == Type::Basic(Basic::Byte) => "::bytes::Bytes".to_owned(),
        Type::Sequence(element) => format!("Vec<{}>", owned(checked, element)),
        Type::Dictionary(key, value) => {
            format!("::std::collections::BTreeMap<{}, {}>", owned(checked, key), owned(checked, value))
        }
    }
}

/// A value that is given to a call.
pub(super) fn borrowed(checked: &Checked, of: &Type) -> String {
    match of {
        Type::Basic(Basic::String) => "&str".to_owned(),
        Type::Proxy(_) => "Option<&::biomero_ice::Reference>".to_owned(),
        Type::Sequence(element) if **element != Type::Basic(Basic::Byte) => {
            format!("&[{}]", owned(checked, element))
        }
        Type::Sequence(_) | Type::Dictionary(..) => format!("&{}", owned(checked, of)),
        Type::Named(name) if is_structure(checked, name) => format!("&{}", owned(checked, of)),
        Type::Basic(_) | Type::Named(_) => owned(checked, of),
    }
}

fn is_class(checked: &Checked, name: &Name) -> bool {
    checked.definition(name).is_some_and(|definition| matches!(definition.kind, Kind::Class(..)))
}

fn is_structure(checked: &Checked, name: &Name) -> bool {
    checked.definition(name).is_some_and(|definition| matches!(definition.kind, Kind::Structure(_)))
}

const fn basic_name(basic: Basic) -> &'static str {
    match basic {
        Basic::Bool => "bool",
        Basic::Byte => "u8",
        Basic::Short => "i16",
        Basic::Int => "i32",
        Basic::Long => "i64",
        Basic::Float => "f32",
        Basic::Double => "f64",
        Basic::String => "String",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_in_rust() {
        for (omero, rust) in [
            ("pixelsSeq", "pixels_seq"),
            ("LSID", "lsid"),
            ("getScriptID", "get_script_id"),
            ("physicalSizeX", "physical_size_x"),
            ("byZ", "by_z"),
            ("sizeX1", "size_x1"),
            ("type", "r#type"),
            ("a00", "a00"),
            ("userIP", "user_ip"),
        ] {
            assert_eq!(snake(omero), rust);
        }
        for (omero, rust) in
            [("MICROMETER", "Micrometer"), ("RED_BLUE", "RedBlue"), ("Trace", "Trace"), ("MMHG", "Mmhg")]
        {
            assert_eq!(camel(omero), rust);
        }
    }
}
