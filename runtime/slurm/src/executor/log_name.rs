//! The name of a log as `--output` writes it: `omero-%j.log`, `omero-%A_%4a.log`.
//!
//! Source: sbatch(1) of Slurm 22.05, "filename pattern". What is put in for a symbol is one name, never a way to another
//! folder: a job may be called `../../etc/passwd`.

use std::path::{Path, PathBuf};

/// What the symbols stand for.
#[derive(Debug, Clone)]
pub(super) struct Symbols<'a> {
    /// `%A`: the job, of an array the whole.
    pub(super) job: u32,
    /// `%j`: as `%A`, but of an array's task a number of its own.
    pub(super) own: u32,
    /// `%a`: the task of an array.
    pub(super) task: Option<u32>,
    /// `%x`.
    pub(super) name: &'a str,
    /// `%u`.
    pub(super) user: &'a str,
    /// `%N`.
    pub(super) host: &'a str,
}

/// What an array's tasks write to where nothing is said.
const OF_ARRAY: &str = "slurm-%A_%a.out";
/// And other jobs.
const OF_JOB: &str = "slurm-%j.out";

/// `pattern` with its symbols replaced, in `folder` unless it is absolute.
pub(super) fn path(pattern: &str, folder: &Path, symbols: &Symbols<'_>) -> PathBuf {
    let pattern = match pattern {
        "" if symbols.task.is_some() => OF_ARRAY,
        "" => OF_JOB,
        pattern => pattern,
    };
    folder.join(expanded(pattern, symbols))
}

fn expanded(pattern: &str, symbols: &Symbols<'_>) -> String {
    // "a file name with a backslash is not interpreted".
    if pattern.contains('\\') {
        return pattern.replace('\\', "");
    }
    let mut text = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (width, after) = after.split_at(digits);
        // At most ten, as Slurm has it.
        let width = width.parse::<usize>().unwrap_or(0).min(10);
        let mut letters = after.chars();
        let letter = letters.next();
        match letter {
            Some('%') => text.push('%'),
            Some('A') => text.push_str(&format!("{:0width$}", symbols.job)),
            Some('j' | 'J') => text.push_str(&format!("{:0width$}", symbols.own)),
            // Slurm's NO_VAL where there is no array.
            Some('a') => text.push_str(&format!("{:0width$}", symbols.task.unwrap_or(4_294_967_294))),
            Some('n' | 't') => text.push_str(&format!("{:0width$}", 0)),
            Some('s') => text.push_str("batch"),
            Some('x') => text.push_str(&one_name(symbols.name)),
            Some('u') => text.push_str(&one_name(symbols.user)),
            Some('N') => text.push_str(&one_name(symbols.host)),
            Some(other) => {
                text.push('%');
                text.push(other);
            }
            None => text.push('%'),
        }
        rest = letters.as_str();
    }
    text.push_str(rest);
    text
}

fn one_name(text: &str) -> String {
    text.chars().map(|letter| if letter == '/' || letter.is_control() { '_' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn symbols(task: Option<u32>) -> Symbols<'static> {
        Symbols { job: 12, own: 15, task, name: "../evil", user: "anna", host: "pc" }
    }

    #[test]
    fn each_symbol_is_replaced() {
        let table = [
            ("omero-%j.log", "omero-15.log"),
            ("omero-%A_%a.log", "omero-12_3.log"),
            ("%4a-%%-%u@%N", "0003-%-anna@pc"),
            ("%x", ".._evil"),
            ("%", "%"),
            ("%q", "%q"),
            (r"raw-\%j", "raw-%j"),
            ("", "slurm-12_3.out"),
        ];
        for (pattern, expected) in table {
            assert_eq!(
                path(pattern, Path::new("/w"), &symbols(Some(3))),
                Path::new("/w").join(expected),
                "{pattern}"
            );
        }
        assert_eq!(path("", Path::new("/w"), &symbols(None)), Path::new("/w/slurm-15.out"));
        assert_eq!(path("/logs/%j", Path::new("/w"), &symbols(None)), Path::new("/logs/15"));
    }

    proptest! {
        #[test]
        fn what_is_put_in_leads_into_no_other_folder(name in "\\PC{0,12}", pattern in "[a%xuNj0-9.]{1,12}") {
            let symbols = Symbols { name: &name, ..symbols(None) };
            prop_assert!(!expanded(&pattern, &symbols).contains('/'));
        }
    }
}
