//! What a person sees: colours and a width, which a program does not get.

use std::io::Read as _;
use std::process::Stdio;

use biomero_tests::{Result, Trouble};
use nix::pty::{Winsize, openpty};

use super::stage::{Stage, WORKFLOW};

/// What it writes to a terminal of so many columns.
fn on_terminal(
    stage: &Stage,
    columns: u16,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<String> {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).map_err(|error| Trouble::new(format!("no terminal: {error}")))?;
    let mut command = stage.command(arguments);
    command.env("TERM", "xterm").envs(variables.iter().copied());
    let errors = terminal.slave.try_clone().map_err(Trouble::doing("share the terminal"))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(terminal.slave)
        .stderr(errors)
        .spawn()
        .map_err(Trouble::doing("start it"))?;
    // The command holds the other end too, which would never end then.
    drop(command);
    let mut seen = Vec::new();
    // The end of a terminal is an error.
    let _ = std::fs::File::from(terminal.master).read_to_end(&mut seen);
    child.wait().map_err(Trouble::doing("wait for it"))?;
    Ok(String::from_utf8_lossy(&seen).replace("\r\n", "\n"))
}

#[test]
fn states_have_colours_on_a_terminal_unless_somebody_minds() -> Result<()> {
    let stage = Stage::with_history("processor_colours")?;
    let coloured = on_terminal(&stage, 200, &["show", WORKFLOW], &[])?;
    assert!(coloured.contains("\x1b[32mcompleted\x1b[0m"), "{coloured}");
    let plain = on_terminal(&stage, 200, &["show", WORKFLOW], &[("NO_COLOR", "1")])?;
    assert!(plain.contains("completed") && !plain.contains('\x1b'), "{plain}");
    let piped = stage.succeed(&["show", WORKFLOW])?;
    assert!(!piped.contains('\x1b'), "{piped}");
    Ok(())
}

#[test]
fn a_line_is_no_wider_than_the_terminal_and_whole_in_a_pipe() -> Result<()> {
    let stage = Stage::with_history("processor_width")?;
    let narrow = on_terminal(&stage, 100, &["select"], &[("NO_COLOR", "1")])?;
    let widest = narrow.lines().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(100), "{narrow}");
    assert!(narrow.contains('…'), "{narrow}");
    assert!(stage.succeed(&["select"])?.lines().any(|line| line.chars().count() > 200));
    Ok(())
}

#[test]
fn long_work_shows_how_far_it_is_on_a_terminal_alone() -> Result<()> {
    let stage = Stage::with_history("processor_progress")?;
    let seen = on_terminal(&stage, 100, &["rebuild"], &[])?;
    assert!(seen.contains("rebuilding the views ["), "{seen:?}");
    let output = stage.run(&["rebuild"])?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}
