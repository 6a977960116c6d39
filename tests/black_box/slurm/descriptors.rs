//! Descriptors, against the real Python: what it accepts means the same to us, what both refuse is told by file and key.

use biomero_slurm::Descriptor;
use biomero_tests::{Result, Trouble, biomero};
use serde_json::{Map, Value, json};

const ACCEPTED: &str = include_str!("../../fixtures/descriptors/accepted.txt");
const REFUSED: &str = include_str!("../../fixtures/descriptors/refused.txt");

/// Each descriptor of a file: its line after the mark, and its text.
fn cases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n=== ").skip(1).filter_map(|case| case.split_once('\n'))
}

fn python(name: &str) -> Result<Map<String, Value>> {
    let path = biomero::fixtures().join("../descriptors").join(name);
    let answer = biomero::run("descriptors.py", &[&path.to_string_lossy()], &[])?;
    serde_json::from_str(&answer).map_err(|error| Trouble::new(format!("{error}: {answer}")))
}

/// What we make of it, in the form of `descriptors.py`.
fn ours(descriptor: &Descriptor) -> Value {
    let parameters: Vec<Value> = descriptor
        .parameters()
        .map(|parameter| {
            json!({
                "name": parameter.id,
                "default": parameter.default.as_ref().map(biomero_slurm::descriptor::Scalar::to_json),
                "type": parameter.kind.name(),
                "optional": parameter.optional,
                "cmd_flag": parameter.command_flag(),
                "description": parameter.description,
                "file_attachment": parameter.attachment,
                "format": parameter.format,
            })
        })
        .collect();
    let choices: Map<String, Value> = descriptor
        .inputs
        .iter()
        .filter(|input| !input.choices.is_empty())
        .map(|input| {
            let choices: Vec<Value> =
                input.choices.iter().map(|choice| json!([choice.value.to_json(), choice.label])).collect();
            (input.id.clone(), choices.into())
        })
        .collect();
    json!({
        "name": descriptor.name,
        "image": descriptor.image,
        "zarr": descriptor.takes_zarr(),
        "parameters": parameters,
        "choices": choices,
    })
}

#[test]
fn what_python_accepts_means_the_same_to_us() -> Result<()> {
    let python = python("accepted.txt")?;
    let mut number = 0;
    for (name, text) in cases(ACCEPTED) {
        let theirs = python.get(name).ok_or_else(|| Trouble::new(format!("Python has no {name}")))?;
        assert!(theirs.get("error").is_none(), "Python refuses {name}: {theirs}");
        let descriptor =
            Descriptor::read(name, text.as_bytes()).map_err(|error| Trouble::new(error.to_string()))?;
        assert_eq!(&ours(&descriptor), theirs, "{name}");
        number += 1;
    }
    assert!(number >= 36, "only {number} descriptors were found");
    Ok(())
}

#[test]
fn what_both_refuse_is_told_by_file_and_key() -> Result<()> {
    let python = python("refused.txt")?;
    for (line, text) in cases(REFUSED) {
        let (name, said) =
            line.split_once(" | ").ok_or_else(|| Trouble::new(format!("{line} says nothing")))?;
        let theirs = python.get(name).ok_or_else(|| Trouble::new(format!("Python has no {name}")))?;
        assert!(theirs.get("error").is_some(), "Python accepts {name}: {theirs}");
        let Err(error) = Descriptor::read(name, text.as_bytes()) else {
            return Err(Trouble::new(format!("we accept {name}")));
        };
        let message = error.to_string();
        assert!(message.contains(said) && message.contains(name), "{name} is told as: {message}");
    }
    Ok(())
}
