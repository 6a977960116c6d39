//! The check of effects. Pure: what a path leads to is the business of [`crate::confine`], when it is applied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::parse::is_normal;
use super::refusal::{Refusals, short};
use super::{Grants, PathGrant};
use crate::effect::{CommandEffect, Effect, FileEffect};

/// What no grant covers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protected {
    /// `init`'s own files and directories, with everything below them.
    pub(crate) own: Vec<PathBuf>,
    /// Files that other hooks of this start rendered, with the hook's name. Only a grant of exactly that path covers
    /// one.
    pub(crate) rendered: BTreeMap<PathBuf, String>,
}

/// Bytes of a variable's value, as the kernel's limit on one string leaves room for.
const VALUE: usize = 32 << 10;
/// Words of a command that are told when it is refused.
const WORDS: usize = 8;
/// Variables that one plan sets.
const VARIABLES: usize = 256;
/// Bytes of their names and values together: with more of them the kernel starts no program any longer.
const ALL_VARIABLES: usize = 256 << 10;

/// Variables by which whoever sets them decides what other programs run: a pattern does not cover them, only the name.
const POWERFUL: [&str; 16] = [
    "PATH",
    "HOME",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "OMERODIR",
    "ICE_CONFIG",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PERL5OPT",
    "GCONV_PATH",
    "TMPDIR",
];
/// The same, by how they begin.
const POWERFUL_BEGINNINGS: [&str; 6] = ["LD_", "PYTHON", "BASH_FUNC_", "GLIBC_", "MALLOC_", "BIOMERO_INIT_"];

impl Grants {
    /// Everything among the effects that is not granted, in their order.
    ///
    /// `rule` says of a path that is granted why it may not be changed all the same, by what is there.
    pub(crate) fn check(
        &self,
        effects: &[Effect],
        protected: &Protected,
        rule: &dyn Fn(&Path) -> Option<String>,
    ) -> Refusals {
        let mut check = Check { grants: self, protected, rule, refusals: Refusals::default() };
        effects.iter().for_each(|effect| check.effect(effect));
        check.all_variables(effects);
        check.refusals
    }

    /// The paths that a grant names exactly.
    pub(crate) fn written_exactly(&self) -> impl Iterator<Item = &Path> {
        self.write.iter().filter_map(|grant| match grant {
            PathGrant::Exact(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// Whether a grant names exactly this path.
    pub(crate) fn may_write_exactly(&self, path: &Path) -> bool {
        self.written_exactly().any(|granted| granted == path)
    }

    /// Whether a variable may be set.
    fn may_set(&self, name: &str) -> bool {
        let powerful = POWERFUL.contains(&name)
            || POWERFUL_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
        self.set.iter().any(|grant| grant.matches(name) && (grant.is_exact() || !powerful))
    }
}

struct Check<'a> {
    grants: &'a Grants,
    protected: &'a Protected,
    rule: &'a dyn Fn(&Path) -> Option<String>,
    refusals: Refusals,
}

impl Check<'_> {
    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Directory { path, mode, .. } => {
                let tried = format!("make the directory {}", shown(path));
                self.write(&tried, path);
                self.mode(&tried, *mode);
            }
            Effect::File(file) => self.file(file),
            Effect::Remove { path } => self.write(&format!("remove {}", shown(path)), path),
            Effect::MoveAside { path, to, .. } => {
                let tried = format!("move {} to {}", shown(path), shown(to));
                self.write(&tried, path);
                self.write(&tried, to);
                if path.parent() != to.parent() {
                    self.refuse(&tried, "something is moved aside within its own directory");
                }
            }
            Effect::Variable { name, value } => {
                self.variable(name, value.as_ref().map(|value| value.reveal()));
            }
            Effect::WaitTcp { address, .. } => {
                if !self.grants.wait.iter().any(|grant| grant.matches(address)) {
                    let rule = format!("not granted; to allow it: wait = [{:?}]", short(address));
                    self.refuse(&format!("wait for {}", short(address)), &rule);
                }
            }
            Effect::WaitPath { path, .. } => {
                let tried = format!("wait for {}", shown(path));
                if let Err(rule) = self.may_know(path) {
                    self.refuse(&tried, &rule);
                }
            }
            Effect::Command(command) => self.command(command),
            Effect::Notice(_) => {}
        }
    }

    fn file(&mut self, file: &FileEffect) {
        let tried = format!("write {}", shown(&file.path));
        self.write(&tried, &file.path);
        self.mode(&tried, file.mode);
        if let Some(lock) = &file.lock {
            self.write(&format!("take the lock {}", shown(&lock.path)), &lock.path);
        }
    }

    fn variable(&mut self, name: &str, value: Option<&str>) {
        let tried = format!("set the variable {}", short(name));
        if name.is_empty() || name.contains(['=', '\0']) {
            self.refuse(&tried, "a name has no = and is not empty");
        } else if !self.grants.may_set(name) {
            let rule = format!(
                "not granted; to allow it: set = [{:?}] (some names a * does not cover)",
                short(name)
            );
            self.refuse(&tried, &rule);
        } else if value.is_some_and(|value| value.contains('\0') || value.len() > VALUE) {
            self.refuse(&tried, "a value holds no NUL character and at most 32 KiB");
        }
    }

    /// Every program that is started later gets all of them.
    fn all_variables(&mut self, effects: &[Effect]) {
        let (mut count, mut bytes) = (0, 0);
        for effect in effects {
            if let Effect::Variable { name, value } = effect {
                count += 1;
                bytes += name.len() + value.as_ref().map_or(0, |value| value.reveal().len()) + "=\0".len();
            }
        }
        if count > VARIABLES {
            self.refuse(&format!("set {count} variables"), &format!("one plan sets at most {VARIABLES}"));
        }
        if bytes > ALL_VARIABLES {
            let rule =
                format!("all that one plan sets have at most {} KiB, names and values", ALL_VARIABLES >> 10);
            self.refuse(&format!("set variables of {} KiB", bytes.div_ceil(1024)), &rule);
        }
    }

    fn command(&mut self, command: &CommandEffect) {
        let argv = &command.argv;
        let words: Vec<String> = argv.iter().take(WORDS).map(|word| short(word)).collect();
        let more = if argv.len() > WORDS { " …" } else { "" };
        let tried = format!("run {}{more}", words.join(" "));
        let begins = |prefix: &Vec<String>| !prefix.is_empty() && argv.starts_with(prefix);
        let (granted, key) = if command.as_service_user {
            (self.grants.run.iter().any(begins), "run")
        } else {
            (self.grants.run_as_init.iter().any(begins), "run_as_init")
        };
        if argv.first().is_none_or(String::is_empty) || argv.iter().any(|word| word.contains('\0')) {
            self.refuse(&tried, "a command has a program, and no NUL character");
        } else if !granted {
            self.refuse(&tried, &format!("not granted; to allow it: {key} = [{words:?}]"));
        }
        for (name, value) in &command.environment {
            self.variable(name, Some(value.reveal()));
        }
        if let Some(directory) = &command.directory
            && let Err(rule) = self.may_know(directory)
        {
            self.refuse(&format!("{tried} in {}", shown(directory)), &rule);
        }
    }

    fn write(&mut self, tried: &str, path: &Path) {
        if let Some(rule) = self.may_write(path).err().or_else(|| (self.rule)(path)) {
            self.refuse(tried, &rule);
        }
    }

    /// What is granted to be read or written may be waited for and stood in.
    fn may_know(&self, path: &Path) -> Result<(), String> {
        if !is_normal(path) {
            return Err(NORMAL.to_owned());
        }
        if self.grants.may_read(path) || self.grants.write.iter().any(|grant| grant.covers(path)) {
            return Ok(());
        }
        Err(format!("not granted; to allow it: read = [{:?}]", shown(path)))
    }

    fn may_write(&self, path: &Path) -> Result<(), String> {
        if !is_normal(path) {
            return Err(NORMAL.to_owned());
        }
        if let Some(own) =
            self.protected.own.iter().find(|own| path.starts_with(own) || own.starts_with(path))
        {
            return Err(format!("{} belongs to init or its hooks, and no grant covers it", own.display()));
        }
        // The path itself comes first, then what is below it.
        let rendered = self.protected.rendered.range(path.to_owned()..);
        let kept = rendered
            .take_while(|(file, _)| file.starts_with(path))
            .find(|(file, _)| !self.grants.may_write_exactly(file));
        if let Some((file, hook)) = kept {
            let what = if file == path { "it".to_owned() } else { format!("{} below it", shown(file)) };
            return Err(format!(
                "the hook {hook} rendered {what} in this start; to allow it all the same, name the file: write = [{:?}]",
                shown(file)
            ));
        }
        if self.grants.write.iter().any(|grant| grant.covers(path)) {
            return Ok(());
        }
        Err(format!("not granted; to allow it: write = [{:?}]", shown(path)))
    }

    fn mode(&mut self, tried: &str, mode: u32) {
        if mode & !0o777 != 0 {
            let rule = "a mode has permission bits only, up to 777: set-uid, set-gid and sticky are refused";
            self.refuse(&format!("{tried} with mode {mode:o}"), rule);
        }
    }

    fn refuse(&mut self, tried: &str, rule: &str) {
        self.refusals.add(tried, rule);
    }
}

const NORMAL: &str = "a path is absolute and in its shortest form, without .. and without control characters";

fn shown(path: &Path) -> String {
    short(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Pattern;
    use super::*;
    use crate::effect::{Content, Lock, Owner, Text};

    fn grants() -> Grants {
        Grants {
            read: vec![PathGrant::Below("/data".into())],
            write: vec![
                PathGrant::Below("/opt/site".into()),
                PathGrant::Exact("/etc/pip.conf".into()),
                PathGrant::Below("/etc/biomero".into()),
                PathGrant::Matching { directory: "/srv".into(), name: Pattern::new("*.pem") },
            ],
            set: vec![Pattern::new("*_PROXY"), Pattern::new("LD_*"), Pattern::new("PATH")],
            wait: vec![Pattern::new("omeroserver:*")],
            run: vec![vec!["update-ca-certificates".to_owned()], vec!["git".to_owned(), "config".to_owned()]],
            ..Grants::default()
        }
    }

    fn protected() -> Protected {
        Protected {
            own: vec!["/etc/biomero/init.toml".into(), "/etc/biomero/hooks.d".into()],
            rendered: [
                (PathBuf::from("/opt/site/other"), "ice-config".to_owned()),
                ("/etc/pip.conf".into(), "pip".to_owned()),
            ]
            .into(),
        }
    }

    fn file(path: &str) -> FileEffect {
        FileEffect {
            path: path.into(),
            content: Content::Public(Vec::new()),
            mode: 0o644,
            owner: Owner::ServiceUser,
            lock: None,
        }
    }

    fn command(argv: &[&str], as_service_user: bool) -> Effect {
        Effect::Command(CommandEffect {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
            directory: None,
            as_service_user,
            deadline: Duration::from_secs(1),
            says: String::new(),
        })
    }

    fn variable(name: &str) -> Effect {
        Effect::Variable { name: name.to_owned(), value: Some(Text::from("x")) }
    }

    #[test]
    fn what_is_granted_passes() {
        let effects = [
            Effect::File(file("/opt/site/a/b")),
            Effect::File(file("/etc/pip.conf")),
            Effect::File(file("/srv/x.pem")),
            Effect::Directory { path: "/opt/site/d".into(), mode: 0o755, owner: Owner::ServiceUser },
            Effect::MoveAside { path: "/opt/site/a".into(), to: "/opt/site/b".into(), reason: String::new() },
            Effect::Remove { path: "/opt/site/a".into() },
            Effect::WaitPath { path: "/data/x".into(), deadline: Duration::ZERO },
            Effect::WaitTcp { address: "omeroserver:4061".into(), deadline: Duration::ZERO },
            variable("HTTPS_PROXY"),
            variable("PATH"),
            command(&["update-ca-certificates", "--fresh"], true),
            Effect::Notice("anything".to_owned()),
        ];
        assert_eq!(grants().check(&effects, &protected(), &|_| None).told(), []);
    }

    #[test]
    fn what_is_not_granted_is_told_with_the_rule_and_the_line_to_write() {
        let locked = FileEffect {
            lock: Some(Lock { path: "/var/lock".into(), based_on: None }),
            ..file("/opt/site/locked")
        };
        let effects = [
            Effect::File(file("/etc/shadow")),
            Effect::File(file("/opt/site/../../etc/shadow")),
            Effect::File(file("../../etc/shadow")),
            Effect::File(file("/opt/sitewide")),
            Effect::File(file("/opt/site/a\nb")),
            Effect::File(file("/opt/site/nul\0")),
            Effect::File(file("/opt/site//a")),
            Effect::File(file(&format!("/opt/site/{}", "x".repeat(256)))),
            Effect::File(file("/etc/biomero/init.toml")),
            Effect::File(file("/etc/biomero/hooks.d/99-evil.sh")),
            Effect::Remove { path: "/etc/biomero".into() },
            Effect::File(file("/opt/site/other")),
            Effect::File(FileEffect { mode: 0o4755, ..file("/opt/site/suid") }),
            Effect::File(locked),
            Effect::Directory { path: "/srv/deep/x.pem".into(), mode: 0o1777, owner: Owner::Init },
            Effect::MoveAside {
                path: "/opt/site/a".into(),
                to: "/etc/pip.conf".into(),
                reason: String::new(),
            },
            Effect::WaitPath { path: "/etc/shadow".into(), deadline: Duration::ZERO },
            Effect::WaitTcp { address: "169.254.169.254:80".into(), deadline: Duration::ZERO },
            variable("LD_PRELOAD"),
            variable("A=B"),
            variable("HOME"),
            Effect::Variable { name: "X_PROXY".into(), value: Some(Text::from("a\0b")) },
            command(&["update-ca-certificates"], false),
            command(&["git"], true),
            command(&["git", "config-but-not", "x"], true),
            command(&["/bin/sh", "-c", "rm -rf /\x1b[2J"], true),
            command(&[], true),
        ];
        // As many at a time as are told.
        let told: Vec<String> = effects
            .chunks(10)
            .map(|effects| grants().check(effects, &protected(), &|_| None))
            .flat_map(|refusals| refusals.told().iter().map(ToString::to_string).collect::<Vec<_>>())
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_directory_that_holds_what_another_hook_rendered_is_left_alone() {
        let directory =
            |path: &str| Effect::Directory { path: path.into(), mode: 0o777, owner: Owner::ServiceUser };
        let mut protected = protected();
        protected.rendered.insert("/opt/site/app/etc/app.conf".into(), "app".to_owned());
        let aside = |path: &str, to: &str| Effect::MoveAside {
            path: path.into(),
            to: to.into(),
            reason: String::new(),
        };
        let effects = [
            aside("/opt/site/app", "/opt/site/old"),
            aside("/opt/site/old", "/opt/site/app/etc"),
            directory("/opt/site/app/etc"),
            Effect::Remove { path: "/opt/site/app".into() },
            Effect::File(file("/opt/site/app/etc")),
        ];
        let refused =
            |grants: &Grants, effects: &[Effect]| grants.check(effects, &protected, &|_| None).len();
        // The second has its parts in two directories, too.
        assert_eq!(refused(&grants(), &effects), effects.len() + 1);
        let told = grants().check(&effects[..1], &protected, &|_| None).told()[0].to_string();
        insta::assert_snapshot!(told, @r#"move /opt/site/app to /opt/site/old: the hook app rendered /opt/site/app/etc/app.conf below it in this start; to allow it all the same, name the file: write = ["/opt/site/app/etc/app.conf"]"#);
        // What lies beside is not kept, nor is what the site names.
        let beside = [directory("/opt/site/app/etc/other"), directory("/opt/site/application")];
        assert_eq!(refused(&grants(), &beside), 0);
        let mut named = grants();
        named.write.push(PathGrant::Exact("/opt/site/app/etc/app.conf".into()));
        assert_eq!(refused(&named, &effects[2..]), 0);
    }

    #[test]
    fn what_others_rendered_may_be_waited_for() {
        let wait = Effect::WaitPath { path: "/opt/site/other".into(), deadline: Duration::ZERO };
        assert_eq!(grants().check(&[wait], &protected(), &|_| None).told(), []);
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let effects = [Effect::File(file("/tmp/x")), variable("X"), command(&["true"], true)];
        assert_eq!(Grants::default().check(&effects, &Protected::default(), &|_| None).len(), effects.len());
    }

    #[test]
    fn of_many_refusals_the_first_are_told_each_in_a_few_words() {
        let long = "\u{202e}x".repeat(1 << 17);
        let effects: Vec<Effect> = (0..1000)
            .flat_map(|number| {
                [
                    Effect::File(file(&format!("/no/{number}/{long}"))),
                    variable(&long),
                    command(&[&long, &long], true),
                    Effect::WaitTcp { address: long.clone(), deadline: Duration::ZERO },
                ]
            })
            .take(100)
            .collect();
        let refusals = grants().check(&effects, &protected(), &|_| None);
        // The variables are too large together as well.
        assert_eq!((refusals.told().len(), refusals.len()), (20, effects.len() + 1));
        let told = refusals.to_string();
        assert!(told.ends_with("\n  and 81 more"), "{}", &told[told.len() - 100..]);
        assert!(told.len() < 20 * 8000 && !told.contains('\u{202e}'), "{} bytes", told.len());
    }

    #[test]
    fn the_variables_of_one_plan_leave_room_for_programs_to_start() {
        let set = |count: usize, bytes: usize| -> Vec<Effect> {
            let value = Some(Text::Public("x".repeat(bytes)));
            (0..count)
                .map(|number| Effect::Variable { name: format!("V{number:03}_PROXY"), value: value.clone() })
                .collect()
        };
        let refused = |effects: &[Effect]| grants().check(effects, &protected(), &|_| None).to_string();
        assert_eq!(refused(&set(256, 1000)), "");
        assert_eq!(refused(&set(8, (32 << 10) - 12)), "");
        insta::assert_snapshot!(refused(&set(257, 1)), @"set 257 variables: one plan sets at most 256");
        insta::assert_snapshot!(refused(&set(8, (32 << 10) - 11)), @"set variables of 257 KiB: all that one plan sets have at most 256 KiB, names and values");
    }

    proptest! {
        #[test]
        fn no_path_outside_the_grants_passes(path in "(/|\\.\\.|\\.|opt|site|etc|biomero|srv|a|\\n|x\\.pem|pip\\.conf){0,9}") {
            let refused = grants().check(&[Effect::File(file(&path))], &protected(), &|_| None);
            if refused.is_empty() {
                let inside = path.starts_with("/opt/site/")
                    || path == "/opt/site"
                    || path == "/etc/pip.conf"
                    || path == "/etc/biomero"
                    || path.starts_with("/etc/biomero/")
                    || path.starts_with("/srv/");
                prop_assert!(inside && !path.contains("..") && !path.contains("//"), "{path}");
            }
        }
    }
}
