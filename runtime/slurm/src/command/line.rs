//! A command as one line for `sh`.
//!
//! The login shell may be any: what it is given is constant ([`BOOTSTRAP`]) and means the same to all of them. The command
//! itself comes as the first line of standard input, so that it is in no list of processes and in no log of `sshd`, has no
//! limit of length, and is read by `/bin/sh` only. What follows the line is the command's own input.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use thiserror::Error;

use super::{Command, Program};

/// What the login shell is given: `sh`, which reads one line byte by byte and runs it.
pub const BOOTSTRAP: &str = r#"exec /bin/sh -c 'IFS= read -r line && eval "$line"'"#;

/// What cannot be part of a command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unsuitable {
    /// A value that no argument and no variable can hold.
    #[error("{what} holds a NUL byte, which no program can be given: leave it out")]
    NulByte {
        /// Which value.
        what: String,
    },
    /// A name that no variable of a shell can have.
    #[error("{name:?} is no name of a variable: take letters, digits and _, not a digit first")]
    Name {
        /// The name.
        name: String,
    },
}

/// Whether a shell can have a variable of this name (POSIX.1-2017, Base Definitions 3.235).
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|letter: char| letter.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A line break within a word, by a parameter: no variable of a user has its name.
const NEW_LINE: &[u8] = br#"'"$1"'"#;

/// `mark` and the id of the process go out first, on both streams, so that what the login shell said before is told apart.
pub(super) fn line(command: &Command, mark: &str) -> Result<Vec<u8>, Unsuitable> {
    let mut line = Vec::with_capacity(256);
    line.extend_from_slice(b"unset line; ");
    line.extend_from_slice(format!("echo {mark} $$; echo {mark} >&2; ").as_bytes());
    if let Some(folder) = &command.folder {
        line.extend_from_slice(b"CDPATH= cd -- ");
        word(&mut line, folder, "the folder")?;
        line.extend_from_slice(b" || exit 125; ");
    }
    for (name, value) in &command.environment {
        if !is_name(name) {
            return Err(Unsuitable::Name { name: name.clone() });
        }
        line.extend_from_slice(format!("export {name}=").as_bytes());
        word(&mut line, value, name)?;
        line.extend_from_slice(b"; ");
    }
    let arguments = |line: &mut Vec<u8>| {
        command.arguments.iter().try_for_each(|argument| {
            line.push(b' ');
            word(line, argument, "an argument")
        })
    };
    match &command.program {
        Program::Exec(program) => {
            line.extend_from_slice(b"exec ");
            word(&mut line, program, "the program")?;
            arguments(&mut line)?;
        }
        Program::Shell(program) => {
            line.extend_from_slice(b"exec /bin/sh -c ");
            word(&mut line, OsStr::new(program), "the program")?;
            line.extend_from_slice(b" sh");
            arguments(&mut line)?;
        }
    }
    line.push(b'\n');
    if line.windows(NEW_LINE.len()).any(|word| word == NEW_LINE) {
        // Only then, as it costs a process: a line break within a word would end the line, so it comes from a parameter.
        line.splice(0..0, br#"set -- "$(printf '\nx')"; set -- "${1%x}"; "#.iter().copied());
    }
    Ok(line)
}

/// One word of `sh`: in single quotes, where nothing has a meaning but the quote itself.
fn word(line: &mut Vec<u8>, value: &OsStr, what: &str) -> Result<(), Unsuitable> {
    let value = value.as_bytes();
    if value.contains(&0) {
        return Err(Unsuitable::NulByte { what: what.to_owned() });
    }
    line.push(b'\'');
    for byte in value {
        match byte {
            b'\'' => line.extend_from_slice(br"'\''"),
            b'\n' => line.extend_from_slice(NEW_LINE),
            byte => line.push(*byte),
        }
    }
    line.push(b'\'');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::ffi::OsStringExt as _;
    use std::process::{Command as Process, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// Runs it as a login shell would.
    fn run(shell: &str, command: &Command) -> Vec<u8> {
        let mut child = Process::new(shell)
            .args(["-c", BOOTSTRAP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut input = command.line("MARK").expect("a line");
        input.extend_from_slice(command.what_it_reads());
        child.stdin.take().expect("a pipe").write_all(&input).expect("it reads");
        let output = child.wait_with_output().expect("it ends").stdout;
        let end = output.iter().position(|byte| *byte == b'\n').expect("the mark") + 1;
        output[end..].to_vec()
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"$(touch /tmp/pwned)".to_vec()),
            Just(b"`id`".to_vec()),
            Just(b"'".to_vec()),
            Just(b"\"".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\\".to_vec()),
            Just(b"-n".to_vec()),
            Just("ü 日本 \u{202e}".as_bytes().to_vec()),
            prop::collection::vec(1_u8..=255, 0..8),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arguments_variables_and_input_arrive_as_they_are(
            arguments in prop::collection::vec(bytes(), 0..4),
            value in bytes(),
            input in bytes(),
        ) {
            for shell in ["/bin/sh", "/bin/bash"] {
                let command = Command::shell(r#"printf '%s\0' "$@" "$VALUE"; cat"#)
                    .args(arguments.iter().map(|argument| std::ffi::OsString::from_vec(argument.clone())))
                    .env("VALUE", std::ffi::OsString::from_vec(value.clone()))
                    .input(input.clone());
                let mut expected: Vec<u8> = Vec::new();
                for text in arguments.iter().chain([&value]) {
                    expected.extend_from_slice(text);
                    expected.push(0);
                }
                expected.extend_from_slice(&input);
                prop_assert_eq!(run(shell, &command), expected);
            }
        }
    }

    #[test]
    fn what_is_no_name_of_a_variable_is_refused() {
        for name in ["", "1A", "A B", "A=B", "A;id", "Ä"] {
            let refused = Command::new("true").env(name, "x").line("MARK").expect_err(name);
            assert_eq!(refused, Unsuitable::Name { name: name.to_owned() });
        }
    }

    #[test]
    fn a_nul_byte_is_refused_by_name() {
        let refused = Command::new("echo").arg("a\0b").line("MARK").expect_err("a NUL");
        assert_eq!(
            refused.to_string(),
            "an argument holds a NUL byte, which no program can be given: leave it out"
        );
    }
}
