//! What happens is seen without anybody reloading, and buttons do what they say.

use biomero_tests::{Result, http, wait};
use serde_json::json;

use super::{Desk, HOSTILE, Visit};

/// Whether the page is the one that was marked, not one that was loaded since.
const UNTOUCHED: &str = "window.marked === true";

#[test]
fn a_workflow_is_seen_to_come_to_run_and_to_be_cancelled() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    visit.enter()?;
    visit.browser.click("role=navigation[name='Pages'] >> text=Workflows")?;
    visit.browser.shows("#list", "There are none.")?;
    visit.browser.evaluate("window.marked = true")?;
    let id = visit.asked.submit("one", &[("waits", "")])?;
    visit.browser.shows("#list tbody tr", "copy")?;
    assert_eq!(visit.browser.evaluate(UNTOUCHED)?, true);
    visit.browser.click(&format!("#list a[href='/workflows/{id}']"))?;

    visit.browser.evaluate("window.marked = true")?;
    visit.browser.shows("#rail li[aria-current=step]", "Run")?;
    visit.browser.shows("pre.log", "it has begun")?;
    visit.tell("first")?;
    visit.browser.shows("pre.log", "<b>the first</b> word")?;
    assert_eq!(visit.browser.evaluate("document.querySelectorAll('pre.log *').length")?, 0, "it is text");

    visit.browser.accepts(false)?;
    visit.browser.click("role=button[name='Cancel']")?;
    let asked = visit.browser.heard()?.dialogs;
    assert_eq!(asked, ["End this workflow and its jobs?"]);
    let shown = visit.asked.get(&format!("/v1/workflows/{id}"))?;
    assert!(
        shown["over"] == false && shown["cancelled_by"].is_null(),
        "who says no changes nothing: {shown:#}"
    );
    assert_eq!(visit.browser.evaluate(UNTOUCHED)?, true);
    visit.browser.accepts(true)?;
    visit.browser.click("role=button[name='Cancel']")?;
    visit.browser.shows("#head .phase", "cancelled")?;
    visit.browser.shows("#head", "cancelled by token dashboard")?;
    let shown = visit.asked.ended(&id)?;
    assert_eq!((&shown["phase"], &shown["cancelled_by"]), (&json!("CANCELLED"), &json!("token dashboard")));
    visit.is_content()?;
    is_what_a_fresh_look_shows(&mut visit)
}

#[test]
fn a_failure_is_told_with_what_to_do_and_asked_for_once_more() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    visit.enter()?;
    visit.browser.open("/workflows?open=true")?;
    visit.browser.evaluate("window.marked = true")?;
    let mut request = visit.asked.request(HOSTILE, &[("fail", &format!("no {HOSTILE}</pre>\n"))])?;
    request["parameters"] = json!({ "label": HOSTILE });
    let id = visit.submit(&request)?;
    assert_eq!(visit.asked.ended(&id)?["phase"], "FAILED");
    visit.browser.hides("#list tbody tr", "copy")?;
    assert_eq!(
        visit.browser.evaluate(UNTOUCHED)?,
        true,
        "it went from the list of those under way by itself"
    );
    visit.browser.open("/workflows?phase=FAILED")?;
    visit.browser.shows("#list", "1 workflow")?;
    visit.browser.click(&format!("a[href='/workflows/{id}']"))?;

    visit.browser.shows(".notice.bad h2", "Run has failed")?;
    visit.browser.shows(".notice.bad", "What to do: ")?;
    visit.browser.shows(".notice.bad pre", "onerror=alert(1)")?;
    visit.browser.shows(".pairs", HOSTILE)?;
    assert_eq!(visit.browser.evaluate("document.querySelectorAll('[onerror]').length")?, 0);
    // Each text of others turns around nothing but itself.
    let bare = "[...document.querySelectorAll('main *')].filter((element) => !element.closest('bdi, pre') && \
                [...element.childNodes].some((node) => node.nodeType === 3 && node.data.includes('\\u202e'))).length";
    assert_eq!(visit.browser.evaluate(bare)?, 0);
    assert_eq!(visit.browser.heard()?.dialogs, Vec::<String>::new());

    visit.browser.evaluate("window.marked = true")?;
    visit.tell("mended")?;
    visit.browser.click("role=button[name='Retry']")?;
    visit.browser.shows("#head .phase", "done")?;
    visit.browser.shows("#rail", "begun 2 times")?;
    assert_eq!(visit.asked.ended(&id)?["round"], 1);
    visit.is_content()?;
    is_what_a_fresh_look_shows(&mut visit)
}

#[test]
fn an_image_is_seen_and_what_is_none_leaves_no_hole() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    visit.enter()?;
    let id = visit.submit_image("nucleus")?;
    visit.browser.open(&format!("/workflows/{id}"))?;
    visit.browser.becomes("document.querySelector('.picture img')?.naturalWidth > 0")?;
    // As it was decoded: shades, not one colour.
    let shades = "(() => { const image = document.querySelector('.picture img'); \
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d'); \
        canvas.drawImage(image, 0, 0); \
        const { data } = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight); \
        return new Set(data.filter((_, place) => place % 4 === 0)).size; })()";
    let shades = visit.browser.evaluate(shades)?.as_u64().unwrap_or_default();
    assert!(shades > 64, "{shades} shades of a micrograph of 8 bits");
    assert_eq!(visit.asked.ended(&id)?["phase"], "DONE");

    let none = visit.asked.submit("none", &[])?;
    assert_eq!(visit.asked.ended(&none)?["phase"], "DONE");
    visit.is_content()?;
    visit.browser.open(&format!("/workflows/{none}"))?;
    visit.browser.hides("figure.picture", "")?;
    visit.browser.shows(".beside.alone", "Asked for")
}

#[test]
fn who_looks_away_keeps_no_connection_and_misses_nothing() -> Result<()> {
    let mut visit = Visit::to(Desk::embedded()?)?;
    visit.enter()?;
    let id = visit.asked.submit("one", &[("waits", "")])?;
    visit.browser.open(&format!("/workflows/{id}"))?;
    visit.browser.shows("pre.log", "it has begun")?;
    // As a browser tells a page whose window another one covers.
    let covered = |covered: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {covered} }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    visit.browser.evaluate(&covered(true))?;
    visit.tell("first")?;
    wait::until("the first word", wait::PATIENCE, &[visit.asked.serve.log()], || {
        let tasks = visit.asked.get(&format!("/v1/workflows/{id}/tasks")).ok()?;
        let tasks = tasks["tasks"].as_array()?.clone();
        let job = tasks.iter().find_map(|task| task["jobs"][0]["job"].as_i64())?;
        let log = http::get(&visit.asked.socket, &format!("/v1/jobs/{job}/log")).ok()?.text();
        log.contains("the first").then_some(())
    })?;
    assert_eq!(visit.browser.texts("pre.log")?, ["it has begun\n"], "nobody looks, and nothing is fetched");
    visit.browser.evaluate(&covered(false))?;
    visit.browser.shows("pre.log", "<b>the first</b> word")?;
    assert_eq!(visit.browser.texts("pre.log")?, ["it has begun\n<b>the first</b> word\n"]);

    visit.browser.evaluate(&covered(true))?;
    visit.tell("last")?;
    assert_eq!(visit.asked.ended(&id)?["phase"], "DONE");
    assert_eq!(visit.browser.texts("#head .phase")?, ["running"]);
    visit.browser.evaluate(&covered(false))?;
    visit.browser.shows("#head .phase", "done")?;
    visit.is_content()?;
    is_what_a_fresh_look_shows(&mut visit)
}

/// In the end the page that has followed says the same as one that is made now, but for moments, which it tells otherwise.
fn is_what_a_fresh_look_shows(visit: &mut Visit) -> Result<()> {
    visit.browser.becomes(
        "(async () => {
            const answer = await fetch(location.href);
            const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
            const told = (page) => [...page.querySelectorAll('[data-live]')].map((part) => {
                const copy = part.cloneNode(true);
                copy.querySelectorAll('time').forEach((time) => time.remove());
                return copy.textContent;
            }).join('|');
            return !fresh.querySelector('[aria-current=step]') && told(fresh) === told(document);
        })()",
    )
}
