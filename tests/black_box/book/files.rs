//! What the book says to write into a file is what `init` reads.

use std::path::Path;
use std::process::Command;

use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment};
use biomero_tests::{Result, binary, process, wait};

use super::page::{Block, Page};

/// Its example is a component, which the tests of that page install and pin.
const OF_COMPONENTS: &str = "docs/site-hooks.md";

/// A worker's root folder for each example.
struct Example {
    scratch: Scratch,
}

impl Example {
    fn new() -> Result<Self> {
        let example = Self { scratch: Scratch::new()? };
        let mut deployment = Deployment::internal(4061);
        // Names that every machine resolves.
        deployment.master = "127.0.0.1".to_owned();
        deployment.name = "localhost".to_owned();
        worker_root::lay_out(example.scratch.path(), &deployment)?;
        Ok(example)
    }

    /// The file as the book has it, at `path`, and what a verb of `init` says then.
    fn says(&self, path: &str, block: &Block, verb: &[&str]) -> Result<Option<String>> {
        let file = worker_root::write(self.scratch.path(), path, &block.text, 0o644)?;
        let mut init = Command::new(binary::init()?);
        init.env_clear().arg("--root").arg(self.scratch.path()).args(verb);
        let output = process::output(&mut init, wait::PATIENCE)?;
        std::fs::remove_file(file).map_err(biomero_tests::Trouble::doing("remove an example"))?;
        let said = process::both(&output);
        let refused = !output.status.success() || said.contains("unknown key");
        Ok(refused.then(|| format!("{}: `init {}` says\n{said}", block.place, verb.join(" "))))
    }
}

/// The blocks in one language, of all pages.
fn blocks(language: &str) -> Result<Vec<Block>> {
    let pages = Page::all()?;
    let pages = pages.iter().filter(|page| page.path != Path::new(OF_COMPONENTS));
    Ok(pages.flat_map(Page::blocks).filter(|block| block.language == language).collect())
}

/// The name of the hook's file, where the first line of an example says that it is one.
fn hook(block: &Block) -> Option<String> {
    let first = block.text.lines().next()?.strip_prefix("# ")?;
    let name = first.split(": ").next()?.rsplit('/').next()?;
    let is_name = name.ends_with(".toml") && name.starts_with(|letter: char| letter.is_ascii_digit());
    (is_name && !first.contains("init.d")).then(|| name.to_owned())
}

#[test]
fn the_settings_in_the_book_are_settings() -> Result<()> {
    let example = Example::new()?;
    let mut refused = Vec::new();
    let settings: Vec<Block> = blocks("toml")?.into_iter().filter(|block| hook(block).is_none()).collect();
    assert!(settings.len() > 5, "only {} examples of settings were found", settings.len());
    for block in &settings {
        refused.extend(example.says("etc/biomero/init.d/50-example.toml", block, &["config"])?);
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}

#[test]
fn the_hooks_in_the_book_are_hooks() -> Result<()> {
    let example = Example::new()?;
    let mut refused = Vec::new();
    let mut tried = 0;
    for block in blocks("toml")? {
        let Some(name) = hook(&block) else { continue };
        tried += 1;
        refused.extend(example.says(&format!("etc/biomero/hooks.d/{name}"), &block, &["hooks"])?);
    }
    assert!(tried > 3, "only {tried} examples of hooks were found");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}

#[test]
fn each_slurm_config_in_the_book_is_one() -> Result<()> {
    let example = Example::new()?;
    let mut refused = Vec::new();
    let examples = blocks("ini")?;
    assert!(examples.len() > 3, "only {} examples of slurm-config.ini were found", examples.len());
    for block in &examples {
        refused.extend(example.says("opt/omero/server/slurm-config.ini", block, &["slurm-config"])?);
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}
