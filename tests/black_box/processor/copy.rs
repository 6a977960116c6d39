//! `copy`.

use biomero_tests::Result;

use super::stage::{Stage, TASK, WORKFLOW, ends_with};

#[test]
fn a_history_goes_into_a_file_and_back_into_a_server_unchanged() -> Result<()> {
    let stage = Stage::with_history("processor_copy")?;
    let file = format!("sqlite:///{}/copy.sqlite", stage.scratch.path().display());
    let told = stage.succeed(&["copy", "--to", &file])?;
    assert!(told.starts_with("copied 42 events from postgresql://biomero:********@"), "{told}");
    let server = stage.server.create_database("processor_copy_back")?;
    let back = stage.object(&["--database", &file, "copy", "--to", &server])?;
    assert_eq!((&back["events"], &back["present"], &back["projected"]), (&42.into(), &0.into(), &42.into()));
    let export = |url: &str| stage.succeed(&["--database", url, "export", "--format", "psv"]);
    assert_eq!(export(&stage.url)?, export(&file)?);
    assert_eq!(export(&stage.url)?, export(&server)?);
    for url in [&file, &server] {
        ends_with(0, &mut stage.command(&["--database", url, "doctor"]))?;
    }
    let again = stage.object(&["copy", "--to", &server])?;
    assert_eq!((&again["events"], &again["present"]), (&0.into(), &42.into()));
    Ok(())
}

#[test]
fn a_target_with_another_history_is_refused_and_left_as_it_is() -> Result<()> {
    let stage = Stage::with_history("processor_copy_other")?;
    let other = Stage::with_history("processor_copy_other_target")?;
    other.psql("UPDATE workflowtracker_events SET state = 'other' WHERE id = 42")?;
    let told = stage.ends_with(78, &["copy", "--to", &other.url])?;
    assert!(told.contains("already holds a history that is not the beginning of the one in"), "{told}");
    assert_eq!(other.psql("SELECT count(*) FROM workflowtracker_events")?, "42");
    let told = stage
        .ends_with(66, &["--database", "sqlite:////nonexistent/x.sqlite", "copy", "--to", &other.url])?;
    assert!(told.contains("there is no file /nonexistent/x.sqlite"), "{told}");
    Ok(())
}

#[test]
fn a_file_gives_the_answers_of_the_server() -> Result<()> {
    let stage = Stage::with_history("processor_copy_answers")?;
    let file = format!("sqlite:///{}/answers.sqlite", stage.scratch.path().display());
    stage.succeed(&["copy", "--to", &file])?;
    for verb in [
        &["select", "--limit", "100"][..],
        &["list"],
        &["show", WORKFLOW],
        &["show", TASK],
        &["stats", "--task", "cellpose"],
    ] {
        let of = |url: &str| -> Result<Vec<serde_json::Value>> {
            let mut objects = stage.objects(&[&["--database", url], verb].concat())?;
            // Its name is all in which the two differ.
            objects
                .iter_mut()
                .filter_map(|object| object.as_object_mut())
                .for_each(|object| drop(object.remove("database")));
            Ok(objects)
        };
        let (server, file) = (of(&stage.url)?, of(&file)?);
        assert!(!server.is_empty(), "{verb:?}");
        assert_eq!(server, file, "{verb:?}");
    }
    Ok(())
}
