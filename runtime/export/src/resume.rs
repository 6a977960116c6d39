//! What an export was asked for, by which one that was interrupted is known again, and what of it is already done.
//!
//! A journal lies beside what is staged: a line for each chunk with the digest of its file. Nothing of it is believed: whoever
//! goes on hashes the files first, and what differs is made again. What is above a chunk is made from chunks, so that of those
//! that are whole with all below them the highest are read back, and nothing below them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::manifest::{Manifest, digest_of, entry, hexadecimal, is_within};
use crate::pipeline::Extremes;
use crate::pyramid::Grid;
use crate::roi::{Figure, Outline};
use crate::source::{ReadError, Source};
use crate::write_error::WriteError;

/// An export that can be taken up again, and is known when it is asked for a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it is known by.
    digest: String,
    /// Whether what is done stays when it is stopped or fails.
    pub keep: bool,
    /// Whether an export that is there is replaced.
    pub overwrite: bool,
}

/// The deepest folder of a source.
const DEPTH: usize = 32;

impl Request {
    /// Of these images, which were opened from a path, with options as their text says. It is another one as soon as the name, the
    /// size or the time of a file of the source is another.
    ///
    /// # Errors
    /// A file of the source cannot be looked at.
    pub fn new(path: &Path, sources: &[Box<dyn Source>], options: &str) -> Result<Self, ReadError> {
        let mut hash = Sha256::new();
        let mut note = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        note(env!("CARGO_PKG_VERSION"));
        note(options);
        let path = path.canonicalize().map_err(ReadError::io(path))?;
        let mut files = vec![path];
        for source in sources {
            note(&format!("{} {}", source.shape(), source.sample_type()));
            files.extend(source.files());
        }
        files.sort_unstable();
        files.dedup();
        for file in files {
            look_at(&file, DEPTH, &mut note)?;
        }
        Ok(Self { digest: hexadecimal(&hash.finalize()), keep: false, overwrite: false })
    }

    /// Of these images, which are in no file: `place` says where they are. It is another one as soon as something that is said of
    /// them or drawn on them is.
    #[must_use]
    pub fn elsewhere(place: &str, sources: &[Box<dyn Source>], options: &str) -> Self {
        let mut hash = Sha256::new();
        let mut note = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for text in [env!("CARGO_PKG_VERSION"), options, place] {
            note(text.as_bytes());
        }
        for source in sources {
            let told = format!("{} {} {:?}", source.shape(), source.sample_type(), source.metadata());
            note(told.as_bytes());
            for roi in source.rois() {
                note(&roi.id.to_le_bytes());
                for Figure { id, text, fill, t, z, outline } in &roi.figures {
                    note(format!("{id} {text:?} {fill:?} {t:?} {z:?}").as_bytes());
                    match outline {
                        Outline::Mask { bits, .. } => {
                            note(format!("{:?}", outline.bounds()).as_bytes());
                            note(bits);
                        }
                        other => note(format!("{other:?}").as_bytes()),
                    }
                }
            }
        }
        Self { digest: hexadecimal(&hash.finalize()), keep: false, overwrite: false }
    }

    /// What it is known by.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Notes the name, the size and the time of a file, and of all that is in a folder.
fn look_at(path: &Path, depth: usize, note: &mut impl FnMut(&str)) -> Result<(), ReadError> {
    let found = fs::metadata(path).map_err(ReadError::io(path))?;
    note(&path.to_string_lossy());
    if !found.is_dir() {
        note(&format!("{} {} {}", found.size(), found.mtime(), found.mtime_nsec()));
        return Ok(());
    }
    if depth == 0 {
        return Err(ReadError::damaged(path, "its folders are too deep"));
    }
    let entries = fs::read_dir(path).map_err(ReadError::io(path))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
    let mut names = names.map_err(ReadError::io(path))?;
    names.sort_unstable();
    names.iter().try_for_each(|name| look_at(&path.join(name), depth - 1, note))
}

/// A chunk: the number of its plane, its level, its place.
pub(crate) type Key = (usize, usize, [usize; 2]);

/// What is known of a file by its name, of which this is the beginning of the SHA-256: names of half a million chunks are long.
type Name = [u8; 16];

/// What is done.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    /// Chunks that were found to be as they were stored, and their extremes.
    found: HashMap<Name, Extremes>,
}

fn short(name: &Path) -> Name {
    let digest = Sha256::digest(name.as_os_str().as_encoded_bytes());
    digest.first_chunk().copied().unwrap_or_default()
}

impl Journal {
    /// Takes up a journal, or begins one where it is of another request. `false` where there is nothing: what is staged is then
    /// of no use.
    ///
    /// Nobody else has it as long as this value is there.
    pub(crate) fn open(path: PathBuf, request: &str) -> Result<(Self, bool), WriteError> {
        let failed = || WriteError::io("write", &path);
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(WriteError::Busy { path }),
            Err(fs::TryLockError::Error(error)) => return Err(failed()(error)),
        }
        let header = format!("{request}\n");
        let mut found = vec![0; header.len()];
        let is_ours = io::Read::read_exact(&mut file, &mut found).is_ok() && found == header.as_bytes();
        if !is_ours {
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(failed())?;
            file.write_all(header.as_bytes()).map_err(failed())?;
        }
        Ok((Self { path, file: Mutex::new(file), found: HashMap::new() }, is_ours))
    }

    /// Looks at the file of every chunk that is noted, and notes those that are as they were in the manifest too.
    pub(crate) fn verify(&mut self, root: &Path, manifest: &Manifest) -> Result<(), WriteError> {
        let failed = || WriteError::io("read", &self.path);
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut lines = BufReader::new(&*file);
        // Where the last line ends that was written to its end.
        let mut end = lines.stream_position().map_err(failed())?;
        let mut line = String::new();
        loop {
            line.clear();
            // What is no text is no line of ours.
            let read = lines.read_line(&mut line).unwrap_or(0);
            let Some((extremes, digest, name)) = line.strip_suffix('\n').and_then(noted) else { break };
            end += read as u64;
            let path = root.join(name);
            let is_same = match digest {
                Some(digest) => digest_of(&path).is_ok_and(|found| found == digest),
                None => fs::symlink_metadata(&path).is_err(),
            };
            // It may be noted again, after it was found to be another.
            if is_same && self.found.insert(short(name), extremes).is_none() {
                digest.map_or(Ok(()), |digest| manifest.line(name, digest))?;
            }
        }
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(failed())?;
        Ok(())
    }

    /// Whether nothing was done before.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The extremes of a chunk that is done, by the name of its file.
    pub(crate) fn find(&self, name: &Path) -> Option<Extremes> {
        self.found.get(&short(name)).copied()
    }

    /// Notes that a chunk is stored, with the digest of its file if it has one.
    pub(crate) fn note(
        &self,
        name: &Path,
        extremes: &Extremes,
        digest: Option<&str>,
    ) -> Result<(), WriteError> {
        let bits = |number: Option<f64>| {
            number.map_or_else(|| "-".to_owned(), |number| number.to_bits().to_string())
        };
        let (low, high) = extremes.range().unzip();
        let digest = digest.unwrap_or("-");
        let line = format!("{} {} {digest}  {}\n", bits(low), bits(high), name.display());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(WriteError::io("write", &self.path))
    }
}

/// What a line says: the extremes, the digest, the name.
fn noted(line: &str) -> Option<(Extremes, Option<&str>, &Path)> {
    let mut words = line.splitn(3, ' ');
    let mut bits = || match words.next()? {
        "-" => Some(None),
        bits => Some(Some(f64::from_bits(bits.parse().ok()?))),
    };
    let extremes = Extremes::of(bits()?.zip(bits()?));
    let rest = words.next()?;
    if let Some(name) = rest.strip_prefix("-  ") {
        return is_within(Path::new(name)).then(|| (extremes, None, Path::new(name)));
    }
    let (_, name) = entry(rest.as_bytes())?;
    Some((extremes, rest.get(..64), name))
}

/// The highest chunks that are done with all that is below them, and the extremes of what is below.
pub(crate) fn whole(
    grid: &Grid,
    planes: usize,
    done: impl Fn(Key) -> Option<Extremes>,
) -> HashMap<Key, Extremes> {
    let mut whole = HashMap::new();
    for plane in 0..planes {
        let [rows, columns] = grid.chunks(0);
        for level in 0..grid.sizes.len() {
            let [rows, columns] = [rows, columns].map(|side| side.div_ceil(1 << level));
            for place @ [row, column] in
                (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]))
            {
                // What is beyond the edge of its level is never stored.
                let is_nothing = grid.extent(level, row, column).contains(&0);
                let own = if is_nothing { Some(Extremes::default()) } else { done((plane, level, place)) };
                let Some(mut extremes) = own else { continue };
                if level > 0 {
                    let below = || grid.below(level, row, column).map(|place| (plane, level - 1, place));
                    if !below().all(|key| whole.contains_key(&key)) {
                        continue;
                    }
                    below().filter_map(|key| whole.remove(&key)).for_each(|below| extremes.merge(&below));
                }
                whole.insert((plane, level, place), extremes);
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pyramid::sizes;

    #[test]
    fn a_line_is_read_as_it_was_noted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (journal, is_ours) = Journal::open(path.clone(), "request").expect("it opens");
        assert!(!is_ours);
        let digest = hexadecimal(&Sha256::digest(b"samples"));
        fs::create_dir(folder.path().join("0")).expect("a folder");
        fs::write(folder.path().join("0/a b"), b"samples").expect("a file");
        fs::write(folder.path().join("0/changed"), b"others").expect("a file");
        let extremes = Extremes::of(Some((-0.5, 7.0)));
        for (name, digest) in [("0/a b", Some(&*digest)), ("0/empty", None), ("0/changed", Some(&*digest))] {
            journal.note(Path::new(name), &extremes, digest).expect("it is noted");
        }
        drop(journal);
        // What was being written when the power went.
        let mut file = File::options().append(true).open(&path).expect("a file");
        file.write_all(b"- - 0123").expect("it is written");
        let before = fs::metadata(&path).expect("a file").len();
        let (mut journal, is_ours) = Journal::open(path.clone(), "request").expect("it opens");
        assert!(is_ours);
        journal.verify(folder.path(), &Manifest::new(folder.path().join("sums"))).expect("it is read");
        assert_eq!(fs::metadata(&path).expect("a file").len(), before - 8);
        for (name, expected) in [("0/a b", Some(extremes)), ("0/empty", Some(extremes)), ("0/changed", None)]
        {
            assert_eq!(journal.find(Path::new(name)), expected, "{name}");
        }
        drop(journal);
        assert!(!Journal::open(path, "another request").expect("it opens").1);
    }

    #[test]
    fn lines_that_lead_elsewhere_are_none() {
        let digest = "0".repeat(64);
        for line in
            ["", "- -", "- - -  ../x", "- - -  /etc/passwd", "x - -  a", &format!("- - {digest}  ../x")]
        {
            assert!(noted(line).is_none(), "{line}");
        }
        assert!(noted("- - -  0/1").is_some());
    }

    #[test]
    fn only_the_highest_that_are_whole_are_told() {
        // 3 × 3 chunks, above them 2 × 2 of which the outer ones hold nothing but a sample or none, above them one.
        let grid = Grid { tile: 8, sizes: sizes(17, 17, 4) };
        let all = |key: Key| Some(Extremes::of(Some((key.2[0] as f64, key.2[1] as f64 + 10.0))));
        let found = whole(&grid, 2, all);
        let top = grid.sizes.len() - 1;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[&(1, top, [0, 0])].range(), Some((0.0, 12.0)));
        // Without one leaf everything above it is missing; the others stay as high as they are whole.
        let found = whole(&grid, 1, |key| if key == (0, 0, [0, 0]) { None } else { all(key) });
        assert!(!found.contains_key(&(0, 1, [0, 0])) && found.contains_key(&(0, 0, [1, 1])), "{found:?}");
        assert!(found.keys().all(|(_, level, place)| place.map(|at| at << level) != [0, 0]), "{found:?}");
        // A chunk above that was not stored keeps those below it as they are.
        let found = whole(&grid, 1, |key| if key.1 == 1 { None } else { all(key) });
        assert!(found.contains_key(&(0, 0, [0, 0])) && !found.contains_key(&(0, top, [0, 0])), "{found:?}");
    }
}
