//! Tables that stand in two places, or that promise to be complete.

use biomero_tests::Result;

use super::page::Page;

/// The rows of a page's prose that begin as the rows of exit codes do.
fn exit_codes(page: &Page) -> Vec<String> {
    let begins = |line: &str| {
        line.strip_prefix("| ").and_then(|rest| rest.split(" | ").next()).is_some_and(|cell| {
            !cell.is_empty()
                && cell.bytes().all(|letter| letter.is_ascii_digit())
                && line.matches(" | ").count() == 2
        })
    };
    page.prose().filter(|(_, line)| begins(line)).map(|(_, line)| line.to_owned()).collect()
}

#[test]
fn the_exit_codes_of_init_are_those_of_the_readme() -> Result<()> {
    let readme = exit_codes(&Page::read("README.md")?);
    assert!(readme.len() > 10, "the README's table was not found: {readme:?}");
    assert_eq!(exit_codes(&Page::read("docs/operate.md")?), readme);
    Ok(())
}

/// What NL-BIOMERO's manual of its worker says of troubleshooting and performance, and what of our pages answers it.
const THEIRS: &[(&str, &str, &[&str])] = &[
    ("SSH key permissions", "The cluster cannot be reached by SSH", &["700", "600", "init verify"]),
    ("the key is added to the cluster", "The cluster cannot be reached by SSH", &["authorized_keys"]),
    ("test SSH manually", "The cluster cannot be reached by SSH", &["ssh -v localslurm true"]),
    ("the role in docker-compose", "OMERO finds no processor", &["CONFIG_omero_server_nodedescriptors"]),
    ("omero admin diagnostics", "OMERO finds no processor", &["omero admin diagnostics"]),
    ("one Processor-0 only", "OMERO finds no processor", &["a second Processor-0"]),
    ("scripts on the server", "A BIOMERO script fails", &["lib/scripts/biomero"]),
    ("the version of the library", "A BIOMERO script fails", &["BIOMERO_VERSION", "2.8"]),
    ("slurm-config.ini", "A BIOMERO script fails", &["init slurm-config --origin"]),
    ("connection settings", "The database does not answer", &["processor events doctor", "77"]),
    ("SQLALCHEMY_URL", "The database does not answer", &["SQLALCHEMY_URL"]),
    ("the schema", "The database does not answer", &["processor events init"]),
    ("processors", "It is slow", &["processors are busy"]),
    ("memory", "It is slow", &["processor.limits.memory"]),
    ("storage", "It is slow", &["workflow.folder"]),
    ("external workers", "It is slow", &["the network to the server"]),
    ("SSH and data transfer", "It is slow", &["slurm.sessions"]),
];

#[test]
fn each_entry_of_the_old_manual_has_its_answer() -> Result<()> {
    let page = Page::read("docs/troubleshooting.md")?;
    let mut sections: Vec<(&str, String)> = Vec::new();
    let whole = std::fs::read_to_string(biomero_tests::binary::workspace().join(&page.path))
        .map_err(biomero_tests::Trouble::doing("read the page"))?;
    for section in whole.split("\n## ").skip(1) {
        sections.push((section.lines().next().unwrap_or_default(), section.to_owned()));
    }
    for (entry, heading, words) in THEIRS {
        let section = sections.iter().find(|(title, _)| title == heading);
        let (_, text) =
            section.unwrap_or_else(|| panic!("docs/troubleshooting.md has no heading `{heading}`"));
        for word in *words {
            assert!(text.contains(word), "`{heading}` does not answer `{entry}`: it lacks `{word}`");
        }
    }
    Ok(())
}
