use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::confine::Confinement;
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::grants::PathGrant;

/// A machine with `init`'s files in `/etc/biomero` and another hook's `/etc/app/app.conf`; everything below `/opt` and
/// `/srv` is granted.
struct Stage {
    root: tempfile::TempDir,
    named: Vec<&'static str>,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc/biomero/hooks.d", "etc/app", "opt", "srv"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["etc/biomero/init.toml", "etc/biomero/hooks.d/50-x.toml", "etc/app/app.conf"] {
            fs::write(root.path().join(file), "x").unwrap();
        }
        Self { root, named: Vec::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// What is refused, below a root and, with the same files, on the machine itself.
    fn rules(&self, effects: &[Effect]) -> Vec<String> {
        let below_a_root = self.rules_on(Path::new(""), Disk::below(self.root.path()), effects);
        let mut effects = effects.to_vec();
        for effect in &mut effects {
            match effect {
                Effect::File(FileEffect { path, .. })
                | Effect::Directory { path, .. }
                | Effect::Remove { path } => *path = self.at(path.to_str().unwrap()),
                Effect::MoveAside { path, to, .. } => {
                    *path = self.at(path.to_str().unwrap());
                    *to = self.at(to.to_str().unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        let on_the_machine = self.rules_on(self.root.path(), Disk::below("/"), &effects);
        let shown = self.root.path().display().to_string();
        let on_the_machine: Vec<String> =
            on_the_machine.into_iter().map(|rule| rule.replace(&shown, "")).collect();
        assert_eq!(below_a_root, on_the_machine);
        below_a_root
    }

    fn rules_on(&self, prefix: &Path, disk: Disk, effects: &[Effect]) -> Vec<String> {
        let at = |path: &str| prefix.join(if prefix.as_os_str().is_empty() { path } else { &path[1..] });
        let mut grants = Grants {
            write: vec![PathGrant::Below(at("/opt")), PathGrant::Below(at("/srv"))],
            ..Grants::default()
        };
        // As an administrator grants the folder itself, which may be a symlink.
        for folder in ["/opt/site", "/opt/app", "/srv/conf"] {
            grants.write.insert(0, PathGrant::Below(at(folder)));
        }
        grants.write.extend(self.named.iter().map(|path| PathGrant::Exact(at(path))));
        let protected = Protected {
            own: ["/etc/biomero/init.toml", "/etc/biomero/init.d", "/etc/biomero/hooks.d"].map(at).into(),
            rendered: [(at("/etc/app/app.conf"), "app".to_owned())].into(),
        };
        let _confined = disk.confine(Confinement::of(&grants));
        disk.keep(Guard::of(&protected, &grants, &disk));
        let rule = |path: &Path| disk.rule(path).unwrap();
        grants.check(effects, &protected, &rule).told().iter().map(ToString::to_string).collect()
    }
}

fn file(path: &str) -> Effect {
    Effect::File(FileEffect {
        path: path.into(),
        content: Content::Public(Vec::new()),
        mode: 0o644,
        owner: Owner::ServiceUser,
        lock: None,
    })
}

fn directory(path: &str) -> Effect {
    Effect::Directory { path: path.into(), mode: 0o777, owner: Owner::ServiceUser }
}

fn remove(path: &str) -> Effect {
    Effect::Remove { path: path.into() }
}

fn aside(path: &str, to: &str) -> Effect {
    Effect::MoveAside { path: path.into(), to: to.into(), reason: String::new() }
}

#[test]
fn a_granted_symlink_does_not_lead_to_inits_own_files() {
    let stage = Stage::new();
    symlink("../etc/biomero", stage.at("/opt/site")).unwrap();
    let rules = stage.rules(&[
        file("/opt/site/init.toml"),
        remove("/opt/site/init.toml"),
        file("/opt/site/hooks.d/99-new.sh"),
        directory("/opt/site/hooks.d"),
        aside("/opt/site/hooks.d", "/opt/site/old"),
        // Not there yet.
        file("/opt/site/init.d/50-new.toml"),
        directory("/opt/site/init.d"),
    ]);
    insta::assert_snapshot!(rules.join("\n"));
    let beside = [
        file("/opt/site/other.toml"),
        file("/opt/site/new/init.toml"),
        directory("/opt/site/new"),
        file("/opt/other/init.toml"),
    ];
    assert_eq!(stage.rules(&beside), [""; 0]);
}

#[test]
fn nor_does_one_to_a_directory_above_them() {
    let stage = Stage::new();
    symlink("../etc", stage.at("/srv/conf")).unwrap();
    let rules = stage.rules(&[
        aside("/srv/conf/biomero", "/srv/conf/old"),
        directory("/srv/conf/biomero"),
        file("/srv/conf/biomero/hooks.d/50-x.toml"),
        aside("/srv/conf/app", "/srv/conf/old"),
        file("/srv/conf/app/app.conf"),
    ]);
    insta::assert_snapshot!(rules.join("\n"));
    assert_eq!(stage.rules(&[file("/srv/conf/app/other"), directory("/srv/conf/new")]), [""; 0]);
}

#[test]
fn a_hard_link_is_known_by_its_inode() {
    let stage = Stage::new();
    for (name, of) in
        [("a", "/etc/biomero/init.toml"), ("b", "/etc/biomero/hooks.d/50-x.toml"), ("c", "/etc/app/app.conf")]
    {
        fs::hard_link(stage.at(of), stage.at("/srv").join(name)).unwrap();
    }
    let rules = stage.rules(&[file("/srv/a"), file("/srv/b"), file("/srv/c"), file("/srv/d")]);
    insta::assert_snapshot!(rules.join("\n"));
}

#[test]
fn a_second_name_of_what_another_hook_rendered_can_be_granted_as_such() {
    let mut stage = Stage::new();
    symlink("../etc/app", stage.at("/opt/app")).unwrap();
    assert_eq!(stage.rules(&[file("/opt/app/app.conf")]).len(), 1);
    for named in ["/opt/app/app.conf", "/etc/app/app.conf"] {
        stage.named = vec![named];
        assert_eq!(stage.rules(&[file("/opt/app/app.conf")]), [""; 0], "{named}");
    }
    // For init's own there is no such grant.
    fs::remove_file(stage.at("/opt/app")).unwrap();
    symlink("../etc/biomero", stage.at("/opt/app")).unwrap();
    stage.named = vec!["/opt/app/init.toml", "/etc/biomero/init.toml"];
    assert_eq!(stage.rules(&[file("/opt/app/init.toml")]).len(), 1);
}

#[test]
fn what_is_inits_by_way_of_symlinks_is_kept_with_all_of_them() {
    let stage = Stage::new();
    // As Kubernetes mounts a volume.
    fs::create_dir_all(stage.at("/srv/volume/..2024")).unwrap();
    fs::rename(stage.at("/etc/biomero/init.toml"), stage.at("/srv/volume/..2024/init.toml")).unwrap();
    symlink("..2024", stage.at("/srv/volume/..data")).unwrap();
    symlink("..data/init.toml", stage.at("/srv/volume/init.toml")).unwrap();
    symlink("../../srv/volume/init.toml", stage.at("/etc/biomero/init.toml")).unwrap();
    let rules = stage.rules(&[
        remove("/srv/volume/..data"),
        file("/srv/volume/init.toml"),
        file("/srv/volume/..2024/init.toml"),
        aside("/srv/volume", "/srv/old"),
        file("/srv/volume/..2024/other"),
    ]);
    insta::assert_snapshot!(rules.join("\n"));
}

#[test]
fn a_bind_mount_is_known_by_what_is_mounted() {
    let inner = std::env::current_exe().unwrap();
    let name = "guard::tests::below_bind_mounts";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(inner)
        .args([name, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run in a mount namespace by a_bind_mount_is_known_by_what_is_mounted"]
fn below_bind_mounts() {
    let stage = Stage::new();
    for (from, to) in [
        ("/etc/biomero", "/opt/folder"),
        ("/etc", "/opt/above"),
        ("/etc/biomero/hooks.d/50-x.toml", "/opt/file"),
        ("/etc/app/app.conf", "/opt/conf"),
        ("/opt", "/opt/opt"),
    ] {
        let to = stage.at(to);
        if stage.at(from).is_dir() {
            fs::create_dir(&to).unwrap()
        } else {
            fs::write(&to, "").unwrap()
        }
        let status = Command::new("mount").arg("--rbind").arg(stage.at(from)).arg(to).status().unwrap();
        assert!(status.success());
    }
    let refused = [
        file("/opt/folder/init.toml"),
        file("/opt/folder/hooks.d/99-new.sh"),
        file("/opt/above/biomero/init.d/50-new.toml"),
        directory("/opt/above/biomero"),
        file("/opt/file"),
        file("/opt/conf"),
        file("/opt/opt/file"),
    ];
    let rules = stage.rules(&refused);
    assert_eq!(rules.len(), refused.len(), "{rules:#?}");
    assert_eq!(stage.rules(&[file("/opt/opt/other"), file("/opt/folder/other")]), [""; 0]);
}
