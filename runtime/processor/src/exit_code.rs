//! The exit codes of `processor`, in one table. The table of `docs/events.md` is tested against it.
//!
//! From 64 on they are the numbers of sysexits(3), as those of `init` are.

/// Everything went well; also when the reader of the answer had enough (`| head`).
pub(crate) const SUCCESS: u8 = 0;
/// Something that has no code of its own.
pub(crate) const FAILURE: u8 = 1;
/// It was looked at, and something has to be put right: `doctor`; of `slurm`: `validate`, `init`, `workflows`, `jobs`.
pub(crate) const FINDINGS: u8 = 2;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
/// A row of the log is no event.
pub(crate) const CORRUPT: u8 = 65;
/// There is no history here, or not what was asked for.
pub(crate) const ABSENT: u8 = 66;
/// The database did not answer, or not in time.
pub(crate) const UNAVAILABLE: u8 = 69;
/// No space is left for what was to be written.
pub(crate) const CANNOT_WRITE: u8 = 73;
/// The tables are not those of biomero.
pub(crate) const SCHEMA: u8 = 76;
/// A right is missing.
pub(crate) const PERMISSION: u8 = 77;
/// A setting or the URL of the database makes no sense.
pub(crate) const CONFIGURATION: u8 = 78;

/// Every code, with what it means and what to do: the table of the page.
#[cfg(test)]
pub(crate) const TABLE: &[(u8, &str, &str)] = &[
    (SUCCESS, "success", "nothing"),
    (FAILURE, "it could not be done", "read the message"),
    (FINDINGS, "`doctor`: something has to be put right", "do what the line says"),
    (USAGE, "the command line makes no sense", "`processor events --help`"),
    (
        CORRUPT,
        "something that is stored is damaged; what could be read was shown or used",
        "the message names the row or the file and what to do",
    ),
    (
        ABSENT,
        "nothing of this id is recorded, or there is no history here",
        "check the id; `processor events init`",
    ),
    (
        UNAVAILABLE,
        "the database does not answer, or not in time",
        "check the server, its address and the network",
    ),
    (
        CANNOT_WRITE,
        "no space is left, at the database or where the answer goes",
        "make room; nothing is half done",
    ),
    (
        SCHEMA,
        "the tables differ from those that biomero creates",
        "the message lists each difference; nothing was altered",
    ),
    (PERMISSION, "a right is missing: a password, a grant, the mode of a file", "the message says which"),
    (CONFIGURATION, "a setting or the database URL makes no sense", "correct what is named"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_documents_every_exit_code() {
        let page = include_str!("../../../docs/events.md");
        for (code, meaning, remedy) in TABLE {
            let row = format!("| {code} | {meaning} | {remedy} |");
            assert!(page.contains(&row), "docs/events.md lacks the row\n{row}");
        }
    }
}
