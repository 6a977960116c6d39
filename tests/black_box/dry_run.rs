//! A dry run says what a start would do, and does nothing.

use std::time::Duration;

use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{DATABASE_PASSWORD, Deployment, OMERO};
use biomero_tests::{Result, Trouble, binary, process, queue, tree};

const NOTHING: i32 = 0;
const SOMETHING: i32 = 2;

/// Above every start of `init` here, below the patience of a person.
const SOON: Duration = Duration::from_secs(30);

fn worker() -> Result<(queue::Turn, Scratch, Namespace)> {
    let turn = queue::turn()?;
    let scratch = Scratch::new()?;
    let namespace = Namespace::new(scratch.path(), Deployment::internal(4061), As::ServiceUser)?;
    Ok((turn, scratch, namespace))
}

#[test]
fn a_dry_run_changes_nothing_in_the_whole_tree() -> Result<()> {
    let (_turn, _scratch, namespace) = worker()?;
    // What entering the container mounts and links belongs to the container, not to the dry run.
    namespace.run(&["--version"], SOON)?;
    let before = tree::read(namespace.root())?;
    let plan = namespace.run(&["--dry-run"], SOON)?.exits(SOMETHING)?;
    let after = tree::read(namespace.root())?;
    assert_eq!(tree::differences(&before, &after), Vec::<String>::new());
    for expected in
        ["etc/biomeroworker.cfg", "etc/ice.config", "etc/grid/config.xml", ".ssh/id_ed25519", "20-site.sh"]
    {
        assert!(plan.output.contains(expected), "{expected} is not in the plan:\n{}", plan.output);
    }
    assert!(!plan.output.contains(DATABASE_PASSWORD), "the password is in the plan:\n{}", plan.output);
    assert!(!plan.output.contains("PRIVATE KEY"), "a key is in the plan:\n{}", plan.output);
    Ok(())
}

#[test]
fn a_dry_run_works_where_nothing_can_be_written() -> Result<()> {
    let (_turn, _scratch, mut namespace) = worker()?;
    let writable = namespace.run(&["--dry-run"], SOON)?.exits(SOMETHING)?;
    namespace.prepare("mount --bind \"$root\" \"$root\"; mount -o remount,bind,ro \"$root\"");
    // The mounts made before lie below the old root; the read-only one gets its own.
    namespace.prepare("mount --bind /usr \"$root/usr\"; mount -t proc proc \"$root/proc\"; mount --rbind /dev \"$root/dev\"");
    let refused = process::output(
        &mut namespace.command(&["/usr/bin/touch", &format!("{OMERO}/etc/ice.config")]),
        SOON,
    )?;
    assert!(
        process::both(&refused).contains("Read-only"),
        "the root folder is read-only: {}",
        process::both(&refused)
    );
    let read_only = namespace.run(&["--dry-run"], SOON)?.exits(SOMETHING)?;
    for line in writable.output.lines().filter(|line| line.starts_with("+++ ")) {
        assert!(
            read_only.output.contains(line),
            "{line} is in the read-only plan too:\n{}",
            read_only.output
        );
    }
    Ok(())
}

#[test]
fn after_a_start_a_dry_run_finds_nothing_to_do() -> Result<()> {
    let (_turn, _scratch, namespace) = worker()?;
    let script = namespace.path("/startup/20-site.sh");
    std::fs::remove_file(script).map_err(Trouble::doing("remove the site's script"))?;
    namespace.run(&["--", "/bin/true"], SOON)?.exits(0)?;
    namespace.run(&["verify"], SOON)?.exits(NOTHING)?;
    namespace.run(&["--dry-run"], SOON)?.exits(NOTHING)?;

    let node = namespace.path(&format!("{OMERO}/etc/biomeroworker.cfg"));
    std::fs::write(&node, "IceGrid.Node.Name=someone-else\n")
        .map_err(Trouble::doing("edit the node's file"))?;
    let drift = namespace.run(&["verify"], SOON)?.exits(SOMETHING)?;
    assert!(drift.output.contains("biomeroworker.cfg"), "the edited file is named:\n{}", drift.output);
    let plan = namespace.run(&["--dry-run"], SOON)?.exits(SOMETHING)?;
    assert!(
        plan.output.contains("-IceGrid.Node.Name=someone-else"),
        "a diff shows the edit:\n{}",
        plan.output
    );
    Ok(())
}

#[test]
fn the_plan_for_machines_is_json_with_the_same_files() -> Result<()> {
    let (_turn, _scratch, namespace) = worker()?;
    let plan = namespace.run(&["--dry-run", "--json"], SOON)?.exits(SOMETHING)?;
    let json: serde_json::Value = serde_json::from_str(&plan.output)
        .map_err(|error| Trouble::new(format!("no JSON: {error}\n{}", plan.output)))?;
    let text = json.to_string();
    assert!(text.contains("etc/biomeroworker.cfg") && text.contains("icegrid-node"), "{text}");
    assert!(!text.contains(DATABASE_PASSWORD), "{text}");
    Ok(())
}

#[test]
fn on_a_laptop_a_root_folder_stands_for_the_container() -> Result<()> {
    let (_turn, scratch, namespace) = worker()?;
    let before = tree::read(namespace.root())?;
    let mut laptop = std::process::Command::new(binary::init()?);
    laptop.arg("--root").arg(namespace.root()).arg("--dry-run").env_clear().env("PATH", "/usr/bin:/bin");
    laptop.env("CONFIG_omero_master_host", "localhost").env("OMERO_WORKER_NAME", "localhost");
    let plan = process::output(&mut laptop, SOON)?;
    assert_eq!(plan.status.code(), Some(SOMETHING), "{}", process::both(&plan));
    assert!(process::both(&plan).contains("localhost.cfg"), "{}", process::both(&plan));
    assert_eq!(tree::differences(&before, &tree::read(namespace.root())?), Vec::<String>::new());
    drop(scratch);
    Ok(())
}
