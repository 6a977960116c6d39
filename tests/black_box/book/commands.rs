//! What the book says to type are commands that the programs know, with flags that they take.

mod shell;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use biomero_tests::{Result, Trouble, binary, command_line};

use super::page::Page;
use shell::commands;

/// What the worker's image, whose entrypoint `init` is, is called.
const IMAGE: &str = "biomero-worker";

/// Pages on which `init` is a verb of another program.
const VERBS: &[(&str, &str)] =
    &[("docs/slurm.md", "processor slurm"), ("docs/events.md", "processor events")];

/// The programs, and what they have said of themselves.
struct Programs {
    paths: BTreeMap<&'static str, PathBuf>,
    /// The usage of `cargo xtask`, which is not run: that would compile it.
    xtask: String,
    said: BTreeMap<Vec<String>, Option<String>>,
}

impl Programs {
    fn new() -> Result<Self> {
        let source = binary::workspace().join("xtask/src/main.rs");
        let source = std::fs::read_to_string(source).map_err(Trouble::doing("read the usage of xtask"))?;
        let usage =
            source.split_once("const USAGE: &str = \"\\\n").and_then(|(_, text)| text.split_once("\";"));
        let (usage, _) = usage.ok_or_else(|| Trouble::new("xtask/src/main.rs has no USAGE"))?;
        let paths = [
            ("init", binary::init()?),
            ("init-hooks", binary::compiler()?),
            ("processor", binary::processor()?),
        ];
        Ok(Self { paths: paths.into(), xtask: usage.to_owned(), said: BTreeMap::new() })
    }

    /// The help of a command, `None` where there is no such command.
    fn help(&mut self, program: &'static str, verbs: &[&str]) -> Option<String> {
        let key = std::iter::once(program).chain(verbs.iter().copied()).map(str::to_owned).collect();
        let path = &self.paths[program];
        self.said.entry(key).or_insert_with(|| command_line::help(path, verbs).ok()).clone()
    }

    /// What is wrong with a command, and how many of ours are in it.
    fn look_at(&mut self, words: &[&str]) -> Result<usize, String> {
        let first = words.iter().position(|word| !is_assignment(word)).unwrap_or(words.len());
        match &words[first..] {
            [] => Ok(0),
            ["docker", rest @ ..] => self.in_container(rest),
            ["cargo", "xtask", rest @ ..] => self.xtask(rest).map(|()| 1),
            [name, rest @ ..] => {
                let name = name.strip_prefix("/usr/local/bin/").unwrap_or(name);
                match self.paths.keys().copied().find(|known| *known == name) {
                    Some(program) => self.takes(program, rest).map(|below| below + 1),
                    None => Ok(0),
                }
            }
        }
    }

    /// `docker compose exec SERVICE COMMAND`; the words behind `run SERVICE` and `docker run … IMAGE` are `init`'s.
    fn in_container(&mut self, words: &[&str]) -> Result<usize, String> {
        let behind = |name: &str| words.iter().position(|word| *word == name).map(|at| &words[at + 1..]);
        let is_image = |word: &&str| word.split(':').next() == Some(IMAGE);
        match words.first() {
            Some(&"compose") => {
                if let Some([_service, command @ ..]) = behind("exec").map(without_flags) {
                    self.look_at(command)
                } else if let Some([_service, arguments @ ..]) = behind("run").map(without_flags) {
                    self.takes("init", arguments).map(|below| below + 1)
                } else {
                    Ok(0)
                }
            }
            Some(&"run") => match words.iter().position(is_image) {
                Some(at) => self.takes("init", &words[at + 1..]).map(|below| below + 1),
                None => Ok(0),
            },
            _ => Ok(0),
        }
    }

    fn xtask(&self, words: &[&str]) -> Result<(), String> {
        for (place, word) in words.iter().enumerate().filter(|(_, word)| !is_placeholder(word)) {
            let is_command =
                self.xtask.lines().any(|line| line.trim_start().starts_with(&format!("{word} ")));
            if place == 0 && !is_command || word.starts_with("--") && !mentions(&self.xtask, word) {
                return Err(format!("`cargo xtask` knows no `{word}`"));
            }
        }
        Ok(())
    }

    /// Follows the words from verb to verb.
    fn takes(&mut self, program: &'static str, words: &[&str]) -> Result<usize, String> {
        let (mut verbs, mut words) = (Vec::new(), words.iter().copied());
        let mut help =
            self.help(program, &[]).ok_or_else(|| format!("`{program} --help` does not answer"))?;
        while let Some(word) = words.next() {
            let of = || [&[program][..], &verbs].concat().join(" ");
            if word == "--" {
                return self.look_at(&words.collect::<Vec<_>>());
            }
            if word.starts_with('-') && word.len() > 1 {
                let (flag, has_value) = word.split_once('=').map_or((word, false), |(flag, _)| (flag, true));
                if !mentions(&help, flag) {
                    return Err(format!("`{} --help` knows no {flag}", of()));
                }
                if takes_value(&help, flag) && !has_value {
                    words.next();
                }
            } else if !command_line::commands(&help).is_empty() {
                if is_placeholder(word) {
                    return Ok(0);
                }
                help = self
                    .help(program, &[&verbs[..], &[word]].concat())
                    .ok_or_else(|| format!("`{}` has no command `{word}`", of()))?;
                verbs.push(word);
            }
        }
        Ok(0)
    }
}

/// Behind the flags of `docker compose exec` and `run`, which here are those without a value.
fn without_flags<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let flags = words.iter().take_while(|word| word.starts_with('-')).count();
    &words[flags..]
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
    })
}

/// `VERB`, `NAME`, `…`: any.
fn is_placeholder(word: &str) -> bool {
    word.contains('…') || word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '-')
}

/// Whether a flag stands in a help, as a word.
fn mentions(help: &str, flag: &str) -> bool {
    help.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).any(|word| word == flag)
}

/// Whether a line of the help says that a value follows.
fn takes_value(help: &str, flag: &str) -> bool {
    help.lines().any(|line| {
        let options = line.trim_start().split("  ").next().unwrap_or_default();
        options.starts_with('-') && mentions(options, flag) && options.contains(" <")
    })
}

#[test]
fn every_command_in_the_book_is_one_that_the_programs_know() -> Result<()> {
    let mut programs = Programs::new()?;
    let (mut wrong, mut known) = (Vec::new(), 0);
    let mut look = |place: &str, text: &str| {
        for command in commands(text) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match programs.look_at(&words) {
                Ok(ours) => known += ours,
                Err(why) => wrong.push(format!("{place}: `{}`: {why}", words.join(" "))),
            }
        }
    };
    for page in Page::all()? {
        for block in page.blocks() {
            if ["sh", "console", ""].contains(&block.language.as_str()) {
                look(&block.place, &block.text);
            }
        }
        let verb_of = VERBS.iter().find(|(path, _)| page.path == Path::new(path));
        for (number, span) in page.spans() {
            match verb_of {
                Some((_, program)) if span.split(' ').next() == Some("init") => {
                    look(&page.place(number), &format!("{program} {span}"));
                }
                _ => look(&page.place(number), span),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(known > 200, "only {known} commands were found: are they still written as before?");
    Ok(())
}
