//! A real `configparser` to compare with, and the comparisons.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{DEFAULT, Merged, SourceFile, merge};

/// Reads one line of hexadecimal files for each case, and answers with one line.
const PROGRAM: &str = r#"
import configparser, io, re, sys
h = lambda text: text.encode("utf-8", "surrogatepass").hex()
for line in sys.stdin:
    kind, _, rest = line.rstrip("\n").partition(" ")
    if kind == "name":
        name = bytes.fromhex(rest).decode()
        print(h(re.sub("__", "_", re.sub("([^_])_([^_])", r"\1.\2", name))), flush=True)
        continue
    parser = configparser.ConfigParser(allow_no_value=True)
    try:
        for at, file in enumerate(rest.split(",")):
            parser.read_file(io.TextIOWrapper(io.BytesIO(bytes.fromhex(file)), encoding="utf-8"), str(at))
    except Exception as error:
        print("!" + type(error).__name__, flush=True)
        continue
    words = []
    for section in parser.sections():
        words.append("s" + h(section))
        for key, raw in parser.items(section, raw=True):
            words.append("k" + h(key))
            words.append("n" if raw is None else "r" + h(raw))
            try:
                value = parser.get(section, key)
                words.append("n" if value is None else "v" + h(value))
            except Exception as error:
                words.append("!" + type(error).__name__)
    print(" ".join(words), flush=True)
"#;

/// A running Python.
pub(crate) struct Python {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A key as Python has it: name, raw value, and what `get` gives or raises.
type Key = (String, Option<String>, Result<Option<String>, String>);

/// What Python made of files: its sections, or the exception.
pub(crate) type Answer = Result<Vec<(String, Vec<Key>)>, String>;

impl Python {
    pub(crate) fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-I", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("these tests compare with Python's configparser, but python3 cannot be run ({error}); install it: apt-get install python3")
            });
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &str) -> String {
        let questions = self.questions.as_mut().expect("open until it is dropped");
        writeln!(questions, "{question}").expect("python3 reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("python3 answers");
        assert!(answer.ends_with('\n'), "python3 ended instead of answering");
        answer.trim_end_matches('\n').to_owned()
    }

    /// The property that the base image's rule makes of a variable's name.
    pub(crate) fn property_name(&mut self, rest: &str) -> String {
        unhex(&self.ask(&format!("name {}", hex(rest.as_bytes()))))
    }

    pub(crate) fn read(&mut self, files: &[&[u8]]) -> Answer {
        let files: Vec<String> = files.iter().map(|file| hex(file)).collect();
        let answer = self.ask(&format!("read {}", files.join(",")));
        if let Some(exception) = answer.strip_prefix('!') {
            return Err(exception.to_owned());
        }
        let mut sections: Vec<(String, Vec<Key>)> = Vec::new();
        let mut words = answer.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let (kind, text) = word.split_at(1);
            if kind == "s" {
                sections.push((unhex(text), Vec::new()));
                continue;
            }
            let raw = words.next().expect("a raw value").strip_prefix('r').map(unhex);
            let value = words.next().expect("a value");
            let value = match value.strip_prefix('!') {
                Some(exception) => Err(exception.to_owned()),
                None => Ok(value.strip_prefix('v').map(unhex)),
            };
            sections.last_mut().expect("a section before keys").1.push((unhex(text), raw, value));
        }
        Ok(sections)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> String {
    let bytes =
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"));
    String::from_utf8(bytes.collect()).expect("UTF-8")
}

/// Source files named 0.ini, 1.ini, …
pub(crate) fn sources(files: &[&[u8]]) -> Vec<SourceFile> {
    let file = |(at, content): (usize, &&[u8])| SourceFile {
        path: PathBuf::from(format!("/{at}.ini")),
        content: content.to_vec(),
    };
    files.iter().enumerate().map(file).collect()
}

/// Sections as ours has them, in the shape of Python's answer.
fn ours(merged: &Merged) -> Vec<(String, Vec<Key>)> {
    let sections = merged.sections.iter().filter(|section| section.name != DEFAULT);
    sections
        .map(|section| {
            let keys = merged.items(&section.name).into_iter().map(|key| {
                let value = merged.value(&section.name, &key.key).expect("a key that is listed");
                (key.key.clone(), key.value.clone(), Ok(value))
            });
            (section.name.clone(), keys.collect())
        })
        .collect()
}

/// Holds ours against Python's reading of the same files, none of which deletes anything.
///
/// # Errors
/// The difference.
pub(crate) fn compare(python: &mut Python, files: &[&[u8]]) -> Result<(), String> {
    let answer = python.read(files);
    let merged = merge(&sources(files));
    let difference =
        |what: &str| Err(format!("{what}\npython: {answer:?}\nours:   {:?}", merged.as_ref().map(ours)));
    let (theirs, merged) = match (&answer, &merged) {
        (Err(_), Err(_)) => return Ok(()),
        (Err(_), Ok(_)) => return difference("Python refuses what ours reads"),
        (Ok(theirs), Err(_)) => {
            // References that lead nowhere are exceptions of `get`, and problems of ours. Python stops at the first
            // fault of a value, so that a bare `%` may stand before such a reference.
            let raised = |(_, raw, value): &Key| {
                let refers = raw.as_ref().is_some_and(|raw| raw.contains("%("));
                value.as_ref().is_err_and(|exception| exception != "InterpolationSyntaxError" || refers)
            };
            let nowhere = theirs.iter().any(|(_, keys)| keys.iter().any(raised));
            return if nowhere { Ok(()) } else { difference("ours refuses what Python reads") };
        }
        (Ok(theirs), Ok(merged)) => (theirs, merged),
    };
    let mine = ours(merged);
    if mine.len() != theirs.len() {
        return difference("other sections");
    }
    for ((name, keys), (their_name, their_keys)) in mine.iter().zip(theirs) {
        if name != their_name || keys.len() != their_keys.len() {
            return difference("another section, or other keys");
        }
        for ((key, raw, value), (their_key, their_raw, their_value)) in keys.iter().zip(their_keys) {
            // What Python refuses for its syntax is a `%` that stands for itself.
            let same_value = their_value.as_ref().map_or_else(
                |exception| exception == "InterpolationSyntaxError",
                |theirs| value.as_ref() == Ok(theirs),
            );
            if key != their_key || raw != their_raw || !same_value {
                return difference(&format!("[{name}] {key}"));
            }
        }
    }
    rendered_reads_back(python, merged)
}

/// Holds what Python reads from the rendered file against the values of the merge.
///
/// # Errors
/// The difference.
pub(crate) fn rendered_reads_back(python: &mut Python, merged: &Merged) -> Result<(), String> {
    let rendered = merged.render();
    let theirs = python
        .read(&[rendered.as_bytes()])
        .map_err(|error| format!("Python refuses the rendered file: {error}\n{rendered}"))?;
    // A doubled `%` is another raw value with the same meaning.
    let without_raw = |mut sections: Vec<(String, Vec<Key>)>| {
        sections.iter_mut().flat_map(|(_, keys)| keys).for_each(|(_, raw, _)| *raw = None);
        sections
    };
    let (theirs, mine) = (without_raw(theirs), without_raw(ours(merged)));
    if theirs == mine {
        Ok(())
    } else {
        Err(format!("rendered:\n{rendered}\npython: {theirs:?}\nours:   {mine:?}"))
    }
}
