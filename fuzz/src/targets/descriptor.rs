//! A descriptor: JSON where the first byte is even, YAML otherwise. What is read can be asked for and called.

use biomero_slurm::Descriptor;
use biomero_slurm::workflow::{Arguments, variable};

pub(crate) fn run(data: &[u8]) {
    let Some((first, content)) = data.split_first() else { return };
    let file = if first % 2 == 0 { "descriptor.json" } else { "descriptor.yaml" };
    let Ok(descriptor) = Descriptor::read(file, content) else { return };
    let _ = descriptor.takes_zarr();
    let names = variable::names(descriptor.parameters());
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    assert!(names.iter().all(|name| biomero_slurm::command::is_name(name)), "{names:?}");
    let given: Vec<_> =
        descriptor.parameters().map(|parameter| (parameter.id.clone(), "1".to_owned())).collect();
    for given in [Vec::new(), given] {
        if let Ok(arguments) = Arguments::of(&descriptor, &given) {
            assert!(arguments.iter().all(|argument| names.contains(&argument.variable)));
        }
    }
}
