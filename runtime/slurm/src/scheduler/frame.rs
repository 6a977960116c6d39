//! Answers of several programs in one stream, told apart by marks that nobody can know beforehand.
//!
//! Names, comments and folders of jobs are whatever their owners wrote, line ends and control characters included. So a
//! field ends with a mark that is drawn for each question, not with a character; and a cut record is left out.

use uuid::Uuid;

/// The marks of one question.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// Ends a field.
    pub(super) field: String,
    /// Stands around what tells how a program ended.
    pub(super) end: String,
}

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// Which one.
    pub(super) program: String,
    /// Its exit code; 124 where it was ended for taking too long.
    pub(super) code: u8,
    /// What it complained of.
    pub(super) complaint: String,
    /// What it answered.
    pub(super) answer: &'a [u8],
}

impl Marks {
    pub(super) fn new() -> Self {
        // 64 bits of chance: a job's name was written before they were drawn.
        let drawn = Uuid::new_v4().simple().to_string();
        let drawn = drawn.get(..16).unwrap_or_default();
        Self { field: format!("\u{1f}{drawn}"), end: format!("\u{1e}{drawn}") }
    }

    /// The sections, in order. What is behind the last end, of a program that did not get there, is none.
    pub(super) fn sections<'a>(&self, stream: &'a [u8]) -> Vec<Section<'a>> {
        let parts = split(stream, self.end.as_bytes());
        let mut sections = Vec::new();
        for pair in parts.chunks_exact(2) {
            let [answer, told] = pair else { continue };
            let mut told = split(told, self.field.as_bytes()).into_iter().map(String::from_utf8_lossy);
            let program = told.next().unwrap_or_default().into_owned();
            let code = told.next().and_then(|code| code.parse().ok()).unwrap_or(u8::MAX);
            let complaint = told.next().unwrap_or_default().trim().to_owned();
            sections.push(Section { program, code, complaint, answer });
        }
        sections
    }

    /// The records of an answer in which each of `fields` fields is followed by the mark and each record by a line end.
    pub(super) fn records(&self, answer: &[u8], fields: usize) -> Vec<Vec<String>> {
        let mut parts = split(answer, self.field.as_bytes());
        // What is behind the last mark: the last line end, or the half of a field.
        parts.pop();
        let records = parts.chunks_exact(fields);
        records
            .map(|record| {
                let mut record: Vec<String> =
                    record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
                if let Some(first) = record.first_mut()
                    && let Some(rest) = first.strip_prefix('\n')
                {
                    *first = rest.to_owned();
                }
                record
            })
            .collect()
    }
}

/// The parts between the marks: one more than there are marks.
fn split<'a>(mut bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let first = mark.first().copied().unwrap_or_default();
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == first)) {
        let at = from + at;
        if bytes.get(at..).is_some_and(|rest| rest.starts_with(mark)) {
            parts.push(bytes.get(..at).unwrap_or_default());
            bytes = bytes.get(at + mark.len()..).unwrap_or_default();
            from = 0;
        } else {
            from = at + 1;
        }
    }
    parts.push(bytes);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_fields_hold_they_come_back_as_they_were(
            table in proptest::collection::vec(proptest::collection::vec("(?s)[\u{1e}\u{1f}\n|a-c]{0,6}", 3), 0..9),
            complaint in "[a-z \u{1f}]{0,9}",
        ) {
            let marks = Marks::new();
            let mut stream = String::new();
            for record in &table {
                for field in record {
                    stream.push_str(field);
                    stream.push_str(&marks.field);
                }
                stream.push('\n');
            }
            let end = &marks.end;
            stream.push_str(&format!("{end}squeue{}1{}{complaint}{end}half", marks.field, marks.field));
            let sections = marks.sections(stream.as_bytes());
            prop_assert_eq!(sections.len(), 1);
            prop_assert_eq!(&sections[0].program, "squeue");
            prop_assert_eq!(sections[0].code, 1);
            prop_assert_eq!(&sections[0].complaint, complaint.trim());
            let records = marks.records(sections[0].answer, 3);
            // The line end between records is told from one that a first field begins with only by its place.
            let expected: Vec<Vec<String>> = table
                .iter()
                .enumerate()
                .map(|(place, record)| {
                    let mut record = record.clone();
                    if place == 0 && let Some(rest) = record[0].strip_prefix('\n') {
                        record[0] = rest.to_owned();
                    }
                    record
                })
                .collect();
            prop_assert_eq!(records, expected);
        }

        #[test]
        fn a_stream_that_is_cut_anywhere_has_whole_records_alone(cut in 0_usize..200) {
            let marks = Marks::new();
            let field = &marks.field;
            let stream = format!("a{field}b{field}\nc{field}d{field}\ne{field}f{field}\n");
            let cut = cut.min(stream.len());
            let records = marks.records(&stream.as_bytes()[..cut], 2);
            let whole = [["a", "b"], ["c", "d"], ["e", "f"]];
            prop_assert!(records.len() <= 3);
            for (record, whole) in records.iter().zip(whole) {
                prop_assert_eq!(record, &whole);
            }
        }
    }
}
