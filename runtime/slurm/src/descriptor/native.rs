//! BIOMERO's own descriptors, `biomero-schema` 0.1.

use super::node::Node;
use super::{Descriptor, DescriptorError, Format, Parameter};

pub(super) fn read(node: Node<'_>) -> Result<Descriptor, DescriptorError> {
    // Keys of the top may be written as Python's attributes, too.
    let get = |name: &str| node.get(name).or_else(|| node.get(&name.replace('-', "_")));
    let required = |name: &str| get(name).ok_or_else(|| node.missing(name));
    let container = required("container-image")?.mapping("image and type")?;
    let inputs = required("inputs")?.items()?;
    let outputs = node.list("outputs")?;
    let read = |nodes: Vec<Node<'_>>| -> Result<Vec<Parameter>, DescriptorError> {
        nodes.into_iter().map(|node| parameter(&node.mapping("id, type and so on")?)).collect()
    };
    Ok(Descriptor {
        name: required("name")?.string()?,
        description: node.optional_string("description")?.unwrap_or_default(),
        format: Format::Native,
        image: container.required("image")?.string()?,
        inputs: read(inputs)?,
        outputs: read(outputs)?,
    })
}

fn parameter(node: &Node<'_>) -> Result<Parameter, DescriptorError> {
    let id = node.required("id")?.string()?;
    if id.is_empty() {
        return Err(node.missing("id"));
    }
    Ok(Parameter {
        kind: node.required("type")?.kind()?,
        name: node.optional_string("name")?,
        description: node.optional_string("description")?,
        flag: node.optional_string("command-line-flag")?,
        default: node.optional_scalar("default-value")?,
        optional: node.optional_boolean("optional")?,
        set_by_server: node.optional_boolean("set-by-server")?.unwrap_or(false),
        output_folder: node.optional_boolean("output-dir-set")?.unwrap_or(false),
        attachment: node.optional_boolean("file-attachment")?.unwrap_or(false),
        choices: node.choices("value-choices", "value-choices-labels")?,
        format: node.texts("format")?,
        subtype: node.texts("sub-type")?,
        advanced: node.is_advanced()?,
        id,
    })
}
