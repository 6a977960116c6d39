//! The tables of `docs/slurm.md` that programs rely on.

use std::cell::RefCell;
use std::collections::BTreeSet;

use biomero_tests::{Result, Trouble, binary};
use serde_json::Value;

/// The page, and which of its rows an answer has been held to.
pub(super) struct Promises {
    page: String,
    kept: RefCell<BTreeSet<String>>,
}

impl Promises {
    pub(super) fn new() -> Result<Self> {
        let page = std::fs::read_to_string(binary::workspace().join("docs/slurm.md"))
            .map_err(Trouble::doing("read docs/slurm.md"))?;
        Ok(Self { page, kept: RefCell::default() })
    }

    /// Holds an answer to the first row of the page that begins so: no key less, no key more; and what is within it
    /// likewise.
    pub(super) fn hold(&self, row: &str, answer: &Value) -> Result<()> {
        let [verb, kind, promised] = self
            .rows("| verb | an object for | keys |")
            .find(|[verb, kind, _]| format!("{verb} | {kind}").starts_with(row))
            .ok_or_else(|| Trouble::new(format!("docs/slurm.md has no row {row}")))?;
        same(row, answer, promised);
        self.kept.borrow_mut().insert(format!("{verb} | {kind}"));
        for [key, of, promised] in self.rows("| key | of | keys |") {
            if verb.split(',').any(|verb| verb.trim() == of) {
                let within = &answer[key.trim_matches('`')];
                let objects = within.as_array().cloned().unwrap_or_else(|| vec![within.clone()]);
                for object in objects.iter().filter(|object| !object.is_null()) {
                    same(key, object, promised);
                    self.kept.borrow_mut().insert(format!("{key} of {of}"));
                }
            }
        }
        Ok(())
    }

    /// The rows that no answer has been held to.
    pub(super) fn left(&self) -> Vec<String> {
        let verbs =
            self.rows("| verb | an object for | keys |").map(|[verb, kind, _]| format!("{verb} | {kind}"));
        let within = self.rows("| key | of | keys |").map(|[key, of, _]| format!("{key} of {of}"));
        verbs.chain(within).filter(|row| !self.kept.borrow().contains(row)).collect()
    }

    /// The first cells of the table of exit codes.
    pub(super) fn exit_codes(&self) -> BTreeSet<i32> {
        self.table("| code | meaning |")
            .filter_map(|row| row.split('|').nth(1)?.trim().parse().ok())
            .collect()
    }

    fn rows(&self, head: &str) -> impl Iterator<Item = [&str; 3]> {
        self.table(head).filter_map(|row| {
            let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
            Some([cells.next()?, cells.next()?, cells.next()?])
        })
    }

    /// The rows behind a head and its rule.
    fn table(&self, head: &str) -> impl Iterator<Item = &str> {
        let behind = self.page.lines().skip_while(move |line| *line != head);
        behind.skip(2).take_while(|line| line.starts_with('|'))
    }
}

/// That an object has the keys that a cell names; what stands in brackets behind one are its values.
fn same(what: &str, object: &Value, promised: &str) {
    let outside = promised.split('(').map(|part| part.split_once(')').map_or(part, |(_, behind)| behind));
    let promised: String = outside.collect();
    // Behind the last key is what becomes of it.
    let promised = promised.split(';').next().unwrap_or_default();
    let promised: BTreeSet<&str> = promised.split('`').skip(1).step_by(2).collect();
    let keys: BTreeSet<&str> =
        object.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, promised, "{what}: {object:#}");
}
