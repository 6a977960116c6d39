//! Sessions that workflows are lent: whose they are, what becomes of one that is gone, and of a worker without any.

use biomero_tests::process::{self, Running};
use biomero_tests::{Result, Trouble, http};
use serde_json::{Value, json};

use super::{Stage, session, trouble};

/// A workflow whose session OMERO has forgotten while its job ran.
fn forgotten(stage: &Stage, serve: &Running) -> Result<String> {
    let hold = stage.hold()?;
    let id = stage.submit(&["omero:Image:10"])?;
    stage.runs(&id, serve)?;
    for session in [stage.lent(&id)?, stage.key.clone()] {
        stage.tell("expire", &session)?;
    }
    std::fs::remove_file(hold).map_err(Trouble::doing("let jobs go on"))?;
    Ok(id)
}

#[test]
fn a_session_that_omero_has_forgotten_is_made_anew_in_the_grid() -> Result<()> {
    let stage = Stage::new()?;
    let serve = stage.serve()?;
    let id = forgotten(&stage, &serve)?;
    stage.ends(&id, &serve, "DONE")?;
    assert_eq!((stage.seen("sudo")?, stage.seen("named")?), ("root Lab User".to_owned(), "5".to_owned()));
    stage.desk.ran_once(&id)
}

#[test]
fn outside_of_the_grid_it_fails_until_another_one_is_lent() -> Result<()> {
    let stage = Stage::outside_of_the_grid()?;
    let serve = stage.serve()?;
    let id = forgotten(&stage, &serve)?;
    let shown = stage.ends(&id, &serve, "FAILED")?;
    let reason = shown["failure"]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("its session of OMERO has ended") && reason.contains("processor retry"),
        "{reason}"
    );
    assert_eq!(shown["failure"]["step"], "deliver");
    assert!(!stage.file(&id).exists(), "it went with the workflow");

    let refused = stage.said(None, &["retry", &id])?;
    let told = process::both(&refused);
    assert_eq!(refused.status.code(), Some(64), "{told}");
    assert!(told.contains("lend it another one"), "{told}");
    let other = session(&stage.omero)?;
    let again = stage.said(Some(&other), &["retry", &id])?;
    assert!(again.status.success(), "{}", process::both(&again));
    stage.ends(&id, &serve, "DONE")?;
    // Its results were here already.
    stage.desk.ran_once(&id)?;
    assert_eq!(super::counted(&stage.there()?)["tables"], 1);
    Ok(())
}

#[test]
fn where_omero_makes_no_session_the_askers_is_kept() -> Result<()> {
    let stage = Stage::new()?;
    stage.tell("refuseSessions", "yes")?;
    let serve = stage.serve()?;
    let hold = stage.hold()?;
    let id = stage.submit(&["omero:Image:10"])?;
    stage.runs(&id, &serve)?;
    assert_eq!(stage.lent(&id)?, stage.key);
    // Whoever carries it next joins it again.
    drop(serve);
    let serve = stage.serve()?;
    std::fs::remove_file(hold).map_err(Trouble::doing("let jobs go on"))?;
    stage.ends(&id, &serve, "DONE")?;
    assert!(!stage.file(&id).exists());
    // It is still theirs.
    stage.tell("refuseSessions", "")?;
    stage.submit(&["omero:Image:10"]).map(drop)
}

#[test]
fn nobody_asks_in_the_name_of_somebody_else_or_of_nobody() -> Result<()> {
    let stage = Stage::new()?;
    let _serve = stage.serve()?;
    let key = Some(stage.key.as_str());
    let image = ["--image", "omero:Image:10"];
    for (session, more, told) in [
        (None, image.to_vec(), "Omero-Session: what is in OMERO is read and written in somebody's name"),
        (Some("31fa7d02-0000-4000-8000-000000000000"), image.to_vec(), "OMERO knows no such session"),
        (key, [image.as_slice(), &["--user", "2"]].concat(), "user: the session is that of user 5"),
        (key, [image.as_slice(), &["--group", "9"]].concat(), "group: user 5 is not in group 9"),
        (key, vec!["--image", "omero:Image:99"], "inputs: OMERO has no omero:Image:99"),
        (key, [image.as_slice(), &["--import-to", "Image:7"]].concat(), "results: Image:7 is no dataset"),
        (key, [image.as_slice(), &["--param", "colour=red"]].concat(), "parameters: "),
    ] {
        let arguments = [&["run", "copy", "--to-omero"], more.as_slice()].concat();
        let said = stage.said(session, &arguments)?;
        let text = process::both(&said);
        assert_eq!(said.status.code(), Some(64), "{arguments:?}: {text}");
        assert!(text.contains(told), "{arguments:?}: {text}");
        assert!(session.is_none_or(|session| !text.contains(session)), "{text}");
    }
    stage.sessions_are("0")?;
    let said = stage.said(None, &["workflows", "--json"])?;
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "", "nothing was kept");
    Ok(())
}

#[test]
fn asked_for_again_under_one_id_it_is_taken_once_with_one_session() -> Result<()> {
    let stage = Stage::new()?;
    let hold = stage.hold()?;
    let serve = stage.serve()?;
    let id = "0199e7a1-0000-7000-8000-000000000002";
    let request = json!({ "workflow": "copy", "inputs": ["omero:Image:10"], "results": { "omero": {} },
        "policy": { "convert": false } });
    let mut answers = Vec::new();
    for _ in 0..2 {
        let headers = format!(
            "Content-Type: application/json\r\nIdempotency-Key: {id}\r\nOmero-Session: {}\r\n",
            stage.key
        );
        let socket = stage.desk.socket("serve");
        let answer = http::ask(&socket, "POST", "/v1/workflows", &headers, &request.to_string())?;
        let told: Value = answer.json();
        answers.push((answer.status, told["repeated"].clone()));
    }
    assert_eq!(answers, [(201, json!(false)), (200, json!(true))]);
    assert_eq!(stage.seen("userSessions")?, "1");
    std::fs::remove_file(hold).map_err(trouble)?;
    stage.ends(id, &serve, "DONE")?;
    stage.sessions_are("0")
}
