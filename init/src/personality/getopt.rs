//! Short and long options as the C library's `getopt_long` reads them, up to the first word that is no option.
//!
//! glibc's `getopt` also looks for options *behind* that word unless told otherwise; musl's never does. tini leaves it
//! to the library, so that `tini COMMAND -x` works in an Alpine image and is refused in a Debian one. We read it as
//! musl does: the command's options are the command's.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// An option that a program knows.
pub(super) struct Known {
    pub(super) short: u8,
    pub(super) long: Option<&'static str>,
    pub(super) takes_value: bool,
}

/// An option that was given, by its letter, and its value.
pub(super) type Given = (u8, Option<OsString>);

/// The options and what follows them; or the complaint, in the C library's words.
pub(super) fn parse<'a>(
    args: &'a [OsString],
    known: &[Known],
) -> Result<(Vec<Given>, &'a [OsString]), String> {
    let mut given = Vec::new();
    let mut rest = args;
    while let Some((word, after)) = rest.split_first() {
        let bytes = word.as_bytes();
        let has_long = known.iter().any(|option| option.long.is_some());
        match bytes {
            b"--" => return Ok((given, after)),
            [b'-', b'-', long @ ..] if has_long => rest = long_option(long, after, known, &mut given)?,
            [b'-', short @ ..] if !short.is_empty() => rest = short_options(short, after, known, &mut given)?,
            _ => break,
        }
    }
    Ok((given, rest))
}

fn short_options<'a>(
    letters: &[u8],
    after: &'a [OsString],
    known: &[Known],
    given: &mut Vec<Given>,
) -> Result<&'a [OsString], String> {
    for (at, letter) in letters.iter().enumerate() {
        let option = known
            .iter()
            .find(|option| option.short == *letter)
            .ok_or_else(|| format!("invalid option -- '{}'", char::from(*letter)))?;
        if !option.takes_value {
            given.push((*letter, None));
            continue;
        }
        let (value, after) = match (&letters[at + 1..], after.split_first()) {
            ([], Some((value, after))) => (value.clone(), after),
            ([], None) => return Err(format!("option requires an argument -- '{}'", char::from(*letter))),
            (attached, _) => (OsString::from_vec(attached.to_vec()), after),
        };
        given.push((*letter, Some(value)));
        return Ok(after);
    }
    Ok(after)
}

fn long_option<'a>(
    text: &[u8],
    after: &'a [OsString],
    known: &[Known],
    given: &mut Vec<Given>,
) -> Result<&'a [OsString], String> {
    let equals = text.iter().position(|&byte| byte == b'=');
    let (name, attached) = equals.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let shown = String::from_utf8_lossy(name);
    let named = |exact: bool| {
        known.iter().filter(move |option| {
            option.long.is_some_and(|long| {
                if exact { long.as_bytes() == name } else { long.as_bytes().starts_with(name) }
            })
        })
    };
    // An unambiguous beginning of a name is enough.
    let option = match named(true).next() {
        Some(option) => option,
        None => match named(false).collect::<Vec<_>>().as_slice() {
            [option] => option,
            [] => return Err(format!("unrecognized option '--{shown}'")),
            _ => return Err(format!("option '--{shown}' is ambiguous")),
        },
    };
    let long = option.long.unwrap_or_default();
    match (option.takes_value, attached) {
        (false, Some(_)) => Err(format!("option '--{long}' doesn't allow an argument")),
        (false, None) => {
            given.push((option.short, None));
            Ok(after)
        }
        (true, Some(value)) => {
            given.push((option.short, Some(OsString::from_vec(value.to_vec()))));
            Ok(after)
        }
        (true, None) => {
            let (value, after) =
                after.split_first().ok_or_else(|| format!("option '--{long}' requires an argument"))?;
            given.push((option.short, Some(value.clone())));
            Ok(after)
        }
    }
}
