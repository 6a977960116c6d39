//! The options within a batch script: its `#SBATCH` lines, and the `#!` line that says what reads it.
//!
//! Source: sbatch(1) of Slurm 22.05: `#SBATCH` lines count before the first line that is a command. They come before the
//! options of the command line, so that the latter win.

/// Options of `sbatch` by their long names, in order.
pub(super) type Options = Vec<(String, Option<String>)>;

/// A `#SBATCH` line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// From 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// The long names of the short options.
const SHORT: &[(char, &str)] = &[
    ('A', "account"),
    ('a', "array"),
    ('b', "begin"),
    ('C', "constraint"),
    ('c', "cpus-per-task"),
    ('D', "chdir"),
    ('d', "dependency"),
    ('e', "error"),
    ('F', "nodefile"),
    ('G', "gpus"),
    ('H', "hold"),
    ('i', "input"),
    ('J', "job-name"),
    ('k', "no-kill"),
    ('L', "licenses"),
    ('M', "clusters"),
    ('m', "distribution"),
    ('N', "nodes"),
    ('n', "ntasks"),
    ('O', "overcommit"),
    ('o', "output"),
    ('p', "partition"),
    ('Q', "quiet"),
    ('q', "qos"),
    ('S', "core-spec"),
    ('s', "oversubscribe"),
    ('t', "time"),
    ('v', "verbose"),
    ('W', "wait"),
    ('w', "nodelist"),
    ('x', "exclude"),
];

/// Those that take a value only after `=`, or none at all.
const WITHOUT_VALUE: &[&str] = &[
    "contiguous",
    "exclusive",
    "get-user-env",
    "hold",
    "ignore-pbs",
    "no-kill",
    "no-requeue",
    "nice",
    "overcommit",
    "oversubscribe",
    "parsable",
    "propagate",
    "quiet",
    "reboot",
    "requeue",
    "spread-job",
    "test-only",
    "use-min-nodes",
    "verbose",
    "wait",
];

/// What reads the script: its `#!` line, as the kernel splits it (execve(2): at most one argument), else `/bin/sh`.
pub(super) fn interpreter(script: &[u8]) -> Vec<String> {
    let shell = || vec!["/bin/sh".to_owned()];
    let Some(line) = script.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next())
    else {
        return shell();
    };
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    match line.split_once([' ', '\t']) {
        _ if line.is_empty() => shell(),
        Some((program, argument)) => vec![program.to_owned(), argument.trim().to_owned()],
        None => vec![line.to_owned()],
    }
}

/// The options of all its `#SBATCH` lines.
pub(super) fn options(script: &[u8]) -> Result<Options, Unreadable> {
    let mut options = Options::new();
    for (index, line) in script.split(|byte| *byte == b'\n').enumerate() {
        let trimmed = line.trim_ascii();
        if let Some(rest) =
            line.strip_prefix(b"#SBATCH").filter(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
        {
            let unreadable =
                || Unreadable { line: index + 1, text: String::from_utf8_lossy(trimmed).into_owned() };
            let text = std::str::from_utf8(rest).map_err(|_| unreadable())?;
            let words = words(text).ok_or_else(unreadable)?;
            read(&words, &mut options).ok_or_else(unreadable)?;
        } else if !trimmed.is_empty() && !trimmed.starts_with(b"#") {
            break;
        }
    }
    Ok(options)
}

/// Words of one line: quotes hold spaces, a backslash takes the next letter as it is, a word that begins with `#` ends it.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(letter),
            (_, '\\') => word.get_or_insert_default().push(letters.next()?),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn read(words: &[String], options: &mut Options) -> Option<()> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if WITHOUT_VALUE.contains(&long) => (long, None),
                None => (long, Some(words.next()?.clone())),
            };
            if name.is_empty() {
                return None;
            }
            options.push((name.to_owned(), value));
            continue;
        }
        let mut letters = word.strip_prefix('-')?.chars();
        let letter = letters.next()?;
        let (_, name) = SHORT.iter().find(|(short, _)| *short == letter)?;
        let rest = letters.as_str();
        let value = match rest {
            _ if WITHOUT_VALUE.contains(name) => rest.is_empty().then_some(None)?,
            "" => Some(words.next()?.clone()),
            rest => Some(rest.to_owned()),
        };
        options.push(((*name).to_owned(), value));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(script: &str) -> Vec<(String, String)> {
        let read = options(script.as_bytes()).expect("readable");
        read.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_before_the_first_command_count() {
        let script = "#!/bin/bash\n# a comment\n#SBATCH --time=00:45:00 --mem 5GB # so much\n\n#SBATCH -c4 -J 'my job'\n\
                      ##SBATCH --qos=no\n#SBATCHES\n#SBATCH --exclusive\necho hello\n#SBATCH --time=1\n";
        let expected = [
            ("time", "00:45:00"),
            ("mem", "5GB"),
            ("cpus-per-task", "4"),
            ("job-name", "my job"),
            ("exclusive", ""),
        ];
        assert_eq!(of(script), pairs(&expected));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        for line in ["--time", "time=1", "-c", "-Z1", "--job-name=\"open", "--=1", "-Hx"] {
            let refused = options(format!("#!/bin/sh\n#SBATCH {line}\n").as_bytes()).expect_err(line);
            assert_eq!(refused.line, 2, "{line}");
        }
    }

    #[test]
    fn the_interpreter_is_the_first_lines() {
        let table: [(&str, &[&str]); 5] = [
            ("#!/bin/bash\n", &["/bin/bash"]),
            ("#! /usr/bin/env  python3 -u \nx", &["/usr/bin/env", "python3 -u"]),
            ("echo\n", &["/bin/sh"]),
            ("#!\n", &["/bin/sh"]),
            ("", &["/bin/sh"]),
        ];
        for (script, expected) in table {
            assert_eq!(interpreter(script.as_bytes()), expected, "{script:?}");
        }
    }

    proptest! {
        #[test]
        fn any_script_is_answered(script in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = options(&script);
            let _ = interpreter(&script);
        }

        #[test]
        fn a_quoted_value_arrives_as_it_is(value in "[^\\n\\r\\\\'\\p{Cc}]{0,20}") {
            let script = format!("#SBATCH --comment='{value}' --qos={}", "x");
            prop_assert_eq!(of(&script), pairs(&[("comment", &value), ("qos", "x")]));
        }
    }
}
