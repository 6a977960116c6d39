//! What the configuration and the descriptors of workflows ask for: images and job scripts.

use biomero_config::slurm_config::Workflow;
use biomero_slurm::setup::images;
use biomero_slurm::setup::item::{Became, Item};
use biomero_slurm::setup::scripts::Script;
use biomero_slurm::workflow::catalogue::Entry;
use biomero_slurm::workflow::{Image, Program, Site, script};

use crate::ended::Ended;
use crate::slurm::Context;

/// See the module.
pub(super) struct Wanted {
    pub(super) images: Vec<images::Wanted>,
    pub(super) scripts: Vec<Script>,
    /// Whether a program is to be put there that converts images.
    pub(super) converts: bool,
    /// What cannot be had, and why. One workflow that is wrong does not stop the others.
    pub(super) refused: Vec<Item>,
}

impl Wanted {
    /// Of these workflows; of all, and of the converters, where none is named.
    pub(super) async fn of(
        context: &Context<'_>,
        named: &[String],
        program: Option<&Program>,
    ) -> Result<Self, Ended> {
        let configured = &context.biomero.workflows;
        if let Some(unknown) = named.iter().find(|name| !configured.iter().any(|known| known.name == **name))
        {
            let known = configured.iter().map(|workflow| workflow.name.clone()).collect();
            return Err(Ended::NoWorkflow { name: unknown.clone(), known });
        }
        let mut wanted =
            Self { images: Vec::new(), scripts: Vec::new(), converts: false, refused: Vec::new() };
        let chosen: Vec<Workflow> = configured
            .iter()
            .filter(|known| named.is_empty() || named.contains(&known.name))
            .cloned()
            .collect();
        let template = context.template()?;
        let site = context.site(template.as_deref(), program);
        let entries = context.catalogue()?.all(&chosen, false).await;
        for (workflow, entry) in chosen.iter().zip(entries) {
            wanted.add(&site, workflow, entry);
        }
        if named.is_empty() {
            wanted.script(script::of_conversion(&site));
            wanted.converts = site.program.is_some();
            for converter in images::Wanted::converters(&context.biomero) {
                match converter {
                    // The program is in its place.
                    Ok(converter) if wanted.converts && converter.of == Program::CONVERSION => {}
                    Ok(converter) => wanted.images.push(converter),
                    Err(error) => wanted.refused.push(failed("image", "[CONVERTERS]", &error.to_string())),
                }
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, site: &Site<'_>, workflow: &Workflow, entry: Entry) {
        let found = match entry.found {
            Ok(found) => found,
            Err(error) => {
                self.refused.push(failed("descriptor", &workflow.name, &error.to_string()));
                return;
            }
        };
        if let Some(warning) = &found.warning {
            tracing::warn!("{warning}");
        }
        let image = &found.descriptor.image;
        let version = Image::of(image).version(workflow.repository.as_deref());
        match images::Wanted::of_workflow(&site.slurm.images_path, workflow, image, &version) {
            Ok(image) => self.images.push(image),
            Err(error) => self.refused.push(failed("image", &workflow.name, &error.to_string())),
        }
        match script::of(workflow, &found.descriptor, site) {
            Ok(script) => self.script(script),
            Err(error) => self.refused.push(failed("script", &workflow.name, &error.to_string())),
        }
    }

    /// Without a text the site keeps it in a repository.
    fn script(&mut self, script: script::Script) {
        if let Some(text) = script.text {
            self.scripts.push(Script { path: script.path.into(), text });
        }
    }
}

fn failed(kind: &'static str, name: &str, reason: &str) -> Item {
    Item::new(kind, name, Became::Failed).told(reason)
}
