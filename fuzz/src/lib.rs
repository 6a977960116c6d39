//! Hostile input for every parser of foreign text: the targets, and what they share (a hook planned over given facts, one
//! file below a root, images that are read, components compiled here).
//!
//! `cargo xtask fuzz` feeds them with what a fuzzer makes up (`examples/fuzzer.rs`); the tests with their seeds, damaged.

mod component;
mod targets;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use biomero_config::{Environment, Secret, Settings};
use biomero_export::Region;
use biomero_export::source::Source;
use biomero_hooks::{Context, Effect, Facts, Hook, HookError, Identity};

/// Whatever bytes it is given, it returns.
#[derive(Debug)]
pub struct Target {
    /// The name of its file.
    pub name: &'static str,
    /// The folder of files that the fuzzer starts from.
    pub seeds: &'static str,
    /// The bytes of an input at most.
    pub longest: u32,
    /// Takes one input; panics where something does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("slurm_config", "fuzz/seeds/slurm_config", 4096, targets::slurm_config::run),
    target(
        "omero_properties",
        "hooks/src/builtin/omero_properties/golden",
        4096,
        targets::omero_properties::run,
    ),
    target("ssh_keys", "fuzz/seeds/ssh_keys", 4096, targets::ssh_keys::run),
    target("settings", "fuzz/seeds/settings", 4096, targets::settings::run),
    target("site_hook", "fuzz/seeds/site_hook", 4096, targets::site_hook::run),
    target("component", "fuzz/seeds/component", 8192, targets::component::run),
    target("component_answer", "fuzz/seeds/component_answer", 4096, targets::component_answer::run),
    target("context", "hooks/guests/nat-worker", 8192, targets::context::run),
    target("event", "fuzz/seeds/event", 4096, targets::event::run),
    target("database_url", "fuzz/seeds/database_url", 1024, targets::database_url::run),
    target("descriptor", "fuzz/seeds/descriptor", 4096, targets::descriptor::run),
    target("tiff", "fuzz/seeds/tiff", 4096, targets::tiff::run),
    target("zarr", "fuzz/seeds/zarr", 4096, targets::zarr::run),
    target("ice", "fuzz/seeds/ice", 4096, targets::ice::run),
    target("omero", "fuzz/seeds/omero", 4096, targets::omero::run),
];

const fn target(name: &'static str, seeds: &'static str, longest: u32, run: fn(&[u8])) -> Target {
    Target { name, seeds, longest, run }
}

/// The shipped settings, and one property that needs every escape.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let mut settings = Settings::shipped();
    settings.properties.insert("omero.master.host".to_owned(), Secret::new("a<b>&\"c\"\n".to_owned()));
    settings
});

/// Plans a built-in over facts.
fn plan(hook: &dyn Hook, facts: Facts) -> Result<Vec<Effect>, HookError> {
    let environment = Environment::default();
    let identity = Identity {
        uid: 1000,
        gid: 1000,
        service_uid: 1000,
        service_gid: 1000,
        service_name: "omero-server".to_owned(),
        service_home: "/opt/omero/server".into(),
    };
    hook.plan(&Context { settings: &SETTINGS, environment: &environment, identity: &identity, facts })
}

/// A folder in memory that holds one file with this content at `path`; the same folder at every call.
fn root_with(path: &str, content: &[u8]) -> &'static Path {
    static ROOT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        tempfile::tempdir_in(parent).expect("a folder for one file")
    });
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a folder for one file");
    fs::write(path, content).expect("one file can be written");
    root.path()
}

/// Reads a corner of the last plane of each level.
fn look_at(image: &dyn Source) {
    for (number, level) in image.levels().iter().enumerate() {
        let shape = level.shape;
        let (height, width) = (shape.y.min(64), shape.x.min(64));
        let plane = shape.plane(shape.planes() - 1);
        let region = Region { plane, y: shape.y - height, x: shape.x - width, height, width };
        let mut samples = vec![0; region.samples() * image.sample_type().bytes()];
        let _ = image.read(number, &region, &mut samples);
    }
}
