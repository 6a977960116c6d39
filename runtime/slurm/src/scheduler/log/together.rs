//! A look at the logs of many jobs in the session that asks how they stand.
//!
//! Invariants: what is read of each is bounded, and so is the whole; names are arguments, whatever they hold; a log that has not
//! grown costs the cluster a part of one process, whatever their number.

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::frame::Section;

/// How many logs are looked at in one session. What is known of each is a part of one argument, which may have 128 KiB
/// (`MAX_ARG_STRLEN`, execve(2)), and takes 80 bytes at most.
pub const MOST_LOGS: usize = 512;

/// How many bytes all of them together have at most, and between which bounds one has: lines that tell how far a job is are short.
const TOGETHER: usize = 2 << 20;
const FEWEST: usize = 4 << 10;
const LARGEST: usize = 64 << 10;

/// Which part of a log is wanted: what has come since, or the end of it where that is too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The log. Relative paths begin at the login folder.
    pub path: PathBuf,
    /// Which file it was, and its size when all of it was read: nothing is wanted where it still is that.
    pub known: Option<(String, u64)>,
    /// From this byte on.
    pub from: u64,
}

/// A look at a file: which it is, its size, and its bytes from a place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) from: u64,
    pub(super) bytes: Vec<u8>,
}

impl Look {
    /// A line that tells which file it is and its size, then its bytes.
    pub(super) fn read(mut answer: Vec<u8>, from: u64) -> Option<Self> {
        let end = answer.iter().position(|byte| *byte == b'\n')?;
        let (file, size) = std::str::from_utf8(answer.get(..end)?).ok()?.split_once('/')?;
        let (file, size) = (file.to_owned(), size.parse().ok()?);
        answer.drain(..=end);
        Some(Self { file, size, from, bytes: answer })
    }
}

/// How many bytes of each log are read where there are so many.
pub(crate) const fn most(logs: usize) -> usize {
    let share = TOGETHER / if logs == 0 { 1 } else { logs };
    if share < FEWEST {
        FEWEST
    } else if share > LARGEST {
        LARGEST
    } else {
        share
    }
}

/// What the script is given of them: how many bytes of each, what is known of each and from where it is wanted, and their names.
pub(in super::super) fn arguments(wishes: &[Wish]) -> Vec<std::ffi::OsString> {
    if wishes.is_empty() {
        return Vec::new();
    }
    let known = wishes.iter().map(|wish| {
        let known =
            wish.known.as_ref().map_or_else(|| "-".to_owned(), |(file, size)| format!("{file}/{size}"));
        format!("{known},{}", wish.from + 1)
    });
    let known = known.collect::<Vec<_>>().join(" ");
    let names = wishes.iter().map(|wish| wish.path.clone().into_os_string());
    [most(wishes.len()).to_string().into(), known.into()].into_iter().chain(names).collect()
}

/// What an answer has of them, in their order; none of those that have nothing new, or that there are not.
pub(in super::super) fn looks(sections: &[Section<'_>], of: usize) -> Vec<Option<Look>> {
    let mut looks = vec![None; of];
    for section in sections.iter().filter(|section| section.program == "log") {
        if let Some((place, look)) = look(section)
            && let Some(known) = looks.get_mut(place)
        {
            *known = Some(look);
        }
    }
    looks
}

/// `3 2049:131/5120 1025`: the third, which file it is and its size, the first byte counted from 1.
fn look(section: &Section<'_>) -> Option<(usize, Look)> {
    let mut words = section.complaint.split(' ');
    let (place, told, from) = (words.next()?, words.next()?, words.next()?);
    let (file, size) = told.split_once('/')?;
    let place = place.parse::<usize>().ok()?.checked_sub(1)?;
    let from = from.parse::<u64>().ok()?.checked_sub(1)?;
    let look = Look { file: file.to_owned(), size: size.parse().ok()?, from, bytes: section.answer.to_vec() };
    look.is_whole().then_some((place, look))
}

impl Look {
    /// Of a file that there is not.
    #[cfg(test)]
    pub(crate) fn of(file: &str, size: u64, from: u64, bytes: Vec<u8>) -> Self {
        Self { file: file.to_owned(), size, from, bytes }
    }

    /// Whether it could be read as far as it went: one that was emptied meanwhile, or that may not be read, is none.
    fn is_whole(&self) -> bool {
        self.from >= self.size || !self.bytes.is_empty()
    }
}

/// The same, of logs on this machine: relative paths begin at `home`.
pub(crate) fn here(wishes: &[Wish], home: &Path) -> Vec<Option<Look>> {
    let most = most(wishes.len());
    // One that cannot be read now may be at the next look.
    wishes.iter().map(|wish| one_here(wish, home, most).ok().flatten()).collect()
}

fn one_here(wish: &Wish, home: &Path, most: usize) -> io::Result<Option<Look>> {
    let path = home.join(&wish.path);
    // A pipe of that name would keep us waiting.
    if !fs::metadata(&path)?.is_file() {
        return Ok(None);
    }
    let mut log = fs::File::open(&path)?;
    let told = log.metadata()?;
    let (file, size) = (format!("{}:{}", told.dev(), told.ino()), told.size());
    if wish.known.as_ref().is_some_and(|(known, read)| *known == file && *read == size) {
        return Ok(None);
    }
    let from = wish.from.max(size.saturating_sub(most as u64));
    log.seek(io::SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    log.take(most as u64).read_to_end(&mut bytes)?;
    let look = Look { file, size, from, bytes };
    Ok(look.is_whole().then_some(look))
}

#[cfg(test)]
mod tests {
    use super::super::Follower;
    use super::*;
    use crate::cluster::Cluster;
    use crate::scheduler::query::looked_at;

    /// What both ways of reading say of logs.
    async fn both(wishes: &[Wish]) -> Vec<Option<Look>> {
        let by_command = looked_at(&Cluster::local(), wishes).await;
        let by_ourselves = here(wishes, Path::new("/"));
        assert_eq!(by_command, by_ourselves);
        by_command
    }

    #[tokio::test]
    async fn logs_are_read_together_whatever_they_are_called_and_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["omero-1.log", "a 'b' \"c\"", "-n", "$(touch pwned)\n`id`", "ü *", "[x]", "\\"];
        let mut followers = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let path = folder.path().join(name);
            let line: Vec<u8> =
                [format!("{place} \u{1e}log\u{1f}0\n").as_bytes(), &[0xff, 0, b'\n']].concat();
            fs::write(&path, &line).expect("written");
            followers.push((Follower::new(&path), line));
        }
        let missing = [Follower::new(folder.path().join("missing")), Follower::new(folder.path())];
        let wishes = |followers: &[(Follower, Vec<u8>)]| -> Vec<Wish> {
            let there = followers.iter().map(|(follower, _)| follower.wish());
            missing.iter().map(Follower::wish).chain(there).collect()
        };
        let looks = both(&wishes(&followers)).await;
        assert_eq!(looks[..2], [None, None], "what is not there, or is no file");
        for ((follower, line), look) in followers.iter_mut().zip(&looks[2..]) {
            assert_eq!(follower.seen(look.clone().expect("a look")).bytes, *line);
        }
        assert_eq!(both(&wishes(&followers)).await, vec![None; names.len() + 2], "nothing is new");

        let (grown, _) = &followers[3];
        let whole = [&followers[3].1[..], b"more\n"].concat();
        fs::write(grown.path(), whole).expect("written");
        let looks = both(&wishes(&followers)).await;
        let new: Vec<usize> = (0..looks.len()).filter(|place| looks[*place].is_some()).collect();
        assert_eq!(new, [5]);
        assert_eq!(followers[3].0.seen(looks[5].clone().expect("a look")).bytes, b"more\n");
        assert!(!folder.path().join("pwned").exists() && !Path::new("pwned").exists());
    }

    #[tokio::test]
    async fn of_a_long_log_the_end_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long");
        let line = |line: u32| format!("line {line}\n");
        let content: String = (0..50_000).map(line).collect();
        fs::write(&path, &content).expect("written");
        let mut follower = Follower::new(&path);
        let look = both(&[follower.wish()]).await.remove(0).expect("a look");
        let news = follower.seen(look);
        assert!(news.skipped && !news.more && news.bytes.len() <= most(1));
        assert!(content.as_bytes().ends_with(&news.bytes) && news.bytes.starts_with(b"line "));
        assert_eq!(follower.offset(), content.len() as u64);
    }

    #[tokio::test]
    async fn as_many_as_are_looked_at_together_fit_into_one_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wishes = Vec::new();
        for place in 0..MOST_LOGS {
            let path = folder.path().join(format!("{place}.log"));
            fs::write(&path, vec![b'x'; 10_000]).expect("written");
            let known = Some((format!("{}:{}", u64::MAX, u64::MAX), u64::MAX));
            wishes.push(Wish { path, known, from: 9_000 });
        }
        let looks = both(&wishes).await;
        let bytes: usize = looks.iter().flatten().map(|look| look.bytes.len()).sum();
        assert_eq!(bytes, MOST_LOGS * 1_000);
    }

    #[test]
    fn all_logs_together_have_no_more_than_their_bound() {
        for logs in [0, 1, 7, 64, MOST_LOGS] {
            let most = most(logs);
            assert!((FEWEST..=LARGEST).contains(&most) && most * logs <= TOGETHER, "{logs}");
        }
    }
}
