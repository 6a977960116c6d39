//! What the fuzz targets share: a hook planned over given facts, one file below a root, images that are read, and components
//! compiled here.

pub mod component;

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use biomero_config::{Environment, Secret, Settings};
use biomero_export::source::Source;
use biomero_export::Region;
use biomero_hooks::{Context, Effect, Facts, Hook, HookError, Identity};

/// The shipped settings, and one property that needs every escape.
pub static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let mut settings = Settings::shipped();
    settings.properties.insert("omero.master.host".to_owned(), Secret::new("a<b>&\"c\"\n".to_owned()));
    settings
});

/// Plans a built-in over facts.
pub fn plan(hook: &dyn Hook, facts: Facts) -> Result<Vec<Effect>, HookError> {
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
pub fn root_with(path: &str, content: &[u8]) -> &'static Path {
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
pub fn look_at(image: &dyn Source) {
    for (number, level) in image.levels().iter().enumerate() {
        let shape = level.shape;
        let (height, width) = (shape.y.min(64), shape.x.min(64));
        let plane = shape.plane(shape.planes() - 1);
        let region = Region { plane, y: shape.y - height, x: shape.x - width, height, width };
        let mut samples = vec![0; region.samples() * image.sample_type().bytes()];
        let _ = image.read(number, &region, &mut samples);
    }
}
