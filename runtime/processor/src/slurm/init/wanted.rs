//! What the configuration and the descriptors of workflows ask for: images and job scripts.

use biomero_slurm::setup::images;
use biomero_slurm::setup::item::{Became, Item};
use biomero_slurm::setup::scripts::Script;

use crate::ended::Ended;
use crate::slurm::Context;

/// See the module.
pub(super) struct Wanted {
    pub(super) images: Vec<images::Wanted>,
    pub(super) scripts: Vec<Script>,
    /// What cannot be had, and why. One workflow that is wrong does not stop the others.
    pub(super) refused: Vec<Item>,
}

impl Wanted {
    /// Of these workflows; of all, and of the converters, where none is named.
    pub(super) fn of(context: &Context<'_>, named: &[String]) -> Result<Self, Ended> {
        let configured = &context.biomero.workflows;
        if let Some(unknown) = named.iter().find(|name| !configured.iter().any(|known| known.name == **name))
        {
            let known = configured.iter().map(|workflow| workflow.name.clone()).collect();
            return Err(Ended::NoWorkflow { name: unknown.clone(), known });
        }
        let mut wanted = Self { images: Vec::new(), scripts: Vec::new(), refused: Vec::new() };
        if named.is_empty() {
            for converter in images::Wanted::converters(&context.biomero) {
                match converter {
                    Ok(converter) => wanted.images.push(converter),
                    Err(error) => wanted.refused.push(failed("image", "[CONVERTERS]", &error.to_string())),
                }
            }
        }
        Ok(wanted)
    }
}

fn failed(kind: &'static str, name: &str, reason: &str) -> Item {
    Item::new(kind, name, Became::Failed).told(reason)
}
