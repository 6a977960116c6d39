//! What cannot be done is said in one message with what to do, and no password is in it.

use biomero_tests::Result;
use biomero_tests::icegrid::free_port;
use biomero_tests::postgres::PASSWORD;

use super::stage::{Stage, ends_with};

/// All that it wrote when its database was named so, once by the option and once by the variable.
fn told(stage: &Stage, code: i32, url: &str) -> Result<String> {
    let by_option = stage.ends_with(code, &["--database", url, "select"])?;
    let by_variable = ends_with(code, stage.command(&["select"]).env("SQLALCHEMY_URL", url))?;
    assert!(by_option.contains("--database"), "{by_option}");
    assert!(by_variable.contains("the variable SQLALCHEMY_URL"), "{by_variable}");
    for told in [&by_option, &by_variable] {
        assert!(!told.contains("s3cr3t") && !told.contains(PASSWORD), "{told}");
    }
    Ok(by_option)
}

#[test]
fn each_mistake_has_its_message_and_its_code() -> Result<()> {
    let stage = Stage::empty("processor_refuse")?;
    let port = stage.server.port();
    let closed = free_port()?;
    for (code, url, message) in [
        (
            77,
            format!("postgresql://biomero:s3cr3t@127.0.0.1:{port}/processor_refuse"),
            "does not accept the password",
        ),
        (
            77,
            format!("postgresql://nobody:s3cr3t@127.0.0.1:{port}/processor_refuse"),
            "does not accept the password",
        ),
        (66, stage.server.url("nowhere"), "has no such database"),
        (69, format!("postgresql://biomero:s3cr3t@127.0.0.1:{closed}/x"), "refuses connections"),
        (69, "postgresql://biomero:s3cr3t@host.invalid/x".to_owned(), "cannot resolve the host"),
        (78, "mysql://biomero:s3cr3t@127.0.0.1/x".to_owned(), "is for \"mysql\""),
        (
            78,
            "postgresql://biomero:s3cr3t@127.0.0.1/x?sslmod=require".to_owned(),
            "unknown option \"sslmod\"",
        ),
        (78, "biomero:s3cr3t@127.0.0.1/x".to_owned(), "does not begin with a scheme"),
        (66, format!("sqlite:///{}/none.sqlite", stage.scratch.path().display()), "there is no file"),
    ] {
        let told = told(&stage, code, &url)?;
        assert!(told.contains(message), "{message}\nis not in\n{told}");
    }
    Ok(())
}

#[test]
fn a_word_that_makes_no_sense_is_refused_with_the_nearest_one() -> Result<()> {
    let stage = Stage::with_history("processor_refuse_words")?;
    for (arguments, message) in [
        (&["show", "42"][..], "invalid value '42' for '<UUID>'"),
        (&["select", "--topic", "TaskFaild"], "did you mean TaskFailed?"),
        (&["selct"], "select"),
        (&["follow", "--new", "--from", "1"], "cannot be used with"),
        (&["init", "--since", "30d"], "--rebuild"),
    ] {
        let told = stage.ends_with(64, arguments)?;
        assert!(told.contains(message), "{message}\nis not in\n{told}");
    }
    let told = stage.ends_with(78, &["rebuild", "--since", "soon"])?;
    assert!(told.contains("--since is \"soon\": write a day as"), "{told}");
    let told = stage.ends_with(66, &["show", "00000000-0000-0000-0000-000000000000"])?;
    assert!(told.contains("nothing is recorded of 00000000-0000-0000-0000-000000000000"), "{told}");
    Ok(())
}

#[test]
fn what_an_event_holds_cannot_draw_on_the_terminal() -> Result<()> {
    let stage = Stage::with_history("processor_refuse_control")?;
    stage.psql(
        r#"UPDATE workflowtracker_events SET topic = E'evil\x1b[2J:x\ny', state = convert_to(E'\x1b]0;title\x07', 'UTF8') WHERE id = 42;
           UPDATE workflowtracker_events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'Slurm job', '\u001b[31mSlurm'), 'UTF8') WHERE id = 41"#,
    )?;
    let told = stage.succeed(&["select", "--start", "40"])?;
    assert!(told.contains("Slurm") && !told.contains(['\x1b', '\x07']), "{told:?}");
    assert_eq!(told.lines().count(), 4, "{told:?}");
    Ok(())
}
