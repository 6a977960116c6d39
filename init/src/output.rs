//! Standard output and standard error of the commands that answer and end.

use std::io::{self, Write as _};

/// Writes an answer. A reader that has gone (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = output.write_all(b"\n");
    }
    let _ = output.flush();
}

/// Writes a JSON answer, indented.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}"));
}

/// Writes what went wrong, one `init: error:` per line of the message.
pub(crate) fn error(message: impl std::fmt::Display) {
    complain("error", &message.to_string());
}

/// Writes what may have been meant.
pub(crate) fn hint(message: impl std::fmt::Display) {
    complain("hint", &message.to_string());
}

/// Writes what to look at, although it is no error.
pub(crate) fn warning(message: impl std::fmt::Display) {
    complain("warning", &message.to_string());
}

fn complain(severity: &str, message: &str) {
    let mut output = io::stderr().lock();
    for line in message.lines() {
        let _ = writeln!(output, "init: {severity}: {line}");
    }
}

/// Columns as wide as their widest cell; the last one as it comes.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .chain([header[column].len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column + 1 == N { (*cell).to_owned() } else { format!("{cell:width$}") }
                },
            )
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    std::iter::once(line(header.to_vec()))
        .chain(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())))
        .collect::<Vec<_>>()
        .join("\n")
}
