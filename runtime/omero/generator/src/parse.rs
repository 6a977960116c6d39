//! Reading a table; its format is explained in `types.schema`.

use thiserror::Error;

use crate::schema::{Basic, Definition, Kind, Member, Name, Operation, Schema, Service, Type};

/// How deep types may nest.
const DEPTH: usize = 8;

/// A line that is no definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{table}, line {line}: {problem}")]
pub struct ParseError {
    /// The table's name.
    pub table: String,
    /// The line where the definition begins, from 1.
    pub line: usize,
    /// What is wrong, and what is right.
    pub problem: String,
}

/// Adds what a table defines.
///
/// # Errors
/// A line is no definition.
pub fn parse(table: &str, text: &str, schema: &mut Schema) -> Result<(), ParseError> {
    for (line, definition) in joined(text) {
        read(&definition, schema).map_err(|problem| ParseError { table: table.to_owned(), line, problem })?;
    }
    Ok(())
}

/// Definitions with what continues them, and where they begin.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut definitions: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match definitions.last_mut() {
            Some((_, definition)) if line.starts_with(' ') => {
                definition.push(' ');
                definition.push_str(content);
            }
            _ => definitions.push((index + 1, content.to_owned())),
        }
    }
    definitions
}

fn read(definition: &str, schema: &mut Schema) -> Result<(), String> {
    let (keyword, rest) = definition.split_once(' ').ok_or("there is only one word")?;
    match keyword {
        "enum" => {
            let (name, enumerators) =
                rest.split_once(':').ok_or("an enumeration is `enum NAME: ENUMERATOR, ...`")?;
            let enumerators =
                enumerators.split(',').map(|word| identifier(word.trim())).collect::<Result<_, _>>()?;
            schema
                .definitions
                .push(Definition { name: name_of(name)?, kind: Kind::Enumeration(enumerators) });
        }
        "struct" | "class" | "exception" => {
            let (head, members) = rest.split_once(':').unwrap_or((rest, ""));
            let (name, base) = head_of(head)?;
            let members = members_of(members)?;
            let kind = match (keyword, base) {
                ("class", base) => Kind::Class(base, members),
                ("exception", base) => Kind::Exception(base, members),
                (_, None) => Kind::Structure(members),
                (_, Some(_)) => return Err("a structure has no base".to_owned()),
            };
            schema.definitions.push(Definition { name, kind });
        }
        "extern" => {
            let form =
                "an exception from elsewhere is `extern exception NAME = RUST::PATH: member TYPE, ...`";
            let (name, rest) =
                rest.strip_prefix("exception ").and_then(|rest| rest.split_once(" = ")).ok_or(form)?;
            let (path, members) = rest.split_once(": ").ok_or(form)?;
            let name = name_of(name)?;
            schema
                .definitions
                .push(Definition { name, kind: Kind::Extern(path.to_owned(), members_of(members)?) });
        }
        "service" | "servant" => {
            let (name, base) = head_of(rest)?;
            let served = keyword == "servant";
            schema.services.push(Service { name, base, served, operations: Vec::new() });
        }
        "op" => operation(rest, schema)?,
        other => return Err(format!("`{other}` begins no definition")),
    }
    Ok(())
}

fn operation(text: &str, schema: &mut Schema) -> Result<(), String> {
    let form = "an operation is `op SERVICE.NAME [idempotent] (parameter TYPE, ...) -> TYPE [throws EXCEPTION, ...]`";
    let (head, rest) = text.split_once(" (").ok_or(form)?;
    let (parameters, rest) = rest.split_once(") -> ").ok_or(form)?;
    let (result, raises) = rest.split_once(" throws ").unwrap_or((rest, ""));
    let (head, idempotent) = head.strip_suffix(" idempotent").map_or((head, false), |head| (head, true));
    let (service, name) = head.rsplit_once('.').ok_or(form)?;
    let service = name_of(service)?;
    let operation = Operation {
        name: identifier(name)?,
        idempotent,
        parameters: members_of(parameters)?,
        result: if result == "void" { None } else { Some(type_of(result, 0)?) },
        raises: split(raises, ',').into_iter().map(name_of).collect::<Result<_, _>>()?,
    };
    let of = schema.services.iter_mut().find(|known| known.name == service);
    let of = of.ok_or_else(|| format!("there is no line `service {service}` before it"))?;
    of.operations.push(operation);
    Ok(())
}

fn head_of(text: &str) -> Result<(Name, Option<Name>), String> {
    match text.split_once(" < ") {
        Some((name, base)) => Ok((name_of(name)?, Some(name_of(base)?))),
        None => Ok((name_of(text)?, None)),
    }
}

fn members_of(text: &str) -> Result<Vec<Member>, String> {
    let member = |text: &str| {
        let (name, of) = text.split_once(' ').ok_or_else(|| format!("`{text}` is no member: `name TYPE`"))?;
        Ok(Member { name: identifier(name)?, of: type_of(of.trim(), 0)? })
    };
    split(text, ',').into_iter().map(member).collect()
}

fn type_of(text: &str, depth: usize) -> Result<Type, String> {
    if depth > DEPTH {
        return Err(format!("types nest more than {DEPTH} deep"));
    }
    if let Some(element) = text.strip_prefix('[') {
        let element = element.strip_suffix(']').ok_or_else(|| format!("`{text}` is not closed"))?;
        return Ok(Type::Sequence(Box::new(type_of(element.trim(), depth + 1)?)));
    }
    if let Some(entry) = text.strip_prefix('{') {
        let entry = entry.strip_suffix('}').ok_or_else(|| format!("`{text}` is not closed"))?;
        let [key, value] = split(entry, ':')[..] else {
            return Err(format!("`{text}` is no `{{TYPE: TYPE}}`"));
        };
        return Ok(Type::Dictionary(
            Box::new(type_of(key, depth + 1)?),
            Box::new(type_of(value, depth + 1)?),
        ));
    }
    if let Some(service) = text.strip_suffix('*') {
        return Ok(Type::Proxy(name_of(service)?));
    }
    let basic = Basic::ALL.iter().find(|(written, _)| *written == text);
    basic.map_or_else(|| Ok(Type::Named(name_of(text)?)), |(_, basic)| Ok(Type::Basic(*basic)))
}

fn name_of(text: &str) -> Result<Name, String> {
    text.trim().split('.').try_for_each(|part| identifier(part).map(drop))?;
    Ok(Name::of(text.trim()))
}

fn identifier(text: &str) -> Result<String, String> {
    let is = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if is { Ok(text.to_owned()) } else { Err(format!("`{text}` is no name")) }
}

/// Parts at a mark that stands in no brackets.
fn split(text: &str, mark: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, character) in text.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ if character == mark && depth == 0 => {
                parts.extend(text.get(start..index).map(str::trim));
                start = index + mark.len_utf8();
            }
            _ => {}
        }
    }
    let last = text.get(start..).unwrap_or_default().trim();
    if !parts.is_empty() || !last.is_empty() {
        parts.push(last);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Schema, ParseError> {
        let mut schema = Schema::default();
        parse("a table", text, &mut schema)?;
        Ok(schema)
    }

    #[test]
    fn every_kind_of_definition_is_read() {
        let schema = parsed(
            "# about\n\nenum A: x, y\nstruct m.B: a [int], b {string: [m.C]}\nclass m.C < m.D: p\n    m.S*\nclass m.D\n\
             exception E: why string\nextern exception Ice.F = other::F: why string\n\
             service m.S\nservant m.T < m.S\nop m.T.go idempotent (a int, b m.C) -> [byte] throws E, Ice.F\nop m.S.stop () -> void",
        );
        let schema = schema.unwrap();
        assert_eq!(schema.definitions.len(), 6);
        assert_eq!(schema.definitions[0].kind, Kind::Enumeration(vec!["x".to_owned(), "y".to_owned()]));
        let class = Type::Named(Name::of("m.C"));
        let dictionary =
            Type::Dictionary(Box::new(Type::Basic(Basic::String)), Box::new(Type::Sequence(Box::new(class))));
        assert_eq!(schema.definitions[1].members()[1].of, dictionary);
        assert_eq!(schema.definitions[2].base(), Some(&Name::of("m.D")));
        assert_eq!(schema.definitions[2].members()[0].of, Type::Proxy(Name::of("m.S")));
        assert_eq!(schema.definitions[5].name.type_id(), "::Ice::F");
        let [stop, go] = [&schema.services[0].operations[0], &schema.services[1].operations[0]];
        assert!(schema.services[1].served && go.idempotent && !stop.idempotent);
        assert_eq!(go.raises, [Name::of("E"), Name::of("Ice.F")]);
        assert_eq!((go.parameters.len(), &stop.result), (2, &None));
    }

    #[test]
    fn what_is_no_definition_is_told_with_its_line() {
        for (text, line, reason) in [
            ("\nklass A", 2, "`klass`"),
            ("class", 1, "one word"),
            ("class A: b", 1, "no member"),
            ("class A: b [int", 1, "not closed"),
            ("struct A < B: c int", 1, "no base"),
            ("class A: b {int}", 1, "{TYPE: TYPE}"),
            ("class 1A", 1, "`1A` is no name"),
            ("class A\nop S.go () -> void", 2, "service"),
            ("service S\nop S.go () void", 2, "an operation is"),
            ("class A: b [[[[[[[[[[int]]]]]]]]]]", 1, "deep"),
            ("class A: b i-nt", 1, "`i-nt`"),
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.problem.contains(reason), "{text}: {error}");
        }
    }
}
