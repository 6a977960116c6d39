//! Records of a CSV, one after the other: RFC 4180, and what is commonly written beside it (semicolons, tabs, a mark of UTF-8,
//! lines that end as on other systems).

use std::io::{self, BufRead};

use thiserror::Error;

/// Bytes of a record, all its fields together.
const RECORD: usize = 1 << 20;
/// Columns of a table: PyTables, which stores it, complains from 512 on.
const COLUMNS: usize = 512;
/// Rows of a table.
const ROWS: u64 = 50_000_000;

/// Why a file is no table.
#[derive(Debug, Error)]
pub enum TableError {
    /// The disk said no.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It has no names of columns.
    #[error("it is empty")]
    Empty,
    /// It is binary, or of another encoding.
    #[error("line {line} is not UTF-8; save it as UTF-8")]
    Encoding {
        /// Where the record begins.
        line: u64,
    },
    /// It holds what no text holds.
    #[error("line {line} has a byte of 0, which no text has")]
    Binary {
        /// Where the record begins.
        line: u64,
    },
    /// A quotation mark that nothing ends.
    #[error("a quotation mark in line {line} is never closed")]
    Quote {
        /// Where the record begins.
        line: u64,
    },
    /// A record that is no record.
    #[error("line {line} has more than {RECORD} bytes")]
    Long {
        /// Where it begins.
        line: u64,
    },
    /// More columns than OMERO's tables have.
    #[error("it has {0} columns, and a table of OMERO at most {COLUMNS}")]
    Columns(usize),
    /// More rows than a table is for.
    #[error("it has more than {ROWS} rows")]
    Rows,
    /// A row that is longer than the names of columns.
    #[error("line {line} has {found} fields, and there are {wanted} columns")]
    Ragged {
        /// Where it begins.
        line: u64,
        /// How many it has.
        found: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// A type in its first line is none.
    #[error(
        "its first line gives column {column} the type {text:?}, which is none of d, l, s, b, image, dataset, plate, well, roi"
    )]
    Type {
        /// Which column, from 1.
        column: usize,
        /// What it says.
        text: String,
    },
    /// A value is not of the type that its first line gives the column.
    #[error("line {line}: {value:?} is no {kind}, which its first line says of the column {column:?}")]
    Value {
        /// Where.
        line: u64,
        /// Of which column.
        column: String,
        /// What is there.
        value: String,
        /// What should be.
        kind: &'static str,
    },
    /// It was changed while it was read.
    #[error("it has changed while it was read")]
    Changed,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// Its fields, as many as there are columns.
    pub fields: Vec<String>,
}

/// The rows of a table.
#[derive(Debug)]
pub struct Records<R> {
    input: R,
    delimiter: u8,
    line: u64,
    rows: u64,
    header: Vec<String>,
    types: Option<Vec<String>>,
    /// What is used again for each record.
    raw: Vec<u8>,
}

/// Where reading a record stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quotation mark within quotation marks: the end of them, or the first of two.
    Mark,
}

impl<R: BufRead> Records<R> {
    /// Reads the names of columns, and the line of types in front of them that omero-metadata knows.
    ///
    /// # Errors
    /// It has none.
    pub fn new(mut input: R) -> Result<Self, TableError> {
        if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let mut records = Self {
            input,
            delimiter: b',',
            line: 1,
            rows: 0,
            header: Vec::new(),
            types: None,
            raw: Vec::new(),
        };
        records.delimiter = delimiter(records.input.fill_buf()?);
        let mut first = records.next_fields()?.ok_or(TableError::Empty)?.fields;
        if let Some(types) = first.first().and_then(|field| field.strip_prefix("# header")) {
            let mut types = vec![types.trim().to_owned()];
            types.extend(first.drain(1..).map(|text| text.trim().to_owned()));
            records.types = Some(types);
            // Its types stand between commas, its rows between what they stand between.
            records.delimiter = delimiter(records.input.fill_buf()?);
            first = records.next_fields()?.ok_or(TableError::Empty)?.fields;
        }
        if first.len() > COLUMNS {
            return Err(TableError::Columns(first.len()));
        }
        records.header = first.into_iter().map(|name| name.trim().to_owned()).collect();
        Ok(records)
    }

    /// The names of columns, as they are written.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The types that stand in front of them, if they do.
    pub fn types(&self) -> Option<&[String]> {
        self.types.as_deref()
    }

    /// The next row, with empty fields where it is short.
    ///
    /// # Errors
    /// It is none.
    #[allow(clippy::should_implement_trait, reason = "an error ends it, which an iterator does not say")]
    pub fn next(&mut self) -> Result<Option<Record>, TableError> {
        let Some(mut record) = self.next_fields()? else { return Ok(None) };
        let (found, wanted) = (record.fields.len(), self.header.len());
        if found > wanted {
            return Err(TableError::Ragged { line: record.line, found, wanted });
        }
        record.fields.resize(wanted, String::new());
        self.rows += 1;
        if self.rows > ROWS {
            return Err(TableError::Rows);
        }
        Ok(Some(record))
    }

    /// The next line that is not empty.
    fn next_fields(&mut self) -> Result<Option<Record>, TableError> {
        loop {
            let line = self.line;
            let Some(ends) = self.read_record(line)? else { return Ok(None) };
            if ends.is_empty() && self.raw.is_empty() {
                continue;
            }
            let text = std::str::from_utf8(&self.raw).map_err(|_| TableError::Encoding { line })?;
            if text.contains('\0') {
                return Err(TableError::Binary { line });
            }
            let mut fields = Vec::with_capacity(ends.len() + 1);
            let mut start = 0;
            for end in ends.into_iter().chain([text.len()]) {
                // A delimiter within a letter: both halves are none.
                fields.push(text.get(start..end).ok_or(TableError::Encoding { line })?.to_owned());
                start = end;
            }
            return Ok(Some(Record { line, fields }));
        }
    }

    /// Reads the bytes of a record without what is around them; the ends of its fields but the last. `None` at the end.
    fn read_record(&mut self, line: u64) -> Result<Option<Vec<usize>>, TableError> {
        self.raw.clear();
        let mut ends = Vec::new();
        let mut at = At::Start;
        let mut is_begun = false;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return match at {
                    At::Quoted => Err(TableError::Quote { line }),
                    _ => Ok(is_begun.then_some(ends)),
                };
            }
            let mut used = 0;
            let mut is_over = false;
            for &byte in buffer {
                used += 1;
                is_begun = true;
                if byte == b'\n' {
                    self.line += 1;
                }
                match (at, byte) {
                    (At::Start, b'"') => at = At::Quoted,
                    (At::Quoted, b'"') => at = At::Mark,
                    (At::Mark, b'"') => {
                        self.raw.push(b'"');
                        at = At::Quoted;
                    }
                    (At::Quoted, _) => self.raw.push(byte),
                    // The other half of such an end is an empty line, which is left out.
                    (_, b'\n' | b'\r') => is_over = true,
                    (_, byte) if byte == self.delimiter => {
                        ends.push(self.raw.len());
                        at = At::Start;
                    }
                    (_, byte) => {
                        self.raw.push(byte);
                        at = At::Plain;
                    }
                }
                if is_over || self.raw.len() > RECORD || ends.len() > RECORD {
                    break;
                }
            }
            self.input.consume(used);
            if self.raw.len() > RECORD || ends.len() > RECORD {
                return Err(TableError::Long { line });
            }
            if is_over {
                return Ok(Some(ends));
            }
        }
    }
}

/// What stands between fields: of commas, semicolons and tabs those that the first line has most of.
fn delimiter(beginning: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for &byte in beginning {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if !is_quoted => {
                counts.iter_mut().filter(|(known, _)| *known == byte).for_each(|(_, count)| *count += 1)
            }
            _ => {}
        }
    }
    // Of equally many the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<(Vec<String>, Vec<Vec<String>>), TableError> {
        // A buffer of few bytes, so that records cross its end.
        let mut records = Records::new(BufReader::with_capacity(16, Cursor::new(text)))?;
        let mut rows = Vec::new();
        while let Some(record) = records.next()? {
            rows.push(record.fields);
        }
        Ok((records.header.clone(), rows))
    }

    #[test]
    fn fields_are_those_of_rfc_4180_and_of_spreadsheets() {
        let expected =
            (vec!["a".to_owned(), "b c".to_owned()], vec![vec!["1".to_owned(), "x, \"y\"\nz".to_owned()]]);
        for text in [
            "a,b c\r\n1,\"x, \"\"y\"\"\nz\"\r\n",
            "\u{feff}a , b c\n\n1,\"x, \"\"y\"\"\nz\"",
            "a;b c\n1;\"x, \"\"y\"\"\nz\"\n",
            "a\tb c\n1\t\"x, \"\"y\"\"\nz\"\n",
            "a,b c\r1,\"x, \"\"y\"\"\nz\"\r",
        ] {
            assert_eq!(read(text.as_bytes()).expect(text), expected, "{text:?}");
        }
        assert_eq!(read(b"a,b\n1\n").expect("short").1, [["1", ""]]);
    }

    #[test]
    fn what_is_no_table_is_told_with_its_line() {
        for (text, told) in [
            (&b""[..], "empty"),
            (b"\n\n\n", "empty"),
            (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, and there are 2 columns"),
            (b"a,b\n1,\"2\n3,4\n", "mark in line 2 is never closed"),
            (b"a\n\xff\n", "line 2 is not UTF-8"),
            (b"a,b\r\n1,2\r\n\xc3,\xa9\r\n", "line 3 is not UTF-8"),
            (b"a\n\0\n", "line 2 has a byte of 0"),
        ] {
            let error = read(text).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
        let many = vec!["x"; COLUMNS + 1].join(",");
        assert!(matches!(read(many.as_bytes()), Err(TableError::Columns(513))));
        let long = format!("a\n{}", "x".repeat(RECORD + 1));
        assert!(matches!(read(long.as_bytes()), Err(TableError::Long { line: 2 })));
        let wide = format!("a\n{}", ",".repeat(RECORD + 1));
        assert!(matches!(read(wide.as_bytes()), Err(TableError::Long { line: 2 })));
    }

    #[test]
    fn types_may_stand_in_front() {
        let text = "# header image,d,s\nimage,area,note\n1,2.5,x\n";
        let records = Records::new(Cursor::new(text)).expect("it is one");
        assert_eq!(records.types(), Some(["image".to_owned(), "d".to_owned(), "s".to_owned()].as_slice()));
        assert_eq!(records.header(), ["image", "area", "note"]);
    }

    proptest! {
        #[test]
        fn what_was_quoted_comes_back(rows in prop::collection::vec(prop::collection::vec("[^\0]{0,12}", 2..5), 1..6)) {
            let quoted = |row: &Vec<String>| {
                let fields: Vec<String> = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
                fields.join(",")
            };
            let mut text = "a,b,c,d\n".to_owned();
            rows.iter().for_each(|row| text += &(quoted(row) + "\n"));
            let (_, read) = read(text.as_bytes()).expect("it is one");
            for (row, mut written) in read.into_iter().zip(rows) {
                written.resize(4, String::new());
                prop_assert_eq!(row, written);
            }
        }

        #[test]
        fn bytes_of_any_kind_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
