//! Descriptors of bilayers.

use super::node::Node;
use super::{Choice, Descriptor, DescriptorError, Format, Parameter, Scalar, Type};

/// Inputs that a user attaches as files. Images are sent as the run's data instead.
const ATTACHED: [&str; 4] = ["file", "array", "measurement", "executable"];

pub(super) fn read(node: Node<'_>) -> Result<Descriptor, DescriptorError> {
    let container = node.required("docker_image")?.mapping("org and name")?;
    let (org, name) = (container.required("org")?.string()?, container.required("name")?.string()?);
    let read = |key: &str, is_output: bool| -> Result<Vec<Parameter>, DescriptorError> {
        let nodes = node.list(key)?;
        nodes.into_iter().map(|node| parameter(&node.mapping("name, type and so on")?, is_output)).collect()
    };
    let mut inputs = read("inputs", false)?;
    inputs.extend(read("parameters", false)?);
    let outputs = read("outputs", true)?;
    let cited = cited(&node);
    Ok(Descriptor {
        // Nothing but a citation has the tool's name; without one the image has.
        name: cited
            .as_ref()
            .and_then(|cited| cited.optional_string("name").ok()?)
            .unwrap_or_else(|| name.clone()),
        description: cited.and_then(|cited| cited.optional_string("description").ok()?).unwrap_or_default(),
        format: Format::Bilayers,
        // The tag of the descriptor is not the version that is run: that is chosen with the workflow's repository.
        image: format!("{org}/{name}"),
        inputs,
        outputs,
    })
}

/// The first citation. They are a list, or below `algorithm` and so on lists of them.
fn cited<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    let citations = node.filled("citations")?;
    let list = citations.items().ok().or_else(|| citations.get("algorithm")?.items().ok())?;
    list.into_iter().next()
}

fn parameter(node: &Node<'_>, is_output: bool) -> Result<Parameter, DescriptorError> {
    let id = node.required("name")?.string()?;
    if id.is_empty() {
        return Err(node.missing("name"));
    }
    let written = node.get("type");
    let written = written.as_ref().and_then(Node::text).unwrap_or("string");
    let kind = match written {
        "checkbox" => Type::Boolean,
        other => Type::of(other).unwrap_or(Type::String),
    };
    let label = match node.get("label") {
        None => Some(id.clone()),
        Some(_) => node.optional_string("label")?,
    };
    let description = match (node.get("description"), node.get("label")) {
        (Some(_), _) => node.optional_string("description")?,
        (None, Some(_)) => node.optional_string("label")?,
        (None, None) => Some(String::new()),
    };
    let flag = node.optional_string("cli_tag")?.unwrap_or_default();
    let flag = flag.trim_end_matches('=');
    let output_folder = node.optional_boolean("output_dir_set")?.unwrap_or(false);
    let is_attached = ATTACHED.contains(&written) && !is_output;
    let choices = choices(node)?;
    Ok(Parameter {
        kind,
        name: label,
        description,
        flag: Some(flag.to_owned()).filter(|flag| !flag.is_empty()),
        default: node.optional_scalar("default")?.map(|default| whole(default, &choices)),
        optional: match node.get("optional") {
            None => Some(false),
            Some(_) => node.optional_boolean("optional")?,
        },
        set_by_server: output_folder || ((written == "image" || is_attached) && !is_output),
        output_folder,
        attachment: is_attached,
        choices,
        format: node.texts("format")?.into_iter().filter(|format| !format.is_empty()).collect(),
        subtype: node.texts("subtype")?.into_iter().filter(|subtype| !subtype.is_empty()).collect(),
        advanced: node.is_advanced()?,
        id,
    })
}

/// `options`: pairs of label and value. Labels are kept where one differs from its value.
fn choices(node: &Node<'_>) -> Result<Vec<Choice>, DescriptorError> {
    let Some(options) = node.filled("options") else { return Ok(Vec::new()) };
    let mut choices = Vec::new();
    for option in options.items()? {
        let option = option.mapping("label and value")?;
        let Some(value) = option.get("value") else { continue };
        let label = option.optional_scalar("label")?.map(|label| label.to_string());
        choices.push(Choice { value: value.scalar()?, label });
    }
    let differs =
        |choice: &Choice| choice.label.as_deref().unwrap_or("None") != choice.value.to_string().as_str();
    if !choices.iter().any(differs) {
        for choice in &mut choices {
            choice.label = None;
        }
    }
    Ok(choices)
}

/// Where all choices are whole numbers the default is one, too, if that loses nothing.
fn whole(default: Scalar, choices: &[Choice]) -> Scalar {
    let is_whole = |choice: &Choice| matches!(choice.value, Scalar::Integer(_) | Scalar::Boolean(_));
    if choices.is_empty() || !choices.iter().all(is_whole) {
        return default;
    }
    match default {
        Scalar::Boolean(value) => Scalar::Integer(i64::from(value)),
        // Within these bounds a float without a fraction is exactly that integer.
        #[expect(clippy::cast_possible_truncation, reason = "the guard keeps it within 53 bits")]
        Scalar::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Scalar::Integer(number as i64)
        }
        other => other,
    }
}
