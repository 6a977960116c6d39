//! Who is let in, and what a page of somebody else can do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use biomero_tests::{Result, http};

use super::{Desk, Visit};

#[test]
fn a_token_lets_in_for_as_long_as_its_reader_wants_and_is_kept_nowhere() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    assert_eq!(visit.browser.open("/workflows?phase=DONE")?, 200);
    assert_eq!(visit.browser.path()?, "/login", "a stranger is led to where a token is asked for");
    visit.browser.fill("#token", "biomero_wrong")?;
    visit.browser.click("role=button[name='Log in']")?;
    visit.browser.shows("role=alert", "Nobody knows this token.")?;
    assert_eq!(visit.browser.status()?, 401);
    assert_eq!(visit.browser.cookies()?, Vec::<serde_json::Value>::new());
    // The browser tells of the refused page, and has to.
    visit.browser.heard()?;

    visit.enter()?;
    let cookies = visit.browser.cookies()?;
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let cookie = &cookies[0];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&true.into(), &"Strict".into()), "{cookie}");
    let value = cookie["value"].as_str().unwrap_or_default().to_owned();
    let kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])";
    assert_eq!(visit.browser.evaluate(kept)?, r#"["",{},{}]"#);
    assert!(!cookie.to_string().contains(&visit.token) && !visit.browser.source()?.contains(&visit.token));
    let headers = format!("Cookie: biomero={value}\r\n");
    let ask = |address: &str| http::to(address)?.ask("GET", "/workflows", &headers, "");
    assert_eq!(ask(&visit.address)?.status, 200);
    visit.is_content()?;

    visit.browser.click("role=button[name='Log out']")?;
    visit.browser.shows("h1", "BIOMERO worker")?;
    assert_eq!(visit.browser.cookies()?, Vec::<serde_json::Value>::new());
    assert_eq!(ask(&visit.address)?.status, 303, "what the cookie was good for is over");
    Ok(())
}

#[test]
fn a_page_of_somebody_else_changes_nothing_in_the_name_of_who_looks_at_it() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    visit.enter()?;
    let id = visit.asked.submit("one", &[("waits", "")])?;
    // On another port of this machine: to a browser it is the same site, so that the cookie goes with what it sends.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let elsewhere = format!("http://{}/", listener.local_addr().expect("its address"));
    let page = format!(
        "<!doctype html><form method=post action='http://{}/workflows/{id}/cancel'><button>Win</button></form>",
        visit.address
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                let length = page.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{page}");
            }
        }
    });
    visit.browser.visit(&elsewhere)?;
    visit.browser.click("button")?;
    visit.browser.shows(".notice.bad", "a page of somebody else has asked")?;
    assert_eq!(visit.browser.status()?, 403);
    let shown = visit.asked.get(&format!("/v1/workflows/{id}"))?;
    assert!(shown["over"] == false && shown["cancelled_by"].is_null(), "{shown:#}");
    // Nor can it be looked at from inside of one, where its buttons could be hidden under others.
    visit.browser.visit(&elsewhere)?;
    let framed = format!(
        "new Promise((done) => {{ const frame = document.createElement('iframe'); \
         frame.src = 'http://{}/workflows'; frame.onload = done; document.body.append(frame); }}).then(() => true)",
        visit.address
    );
    visit.browser.evaluate(&framed)?;
    let refused = visit.browser.heard()?.complaints;
    assert!(refused.iter().any(|complaint| complaint.contains("frame-ancestors")), "{refused:?}");
    visit.tell("first")?;
    visit.tell("last")?;
    assert_eq!(visit.asked.ended(&id)?["phase"], "DONE");
    Ok(())
}
