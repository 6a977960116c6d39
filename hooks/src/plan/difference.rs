//! What a file would be instead of what is there: line by line where that is short, quick and no secret.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use biomero_config::{MASK, mask_urls};
use similar::TextDiff;

use crate::change::{Before, SHOWN};
use crate::digest::sha256;
use crate::effect::{Content, FileEffect};

/// A diff longer than this is cut, and says so; the digest still tells the whole.
const DIFF_LINES: usize = 400;
/// Time to compare one file line by line; what takes longer is told by sizes and digests.
pub(super) const DIFF_TIME: Duration = Duration::from_millis(500);

/// A unified diff from what is there to what would be; for a secret only its size and what was there. The time it takes
/// is taken from `patience`.
pub(super) fn difference(file: &FileEffect, before: Option<&Before>, patience: &mut Duration) -> String {
    let after = match &file.content {
        Content::Secret(bytes) => {
            let then = was(before, |_| String::new());
            let bytes = bytes.reveal().len();
            return format!("{MASK} ({bytes} bytes, {then}; secret content is not shown)\n");
        }
        Content::Public(bytes) => bytes,
    };
    let in_short = |why: &str| {
        let then = was(before, |bytes| format!(", SHA-256 {}", sha256(bytes)));
        format!("{} bytes, SHA-256 {}, {then}; {why}\n", after.len(), sha256(after))
    };
    let old = match before {
        Some(Before::LargeFile(_)) => return in_short("too large to show"),
        Some(Before::File(bytes)) => Some(bytes.as_slice()),
        Some(Before::Other) | None => None,
    };
    if after.len() as u64 > SHOWN {
        return in_short("too large to show");
    }
    let (Ok(old_text), Ok(new)) = (std::str::from_utf8(old.unwrap_or_default()), std::str::from_utf8(after))
    else {
        return in_short("binary content");
    };
    let (old_text, new) = (mask_urls(old_text), mask_urls(new));
    let path = file.path.display().to_string();
    let from = if old.is_some() { path.as_str() } else { "/dev/null" };
    let (began, time) = (Instant::now(), DIFF_TIME.min(*patience));
    let diff = TextDiff::configure().timeout(time).diff_lines(old_text.as_str(), new.as_str());
    let took = began.elapsed();
    *patience = patience.saturating_sub(took);
    if took >= time {
        return in_short("comparing it line by line takes too long");
    }
    let unified = diff.unified_diff().context_radius(2).header(from, &path).to_string();
    let lines = unified.lines().count();
    if lines <= DIFF_LINES {
        return unified;
    }
    let mut cut: String = unified.split_inclusive('\n').take(DIFF_LINES).collect();
    let _ = writeln!(cut, "… {} more lines", lines - DIFF_LINES);
    cut
}

/// What was there, in short; `more` says of a file's content what else is to be said.
fn was(before: Option<&Before>, more: impl Fn(&[u8]) -> String) -> String {
    match before {
        Some(Before::File(bytes)) => format!("was {} bytes{}", bytes.len(), more(bytes)),
        Some(Before::LargeFile(bytes)) => format!("was {bytes} bytes"),
        Some(Before::Other) => "was no readable file".to_owned(),
        None => "new".to_owned(),
    }
}
