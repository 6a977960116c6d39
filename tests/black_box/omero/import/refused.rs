//! What OMERO refuses, and what is no result.

use std::os::unix::fs::symlink;

use biomero_tests::{Result, Trouble, process};

use super::{Stage, array};

#[test]
fn what_may_not_be_annotated_is_told_before_anything_is_done() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("a.log", b"text")?;
    for (target, code, told) in [
        ("omero:Dataset:9", 66, "no Dataset:9, or does not show it to this user"),
        ("omero:Well:9", 64, "omero:Image:ID"),
    ] {
        let ended = stage.import(&[target])?;
        let both = process::both(&ended);
        assert_eq!(ended.status.code(), Some(code), "{both}");
        assert!(both.contains(told) && !both.contains(&stage.session), "{both}");
    }
    let ended = stage.import(&["omero:Dataset:5", "omero:Dataset:8"])?;
    let both = process::both(&ended);
    assert!(
        ended.status.code() == Some(64) && both.contains("Dataset:5 and Dataset:8 are in different groups"),
        "{both}"
    );
    Ok(())
}

#[test]
fn a_group_that_does_not_allow_it_is_named_in_plain_words() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("a.log", b"text")?;
    stage.tell("restricted", "true")?;
    let ended = stage.import(&["omero:Dataset:5"])?;
    let both = process::both(&ended);
    assert_eq!(ended.status.code(), Some(77), "{both}");
    assert!(
        both.contains("see Dataset:5 but add nothing to it, since the group \"Lab\" does not allow it"),
        "{both}"
    );

    stage.tell("restricted", "false")?;
    stage.tell("refusing", "ReadOnlyGroupSecurityViolation")?;
    let ended = stage.import(&["omero:Dataset:5"])?;
    let both = process::both(&ended);
    assert_eq!(ended.status.code(), Some(1), "{both}");
    assert!(both.contains("making a file for a.log: this user may not write there"), "{both}");
    assert!(both.contains("Cannot write in a read-only group"), "{both}");
    stage.tell("refusing", "")?;
    stage.steps(&["omero:Dataset:5"])?;
    Ok(())
}

#[test]
fn what_the_server_stores_wrong_is_noticed_and_sent_again() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("a.log", b"text")?;
    stage.tell("corrupting", "true")?;
    let ended = stage.import(&["omero:Dataset:5"])?;
    let both = process::both(&ended);
    assert_eq!(ended.status.code(), Some(1), "{both}");
    assert!(both.contains("a.log was sent, and OMERO has something else"), "{both}");
    stage.tell("corrupting", "false")?;
    stage.steps(&["omero:Dataset:5"])?;
    assert_eq!(array(&stage.there()?, "files").len(), 1);

    // Another content under the same workflow replaces nothing.
    stage.put("a.log", b"other")?;
    let ended = stage.import(&["omero:Dataset:5"])?;
    let both = process::both(&ended);
    assert_eq!(ended.status.code(), Some(1), "{both}");
    assert!(both.contains("a.log is in OMERO already with another content"), "{both}");
    Ok(())
}

#[test]
fn where_there_are_no_tables_all_else_comes_home() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("a.csv", b"x\n1\n")?;
    stage.tell("tables", "off")?;
    let ended = stage.import(&["omero:Dataset:5"])?;
    let both = process::both(&ended);
    assert_eq!(ended.status.code(), Some(1), "{both}");
    assert!(
        both.contains("OMERO's tables service is not running") && both.contains("done      a.csv attached"),
        "{both}"
    );
    Ok(())
}

#[test]
fn nothing_outside_of_the_folder_is_read() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("a.log", b"text")?;
    stage.put("\u{1b}[31mred.log", b"text")?;
    symlink("/etc/passwd", stage.results().join("passwd.csv")).map_err(Trouble::doing("link"))?;
    symlink("/etc", stage.results().join("etc")).map_err(Trouble::doing("link"))?;
    let (steps, answer) = stage.steps(&["omero:Dataset:5"])?;
    assert_eq!((steps.len(), array(&answer, "left_out").len()), (2, 3), "{answer:#}");
    assert_eq!(array(&stage.there()?, "files").len(), 1);
    let shown = stage.import(&["omero:Dataset:5"])?;
    assert!(!process::both(&shown).contains('\u{1b}'));
    Ok(())
}
