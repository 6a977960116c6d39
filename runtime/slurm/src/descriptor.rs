//! What a workflow says of itself: its image, its parameters, how its command line is put together.
//!
//! Three formats are read, from JSON or YAML: those of BIAFLOWS (Cytomine), of bilayers, and BIOMERO's own
//! (`biomero-schema` 0.1). They become one [`Descriptor`].
//!
//! Invariants: what Python's biomero 2.8.3 accepts is accepted, with the same parameters, types, defaults and flags; what it
//! refuses may be accepted where nothing is missing that a job needs. A descriptor is foreign text: size, depth and what
//! aliases multiply are bounded; nothing of it is trusted later on. Tests hold the first against the real Python.

mod biaflows;
mod bilayers;
mod error;
mod json;
mod native;
mod node;
#[cfg(test)]
mod tests;
mod value;
mod yaml;

use std::fmt;

pub use error::DescriptorError;
pub use value::{Scalar, Value};

use node::Node;

/// A descriptor is no larger, in bytes: 1 MiB. The largest known one has 30 KiB.
pub const LARGEST: usize = 1 << 20;

/// A workflow, as its repository describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Its name; of bilayers, that of the tool it cites first.
    pub name: String,
    /// What it does; empty where it does not say.
    pub description: String,
    /// The format it was read from.
    pub format: Format,
    /// The image, as a registry names it: `org/name`, perhaps with a tag.
    pub image: String,
    /// What the user sets and what is set for him, in the descriptor's order.
    pub inputs: Vec<Parameter>,
    /// What it writes. Only bilayers has flags for them.
    pub outputs: Vec<Parameter>,
}

/// The format of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// BIAFLOWS: `schema-version` of `cytomine-0.1`.
    Biaflows,
    /// bilayers: `docker_image`.
    Bilayers,
    /// BIOMERO's own: `schema-version` of `biomero-0.1`.
    Native,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Biaflows => "biaflows",
            Self::Bilayers => "bilayers",
            Self::Native => "biomero",
        })
    }
}

/// The type of a parameter, as `biomero-schema` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `integer`.
    Integer,
    /// `float`.
    Float,
    /// `boolean`.
    Boolean,
    /// `string`.
    String,
    /// `file`.
    File,
    /// `image`.
    Image,
    /// `array`.
    Array,
    /// `measurement`.
    Measurement,
    /// `executable`.
    Executable,
    /// `Number`, of older descriptors: a float where the default is one, an integer otherwise.
    Number,
    /// `String`, of older descriptors.
    OldString,
}

impl Type {
    const ALL: [Self; 11] = [
        Self::Integer,
        Self::Float,
        Self::Boolean,
        Self::String,
        Self::File,
        Self::Image,
        Self::Array,
        Self::Measurement,
        Self::Executable,
        Self::Number,
        Self::OldString,
    ];

    /// The name in descriptors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::File => "file",
            Self::Image => "image",
            Self::Array => "array",
            Self::Measurement => "measurement",
            Self::Executable => "executable",
            Self::Number => "Number",
            Self::OldString => "String",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether values of it are folders or files.
    #[must_use]
    pub const fn is_data(self) -> bool {
        matches!(self, Self::File | Self::Image | Self::Array | Self::Measurement | Self::Executable)
    }
}

/// A parameter of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What it is called in calls.
    pub id: String,
    /// Its type.
    pub kind: Type,
    /// What people read.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The flag on the workflow's command line, `@id` replaced; `--ID` where it has none.
    pub flag: Option<String>,
    /// What it is when nobody says otherwise.
    pub default: Option<Scalar>,
    /// Whether it may be left out; not said counts as no.
    pub optional: Option<bool>,
    /// Whether BIOMERO sets it: folders of data.
    pub set_by_server: bool,
    /// Whether it is the folder of results.
    pub output_folder: bool,
    /// Whether it is a file that the user attaches, and its value the file's path on the cluster.
    pub attachment: bool,
    /// The values it may have; any, where empty.
    pub choices: Vec<Choice>,
    /// The formats a file or image may have.
    pub format: Vec<String>,
    /// What an image is of: `grayscale`, `plate`.
    pub subtype: Vec<String>,
    /// Whether dialogs hide it at first.
    pub advanced: bool,
}

impl Parameter {
    /// The flag as it goes on the command line.
    #[must_use]
    pub fn command_flag(&self) -> String {
        match self.flag.as_deref() {
            None | Some("") => format!("--{}", self.id),
            Some(flag) => flag.replace("@id", &self.id),
        }
    }

    /// Whether a call may set it: [`Descriptor::parameters`].
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        (!self.set_by_server || self.attachment) && !self.id.starts_with("cytomine")
    }
}

/// One of the values that a parameter may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The value.
    pub value: Scalar,
    /// What people read instead.
    pub label: Option<String>,
}

impl Descriptor {
    /// Reads a descriptor. The file's name is for messages, and tells JSON (`.json`) from YAML.
    ///
    /// # Errors
    /// It is neither, not of a format that is known, or something in it is not of its type: the message names file and key.
    pub fn read(file: &str, content: &[u8]) -> Result<Self, DescriptorError> {
        if content.len() > LARGEST {
            return Err(DescriptorError::TooLarge { file: file.to_owned() });
        }
        let text = std::str::from_utf8(content)
            .map_err(|error| DescriptorError::Encoding { file: file.to_owned(), at: error.valid_up_to() })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value = if file.to_ascii_lowercase().ends_with(".json") {
            json::read(file, text)?
        } else {
            yaml::read(file, text)?
        };
        Self::of(file, &value)
    }

    /// Makes a descriptor of a value that was read already.
    ///
    /// # Errors
    /// As [`Descriptor::read`].
    pub fn of(file: &str, value: &Value) -> Result<Self, DescriptorError> {
        let node = Node::of(file, value);
        if !matches!(value, Value::Map(_)) {
            return Err(node.wrong("a mapping of keys to values at the top"));
        }
        let mut descriptor = match detect(&node)? {
            Format::Biaflows => biaflows::read(node),
            Format::Bilayers => bilayers::read(node),
            Format::Native => native::read(node),
        }?;
        descriptor.inputs = last_of_each(descriptor.inputs);
        Ok(descriptor)
    }

    /// What a call may set, in the descriptor's order: what Python's `get_workflow_parameters` has.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.inputs.iter().filter(|parameter| parameter.is_asked_for())
    }

    /// Whether an image input takes Zarr, or a plate, which is Zarr always: nothing has to be converted then.
    #[must_use]
    pub fn takes_zarr(&self) -> bool {
        const ZARR: [&str; 4] = ["zarr", "omezarr", "ome.zarr", "ome-zarr"];
        self.inputs.iter().filter(|input| input.kind == Type::Image).any(|input| {
            input.format.iter().any(|format| ZARR.contains(&format.as_str()))
                || input.subtype.iter().any(|subtype| subtype == "plate")
        })
    }
}

/// Tells the format, in Python's order.
fn detect(node: &Node<'_>) -> Result<Format, DescriptorError> {
    let unsupported = |format| DescriptorError::Unsupported { file: node.file().to_owned(), format };
    if node.get("cwlVersion").is_some() {
        return Err(unsupported("CWL"));
    }
    if node.get("$schema").as_ref().and_then(Node::text).is_some_and(|schema| schema.contains("openapi")) {
        return Err(unsupported("OpenAPI"));
    }
    if let Some(version) = node.get("schema-version").as_ref().and_then(Node::text) {
        if version.starts_with("cytomine") {
            return Ok(Format::Biaflows);
        }
        if version.starts_with("biomero") {
            return Ok(Format::Native);
        }
    }
    if node.get("container-image").is_some() && node.get("inputs").is_some() {
        return Ok(Format::Biaflows);
    }
    if node.get("docker_image").is_some() {
        return Ok(Format::Bilayers);
    }
    Err(DescriptorError::NoFormat { file: node.file().to_owned(), keys: node.keys() })
}

/// An id that comes twice is what it was last, at the place where it was first: a dictionary of Python's.
fn last_of_each(parameters: Vec<Parameter>) -> Vec<Parameter> {
    let mut places = std::collections::HashMap::new();
    let mut kept: Vec<Parameter> = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        match places.get(&parameter.id).and_then(|at: &usize| kept.get_mut(*at)) {
            Some(place) => *place = parameter,
            None => {
                places.insert(parameter.id.clone(), kept.len());
                kept.push(parameter);
            }
        }
    }
    kept
}
