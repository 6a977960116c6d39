//! What the page says is what the interface answers and what stands in the database; no secret among it.

use std::collections::BTreeMap;

use biomero_events::schema::{TASK_EXECUTION, WORKFLOW_PROGRESS, WORKFLOWS};
use biomero_tests::postgres::{self, PASSWORD, Postgres};
use biomero_tests::{Result, http, wait};
use serde_json::json;

use super::{Desk, Visit, history};

const DATABASE: &str = "page_truth";
/// How many workflows there are in the list.
const LISTED: usize = 10_000;
/// How many are on a page of it.
const SHOWN: usize = 50;

#[test]
fn of_ten_thousand_workflows_page_interface_and_database_tell_the_same() -> Result<()> {
    let server = postgres::shared()?;
    let mut visit = Visit::to(Desk::embedded_on(&server.create_database(DATABASE)?)?)?;
    let done = visit.asked.submit("done", &[])?;
    let failed = visit.asked.submit("failed", &[("fail", "no\n")])?;
    let waits = visit.asked.submit("waits", &[("waits", "")])?;
    for id in [&done, &failed] {
        visit.asked.ended(id)?;
    }
    visit.asked.waits(&waits, |workflow| workflow["phase"] == "RUNNING")?;
    wait::until("the end of what is done", wait::PATIENCE, &[visit.asked.serve.log()], || {
        (http::get(&visit.asked.socket, "/v1/workflows?open=true").ok()?.json()["total"] == 1).then_some(())
    })?;
    history::more_of(&server, DATABASE, &done, LISTED - 3)?;
    history::of_weeks(&server, DATABASE)?;

    visit.enter()?;
    list(&mut visit, &server)?;
    overview(&mut visit, &server)?;
    no_secret(&mut visit, &[&done, &failed, &waits])?;
    visit.is_content()?;
    visit.tell("first")?;
    visit.tell("last")?;
    assert_eq!(visit.asked.ended(&waits)?["phase"], "DONE");
    Ok(())
}

/// What `psql` answers, line by line.
fn rows(server: &Postgres, statement: &str) -> Result<Vec<String>> {
    Ok(server.psql(DATABASE, statement)?.lines().map(str::to_owned).collect())
}

/// Where the rows of a list lead, and the phase and the user that they tell.
fn listed(visit: &mut Visit) -> Result<Vec<String>> {
    let script = "[...document.querySelectorAll('#list tbody tr')].map((row) => [ \
        row.querySelector('a').getAttribute('href').replace('/workflows/', ''), \
        row.querySelector('.phase').textContent.toUpperCase(), \
        row.querySelector('[data-label=User]').textContent].join('|'))";
    Ok(serde_json::from_value(visit.browser.evaluate(script)?).unwrap_or_default())
}

fn list(visit: &mut Visit, server: &Postgres) -> Result<()> {
    let order = "ORDER BY created DESC, workflow_id DESC";
    for (query, condition) in [
        ("", "true"),
        ("phase=DONE&user=7", "phase = 'DONE' AND \"user\" = 7"),
        ("phase=FAILED", "phase = 'FAILED'"),
        ("open=true", "is_open = 1"),
        ("name=cop", "name = 'cop'"),
        ("name=copy&group=3&page=7", "name = 'copy' AND \"group\" = 3"),
        ("page=200", "true"),
    ] {
        let page = query.rsplit_once("page=").map_or(Ok(1), |(_, page)| page.parse::<usize>());
        let offset = (page.expect("a number") - 1) * SHOWN;
        visit.browser.open(&format!("/workflows?{query}"))?;
        let columns = "workflow_id || '|' || phase || '|' || \"user\"";
        let statement = format!(
            "SELECT {columns} FROM {WORKFLOWS} WHERE {condition} {order} LIMIT {SHOWN} OFFSET {offset}"
        );
        let wanted = rows(server, &statement)?;
        assert_eq!(listed(visit)?, wanted, "{query}");
        let count = rows(server, &format!("SELECT count(*) FROM {WORKFLOWS} WHERE {condition}"))?.remove(0);
        let told = visit.browser.texts("#list > p")?.join(" ");
        assert!(told.starts_with(&format!("{count} workflow")) || wanted.is_empty(), "{query}: {told}");

        let filters = query.split('&').filter(|part| !part.starts_with("page=") && !part.is_empty());
        let limits = [format!("offset={offset}"), format!("limit={SHOWN}")];
        let filters: Vec<&str> = filters.chain(limits.iter().map(String::as_str)).collect();
        let answer = visit.asked.get(&format!("/v1/workflows?{}", filters.join("&")))?;
        assert_eq!(answer["total"].to_string(), count, "{query}");
        let answered: Vec<String> = answer["workflows"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                format!("{}|{}|{}", text("id"), text("phase"), row["user"])
            })
            .collect();
        assert_eq!(answered, wanted, "{query}");
    }
    // By its form, and on by its links.
    visit.browser.open("/workflows")?;
    visit.browser.choose("#phase", "DONE")?;
    visit.browser.fill("#user", "2")?;
    visit.browser.click("role=button[name='Show']")?;
    visit.browser.shows("#list > p", "page 1 of 10")?;
    visit.browser.click("role=link[name='Older →']")?;
    visit.browser.shows("#list > p", "page 2 of 10")?;
    assert!(visit.browser.path()?.contains("phase=DONE&user=2&page=2"), "{}", visit.browser.path()?);
    Ok(())
}

fn overview(visit: &mut Visit, server: &Postgres) -> Result<()> {
    visit.browser.open("/?back=year")?;
    let numbers = |texts: Vec<String>| -> BTreeMap<String, String> {
        let pair =
            |text: String| text.split_once('\n').map(|(one, two)| (two.trim().to_owned(), one.to_owned()));
        texts.into_iter().filter_map(pair).collect()
    };
    let tiles = numbers(visit.browser.texts("a.tile")?);
    for (tile, phase) in [("Done", "DONE"), ("Failed", "FAILED"), ("Running", "RUNNING")] {
        let count = rows(server, &format!("SELECT count(*) FROM {WORKFLOWS} WHERE phase = '{phase}'"))?;
        assert_eq!(tiles.get(tile), count.first(), "{tile}: {tiles:?}");
    }

    // What is begun and has failed, by workflow, user, group and task.
    let name = "coalesce(main_task_name, name)";
    let failed = "count(CASE WHEN status = 'FAILED' THEN 1 END)";
    for (title, table, key, failed) in [
        ("By workflow", WORKFLOW_PROGRESS, name, failed),
        ("By user", WORKFLOW_PROGRESS, "\"user\"", failed),
        ("By group", WORKFLOW_PROGRESS, "\"group\"", failed),
        ("By task", TASK_EXECUTION, "task_name", "count(error_type)"),
    ] {
        let mut wanted = rows(
            server,
            &format!("SELECT coalesce({key}::text, 'not known'), count(*), {failed} FROM {table} GROUP BY 1"),
        )?;
        let script = format!(
            "[...document.querySelectorAll('section.panel')].filter((panel) => \
             panel.querySelector('h2').textContent === '{title}').flatMap((panel) => \
             [...panel.querySelectorAll('tbody tr')]).map((row) => \
             [...row.children].slice(0, 3).map((cell) => cell.textContent).join('|'))"
        );
        let mut told: Vec<String> =
            serde_json::from_value(visit.browser.evaluate(&script)?).unwrap_or_default();
        wanted.sort();
        told.sort();
        assert_eq!(told, wanted, "{title}");
        assert!(wanted.len() > 1, "{title}: {wanted:?}");
    }
    let sums = format!(
        "SELECT count(*) || ' workflows, ' || count(CASE WHEN status = 'DONE' THEN 1 END) || ' done, '
                || {failed} || ' failed' FROM {WORKFLOW_PROGRESS}"
    );
    let sums = rows(server, &sums)?.remove(0);
    let told = visit.browser.evaluate("document.querySelector('.wide svg').getAttribute('aria-label')")?;
    assert!(told.as_str().is_some_and(|told| told.starts_with(&sums)), "{told} and {sums}");
    // What others have named is text there too.
    assert_eq!(visit.browser.evaluate("document.querySelectorAll('main script').length")?, 0);
    Ok(())
}

/// Neither the database's password, nor a token, nor what it is kept as.
fn no_secret(visit: &mut Visit, ids: &[&String]) -> Result<()> {
    let hash = std::fs::read_to_string(visit.asked.desk.worker.folder().join("tokens")).expect("tokens");
    let hash = hash.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let escaped = PASSWORD.replace('%', "%25").replace('@', "%40").replace('/', "%2F").replace(':', "%3A");
    let secrets = [PASSWORD, &escaped[..20], visit.token.as_str(), hash.as_str()].map(str::to_owned);
    let mut pages =
        vec!["/", "/workflows", "/start-up", "/settings"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    pages.extend(ids.iter().map(|id| format!("/workflows/{id}")));
    for page in pages {
        visit.browser.open(&page)?;
        let source = visit.browser.source()?;
        for secret in &secrets {
            assert!(!secret.is_empty() && !source.contains(secret.as_str()), "a secret is on {page}");
        }
    }
    // All settings are there, as the interface has them.
    let listed = http::get(&visit.asked.socket, "/v1/configuration")?.json();
    let rows = listed["settings"].as_array().map_or(0, Vec::len);
    assert!(rows > 50, "{listed:#}");
    visit.browser.open("/settings")?;
    visit.browser.shows("main", &format!("{rows} of {rows}"))?;
    let shown = json!(visit.browser.texts("table.settings tbody tr")?.len());
    assert_eq!(shown, rows);
    Ok(())
}
