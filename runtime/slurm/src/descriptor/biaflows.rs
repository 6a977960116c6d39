//! Descriptors of BIAFLOWS, `cytomine-0.1`.

use super::node::Node;
use super::{Descriptor, DescriptorError, Format, Parameter, Scalar, Type};

pub(super) fn read(node: Node<'_>) -> Result<Descriptor, DescriptorError> {
    let image = match node.get("container-image") {
        None => String::new(),
        Some(container) => {
            let container = container.mapping("image and type")?;
            container.optional_string("image")?.unwrap_or_default()
        }
    };
    if image.is_empty() {
        return Err(node.missing("container-image.image"));
    }
    let mut inputs = Vec::new();
    for input in node.list("inputs")? {
        let input = input.mapping("id, type and so on")?;
        let id = input.required("id")?.string()?;
        // Parameters of the Cytomine server itself, which nobody has here.
        if id.starts_with("cytomine") {
            continue;
        }
        inputs.push(parameter(&input, id)?);
    }
    Ok(Descriptor {
        name: node.optional_string("name")?.unwrap_or_default(),
        description: node.optional_string("description")?.unwrap_or_default(),
        format: Format::Biaflows,
        image,
        inputs,
        outputs: Vec::new(),
    })
}

fn parameter(input: &Node<'_>, id: String) -> Result<Parameter, DescriptorError> {
    if id.is_empty() {
        return Err(input.missing("id"));
    }
    let default = input.optional_scalar("default-value")?;
    let kind = match input.get("type").as_ref().and_then(Node::text) {
        // `Number` is what its default is; most are whole.
        Some("Number") if matches!(default, Some(Scalar::Float(_))) => Type::Float,
        Some("Number" | "Integer") => Type::Integer,
        Some("Float") => Type::Float,
        Some("Boolean") => Type::Boolean,
        _ => Type::String,
    };
    let flag = input.optional_string("command-line-flag")?.unwrap_or_else(|| format!("--{id}"));
    Ok(Parameter {
        kind,
        name: Some(
            input.optional_string("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
        ),
        description: match input.get("description") {
            None => Some(String::new()),
            Some(_) => input.optional_string("description")?,
        },
        flag: Some(flag.replace("@id", &id)),
        default,
        optional: match input.get("optional") {
            None => Some(false),
            Some(_) => input.optional_boolean("optional")?,
        },
        set_by_server: input.optional_boolean("set-by-server")?.unwrap_or(false),
        output_folder: false,
        attachment: false,
        choices: input.choices("value-choices", "value-choices-labels")?,
        format: Vec::new(),
        subtype: Vec::new(),
        advanced: false,
        id,
    })
}
