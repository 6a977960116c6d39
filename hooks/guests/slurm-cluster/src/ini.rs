//! `slurm-config.ini` as Python's `configparser` reads it, for merging: a value is kept as it was written, whatever it
//! means.

use std::fmt;

use biomero_hooks_guest::HookError;

/// One file, or several as one. Sections and keys stay in the order in which they first came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    sections: Vec<Section>,
}

#[derive(Debug, PartialEq, Eq)]
struct Section {
    name: String,
    keys: Vec<Key>,
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// In lower case, as Python has it.
    name: String,
    /// The lines of its value; none for a key without `=`.
    value: Option<Vec<String>>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// What Python refuses, with the line.
    pub(crate) fn read(path: &str, text: &str) -> Result<Self, HookError> {
        let mut sections: Vec<Section> = vec![];
        let mut indentation = None;
        for (number, line) in text.lines().enumerate() {
            let refused = |problem: String, remedy: &str| {
                Err(HookError::invalid(format!("{path}:{}", number + 1), problem, remedy))
            };
            let content = line.trim();
            if content.starts_with(['#', ';']) {
                continue;
            }
            let current = sections.last_mut();
            if content.is_empty() {
                if let Some(lines) = current.and_then(Section::value_being_read) {
                    lines.push(String::new());
                }
                continue;
            }
            let depth = line.chars().take_while(|character| character.is_whitespace()).count();
            if let Some(lines) = current.and_then(Section::value_being_read)
                && indentation.is_some_and(|of_key| depth > of_key)
            {
                lines.push(content.to_owned());
                continue;
            }
            indentation = Some(depth);
            if let Some(name) =
                content.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')).map(|(name, _)| name)
            {
                if sections.iter().any(|section| section.name == name) {
                    return refused(format!("[{name}] is there twice"), "put both together");
                }
                sections.push(Section { name: name.to_owned(), keys: vec![] });
                indentation = None;
                continue;
            }
            let Some(section) = sections.last_mut() else {
                return refused(
                    "a key above the first [SECTION]".to_owned(),
                    "write a section above it, as [SLURM]",
                );
            };
            let (name, value) = match content.split_once(['=', ':']) {
                Some((name, value)) => (name.trim_end(), Some(vec![value.trim_start().to_owned()])),
                None => (content, None),
            };
            let name = name.to_lowercase();
            if section.keys.iter().any(|key| key.name == name) {
                return refused(format!("{name} is in [{}] twice", section.name), "keep one of them");
            }
            section.keys.push(Key { name, value });
        }
        Ok(Self { sections })
    }

    /// Lays a later file over this one: `[-SECTION]` deletes what was there before, then its keys win.
    pub(crate) fn overlay(&mut self, later: Self) {
        let (deletions, later): (Vec<_>, Vec<_>) =
            later.sections.into_iter().partition(|section| section.name.starts_with('-'));
        for deletion in deletions {
            self.delete(&deletion);
        }
        for section in later {
            match self.sections.iter_mut().find(|other| other.name == section.name) {
                Some(earlier) => earlier.overlay(section),
                None => self.sections.push(section),
            }
        }
    }

    fn delete(&mut self, deletion: &Section) {
        let name = &deletion.name[1..];
        if deletion.keys.iter().any(|key| key.name == "*") {
            self.sections.retain(|section| section.name != name);
        } else if let Some(section) = self.sections.iter_mut().find(|section| section.name == name) {
            for key in &deletion.keys {
                section.delete(&key.name);
            }
        }
    }

    /// Whether something in it must not be shown: what is called so, or a URL with a password.
    pub(crate) fn holds_secret(&self) -> bool {
        self.sections.iter().flat_map(|section| &section.keys).any(|key| {
            let is_called_so =
                ["password", "secret", "token", "credential"].iter().any(|word| key.name.contains(word));
            let has_password = |line: &String| {
                line.split_once("://").is_some_and(|(_, rest)| {
                    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
                })
            };
            is_called_so || key.value.iter().flatten().any(has_password)
        })
    }
}

impl Section {
    /// The lines of the last key's value, which a deeper line continues.
    fn value_being_read(&mut self) -> Option<&mut Vec<String>> {
        self.keys.last_mut()?.value.as_mut()
    }

    fn overlay(&mut self, later: Self) {
        for key in later.keys {
            match self.keys.iter_mut().find(|other| other.name == key.name) {
                Some(earlier) => *earlier = key,
                None => self.keys.push(key),
            }
        }
    }

    /// Deletes a key; the name of a workflow deletes everything of that workflow.
    fn delete(&mut self, name: &str) {
        let holds_workflows = matches!(self.name.as_str(), "MODELS" | "WORKFLOWS");
        self.keys.retain(|key| {
            let rest = key.name.strip_prefix(name);
            let of_workflow = rest.is_some_and(|rest| {
                matches!(rest, "_repo" | "_job" | "_use_gpu") || rest.starts_with("_job_")
            });
            !(rest == Some("") || holds_workflows && of_workflow)
        });
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, section) in self.sections.iter().enumerate() {
            if place > 0 {
                writeln!(formatter)?;
            }
            writeln!(formatter, "[{}]", section.name)?;
            for Key { name, value } in &section.keys {
                let Some(lines) = value else {
                    writeln!(formatter, "{name}")?;
                    continue;
                };
                let last = lines.iter().rposition(|line| !line.is_empty()).unwrap_or(0);
                writeln!(formatter, "{}", format!("{name} = {}", lines[0]).trim_end())?;
                for line in &lines[1..=last] {
                    writeln!(formatter, "{}", format!("    {line}").trim_end())?;
                }
            }
        }
        Ok(())
    }
}
