//! A site's hook from its engineer's laptop to a worker's start-up: `init hooks context`, `test` and `pin`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::site_hook::{self, BANNER};
use biomero_tests::worker_root::{Deployment, INIT, OMERO, SERVICE_USER};
use biomero_tests::{Result, Trouble, binary, process, wait, worker_root};
use serde_json::Value;

/// A worker with the hook in C installed.
fn worker(scratch: &Scratch) -> Result<Namespace> {
    let mut deployment = Deployment::internal(4061);
    // Names that every machine resolves.
    deployment.master = "127.0.0.1".to_owned();
    deployment.name = "localhost".to_owned();
    deployment.settings = "[hooks]\ncompiler = \"/opt/biomero/bin/init-hooks\"\n".to_owned();
    for (name, value) in
        [("BIOMERO_SITE", "Example University"), ("BIOMERO_CONTACT", "http://a:wonderland@b")]
    {
        deployment.variables.push((name.to_owned(), value.to_owned()));
    }
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    let cache = namespace.path("/var/cache/biomero/hooks");
    fs::create_dir_all(&cache).map_err(Trouble::doing("make the cache"))?;
    worker_root::give(&cache, SERVICE_USER)?;
    BANNER.install(&site_hook::kept_banner(), namespace.root())?;
    Ok(namespace)
}

/// `init hooks WORK` on this machine.
fn hooks(scratch: &Scratch, arguments: &[&str], files: &[&Path]) -> Result<Output> {
    let mut command = Command::new(binary::init()?);
    command.arg("hooks").args(arguments).args(files).env("XDG_CACHE_HOME", scratch.path());
    command.env("BIOMERO_INIT_HOOKS__COMPILER", binary::compiler()?);
    process::output(&mut command, wait::PATIENCE)
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{:?}\n{out}\n{err}", output.status.code())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Trouble::new(format!("{error} in {text}")))
}

#[test]
fn a_context_recorded_in_the_worker_gives_the_same_effects_on_a_laptop_and_holds_no_secret() -> Result<()> {
    let scratch = Scratch::new()?;
    let namespace = worker(&scratch)?;
    let recorded = namespace.run(&["hooks", "context", "worker-banner"], wait::PATIENCE)?.exits(0)?;
    assert!(!recorded.output.contains("wonderland"), "{}", recorded.output);
    assert!(recorded.errors.contains("1 secrets are masked"), "{}", recorded.errors);
    let context = json(&recorded.output)?;
    assert_eq!(context["settings"]["worker.name"], "localhost");
    assert_eq!(context["environment"]["BIOMERO_SITE"], "Example University");
    assert_eq!(context["environment"]["PATH"], Value::Null, "what it did not ask for is not in it");

    let file = scratch.path().join("context.json");
    fs::write(&file, &recorded.output).map_err(Trouble::doing("write the context"))?;
    let hook = site_hook::kept_banner();
    let policy = BANNER.source("hook.toml");
    let policy = policy.to_string_lossy();
    let options = ["test", "--json", "--policy", &policy, "--context"];
    let tested = hooks(&scratch, &options, &[&file, &hook])?;
    assert_eq!(tested.status.code(), Some(0), "{}", said(&tested));
    let answer = json(&String::from_utf8_lossy(&tested.stdout))?;
    let planned = json(&namespace.run(&["--dry-run", "--json"], wait::PATIENCE)?.output)?;
    let in_worker = planned["hooks"]
        .as_array()
        .and_then(|hooks| hooks.iter().find(|hook| hook["name"] == "worker-banner"))
        .ok_or_else(|| Trouble::new("the dry run knows the hook"))?;
    let paths = |effects: &Value| -> Vec<Value> {
        effects.as_array().into_iter().flatten().map(|effect| effect["path"].clone()).collect()
    };
    assert_eq!(paths(&answer["effects"]), paths(&in_worker["effects"]));
    assert!(paths(&answer["effects"]).contains(&format!("{OMERO}/etc/motd").into()), "{answer:#}");
    Ok(())
}

#[test]
fn a_test_says_what_is_refused_what_is_unexpected_and_what_is_missing() -> Result<()> {
    let scratch = Scratch::new()?;
    let (hook, context) = (site_hook::kept_banner(), BANNER.source("context.json"));
    let policy = scratch.path().join("policy.toml");
    let toml = fs::read_to_string(BANNER.source("hook.toml")).map_err(Trouble::doing("read hook.toml"))?;
    let tighter = toml.replace("\"{omero.directory}/etc/motd\", ", "").replace("set = ", "# set = ");
    fs::write(&policy, tighter).map_err(Trouble::doing("write a policy"))?;
    let tight = policy.to_string_lossy();
    let refused = hooks(&scratch, &["test", "--policy", &tight, "--context"], &[&context, &hook])?;
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("write = [\"/opt/omero/server/OMERO.server/etc/motd\"]"), "{told}");
    assert!(told.contains("set = [\"BIOMERO_WORKER_IDENTITY\"]"), "{told}");

    // Without a policy it may not even ask.
    let alone = scratch.path().join("alone.wasm");
    fs::copy(&hook, &alone).map_err(Trouble::doing("copy a component"))?;
    let ungranted = hooks(&scratch, &["test", "--context"], &[&context, &alone])?;
    let told = said(&ungranted);
    assert_eq!(ungranted.status.code(), Some(1), "{told}");
    assert!(told.contains("grant it with settings = [\"master.host\"]"), "{told}");

    let wide = BANNER.source("hook.toml");
    let wide = wide.to_string_lossy();
    let expected = scratch.path().join("plan.json");
    let plan = fs::read_to_string(BANNER.source("plan.json")).map_err(Trouble::doing("read plan.json"))?;
    fs::write(&expected, plan.replace("Example University", "Another"))
        .map_err(Trouble::doing("write a plan"))?;
    let expect = expected.to_string_lossy();
    let options = ["test", "--policy", &wide, "--expect", &expect, "--context"];
    let unexpected = hooks(&scratch, &options, &[&context, &hook])?;
    let told = said(&unexpected);
    assert_eq!(unexpected.status.code(), Some(1), "{told}");
    assert!(told.contains("-      \"content\"") || told.contains("SITE='Another'"), "{told}");

    fs::write(&expected, "{\"settings\": 1}").map_err(Trouble::doing("write a context"))?;
    let malformed = hooks(&scratch, &["test", "--context"], &[&expected, &hook])?;
    let told = said(&malformed);
    assert_eq!(malformed.status.code(), Some(1), "{told}");
    assert!(told.contains("line 1") && told.contains("init hooks context"), "{told}");
    Ok(())
}

#[test]
fn a_pin_is_written_where_the_site_looks_for_it_and_only_there() -> Result<()> {
    let scratch = Scratch::new()?;
    let folder = scratch.folder("hooks.d")?;
    let (hook, module) = (folder.join("greeting.wasm"), folder.join("module.wasm"));
    fs::copy(site_hook::kept_banner(), &hook).map_err(Trouble::doing("copy a component"))?;
    let pinned = hooks(&scratch, &["pin"], &[&hook])?;
    assert_eq!(pinned.status.code(), Some(0), "{}", said(&pinned));
    let toml = fs::read_to_string(folder.join("50-greeting.toml")).map_err(Trouble::doing("read the pin"))?;
    let digest = process::succeed(Command::new("sha256sum").arg(&hook), wait::PATIENCE)?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    assert!(toml.contains("component = \"greeting.wasm\"\n") && toml.contains(digest), "{toml}");
    assert!(toml.ends_with("[grants]\n"), "{toml}");

    fs::write(&module, b"\0asm\x01\0\0\0").map_err(Trouble::doing("write a module"))?;
    for (file, reason) in [(&module, "core module"), (&folder.join("none.wasm"), "No such file")] {
        let refused = hooks(&scratch, &["pin"], &[file])?;
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(reason), "{}", said(&refused));
    }
    assert_eq!(fs::read_dir(&folder).map_err(Trouble::doing("list the folder"))?.count(), 3);
    Ok(())
}

#[test]
fn the_list_tells_what_each_hook_last_ran_as() -> Result<()> {
    let scratch = Scratch::new()?;
    let namespace = worker(&scratch)?;
    let listed = namespace.run(&["hooks"], wait::PATIENCE)?.exits(0)?.output;
    assert!(!listed.contains("worker-banner 1.0.0"), "{listed}");
    namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(0)?;
    let listed = namespace.run(&["hooks"], wait::PATIENCE)?.exits(0)?.output;
    assert!(listed.contains("ok, worker-banner 1.0.0"), "{listed}");

    // A hook that fails is told by the next look, although the start-up was aborted.
    worker_root::write(
        namespace.root(),
        "etc/biomero/hooks.d/97-broken.toml",
        "command = [\"/bin/false\"]\n",
        0o644,
    )?;
    namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(70)?;
    let listed = json(&namespace.run(&["hooks", "--json"], wait::PATIENCE)?.exits(0)?.output)?;
    let ran = |name: &str| {
        let hook = listed.as_array().and_then(|hooks| hooks.iter().find(|hook| hook["name"] == name));
        hook.map(|hook| hook["last_run"]["succeeded"].clone())
    };
    assert_eq!(
        (ran("worker-banner"), ran("broken")),
        (Some(true.into()), Some(false.into())),
        "{INIT} {listed:#}"
    );
    Ok(())
}
