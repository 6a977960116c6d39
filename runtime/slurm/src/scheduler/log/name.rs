//! The name of a log: `omero-%j.log` becomes `omero-1234.log`; sbatch(1), "filename pattern".

use std::path::PathBuf;

use crate::job::JobId;

/// What stands for the letters.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The job, or the task of an array.
    pub id: JobId,
    /// The number that Slurm runs a task under, which is not its array's; the same as the job's where it is no array.
    pub raw: Option<u32>,
    /// The job's name.
    pub name: &'a str,
    /// Its owner.
    pub user: &'a str,
}

/// The path, relative where the pattern is: it begins at the job's folder. None where a letter stands for what is not known
/// (`%N`, the node), or for nothing.
#[must_use]
pub fn path(pattern: &str, names: &Names<'_>) -> Option<PathBuf> {
    // A backslash turns the letters off.
    if pattern.contains('\\') {
        return Some(PathBuf::from(pattern.replace('\\', "")));
    }
    let mut path = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            path.push(letter);
            continue;
        }
        let mut width = String::new();
        let letter = loop {
            match letters.next()? {
                digit if digit.is_ascii_digit() => width.push(digit),
                letter => break letter,
            }
        };
        let number = |number: u32| {
            // Slurm allows ten digits.
            let width: usize = width.parse().unwrap_or_default();
            format!("{number:0width$}", width = width.min(10))
        };
        match letter {
            '%' => path.push('%'),
            'j' => path.push_str(&number(names.raw?)),
            'J' => path.push_str(&names.raw?.to_string()),
            'A' => path.push_str(&number(names.id.job)),
            // Outside of an array it is this number: NO_VAL of slurm.h.
            'a' => path.push_str(&number(names.id.task.unwrap_or(4_294_967_294))),
            'x' => path.push_str(names.name),
            'u' => path.push_str(names.user),
            // Of a batch script, the first node and the first task.
            'n' | 't' => path.push_str(&number(0)),
            'b' => path.push_str(&number(names.id.task? % 10)),
            _ => return None,
        }
    }
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_become_what_they_stand_for() {
        let task = Names { id: JobId { job: 7, task: Some(13) }, raw: Some(20), name: "cells", user: "ada" };
        let job = Names { id: JobId::of(7), raw: Some(7), ..task };
        let unknown = Names { raw: None, ..task };
        for (pattern, names, expected) in [
            ("omero-%j.log", job, Some("omero-7.log")),
            ("omero-%A_%a.log", task, Some("omero-7_13.log")),
            ("omero-%A_%a.log", unknown, Some("omero-7_13.log")),
            ("%5j-%03a", task, Some("00020-013")),
            ("%x/%u/%%j", job, Some("cells/ada/%j")),
            ("\\%j", job, Some("%j")),
            ("%99j", job, Some("0000000007")),
            ("%j", unknown, None),
            ("%N", job, None),
            ("%", job, None),
            ("plain.log", job, Some("plain.log")),
        ] {
            assert_eq!(path(pattern, &names), expected.map(PathBuf::from), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_is_too_odd(pattern in "[%0-9a-zA-Z\\\\]{0,30}") {
            let _ = path(&pattern, &Names { id: JobId::of(1), raw: Some(1), name: "n", user: "u" });
        }
    }
}
