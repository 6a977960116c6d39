//! Job scripts: generated ones, edited ones, and those of a repository.

use biomero_tests::Result;
use biomero_tests::cluster::{Image, shared};
use serde_json::Value;

use super::stage::{Stage, names};

fn item<'a>(answer: &'a Value, kind: &str) -> &'a Value {
    let items = answer["items"].as_array();
    items.and_then(|items| items.iter().find(|item| item["kind"] == kind)).unwrap_or(&Value::Null)
}

#[test]
fn a_script_that_was_edited_by_hand_is_kept_until_it_is_to_be_replaced() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/edited:v1")?;
    let stage = Stage::new(&cluster, &work, "edited")?;
    stage.ask(&["init", "copy", "--wait"])?;
    let written = work.read("scripts/jobs/copy.sh")?;
    assert!(written.starts_with("#!"), "{written}");

    let edited = format!("{written}# ours\n");
    work.write("scripts/jobs/copy.sh", &edited)?;
    let (code, kept) = stage.ask(&["init", "copy", "--wait"])?;
    assert_eq!((code, &item(&kept, "script")["became"]), (0, &Value::from("kept")), "{kept:#}");
    assert_eq!(work.read("scripts/jobs/copy.sh")?, edited);

    let (_, replaced) = stage.ask(&["init", "copy", "--wait", "--force"])?;
    assert_eq!(item(&replaced, "script")["became"], "changed", "{replaced:#}");
    assert_eq!(work.read("scripts/jobs/copy.sh")?, written);
    let aside = names(&stage.path("scripts/jobs"), ".edited-");
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(work.read(&format!("scripts/jobs/{}", aside[0]))?, edited);
    Ok(())
}

#[test]
fn scripts_of_a_repository_follow_it_and_what_was_changed_by_hand_is_put_aside() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/repo:v1")?;
    let stage = Stage::new(&cluster, &work, "repo")?;
    let git = |line: &str| {
        let name = "git -c user.name=x -c user.email=x@example.org";
        cluster.run(&format!("cd {}/origin && {}", work.name(), line.replace("git ", &format!("{name} "))))
    };
    cluster.run(&format!("git init -q -b main {}/origin", work.name()))?;
    git("mkdir jobs && echo one > jobs/copy.sh && git add . && git commit -qm one")?;
    let origin = work.path().join("origin");
    stage.configure("repo", &format!("slurm_script_repo=file://{}", origin.display()))?;

    let became = |answer: &Value| item(answer, "repository")["became"].clone();
    let (_, planned) = stage.ask(&["init", "--dry-run"])?;
    assert_eq!(became(&planned), "would make", "{planned:#}");
    let (code, made) = stage.ask(&["init", "--wait"])?;
    assert_eq!((code, became(&made)), (0, Value::from("made")), "{made:#}");
    assert_eq!(work.read("scripts/jobs/copy.sh")?, "one\n", "nothing is generated over it");
    let (_, same) = stage.ask(&["init"])?;
    assert_eq!(became(&same), "there", "{same:#}");

    // The remote goes on with another history, and here somebody has changed and added files.
    git("echo two > jobs/copy.sh && git commit -qam two --amend")?;
    work.write("scripts/jobs/copy.sh", "by hand\n")?;
    work.write("scripts/new.sh", "new\n")?;
    let (code, moved) = stage.ask(&["init"])?;
    assert_eq!((code, became(&moved)), (0, Value::from("changed")), "{moved:#}");
    assert_eq!(work.read("scripts/jobs/copy.sh")?, "two\n");
    assert!(!stage.path("scripts/new.sh").exists());
    let scripts = format!("cd {}/scripts", work.name());
    let stash =
        cluster.run(&format!("{scripts} && git show 'stash@{{0}}:jobs/copy.sh' 'stash@{{0}}^3:new.sh'"))?;
    assert_eq!(stash, "by hand\nnew");
    let branches = cluster.run(&format!("{scripts} && git branch --list 'biomero-kept-*'"))?;
    assert_eq!(branches.lines().count(), 1, "{branches}");

    // A folder that is something else is left alone.
    cluster.run(&format!("{scripts} && rm -rf .git"))?;
    let (code, refused) = stage.ask(&["init"])?;
    assert_eq!((code, became(&refused)), (2, Value::from("failed")), "{refused:#}");
    assert_eq!(work.read("scripts/jobs/copy.sh")?, "two\n");

    // Git's own words, and nobody is asked for a password.
    cluster.run(&format!("rm -rf {}/scripts", work.name()))?;
    stage.configure("repo", "slurm_script_repo=file:///nowhere/scripts")?;
    let (code, refused) = stage.ask(&["init"])?;
    let told = item(&refused, "repository")["told"].as_str().unwrap_or_default().to_owned();
    assert!(code == 2 && told.contains("/nowhere/scripts") && told.contains("fatal"), "{refused:#}");
    Ok(())
}
