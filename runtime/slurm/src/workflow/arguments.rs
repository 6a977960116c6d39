//! What a call says of a workflow's parameters, checked before anything is sent.
//!
//! Invariants: every value is of its parameter's type and one of its choices; what has to be said was said; the order is the
//! descriptor's. All that is wrong with a call is told together.

use biomero_config::nearest;
use thiserror::Error;

use super::{attachment, variable};
use crate::descriptor::{Descriptor, Parameter, Scalar, Type};

/// A value is no longer, in bytes: Linux takes no string of a program's environment beyond 128 KiB.
pub const LONGEST: usize = 100_000;

/// The parameters of a call, in the descriptor's order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    arguments: Vec<Argument>,
}

/// One parameter of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The parameter.
    pub id: String,
    /// The variable of the job that it goes in.
    pub variable: String,
    /// Its value; of an attached file its path on this machine, until a plan says where it is on the cluster.
    pub value: Scalar,
    /// Who said it.
    pub origin: Origin,
    /// Whether it is a file that has to be sent before.
    pub attached: bool,
}

/// Who said a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The call.
    Call,
    /// The descriptor.
    Default,
}

/// Something is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArgumentError {
    /// What was written is no assignment.
    #[error("{text:?} is no parameter: write NAME=VALUE")]
    NoAssignment {
        /// What was written.
        text: String,
    },
    /// There is no such parameter.
    #[error("there is no parameter {name:?}; {}", match .nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if .known.is_empty() => "this workflow has none".to_owned(),
        None => format!("there are {}", .known.join(", ")),
    })]
    Unknown {
        /// What was written.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// BIOMERO sets it.
    #[error("{name} is a folder of the run, which is set by itself; leave it out")]
    Ours {
        /// Which.
        name: String,
    },
    /// It was said more than once.
    #[error("{name} is given more than once; give it once")]
    Twice {
        /// Which.
        name: String,
    },
    /// It is of another type.
    #[error("{name} is {found:?}, where {wanted} is wanted")]
    Type {
        /// Which.
        name: String,
        /// What was written.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// The descriptor's own default is of another type.
    #[error(
        "{name} has the default {found:?}, which is not {wanted}: give it a value, and tell whoever keeps the workflow"
    )]
    Default {
        /// Which.
        name: String,
        /// The default.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// It is none of the choices.
    #[error("{name} is {found:?}; it may be {}", .choices.join(", "))]
    Choice {
        /// Which.
        name: String,
        /// What was written.
        found: String,
        /// What there is.
        choices: Vec<String>,
    },
    /// It is a file of another format.
    #[error("{name} is {found:?}, where the name of a file ends in {}", .formats.join(" or "))]
    Format {
        /// Which.
        name: String,
        /// The name of the file.
        found: String,
        /// How it may end.
        formats: Vec<String>,
    },
    /// It has to be said.
    #[error("{name} is missing; give it as {name}={}", if *.attachment { "FILE" } else { "VALUE" })]
    Missing {
        /// Which.
        name: String,
        /// Whether it is a file.
        attachment: bool,
    },
    /// No environment can hold it.
    #[error("{name} {what}")]
    Unsuitable {
        /// Which.
        name: String,
        /// Why.
        what: &'static str,
    },
}

/// Takes `NAME=VALUE` apart.
///
/// # Errors
/// There is no `=`, or nothing before it.
pub fn assignment(text: &str) -> Result<(String, String), ArgumentError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ArgumentError::NoAssignment { text: text.chars().take(80).collect() }),
    }
}

impl Arguments {
    /// Checks what a call says, and adds the defaults.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn of(descriptor: &Descriptor, given: &[(String, String)]) -> Result<Self, Vec<ArgumentError>> {
        let parameters: Vec<&Parameter> = descriptor.parameters().collect();
        let mut problems = Vec::new();
        for (at, (name, _)) in given.iter().enumerate() {
            if !parameters.iter().any(|parameter| parameter.id == *name) {
                problems.push(unknown(descriptor, &parameters, name));
            } else if given.iter().take(at).any(|(earlier, _)| earlier == name) {
                problems.push(ArgumentError::Twice { name: name.clone() });
            }
        }
        let mut arguments = Vec::new();
        let names = variable::names(parameters.iter().copied());
        for (parameter, variable) in parameters.into_iter().zip(names) {
            let said = given.iter().find(|(name, _)| *name == parameter.id).map(|(_, value)| value.as_str());
            match value(parameter, said) {
                Ok(None) => {}
                Ok(Some((value, origin))) => arguments.push(Argument {
                    id: parameter.id.clone(),
                    variable,
                    value,
                    origin,
                    attached: parameter.attachment,
                }),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { arguments }) } else { Err(problems) }
    }

    /// Each parameter that has a value.
    pub fn iter(&self) -> impl Iterator<Item = &Argument> {
        self.arguments.iter()
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Scalar> {
        self.arguments.iter().find(|argument| argument.id == id).map(|argument| &argument.value)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Argument> {
        self.arguments.iter_mut()
    }
}

fn unknown(descriptor: &Descriptor, parameters: &[&Parameter], name: &str) -> ArgumentError {
    let shown: String = name.chars().take(80).collect();
    if descriptor.inputs.iter().any(|input| input.id == name) {
        return ArgumentError::Ours { name: shown };
    }
    let known: Vec<String> = parameters.iter().map(|parameter| parameter.id.clone()).collect();
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    ArgumentError::Unknown { name: shown, nearest, known }
}

/// The value of a parameter; none for one that is optional, and has none.
fn value(parameter: &Parameter, said: Option<&str>) -> Result<Option<(Scalar, Origin)>, ArgumentError> {
    let name = || parameter.id.clone();
    let kind = Kind::of(parameter);
    // Nothing is no number: as if it had not been said.
    let said = said.filter(|text| kind == Kind::Text && !parameter.attachment || !text.is_empty());
    if let Some(text) = said {
        if text.contains('\0') {
            let what = "holds a NUL byte, which no program can be given; leave it out";
            return Err(ArgumentError::Unsuitable { name: name(), what });
        }
        if text.len() > LONGEST {
            let what = "is longer than 100 kB, which no program can be given; put it in a file";
            return Err(ArgumentError::Unsuitable { name: name(), what });
        }
        if parameter.attachment {
            attachment::check(parameter, text)?;
        }
        let shown = || text.chars().take(80).collect();
        let value = kind.read(text).ok_or_else(|| ArgumentError::Type {
            name: name(),
            found: shown(),
            wanted: kind.wanted(),
        })?;
        if !parameter.choices.is_empty()
            && !parameter.choices.iter().any(|choice| is_same(&choice.value, &value))
        {
            let choices = parameter.choices.iter().map(|choice| choice.value.to_string()).collect();
            return Err(ArgumentError::Choice { name: name(), found: shown(), choices });
        }
        return Ok(Some((value, Origin::Call)));
    }
    let default = parameter.default.as_ref().filter(|default| {
        // An empty text stands for "none" wherever it is no text.
        let is_empty = matches!(default, Scalar::Text(text) if text.is_empty());
        !parameter.attachment && (kind == Kind::Text || !is_empty)
    });
    if let Some(default) = default {
        let text = default.to_string();
        let value = kind.read(&text).filter(|_| !text.contains('\0') && text.len() <= LONGEST);
        return match value {
            Some(value) => Ok(Some((value, Origin::Default))),
            None => Err(ArgumentError::Default {
                name: name(),
                found: text.chars().take(80).collect(),
                wanted: kind.wanted(),
            }),
        };
    }
    if parameter.optional == Some(true) {
        Ok(None)
    } else {
        Err(ArgumentError::Missing { name: name(), attachment: parameter.attachment })
    }
}

fn is_same(choice: &Scalar, value: &Scalar) -> bool {
    match (choice, value) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a choice beyond 53 bits is none that anybody types as a float"
        )]
        (Scalar::Integer(whole), Scalar::Float(number)) | (Scalar::Float(number), Scalar::Integer(whole)) => {
            *whole as f64 == *number
        }
        _ => choice == value || choice.to_string() == value.to_string(),
    }
}

/// What the text of a call is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// Any text.
    Text,
}

impl Kind {
    /// The kind of a parameter.
    #[must_use]
    pub const fn of(parameter: &Parameter) -> Self {
        match parameter.kind {
            Type::Integer => Self::Integer,
            Type::Float => Self::Float,
            Type::Boolean => Self::Boolean,
            Type::Number => match parameter.default {
                Some(Scalar::Float(_)) => Self::Float,
                _ => Self::Integer,
            },
            _ => Self::Text,
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "true or false",
            Self::Text => "text",
        }
    }

    fn read(self, text: &str) -> Option<Scalar> {
        let trimmed = text.trim();
        match self {
            Self::Text => Some(Scalar::Text(text.to_owned())),
            Self::Integer => whole(trimmed).map(Scalar::Integer),
            Self::Float => {
                let is_number = |letter: char| letter.is_ascii_digit() || "+-.eE".contains(letter);
                let number = trimmed.parse().ok().filter(|_| trimmed.chars().all(is_number));
                number.filter(|number: &f64| number.is_finite()).map(Scalar::Float)
            }
            Self::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "1" => Some(Scalar::Boolean(true)),
                "false" | "no" | "n" | "off" | "0" => Some(Scalar::Boolean(false)),
                _ => None,
            },
        }
    }
}

/// `30`, and `30.0` too: forms for numbers write that.
fn whole(text: &str) -> Option<i64> {
    let text = match text.split_once('.') {
        Some((whole, fraction)) if !whole.is_empty() && fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CELLPOSE: &str = r#"{"schema-version": "cytomine-0.1", "name": "cp", "description": "",
        "command-line": "x", "container-image": {"image": "org/t_cp", "type": "singularity"}, "inputs": [
        {"id": "diameter", "type": "Number", "default-value": 0},
        {"id": "prob", "type": "Number", "default-value": 0.5},
        {"id": "model", "type": "String", "value-choices": ["nuclei", "cyto"], "default-value": "nuclei"},
        {"id": "use_gpu", "type": "Boolean", "default-value": true},
        {"id": "needed", "type": "String"},
        {"id": "maybe", "type": "Number", "optional": true},
        {"id": "broken", "type": "Number", "default-value": "many", "optional": true},
        {"id": "images", "type": "String", "set-by-server": true}]}"#;

    fn call(given: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let descriptor = Descriptor::read("descriptor.json", CELLPOSE.as_bytes()).expect("it is one");
        let given: Vec<_> = given.iter().map(|text| assignment(text).expect("it is one")).collect();
        match Arguments::of(&descriptor, &given) {
            Ok(arguments) => {
                Ok(arguments.iter().map(|one| format!("{}={}", one.variable, one.value)).collect())
            }
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn values_are_typed_and_in_the_descriptors_order() {
        let values =
            call(&["needed=a = b", "prob=1", "diameter=30.0", "use_gpu=no", "broken=1"]).expect("a call");
        assert_eq!(
            values,
            ["DIAMETER=30", "PROB=1.0", "MODEL=nuclei", "USE_GPU=False", "NEEDED=a = b", "BROKEN=1"]
        );
    }

    #[test]
    fn an_empty_text_is_a_value_and_an_empty_number_is_none() {
        let values = call(&["needed=", "maybe=", "broken=2"]).expect("a call");
        assert_eq!(values, ["DIAMETER=0", "PROB=0.5", "MODEL=nuclei", "USE_GPU=True", "NEEDED=", "BROKEN=2"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_together() {
        let problems = call(&[
            "diamter=3",
            "diameter=3.5",
            "model=Nuclei",
            "use_gpu=maybe",
            "images=x",
            "zz=1",
            "prob=1e999",
        ])
        .expect_err("wrong");
        assert_eq!(
            problems,
            [
                "there is no parameter \"diamter\"; did you mean diameter?",
                "images is a folder of the run, which is set by itself; leave it out",
                "there is no parameter \"zz\"; there are diameter, prob, model, use_gpu, needed, maybe, broken",
                "diameter is \"3.5\", where a whole number is wanted",
                "prob is \"1e999\", where a number is wanted",
                "model is \"Nuclei\"; it may be nuclei, cyto",
                "use_gpu is \"maybe\", where true or false is wanted",
                "needed is missing; give it as needed=VALUE",
                "broken has the default \"many\", which is not a whole number: give it a value, and tell whoever keeps the workflow",
            ]
        );
        let nul = call(&["needed=a\0b", "broken=1"]).expect_err("wrong");
        assert_eq!(nul, ["needed holds a NUL byte, which no program can be given; leave it out"]);
    }

    #[test]
    fn what_is_given_twice_or_is_no_assignment_is_told() {
        assert_eq!(
            call(&["needed=1", "needed=2", "broken=1"]).expect_err("wrong"),
            ["needed is given more than once; give it once"]
        );
        assert!(assignment("diameter").is_err());
        assert!(assignment("=3").is_err());
    }

    proptest! {
        #[test]
        fn a_number_that_is_taken_reads_back_as_itself(text in "[-+0-9.eE ]{0,24}") {
            for kind in [Kind::Integer, Kind::Float] {
                if let Some(value) = kind.read(&text) {
                    prop_assert_eq!(kind.read(&value.to_string()), Some(value));
                }
            }
        }
    }
}
