//! What an export was asked for, by which one that was interrupted is known again, and what of it is already done.
//!
//! A journal lies beside what is staged. In it is noted, tree by tree of the pipeline, which files a tree consists of and their
//! digests. Nothing of it is believed: whoever goes on hashes the files first, and what differs is made again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::manifest::{Manifest, digest_of, entry, hexadecimal};
use crate::pipeline::Extremes;
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

/// A tree of the pipeline within what is exported.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tree {
    pub(crate) level: usize,
    /// The number of the plane.
    pub(crate) plane: usize,
    pub(crate) place: [usize; 2],
}

/// What is done.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    /// By the folder of the image: trees that were found to be whole, and their extremes.
    whole: HashMap<PathBuf, HashMap<Tree, Extremes>>,
}

impl Journal {
    /// Takes up a journal, or begins one where it is of another request. `None` in place of what was found where there is
    /// nothing: what is staged is then of no use.
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
        Ok((Self { path, file: Mutex::new(file), whole: HashMap::new() }, is_ours))
    }

    /// Looks at every file that is noted, and notes those of whole trees in the manifest too.
    pub(crate) fn verify(&mut self, root: &Path, manifest: &Manifest) -> Result<(), WriteError> {
        let failed = || WriteError::io("read", &self.path);
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut lines = BufReader::new(&*file);
        // Where the last block ends that was written to its end.
        let mut end = file.metadata().map_err(failed())?.len();
        let mut position = lines.stream_position().map_err(failed())?;
        let mut line = String::new();
        let mut files = Vec::new();
        while position < end {
            line.clear();
            let read = lines.read_line(&mut line);
            let Some(block) = read.ok().filter(|_| line.ends_with('\n')).and_then(|_| Block::read(&line))
            else {
                end = position;
                break;
            };
            files.clear();
            while files.len() < block.files {
                line.clear();
                let is_whole = lines.read_line(&mut line).is_ok() && line.ends_with('\n');
                let Some((digest, name)) = entry(line.trim_end().as_bytes()).filter(|_| is_whole) else {
                    break;
                };
                files.push((name.to_owned(), digest));
            }
            if files.len() < block.files {
                end = position;
                break;
            }
            position = lines.stream_position().map_err(failed())?;
            let is_same = |(name, digest): &(PathBuf, String)| {
                digest_of(&root.join(name)).is_ok_and(|found| found == *digest)
            };
            if files.iter().all(is_same) {
                files.iter().try_for_each(|(name, digest)| manifest.line(name, digest))?;
                self.whole.entry(block.image).or_default().insert(block.tree, block.extremes);
            }
        }
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(failed())?;
        Ok(())
    }

    /// A tree that is whole.
    pub(crate) fn find(&self, image: &Path, tree: &Tree) -> Option<Extremes> {
        self.whole.get(image)?.get(tree).copied()
    }

    /// Notes that a tree is whole, and its files with their digests.
    pub(crate) fn note(
        &self,
        image: &Path,
        tree: &Tree,
        extremes: &Extremes,
        files: &[(PathBuf, String)],
    ) -> Result<(), WriteError> {
        let Tree { level, plane, place: [row, column] } = tree;
        let bits = |number: Option<f64>| {
            number.map_or_else(|| "-".to_owned(), |number| number.to_bits().to_string())
        };
        let (low, high) = extremes.range().unzip();
        let count = files.len();
        let mut text = format!(
            "tree {level} {plane} {row} {column} {} {} {count} {}\n",
            bits(low),
            bits(high),
            image.display()
        );
        for (name, digest) in files {
            text.push_str(&format!("{digest}  {}\n", name.display()));
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(WriteError::io("write", &self.path))
    }
}

/// What a line says of the ones that follow it.
struct Block {
    image: PathBuf,
    tree: Tree,
    extremes: Extremes,
    files: usize,
}

impl Block {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.strip_prefix("tree ")?.splitn(8, ' ');
        let mut number = || words.next()?.parse::<usize>().ok();
        let (level, plane, row, column) = (number()?, number()?, number()?, number()?);
        let mut bits = || match words.next()? {
            "-" => Some(None),
            bits => Some(Some(f64::from_bits(bits.parse().ok()?))),
        };
        let extremes = Extremes::of(bits()?.zip(bits()?));
        let files = words.next()?.parse().ok()?;
        let image = PathBuf::from(words.next()?);
        Some(Self { image, tree: Tree { level, plane, place: [row, column] }, extremes, files })
    }
}
