//! SHA-256 on both ends.
//!
//! The cluster's programs differ by five times in speed: `openssl` uses the processor's instructions for it (1.8 GB/s),
//! `sha256sum` of coreutils before 9 does not (0.35 GB/s). What is there is tried out once, in this order.
//!
//! Invariant: an answer counts for a file only where it stands with that file's name.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }

    /// One for many, in order.
    pub(crate) fn fold(digests: impl IntoIterator<Item = Self>) -> Self {
        let mut hash = Sha256::new();
        digests.into_iter().for_each(|digest| hash.update(digest.0));
        Self::of(hash)
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            let digit =
                |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Lines for `sh`: `sums` reads a list of names, each ended by NUL, and answers a line for each; `sum` answers that of its
/// standard input. `$tool` says by what.
macro_rules! sums {
    () => {
        r#"
python='import sys, os, hashlib
for name in sys.argv[1:] or [None]:
    try:
        data = open(name, "rb") if name is not None else sys.stdin.buffer
        digest = hashlib.sha256()
        for block in iter(lambda: data.read(1 << 20), b""):
            digest.update(block)
        os.write(1, digest.hexdigest().encode() + b" *" + os.fsencode(name or "-") + b"\n")
    except OSError as error:
        print(error, file=sys.stderr)
'
sums() {
    case $tool in
        openssl) xargs -0 openssl dgst -sha256 -r ;;
        sha256sum) xargs -0 sha256sum -b ;;
        shasum) xargs -0 shasum -a 256 -b ;;
        *) xargs -0 "$tool" -c "$python" ;;
    esac
}
sum() {
    case $tool in
        openssl) openssl dgst -sha256 -r ;;
        sha256sum) sha256sum -b ;;
        shasum) shasum -a 256 -b ;;
        *) "$tool" -c "$python" ;;
    esac
}
"#
    };
}
pub(crate) use sums;

/// Lines for `sh`: sets `tool` to the first that computes the right digest, or to nothing. After [`sums`].
macro_rules! find_tool {
    () => {
        r#"
tool=
for try in openssl sha256sum shasum python3; do
    tool=$try
    case $(printf abc | sum 2>/dev/null) in
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad*) break ;;
    esac
    tool=
done
"#
    };
}
pub(crate) use find_tool;

/// A program of the cluster that computes digests: one of the names in [`find_tool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Openssl,
    Sha256sum,
    Shasum,
    Python3,
}

impl Tool {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Openssl, Self::Sha256sum, Self::Shasum, Self::Python3]
            .into_iter()
            .find(|tool| tool.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Openssl => "openssl",
            Self::Sha256sum => "sha256sum",
            Self::Shasum => "shasum",
            Self::Python3 => "python3",
        }
    }
}

/// The digest at the beginning of an answer to `sum`.
pub(crate) fn single(answer: &[u8]) -> Option<Digest> {
    Digest::parse(answer.get(..64)?)
}

/// The digests of the names, in their order; none where the answer has none. The names may hold line breaks, which some
/// programs write as they are and others as `\n`, with a backslash before the line.
pub(crate) fn answered(answer: &[u8], names: &[Vec<u8>]) -> Vec<Option<Digest>> {
    let mut digests = vec![None; names.len()];
    let (mut rest, mut next) = (answer, 0);
    while !rest.is_empty() {
        let found = names.iter().enumerate().skip(next).find_map(|(at, name)| {
            let (digest, length) = line(rest, name)?;
            Some((at, digest, length))
        });
        let length = match found {
            Some((at, digest, length)) => {
                if let Some(place) = digests.get_mut(at) {
                    *place = Some(digest);
                }
                next = at + 1;
                length
            }
            None => rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    digests
}

/// A line for this name at the beginning of the answer, and its length.
fn line(answer: &[u8], name: &[u8]) -> Option<(Digest, usize)> {
    let escaped = answer.first() == Some(&b'\\');
    let start = usize::from(escaped);
    let digest = Digest::parse(answer.get(start..start + 64)?)?;
    let rest = answer.get(start + 64..)?;
    let rest = rest.strip_prefix(b" *").or_else(|| rest.strip_prefix(b"  "))?;
    let ends = |name: &[u8]| {
        let after = rest.strip_prefix(name)?;
        (after.first() == Some(&b'\n')).then_some(start + 64 + 2 + name.len() + 1)
    };
    let length = if escaped {
        // OpenSSL writes line breaks alone in another way, coreutils backslashes and carriage returns too.
        ends(&escape(name, b"\n"))
            .or_else(|| ends(&escape(name, b"\n\\")))
            .or_else(|| ends(&escape(name, b"\n\\\r")))
    } else {
        ends(name)
    };
    length.map(|length| (digest, length))
}

fn escape(name: &[u8], which: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len() + 4);
    for byte in name {
        if which.contains(byte) {
            escaped.push(b'\\');
            escaped.push(match byte {
                b'\n' => b'n',
                b'\r' => b'r',
                byte => *byte,
            });
        } else {
            escaped.push(*byte);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn hash(content: &[u8]) -> Digest {
        Digest::of(Sha256::new_with_prefix(content))
    }

    fn ask(tool: &str, folder: &std::path::Path, names: &[Vec<u8>]) -> Vec<u8> {
        let mut child = Command::new("sh")
            .args(["-c", concat!(sums!(), r#"tool=$1; sums"#), "sh", tool])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let list: Vec<u8> = names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
        child.stdin.take().expect("a pipe").write_all(&list).expect("it reads");
        child.wait_with_output().expect("it ends").stdout
    }

    #[test]
    fn every_program_answers_for_every_name_and_a_missing_file_is_missing_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let names: Vec<Vec<u8>> = [
            &b"./plain"[..],
            b"./a\nb",
            b"./a\\b",
            b"./a\\nb",
            b"./\r",
            b"./-n",
            b"./ $(id) '\"",
            b"./\xff\xfe",
            b"./gone",
            "./日本".as_bytes(),
            b"./x\n0123456789",
            b"./last",
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        for name in names.iter().filter(|name| *name != b"./gone") {
            std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), name).expect("a file");
        }
        for tool in ["openssl", "sha256sum", "shasum", "python3"] {
            let digests = answered(&ask(tool, folder.path(), &names), &names);
            for (name, digest) in names.iter().zip(digests) {
                let expected = (name != b"./gone").then(|| hash(name));
                assert_eq!(digest, expected, "{tool} on {:?}", String::from_utf8_lossy(name));
            }
        }
    }

    #[test]
    fn a_program_that_works_is_found() {
        let output = Command::new("sh")
            .args(["-c", concat!(sums!(), find_tool!(), r#"echo "$tool""#)])
            .output()
            .expect("sh");
        assert_eq!(Tool::parse(String::from_utf8_lossy(&output.stdout).trim()), Some(Tool::Openssl));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fail_or_counts_without_its_name(
            answer in prop::collection::vec(any::<u8>(), 0..400),
            names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
        ) {
            let digests = answered(&answer, &names);
            prop_assert_eq!(digests.len(), names.len());
            prop_assert!(digests.iter().all(Option::is_none) || answer.len() > 64);
        }

        #[test]
        fn a_digest_is_read_as_it_is_written(content in prop::collection::vec(any::<u8>(), 0..40)) {
            let digest = hash(&content);
            prop_assert_eq!(Digest::parse(digest.to_string().as_bytes()), Some(digest));
        }
    }
}
