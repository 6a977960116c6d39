//! A page of the documentation, as far as tests look into it.

use std::fs;
use std::path::{Path, PathBuf};

use biomero_tests::{Result, Trouble, binary};

/// Where the book's pages are, in the workspace.
pub(crate) const BOOK: &str = "docs";

/// The list of the book's chapters.
pub(crate) const SUMMARY: &str = "docs/SUMMARY.md";

/// A Markdown file.
pub(crate) struct Page {
    /// From the workspace's folder.
    pub(crate) path: PathBuf,
    lines: Vec<Line>,
}

/// A line of a page, and what it is part of.
struct Line {
    text: String,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Prose,
    Fence,
    Block,
}

/// What stands between two fences.
pub(crate) struct Block {
    /// The page and the line, for whoever has to correct it.
    pub(crate) place: String,
    /// The heading above it.
    pub(crate) heading: String,
    /// What is said behind the first fence.
    pub(crate) language: String,
    /// The comment on the line before.
    pub(crate) note: Option<String>,
    pub(crate) text: String,
}

impl Page {
    /// A page by its path in the workspace.
    pub(crate) fn read(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let text = fs::read_to_string(binary::workspace().join(&path))
            .map_err(Trouble::doing(format!("read {}", path.display())))?;
        let mut lines = Vec::new();
        let mut inside = false;
        for text in text.lines() {
            let fence = text.trim_start().starts_with("```");
            let part = if fence {
                Part::Fence
            } else if inside {
                Part::Block
            } else {
                Part::Prose
            };
            inside ^= fence;
            lines.push(Line { text: text.to_owned(), part });
        }
        Ok(Self { path, lines })
    }

    /// Every page of the book but its summary, in order of their paths.
    pub(crate) fn book() -> Result<Vec<Self>> {
        let folder = binary::workspace().join(BOOK);
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .map_err(Trouble::doing(format!("list {}", folder.display())))?
            .flatten()
            .map(|entry| Path::new(BOOK).join(entry.file_name()))
            .filter(|path| path.extension().is_some_and(|end| end == "md") && path != Path::new(SUMMARY))
            .collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    /// The book and what is beside it in the repository's first folder.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut pages = Self::book()?;
        for path in ["README.md", "ARCHITECTURE.md"] {
            pages.push(Self::read(path)?);
        }
        Ok(pages)
    }

    /// Whether the page is one of the book's.
    pub(crate) fn is_in_book(&self) -> bool {
        self.path.starts_with(BOOK)
    }

    /// Its lines outside of blocks, with their numbers.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let prose = self.lines.iter().enumerate().filter(|(_, line)| line.part == Part::Prose);
        prose.map(|(number, line)| (number + 1, line.text.as_str()))
    }

    /// A line as whoever has to correct it looks for it.
    pub(crate) fn place(&self, number: usize) -> String {
        format!("{}:{number}", self.path.display())
    }

    /// Its headings, without marks.
    pub(crate) fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose().filter_map(|(_, line)| heading(line))
    }

    /// The names by which links reach its headings, as GitHub and mdBook make them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in self.headings() {
            let plain: String = heading
                .to_lowercase()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    '-' | '_' => Some(letter),
                    _ => letter.is_alphanumeric().then_some(letter),
                })
                .collect();
            let again = anchors.iter().filter(|anchor| **anchor == plain).count();
            anchors.push(if again == 0 { plain } else { format!("{plain}-{again}") });
        }
        anchors
    }

    /// Its blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let (mut above, mut inside) = (String::new(), false);
        for (index, line) in self.lines.iter().enumerate() {
            match line.part {
                Part::Prose => {
                    if let Some(heading) = heading(&line.text) {
                        heading.clone_into(&mut above);
                    }
                }
                Part::Fence if inside => inside = false,
                Part::Fence => {
                    inside = true;
                    let before = index.checked_sub(1).map_or("", |before| self.lines[before].text.trim());
                    let note = before.strip_prefix("<!-- ").and_then(|note| note.strip_suffix(" -->"));
                    blocks.push(Block {
                        place: self.place(index + 2),
                        heading: above.clone(),
                        language: line.text.trim().trim_start_matches('`').to_owned(),
                        note: note.map(str::to_owned),
                        text: String::new(),
                    });
                }
                Part::Block => {
                    if let Some(block) = blocks.last_mut() {
                        block.text.push_str(&line.text);
                        block.text.push('\n');
                    }
                }
            }
        }
        blocks
    }

    /// What stands between single backticks in its prose, with the number of the line.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose()
            .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)))
    }
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
}
