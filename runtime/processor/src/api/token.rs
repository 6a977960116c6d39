//! Tokens: who may ask over TCP. A file holds a line for each, `NAME SHA256`; the token itself is shown once, when it is made.
//!
//! Invariants: a token is never stored, logged or told in an error; how long a comparison takes does not depend on how much of
//! a token is right, or on which one it is.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// How many random bytes a token is made of.
const BYTES: usize = 32;
/// What a token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "biomero_";
/// How long a file of tokens may be.
const LARGEST: u64 = 1 << 20;
/// How many tokens it may hold: each is compared for each request.
const MOST: usize = 256;
/// What the mode of the file may not grant: its group may read it, others may nothing.
const OTHERS: u32 = 0o027;

/// Why tokens cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("{}: cannot read the tokens: {source}; make one with `processor api token NAME`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may change it or read it.
    #[error("{}: others may read or change these tokens (mode {mode:o}): `chmod 600` it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is none.
    #[error(
        "{}:{line}: write NAME, a space, and the 64 hexadecimal digits that `processor api token NAME` prints", path.display()
    )]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// There are too many, or none.
    #[error("{}: it holds {found} tokens, and 1 to {MOST} are needed", path.display())]
    Count {
        /// Which.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// No random numbers.
    #[error("no random numbers can be had: {0}")]
    Random(std::io::Error),
}

/// The tokens that are known.
#[derive(Clone)]
pub(crate) struct Tokens(Vec<(String, [u8; 32])>);

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Tokens {
    /// Those of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(TokenError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, TokenError> {
        let mut tokens = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let parsed = content.split_once(char::is_whitespace).and_then(|(name, hash)| {
                let hash = of_hexadecimal(hash.trim())?;
                is_name(name).then(|| (name.to_owned(), hash))
            });
            tokens.push(parsed.ok_or_else(|| TokenError::Line { path: path.to_owned(), line })?);
        }
        if tokens.is_empty() || tokens.len() > MOST {
            return Err(TokenError::Count { path: path.to_owned(), found: tokens.len() });
        }
        Ok(Self(tokens))
    }

    /// Whose token this is.
    pub(crate) fn owner(&self, token: &[u8]) -> Option<&str> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut owner = None;
        // All are compared, also behind the right one.
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&hash)) {
                owner = Some(name.as_str());
            }
        }
        owner
    }
}

/// A new token, and the line for the file.
pub(crate) fn make(name: &str) -> Result<(String, String), TokenError> {
    let mut bytes = [0_u8; BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(TokenError::Random)?;
    let token = format!("{PREFIX}{}", hexadecimal(&bytes));
    let line = format!("{name} {}", hexadecimal(&Sha256::digest(token.as_bytes())));
    Ok((token, line))
}

/// Whether a token can be called so: it stands in logs, and in who has cancelled a workflow.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        text
    })
}

fn of_hexadecimal(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_known_by_its_line_and_no_other_is() {
        let (token, line) = make("dashboard").expect("random numbers");
        let (other, other_line) = make("notebook").expect("random numbers");
        let text = format!("# who may ask\n\n{line}\n{other_line}\n");
        let tokens = Tokens::parse(&text, Path::new("tokens")).expect("tokens");
        assert_eq!(tokens.owner(token.as_bytes()), Some("dashboard"));
        assert_eq!(tokens.owner(other.as_bytes()), Some("notebook"));
        let hash = line.split(' ').next_back().expect("a hash");
        for wrong in ["", &token[..token.len() - 1], &format!("{token} "), &token.to_uppercase(), hash] {
            assert_eq!(tokens.owner(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert!(!format!("{tokens:?}").contains(hash) && !line.contains(&token));
    }

    #[test]
    fn a_line_that_is_none_is_told_by_its_number() {
        let hash = "ab".repeat(32);
        for (text, told) in [
            (format!("a {hash}\nb\n"), "tokens:2:"),
            (format!("a {}", &hash[1..]), "tokens:1:"),
            (format!("a/b {hash}"), "tokens:1:"),
            (format!("a {}+f", &hash[2..]), "tokens:1:"),
            ("# none\n".to_owned(), "0 tokens"),
            (format!("a {hash}\n").repeat(257), "257 tokens"),
        ] {
            let error = Tokens::parse(&text, Path::new("tokens")).expect_err("a problem").to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_change_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        std::fs::write(&path, format!("a {}", "ab".repeat(32))).expect("a file");
        for (mode, is_fine) in [(0o600, true), (0o640, true), (0o644, false), (0o620, false), (0o602, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
            assert_eq!(Tokens::read(&path).is_ok(), is_fine, "{mode:o}");
        }
    }
}
