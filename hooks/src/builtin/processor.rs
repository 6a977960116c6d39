//! `processor`: the `python` that IceGrid's node finds first, by which OMERO's scripts are run by `processor`.
//!
//! The master's descriptor of Processor-0 says `python`, and the node looks for that on its `PATH`. So nothing has to be
//! changed on the master: a file of that name leads to `processor`, which goes on to the real Python wherever something
//! else is asked for. Whether it is us or OMERO's own code that is the processor then, `processor.mode` says.

use std::path::Path;

use crate::context::{Context, Need};
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct ProcessorHook;

/// What a kernel reads of a file's first line: execve(2), before Linux 5.1.
const LONGEST_LINE: usize = 127;

impl Hook for ProcessorHook {
    fn name(&self) -> &'static str {
        "processor"
    }

    fn summary(&self) -> &'static str {
        "gives IceGrid's node a `python` that is `processor` where OMERO asks for Processor-0"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let program = &context.settings.processor.program;
        program.parent().zip(name(program)).map(names).into_iter().collect()
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let processor = &context.settings.processor;
        let program = processor.program.display();
        let folder = processor.program.parent().unwrap_or(Path::new("/"));
        let is_there = name(&processor.program)
            .is_some_and(|name| context.facts.names(folder).iter().any(|found| found == name));
        if !is_there {
            let notice = format!(
                "{program} is not there, so that OMERO's own Python runs its scripts: set processor.program"
            );
            return Ok(vec![Effect::Notice(notice)]);
        }
        let content = shim(&processor.program);
        let first = content.lines().next().unwrap_or_default();
        if first.len() > LONGEST_LINE || processor.program.to_str().is_none_or(has_blanks) {
            return Err(HookError::Invalid {
                place: format!("processor.program ({program})"),
                problem: format!(
                    "cannot be the interpreter of a file: it has blanks, or its line more than {LONGEST_LINE} bytes"
                ),
                remedy: "set it to a short path without blanks, as /usr/local/bin/processor".to_owned(),
            });
        }
        Ok(vec![
            Effect::Directory { path: processor.shim.clone(), mode: 0o755, owner: Owner::Init },
            Effect::File(FileEffect {
                path: processor.shim.join("python"),
                content: Content::Public(content.into_bytes()),
                mode: 0o755,
                owner: Owner::Init,
                lock: None,
            }),
        ])
    }
}

fn name(program: &Path) -> Option<&str> {
    program.file_name().and_then(std::ffi::OsStr::to_str)
}

fn names((directory, suffix): (&Path, &str)) -> Need {
    Need::Names { directory: directory.to_owned(), suffix: suffix.to_owned() }
}

fn has_blanks(text: &str) -> bool {
    text.contains(char::is_whitespace)
}

/// The file's content. The kernel starts the program with the word, the file's path, and the arguments that were given.
fn shim(program: &Path) -> String {
    format!("#!{} grid-python\n", program.display())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::context::Facts;

    fn planned(edit: impl FnOnce(&mut Fixture), names: &[&str]) -> String {
        let mut fixture = Fixture::new();
        edit(&mut fixture);
        let folder = fixture.settings.processor.program.parent().unwrap().to_owned();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        fixture.shown(&ProcessorHook, Facts::default().with_names(folder, names))
    }

    #[test]
    fn the_node_finds_a_python_that_is_the_processor() {
        insta::assert_snapshot!(planned(|_| {}, &["processor", "other-processor"]), @"
        directory /usr/local/lib/biomero/bin 755 Init
        file /usr/local/lib/biomero/bin/python 755 Init
          | #!/usr/local/bin/processor grid-python
        ");
    }

    #[test]
    fn it_asks_whether_the_program_is_there_and_without_it_everything_stays_as_it_was() {
        let asked = Fixture::new().needs(&ProcessorHook);
        assert_eq!(asked, [names((Path::new("/usr/local/bin"), "processor"))]);
        insta::assert_snapshot!(planned(|_| {}, &["other-processor"]), @"notice: /usr/local/bin/processor is not there, so that OMERO's own Python runs its scripts: set processor.program");
    }

    #[test]
    fn what_the_kernel_cannot_start_is_refused() {
        for program in ["/opt/my programs/processor".to_owned(), format!("/{}/processor", "x".repeat(120))] {
            let planned =
                planned(|fixture| fixture.settings.processor.program = program.into(), &["processor"]);
            assert!(planned.contains("cannot be the interpreter of a file"), "{planned}");
        }
    }

    #[test]
    fn the_image_has_what_is_written_here() {
        let dockerfile = include_str!("../../../Dockerfile");
        let shipped = biomero_config::Settings::shipped().processor;
        let line = shim(&shipped.program);
        let written =
            format!("printf '%s\\n' '{}' > {}", line.trim_end(), shipped.shim.join("python").display());
        assert!(dockerfile.contains(&written), "the Dockerfile lacks\n{written}");
    }
}
