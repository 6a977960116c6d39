//! `--set KEY=VALUE` as a layer.

use super::{Layer, dotted};
use crate::Origin;
use crate::reference::{self, Lookup};

/// The layer of all `--set` options; of several for one key the last wins.
pub(crate) fn of_command_line(options: &[(String, String)]) -> Layer {
    let mut layer = Layer::default();
    let origin = Origin::CommandLine;
    for (written, value) in options {
        let mut key: Vec<String> = match toml_edit::Key::parse(written) {
            Ok(segments) => segments.iter().map(|segment| segment.get().to_owned()).collect(),
            Err(_) => {
                let message = format!("\"{written}\" is not a key; write --set worker.port=4063");
                layer.problem(Vec::new(), &origin, &message);
                continue;
            }
        };
        if key.len() > 2 && key[0] == "properties" {
            key = vec![key[0].clone(), key[1..].join(".")];
        }
        match reference::look_up(&key) {
            Lookup::Value(setting) => layer.set(key, setting, setting.kind.read(value), &origin),
            Lookup::Section => {
                let (names, _) = reference::names_below(&key);
                let message =
                    format!("is a section; add one of its keys: {}.{}", dotted(&key), names.join(", ."));
                layer.problem(key, &origin, &message);
            }
            Lookup::Unknown => {
                // The suggestion is for the first segment that does not fit.
                let fits = (0..key.len())
                    .rev()
                    .find(|length| matches!(reference::look_up(&key[..*length]), Lookup::Section))
                    .unwrap_or(0);
                let name = key[fits].clone();
                layer.unknown(&key[..fits], &name, &origin);
            }
        }
    }
    layer.settle()
}
