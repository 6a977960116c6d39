//! `init hooks new`: the project is built by the commands in its README, and what it then plans in a worker's root
//! folder is what its `plan.json` promises. The toolchains are those that `cargo xtask guests` installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment, INIT};
use biomero_tests::{Result, Trouble, binary, process, tree};

const NAME: &str = "site-motd";
const SOON: Duration = Duration::from_secs(30);
/// A cold build, or an interpreter of 18 MB compiled by a compiler that was not optimised.
const BUILD: Duration = Duration::from_secs(540);

#[test]
fn a_new_project_in_rust_is_built_as_its_readme_says_and_plans_what_it_promises() -> Result<()> {
    let project = Project::new("rust")?;
    let compiler = rust()?.map(|rustc| format!("export RUSTC='{}'\n", rustc.display())).unwrap_or_default();
    project.share_target("guests/rust")?;
    project.run(&(compiler + &project.commands("Build")?), &[])?;
    project.plans_what_it_promises()?;
    project.share_target("guests/native")?;
    let tested = project.run("cargo test --locked", &[])?;
    assert!(tested.contains("1 passed"), "{tested}");
    Ok(())
}

#[test]
fn a_new_project_in_c_is_built_as_its_readme_says_and_plans_what_it_promises() -> Result<()> {
    process::output(Command::new("clang").arg("--version"), SOON).map_err(|_| missing("clang"))?;
    let project = Project::new("c")?;
    project.run(&project.commands("Build")?, &[])?;
    project.plans_what_it_promises()
}

#[test]
fn a_new_project_in_python_is_built_as_its_readme_says_and_plans_what_it_promises() -> Result<()> {
    let project = Project::new("python")?;
    let readme = project.read("README.md")?;
    let version = readme.split_once("componentize-py==").and_then(|(_, after)| after.lines().next());
    let tool = format!("componentize-py-{}", version.unwrap_or("of no version"));
    let programs = binary::cache().join(&tool).join("bin");
    if !programs.join("componentize-py").exists() {
        return Err(missing(&tool));
    }
    project.run(&project.commands("Build")?, &[&programs])?;
    project.plans_what_it_promises()
}

#[test]
fn a_second_project_in_the_same_folder_is_refused_and_changes_nothing() -> Result<()> {
    let project = Project::new("c")?;
    fs::write(project.folder.join("hook.c"), "ours").map_err(Trouble::doing("edit the hook"))?;
    let before = tree::read(&project.folder)?;
    let second = new(&project.folder, "rust", NAME)?;
    assert_eq!(second.status.code(), Some(73), "{}", process::both(&second));
    assert!(process::both(&second).contains("site-motd/hook.toml"), "{}", process::both(&second));
    assert_eq!(tree::differences(&before, &tree::read(&project.folder)?), Vec::<String>::new());

    let misnamed = new(&project.folder, "c", "Site_Motd")?;
    assert_eq!(misnamed.status.code(), Some(64), "{}", process::both(&misnamed));
    assert!(process::both(&misnamed).contains("lower case words"), "{}", process::both(&misnamed));
    Ok(())
}

/// A project that the real `init` wrote, and a worker's root folder to install it in.
struct Project {
    _scratch: Scratch,
    folder: PathBuf,
    root: PathBuf,
}

impl Project {
    fn new(language: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (folder, root) = (scratch.path().join(NAME), scratch.folder("root")?);
        worker_root::lay_out(&root, &Deployment::internal(4061))?;
        fs::create_dir_all(root.join("etc/biomero/hooks.d")).map_err(Trouble::doing("make hooks.d"))?;
        let made = new(&folder, language, NAME)?;
        assert_eq!(made.status.code(), Some(0), "{}", process::both(&made));
        Ok(Self { _scratch: scratch, folder, root })
    }

    fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.folder.join(path)).map_err(Trouble::doing(format!("read {path}")))
    }

    /// The project's `target` is one in ours: what the examples were built from need not be built again.
    fn share_target(&self, below: &str) -> Result<()> {
        let compiler = binary::compiler()?;
        let ours = compiler.parent().unwrap_or(&compiler).with_file_name(below);
        fs::create_dir_all(&ours).map_err(Trouble::doing(format!("make {}", ours.display())))?;
        let link = self.folder.join("target");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(ours, link).map_err(Trouble::doing("link the project's target"))
    }

    /// The last block of commands in a section of the README.
    fn commands(&self, section: &str) -> Result<String> {
        let readme = self.read("README.md")?;
        let found = readme.split("\n## ").find_map(|text| text.strip_prefix(section));
        let block = found
            .and_then(|text| text.rsplit_once("```sh\n"))
            .and_then(|(_, after)| after.split_once("```"))
            .map(|(block, _)| block.to_owned());
        block.ok_or_else(|| Trouble::new(format!("the README has no commands for {section}")))
    }

    /// Runs commands as they would be typed in the project's folder.
    fn run(&self, commands: &str, programs: &[&Path]) -> Result<String> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = self.root.join(INIT.trim_start_matches('/'));
        let first = own.parent().into_iter().chain(programs.iter().copied()).map(Path::to_owned);
        let path = std::env::join_paths(first.chain(std::env::split_paths(&inherited)))
            .map_err(|error| Trouble::new(error.to_string()))?;
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", commands]).current_dir(&self.folder).env("PATH", path);
        // What `init hooks test` compiles need not be compiled again by a start.
        shell.env("XDG_CACHE_HOME", self.root.join("var/cache"));
        for inherited in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"] {
            shell.env_remove(inherited);
        }
        process::succeed(&mut shell, BUILD)
    }

    /// Does what the README says from testing to installing, and compares what a start would do with `plan.json`.
    fn plans_what_it_promises(&self) -> Result<()> {
        let tested = self.run(&self.commands("Test")?, &[])?;
        assert!(tested.contains("file /opt/omero/server/OMERO.server/etc/motd 644"), "{tested}");
        self.run(&self.commands("Pin")?, &[])?;
        let hooks = format!("{}/etc/biomero/hooks.d", self.root.display());
        self.run(&self.commands("Install")?.replace("/etc/biomero/hooks.d", &hooks), &[])?;

        let context = json(&self.read("context.json")?)?;
        let told = |table: &str, key: &str| context[table][key].as_str().unwrap_or_default().to_owned();
        let mut init = Command::new(self.root.join(INIT.trim_start_matches('/')));
        init.args(["--dry-run", "--json", "--root"]).arg(&self.root).env_clear();
        init.env("BIOMERO_INIT_HOOKS__CACHE", "/var/cache/biomero-hooks");
        init.env("OMERODIR", told("settings", "omero.directory"));
        init.env("OMERO_WORKER_NAME", told("settings", "worker.name"));
        init.env("MOTD_CONTACT", told("environment", "MOTD_CONTACT"));
        init.env("CONFIG_omero_master_host", "127.0.0.1");
        let answer = process::output(&mut init, SOON)?;
        let plan = json(&String::from_utf8_lossy(&answer.stdout))?;
        let hook = plan["hooks"].as_array().and_then(|hooks| hooks.iter().find(|hook| hook["name"] == NAME));
        let hook = hook.ok_or_else(|| Trouble::new(format!("no {NAME} in {}", process::both(&answer))))?;
        assert!(hook["failure"].is_null(), "{hook:#}");
        let effects: Vec<_> = hook["effects"].as_array().into_iter().flatten().map(file_effect).collect();
        let promised = json(&self.read("plan.json")?)?;
        assert_eq!(serde_json::Value::from(effects), promised["effects"], "{hook:#}");
        Ok(())
    }
}

/// A file's effect in the words of `plan.json`: what a new file's diff adds is all that it holds.
fn file_effect(planned: &serde_json::Value) -> serde_json::Value {
    let diff = planned["diff"].as_str().unwrap_or_default();
    let added = diff.split_inclusive('\n').filter(|line| !line.starts_with("+++ "));
    let content: String = added.filter_map(|line| line.strip_prefix('+')).collect();
    serde_json::json!({
        "effect": planned["effect"], "path": planned["path"], "content": content,
        "mode": planned["mode"], "owner": planned["owner"],
    })
}

fn new(folder: &Path, language: &str, name: &str) -> Result<Output> {
    let mut init = Command::new(binary::init()?);
    init.args(["hooks", "new", name, "--lang", language, "--directory"]).arg(folder).env_clear();
    process::output(&mut init, SOON)
}

fn json(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| Trouble::new(format!("no JSON: {error}\n{text}")))
}

/// A Rust that builds for WebAssembly: none where the machine's own does.
fn rust() -> Result<Option<PathBuf>> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]);
    if Path::new(process::succeed(&mut rustc, SOON)?.trim()).exists() {
        return Ok(None);
    }
    let made =
        fs::read_dir(binary::cache()).into_iter().flatten().flatten().map(|entry| entry.path().join("rustc"));
    let newest = made.filter(|rustc| rustc.exists()).max();
    newest.map(Some).ok_or_else(|| missing("Rust for wasm32-unknown-unknown"))
}

fn missing(what: &str) -> Trouble {
    Trouble::new(format!("{what} is not there; run `cargo xtask guests`, which installs it"))
}
