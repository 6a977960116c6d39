//! Files of this machine that a call attaches: where each goes, and what its parameter says then.
//!
//! Python sends one into the folder of images, `data/in`, where a workflow takes it for an image and a conversion for its
//! input, and two of the same name for one. Here each has a folder of its own beside it, `data/attached/VARIABLE`, in which it
//! is called as it is here. Its parameter is its path on the cluster, as of Python; containers see that, as they see images.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::arguments::{ArgumentError, Arguments};
use crate::data::LONGEST_NAME;
use crate::descriptor::{Parameter, Scalar};

/// A file or a folder that goes with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedFile {
    /// The parameter that it is for.
    pub parameter: String,
    /// Where it is on this machine, as the call says.
    pub source: PathBuf,
    /// Where it goes on the cluster.
    pub target: String,
}

/// Gives each attached file its place below a run's data folder; the arguments as the job gets them.
pub(super) fn placed(arguments: &Arguments, data: &str) -> (Arguments, Vec<AttachedFile>) {
    let mut arguments = arguments.clone();
    let mut files = Vec::new();
    for argument in arguments.iter_mut().filter(|argument| argument.attached) {
        let source = PathBuf::from(argument.value.to_string());
        // One that has no name is no argument: see `check`.
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let target = format!("{data}/data/attached/{}/{name}", argument.variable);
        argument.value = Scalar::Text(target.clone());
        files.push(AttachedFile { parameter: argument.id.clone(), source, target });
    }
    (arguments, files)
}

/// Whether a path may be attached: it has a name that fits, and ends as the descriptor says.
pub(super) fn check(parameter: &Parameter, path: &str) -> Result<(), ArgumentError> {
    let unsuitable = |what| Err(ArgumentError::Unsuitable { name: parameter.id.clone(), what });
    let Some(name) = Path::new(path).file_name() else {
        return unsuitable(
            "names neither a file nor a folder; give the path of one, which does not end in `..`",
        );
    };
    if name.len() > LONGEST_NAME {
        return unsuitable("has a file name that is longer than 200 bytes; rename the file");
    }
    let formats: Vec<&str> = parameter
        .format
        .iter()
        .map(|format| format.trim_start_matches('.'))
        .filter(|format| !format.is_empty())
        .collect();
    if formats.is_empty() || formats.iter().any(|format| ends_in(name, format)) {
        return Ok(());
    }
    Err(ArgumentError::Format {
        name: parameter.id.clone(),
        found: name.to_string_lossy().into_owned(),
        formats: formats.into_iter().map(str::to_owned).collect(),
    })
}

/// `weights.PT` in `pt`.
fn ends_in(name: &OsStr, format: &str) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    name.strip_suffix(format.to_ascii_lowercase().as_bytes()).is_some_and(|stem| stem.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Descriptor;

    const DESCRIPTOR: &str = r#"{"schema-version": "biomero-0.1", "name": "n", "description": "", "command-line": "x",
        "container-image": {"image": "org/n", "type": "oci"}, "inputs": [
        {"id": "model-a", "type": "file", "file-attachment": true, "format": [".PT", "onnx"]},
        {"id": "path", "type": "file", "file-attachment": true, "optional": true},
        {"id": "size", "type": "integer", "default-value": 3}]}"#;

    fn arguments(given: &[(&str, &str)]) -> Result<Arguments, String> {
        let descriptor = Descriptor::read("descriptor.json", DESCRIPTOR.as_bytes()).expect("a descriptor");
        let given: Vec<_> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arguments::of(&descriptor, &given)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn files_of_one_name_have_a_folder_each_and_are_called_as_here() {
        let given = [("model-a", "/a/the $(model)\n.pt"), ("path", "/b/the $(model)\n.pt/")];
        let (arguments, files) = placed(&arguments(&given).expect("arguments"), "data/run");
        let targets: Vec<_> = files.iter().map(|file| file.target.as_str()).collect();
        let there = [
            "data/run/data/attached/MODEL_A/the $(model)\n.pt",
            "data/run/data/attached/PARAM_PATH/the $(model)\n.pt",
        ];
        assert_eq!(targets, there);
        assert_eq!(files.first().map(|file| file.source.as_path()), Some(Path::new("/a/the $(model)\n.pt")));
        let values: Vec<_> = arguments.iter().map(|argument| argument.value.to_string()).collect();
        assert_eq!(values, [there[0], there[1], "3"], "what the job gets is where they are there");
    }

    #[test]
    fn what_may_be_left_out_is_and_an_empty_path_says_nothing() {
        let given = arguments(&[("model-a", "weights.Onnx"), ("path", "")]).expect("arguments");
        assert_eq!(placed(&given, "data/run").1.len(), 1);
        let missing = arguments(&[]).expect_err("it has to be said");
        assert!(missing.contains("give it as model-a=FILE"), "{missing}");
    }

    #[test]
    fn what_cannot_be_a_file_of_the_parameter_is_refused_by_name() {
        for (path, told) in [
            ("/a/table.csv", "model-a is \"table.csv\", where the name of a file ends in PT or onnx"),
            ("/a/pt", "ends in PT or onnx"),
            ("/a/..", "names neither a file nor a folder"),
            ("/", "names neither a file nor a folder"),
            (&format!("/a/{}.pt", "x".repeat(198)), "longer than 200 bytes"),
        ] {
            let refused = arguments(&[("model-a", path)]).expect_err("it is refused");
            assert!(refused.contains(told), "{path}: {refused}");
        }
    }
}
