//! Whether `ssh` will take a private key, said in words, never in the key's own.
//!
//! Only the outside of a key is looked at: the block's label and ends, the base64 between them, the frame of the
//! structure inside. What passes may still not fit a server; what does not pass is refused by every `ssh`.

/// What a file turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    /// Nothing that looks like a key.
    Unknown,
    /// A private key that `ssh` can load without asking anyone.
    Usable,
    /// Something that was meant to be a private key.
    Refused(Refusal),
}

/// Why a key is of no use to a worker, and what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: &'static str,
    pub(super) remedy: &'static str,
}

const COPY_AGAIN: &str = "copy it again, whole";
const MAGIC: &[u8] = b"openssh-key-v1\0";

fn refused(problem: &'static str, remedy: &'static str) -> Material {
    Material::Refused(Refusal { problem, remedy })
}

/// Whether a file holds a private key of any kind, loadable or not.
pub(super) fn holds_private_key(content: &[u8]) -> bool {
    contains(content, b"PRIVATE KEY-----") || content.starts_with(b"PuTTY-User-Key-File-")
}

/// Looks at a file whose line ends are those of Unix.
pub(super) fn examine(content: &[u8]) -> Material {
    if content.starts_with(b"PuTTY-User-Key-File-") {
        return refused("is in PuTTY's format", "type: puttygen NAME.ppk -O private-openssh -o id_rsa");
    }
    if is_public_key_line(content) || contains(content, b" PUBLIC KEY----") {
        return refused(
            "holds a public key under the name of a private one",
            "mount the private key there, and name this file NAME.pub",
        );
    }
    let Some(begin) = find(content, b"-----BEGIN ") else {
        return Material::Unknown;
    };
    let after_begin = &content[begin + b"-----BEGIN ".len()..];
    let Some(label_end) = find(after_begin, b"-----") else { return Material::Unknown };
    let label = &after_begin[..label_end];
    if !label.ends_with(b"PRIVATE KEY") {
        return Material::Unknown;
    }
    if contains(content, b"\\n") {
        return refused(
            "has its line breaks written as the two characters \\n",
            "write it with real line breaks",
        );
    }
    if begin > 0 && label == b"OPENSSH PRIVATE KEY" {
        return refused("has text before its BEGIN line", "delete everything before -----BEGIN");
    }
    let end_line = [b"-----END ", label, b"-----"].concat();
    let body = &after_begin[label_end + 5..];
    let Some(end) = find(body, &end_line) else {
        return refused("has no END line, so it is cut short", COPY_AGAIN);
    };
    examine_block(label, &body[..end])
}

fn examine_block(label: &[u8], body: &[u8]) -> Material {
    const PASSPHRASE: &str = "has a passphrase, which a worker cannot type";
    const WITHOUT: &str = "on a copy of it, type: ssh-keygen -p -N '' -f NAME";
    let (headers, data) = split_headers(body);
    if label == b"ENCRYPTED PRIVATE KEY"
        || (contains(headers, b"Proc-Type:") && contains(headers, b"ENCRYPTED"))
    {
        return refused(PASSPHRASE, WITHOUT);
    }
    let Some(data) = decode_base64(data) else {
        return refused("is damaged: it is not base64 between its BEGIN and END lines", COPY_AGAIN);
    };
    if label == b"DSA PRIVATE KEY" {
        return refused(
            "is a DSA key, which ssh does not take any more",
            "make a new one: ssh-keygen -t ed25519",
        );
    }
    let whole = if label == b"OPENSSH PRIVATE KEY" { examine_openssh(&data) } else { is_whole_der(&data) };
    match whole {
        Frame::Whole => Material::Usable,
        Frame::Encrypted => refused(PASSPHRASE, WITHOUT),
        Frame::Short => refused("is cut short", COPY_AGAIN),
        Frame::Damaged => refused("is damaged", COPY_AGAIN),
    }
}

enum Frame {
    Whole,
    Encrypted,
    Short,
    Damaged,
}

/// OpenSSH's own format (PROTOCOL.key): cipher, key derivation, public keys, private section.
fn examine_openssh(data: &[u8]) -> Frame {
    let Some(rest) = data.strip_prefix(MAGIC) else { return Frame::Damaged };
    let read = || -> Option<Frame> {
        let (cipher, rest) = take_string(rest)?;
        let (_derivation, rest) = take_string(rest)?;
        let (_options, rest) = take_string(rest)?;
        let (keys, mut rest) = take_number(rest)?;
        if keys != 1 {
            return Some(Frame::Damaged);
        }
        (_, rest) = take_string(rest)?;
        let (private, _) = take_string(rest)?;
        if cipher != b"none" {
            return Some(Frame::Encrypted);
        }
        // Two equal numbers tell whether the section was decrypted, and here whether it is intact.
        let intact = private.len() >= 8 && private.len().is_multiple_of(8) && private[..4] == private[4..8];
        Some(if intact { Frame::Whole } else { Frame::Damaged })
    };
    read().unwrap_or(Frame::Short)
}

fn take_number(data: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = data.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number) as usize, rest))
}

fn take_string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take_number(data)?;
    rest.split_at_checked(length)
}

/// The outer sequence of PKCS#1, SEC 1 and PKCS#8 keys has the length it says.
fn is_whole_der(data: &[u8]) -> Frame {
    let [0x30, first, rest @ ..] = data else { return Frame::Damaged };
    let length = match usize::from(*first) {
        short @ 0..=127 => Some((short, rest.len())),
        long => {
            let count = long - 128;
            (count <= 4 && count > 0).then(|| rest.split_at_checked(count)).flatten().map(|(bytes, rest)| {
                (bytes.iter().fold(0usize, |length, byte| (length << 8) | usize::from(*byte)), rest.len())
            })
        }
    };
    match length {
        Some((said, found)) if said == found => Frame::Whole,
        Some((said, found)) if said > found => Frame::Short,
        _ => Frame::Damaged,
    }
}

/// `Name: value` lines, which end with an empty line, and what follows.
fn split_headers(body: &[u8]) -> (&[u8], &[u8]) {
    let body = body.trim_ascii_start();
    let first_line = body.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if !first_line.contains(&b':') {
        return (&[], body);
    }
    find(body, b"\n\n").map_or((body, &[][..]), |end| body.split_at(end))
}

fn is_public_key_line(content: &[u8]) -> bool {
    const KINDS: [&[u8]; 4] = [b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];
    let mut words = content.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    words.next().is_some_and(|word| KINDS.iter().any(|kind| word.starts_with(kind)))
        && words.next().is_some_and(|word| word.starts_with(b"AAAA"))
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0u32, 0u32, 0u32);
    for &byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count.is_multiple_of(4) {
            data.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match (count % 4, padding) {
        (0, 0) => {}
        (2, 2) => data.push(u8::try_from(bits >> 4).ok()?),
        (3, 1) => data.extend_from_slice(&u16::try_from(bits >> 2).ok()?.to_be_bytes()),
        _ => return None,
    }
    Some(data)
}

fn find(content: &[u8], wanted: &[u8]) -> Option<usize> {
    content.windows(wanted.len()).position(|window| window == wanted)
}

fn contains(content: &[u8], wanted: &[u8]) -> bool {
    find(content, wanted).is_some()
}
