//! What `docs/events.md` promises to programs.

use biomero_tests::{Result, Trouble, binary};

use super::stage::{Stage, TASK, WORKFLOW};

#[test]
fn each_verb_has_the_keys_that_the_page_promises() -> Result<()> {
    let stage = Stage::with_history("processor_shapes")?;
    let page = std::fs::read_to_string(binary::workspace().join("docs/events.md"))
        .map_err(Trouble::doing("read docs/events.md"))?;
    let file = format!("sqlite:///{}", stage.scratch.path().join("copy.sqlite").display());
    for (row, arguments) in [
        ("`init`", &["init"][..]),
        ("`doctor`", &["doctor"]),
        ("`select`", &["select"]),
        ("`list`", &["list"]),
        ("`show`, a workflow run", &["show", WORKFLOW]),
        ("`show`, a task", &["show", TASK]),
        ("`rebuild`", &["rebuild"]),
        ("`select --own`", &["select", "--own"]),
        ("`copy`", &["copy", "--to", &file]),
        ("`record`", &["record", "start-task", TASK]),
        ("`stats`", &["stats"]),
    ] {
        let promised = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {row} | ")))
            .and_then(|line| line.split(" | ").nth(1))
            .ok_or_else(|| Trouble::new(format!("docs/events.md has no row {row}")))?;
        let mut promised: Vec<&str> = promised.split('`').skip(1).step_by(2).collect();
        promised.sort_unstable();
        let answer = stage.object(arguments)?;
        let mut keys: Vec<&str> =
            answer.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, promised, "{row}");
    }
    Ok(())
}
