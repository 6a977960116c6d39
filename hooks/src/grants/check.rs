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
mod tests;
