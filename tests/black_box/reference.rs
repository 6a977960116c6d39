//! The generated pages say what the binaries say.

use biomero_tests::{Result, Trouble, command_line};

#[test]
fn the_command_line_reference_is_what_the_binaries_say() -> Result<()> {
    let page =
        std::fs::read_to_string(command_line::path()).map_err(Trouble::doing("read docs/command-line.md"))?;
    assert!(
        page == command_line::reference()?,
        "docs/command-line.md is out of date: run `cargo xtask reference`"
    );
    Ok(())
}
