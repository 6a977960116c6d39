//! Aligned columns for people: as wide as the terminal at most, in colours where there are any.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::ended::Ended;
use crate::output::{Answer, inert};

/// Between two columns.
const GAP: usize = 2;

/// What a cell means, which is how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Under way, or to be looked at.
    Busy,
    /// Wrong.
    Bad,
    /// Of less interest.
    Faint,
}

impl Tone {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Busy => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }

    /// The text in this tone.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        match self.code() {
            Some(code) if colour && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub(crate) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: inert(text.as_ref()).into_owned(), tone }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A column.
#[derive(Debug, Clone)]
struct Column {
    title: &'static str,
    width: usize,
    right: bool,
}

/// Columns with their widths. Rows may come later, and then are as wide as they are.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
}

impl Table {
    /// Columns by their titles; numbers stand at the right of those whose title begins with `>`.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let columns = titles.iter().map(|title| {
            let (title, right) = title.strip_prefix('>').map_or((*title, false), |title| (title, true));
            Column { title, width: title.width(), right }
        });
        Self { columns: columns.collect() }
    }

    /// Makes room for rows.
    pub(crate) fn fit<'a>(&mut self, rows: impl IntoIterator<Item = &'a Vec<Cell>>) {
        for row in rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(cell.text.width());
            }
        }
    }

    /// Writes the titles.
    pub(crate) fn write_head(&self, answer: &mut Answer) -> Result<(), Ended> {
        let titles: Vec<Cell> =
            self.columns.iter().map(|column| Cell::new(column.title, Tone::Faint)).collect();
        self.write_row(&titles, answer)
    }

    /// Writes a row.
    pub(crate) fn write_row(&self, row: &[Cell], answer: &mut Answer) -> Result<(), Ended> {
        let line = self.row(row, answer.width(), answer.colour());
        answer.line(line)
    }

    /// Writes titles and rows.
    pub(crate) fn write(mut self, rows: &[Vec<Cell>], answer: &mut Answer) -> Result<(), Ended> {
        self.fit(rows);
        self.write_head(answer)?;
        rows.iter().try_for_each(|row| self.write_row(row, answer))
    }

    fn row(&self, row: &[Cell], width: usize, colour: bool) -> String {
        let mut line = String::new();
        let mut rest = width;
        let mut owed = 0;
        for (column, cell) in self.columns.iter().zip(row) {
            let text = shortened(&cell.text, rest.saturating_sub(owed));
            let fill = column.width.saturating_sub(text.width());
            // What nothing follows is not written, so that no line ends in spaces.
            let (before, after) = if column.right { (fill, 0) } else { (0, fill) };
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', owed + before));
                line.push_str(&cell.tone.paint(&text, colour));
                rest = rest.saturating_sub(owed + before + text.width());
                owed = 0;
            } else {
                owed += before;
            }
            owed += after + GAP;
        }
        line
    }
}

/// As much of a text as fits, an ellipsis in place of the rest.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shortened = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > width {
            break;
        }
        shortened.push(letter);
    }
    if width > 0 {
        shortened.push('…');
    }
    shortened
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &[&[Cell]], width: usize, colour: bool) -> String {
        let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.to_vec()).collect();
        let mut table = Table::new(&[">ID", "NAME", "WHAT"]);
        table.fit(&rows);
        rows.iter().map(|row| table.row(row, width, colour) + "\n").collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_spaces() {
        let rows: [&[Cell]; 3] = [
            &["1".into(), "日本".into(), "x".into()],
            &["20".into(), "cellpose".into(), "".into()],
            &["300".into(), "".into(), "y".into()],
        ];
        assert_eq!(lines(&rows, usize::MAX, false), "  1  日本      x\n 20  cellpose\n300            y\n");
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        let rows: [&[Cell]; 2] = [
            &["1".into(), "a".into(), "日本 and more".into()],
            &["2".into(), "a long name indeed".into(), "x".into()],
        ];
        assert_eq!(lines(&rows, 10, false), " 1  a\n 2  a lon…\n");
        assert_eq!(lines(&rows, 28, false), " 1  a                   日…\n 2  a long name indeed  x\n");
    }

    #[test]
    fn a_tone_is_a_colour_where_there_are_any() {
        let rows: [&[Cell]; 1] = [&["1".into(), Cell::new("DONE", Tone::Good), "".into()]];
        assert_eq!(lines(&rows, 80, true), " 1  \x1b[32mDONE\x1b[0m\n");
        assert_eq!(lines(&rows, 80, false), " 1  DONE\n");
    }
}
