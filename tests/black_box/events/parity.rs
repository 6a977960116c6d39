//! Whatever the log holds, the view tables have the same rows, whether Python's listeners project it or we.

use std::collections::HashMap;

use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::postgres::{self, Postgres};
use biomero_tests::scenario::{self, Call};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, views};
use serde_json::json;
use uuid::Uuid;

use super::ours::Ours;

/// How many made-up histories are tried: `BIOMERO_TEST_SEEDS` asks for more, `FIRST..END`.
fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let asked = std::env::var("BIOMERO_TEST_SEEDS").ok();
    let asked = asked.as_deref().and_then(|text| text.split_once(".."));
    asked.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?)).unwrap_or(usual)
}

/// A new database whose sessions have a time zone, and its URL.
fn database(server: &Postgres, name: &str, zone: &str) -> Result<String> {
    let url = server.create_database(name)?;
    server.psql("postgres", &format!("ALTER DATABASE \"{name}\" SET timezone = '{zone}'"))?;
    Ok(url)
}

/// A history as rows that nobody projected, then Python's listeners at once over all of it: they begin when something is
/// written.
fn project_by_python(
    server: &Postgres,
    python: &mut Biomero,
    (database, url): (&str, &str),
    seed: u64,
    scratch: &Scratch,
) -> Result<String> {
    python.open(url, &[])?;
    views::insert(server, database, &scenario::rows(seed, 120), scratch.path())?;
    python.open(url, &LISTENERS)?;
    python.play(&[json!({ "do": "initiate_workflow", "arguments": ["the last", "", 0, 0] })])?;
    views::views(server, database)
}

fn same_rows(seeds: std::ops::Range<u64>, zone: &str) -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    for seed in seeds {
        let [theirs, ours] = ["theirs", "ours"].map(|side| format!("{side}_{seed}"));
        let url = database(&server, &theirs, zone)?;
        let expected = project_by_python(&server, &mut python, (&theirs, &url), seed, &scratch)?;
        let log = Ours::initialised(&database(&server, &ours, zone)?)?;
        views::copy_log(&server, &theirs, &ours, scratch.path())?;
        log.block(log.log().catch_up())?;
        assert_eq!(views::views(&server, &ours)?, expected, "seed {seed}");
    }
    Ok(())
}

#[test]
fn any_history_is_projected_as_python_projects_it() -> Result<()> {
    same_rows(seeds(0..4), "UTC")
}

#[test]
fn the_wall_times_are_those_of_the_sessions_time_zone() -> Result<()> {
    same_rows(seeds(50..52), "Europe/Amsterdam")
}

#[test]
fn a_history_that_comes_in_pieces_makes_the_same_rows() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    for seed in seeds(100..103) {
        let [theirs, ours] = ["theirs", "ours"].map(|side| format!("{side}_in_pieces_{seed}"));
        let url = server.create_database(&theirs)?;
        let expected = project_by_python(&server, &mut python, (&theirs, &url), seed, &scratch)?;
        let rows = views::rows(&server, &theirs)?;
        let log = Ours::initialised(&server.create_database(&ours)?)?;
        let mut seeded = scenario::Seeded::new(seed);
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(1 + seeded.below(12)));
            views::insert(&server, &ours, piece, scratch.path())?;
            assert_eq!(log.block(log.log().catch_up())?, piece.len() as u64);
            rest = later;
        }
        assert_eq!(views::views(&server, &ours)?, expected, "seed {seed}");
    }
    Ok(())
}

#[test]
fn the_same_commands_write_the_same_events_and_rows() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    for seed in seeds(150..152) {
        let [theirs, ours] = ["theirs", "ours"].map(|side| format!("{side}_commands_{seed}"));
        let calls = scenario::calls(seed, 80);
        python.open(&server.create_database(&theirs)?, &LISTENERS)?;
        let ids = python.play(&calls.iter().map(Call::to_json).collect::<Vec<_>>())?;
        let their_ids: Ids = serde_json::from_value(ids).unwrap_or_default();
        let our_ids = Ours::initialised(&server.create_database(&ours)?)?.play(&calls)?;
        let compared = |database: &str, ids: &Ids| -> Result<[String; 2]> {
            let events: Vec<String> =
                views::rows(&server, database)?.iter().map(|row| format!("{row:?}")).collect();
            Ok([views::views(&server, database)?, events.join("\n")].map(|text| unnamed(&text, ids)))
        };
        let [their_rows, their_events] = compared(&theirs, &their_ids)?;
        let [our_rows, our_events] = compared(&ours, &our_ids)?;
        assert_eq!(our_events, their_events, "seed {seed}");
        assert_eq!(our_rows, their_rows, "seed {seed}");
    }
    Ok(())
}

type Ids = HashMap<String, Uuid>;

/// Rows with names for ids and without moments: what two runs of the same commands have in common. Sorted, because ids
/// have an order of their own.
fn unnamed(rows: &str, ids: &Ids) -> String {
    let mut text = without_moments(rows);
    for (name, id) in ids {
        text = text.replace(&id.to_string(), name).replace(&id.simple().to_string(), name);
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// `2026-11-22 19:11:22.614386`, with a `T` or not, with a fraction or not, becomes `…`.
fn without_moments(text: &str) -> String {
    const FORM: &str = "0000-00-00 00:00:00";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let head = rest.as_bytes().get(..FORM.len()).unwrap_or_default();
        let is_moment = head.len() == FORM.len()
            && head.iter().zip(FORM.bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b' ' => b" T".contains(byte),
                _ => *byte == form,
            });
        if is_moment {
            out.push('…');
            rest = rest[FORM.len()..]
                .trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}
