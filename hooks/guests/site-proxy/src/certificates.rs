//! PEM files (RFC 7468): found to be whole before every program of the worker is pointed at them.

use std::fmt;

use biomero_hooks_guest::HookError;

/// The bytes of one certificate, which are its identity however its lines were cut.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Certificate(Vec<u8>);

/// What a file holds.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// At least one. Anything else beside them is left out: a private key must not get into a bundle.
    Certificates(Vec<Certificate>),
    /// Something else, in words.
    Other(String),
}

/// Reads a PEM file.
///
/// # Errors
/// A block that is not whole, with its line.
pub(crate) fn read(path: &str, text: &str) -> Result<Found, HookError> {
    let malformed = |line: usize, problem: &str| {
        HookError::invalid(
            format!("{path}:{}", line + 1),
            problem,
            "export the certificate again, as PEM (openssl x509 -in FILE -outform PEM)",
        )
    };
    let mut certificates = vec![];
    let mut other = "nothing".to_owned();
    let mut lines = text.lines().enumerate();
    while let Some((start, line)) = lines.next() {
        let Some(label) = boundary(line, "BEGIN") else { continue };
        let mut body = String::new();
        loop {
            let Some((number, line)) = lines.next() else {
                return Err(malformed(start, &format!("BEGIN {label} has no END: the file is cut off")));
            };
            match boundary(line, "END") {
                Some(end) if end == label => break,
                Some(end) => {
                    return Err(malformed(number, &format!("END {end} where BEGIN {label} is to end")));
                }
                None if boundary(line, "BEGIN").is_some() => {
                    return Err(malformed(start, &format!("BEGIN {label} has no END")));
                }
                None => body.push_str(line.trim()),
            }
        }
        if label != "CERTIFICATE" {
            other = format!("a {}", label.to_lowercase());
            continue;
        }
        let bytes = decoded(&body).ok_or_else(|| malformed(start, "the certificate is not Base64"))?;
        if !is_one_sequence(&bytes) {
            return Err(malformed(start, "the certificate is not whole"));
        }
        certificates.push(Certificate(bytes));
    }
    if certificates.is_empty() { Ok(Found::Other(other)) } else { Ok(Found::Certificates(certificates)) }
}

/// The label of `-----BEGIN label-----` or `-----END label-----`.
fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.trim().strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == digit)?;
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

/// Whether it is one DER sequence, as long as it says: what a cut or patched certificate is not.
fn is_one_sequence(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else { return false };
    match *length {
        short @ 0..=0x7f => rest.len() == usize::from(short),
        count @ 0x81..=0x84 => {
            let count = usize::from(count & 0x0f);
            let Some((length, content)) = rest.split_at_checked(count) else { return false };
            content.len() == length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => false,
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len() / 3 * 4 + 4);
        for chunk in self.0.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
            }
        }
        formatter.write_str("-----BEGIN CERTIFICATE-----\n")?;
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            writeln!(formatter, "{line}")?;
            rest = after;
        }
        formatter.write_str("-----END CERTIFICATE-----\n")
    }
}
